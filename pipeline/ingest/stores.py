"""Objects of an object store, listed and opened through PyArrow's file systems, which find the credentials themselves.

A URL is written as PyArrow takes it: `s3://BUCKET/PREFIX?region=eu-west-1`, `gs://`, `abfss://`; `endpoint_override`
and `scheme` lead to another server. An object is named by its URL without user and query, which may hold secrets.
"""

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from pipeline.errors import InputError, UsageError, why
from pipeline.ingest.shapes import Source

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")

_READ_BYTES = 8 << 20
"""Bytes that one request asks for: a store answers small reads as slowly as large ones."""


def is_url(path: str) -> bool:
    """Say whether a path names something in an object store, or in a store that is not known."""
    return re.match(r"[a-z][a-z0-9+.-]*://", path) is not None


def expand(url: str) -> Iterator[tuple[Source, str]]:
    """Yield the objects at a URL, below a prefix, or that match `*` and `**`; each with its key from there on.

    The key is empty for an object that is named itself. Raises `UsageError` where the URL cannot be understood,
    `InputError` where the store refuses or has nothing there.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(f"{without_secrets(url)}: meshlog knows no such store. Known are {known}; pipe others in")
    try:
        yield from _expand(url, scheme)
    except FileNotFoundError as error:
        raise InputError(f"{without_secrets(url)}: there is no such object or prefix. Check the URL") from error
    except ValueError as error:
        raise UsageError(f"{without_secrets(url)}: is no URL of a store: {error}") from error
    except OSError as error:
        remedy = "Check the credentials, the region and the endpoint"
        raise InputError(f"{without_secrets(url)}: the store refuses: {why(error)}. {remedy}") from error


def _expand(url: str, scheme: str) -> Iterator[tuple[Source, str]]:
    from pyarrow.fs import FileSelector, FileSystem, FileType

    store, path = FileSystem.from_uri(url)
    pattern = re.compile(re.escape(path).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*"))
    folder = path.partition("*")[0].rpartition("/")[0] if "*" in path else path
    if "*" not in path and (info := store.get_file_info(path)).type == FileType.File:
        yield _source(store, scheme, info, is_named=True), ""
        return
    listed = [info for info in store.get_file_info(FileSelector(folder, recursive=True)) if info.type == FileType.File]
    found = [info for info in listed if pattern.fullmatch(info.path)] if "*" in path else listed
    if "*" in path and not found:
        raise InputError(f"{without_secrets(url)}: no object matches. Check the pattern")
    for info in sorted(found, key=lambda info: info.path):
        yield _source(store, scheme, info, is_named="*" in path), info.path.removeprefix(folder + "/")


def _source(store: "FileSystem", scheme: str, info: "FileInfo", *, is_named: bool) -> Source:
    def opened() -> BinaryIO:
        return io.BufferedReader(store.open_input_file(info.path), _READ_BYTES)

    name = f"{scheme}://{info.path}"
    return Source(name, name, info.size, is_named, open=opened)


def without_secrets(url: str) -> str:
    """Return a URL without the user, the password and the query that it may hold."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
