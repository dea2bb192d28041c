"""A user's own folder of models and questions, which join those of the product under the same rules.

    DIR/*.sql              models: grain line, key line, one bare select; the stem is the table's name
    DIR/questions/*.sql    questions: see `pipeline.query.questions`
    DIR/columns.csv        what columns mean, as table,column,meaning (optional)

A file that breaks a rule, or takes a name of the product, is refused with its line and what to do.
"""

import re
from collections.abc import Collection
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.query.models import Model, load_comments, text_of

LAYER = "own"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KEY = re.compile(r"-- key: \w+(, *\w+)*")
_LINE = re.compile(r"\bLINE (\d+):")


def own_models(folder: Path, taken: Collection[str]) -> dict[str, Model]:
    """Read the models of a folder by name; names in `taken` are the product's. Raises `UsageError`."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder. Name one with .sql files by --models or MESHLOG_MODELS")
    return {path.stem: _model(path, taken) for path in sorted(folder.glob("*.sql"))}


def own_comments(folder: Path) -> dict[tuple[str, str], str]:
    """Read what the columns of the folder's models mean, where it says so. Raises `UsageError`."""
    if not (folder / "columns.csv").exists():
        return {}
    try:
        return load_comments(folder)
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(
            f"{folder / 'columns.csv'}: cannot be read. Its first line is: table,column,meaning"
        ) from error


def located(path: Path, problem: str) -> str:
    """Put the file, and the line that DuckDB's message names, before the message."""
    line = _LINE.search(problem)
    return f"{path}:{line[1] if line else 1}: {problem}"


def _model(path: Path, taken: Collection[str]) -> Model:
    if not _NAME.fullmatch(path.stem):
        raise UsageError(f"{path}: a table cannot be called so. Name the file in small letters, like team_errors.sql")
    if path.stem in taken:
        raise UsageError(f"{path}:1: {path.stem} is a table of meshlog itself. Give the file another name")
    sql = text_of(path)
    grain, key, *_ = [*sql.splitlines(), "", ""]
    if not grain.startswith("-- one row per "):
        raise UsageError(f"{path}:1: does not say what a row is. Begin with a line: -- one row per service and minute")
    if not _KEY.fullmatch(key.rstrip()):
        raise UsageError(f"{path}:2: does not name the key. Write as second line: -- key: service, minute_at")
    columns = tuple(part.strip() for part in key.removeprefix("-- key:").split(","))
    return Model(path.stem, LAYER, grain.removeprefix("-- "), columns, sql, path)
