"""The command as its users meet it: flags, formats, streams and exit codes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from pipeline.cli import cli, options
from pipeline.command import leave
from pipeline.query import render
from tests.conftest import SAMPLES

GOOD = (SAMPLES / "app_down.jsonl").read_text().splitlines()[0]


# a shell without job control starts its background jobs deaf to Ctrl-C, and so the tests and their children
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipeline.command import main
main()
"""


def command(*arguments: object, **more: object) -> subprocess.Popen:
    """Start the command as a process of its own, without a terminal."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdin=more.pop("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def interrupted(running: subprocess.Popen) -> str:
    """Press Ctrl-C until a process ends, as its user would (imports swallow one now and then); return its stderr."""
    for _ in range(30):
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return running.communicate(timeout=1)[1]
    running.kill()
    return "did not end"


# ---------- help


@pytest.mark.parametrize("verb", cli.commands)
def test_help_opens_with_examples(meshlog, verb):
    """Every verb explains itself with examples, and answers without a lake."""
    ran = meshlog(verb, "--help")

    assert ran.code == 0
    assert "Examples:" in ran.out


def test_help_loads_nothing_heavy():
    """`--help` of any verb answers without loading an engine."""
    heavy = ("duckdb", "pyarrow", "numba", "numpy", "altair", "vl_convert", "rich", "prompt_toolkit")
    program = f"import sys, pipeline.cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_the_formats_of_the_flags_are_those_of_the_renderer():
    """The list that help shows and the list that works are one."""
    assert options.FORMATS == render.FORMATS


# ---------- answers

ANSWER = "select * from (values (1, 'a|b', 2.5, [1, 2]), (2, null, 0.0, [])) as t(n, text, rate, list)"

GOLDEN = {
    "table": """\
n   text   rate   list
────────────────────────
1   a|b     2.5   [1, 2]
2           0.0   []
""",
    "csv": 'n,text,rate,list\n1,a|b,2.5,"[1, 2]"\n2,,0.0,[]\n',
    "json": ('[\n\t{"n":1,"text":"a|b","rate":2.5,"list":[1,2]},\n\t{"n":2,"text":null,"rate":0.0,"list":[]}\n]\n'),
    "jsonl": '{"n":1,"text":"a|b","rate":2.5,"list":[1,2]}\n{"n":2,"text":null,"rate":0.0,"list":[]}\n',
    "md": """\
| n | text | rate | list |
| ---: | --- | ---: | --- |
| 1 | a\\|b | 2.5 | [1, 2] |
| 2 |  | 0.0 | [] |
""",
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_a_format_is_what_it_was(meshlog, empty_lake, kind):
    """Each text format of one answer with awkward values."""
    ran = meshlog("sql", ANSWER, "--lake", empty_lake, "--format", kind)

    assert ran.code == 0
    assert ran.out.replace("(2 rows)\n", "") == GOLDEN[kind]


def test_no_progress_is_drawn_into_an_answer(meshlog, empty_lake):
    """However long a query takes, stdout is the answer alone: DuckDB's own bar is off."""
    asked = "select current_setting('enable_progress_bar') as is_on"

    assert meshlog("sql", asked, "--lake", empty_lake, "--format", "csv").out == "is_on\nfalse\n"


def test_a_file_takes_its_format_from_its_suffix(meshlog, samples_lake, tmp_path):
    """`-o traces.parquet` writes Parquet that holds the same rows; nothing goes to stdout."""
    import pyarrow.parquet as pq

    ran = meshlog("sql", "from traces", "--lake", samples_lake, "-o", tmp_path / "traces.parquet")
    counted = meshlog("sql", "select count(*) as n from traces", "--lake", samples_lake, "--format", "jsonl")

    assert (ran.code, ran.out) == (0, "")
    assert pq.read_metadata(tmp_path / "traces.parquet").num_rows == json.loads(counted.out)["n"]
    assert [path.name for path in tmp_path.iterdir()] == ["traces.parquet"]


def test_a_suffix_without_a_format_is_a_usage_error(meshlog, empty_lake, tmp_path):
    """`-o answer.xyz` says which formats there are, and writes nothing."""
    ran = meshlog("sql", "select 1", "--lake", empty_lake, "-o", tmp_path / "answer.xyz")

    assert ran.code == 2
    assert "parquet" in ran.err
    assert list(tmp_path.glob("*.xyz")) == []


