"""Makes a lake that holds a day of both sides' lines, for the models: `python -m bench.day LINES LAKE`.

The requests of the recorded stories, each with all lines that it left on its way, are moved to the sites of `shop` and
repeated through a day, with ids, ports, clients, durations and sizes of their own: a request has some seven lines, and
a few in a hundred of them fail as the stories do. Writing 16 GB of text to read it again would take an hour, so the
samples go through the ingest once, and the rows made of its own through its writer and ledger, as if a cron job had
collected the pods' logs every hour: batches of some pods each, a file an hour. The same number gives the same rows.
"""

import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from bench import shop
from pipeline.ingest import writer
from pipeline.ingest.gather import BATCH_ROWS
from pipeline.ingest.load import load
from pipeline.lake.layout import Lake, create_lake
from pipeline.lake.ledger import Batch, Counts, Load, commit, mark_of
from pipeline.lake.schema import ACCESS_LOGS
from pipeline.query.session import open_session

DAY = datetime(2026, 11, 22, tzinfo=UTC)

HOURS = 24

BYTES_A_LINE = 800
"""What a line of text would take, as loads say."""

SQL = Path(__file__).parent

MOVED = r"""
create macro moved(text, site, namespace) as replace(replace(
    regexp_replace(regexp_replace(text,
        '127\.0\.1(\d)\.(\d)', '10.244.' || (site + 17) || '.1\1\2', 'g'), '127\.0\.99\.\d+', '{client}', 'g'),
    '10.96.0.', '10.96.' || site || '.'), '.shop.svc', '.' || namespace || '.svc')
"""


def write(lines: int, root: Path) -> int:
    """Make a lake of about so many lines, and return how many there are."""
    lake = create_lake(root)
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("set timezone = 'UTC'")
        requests = round(lines / _create_sites(connection))
        connection.execute("create table written (source varchar, last_line bigint)")
        for hour in range(HOURS):
            rows = _rows(connection, requests, requests * hour // HOURS, requests * (hour + 1) // HOURS)
            _commit(lake, DAY + timedelta(hours=hour + 1), rows)
        (count,) = connection.execute("select sum(last_line)::bigint from written").fetchone() or (0,)
    return count


def _create_sites(connection: duckdb.DuckDBPyConnection) -> float:
    """Create the table of lines that requests are made of; returns how many a request has on average."""
    with tempfile.TemporaryDirectory() as scratch:
        load([str(shop.SAMPLES)], Path(scratch) / "lake")
        with open_session(Path(scratch) / "lake") as session:
            samples, names = (session.arrow(f"from {name}") for name in ("lake_access_logs", "address_names"))
    connection.from_arrow(samples).create("samples")
    connection.from_arrow(names).create("names")
    connection.execute(MOVED)
    sites = {"sites": shop.SITES, "namespaces": list(shop.NAMESPACES)}
    connection.execute(f"create table sites as {(SQL / 'day_sites.sql').read_text()}", sites)
    (mean,) = connection.execute(
        """
        select sum(case when is_failing then $share else 1 - $share end * lines)
        from (select is_failing, count(*) / count(distinct (request, site)) as lines from sites group by is_failing)
        """,
        {"share": shop.FAILING_SHARE},
    ).fetchone() or (1.0,)
    return float(mean)


def _rows(connection: duckdb.DuckDBPyConnection, requests: int, first: int, last: int) -> pa.Table:
    """Make the lines of some requests as the lake's rows, by source and in the order in which they were written."""
    connection.execute(
        f"create or replace temp table made as {(SQL / 'day_lines.sql').read_text()}",
        {
            "first": first,
            "last": last,
            "requests": requests,
            "sites": shop.SITES,
            "day": DAY,
            "failing_share": shop.FAILING_SHARE,
            "clients": shop.CLIENTS,
            "agents": shop.AGENTS,
        },
    )
    rows = connection.sql(
        """
        select made.* replace (
            coalesce(last_line, 0) + row_number() over (
                partition by source order by started_at + to_milliseconds(duration_ms), number, made.line_number
            ) as line_number
        )
        from made
        left join written using (source)
        order by source, line_number
        """
    ).to_arrow_table()
    connection.register("rows", rows)
    connection.execute(
        "create or replace table written as select source, max(last_line) as last_line from ("
        "select source, line_number as last_line from rows union all from written) group by source"
    )
    connection.unregister("rows")
    return rows.select(ACCESS_LOGS.names)


def _commit(lake: Lake, at: datetime, rows: pa.Table) -> None:
    """Write an hour's lines in batches as large as the ingest's."""
    for number, first in enumerate(range(0, rows.num_rows, BATCH_ROWS)):
        part = rows.slice(first, BATCH_ROWS)
        columns = [part[field.name].cast(field.type) for field in ACCESS_LOGS]
        name = f"{at:%Y%m%dT%H%M%S}{number:06d}Z-00000000"
        files = writer.write_rows(lake, name, writer.arranged(pa.table(columns, schema=ACCESS_LOGS)))
        commit(lake, Batch(name, at.isoformat(), {"access_logs": files, "quarantine": ()}, tuple(_loads(name, part))))


def _loads(batch: str, rows: pa.Table) -> Iterator[Load]:
    """The sources of a batch."""
    read = rows.group_by("source").aggregate(
        [("line_number", "count"), ("line_number", "max"), ("started_at", "min"), ("started_at", "max")]
    )
    for number, found in enumerate(read.to_pylist()):
        lines, last = found["line_number_count"], found["line_number_max"]
        source = found["source"]
        mark = mark_of(source.encode(), f"{source}:{last}".encode(), last * BYTES_A_LINE, last)
        counts = Counts(lines=lines, rows=lines, bytes=lines * BYTES_A_LINE)
        times = (found["started_at_min"].isoformat(), found["started_at_max"].isoformat())
        yield Load(f"{batch}-{number}", source, mark, counts, *times)


if __name__ == "__main__":
    print(write(int(sys.argv[1]), Path(sys.argv[2])))
