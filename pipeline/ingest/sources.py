"""Which files an ingest reads: expands paths, folders, globs, URLs and `-`, and checks that each can be opened.

Everything is checked before anything is written, so that a mistyped path never leaves half a night in the lake. A file
that the user names is always read; a folder's hidden files, and those that evidently hold no log, are left out and
named, so that leaving out is never silent. A file is listed once, however many of the paths lead to it.
"""

import errno
import glob
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError, why
from pipeline.ingest import stores
from pipeline.ingest.shapes import Source

STDIN = "-"
STDIN_NAME = "stdin"

_NO_LOGS = """
.md .rst .pdf .html .css .js .py .pyc .sh .go .java .rs .sql .yaml .yml .toml .ini .cfg .xml .csv .parquet .duckdb .db
.sqlite .png .jpg .jpeg .gif .svg .ico .whl .so .o .exe .lock .pem .crt .key .tmp .tar .tgz .zip
"""
NO_LOGS = frozenset(_NO_LOGS.split())
"""Suffixes of files that a folder may hold and that evidently are no logs."""


Tell = Callable[[InputError], None]


@dataclass(frozen=True)
class Expansion:
    """The sources in the order in which they are read, and the files of folders that were left out."""

    sources: tuple[Source, ...]
    skipped: tuple[str, ...]


def expand(paths: Sequence[str | os.PathLike[str]], tell: Tell | None = None) -> Expansion:
    """Turn paths, folders, globs, URLs of object stores and `-` into sources, each file once.

    Raises `InputError` for a path that is missing, cannot be opened or is no regular file, and for a glob that matches
    nothing; with `tell`, it is told instead, and what can be read is returned.
    """
    found: dict[str, Source] = {}
    skipped: dict[str, None] = {}
    for path in paths:
        try:
            for source in _expand_one(os.fspath(path), skipped, tell):
                key = source.name if source.open or not source.path else os.path.realpath(source.path)
                if key not in found or (source.is_named and not found[key].is_named):
                    found[key] = source
        except InputError as error:
            if not tell:
                raise
            tell(error)
    return Expansion(tuple(found.values()), tuple(name for name in skipped if os.path.realpath(name) not in found))


def _expand_one(path: str, skipped: dict[str, None], tell: Tell | None) -> Iterator[Source]:
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("-: standard input is closed. Pipe something in, or name files")
        yield Source(STDIN_NAME, None, None, is_named=True)
    elif stores.is_url(path):
        yield from _stored(path, skipped)
    elif Path(path).is_dir():
        yield from _walk(path, skipped, tell)
    elif not os.path.lexists(path) and glob.has_magic(path):
        yield from _glob(path, skipped, tell)
    else:
        yield _file(path, is_named=True)


def _glob(pattern: str, skipped: dict[str, None], tell: Tell | None) -> Iterator[Source]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        raise InputError(f"{pattern}: no file matches. Check the pattern, and quote it for the shell")
    for match in matches:
        if Path(match).is_dir():
            if "**" not in pattern:
                yield from _walk(match, skipped, tell)
        else:
            yield from _files(match, tell, is_named=True)


def _stored(url: str, skipped: dict[str, None]) -> Iterator[Source]:
    for source, key in stores.expand(url):
        if not source.is_named and (_is_no_log(key) or any(map(_is_hidden, key.split("/")))):
            skipped[source.name] = None
        else:
            yield source


def _walk(folder: str, skipped: dict[str, None], tell: Tell | None) -> Iterator[Source]:
    entered = {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        folders[:] = [name for name in _links_last(parent, folders) if _is_entered_first(parent, name, entered)]
        for name in sorted(names):
            path = Path(parent, name).as_posix()
            if _is_hidden(name) or _is_no_log(name) or _is_no_file(path):
                skipped[path] = None
            else:
                yield from _files(path, tell, is_named=False)


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _is_no_log(name: str) -> bool:
    return Path(name).suffix.lower() in NO_LOGS


def _links_last(parent: str, folders: Iterable[str]) -> list[str]:
    visible = (name for name in folders if not _is_hidden(name))
    return sorted(visible, key=lambda name: (Path(parent, name).is_symlink(), name))


def _is_entered_first(parent: str, name: str, entered: set[str]) -> bool:
    """Say whether a folder was not entered yet, by whatever link; a link may lead to a folder above itself."""
    real = os.path.realpath(Path(parent, name))
    is_new = real not in entered
    entered.add(real)
    return is_new


def _is_no_file(path: str) -> bool:
    """Say whether what a folder holds is a pipe or a socket, or a link that leads nowhere."""
    try:
        return not stat.S_ISREG(Path(path).stat().st_mode)
    except OSError as error:
        return error.errno == errno.ELOOP or (error.errno == errno.ENOENT and os.path.lexists(path))


def _files(path: str, tell: Tell | None, *, is_named: bool) -> Iterator[Source]:
    """Yield the file at a path that was listed, if it is still there and can be read."""
    try:
        yield _file(path, is_named=is_named)
    except InputError as error:
        if not os.path.lexists(path):
            return  # rotated away since it was listed
        if not tell:
            raise
        tell(error)


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: the folder cannot be read: {error.strerror}. Check its rights") from error


def _file(path: str, *, is_named: bool) -> Source:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: is no regular file. Pipe it in instead: cat {path} | meshlog ingest -")
        with Path(path).open("rb"):
            pass
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file. Check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}. Check its rights") from error
    name = Path(os.path.abspath(path)).as_posix()  # noqa: PTH100 - a link keeps the name that tells its pod
    # the lake holds names as text, and a name on a disk need not be UTF-8
    return Source(os.fsencode(name).decode(errors="backslashreplace"), path, status.st_size, is_named)


def opened(source: Source) -> BinaryIO:
    """Open a file, or an object of a store. Raises `InputError`."""
    try:
        return source.open() if source.open else Path(source.path or "").open("rb")
    except OSError as error:
        raise InputError(f"{source.path}: cannot be read: {why(error)}. Check its rights") from error


def total_bytes(sources: Iterable[Source]) -> int | None:
    """Add up the sizes on disk; None where one is not known beforehand."""
    sizes = [source.size for source in sources]
    return None if None in sizes else sum(size for size in sizes if size is not None)
