"""What a person types in the shell: line editing, completion, colours and a history that lasts."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import create_output
from pygments.lexers.sql import SqlLexer

from pipeline.cli.options import FORMATS
from pipeline.query.session import Session
from pipeline.query.statements import says_something, split_statements

COMMANDS = (".tables", ".describe", ".questions", ".ask", ".format", ".timing", ".pager", ".help", ".quit")

_WORD = re.compile(r"\w+$")
_QUALIFIED = re.compile(r"(\w+)\.(\w*)$")
_WANTS_TABLE = re.compile(r"(?i)\b(from|join|describe|summarize)\s+(\w+\s*,\s*)*\w*$")
_NAMED = re.compile(r"(?i)\b(?:from|join)\s+(\w+)(?:\s+(?:as\s+)?(?!join\b|where\b|on\b|using\b)(\w+))?")


def typed(session: Session, questions: list[str]) -> Iterator[str]:
    """Yield what is typed, a whole statement or command at a time, until Ctrl-D; Ctrl-C begins anew.

    The prompt is written to stderr: stdout holds answers alone.
    """
    prompt: PromptSession[str] = PromptSession(
        history=_history(),
        lexer=None if os.environ.get("NO_COLOR") else PygmentsLexer(SqlLexer),
        completer=SqlCompleter(session, questions),
        auto_suggest=AutoSuggestFromHistory(),
        complete_while_typing=False,
        multiline=Condition(lambda: not is_complete(get_app().current_buffer.text)),
        prompt_continuation="     ... ",
        output=create_output(stdout=sys.stderr),
    )
    while True:
        try:
            yield prompt.prompt("meshlog> ") + "\n"
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def is_complete(text: str) -> bool:
    """Say whether Enter ends the input: a command, nothing at all, or statements up to their last semicolon."""
    if text.lstrip().startswith(".") or not text.strip():
        return True
    ended, rest = split_statements(text)
    return bool(ended) and not says_something(rest)


class SqlCompleter(Completer):
    """Completes commands, tables, columns, functions and keywords, by what stands before the cursor."""

    def __init__(self, session: Session, questions: list[str]) -> None:
        self._session = session
        self._arguments = {
            ".describe": session.tables,
            ".ask": questions,
            ".format": list(FORMATS[:-1]),
            ".timing": ["on", "off"],
            ".pager": ["on", "off"],
        }
        self._language: list[str] | None = None

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002
        """Offer the names that can stand at the cursor, tables and columns before the language's own words."""
        before = document.text_before_cursor
        found = _WORD.search(before)
        word = found[0] if found else ""
        if before.lstrip().startswith("."):
            command, space, argument = before.lstrip().partition(" ")
            word, names = (argument, self._arguments.get(command, [])) if space else (command, list(COMMANDS))
        else:
            names = self._names(before, document.text)
        for name in dict.fromkeys(names):
            if name.lower().startswith(word.lower()):
                yield Completion(name, start_position=-len(word))

    def _names(self, before: str, text: str) -> list[str]:
        tables = self._session.tables
        if qualified := _QUALIFIED.search(before):
            called = {alias: name for name, alias in _NAMED.findall(text) if alias}
            return self._columns([called.get(str(qualified[1]), str(qualified[1]))])
        if _WANTS_TABLE.search(before):
            return tables
        return [*self._columns([name for name, _ in _NAMED.findall(text)]), *tables, *self._words()]

    def _columns(self, tables: list[str]) -> list[str]:
        """Return the columns of tables; all that have a meaning where one of them is not built yet."""
        known = self._session.rows("select table_name, column_name from duckdb_columns() where not internal")
        columns = [row["column_name"] for row in known if row["table_name"] in tables]
        if columns and {row["table_name"] for row in known} >= set(tables):
            return columns
        return sorted({column for _, column in self._session.comments})

    def _words(self) -> list[str]:
        if self._language is None:
            rows = self._session.rows("""
                select keyword_name as word, 1 as place from duckdb_keywords()
                union
                select function_name, 2 from duckdb_functions() where regexp_full_match(function_name, '[a-z]\\w+')
                order by place, word
            """)
            self._language = [row["word"] for row in rows]
        return self._language


def _history() -> History:
    """Return the history in the user's state folder; one that lasts for this shell where that cannot be written."""
    try:
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "meshlog"
        file = folder / "history"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except (OSError, RuntimeError):  # a container's user may have no home
        return InMemoryHistory()
    return FileHistory(str(file))
