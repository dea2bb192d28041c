"""Writes a batch's rows and rejects as Parquet files in their final folders, where they count for nothing yet.

Only the ledger record makes them part of the lake, so a failure in here leaves files that nobody reads. Rows are split
by the UTC hour in which they started, and sorted within it by what they have in common (`_TOGETHER`), then by time.
Dictionary columns stay so.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import LakeError
from pipeline.ingest.columns import whole
from pipeline.ingest.shapes import Reject
from pipeline.lake.layout import Lake, access_logs_file, quarantine_file
from pipeline.lake.ledger import sync_folder
from pipeline.lake.schema import ACCESS_LOGS, QUARANTINE

ROW_GROUP = 128 << 10
_HOUR_US = 3_600_000_000

_TOGETHER = ("upstream_cluster", "downstream_local_address", "method")
"""What goes with these (hosts, authority, route, user agent, sizes) then stands in runs, which takes 10 % off files."""


@dataclass(frozen=True)
class Rejected:
    """Rejects of one source."""

    source: str
    rejects: tuple[Reject, ...]


def arranged(rows: pa.Table) -> pa.Table:
    """Put rows into the order in which they are written; what is returned shares no memory with what was given."""
    rows = rows.unify_dictionaries().combine_chunks()
    started = rows["started_at"].cast(pa.int64()).to_numpy()
    hour = started // _HOUR_US
    groups = [_narrow(key) for key in (hour - hour.min(initial=2**62), *(_codes(rows[name]) for name in _TOGETHER))]
    order = pa.array(_narrow(np.lexsort([started, *reversed(groups)])))
    # a column of nulls is the same in any order; an order made by sorting has no number out of bounds
    columns = [
        pa.nulls(len(order), column.type)
        if column.null_count == len(order)
        else pc.take(column, order, boundscheck=False)
        for column in rows.columns
    ]
    return pa.table(columns, schema=rows.schema)


def _codes(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    coded = whole(column)
    codes: npt.NDArray[Any] = pc.fill_null(coded.indices, pa.scalar(len(coded.dictionary), pa.int32())).to_numpy()
    return codes


def _narrow(key: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return numbers with as few bits as they need: those of 16, as nearly all keys have, are sorted in one pass."""
    return key.astype(np.min_scalar_type(key.max(initial=0)))


def write_rows(lake: Lake, batch: str, rows: pa.Table) -> tuple[str, ...]:
    """Write rows, arranged, to one file an hour; returns the files' names relative to the lake.

    Raises `LakeError` where the disk refuses; what was written so far is removed.
    """
    return _write_all(lake, [(access_logs_file(hour, batch), part) for hour, part in _by_hour(rows)])


def _by_hour(rows: pa.Table) -> Iterable[tuple[datetime, pa.Table]]:
    hours = rows["started_at"].cast(pa.int64()).to_numpy() // _HOUR_US
    begins = np.flatnonzero(np.diff(hours, prepend=hours[:1] - 1))
    lengths = np.diff(begins, append=len(hours))
    for number, begin, length in zip(hours[begins].tolist(), begins.tolist(), lengths.tolist(), strict=True):
        yield datetime.fromtimestamp(number * 3600, UTC), rows.slice(begin, length)


def write_rejects(lake: Lake, batch: str, at: datetime, rejected: Iterable[Rejected]) -> tuple[str, ...]:
    """Write rejects to one file; none where there are none. Raises as `write_rows`."""
    rows = [
        {"quarantined_at": at, "source": part.source, "line_number": r.line_number, "reason": r.reason, "raw": r.raw}
        for part in rejected
        for r in part.rejects
    ]
    if not rows:
        return ()
    return write_quarantine(lake, batch, at, [pa.Table.from_pylist(rows, schema=QUARANTINE)])


def write_quarantine(lake: Lake, batch: str, at: datetime, tables: Sequence[pa.Table]) -> tuple[str, ...]:
    """Write tables of rejects to one file; none where there are none. Raises as `write_rows`."""
    if not tables:
        return ()
    return _write_all(lake, [(quarantine_file(at, batch), pa.concat_tables(tables).unify_dictionaries())])


