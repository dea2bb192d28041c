"""Asks the questions of `sql/questions`: each answer keeps the SQL and the command that give it, for a page to show."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.query.models import question
from pipeline.query.session import Session, Window
from pipeline.report.text import pasted


@dataclass(frozen=True)
class Answer:
    """The rows that answer one question, the SQL that gave them, ready to be pasted, and the command's flags."""

    name: str
    sql: str
    rows: list[dict[str, Any]]
    flags: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        """How many rows there were before the limit; questions with a limit count them in `found`."""
        return int(self.rows[0].get("found", len(self.rows))) if self.rows else 0

    @property
    def meaning(self) -> str:
        """What the question asks: the first line of its file."""
        return self.sql.split("\n", 1)[0].removeprefix("-- ")

    @property
    def command(self) -> str:
        """What a shell runs to get the same rows."""
        return f"meshlog sql - {shlex.join(self.flags)} <<'SQL'\n{self.sql}\nSQL"

    def also(self, query: str) -> str:
        """Return the command that asks something else of the same lake and window."""
        return " ".join(filter(None, ("meshlog sql", shlex.join(self.flags), f'"{query}"')))

    def beside(self, *words: str) -> str:
        """Return the command of another verb for the same lake and window."""
        return shlex.join(("meshlog", *words, *self.flags))


def ask(session: Session, name: str, flags: tuple[str, ...] = (), **parameters: Any) -> Answer:
    """Run `sql/questions/NAME.sql` with its parameters; `flags` are `flags_of` the session. Raises `QueryError`."""
    sql = question(name)
    return Answer(name, pasted(sql, parameters), session.rows(sql, parameters), flags)


def flags_of(root: Path, window: Window, timezone: str) -> tuple[str, ...]:
    """Return the flags with which `meshlog sql` opens the same lake, window and time zone."""
    ends = (("--since", window.since), ("--until", window.until))
    times = [(flag, moment.isoformat().replace("+00:00", "Z")) for flag, moment in ends if moment]
    zone = [("--tz", timezone)] if timezone != "UTC" else []
    return tuple(word for pair in (("--lake", str(root)), *times, *zone) for word in pair)