def test_a_query_comes_from_stdin(meshlog, empty_lake):
    """`meshlog sql -` reads the query from a pipe."""
    assert meshlog("sql", "-", "--lake", empty_lake, "--format", "csv", stdin="select 7 as n").out == "n\n7\n"


def test_a_query_comes_from_a_file_with_parameters(meshlog, empty_lake, tmp_path):
    """-f reads a file, --param binds its values: a quote or an = in one is only a character."""
    (tmp_path / "question.sql").write_text("select $name as name, $n::int + 1 as n; -- done\n")
    given = ("--param", "name=x' or 1=1 --", "-p", "n=41")
    ran = meshlog("sql", "-f", tmp_path / "question.sql", *given, "--lake", empty_lake, "--format", "jsonl")

    assert ran.code == 0
    assert json.loads(ran.out) == {"name": "x' or 1=1 --", "n": 42}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one query is needed"),
        (["select 1", "-f", "x.sql"], "one query is needed"),
        (["-f", "none.sql"], "none.sql: cannot be read"),
        ([" "], "empty"),
        (["select $a"], "$a"),
        (["select 1", "--param", "a=1"], "$a"),
        (["select $a", "--param", "a"], "NAME=VALUE"),
    ],
)
def test_a_query_that_is_none_is_a_usage_error(meshlog, empty_lake, arguments, said):
    """No query, two, an empty one, and parameters that do not fit exit with 2 and say how to write it."""
    ran = meshlog("sql", *arguments, "--lake", empty_lake)

    assert ran.code == 2
    assert said in ran.err


@pytest.mark.parametrize(
    "query",
    [
        "copy (select 1) to '{0}'",
        "attach '{0}'",
        "create table t as select 1",
        "explain analyze copy (select 1) to '{0}'",
        "export database '{0}'",
        "select 1; copy (select 1) to '{0}'",
        "pragma profiling_output='{0}'",
        "set temp_directory='{0}'",
    ],
)
def test_a_query_cannot_write(meshlog, empty_lake, tmp_path, query):
    """Whatever a query says, no file appears."""
    target = tmp_path / "written"
    ran = meshlog("sql", query.format(target), "--lake", empty_lake)

    assert ran.code == 1
    assert not target.exists()


def test_a_wrong_query_says_where(meshlog, empty_lake):
    """DuckDB's own message reaches the user, without a traceback."""
    ran = meshlog("sql", "select nope from traces", "--lake", empty_lake)

    assert ran.code == 1
    assert "nope" in ran.err
    assert "Traceback" not in ran.err


def test_a_window_is_half_open_and_echoed(meshlog, samples_lake):
    """--since keeps its own moment, --until does not, and stderr says what was understood."""
    edges = "select min(started_at) as low, max(started_at) as high from access_logs"
    whole = json.loads(meshlog("sql", edges, "--lake", samples_lake, "--format", "jsonl").out)
    low, high = whole["low"].replace(" ", "T"), whole["high"].replace(" ", "T")
    ran = meshlog("sql", edges, "--lake", samples_lake, "--format", "jsonl", "--since", low, "--until", high)
    within = json.loads(ran.out)

    assert within["low"] == whole["low"]
    assert within["high"] < whole["high"]
    assert "window: [" in ran.err


@pytest.mark.parametrize("times", [["--since", "soon"], ["--since", "1h", "--until", "2h"], ["--tz", "Mars/Olympus"]])
def test_a_time_that_is_none_is_a_usage_error(meshlog, empty_lake, times):
    """A wrong time exits with 2 and an example of a right one."""
    ran = meshlog("sql", "select 1", "--lake", empty_lake, *times)

    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_diagnose_without_a_line_has_no_data(meshlog, empty_lake):
    """An empty window exits with 5 and says how to see what there is."""
    ran = meshlog("diagnose", "--lake", empty_lake)

    assert (ran.code, ran.out) == (5, "")
    assert "meshlog status" in ran.err


def test_diagnose_of_a_healthy_window_says_so(meshlog, tmp_path):
    """Lines without a failure are an answer: exit 0."""
    meshlog("ingest", SAMPLES / "happy_path.jsonl", "--lake", tmp_path / "lake")
    ran = meshlog("diagnose", "--lake", tmp_path / "lake")

    assert ran.code == 0
    assert ran.out == "Nothing went wrong in 80 lines.\n"


