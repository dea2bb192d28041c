"""The shell's loop: reads statements from a terminal or a pipe, and prints answers.

A failing statement is told and the prompt stays; in a pipe the first one ends the run, as in any script.
"""

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.cli.options import answer
from pipeline.errors import MeshlogError, QueryError
from pipeline.query.session import Session

HELP = """.tables            the tables and what a row of each is
.describe TABLE    a table's columns, types and meanings
.help              this text
.quit              leave (also Ctrl-D)
Anything else is SQL and ends with a semicolon."""


def run_prompt(session: Session) -> None:
    """Answer statements until the input ends. Raises `QueryError` where stdin is a pipe and a statement fails."""
    if not sys.stdin.isatty():
        for statement in _statements(sys.stdin):
            _obey(session, statement)
        return
    for statement in _statements(_typed(session)):
        began = time.perf_counter()
        try:
            if not _obey(session, statement):
                return
            click.secho(f"{time.perf_counter() - began:.3f} s", dim=True, err=True)
        except MeshlogError as error:
            click.echo(str(error), err=True)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)


def _obey(session: Session, statement: str) -> bool:
    """Answer one statement; say whether to go on."""
    command, _, argument = statement.rstrip(";").partition(" ")
    if command in (".quit", ".exit"):
        return False
    if command == ".help":
        click.echo(HELP)
    elif command == ".tables":
        for name in session.tables:
            click.echo(f"{name:<20} {session.models[name].grain}")
    elif command == ".describe":
        for name, kind, meaning in session.columns(_known(session, argument.strip())):
            click.echo(f"{name:<36} {kind:<26} {meaning}")
    elif command.startswith("."):
        raise QueryError(f"{command} is no command. Known are .tables, .describe TABLE, .help and .quit")
    else:
        answer(session, statement, None, None)
    return True


def _known(session: Session, table: str) -> str:
    if table not in session.tables:
        raise QueryError(f"{table or '(nothing)'} is no table. Known are {', '.join(session.tables)}")
    return table


def _statements(lines: Iterator[str]) -> Iterator[str]:
    """Join lines up to a semicolon; a line that starts with a dot stands alone."""
    statement = ""
    for line in lines:
        text = line.strip()
        if not statement and (not text or text.startswith(".")):
            if text:
                yield text
            continue
        statement += line if line.endswith("\n") else line + "\n"
        if text.endswith(";"):
            yield statement.strip()
            statement = ""
    if statement.strip():
        yield statement.strip()


def _typed(session: Session) -> Iterator[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.lexers import PygmentsLexer
    from pygments.lexers.sql import SqlLexer

    words = [*session.tables, *{column for _, column in session.comments}, ".tables", ".describe", ".help", ".quit"]
    prompt: PromptSession[str] = PromptSession(
        history=FileHistory(str(_history())),
        lexer=None if os.environ.get("NO_COLOR") else PygmentsLexer(SqlLexer),
        completer=WordCompleter(sorted(words), ignore_case=True, pattern=re.compile(r"[.\w]+")),
        auto_suggest=AutoSuggestFromHistory(),
        complete_while_typing=False,
    )
    click.echo("meshlog shell: statements end with ;  .help for more", err=True)
    while True:
        try:
            yield prompt.prompt("meshlog> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _history() -> Path:
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "meshlog"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "history"
