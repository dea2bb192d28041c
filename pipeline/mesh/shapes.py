"""The shapes that the stages of reading configuration hand to one another."""

from dataclasses import dataclass
from typing import Any

from pipeline.errors import InputError


@dataclass(frozen=True)
class Text:
    """One file's or pipe's whole text."""

    source: str
    text: str


@dataclass(frozen=True)
class Document:
    """One document of a source: what YAML or JSON holds, or a list of printed tables."""

    source: str
    number: int
    """1-based, empty documents not counted."""
    first_line: int
    """1-based, in the source."""
    text: str
    value: Any

    def error(self, what: str, line: int | None = None) -> InputError:
        """Make an error that names this document, and the line (its first where none is given)."""
        return misread(self.source, self.number, self.first_line if line is None else line, what)


def misread(source: str, number: int, line: int, what: str) -> InputError:
    """Make an error that names source, document and line."""
    return InputError(f"{source}: document {number}, line {line}: {what}")


@dataclass(frozen=True)
class Row:
    """One row of a dataset of `columns.MESH`, without the columns that its snapshot and document give it."""

    dataset: str
    kind: str
    """What is counted: an object's kind, or what part of a proxy's configuration it is."""
    values: dict[str, Any]


@dataclass(frozen=True)
class LeftOut:
    """An object or a part of a dump that is not stored, and why."""

    kind: str
    reason: str
