"""Init SQL: a plain DuckDB client, in a process that knows nothing of meshlog, sees the same tables."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline.query.session import open_session
from tests.conftest import SAMPLES, missing

CLIENT = """
import json, sys
import duckdb
connection = duckdb.connect()
connection.execute(open(sys.argv[1], encoding="utf-8").read())
tables = {}
for table, in connection.sql("select table_name from information_schema.tables").fetchall():
    rows = connection.sql(f'select count(*), bit_xor(hash(t)) from "{table}" as t').fetchall()
    tables[table] = [None if value is None else str(value) for value in rows[0]]
assert "pipeline" not in sys.modules
print(json.dumps({"tables": tables, "answers": [str(connection.sql(query).fetchall()) for query in sys.argv[2:]]}))
"""


def seen_by_a_client(file, *queries):
    """Run the SQL and queries in a fresh process: a digest of each table, and each query's rows as text."""
    command = [sys.executable, "-I", "-c", CLIENT, str(file), *queries]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=file.parent)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def seen_by_meshlog(lake, tables, **options):
    with open_session(lake, **options) as session:
        digests = (session.texts(f"select count(*), bit_xor(hash(t)) from {table} as t").rows[0] for table in tables)
        return dict(zip(tables, map(list, digests), strict=True))


def tables_of(lake):
    with open_session(lake) as session:
        return session.tables


def test_a_client_sees_every_table_as_meshlog_does(meshlog, samples_lake, tmp_path):
    """All tables have the same rows, and the named questions answer as macros."""
    file = tmp_path / "meshlog.sql"
    ran = meshlog("connect", "--lake", samples_lake, "-o", file)
    seen = seen_by_a_client(
        file, "from who_calls('payments.shop')", "from slowest_routes(_limit := 2, _service := null)"
    )
    tables = tables_of(samples_lake)

    assert (ran.code, ran.out) == (0, "")
    assert {name: seen["tables"][name] for name in tables} == seen_by_meshlog(samples_lake, tables)
    assert seen["answers"][0].startswith("[('frontend.shop', 78, 27,")
    assert seen["answers"][1].count("/export") == 2


