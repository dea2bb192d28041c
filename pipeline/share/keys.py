"""The key of a share: read from its file, or made there; it is written nowhere else and never shown."""

import os
import secrets
from pathlib import Path

from pipeline.errors import MeshlogError, UsageError

LEAST_BYTES = 16


def read_key(path: Path) -> tuple[bytes, bool]:
    """Return the key in a file, and whether it was made just now because there was no such file.

    Raises `UsageError` for a key that others can read or that is too short, `MeshlogError` where the file fails.
    """
    try:
        if not path.exists():
            return _made(path), True
        if path.stat().st_mode & 0o077:
            raise UsageError(f"{path}: others can read this key. Take their rights away with: chmod 600 {path}")
        key = path.read_bytes().strip()
    except OSError as error:
        raise MeshlogError(f"{path}: the key cannot be read or made: {error.strerror}. Name another file") from error
    if len(key) < LEAST_BYTES:
        raise UsageError(f"{path}: a key has at least {LEAST_BYTES} bytes. Name a file that is not there, to make one")
    return key, False


def _made(path: Path) -> bytes:
    key = secrets.token_hex(32).encode()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key + b"\n")
    return key
