"""docs/tables.md is what the models' files and columns.csv say; `python -m tests.test_tables` writes it afresh."""

import tempfile
from pathlib import Path

from pipeline.lake.layout import create_lake
from pipeline.query.models import INTERNAL, Model
from pipeline.query.session import Session, open_session
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "tables.md"

HEAD = """# Tables

What people ask: every table that a query can name, what a row of it is, and what each column means. `meshlog shell`
says the same with `.tables` and `.describe TABLE`. A key tells the rows of a table apart, null being a value like any
other. Times are UTC in the lake and shown in `--tz`; `_ms` are milliseconds, a `_rate` or `_share` goes from 0 to 1.
Beside these, `causes`, `rules` and `response_flags` hold what meshlog knows of each cause, rule and flag: the files of
[`sql/seeds`](../sql/seeds).

Written by `python -m tests.test_tables` from the files under [`sql/`](../sql) and `sql/columns.csv`.

"""


def shown(model: Model) -> bool:
    """Say whether a model is one that people ask: not a step between two others."""
    return not model.is_step and model.name not in INTERNAL


def page() -> str:
    """Write every table of an empty lake: types and meanings are the same in any."""
    with tempfile.TemporaryDirectory() as folder:
        create_lake(Path(folder) / "lake")
        with open_session(Path(folder) / "lake") as session:
            models = [model for model in session.models.values() if shown(model)]
            index = "".join(f"- [`{model.name}`](#{model.name}): {model.grain}\n" for model in models)
            return HEAD + index + "".join(section(session, model) for model in models)


def section(session: Session, model: Model) -> str:
    """Write one table: its grain, what else its file says, key, and columns."""
    notes = "".join(f" {line.removeprefix('-- ')}" for line in comments(model)[2:])
    key = ", ".join(f"`{column}`" for column in model.key)
    file = f"sql/{model.layer}/{model.name}.sql"
    rows = "".join(f"| `{name}` | {kind} | {cell(meaning)} |\n" for name, kind, meaning in session.columns(model.name))
    return (
        f"\n## {model.name}\n\n{model.grain[0].upper()}{model.grain[1:]}.{notes}\n\n"
        f"Key: {key}. SQL: [`{file}`](../{file})\n\n| column | type | meaning |\n|---|---|---|\n{rows}"
    )


def comments(model: Model) -> list[str]:
    """Return the comment that opens a model's file."""
    lines = model.sql.splitlines()
    return lines[: next(number for number, line in enumerate(lines) if not line.startswith("--"))]


def cell(text: str) -> str:
    """Let nothing in a meaning end a cell or begin a tag."""
    return text.replace("|", r"\|").replace("<", "&lt;")


def test_the_page_is_current():
    """A column that was added, renamed or explained anew is in docs/tables.md: `python -m tests.test_tables`."""
    assert PAGE.read_text() == page()


def test_the_page_has_every_table_that_people_ask():
    """Each model has its section, but for the steps between two others; no meaning breaks out of its row."""
    text = PAGE.read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]

    assert all(row.replace(r"\|", "").count("|") == 4 for row in rows)
    for folder in ("staging", "marts"):
        for path in (ROOT / "sql" / folder).glob("*.sql"):
            assert (f"\n## {path.stem}\n" in text) == (path.stem not in INTERNAL)


if __name__ == "__main__":
    PAGE.write_text(page())
