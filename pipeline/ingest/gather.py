"""Gathers rows, rejects and loads of many sources until they make a batch, and commits it.

A night of ten thousand small files becomes few Parquet files, and memory holds three batches: two are written, by a
thread each, while the next one fills. Batches become part of the lake in order, each all at once.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import LakeError
from pipeline.ingest import writer
from pipeline.ingest.limits import Limits
from pipeline.ingest.shapes import Context, Reject
from pipeline.lake import ledger
from pipeline.lake.layout import Lake, quarantine_file
from pipeline.lake.ledger import Batch, Counts, Load, Mark, Torn

if TYPE_CHECKING:
    from pipeline.ingest.scanner import Scanned, Scanner

BATCH_ROWS = 92_000
BATCH_BYTES = 96 << 20
"""A batch is committed when it holds this many rows, or bytes of odd rows and rejects."""

_WRITERS = 2
"""Batches that are written at once: writing takes more processor time than reading and scanning."""


@dataclass(frozen=True)
class Part:
    """What was read of one source since the last commit, ready to be a load."""

    source: str
    mark: Mark
    counts: Counts
    first_started_at: datetime | None = None
    last_started_at: datetime | None = None
    problem: str | None = None
    torn: tuple[str, Counts, Reject | None] | None = None
    """Digest and counts of an open last line, and the reject that it is, if it is one."""
    takes_back: str | None = None
    continues: str | None = None


@dataclass(frozen=True)
class Rows:
    """The rows of a batch as they came: what the scanner made, what `odd` made, and the sources they belong to."""

    scanned: "Sequence[Scanned]"
    parsed: Sequence[pa.Table]
    contexts: Sequence[Context]


@dataclass(frozen=True)
class _Gathered:
    """A batch on its way to the disk."""

    name: str
    at: datetime
    rows: list[Rows]
    """One, taken out when its turn comes: what it was made into is all that need be held."""
    rejected: Sequence[writer.Rejected]
    torn: Sequence[tuple[int, writer.Rejected]]
    loads: tuple[Load, ...]


@dataclass
class Gathering:
    """The batch that is being gathered; `add_*` fill it, `commit` empties it into the lake."""

    lake: Lake
    clock: Callable[[], datetime]
    finish: Callable[[Rows], tuple[pa.Table, Callable[[], None]]]
    """Makes the lake's rows of gathered ones, arranged as they are written, which share no memory with those, and says
    what to do once the batches before are in the lake. Called for several batches at once."""
    scanner: "Scanner | None" = None
    """Holds rows too, once there is enough to read that it is worth its start."""
    limits: Limits | None = None
    is_due: Callable[[], bool] = lambda: False
    """Says that it is time to commit, whatever there is."""
    _name: str = ""
    _at: datetime = datetime.min
    _contexts: list[Context] = field(default_factory=list)
    _parsed: list[pa.Table] = field(default_factory=list)
    _rejected: list[writer.Rejected] = field(default_factory=list)
    _torn: list[tuple[int, writer.Rejected]] = field(default_factory=list)
    _loads: list[Load] = field(default_factory=list)
    _rows: int = 0
    _bytes: int = 0
    _workers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_WRITERS))
    _writing: "list[Future[None]]" = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Say whether it is time to commit."""
        rows, size = (self.limits.batch_rows, self.limits.batch_bytes) if self.limits else (BATCH_ROWS, BATCH_BYTES)
        return self._rows >= rows or self._bytes >= size or self.is_due()

    def place_of(self, context: Context) -> int:
        """Return the number by which rows of this batch name their source."""
        if not self._contexts or self._contexts[-1] != context:
            self._contexts.append(context)
        return len(self._contexts) - 1

    def add_scanned(self, rows: int) -> None:
        """Note that the scanner holds so many rows more."""
        self._rows += rows

    def add_rows(self, parsed: pa.Table, context: Context) -> None:
        """Add rows that were parsed one at a time."""
        place = pa.repeat(pa.scalar(self.place_of(context), pa.int32()), parsed.num_rows)
        self._parsed.append(parsed.append_column("context", place))
        self._rows += parsed.num_rows
        self._bytes += parsed.nbytes

    def add_rejects(self, source: str, rejects: tuple[Reject, ...]) -> None:
        """Add rejects of a source."""
        if rejects:
            self._rejected.append(writer.Rejected(source, rejects))
            self._bytes += sum(len(reject.raw) for reject in rejects)

    def add_load(self, part: Part) -> Load:
        """Add a source's part, whose rows and rejects were added before; returns it as the load it will be."""
        if not self._name:
            self._at = self.clock()
            self._name = ledger.new_batch_name(self._at)
        number = len(self._loads) + 1
        torn = None
        if part.torn:
            torn_digest, counts, reject = part.torn
            file = quarantine_file(self._at, f"{self._name}-{number:05d}") if reject else None
            torn = Torn(torn_digest, counts, file)
            if reject:
                self._torn.append((number, writer.Rejected(part.source, (reject,))))
        times = (_text(part.first_started_at), _text(part.last_started_at))
        load_id = f"{self._name}-{number:05d}"
        before = (part.takes_back, part.continues)
        load = Load(load_id, part.source, part.mark, part.counts, *times, part.problem, torn, *before)
        self._loads.append(load)
        return load

    def commit(self) -> None:
        """Hand the batch to a thread that writes, when there is one to spare; `settle` waits for it.

        Does nothing where there is no load. Raises `LakeError` where a batch before could not be written.
        """
        if not self._loads:
            return
        scanned = self.scanner.take() if self.scanner else []
        rows = [Rows(scanned, self._parsed, self._contexts)]
        batch = _Gathered(self._name, self._at, rows, self._rejected, self._torn, tuple(self._loads))
        self._contexts, self._parsed, self._rejected, self._torn, self._loads = [], [], [], [], []
        self._name, self._rows, self._bytes = "", 0, 0
        self._wait(_WRITERS - 1)
        before = self._writing[-1] if self._writing else None
        self._writing.append(self._workers.submit(self._write, batch, before))

    def settle(self) -> None:
        """Wait until everything handed over is in the lake. Raises `LakeError` where it could not be written."""
        self._wait(0)

    def _wait(self, most: int) -> None:
        """Wait until at most so many batches are being written."""
        while len(self._writing) > most:
            self._writing.pop(0).result()

    def close(self) -> None:
        """Wait for what is being written, and end the threads."""
        self._workers.shutdown(wait=True)

    def _write(self, batch: "_Gathered", before: "Future[None] | None") -> None:
        """Write a batch's files, and commit them once the batch before is committed."""
        written: list[str] = []
        try:
            gathered = batch.rows.pop()
            rows, note = self.finish(gathered)
            if self.scanner:
                self.scanner.reuse(gathered.scanned)
            del gathered
            if rows.num_rows != sum(load.counts.rows for load in batch.loads):
                raise AssertionError(f"{batch.name}: the rows to be written are not those that were counted")
            files = writer.write_rows(self.lake, batch.name, rows)
            written += files
            rejects = writer.write_rejects(self.lake, batch.name, batch.at, batch.rejected)
            written += rejects
            for number, each in batch.torn:
                torn_files = writer.write_rejects(self.lake, f"{batch.name}-{number:05d}", batch.at, [each])
                written += torn_files
                rejects += torn_files
            if before:
                before.result()
            note()
            datasets = {"access_logs": files, "quarantine": rejects}
            ledger.commit(self.lake, Batch(batch.name, batch.at.isoformat(), datasets, batch.loads))
        except LakeError:
            writer.remove(self.lake, written)
            raise


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
