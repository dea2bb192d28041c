"""Writes an export's pieces to a file, which appears whole or not at all."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import MeshlogError


def write_pieces(pieces: Iterable[bytes], path: Path) -> None:
    """Write pieces of bytes to `path`. Raises `MeshlogError` where it cannot be written."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(pieces)
        temporary.replace(path)
    except OSError as error:
        raise MeshlogError(f"{path}: cannot be written: {error.strerror}. Choose another file with -o") from error
    finally:
        temporary.unlink(missing_ok=True)
