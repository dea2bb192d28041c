"""Asks the questions of `sql/incident`, which build on each other: the rows of one become a table that others read.

Every answer keeps a query that needs no such table: what it builds on stands in it as its first steps. So whatever a
page says can be asked again of the lake alone, by the command printed beside it.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from pipeline.assets import assets
from pipeline.query.models import question
from pipeline.query.session import Session
from pipeline.query.statements import named_in
from pipeline.report.questions import Answer
from pipeline.report.text import pasted


@dataclass
class Evidence:
    """A session whose answers become tables; `flags` are those with which `meshlog sql` opens the same session."""

    session: Session
    flags: tuple[str, ...] = ()
    kept: dict[str, str] = field(default_factory=dict)

    def keep(self, name: str, **parameters: Any) -> None:
        """Make a table `incident_NAME` of the rows that answer `sql/incident/NAME.sql`. Raises `QueryError`."""
        sql = self.query(name, **parameters)
        self.session.keep(f"incident_{name}", sql)
        self.kept[f"incident_{name}"] = sql

    def query(self, name: str, **parameters: Any) -> str:
        """Return the SQL of a question of incidents, else of a general one, to be run in this session."""
        own = assets("sql") / "incident" / f"{name}.sql"
        return pasted(own.read_text() if own.exists() else question(name), parameters)

    def ask(self, name: str, **parameters: Any) -> Answer:
        """Answer a question that may read kept tables. Raises `QueryError`."""
        sql = self.query(name, **parameters)
        return Answer(name, self._standing_alone(sql), self.session.rows(sql), self.flags)

    def kept_answer(self, name: str) -> Answer:
        """Return what was kept under a name as an answer."""
        table = f"incident_{name}"
        return Answer(name, self._standing_alone(self.kept[table]), self.session.rows(f"from {table}"), self.flags)

    def _standing_alone(self, sql: str) -> str:
        """Put the questions that a query reads in front of its own steps."""
        needed: set[str] = set()
        pending = [sql]
        while pending:
            found = named_in(self.session.connection, pending.pop(), self.kept) - needed
            needed |= found
            pending += [self.kept[name] for name in found]
        steps = [f"{name} as (\n{_indented(self.kept[name])}\n),\n\n" for name in self.kept if name in needed]
        return re.sub(r"^with\n\n", lambda _: "with\n\n" + "".join(steps), sql, count=1, flags=re.MULTILINE)


def _indented(sql: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in sql.splitlines())
