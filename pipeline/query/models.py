"""The SQL models as files: their names, grains, keys and comments, and the order in which they build on each other.

A model is one bare `select`; its stem is the name that people type. Its first two lines state grain and key:

    -- one row per minute, direction and cluster
    -- key: minute_at, direction, upstream_cluster
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pipeline.assets import assets
from pipeline.errors import UsageError
from pipeline.text import visible

_TABLE = r"[\w\".]+(?:\s+(?:as\s+)?(?!join\b)\w+)?"
_TABLES = re.compile(rf"(?i)\b(?:from|join)\s+({_TABLE}(?:\s*,\s*{_TABLE})*)")
"""The tables that a model names, with aliases, in quotes and in lists, too."""

LAYERS = ("staging", "intermediate", "marts")
INTERNAL = ("access_logs_around", "calls_in_window", "fitting_pairs", "numbered_hops", "numbered_spans")
"""Models that only other models and questions read."""

VIEWS = ("calls_in_window", "fitting_pairs", "numbered_hops", "numbered_spans", "hops", "trace_spans")
"""Models above staging that are cheap to put together anew: their many columns written out again would cost more."""

KEPT = ("mesh_snapshots",)
"""Staging models that many others read, and that look at every line themselves."""

WIDE = ("calls", "trace_places", "traces")
"""Models of so many rows and columns that a Parquet file takes less time than a table, down to two thirds."""

SLICED = ("calls",)
"""Those of them that are made of some lines at a time, which variables say."""


@dataclass(frozen=True)
class Model:
    """One model file."""

    name: str
    layer: str
    grain: str
    key: tuple[str, ...]
    sql: str
    path: Path

    @property
    def kind(self) -> str:
        """`view` or `table`, as the session makes it."""
        is_view = self.name not in KEPT if self.layer == "staging" else self.name in VIEWS
        return "view" if is_view else "table"

    @property
    def is_step(self) -> bool:
        """Whether it is only on the way to other tables: hops is what people ask, though marts are made of it."""
        return self.layer == "intermediate" and self.name != "hops"


def load_models(folder: Path | None = None) -> dict[str, Model]:
    """Read every model below `folder`, the product's own where it is None, by name."""
    folder = folder or assets("sql")
    models = [_read(path, layer) for layer in LAYERS for path in sorted((folder / layer).glob("*.sql"))]
    return {model.name: model for model in models}


def load_comments(folder: Path | None = None) -> dict[tuple[str, str], str]:
    """Read the meaning of each column by (table, column); the table "" stands for every table."""
    with ((folder or assets("sql")) / "columns.csv").open(newline="") as file:
        return {(row["table"], row["column"]): row["meaning"] for row in csv.DictReader(file)}


def text_of(path: Path) -> str:
    """Return the text of an SQL file. Raises `UsageError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from error


def question(name: str, folder: Path | None = None) -> str:
    """Return the SQL of a question."""
    return ((folder or assets("sql")) / "questions" / f"{name}.sql").read_text()


def seeds(folder: Path | None = None) -> dict[str, Path]:
    """Return the seed tables' CSV files by name."""
    return {path.stem: path for path in sorted(((folder or assets("sql")) / "seeds").glob("*.csv"))}


def table_named(name: str, tables: Iterable[str]) -> str:
    """Return `name` where it is one of `tables`. Raises `UsageError` with the names that are near."""
    known = list(tables)
    if name in known:
        return name
    near = get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(near)}?" if near else ".tables in meshlog shell lists them"
    raise UsageError(f"{visible(name) or '(nothing)'} is no table. {hint}")


def in_order(models: dict[str, Model], wanted: Iterable[str]) -> list[Model]:
    """Return the wanted models and all that they build on, each after what it reads.

    Raises `UsageError` where models read one another in a circle.
    """
    needs: dict[str, set[str]] = {}
    pending = list(wanted)
    while pending:
        name = pending.pop()
        if name not in needs:
            needs[name] = reads(models[name], models)
            pending.extend(needs[name])
    try:
        return [models[name] for name in TopologicalSorter(needs).static_order()]
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise UsageError(f"{models[error.args[1][0]].path}:1: models read one another in a circle: {circle}") from error


def reads(model: Model, models: dict[str, Model]) -> set[str]:
    """Name the models that a model reads itself."""
    return {name for name in _after_from(model.sql) if name in models and name != model.name}


@cache
def _after_from(sql: str) -> set[str]:
    """The words that stand where tables are named; every query asks it of all that it builds on."""
    lists = _TABLES.findall(re.sub(r"--[^\n]*", "", sql))
    return {word for names in lists for word in re.findall(r"\w+", names.lower())}


def _read(path: Path, layer: str) -> Model:
    sql = path.read_text()
    grain, key = sql.splitlines()[:2]
    return Model(
        name=path.stem,
        layer=layer,
        grain=grain.removeprefix("-- "),
        key=tuple(part.strip() for part in key.removeprefix("-- key:").split(",")),
        sql=sql,
        path=path,
    )
