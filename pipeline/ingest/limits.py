"""How much an ingest holds at once, so that it stays below a given amount of memory.

Measured on lines of about 800 bytes: the libraries and the scanner's tables take about 260 MB whatever the input; a row
more in a batch takes about 3.4 KB of what is left, as three batches are in flight (one fills, two are written).
"""

import re
from dataclasses import dataclass

from pipeline.errors import UsageError

BASE_BYTES = 300 << 20
ROW_BYTES = 3500

LEAST_BYTES = 512_000_000
"""The smallest amount that can be kept to."""

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)


@dataclass(frozen=True)
class Limits:
    """Bytes of text read at once, and what makes a batch."""

    block_bytes: int
    batch_rows: int
    batch_bytes: int


def within(memory: int) -> Limits:
    """Return the limits that keep an ingest below `memory` bytes; never more than it would take by itself."""
    left = max(memory - BASE_BYTES, 8 << 20)
    return Limits(
        block_bytes=min(4 << 20, left // 64),
        batch_rows=min(92_000, left // ROW_BYTES),
        batch_bytes=min(96 << 20, left // 3),
    )


def parse_memory(text: str) -> int:
    """Read `512MB`, `1.5GiB`, `800m`; raises `UsageError` where that is no size, or too little."""
    found = _SIZE.fullmatch(text.strip().lower())
    if not found or found[2] not in _UNITS:
        raise UsageError(f"--memory {text}: is no size. Write it like --memory 512MB")
    size = int(float(found[1]) * _UNITS[found[2]])
    if size < LEAST_BYTES:
        raise UsageError(f"--memory {text}: is too little; an ingest needs {LEAST_BYTES // 10**6} MB or more")
    return size