def test_explain_shows_both_lines_the_pairing_and_the_rule(meshlog, samples_lake):
    """Of each failing call: the place and columns of both lines, how they were paired, the rule, and the verdict."""
    asked = """
        select request_id, client_source, client_line_number, server_line_number from hops
        where rule = 'server_could_not_connect' order by client_source, client_line_number limit 1
    """
    row = json.loads(meshlog("sql", asked, "--lake", samples_lake, "--format", "jsonl").out)
    ran = meshlog("diagnose", "--explain", row["request_id"], "--lake", samples_lake)

    assert ran.code == 0
    assert f"{row['client_source']}:{row['client_line_number']} " in ran.out
    assert f":{row['server_line_number']} " in ran.out
    assert "response_flags = UF" in ran.out
    assert "server_could_not_connect" in ran.out
    assert "verdict  app_down, culprit" in ran.out


def test_explain_of_a_call_without_the_other_side_says_so(meshlog, tmp_path):
    """A closed connection that only its client logged: no server line, and the causes that fit."""
    line = json.loads(GOOD) | {"response_code": 503, "response_flags": "UC", "request_id": "x-1"}
    line |= {"upstream_cluster": "outbound|80||pay.shop.svc.cluster.local", "downstream_local_address": "10.9.0.1:80"}
    line |= {"upstream_host": "10.1.0.9:80", "upstream_local_address": "10.1.0.7:5", "upstream_service_time": None}
    line |= {"response_code_details": "upstream_reset_before_response_started{connection_termination}"}
    (tmp_path / "one.jsonl").write_text(json.dumps(line) + "\n")
    meshlog("ingest", tmp_path / "one.jsonl", "--lake", tmp_path / "lake")
    ran = meshlog("diagnose", "--explain", "x-1", "--lake", tmp_path / "lake")
    found = meshlog("diagnose", "--lake", tmp_path / "lake")

    assert "no server line" in ran.out
    assert "unknown (either app_crash or proxy_gone or tls_mismatch or upstream_reset)" in " ".join(ran.out.split())
    assert "either   app_crash or proxy_gone or tls_mismatch or upstream_reset" in found.out


def test_explain_of_an_unknown_id_has_no_data(meshlog, samples_lake):
    """An id that nothing has exits with 5; a quote in it is only a character."""
    ran = meshlog("diagnose", "--explain", "x' or true --", "--lake", samples_lake)

    assert (ran.code, ran.out) == (5, "")


def test_explain_as_rows(meshlog, samples_lake):
    """--format gives the same calls as rows, both lines in them."""
    asked = "select min(request_id) as request_id from hops where rule = 'server_could_not_connect'"
    row = json.loads(meshlog("sql", asked, "--lake", samples_lake, "--format", "jsonl").out)
    ran = meshlog("diagnose", "--explain", row["request_id"], "--lake", samples_lake, "--format", "jsonl")
    calls = [json.loads(line) for line in ran.out.splitlines()]

    assert ran.code == 0
    assert "server_could_not_connect" in {call["rule"] for call in calls}
    assert all(call["client_line"]["place"] for call in calls)


def test_trace_of_an_unknown_id_has_no_data(meshlog, samples_lake):
    """An id that nothing has exits with 5; a quote in it is only a character."""
    assert meshlog("trace", "x' or true --", "--lake", samples_lake).code == 5


def test_report_of_a_day_without_lines_has_no_data(meshlog, samples_lake, tmp_path):
    """A day the lake does not hold exits with 5, names the days it holds, and writes nothing."""
    ran = meshlog("report", "--date", "2001-01-01", "--lake", samples_lake, "--out", tmp_path / "out")

    assert ran.code == 5
    assert "2026-11-23" in ran.err
    assert not (tmp_path / "out").exists()


def test_status_counts(meshlog, samples_lake):
    """status agrees with loads."""
    held = json.loads(meshlog("status", "--lake", samples_lake, "--format", "jsonl").out)

    assert held["lines"] == held["rows"] + held["rejects"] + held["noise"] + held["blank"]
    assert "888 from 25 sources" in meshlog("status", "--lake", samples_lake).out


def test_the_shell_runs_a_script_from_a_pipe(meshlog, samples_lake):
    """Without a terminal the shell prints answers only: no prompt, no timing; the first failure ends it."""
    ran = meshlog("shell", "--lake", samples_lake, stdin="select 1 as a\n  , 2 as b;\n.tables\n")
    failing = meshlog("shell", "--lake", samples_lake, stdin="select nope;\nselect 1 as late;\n")

    assert ran.code == 0
    assert ran.out.startswith("a   b\n")
    assert "error_rates" in ran.out
    assert "meshlog>" not in ran.out
    assert failing.code == 1
    assert "late" not in failing.out


