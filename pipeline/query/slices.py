"""The files of access logs that a session reads, and how many of them are joined at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, groupby
from math import ceil

SLICE_BYTES = 144 << 20
"""Bytes of Parquet, some four and a half million lines, of which wide rows are made at once, about: joining more would
not fit into memory, and takes six times as long by way of temporary files."""


@dataclass(frozen=True)
class File:
    """A file of access logs that a session reads."""

    hour: datetime
    size_bytes: int


def slices(files: Sequence[File]) -> Iterator[tuple[int, int]]:
    """Yield the first file of each slice and the one behind its last: few slices, of about one size."""
    total = sum(file.size_bytes for file in files)
    count = ceil(total / SLICE_BYTES)
    before = accumulate((file.size_bytes for file in files), initial=0)
    slice_of = [held * count // total for held, _ in zip(before, files, strict=False)]
    for _, members in groupby(range(len(files)), slice_of.__getitem__):
        first, *others = members
        yield first, (others or [first])[-1] + 1
