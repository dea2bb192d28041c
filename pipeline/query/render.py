"""A query's answer as bytes: table, csv, json, jsonl, md or parquet, every value as DuckDB writes it.

Values come from logs and so from strangers. What a person reads (table, md) shows control and direction characters as
escapes; what a program reads (csv, json, jsonl, parquet) keeps them.
"""

import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import MeshlogError, UsageError
from pipeline.query.session import Session, Texts
from pipeline.text import visible

_COPY_OPTIONS = {
    "csv": "format csv, header",
    "json": "format json, array true",
    "jsonl": "format json",
    "parquet": "format parquet, compression zstd",
}

FORMATS = ("table", "csv", "json", "jsonl", "md", "parquet")

_SUFFIXES = {".txt": "table", ".ndjson": "jsonl", **{f".{name}": name for name in FORMATS[1:]}}


def format_of(chosen: str | None, output: Path | None) -> str:
    """Return the format a user chose, or that a file's suffix tells, else `table`. Raises `UsageError`."""
    if chosen:
        return chosen
    if output is None:
        return "table"
    try:
        return _SUFFIXES[output.suffix]
    except KeyError as error:
        raise UsageError(
            f"{output}: its suffix tells no format. Add --format with one of {', '.join(FORMATS)}"
        ) from error


def write_answer(
    session: Session,
    sql: str,
    to: BinaryIO,
    kind: str,
    *,
    width: int | None = None,
    colour: bool = False,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Run one query and write its answer to `to` in the format `kind`, tables at most `width` columns wide.

    Raises `QueryError`.
    """
    if kind == "table":
        to.write(_as_table(session.texts(sql, parameters), width, colour).encode())
    elif kind == "md":
        to.write(_as_markdown(session.texts(sql, parameters)).encode())
    else:
        with tempfile.TemporaryDirectory(prefix="meshlog-") as folder:
            file = Path(folder) / "answer"
            session.copy(sql, file, _COPY_OPTIONS[kind], parameters)
            with file.open("rb") as answer:
                shutil.copyfileobj(answer, to)


def write_file(session: Session, sql: str, path: Path, kind: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Write one query's answer to a file, which appears whole or not at all. Raises `MeshlogError`, `QueryError`."""
    with replacing(path) as file:
        write_answer(session, sql, file, kind, parameters=parameters)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which becomes `path` once it is whole. Raises `MeshlogError`."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise MeshlogError(f"{path}: cannot be written: {error.strerror}. Choose another file with -o") from error
    finally:
        temporary.unlink(missing_ok=True)


_LEAST = 16
"""Columns of the terminal below which a table's cell is no longer folded: a row is then written as a record."""


def _as_table(texts: Texts, width: int | None, colour: bool) -> str:
    if texts.columns == ["explain_key", "explain_value"]:
        # a plan is a drawing of many lines: a cell would break it
        return "".join(f"{visible(line)}\n" for _, plan in texts.rows for line in (plan or "").splitlines())
    if width is None:
        return _as_columns(texts) + _counted(texts)
    if _least_width(texts) > width:
        return _as_records(texts, width, colour)
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold" if colour else "")
    for name, is_number in zip(texts.columns, texts.is_number, strict=True):
        table.add_column(Text(visible(name)), justify="right" if is_number else "left", overflow="fold")
    for row in texts.rows:
        table.add_row(*(Text("" if value is None else visible(value)) for value in row))
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, no_color=not colour, highlight=False)
    console.print(table)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines()) + _counted(texts)


def _as_columns(texts: Texts) -> str:
    """Write the table as wide as it needs to be, for a pipe, which folds nothing.

    It is what rich draws in a wide terminal, without the milliseconds that rich takes for a row.
    """
    from rich.cells import cell_len

    head = [visible(name) for name in texts.columns]
    rows = [["" if value is None else visible(value) for value in row] for row in texts.rows]
    widths = [max(map(cell_len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        spaced = (
            (cell, " " * (width - cell_len(cell)), is_number)
            for cell, width, is_number in zip(cells, widths, texts.is_number, strict=True)
        )
        return "   ".join(space + cell if is_number else cell + space for cell, space, is_number in spaced).rstrip()

    rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * (sum(widths) + 3 * (len(widths) - 1))
    return "".join(f"{each}\n" for each in (line(head), rule, *map(line, rows)))


def _least_width(texts: Texts) -> int:
    """Return the columns that a table needs with its texts folded as far as they stay readable, its numbers whole."""
    from rich.cells import cell_len

    def least(place: int) -> int:
        longest = max((cell_len(visible(row[place] or "")) for row in texts.rows), default=0)
        return max(longest if texts.is_number[place] else min(longest, _LEAST), cell_len(visible(texts.columns[place])))

    return sum(map(least, range(len(texts.columns)))) + 3 * (len(texts.columns) - 1)


def _as_records(texts: Texts, width: int, colour: bool) -> str:
    """Write a line for each value, under a line for each row: for rows that are wider than the terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=io.StringIO(), width=width)
    names = [visible(name) for name in texts.columns]
    room = min(max(map(len, names)), width // 2) + 2
    written = []
    for number, row in enumerate(texts.rows, 1):
        head = f"row {number} ".ljust(width, "\N{BOX DRAWINGS LIGHT HORIZONTAL}")
        written.append(f"\x1b[1m{head}\x1b[0m\n" if colour else f"{head}\n")
        for name, value in zip(names, row, strict=True):
            folded = Text(visible(value or "")).wrap(console, width - room, overflow="fold")
            written += [f"{'' if line else name:<{room}}{text}".rstrip() + "\n" for line, text in enumerate(folded)]
    return "".join(written) + _counted(texts)


def _counted(texts: Texts) -> str:
    return f"({len(texts.rows)} row{'s' * (len(texts.rows) != 1)})\n"


def _as_markdown(texts: Texts) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |\n"

    def cell(value: str | None) -> str:
        return "" if value is None else visible(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")

    head = line([cell(name) for name in texts.columns])
    rule = line(["---:" if is_number else "---" for is_number in texts.is_number])
    return head + rule + "".join(line([cell(value) for value in row]) for row in texts.rows)
