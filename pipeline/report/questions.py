"""Asks the questions of `sql/questions`: each answer keeps the SQL that it came from, for the page to show."""

from dataclasses import dataclass
from typing import Any

from pipeline.query.models import question
from pipeline.query.session import Session
from pipeline.report.text import pasted


@dataclass(frozen=True)
class Answer:
    """The rows that answer one question, and the SQL that gave them, ready to be pasted."""

    name: str
    sql: str
    rows: list[dict[str, Any]]

    @property
    def found(self) -> int:
        """How many rows there were before the limit; questions with a limit count them in `found`."""
        return int(self.rows[0]["found"]) if self.rows else 0

    @property
    def meaning(self) -> str:
        """What the question asks: the first line of its file."""
        return self.sql.split("\n", 1)[0].removeprefix("-- ")


def ask(session: Session, name: str, **parameters: Any) -> Answer:
    """Run `sql/questions/NAME.sql` with its parameters. Raises `QueryError`."""
    sql = question(name)
    return Answer(name, pasted(sql, parameters), session.rows(sql, parameters))
