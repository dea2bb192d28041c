"""A question about one request is answered from the lines around it, as it would be from all of them."""

import json
import os
import subprocess
import sys

import pytest
from ingesting import TYPED

from pipeline.errors import QueryError
from pipeline.ingest.load import load
from pipeline.query.lookup import of_query, of_request, request_asked_for
from pipeline.query.session import open_session
from pipeline.query.spoken import spans_of

STORIES = ("happy_path", "app_down", "retries_succeed", "route_timeout", "no_endpoints")


@pytest.fixture(scope="module")
def session(samples_lake):
    """A session on the samples, with every table built."""
    with open_session(samples_lake) as opened:
        opened.rows("from traces limit 1")
        yield opened


@pytest.mark.parametrize("story", STORIES)
def test_a_request_is_told_as_in_the_whole_window(session, samples_lake, story: str) -> None:
    """Hops and spans of every request of a story are the same, line for line."""
    ids = session.rows(
        "select distinct request_id from hops where contains(coalesce(client_source, server_source), $story)"
        " and request_id is not null",
        {"story": f"{story}.jsonl"},
    )
    for row in ids[:4]:
        with open_session(samples_lake, seek=of_request(row["request_id"])) as narrowed:
            assert _is_narrow(narrowed)
            for query in (spans_of(row["request_id"]), _hops(row["request_id"])):
                assert narrowed.rows(query) == session.rows(query)


def _is_narrow(session) -> bool:
    return bool(session.rows("from duckdb_tables() where table_name = 'lines_of_span'"))


def _hops(request: str) -> str:
    return f"from hops where request_id = '{request}' order by hop_id"


def test_the_start_of_an_id_is_enough(session, samples_lake) -> None:
    """As for the command: eight digits."""
    request = session.rows("select min(request_id) as id from hops")[0]["id"]
    with open_session(samples_lake, seek=of_request(request[:8])) as narrowed:
        assert narrowed.rows(_hops(request)) == session.rows(_hops(request))


@pytest.mark.parametrize("large_bytes", [0, 1 << 30])
def test_an_unknown_id_leaves_the_window_as_it_is(samples_lake, monkeypatch, large_bytes) -> None:
    """It may be a hop's or a trace's; a large lake's tables then stand in a file, as always."""
    monkeypatch.setattr("pipeline.query.session.LARGE_BYTES", large_bytes)
    with open_session(samples_lake, seek=of_request("nothing has it")) as same:
        assert not _is_narrow(same)
        assert same.rows("select count(*) > 0 as found from hops") == [{"found": True}]
        files = same.rows("select path from duckdb_databases() where database_name = current_database()")
        assert (files[0]["path"] is not None) == (large_bytes == 0)


@pytest.mark.parametrize(
    ("query", "request_id"),
    [
        ("from hops where request_id = 'x'", "x"),
        ("select count(*) from traces t where 'x' = t.request_id and is_error", "x"),
        ("from trace_spans where is_error and (depth = 0 and request_id = 'x') order by 1 limit 3", "x"),
        ("from hops where request_id = 'x' or is_error", None),
        ("from hops where request_id <> 'x'", None),
        ("from hops where request_id = upper('x')", None),
        ("from hops where not request_id = 'x'", None),
        ("from diagnoses where request_id = 'x'", None),
        ("from hops join traces using (request_id) where request_id = 'x'", None),
        ("select (select count(*) from hops) from hops where request_id = 'x'", None),
        ("from hops where request_id = 'x' union all from hops", None),
        ("with hops as (from hops) from hops where request_id = 'x'", None),
        ("from hops", None),
        ("select 1", None),
        ("describe hops", None),
        ("not SQL", None),
    ],
)
def test_only_a_query_for_one_request_is_one(session, query: str, request_id: str | None) -> None:
    """Whatever could need other lines is answered from all of them."""
    assert request_asked_for(session.connection, query) == request_id


def test_asking_for_a_query_s_parameters_builds_nothing(samples_lake):
    """`meshlog sql` looks at them first."""
    with open_session(samples_lake) as session:
        assert session.parameters("from hops where request_id = $id") == {"id"}
        assert not session.built


def test_an_id_that_nothing_has_is_not_looked_for_twice(samples_lake):
    """No line has it, so no hop has: the models see no line, and the answer is none."""
    with open_session(samples_lake, seek=of_request("nothing has it", is_whole=True)) as session:
        assert session.rows("from hops where request_id = 'nothing has it'") == []
        assert session.rows("from access_logs") == []


def test_an_id_is_looked_for_in_an_empty_lake(empty_lake):
    """No line at all has it."""
    with open_session(empty_lake, seek=of_query("from hops where request_id = 'x'")) as session:
        assert session.rows("from hops where request_id = 'x'") == []


def test_a_request_in_an_hour_that_a_zone_has_twice_is_found(tmp_path):
    """The machine's clock is set back while the request is under way."""
    line = TYPED | {"request_id": "back", "start_time": "2026-10-25T00:59:59.900Z", "duration": 300}
    (tmp_path / "back.log").write_text(json.dumps(line))
    load([tmp_path / "back.log"], tmp_path / "lake")
    asked = "select count(*) as hops from hops where request_id = 'back'"
    command = [sys.executable, "-c", "from pipeline.cli import cli; cli()", "sql", asked, "--format", "jsonl"]
    for zone in ("UTC", "Europe/Berlin"):
        arguments = [*command, "--lake", str(tmp_path / "lake"), "--tz", zone]
        answer = subprocess.run(arguments, env=os.environ | {"TZ": "Europe/Berlin"}, capture_output=True, check=True)
        assert json.loads(answer.stdout) == {"hops": 1}


def test_what_cannot_be_looked_for_is_an_error_in_words(samples_lake):
    """Bytes that are no text reach the command as halves of surrogate pairs."""
    with pytest.raises(QueryError):
        open_session(samples_lake, seek=of_request("\udcff"))
