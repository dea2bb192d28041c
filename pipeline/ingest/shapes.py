"""The frozen shapes that the stages of the ingest hand on to one another; no behaviour.

Stages do not import one another, so what travels between them is declared here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import pyarrow as pa

LINE_LIMIT = 1 << 20
"""Bytes of the longest line that is read; a longer one becomes a reject, so that memory stays bounded."""

RAW_LIMIT = 64 << 10
"""Bytes of a reject's line that are kept."""

BLOCK_BYTES = 4 << 20
"""Bytes of text that go through the stages at once."""

ENDING_BYTES = 64 << 10
"""Bytes kept of the end of a line over the limit, by which the ledger knows the place again."""


Odd = Sequence[tuple[int, int, int]]
"""Lines that the scanner leaves: where each begins and ends in what was scanned, and which line it is, from 0."""


@dataclass(frozen=True)
class Source:
    """Something to read: a file, or standard input where `path` is None."""

    name: str
    path: str | None
    size: int | None
    is_named: bool
    """Whether the user named it, rather than a folder holding it."""
    opened: BinaryIO | None = None
    """The file, where it is held open because its path may lead to another one by now."""
    open: Callable[[], BinaryIO] | None = None
    """Opens it, where it is an object of a store; `path` is then its URL."""


@dataclass(frozen=True)
class Block:
    """Whole lines of a source; `offset` and `first_line` (1-based) place it in the decompressed text."""

    data: bytes
    offset: int
    first_line: int
    is_open: bool = False
    """Whether this is a last line that lacks its newline."""
    cut: int = 0
    """For one line over the limit: all its bytes, of which `data` holds the first and `ending` the last."""
    ending: bytes = b""
    is_rest: bool = False
    """Whether this is the rest of a line that was dealt with before: no line of its own."""
    picked: Sequence[int] = ()
    """The numbers of its lines where they are picked from a larger block, and so not one after the other."""

    @property
    def numbers(self) -> Sequence[int]:
        """The 1-based number of each line."""
        return self.picked or range(self.first_line, self.first_line + self.lines)

    @property
    def size(self) -> int:
        """Bytes of text that the block stands for."""
        return self.cut or len(self.data)

    @cached_property
    def lines(self) -> int:
        """Lines that begin in the block."""
        if self.is_rest:
            return 0
        if self.cut or self.is_open:
            return 1
        return self.data.count(b"\n")

    def has(self, lines: int) -> None:
        """Keep how many lines there are, as who took them apart knows it: then they need not be counted."""
        self.__dict__["lines"] = lines


@dataclass(frozen=True)
class Records:
    """What is left of a block's lines without their wrappers: texts, 1-based line numbers, and the bytes as read.

    The three are of one length. `is_open` says that the last record ends where its source ends, so it may be half of
    one; the last `open_bytes` of the source are then that record (0 where it does not stand in one piece).
    """

    texts: Sequence[bytes]
    numbers: Sequence[int]
    raws: Sequence[bytes]
    is_open: bool = False
    open_bytes: int = 0


@dataclass(frozen=True)
class Reject:
    """A line that looks like an access log and cannot be typed."""

    line_number: int
    reason: str
    raw: bytes


@dataclass(frozen=True)
class Parsed:
    """What a parser made of some records: rows in `fields.PARSED`, and what became of the others."""

    rows: pa.Table
    rejects: tuple[tuple[int, str], ...] = ()
    """Position in the records, and the reason."""
    noise: int = 0
    blank: int = 0


@dataclass(frozen=True)
class Context:
    """What is known about every line of a source before it is read."""

    source: str
    pod: str | None = None
    namespace: str | None = None
    node: str | None = None