# ---------- ingest


def test_the_same_files_again_change_nothing(meshlog, tmp_path):
    """A second ingest of the same folder reads nothing and leaves every file as it was."""
    lake = tmp_path / "lake"
    meshlog("ingest", SAMPLES, "--lake", lake)
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}
    again = meshlog("ingest", SAMPLES, "--lake", lake)

    assert again.code == 0
    assert "0 sources read" in again.err
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")} == before


def test_rejects_beyond_the_limit_exit_with_4(meshlog, tmp_path):
    """Half the lines rejected is more than 1 %, and less than --max-rejects 60."""
    log = tmp_path / "access.log"
    log.write_text(GOOD + "\n" + GOOD.replace('"response_code":200', '"response_code":"abc"') + "\n")

    assert meshlog("ingest", log, "--lake", tmp_path / "strict").code == 4
    assert meshlog("ingest", log, "--lake", tmp_path / "lax", "--max-rejects", 60).code == 0


def test_a_label_fills_what_the_log_does_not_know(meshlog, tmp_path):
    """--label namespace=shop is the namespace of lines without one; another key goes to extra."""
    labels = ("--label", "namespace=shop", "--label", "cluster=east")
    meshlog("ingest", "-", "--lake", tmp_path / "lake", *labels, stdin=GOOD + "\n")
    query = "select namespace, extra ->> 'cluster' as cluster, source from access_logs"
    ran = meshlog("sql", query, "--lake", tmp_path / "lake", "--format", "csv")

    assert ran.out == "namespace,cluster,source\nshop,east,stdin\n"


def test_a_label_without_a_value_is_a_usage_error(meshlog, tmp_path):
    """--label shop says how to write it."""
    assert meshlog("ingest", "-", "--lake", tmp_path / "lake", "--label", "shop", stdin="").code == 2


def test_a_folder_that_is_no_lake_is_left_alone(meshlog, tmp_path):
    """A typo in --lake does not fill somebody's folder with Parquet."""
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("x")
    ran = meshlog("ingest", SAMPLES, "--lake", tmp_path / "letters")

    assert ran.code == 1
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_no_lake_says_how_to_make_one(meshlog, tmp_path):
    """A question to a lake that does not exist names the command that makes it."""
    ran = meshlog("diagnose", "--lake", tmp_path / "none")

    assert ran.code == 1
    assert "meshlog ingest" in ran.err


def test_a_lake_of_a_newer_version_is_not_touched(meshlog, tmp_path):
    """Reading and writing a lake of a newer format both fail with the way out."""
    lake = tmp_path / "newer"
    lake.mkdir()
    (lake / "lake.json").write_text('{"format": 99}')
    for arguments in (["ingest", SAMPLES], ["status"]):
        ran = meshlog(*arguments, "--lake", lake)

        assert ran.code == 1
        assert "newer meshlog" in ran.err
    assert [path.name for path in lake.iterdir()] == ["lake.json"]


# ---------- hostile lines

HOSTILE = "</td><script>alert(1)</script>\x1b[2J\u202e'; drop table hops; --|{{7*7}}"


@pytest.fixture
def hostile_lake(meshlog, tmp_path):
    """A lake of two failed requests whose path, user agent, authority and id are an attack."""
    line = json.loads(GOOD)
    line |= {"path": "/" + HOSTILE, "user_agent": HOSTILE, "authority": HOSTILE, "response_code": 503}
    line |= {"response_flags": "UF", "request_id": HOSTILE}
    client = line | {"upstream_cluster": f"outbound|80||{HOSTILE}.shop.svc.cluster.local", "response_flags": "-"}
    log = tmp_path / "hostile.jsonl"
    log.write_text(json.dumps(line) + "\n" + json.dumps(client) + "\n")
    assert meshlog("ingest", log, "--lake", tmp_path / "lake").code == 0
    return tmp_path / "lake"


@pytest.mark.parametrize(
    "arguments",
    [
        ["diagnose"],
        ["diagnose", "--explain", "</td>"],
        ["trace", "</td>"],
        ["sql", "from access_logs"],
        ["sql", "from hops", "--format", "md"],
    ],
)
def test_no_terminal_escape_reaches_a_reader(meshlog, hostile_lake, arguments):
    """Control and direction characters of a log line are shown as escapes."""
    ran = meshlog(*arguments, "--lake", hostile_lake)

    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    assert "\\x1b" in ran.out