def test_the_command_duckdb_sees_the_same(meshlog, samples_lake, tmp_path):
    """`duckdb -init meshlog.sql`, also of the release before the one that meshlog itself runs on."""
    program = shutil.which("duckdb", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        missing("the command duckdb", "pip install 'meshlog[test]'")
    meshlog("connect", "--lake", samples_lake, "-o", tmp_path / "meshlog.sql")
    query = "select (select count(*) from hops), (select count(*) from traces), (select count(*) from citations)"
    command = [program, "-init", tmp_path / "meshlog.sql", "-csv", "-noheader"]
    ran = subprocess.run(command, input=f"{query};", capture_output=True, text=True, check=False, timeout=300)
    with open_session(samples_lake) as session:
        own = ",".join(session.texts(query).rows[0])

    assert ran.returncode == 0, ran.stderr
    # it ends the gray of its greeting first
    assert ran.stdout.splitlines()[-1].removeprefix("\x1b[00m") == own


def test_the_window_and_the_time_zone_hold(meshlog, samples_lake, tmp_path):
    """--since and --until limit a client's tables, and times print in --tz."""
    edges = ["--since", "2026-11-23T20:55:50Z", "--until", "2026-11-23T20:55:55Z", "--tz", "Europe/Berlin"]
    meshlog("connect", "access_logs", "traces", "--lake", samples_lake, *edges, "-o", tmp_path / "meshlog.sql")
    query = "select count(*) as lines, min(started_at)::varchar as first from access_logs"
    seen = seen_by_a_client(tmp_path / "meshlog.sql", query)
    asked = json.loads(meshlog("sql", query, "--lake", samples_lake, *edges, "--format", "jsonl").out)

    assert seen["answers"] == [f"[({asked['lines']}, '{asked['first']}')]"]
    assert "+01" in asked["first"]
    assert 0 < asked["lines"] < 888


def test_named_tables_alone(meshlog, samples_lake, tmp_path):
    """Only the named tables and what they build on are made, and the questions that need no more."""
    meshlog("connect", "error_rates", "--lake", samples_lake, "-o", tmp_path / "meshlog.sql")
    seen = seen_by_a_client(tmp_path / "meshlog.sql", "select count(*) > 0 from worst_clusters()")

    assert "error_rates" in seen["tables"]
    assert "hops" not in seen["tables"]
    assert seen["answers"] == ["[(True,)]"]


def test_tables_as_parquet(meshlog, samples_lake, tmp_path):
    """--tables computes them once, for any reader of Parquet, and the SQL reads these files."""
    folder = tmp_path / "it's here"
    file = tmp_path / "meshlog.sql"
    meshlog("connect", "access_logs", "hops", "traces", "--lake", samples_lake, "--tables", folder, "-o", file)
    seen = seen_by_a_client(file)
    expected = seen_by_meshlog(samples_lake, ["access_logs", "hops", "traces"])

    assert {name: seen["tables"][name] for name in expected} == expected
    assert pq.read_metadata(folder / "traces.parquet").num_rows == int(expected["traces"][0])
    assert "pairs_by_time" not in seen["tables"]


def test_all_tables_as_parquet_answer_all_questions(meshlog, samples_lake, tmp_path):
    """Also those that read what only models and questions do."""
    file = tmp_path / "meshlog.sql"
    meshlog("connect", "--lake", samples_lake, "--tables", tmp_path / "tables", "-o", file)
    asked = [f"select count(*) > 0 from {name}()" for name in ("findings", "report_coverage", "worst_clusters")]

    assert seen_by_a_client(file, *asked)["answers"] == ["[(True,)]"] * 3


def test_names_from_strangers_stay_names(meshlog, tmp_path):
    """A quote in the lake's path, and an attack in a source's name, end neither a string nor a line."""
    folder = tmp_path / "o'brien; drop table hops; --\n"
    folder.mkdir()
    log = folder / "'); drop table causes; --.jsonl"
    log.write_bytes((SAMPLES / "app_down.jsonl").read_bytes())
    meshlog("ingest", log, "--lake", folder / "lake")
    ran = meshlog("connect", "loads", "access_logs", "--lake", folder / "lake", "-o", tmp_path / "meshlog.sql")
    seen = seen_by_a_client(
        tmp_path / "meshlog.sql", "select source from loads", "select count(*) > 9 from access_logs"
    )

    assert ran.code == 0
    assert seen["answers"] == [f"[({str(log)!r},)]", "[(True,)]"]
    assert int(seen["tables"]["causes"][0]) > 20


def test_an_empty_lake_connects(meshlog, empty_lake, tmp_path):
    """Every table is there, without rows."""
    meshlog("connect", "--lake", empty_lake, "-o", tmp_path / "meshlog.sql")
    seen = seen_by_a_client(tmp_path / "meshlog.sql")

    assert seen["tables"]["traces"][0] == "0"


def test_own_models_and_questions_are_there(meshlog, samples_lake, tmp_path):
    """A user's folder joins in."""
    (tmp_path / "ours" / "questions").mkdir(parents=True)
    (tmp_path / "ours" / "callers.sql").write_text(
        "-- one row per caller\n-- key: client_service\nselect client_service, count(*) as n from hops group by all;\n"
    )
    (tmp_path / "ours" / "questions" / "busy.sql").write_text(
        "-- who calls most\n-- $least bigint = 1: calls\nfrom callers where n >= $least -- as $least says\n"
    )
    meshlog("connect", "--models", tmp_path / "ours", "--lake", samples_lake, "-o", tmp_path / "meshlog.sql")
    seen = seen_by_a_client(tmp_path / "meshlog.sql", "select count(*) > 0 from busy(_least := 2)")

    assert "callers" in seen["tables"]
    assert seen["answers"] == ["[(True,)]"]


def test_the_sql_can_run_again(meshlog, samples_lake, tmp_path):
    """A client may run it twice, and grains are comments there."""
    sql = meshlog("connect", "error_rates", "--lake", samples_lake).out
    with duckdb.connect(tmp_path / "client.duckdb") as connection:
        connection.execute(sql)
        connection.execute(sql)
        found = connection.sql("select comment from duckdb_tables() where table_name = 'error_rates'").fetchall()

    assert found[0][0].startswith("one row per minute")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["hop"], 2, "Did you mean hops"),
        (["-o", "/proc/none/x.sql"], 1, "cannot be written"),
        (["loads", "--tables", "/proc/none"], 1, "cannot be written"),
    ],
)
def test_a_wrong_call_is_told(meshlog, samples_lake, arguments, code, said):
    """An unknown table and a place that cannot be written to are errors with a way out."""
    ran = meshlog("connect", *arguments, "--lake", samples_lake)

    assert ran.code == code
    assert said in ran.err
