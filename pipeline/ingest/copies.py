"""Finds out how far a text that no mark fits is known all the same: a shorter copy, or one that was known and forked.

Two steps. Checkpoints that loads left every MiB or so are compared with the text, as a mark is. From the last one that
fits, lines are compared with the lake's own rows, one by one; reading begins at the first line that is not there. So a
line is left out only where the lake holds its row, and none that differs is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingest.blocks import Broken, Text, push_back, read_fully
from pipeline.ingest.shapes import Block, Reject
from pipeline.lake.layout import Lake, hour_of
from pipeline.lake.ledger import (
    TAIL_BYTES,
    WINDOW_BYTES,
    Checkpoint,
    Ledger,
    Load,
    window_before,
)

COMPARED_BYTES = 8 << 20
"""Text whose lines are compared with rows, at most: more than lies between two checkpoints."""

_TRIES = 4
"""Loads that lines are compared with, where several begin alike."""

Same = Callable[[Load, Block], int]
"""Says how many bytes of a block's beginning are lines that the lake holds as lines of this load's source."""


class Place(NamedTuple):
    """A place in a text up to which it is known: the text after it, what stands before it, the load that says so."""

    text: Text
    tail: bytes
    load: Load


@dataclass(frozen=True)
class _Base:
    offset: int = 0
    lines: int = 0
    is_open: bool = False


def further(reopen: Callable[[], Text], fit: Load | None, beyond: Sequence[Load], same: Same) -> Place | None:
    """Return the furthest place up to which a text is known; None where that is no further than `fit`'s mark.

    `reopen` gives the text from its beginning; `beyond` are loads that begin like it and lead further than `fit`.
    """
    mark = fit.mark if fit else None
    if mark and mark.is_cut:
        return None
    begin = _Base(mark.offset, mark.lines, mark.is_open) if mark else _Base()
    base = _last_checkpoint(reopen(), begin, beyond)
    nearest = [load for load in beyond if load.mark.offset > base.offset][:_TRIES]
    text, tail = _at(reopen(), base.offset)
    got = read_fully(text, COMPARED_BYTES)
    data = got[: got.rfind(b"\n") + 1]
    newline = len(data) - len(data.removeprefix(b"\r\n" if data[:2] == b"\r\n" else b"\n")) if base.is_open else 0
    block = Block(data[newline:], base.offset + newline, base.lines + 1)
    known, load = max(((same(load, block), load) for load in nearest), key=lambda found: found[0], default=(0, None))
    if load is None or (known == 0 and base == begin):
        return None
    end = newline + known if known else 0
    lines = base.lines + data[newline:end].count(b"\n")
    place = replace(load.mark, offset=base.offset + end, lines=lines, is_open=base.is_open and not end, is_cut=False)
    after = replace(load, load_id="", mark=place, torn=None)
    return Place(push_back(got[end:], text), (tail + data[:end])[-TAIL_BYTES:], after)


def _last_checkpoint(text: Text, begin: _Base, loads: Iterable[Load]) -> _Base:
    """Compare checkpoints beyond `begin` with the text, in one pass over it; returns the last that fits."""
    places = {place for load in loads for place in load.mark.checkpoints if place.offset > begin.offset}
    here, base = 0, begin
    for place in sorted(places, key=lambda place: place.offset):
        window = min(place.offset, WINDOW_BYTES)
        gap = place.offset - window - here
        if gap < 0:
            continue
        if _skip(text, gap) < gap:
            break
        got = read_fully(text, window)
        here += gap + len(got)
        if len(got) == window and window_before(got) == place.digest:
            base = _Base(place.offset, place.lines)
    return base


def _skip(text: Text, size: int) -> int:
    try:
        return text.skip(size)
    except Broken:
        return 0


def _at(text: Text, offset: int) -> tuple[Text, bytes]:
    """Go to an offset that is known to be there; returns the text, standing there, and what stands before it."""
    tail = min(offset, TAIL_BYTES)
    text.skip(offset - tail)
    return text, read_fully(text, tail)


def checkpoint(offset: int, lines: int, passed: bytes) -> Checkpoint:
    """Make a checkpoint at a line's end; `passed` is the text before it."""
    return Checkpoint(offset, lines, window_before(passed))


def bytes_before(block: Block, number: int | None) -> int:
    """Count the bytes of a block before its line `number`; all of them for None."""
    if number is None:
        return len(block.data)
    at = 0
    for _ in range(number - block.first_line):
        at = block.data.index(b"\n", at) + 1
    return at


_UNCOMPARED = frozenset({"source", "pod", "namespace", "node", "extra"})
"""Columns that labels, the path or a mapping may fill otherwise for the same line."""


def first_unknown(
    lake: Lake, ledger: Ledger, source: str, rows: pa.Table, rejects: Sequence[Reject], begin: int
) -> int | None:
    """Return the first line number from `begin` whose row or reject the lake does not hold for `source`.

    None where it holds all of them. Lines that are neither leave no trace in the lake and are not missed; but where
    nothing at all can be compared, `begin` is returned.
    """
    if not rows.num_rows and not rejects:
        return begin
    found = _stored_rows(lake, ledger, source, rows)
    missing = [row[0] for row in _tuples(rows) if row not in found]
    if rejects:
        quarantine = _read(lake, ledger.files("quarantine"), source, [reject.line_number for reject in rejects])
        held = {(row["line_number"], row["raw"]) for row in quarantine.to_pylist()} if quarantine else set()
        missing += [reject.line_number for reject in rejects if (reject.line_number, reject.raw) not in held]
    return min(missing, default=None)


def _stored_rows(lake: Lake, ledger: Ledger, source: str, rows: pa.Table) -> set[tuple[Any, ...]]:
    moments = rows["started_at"].cast(pa.int64()).to_pylist()
    hours = {datetime.fromtimestamp(moment // 3_600_000_000 * 3600, UTC) for moment in moments}
    files = [name for name in ledger.files("access_logs") if hour_of(name) in hours]
    table = _read(lake, files, source, rows["line_number"].to_pylist())
    return set(_tuples(table)) if table else set()


def _read(lake: Lake, files: Sequence[str], source: str, numbers: Sequence[int]) -> pa.Table | None:
    if not files or not numbers:
        return None
    limits = [("source", "==", source), ("line_number", ">=", min(numbers)), ("line_number", "<=", max(numbers))]
    return pq.read_table([str(lake.root / name) for name in files], filters=limits, partitioning=None)


def _tuples(table: pa.Table) -> list[tuple[Any, ...]]:
    """Return the rows as tuples that begin with the line number."""
    names = ["line_number", *sorted(set(table.column_names) - _UNCOMPARED - {"line_number"})]
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))