def test_a_command_to_copy_holds_no_hostile_name(meshlog, hostile_lake):
    """A name that is none becomes a placeholder in the next command."""
    ran = meshlog("sql", "select next_command from diagnoses", "--lake", hostile_lake, "--format", "csv")

    assert "script" not in ran.out
    assert "drop" not in ran.out


def test_csv_keeps_the_bytes(meshlog, hostile_lake):
    """What a program reads is what was logged."""
    ran = meshlog("sql", "select distinct user_agent from access_logs", "--lake", hostile_lake, "--format", "jsonl")

    assert json.loads(ran.out)["user_agent"] == HOSTILE


# ---------- as a process


def test_a_reader_that_closes_early_is_no_error(samples_lake):
    """`meshlog sql ... | head -1` ends quietly."""
    many = "select * from access_logs, range(300)"
    with command("sql", many, "--lake", samples_lake, "--format", "csv") as running:
        running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()

    assert said == ""
    assert running.returncode == 0


def test_an_interrupt_while_python_still_loads_is_quiet():
    """Ctrl-C in the first half second: the documented code, and not a word."""
    early = """
import os, signal, sys
class PressesCtrlC:
    def find_spec(self, name, *_):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, PressesCtrlC())
"""
    program = PROGRAM.replace("from pipeline", early + "from pipeline")
    ran = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


@pytest.mark.parametrize(
    "error", [RuntimeError("Query interrupted"), duckdb.InvalidInputException("KeyboardInterrupt")]
)
def test_an_interrupt_that_duckdb_takes_for_itself_is_one(meshlog, samples_lake, monkeypatch, error):
    """DuckDB turns a Ctrl-C into an error of its own."""

    def fails(*_: object, **__: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise error

    monkeypatch.setattr("pipeline.query.session.open_session", fails)
    given = signal.signal(signal.SIGINT, leave)
    try:
        ran = meshlog("status", "--lake", samples_lake)
    finally:
        signal.signal(signal.SIGINT, given)

    assert (ran.code, ran.err) == (130, "meshlog: interrupted; what was committed before stays\n")


def test_a_full_disk_behind_stdout_is_one_message(samples_lake):
    """What cannot be written is told in words, with code 1."""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, "sql", "from loads", "--lake", samples_lake],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip

    assert (ran.returncode, ran.stderr) == (1, "meshlog: output: No space left on device\n")


def test_a_long_query_can_be_interrupted(empty_lake):
    """Ctrl-C ends a query that would take hours: the documented code, and no traceback."""
    endless = "select sum(sin(range)) from range(100000000000)"
    with command("sql", endless, "--lake", empty_lake) as running:
        time.sleep(2)
        said = interrupted(running)

    assert running.returncode == 130
    assert "Traceback" not in said


def test_an_interrupt_exits_with_130_and_leaves_a_lake(tmp_path):
    """Ctrl-C while stdin is still open: the documented code, one line, and a lake that answers."""
    with command("ingest", "-", "--lake", tmp_path / "lake", stdin=subprocess.PIPE) as running:
        running.stdin.write(GOOD + "\n")
        running.stdin.flush()
        deadline = time.monotonic() + 20
        while not (tmp_path / "lake" / "write.lock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        said = interrupted(running)

    assert running.returncode == 130
    assert "Traceback" not in said
    status = subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import cli; cli()", "status", "--lake", tmp_path / "lake"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert status.returncode == 0


def test_a_user_without_a_home_can_do_everything(tmp_path):
    """A container's user that no file knows keeps no history and no machine code, and that is all."""
    program = f"""
import os, pwd
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
    os.environ.pop(name, None)
from pipeline.cli.editing import _history
from pipeline.ingest.kernel.native import _folders
print(type(_history()).__name__, [str(folder) for folder in _folders()][:1] == [{str(tmp_path)!r}])
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)

    assert done.stdout == "InMemoryHistory True\n"


def test_an_interrupt_while_a_lake_is_opened_exits_with_130(meshlog, samples_lake, monkeypatch):
    """DuckDB takes the signal for itself and says so in an error of its own; the user reads one line."""

    def interrupted(*_: object) -> None:
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr("pipeline.query.session._create_lines", interrupted)
    ran = meshlog("diagnose", "--lake", samples_lake)

    assert (ran.code, ran.out) == (130, "")
    assert ran.err == "meshlog: interrupted; what was committed before stays\n"
