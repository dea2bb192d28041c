"""Which files of a lake count, and which part of which source they hold: one JSON record a committed batch.

A batch exists from the moment its record is renamed into place: a reader sees all of its files or none, and what a
killed ingest left behind is named by no record and removed by the next one. A source is known by its content (a hash
of its beginning, and one of the text before the position up to which it was read), so a renamed, rotated or
recompressed file is recognised, and one that grew is read from where it ended.

A last line without its newline may be half of one. Where it reads as a whole row, it counts, and the position stands
behind it. Otherwise it is dealt with as it is (mostly a reject), but the position stands before it, as its `torn` line:
when the source has grown, the next load reads the line again, whole, and its record takes the torn line back. So it is
never in the lake twice, and never missing while it is all there is.

A record may replace others: the small batches that were merged into its own. They stop counting at the moment in which
it appears. What no longer counts stays on the disk for `KEEP_SECONDS`, since a reader may have listed it before.
"""

import contextlib
import hashlib
import json
import operator
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.errors import LakeError, LockedError
from pipeline.lake.columns import MESH
from pipeline.lake.layout import Lake

if TYPE_CHECKING:
    import pyarrow as pa

DATASETS = ("access_logs", "quarantine", *MESH)

HEAD_BYTES = 4096
TAIL_BYTES = 64 << 10
"""Bytes hashed at the beginning (the largest power of two that there are) and before the position."""

STARTS = (256, 512, 1024, 2048, 4096)
"""Lengths of a source's beginning that are hashed too, by which a shorter copy of it is found."""

WINDOW_BYTES = 4096
"""Bytes hashed before a checkpoint."""

CHECKPOINT_BYTES = 1 << 20
"""Checkpoints of a source are at least this far apart: some 60 bytes of ledger for each MiB of text."""

KEEP_SECONDS = 3600
"""How long files that were replaced stay on the disk."""

WAIT_SECONDS = 5.0
"""How long a second ingest waits for the first."""

_TRIES = 20


@dataclass(frozen=True)
class Counts:
    """What became of the lines of a load: lines = rows + rejects + noise + blank. `bytes` is of text."""

    lines: int = 0
    rows: int = 0
    rejects: int = 0
    noise: int = 0
    blank: int = 0
    bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(operator.add, self._values(), other._values()))

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(*map(operator.sub, self._values(), other._values()))

    def _values(self) -> tuple[int, ...]:
        return self.lines, self.rows, self.rejects, self.noise, self.blank, self.bytes

    def obeys_the_law(self) -> bool:
        """Say whether every line became exactly one thing."""
        return self.lines == self.rows + self.rejects + self.noise + self.blank


@dataclass(frozen=True)
class Torn:
    """An unterminated last line that was not read as a row: it stands behind the load's position."""

    digest: str
    counts: Counts
    file: str | None = None
    """The quarantine file that holds it alone, where it is a reject."""


@dataclass(frozen=True)
class Checkpoint:
    """A place between two lines on the way to a mark, known again by the `WINDOW_BYTES` before it (fewer if short)."""

    offset: int
    lines: int
    digest: str


@dataclass(frozen=True)
class Mark:
    """How far a source has been read: `offset` bytes and `lines` lines of its text, known again by two hashes."""

    head_bytes: int
    head: str
    tail_bytes: int
    tail: str
    offset: int
    lines: int
    is_open: bool = False
    """Whether the position stands in a line that has no newline yet."""
    is_cut: bool = False
    """Whether that line is one over the length limit, so that the rest of it is passed over."""
    starts: tuple[str, ...] = ()
    """Short hashes of the source's beginnings, as long as `STARTS`."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Places that this load passed."""


@dataclass(frozen=True)
class Load:
    """One source's part in a batch."""

    load_id: str
    source: str
    mark: Mark
    counts: Counts
    first_started_at: str | None = None
    last_started_at: str | None = None
    problem: str | None = None
    torn: Torn | None = None
    takes_back: str | None = None
    """The load whose torn line this one read again."""
    continues: str | None = None
    """The load at whose mark this one began."""
    loaded_at: str | None = None
    """When it was committed, where that is not when its batch was: after a merge."""


@dataclass(frozen=True)
class Snapshot:
    """What a batch holds of the mesh's own configuration: the time it stood at, its kinds, and a hash of its rows."""

    at: str
    kinds: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Batch:
    """One record: the files that appear together, and the loads or the snapshot that filled them."""

    batch: str
    loaded_at: str
    files: Mapping[str, tuple[str, ...]]
    loads: tuple[Load, ...]
    replaces: tuple[str, ...] = ()
    """The batches that this one holds merged, and that count no longer."""
    snapshot: Snapshot | None = None


