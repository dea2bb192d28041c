"""The shell: scripts from a pipe, a person at a terminal, and what Tab offers."""

import os
import pty
import select
import subprocess
import sys
import time

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from pipeline.cli.editing import SqlCompleter, is_complete
from pipeline.cli.prompt import Shell, _try, statements
from pipeline.query.session import open_session

PROGRAM = "from pipeline.cli import cli; cli()"


# ---------- a pipe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select 1; select 2;\n", ["select 1;", "select 2;"]),
        ("select\n  1\n;\n", ["select\n  1\n;"]),
        ("select ';' as a -- no; end\n;\n.tables\n", ["select ';' as a -- no; end\n;", ".tables"]),
        ("-- only a comment\n.tables\n", [".tables"]),
        ("select $$;\n.quit\n$$;", ["select $$;\n.quit\n$$;"]),
        ("from loads", ["from loads"]),
        (";;\n/* ; */\n", []),
        ("select 'ä;€'; .5", ["select 'ä;€';", ".5"]),
    ],
)
def test_statements_end_at_their_semicolon(text, expected):
    """On one line or on several; a semicolon in a string or a comment ends nothing."""
    assert list(statements(text.splitlines(keepends=True))) == expected


def test_a_script_runs_in_order(meshlog, samples_lake):
    """Statements on one line or several, commands between them, and no prompt, timing or pager in a pipe."""
    script = "select 1 as a; select\n 2 as b;\n.format csv\n.ask who_calls service=payments.shop\nselect ';' as c;"
    ran = meshlog("shell", "--lake", samples_lake, stdin=script)

    assert ran.code == 0
    assert ran.out.startswith("a\n─\n1\n(1 row)\nb\n─\n2\n(1 row)\nclient_service,calls,")
    assert ran.out.endswith("c\n;\n")
    assert ran.err == ""


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("select nope;", 1, "nope"),
        ("copy hops to 'x';", 1, "refused"),
        (".bogus", 2, ".bogus is no command"),
        (".describe hop", 2, "Did you mean hops"),
        (".describe", 2, "write .describe TABLE"),
        (".format parquet", 2, "write .format FORMAT"),
        (".ask slowest_rutes", 2, "slowest_routes"),
        (".ask who_calls", 2, "--service is missing"),
        (".ask who_calls serv=x", 2, "no parameter serv"),
        (".ask 'who", 2, "quotation"),
    ],
)
def test_the_first_failure_ends_a_script(meshlog, samples_lake, line, code, said):
    """Its exit code is the run's, and nothing after it runs."""
    ran = meshlog("shell", "--lake", samples_lake, stdin=f"select 1 as early;\n{line}\nselect 2 as late;\n")

    assert ran.code == code
    assert "early" in ran.out
    assert "late" not in ran.out
    assert said in ran.err


def test_quit_ends_a_script(meshlog, samples_lake):
    """What stands behind .quit is not run."""
    ran = meshlog("shell", "--lake", samples_lake, stdin=".quit\nselect nope;\n")

    assert (ran.code, ran.out) == (0, "")


def test_describe_and_help_say_what_there_is(meshlog, samples_lake):
    """Columns with type and meaning, tables with grain, questions with parameters, and every command."""
    ran = meshlog("shell", "--lake", samples_lake, stdin=".describe loads\n.tables\n.questions\n.help\n")

    assert "VARCHAR: the file the line came from" in ran.out
    assert "one row per access-log line" in ran.out
    assert "--limit  how many rows at most" in ran.out
    assert ".timing on|off" in ran.out


def test_tables_are_listed_before_the_steps_to_them(meshlog, samples_lake):
    """What people ask stands first, then what the mesh's configuration is, and the steps between in one list."""
    out = meshlog("shell", "--lake", samples_lake, stdin=".tables\n").out
    tables, steps = out.split("Steps on the way to these: ")

    assert tables.index("\nhops ") < tables.index("\ntraces ") < tables.index("\nmesh_clusters ")
    assert "pairs_by_time" in steps
    assert "pairs_by_time" not in tables


def test_reading_in_the_pager_is_no_time_of_the_answer(samples_lake, monkeypatch, capsys):
    """The time that is told ends when the answer is there."""
    passed = [0.0]
    monkeypatch.setattr("pipeline.cli.prompt.time.perf_counter", lambda: passed[0])
    monkeypatch.setattr(
        "pipeline.cli.prompt.click.echo_via_pager", lambda *_, **__: passed.__setitem__(0, passed[0] + 60)
    )
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    with open_session(samples_lake) as session:
        _try(Shell(session, None), "from range(1000);")

    assert passed == [60.0]
    assert "0.000 s" in capsys.readouterr().err


# ---------- a terminal


