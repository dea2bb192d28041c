"""Merges small batches into one: a follow and a nightly cron job leave many, and a query opens every file.

The merged batch's record names those that it replaces, so they stop counting at the moment in which it begins to:
readers see the old files or the new one. What was replaced stays on the disk for a while (`ledger.KEEP_SECONDS`).
Loads that continue one another become one, so that the ledger of a long follow stays short.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import LakeError
from pipeline.ingest import writer
from pipeline.lake import ledger
from pipeline.lake.layout import Lake
from pipeline.lake.ledger import CHECKPOINT_BYTES, STARTS, Batch, Ledger, Load

MANY_BATCHES = 50
"""Small batches are merged when there are this many."""

SMALL_ROWS = 50_000
"""Fewer rows than this make a batch small."""

MERGED_ROWS = 1 << 18
"""Rows of a merged batch at most, so that it fits in memory as any batch does."""


def merge_small(lake: Lake, now: datetime) -> bool:
    """Merge the lake's small batches where there are many; says whether it did.

    Needs the lock. After a `LakeError` nothing has changed.
    """
    held = ledger.read_ledger(lake)
    small = [batch for batch in held.batches if batch.loads and _rows(batch) < SMALL_ROWS]
    if len(small) < MANY_BATCHES:
        return False
    chosen, rows = [], 0
    for batch in small:
        rows += _rows(batch)
        if rows > MERGED_ROWS:
            break
        chosen.append(batch)
    if len(chosen) < 2:
        return False
    _merge(lake, held, chosen, now)
    return True


def _rows(batch: Batch) -> int:
    return sum(load.counts.rows for load in batch.loads)


def _merge(lake: Lake, held: Ledger, chosen: Sequence[Batch], now: datetime) -> None:
    name = ledger.new_batch_name(now)
    loads = merged_loads(chosen, [batch for batch in held.batches if batch not in chosen])
    # An open last line keeps the file that holds it alone, since it may be taken back.
    alone = {load.torn.file for load in loads if load.torn and load.torn.file}
    rows, rejects = (_counting(held, chosen, dataset) for dataset in ("access_logs", "quarantine"))
    written: list[str] = []
    try:
        tables = _tables(lake, rows)
        merged_rows = writer.write_rows(lake, name, writer.arranged(pa.concat_tables(tables))) if tables else ()
        written += merged_rows
        mixed = [file for file in rejects if file not in alone]
        merged_rejects = writer.write_quarantine(lake, name, now, _tables(lake, mixed))
        written += merged_rejects
        kept = tuple(file for file in rejects if file in alone)
        files = {"access_logs": merged_rows, "quarantine": (*merged_rejects, *kept)}
        ledger.commit(lake, Batch(name, now.isoformat(), files, tuple(loads), _replaced(held, chosen)))
    except LakeError:
        writer.remove(lake, written)
        raise


def _counting(held: Ledger, chosen: Sequence[Batch], dataset: str) -> list[str]:
    counting = set(held.files(dataset))
    return [name for batch in chosen for name in batch.files.get(dataset, ()) if name in counting]


def _replaced(held: Ledger, chosen: Sequence[Batch]) -> tuple[str, ...]:
    """Name the batches that must not count again, whichever of their records is removed first."""
    still = {batch.batch for batch in held.replaced}
    before = {name for batch in chosen for name in batch.replaces if name in still}
    return tuple(sorted(before | {batch.batch for batch in chosen}))


def _tables(lake: Lake, files: Iterable[str]) -> list[pa.Table]:
    try:
        return [pq.read_table(lake.root / name, partitioning=None) for name in files]
    except (OSError, pa.ArrowException) as error:
        raise LakeError(f"{lake.root}: a file cannot be read: {error}. Restore it from a backup") from error


def merged_loads(chosen: Sequence[Batch], others: Sequence[Batch]) -> list[Load]:
    """Return the loads of batches, each chain of one source's loads as one load.

    A mark within a source's first `STARTS[0]` bytes stays, since by it alone a copy as short as that is known.
    """
    outside = {id_ for batch in others for load in batch.loads for id_ in (load.continues, load.takes_back) if id_}
    merged: dict[str, Load] = {}
    followers: dict[str, int] = {}
    every = [(batch, load) for batch in chosen for load in batch.loads]
    for _, load in every:
        for id_ in {load.continues, load.takes_back} - {None}:
            followers[str(id_)] = followers.get(str(id_), 0) + 1
    for batch, load in every:
        own = replace(load, loaded_at=load.loaded_at or batch.loaded_at)
        before = merged.get(load.continues or "")
        is_alone = before and followers[before.load_id] == 1 and before.load_id not in outside
        if before and is_alone and before.source == load.source and before.mark.offset >= STARTS[0]:
            del merged[before.load_id]
            own = joined(before, own)
        merged[own.load_id] = own
    return list(merged.values())


def joined(first: Load, second: Load) -> Load:
    """Make one load of two, the second of which begins where the first ended."""
    counts = first.counts + second.counts
    if first.torn and second.takes_back == first.load_id:
        counts -= first.torn.counts
    places = [*first.mark.checkpoints, *second.mark.checkpoints]
    spaced = [place for at, place in enumerate(places) if at == 0 or _is_apart(places[at - 1].offset, place.offset)]
    times = [t for t in (first.first_started_at, second.first_started_at) if t]
    ends = [t for t in (first.last_started_at, second.last_started_at) if t]
    return replace(
        second,
        counts=counts,
        mark=replace(second.mark, checkpoints=tuple(spaced)),
        first_started_at=min(times, key=datetime.fromisoformat, default=None),
        last_started_at=max(ends, key=datetime.fromisoformat, default=None),
        takes_back=first.takes_back,
        continues=first.continues,
    )


def _is_apart(before: int, here: int) -> bool:
    return here - before >= CHECKPOINT_BYTES // 2
