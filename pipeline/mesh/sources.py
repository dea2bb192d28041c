"""Which files a snapshot is read from: expands paths, folders, globs and `-`, and reads each as text.

A snapshot stands at one time: the one that the user names, else that of the newest file; standard input is now.
"""

import glob
import gzip
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import InputError
from pipeline.mesh.shapes import Text

STDIN = "-"
SUFFIXES = frozenset({".yaml", ".yml", ".json", ".txt", ""})
"""Suffixes of files that are read where a folder is named, also with .gz behind them."""

_GZIP = b"\x1f\x8b"


def expand(paths: Sequence[str]) -> list[str]:
    """Turn paths, folders, globs and `-` into files, each once. Raises `InputError` where nothing is there."""
    found: dict[str, str] = {}
    for path in paths:
        for file in _expand_one(path):
            found.setdefault(STDIN if file == STDIN else os.path.realpath(file), file)
    return list(found.values())


def _expand_one(path: str) -> Iterator[str]:
    if path == STDIN:
        yield STDIN
    elif Path(path).is_dir():
        yield from _folder(path)
    elif not os.path.lexists(path) and glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not matches:
            raise InputError(f"{path}: no file matches. Check the pattern, and quote it for the shell")
        for match in matches:
            yield from _folder(match) if Path(match).is_dir() else (match,)
    else:
        yield path


def _folder(path: str) -> Iterator[str]:
    files = [
        file
        for file in sorted(Path(path).rglob("*"))
        if file.is_file() and _suffix(file) in SUFFIXES and not _is_hidden(file.relative_to(path))
    ]
    if not files:
        raise InputError(f"{path}: the folder holds no file ending in .yaml, .yml, .json or .txt. Name another")
    yield from (str(file) for file in files)


def _suffix(file: Path) -> str:
    suffix = file.suffix.lower()
    return Path(file.stem).suffix.lower() if suffix == ".gz" else suffix


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read(path: str) -> Text:
    """Read one file, or standard input, whole, gzipped or not. Raises `InputError` where it is no text."""
    try:
        data = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file. Check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}. Check its rights") from error
    name = "stdin" if path == STDIN else path
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{name}: cannot be decompressed: {error}. The file may be cut short") from error
    try:
        return Text(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{name}:{line}: is no UTF-8 text. Give what kubectl or istioctl wrote, plain or gzipped"
        ) from error


def newest(paths: Sequence[str]) -> datetime:
    """Return when the newest of the files was written; now where standard input is among them."""
    if STDIN in paths:
        return datetime.now(UTC)
    try:
        return max(datetime.fromtimestamp(Path(path).stat().st_mtime, UTC) for path in paths)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}. Check the path") from error