def _write_all(lake: Lake, files: Iterable[tuple[str, pa.Table]]) -> tuple[str, ...]:
    written: list[str] = []
    try:
        for name, table in files:
            written.append(name)
            _write(lake.root / name, table)
        _sync(lake.root / name for name in written)
    except (OSError, pa.ArrowException) as error:
        remove(lake, written)
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LakeError(f"{lake.root / name}: cannot be written: {what}. Make room and ingest again") from error
    return tuple(written)


def remove(lake: Lake, names: Iterable[str]) -> None:
    """Delete files that will not be committed, as far as the disk allows; the next ingest looks for the rest."""
    for name in names:
        with contextlib.suppress(OSError):
            (lake.root / name).unlink(missing_ok=True)


_CODED = [field.name for field in ACCESS_LOGS if pa.types.is_dictionary(field.type)]

_DICTIONARY = [*_CODED, "bytes_received", "duration_ms", "upstream_service_time_ms", "cluster_port"]
"""Columns of few distinct values, mostly."""

_REPEATING = ("path", "x_forwarded_for", "extra")
"""Columns of few distinct values in one mesh and of many in another, where a dictionary is a waste."""

_SAMPLE = 4096
"""Rows, which stand in the order of `_TOGETHER`, from the middle of a file that tell whether values repeat."""

_ENCODING = {
    "started_at": "DELTA_BINARY_PACKED",
    "line_number": "DELTA_BINARY_PACKED",
    "bytes_sent": "DELTA_BINARY_PACKED",
    "request_id": "DELTA_LENGTH_BYTE_ARRAY",
    "upstream_local_address": "DELTA_BYTE_ARRAY",
    "downstream_remote_address": "DELTA_BYTE_ARRAY",
}
"""For columns without a dictionary that get smaller by it, or are written in half the time. BYTE_STREAM_SPLIT would be
better for numbers, but DuckDB 1.5 cannot read it."""

_COMPRESSION = dict.fromkeys(_CODED, "snappy") | {"bytes_sent": "none"}
"""zstd makes codes no smaller, as they stand in runs, but takes longer to begin a column; nor packed numbers."""

_STATISTICS = ["started_at", "direction", "quarantined_at"]
"""Columns whose limits let a reader pass over files; those of others would cost time and prune nothing."""

_FALSE_POSITIVES = 0.01
"""Of the row groups that do not hold a request's id, so many are read nevertheless; the filters take 2 % of a file."""


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = table.schema.names
    repeating = [name for name in _REPEATING if name in names and _repeats(table[name])]
    pq.write_table(
        table,
        path,
        compression={name: _COMPRESSION.get(name, "zstd") for name in names},
        row_group_size=ROW_GROUP,
        use_dictionary=[*repeating, *(name for name in _DICTIONARY if name in names)],
        column_encoding={name: encoding for name, encoding in _ENCODING.items() if name in names} or None,
        write_statistics=[name for name in _STATISTICS if name in names],
        # an id stands anywhere in its hour: without a filter a lookup would read all ids of the lake
        bloom_filter_options={"request_id": {"ndv": min(table.num_rows, ROW_GROUP), "fpp": _FALSE_POSITIVES}}
        if "request_id" in names
        else None,
    )


def _repeats(column: pa.ChunkedArray) -> bool:
    """Say whether the values of a column occur more than twice, by a sample."""
    sample = column.slice(max(0, (len(column) - _SAMPLE) // 2), _SAMPLE).drop_null()
    return bool(pc.count_distinct(sample).as_py() * 2 < len(sample))


def _sync(files: Iterable[Path]) -> None:
    """Put files and the folders that hold them on the disk: one wait for each, however many files there are."""
    folders = set()
    for path in files:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        folders |= {path.parent, path.parent.parent}
    for folder in folders:
        sync_folder(folder)
