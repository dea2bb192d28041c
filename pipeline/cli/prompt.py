"""The shell's loop: reads statements from a terminal or a pipe, and prints answers.

A failing statement is told and the prompt stays; in a pipe the first one ends the run, as in any script.
"""

import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline.cli.options import FORMATS, answer, as_seen, has_colour, terminal_width
from pipeline.errors import MeshlogError, UsageError
from pipeline.query.models import table_named
from pipeline.query.questions import load_questions, question_lines, question_named, values
from pipeline.query.session import Session
from pipeline.query.spoken import folded
from pipeline.query.statements import says_something, split_statements
from pipeline.text import visible

HELP = {
    ".tables": "the tables, and what a row of each is",
    ".describe TABLE": "a table's columns, with types and meanings",
    ".questions": "the questions that have a name",
    ".ask NAME [PARAMETER=VALUE]...": "answer one of them",
    ".format FORMAT": f"how answers are written: {', '.join(FORMATS[:-1])}",
    ".timing on|off": "whether the time of each answer is told",
    ".pager on|off": "whether an answer longer than the screen goes through $PAGER",
    ".help": "this text",
    ".quit": "leave (also Ctrl-D)",
}


@dataclass
class Shell:
    """One shell: its session, the user's own folder, and what the dot commands set."""

    session: Session
    own: Path | None
    format: str = "table"
    has_timing: bool = True
    has_pager: bool = True
    answered_at: float = 0.0
    """When the last answer was there, by `time.perf_counter`, before anybody read it in a pager."""


def run_prompt(session: Session, own: Path | None) -> None:
    """Answer statements until the input ends. Raises `MeshlogError` where stdin is a pipe and a statement fails."""
    shell = Shell(session, own)
    if sys.stdin.isatty():
        from pipeline.cli.editing import typed

        click.echo("meshlog shell: a statement ends with ;  .help says more", err=True)
        for statement in statements(typed(session, list(load_questions(own)))):
            if not _try(shell, statement):
                return
    else:
        for statement in statements(sys.stdin):
            if not _obey(shell, statement):
                return


def statements(texts: Iterable[str]) -> Iterator[str]:
    """Yield each statement when its semicolon is read, and each line with a dot first where a statement may begin."""
    pending = ""
    for text in texts:
        if text.lstrip().startswith(".") and not says_something(pending):
            pending = ""
            yield text.strip()
            continue
        ended, pending = split_statements(pending + text)
        yield from ended
    if says_something(pending):
        yield pending.strip()


def _try(shell: Shell, statement: str) -> bool:
    """Answer one statement of a person at a terminal; say whether to go on."""
    began = time.perf_counter()
    try:
        if not _obey(shell, statement):
            return False
        if shell.has_timing:
            took = f"{max(shell.answered_at - began, 0):.3f} s"
            click.secho(took, dim=has_colour() or None, reset=has_colour(), err=True)
    except MeshlogError as error:
        click.echo("\n".join(visible(line) for line in str(error).splitlines()), err=True)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
    return True


def _obey(shell: Shell, statement: str) -> bool:
    """Answer one statement or command; say whether to go on."""
    if not statement.startswith("."):
        _answer(shell, statement)
        return True
    try:
        command, *arguments = shlex.split(statement.rstrip("; "))
    except ValueError as error:
        raise UsageError(f"{statement}: {error}") from error
    if command in (".quit", ".exit"):
        return False
    _show("".join(f"{line}\n" for line in _lines(shell, command, arguments)), shell)
    return True


def _lines(shell: Shell, command: str, arguments: list[str]) -> Iterable[str]:
    """Carry out a command; return the lines that it says."""
    width = terminal_width()
    match command, arguments:
        case ".help", []:
            return [f"{name:<32}{meaning}" for name, meaning in HELP.items()] + ["Anything else is SQL."]
        case ".tables", []:
            return _tables(shell.session, width)
        case ".describe", [table]:
            return _columns(shell.session, table_named(table, shell.session.tables), width)
        case ".questions", []:
            return question_lines(load_questions(shell.own), width)
        case ".ask", [name, *typed]:
            question = question_named(name, load_questions(shell.own))
            _answer(shell, question.sql, values(shell.session, question, dict(map(_pair, typed))))
        case ".format", [kind] if kind in FORMATS[:-1]:
            shell.format = kind
        case ".timing", [("on" | "off") as state]:
            shell.has_timing = state == "on"
        case ".pager", [("on" | "off") as state]:
            shell.has_pager = state == "on"
        case _:
            raise UsageError(_remedy(command))
    return []


def _remedy(command: str) -> str:
    for form, meaning in HELP.items():
        if form.split()[0] == command:
            return f"write {form}: {meaning}"
    return f"{visible(command)} is no command. Known are {', '.join(form.split()[0] for form in HELP)}"


def _pair(typed: str) -> tuple[str, str]:
    name, equals, value = typed.lstrip("-").partition("=")
    if not equals:
        raise UsageError(f"{visible(typed)}: write PARAMETER=VALUE")
    return name.replace("-", "_"), value


def _tables(session: Session, width: int) -> Iterator[str]:
    """List the tables, the mesh's configuration behind what the logs tell, and the steps on the way to them last."""
    tables = [name for name in session.tables if not session.models[name].is_step]
    steps = [name for name in session.tables if session.models[name].is_step]
    room = max(map(len, tables)) + 2
    for name in sorted(tables, key=lambda name: name.startswith("mesh_")):
        yield from (line.text for line in folded(f"{name:<{room}}", visible(session.models[name].grain), width))
    yield ""
    yield from (line.text for line in folded("Steps on the way to these: ", ", ".join(steps), width))


def _columns(session: Session, table: str, width: int) -> Iterator[str]:
    columns = session.columns(table)
    room = max(len(name) for name, _, _ in columns) + 2
    for name, kind, meaning in columns:
        yield from (line.text for line in folded(f"{name:<{room}}", visible(f"{kind}: {meaning}"), width))


def _answer(shell: Shell, query: str, parameters: Mapping[str, Any] | None = None) -> None:
    if sys.stdout.isatty():
        _show(as_seen(shell.session, query, shell.format, parameters), shell)
    else:
        answer(shell.session, query, shell.format, None, parameters)
        shell.answered_at = time.perf_counter()


def _show(text: str, shell: Shell) -> None:
    """Print a text, through the pager where it is longer than the screen."""
    import shutil

    shell.answered_at = time.perf_counter()
    is_long = text.count("\n") >= shutil.get_terminal_size().lines
    if is_long and shell.has_pager and sys.stdin.isatty() and sys.stdout.isatty():
        click.echo_via_pager(text.removesuffix("\n"), color=has_colour())
    else:
        click.echo(text, nl=False, color=has_colour())