class Terminal:
    """A shell behind a pseudo-terminal."""

    def __init__(self, *arguments, **environment):
        self._master, slave = pty.openpty()
        self._seen = b""
        settings = {
            "TERM": "xterm",
            "PAGER": "cat",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "NO_COLOR": "1",
            "COLUMNS": "80",
            "LINES": "24",
            **environment,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "shell", *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, env=os.environ | settings, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def wait_for(self, expected, seconds=120):
        """Read until the text is on the screen, and return all up to its end; what follows waits for its turn."""
        deadline = time.monotonic() + seconds
        while expected.encode() not in self._seen:
            ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{expected!r} did not appear in {self._seen!r}"
            self._seen += os.read(self._master, 65536)
        before, _, self._seen = self._seen.partition(expected.encode())
        return before.decode() + expected

    def type(self, text):
        os.write(self._master, text.encode())

    def leave(self):
        """Type Ctrl-D and return the exit code."""
        self.type("\x04")
        return self._process.wait(120)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self._process.kill()
        self._process.wait()
        os.close(self._master)


def test_a_person_at_a_terminal(samples_lake, tmp_path):
    """A prompt, two lines, an error that does not end it, the time, no escape out of a log, a history that stays."""
    with Terminal("--lake", samples_lake, XDG_STATE_HOME=str(tmp_path)) as terminal:
        terminal.wait_for("meshlog>")
        terminal.type("select 40 +\r")
        terminal.wait_for("...")
        terminal.type("2 as answer;\r")
        assert "42" in terminal.wait_for(" s\r\n")
        terminal.type("select nope;\r")
        terminal.wait_for("Binder Error")
        terminal.type(".format csv\r")
        terminal.wait_for(" s\r\n")
        terminal.type("select 'a' || chr(27) || ']0;b' as x;\r")
        assert "\x1b]0;b" not in terminal.wait_for("a\\x1b]0;b")
        terminal.wait_for("meshlog>")

        assert terminal.leave() == 0
    history = (tmp_path / "meshlog" / "history").read_text()
    assert "+select 40 +\n+2 as answer;\n" in history


def test_a_long_answer_goes_through_the_pager(samples_lake, tmp_path):
    """More lines than the screen has go to $PAGER, until that is turned off."""
    pager = tmp_path / "pager"
    pager.write_text('#!/bin/sh\necho "paged $(wc -l) lines"\n')
    pager.chmod(0o755)
    with Terminal("--lake", samples_lake, XDG_STATE_HOME=str(tmp_path), PAGER=str(pager)) as terminal:
        terminal.wait_for("meshlog>")
        terminal.type("from range(100);\r")
        terminal.wait_for("paged 103 lines")
        terminal.wait_for("meshlog>")
        terminal.type(".pager off\r")
        terminal.wait_for(" s\r\n")
        terminal.type("from range(100);\r")
        terminal.wait_for("(100 rows)")
        terminal.wait_for("meshlog>")

        assert terminal.leave() == 0


def test_a_history_that_cannot_be_kept_is_no_error(samples_lake, tmp_path):
    """A state folder that is a file: the shell opens all the same."""
    (tmp_path / "state").write_text("")
    with Terminal("--lake", samples_lake, XDG_STATE_HOME=str(tmp_path / "state")) as terminal:
        terminal.wait_for("meshlog>")

        assert terminal.leave() == 0


# ---------- completion


@pytest.fixture(scope="module")
def offered(samples_lake):
    """Return a function from a text to what Tab offers; | is the cursor."""
    with open_session(samples_lake) as session:
        session.rows("select 1 from hops limit 1")
        completer = SqlCompleter(session, ["slowest_routes", "who_calls"])

        def at(text):
            before, _, after = text.partition("|")
            document = Document(before + after, len(before))
            return [each.text for each in completer.get_completions(document, CompleteEvent())]

        yield at


def test_tables_follow_from(offered):
    """After from, join and a comma between tables: tables, and nothing else."""
    assert offered("select * from trace|") == ["trace_places", "trace_spans", "traces"]
    assert offered("from hops join lat|") == ["latency_breakdown"]
    assert offered("from hops, ret|") == ["retries"]
    assert offered("describe cov|") == ["coverage"]
    assert "select" not in offered("from |")


def test_columns_of_the_named_table_come_first(offered):
    """The columns of the tables named anywhere in the statement, those of an alias behind its dot alone."""
    assert offered("select server_p| from hops") == ["server_pod"]
    assert offered("select h.link| from hops as h") == ["link"]
    assert offered("select hops.attem| from hops") == ["attempt", "attempts"]


def test_the_language_is_offered_too(offered):
    """Keywords and functions, and the commands with their arguments."""
    assert "quantile_cont" in offered("select quantile_c|")
    assert "group" in offered("select 1 from hops gro|")
    assert offered(".des|") == [".describe"]
    assert offered(".describe error|") == ["error_rates"]
    assert offered(".ask s|") == ["slowest_routes"]
    assert offered(".format j|") == ["json", "jsonl"]


@pytest.mark.parametrize("text", ["", "  ", ".tables", "select 1;", "select 1; -- done", "select ';';"])
def test_enter_ends_what_is_complete(text):
    """A command, nothing, or a statement with its semicolon."""
    assert is_complete(text)


@pytest.mark.parametrize("text", ["select 1", "select ';", "select 1; select", "-- ;", "/* ;"])
def test_enter_goes_on_in_what_is_not(text):
    """Anything else goes on in the next line."""
    assert not is_complete(text)