@dataclass(frozen=True)
class Ledger:
    """All records of a lake that count, in the order in which they were committed, and those that were replaced."""

    batches: tuple[Batch, ...]
    replaced: tuple[Batch, ...] = ()

    def files(self, dataset: str) -> list[str]:
        """Name the files of one of `DATASETS`, relative to the lake, that count."""
        dropped = {load.torn.file for load in self._torn().values() if load.torn}
        named = [name for batch in self.batches for name in batch.files.get(dataset, ())]
        return [name for name in named if name not in dropped]

    def _torn(self) -> dict[str, Load]:
        """The loads whose torn line was read again since."""
        back = {load.takes_back for batch in self.batches for load in batch.loads if load.takes_back}
        return {load.load_id: load for batch in self.batches for load in batch.loads if load.load_id in back}

    def loads(self) -> "pa.Table":
        """Return the `loads` table: one row a source and batch, torn lines that were read again taken back."""
        import pyarrow as pa

        from pipeline.lake.schema import LOADS

        torn = self._torn()
        rows = [_load_row(load, batch, torn) for batch in self.batches for load in batch.loads]
        return pa.Table.from_pylist(rows, schema=LOADS)


class Known:
    """The loads by the beginning of their source; grows as an ingest goes on."""

    def __init__(self, ledger: Ledger) -> None:
        self._by_head: dict[tuple[int, str], list[Load]] = {}
        self._by_start: dict[str, list[Load]] = {}
        for batch in ledger.batches:
            for load in batch.loads:
                self.add(load)

    def add(self, load: Load) -> None:
        """Remember one more load, committed or about to be."""
        self._by_head.setdefault((load.mark.head_bytes, load.mark.head), []).append(load)
        for start in load.mark.starts:
            self._by_start.setdefault(start, []).append(load)

    def candidates(self, head: bytes) -> list[Load]:
        """Return the loads of sources that begin like `head` (`HEAD_BYTES` or all there is), the furthest first."""
        found: list[Load] = []
        size = HEAD_BYTES
        while size:
            if size <= len(head):
                found += self._by_head.get((size, digest(head[:size])), [])
            size //= 2
        # of two at one place the one with a torn line first: it is the more particular one
        return sorted(found, key=lambda load: (load.mark.offset, load.torn is not None, load.load_id), reverse=True)

    def beyond(self, head: bytes, offset: int) -> list[Load]:
        """Return the loads of sources that begin like `head` and were read further than `offset`, the nearest first."""
        found = self._by_start.get(next(reversed(_starts(head)), ""), [])
        return sorted((load for load in found if load.mark.offset > offset), key=lambda load: load.mark.offset)


def _load_row(load: Load, batch: Batch, torn: Mapping[str, Load]) -> dict[str, Any]:
    counts = load.counts - load.torn.counts if load.torn and load.load_id in torn else load.counts
    times = {name: _moment(getattr(load, name)) for name in ("first_started_at", "last_started_at")}
    known = {"load_id": load.load_id, "source": load.source, "loaded_at": _moment(load.loaded_at or batch.loaded_at)}
    return {**known, **asdict(counts), **times, "problem": load.problem}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def digest(data: bytes) -> str:
    """Hash a stretch of text."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _starts(head: bytes) -> tuple[str, ...]:
    return tuple(digest(head[:size])[:16] for size in STARTS if size <= len(head))


def window_before(text: bytes) -> str:
    """Hash the window before a checkpoint; `text` ends where that stands."""
    return digest(text[-WINDOW_BYTES:])


def mark_of(
    head: bytes,
    tail: bytes,
    offset: int,
    lines: int,
    *,
    is_open: bool = False,
    is_cut: bool = False,
    checkpoints: tuple[Checkpoint, ...] = (),
) -> Mark:
    """Make a mark at `offset` from the text's first `HEAD_BYTES` and the `TAIL_BYTES` before the mark (fewer if short).

    `head` and `tail` must not reach beyond `offset`; `offset` must be above 0.
    """
    size = 1 << (min(len(head), HEAD_BYTES).bit_length() - 1)
    hashes = (size, digest(head[:size]), len(tail), digest(tail))
    return Mark(*hashes, offset, lines, is_open, is_cut, _starts(head), checkpoints)


def new_batch_name(now: datetime) -> str:
    """Make up a name that sorts by time and is unique."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}{now.microsecond:06d}Z-{os.urandom(4).hex()}"


def read_ledger(lake: Lake) -> Ledger:
    """Read every record of a lake; raises `LakeError` where one is damaged."""
    batches = _read_batches(lake)
    gone = {name for batch in batches for name in batch.replaces}
    counting = tuple(batch for batch in batches if batch.batch not in gone)
    return Ledger(counting, tuple(batch for batch in batches if batch.batch in gone))


def _read_batches(lake: Lake) -> list[Batch]:
    """Read the records that are listed; where one was removed in between, list them anew."""
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):
            return [_read_batch(path) for path in sorted(lake.ledger.glob("*.json"))]
    raise LakeError(f"{lake.ledger}: the records cannot be listed. Check the folder for links that lead nowhere")


