"""Asks questions that build on each other: the rows of one become a table that the next ones read.

Every answer keeps a query that needs no such table: what it builds on stands in it as its first steps. So whatever a
page says can be asked again of the lake alone, by the command printed beside it.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from pipeline.query.models import named_in, question
from pipeline.query.session import Session
from pipeline.report.questions import Answer
from pipeline.report.text import pasted


@dataclass
class Evidence:
    """A session whose answers become tables; `flags` are those with which `meshlog sql` opens the same session."""

    session: Session
    flags: tuple[str, ...]
    kept: dict[str, str] = field(default_factory=dict)

    def keep(self, name: str, **parameters: Any) -> None:
        """Make a table of the rows that answer `sql/questions/NAME.sql`. Raises `QueryError`."""
        sql = self.query(name, **parameters)
        self.session.keep(name, sql)
        self.kept[name] = sql

    def query(self, name: str, **parameters: Any) -> str:
        """Return a question's SQL, to be run in this session."""
        return pasted(question(name), parameters)

    def ask(self, name: str, **parameters: Any) -> Answer:
        """Answer a question that may read kept tables. Raises `QueryError`."""
        sql = self.query(name, **parameters)
        return Answer(name, self._standing_alone(sql), self.session.rows(sql), self.flags)

    def kept_answer(self, name: str) -> Answer:
        """Return a kept table as an answer."""
        return Answer(name, self._standing_alone(self.kept[name]), self.session.rows(f"from {name}"), self.flags)

    def _standing_alone(self, sql: str) -> str:
        """Put the questions that a query reads in front of its own steps."""
        needed: set[str] = set()
        pending = [sql]
        while pending:
            found = named_in(pending.pop(), self.kept) - needed
            needed |= found
            pending += [self.kept[name] for name in found]
        steps = [f"{name} as (\n{_indented(self.kept[name])}\n),\n\n" for name in self.kept if name in needed]
        return re.sub(r"^with\n\n", lambda _: "with\n\n" + "".join(steps), sql, count=1, flags=re.MULTILINE)


def _indented(sql: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in sql.splitlines())
