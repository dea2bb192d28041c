"""A query reads the session's tables and nothing else, whatever it says."""

import os
import shutil

import pytest

from pipeline.errors import QueryError
from pipeline.query.session import open_session

SECRET = "not for queries"


@pytest.fixture(scope="module")
def session(samples_lake):
    """A session on the samples."""
    with open_session(samples_lake) as opened:
        yield opened


@pytest.fixture
def outside(tmp_path):
    """A file that is none of the lake's."""
    (tmp_path / "secret.txt").write_text(SECRET)
    return tmp_path / "secret.txt"


def files_below(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


WRITING = [
    "copy (select 1) to '{0}'",
    "copy hops to '{0}'",
    "copy (select 1) to '{0}' (format parquet)",
    "with x as (copy (select 1) to '{0}') select * from x",
    "select (with x as (copy (select 1) to '{0}') select count(*) from x)",
    "select 1 where exists (with x as (copy (select 1) to '{0}') from x)",
    "with a as (with b as (copy (select 1) to '{0}') from b) from a union all select 1",
    "with x as (copy (select 1 as a) to '{0}') pivot x on a",
    "explain analyze copy (select 1) to '{0}'",
    "explain analyze with x as (copy (select 1) to '{0}') from x",
    "explain (analyze, format json) copy (select 1) to '{0}'",
    "/* explain */ explain /* ( */ analyze copy (select 1) to '{0}'",
    "select 1; copy (select 1) to '{0}'",
    "from query('copy (select 1) to ''{0}''')",
    "prepare p as copy (select 1) to '{0}'",
    "export database '{0}'",
    "attach '{0}'",
    "attach ':memory:' as other",
    "pragma profiling_output='{0}'",
    "from enable_logging(level='debug', storage='file', storage_config={{'path': '{0}'}})",
    "call enable_logging(storage='file', storage_path='{0}')",
]


@pytest.mark.parametrize("query", WRITING)
def test_a_query_writes_no_file(session, tmp_path, query):
    """Neither a statement nor a part of one writes outside of the lake."""
    target = tmp_path / "written"
    with pytest.raises(QueryError):
        session.texts(query.format(target))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("query", WRITING)
def test_a_query_does_not_touch_the_lake(session, samples_lake, query):
    """The lake is open for reading, and a query still writes nothing into it."""
    before = files_below(samples_lake)
    with pytest.raises(QueryError):
        session.texts(query.format(samples_lake / "lake.json"))

    assert files_below(samples_lake) == before


@pytest.mark.parametrize(
    "query",
    [
        "with x as (delete from loads returning *) from x",
        "with x as (insert into loads select * from loads returning *) from x",
        "with x as (update causes set title = '' returning *) from x",
        "with x as (truncate causes) from x",
        "delete from causes",
        "create table mine as select 1",
        "create or replace view hops as select 1",
        "drop table causes",
        "create macro f() as 1",
        "set variable a = 1",
    ],
)
def test_a_query_changes_no_table(session, query):
    """What one question says, the next one can rely on."""
    before = session.rows("select count(*) as causes, min(title) as title from causes")
    with pytest.raises(QueryError, match="refused"):
        session.rows(query)

    assert session.rows("select count(*) as causes, min(title) as title from causes") == before


@pytest.mark.parametrize(
    "query",
    [
        "from read_text('{0}')",
        "from read_blob('{0}')",
        "from read_csv('{0}')",
        "from sniff_csv('{0}')",
        "from '{0}'",
        "from read_csv('{1}/../{2}')",
        "from glob('{0}')",
        "from read_duckdb('{0}')",
        "from read_text('https://example.com/')",
        "from 's3://bucket/key.parquet'",
        "select getenv('HOME')",
        "from outside",
        "from os",
        "load httpfs",
        "install httpfs",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "reset lock_configuration",
        "create secret (type s3)",
    ],
)
def test_a_query_reads_nothing_else(session, samples_lake, outside, query):
    """No file of the machine, no network, no variable of this program."""
    relative = os.path.relpath(outside, samples_lake.parent)
    with pytest.raises(QueryError) as refused:
        session.texts(query.format(outside, samples_lake, relative))

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "query",
    [
        "select 1 ; -- done",
        "from loads limit 1;",
        "select 1 -- asked;",
        "-- asked before\nselect method from access_logs where method = 'DELETE' and path like '%copy%'",
        "select 'copy' as verb, ';' as mark",
        "with recursive n as (select 1 as i union all select i + 1 from n where i < 3) from n",
        "with x as materialized (select 1) select (with y as (from x) from y) union all by name select 2",
        "pivot access_logs on method using count(*) group by direction",
        "describe hops",
        "summarize loads",
        "show tables",
        "values (1), (2)",
        "explain select count(*) from hops",
        "explain analyze from traces where is_error",
        "explain (format json) select 1",
    ],
)
def test_a_query_may_read(session, query):
    """Every kind of reading statement runs."""
    assert session.texts(query).columns


@pytest.mark.parametrize(
    "query", ["select 1 as a; -- done", "select 1 as a -- ;", "select 1 as a ; ;", "select 1 as a"]
)
def test_a_semicolon_is_no_part_of_what_is_copied(session, tmp_path, query):
    """A query as people end it in a file can be written in every format."""
    session.copy(query, tmp_path / "out.csv", "format csv, header")

    assert (tmp_path / "out.csv").read_text() == "a\n1\n"


@pytest.mark.parametrize("part", ["access_logs", "access_logs/date=2026-11-23", "access_logs/date=2026-11-23/hour=20"])
def test_a_part_of_a_lake_may_lie_elsewhere(samples_lake, outside, tmp_path, part):
    """Days that were moved to another disk and linked are read; what lies beside them there is not."""
    lake, other = tmp_path / "lake", tmp_path / "disk" / "moved"
    shutil.copytree(samples_lake, lake)
    other.parent.mkdir()
    shutil.move(lake / part, other)
    (lake / part).symlink_to(other)
    with open_session(lake) as session:
        assert session.rows("select count(*) as lines from access_logs") == [{"lines": 888}]
        with pytest.raises(QueryError, match="disabled by configuration"):
            session.rows(f"from read_text('{outside}')")


def test_a_lake_behind_links_and_quotes(samples_lake, tmp_path):
    """A lake answers under a name with a quote, through a link, with a relative path."""
    (tmp_path / "o'brien").symlink_to(samples_lake)
    with open_session(tmp_path / "o'brien") as session:
        rows = session.rows("select count(*) as lines from access_logs")

    assert rows == [{"lines": 888}]
