"""Writes a report's files so that a reader meets the old report or the new one, never half of a file."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

from pipeline.errors import MeshlogError
from pipeline.query.session import Session

TablesFormat = Literal["parquet", "csv", "json"]

_COPY_OPTIONS = {"parquet": "format parquet, compression zstd", "csv": "format csv, header true", "json": "format json"}


def put(
    session: Session, pages: Mapping[str, str], tables: Sequence[str], out: Path, tables_format: TablesFormat | None
) -> None:
    """Write everything beside its place, then move it there, the pages last and in their order.

    A failed run changes nothing in `out`. Raises `MeshlogError` where `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        aside = Path(mkdtemp(prefix=".report-", dir=out))
        try:
            for name, text in pages.items():
                (aside / name).write_text(text, encoding="utf-8")
            if tables_format:
                _write_tables(session, tables, aside, tables_format)
                _move_tables(tables, aside, out / "tables", tables_format)
            for name in pages:
                (aside / name).replace(out / name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise MeshlogError(f"{out}: cannot be written: {error.strerror}. Name another folder") from error


def _write_tables(session: Session, tables: Sequence[str], folder: Path, tables_format: TablesFormat) -> None:
    for table in tables:
        key = ", ".join(session.models[table].key)
        session.copy(f"from {table} order by {key}", folder / f"{table}.{tables_format}", _COPY_OPTIONS[tables_format])


def _move_tables(tables: Sequence[str], aside: Path, folder: Path, tables_format: TablesFormat) -> None:
    """Put the tables in place, and take away those that another run wrote in another format."""
    folder.mkdir(exist_ok=True)
    for table in tables:
        (aside / f"{table}.{tables_format}").replace(folder / f"{table}.{tables_format}")
        for other in _COPY_OPTIONS.keys() - {tables_format}:
            (folder / f"{table}.{other}").unlink(missing_ok=True)