def _read_batch(path: Path) -> Batch:
    try:
        found = _parsed(path.read_bytes())
        files = {dataset: tuple(names) for dataset, names in found["files"].items()}
        loads = tuple(_load(load) for load in found["loads"])
        replaces = tuple(found.get("replaces", ()))
        return Batch(found["batch"], found["loaded_at"], files, loads, replaces, _snapshot(found.get("snapshot")))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path}: the ledger record cannot be read ({error}). Restore it from a backup") from error


def _parsed(record: bytes) -> Any:
    """Read JSON, also with the halves of surrogate pairs that earlier versions wrote for names that are not UTF-8."""
    try:
        return orjson.loads(record)
    except orjson.JSONDecodeError:
        return json.loads(record)


def _load(found: dict[str, Any]) -> Load:
    torn = found["torn"]
    if torn is not None:
        torn = Torn(torn["digest"], Counts(**torn["counts"]), torn["file"])
    made = {**found, "mark": _mark(found["mark"]), "counts": Counts(**found["counts"]), "torn": torn}
    return Load(**made)


def _snapshot(found: dict[str, Any] | None) -> Snapshot | None:
    return None if found is None else Snapshot(found["at"], tuple(found["kinds"]), found["digest"])


def _mark(found: dict[str, Any]) -> Mark:
    checkpoints = tuple(Checkpoint(**place) for place in found.get("checkpoints", ()))
    return Mark(**{**found, "starts": tuple(found.get("starts", ())), "checkpoints": checkpoints})


def commit(lake: Lake, batch: Batch) -> None:
    """Make a batch part of the lake, all of it at once; its files must be on the disk already.

    Raises `LakeError` where the record cannot be written; the lake is then as it was.
    """
    path = lake.ledger / f"{batch.batch}.json"
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(asdict(batch), file, separators=(",", ":"))
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise LakeError(f"{path}: cannot be written: {error.strerror}. Make room and ingest again") from error
    with contextlib.suppress(OSError):  # the batch counts already
        sync_folder(lake.ledger)


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk, so that a power cut does not lose a file that a record names."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(lake: Lake, ledger: Ledger) -> None:
    """Delete what counts no longer: files of a killed ingest at once, what was replaced after a while. Needs the lock.

    Records go before the files that they name, and a replaced record before the one that replaced it (names sort by
    time), so that being killed in here brings nothing back.
    """
    now = datetime.now(UTC)
    replacers = {name: batch for batch in (*ledger.batches, *ledger.replaced) for name in batch.replaces}
    kept = {name for dataset in DATASETS for name in ledger.files(dataset)} | _dropped_lately(ledger, now)
    for batch in ledger.replaced:
        if _is_recent(replacers[batch.batch].loaded_at, now):
            kept.update(name for names in batch.files.values() for name in names)
        else:
            (lake.ledger / f"{batch.batch}.json").unlink(missing_ok=True)
    paths = [path for dataset in DATASETS for path in (lake.root / dataset).rglob("*")]
    for path in (*paths, *lake.ledger.glob("*.tmp")):
        if path.suffix in (".parquet", ".tmp") and path.relative_to(lake.root).as_posix() not in kept:
            path.unlink(missing_ok=True)


def _dropped_lately(ledger: Ledger, now: datetime) -> set[str]:
    """Name the files of torn lines that were read again a short while ago."""
    torn = {load.load_id: load.torn for batch in ledger.batches for load in batch.loads if load.torn}
    return {
        file
        for batch in ledger.batches
        for load in batch.loads
        if load.takes_back and load.takes_back in torn and _is_recent(load.loaded_at or batch.loaded_at, now)
        if (file := torn[load.takes_back].file)
    }


def _is_recent(moment: str, now: datetime) -> bool:
    return now - datetime.fromisoformat(moment) < timedelta(seconds=KEEP_SECONDS)


@contextlib.contextmanager
def write_lock(lake: Lake, wait: float | None = None) -> Iterator[None]:
    """Hold the lake's write lock, waiting up to `wait` seconds for it; raises `LockedError` naming the holder."""
    import filelock  # only who writes needs it

    lock = filelock.FileLock(lake.lock, timeout=WAIT_SECONDS if wait is None else wait)
    holder = lake.lock.with_suffix(".holder")
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise LockedError(f"{lake.root}: {_held_by(holder)}. Wait for it to end, then ingest again") from error
    except OSError as error:
        raise LakeError(f"{lake.lock}: cannot be locked: {error.strerror}. Check the folder's rights") from error
    try:
        _sign(holder)
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def _sign(holder: Path) -> None:
    with contextlib.suppress(OSError):
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {now}\n", encoding="utf-8")


def _held_by(holder: Path) -> str:
    try:
        return f"another ingest is writing here: {holder.read_text(encoding='utf-8').strip()}"
    except OSError:
        return "another ingest is writing here"
