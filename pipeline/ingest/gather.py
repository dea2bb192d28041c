"""Gathers rows, rejects and loads of many sources until they make a batch, and commits it.

A night of ten thousand small files becomes few Parquet files, and memory holds one batch. Nothing of a batch is in the
lake before `commit`, everything after it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from pipeline.errors import LakeError
from pipeline.ingest import writer
from pipeline.ingest.shapes import Context, Reject
from pipeline.lake import ledger
from pipeline.lake.layout import Lake, quarantine_file
from pipeline.lake.ledger import Batch, Counts, Load, Mark, Torn

FINISH_ROWS = 5_000
"""Parsed rows are turned into the lake's rows when there are this many, from however many sources."""

BATCH_ROWS = 500_000
BATCH_BYTES = 128 << 20
"""A batch is committed when it holds this many rows or bytes of Arrow columns, or as many bytes of rejects."""


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


@dataclass
class Gathering:
    """The batch that is being gathered; `add_*` fill it, `commit` empties it into the lake."""

    lake: Lake
    clock: Callable[[], datetime]
    finish: Callable[[list[tuple[pa.Table, Context]]], pa.Table]
    """Makes the lake's rows of parsed ones."""
    _name: str = ""
    _at: datetime = datetime.min
    _parsed: list[tuple[pa.Table, Context]] = field(default_factory=list)
    _parsed_rows: int = 0
    _tables: list[pa.Table] = field(default_factory=list)
    _rejected: list[writer.Rejected] = field(default_factory=list)
    _torn: list[tuple[int, writer.Rejected]] = field(default_factory=list)
    _loads: list[Load] = field(default_factory=list)
    _rows: int = 0
    _bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Say whether it is time to commit."""
        return self._rows >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def add_rows(self, parsed: pa.Table, context: Context) -> None:
        """Add parsed rows of a source; they are finished together with others', since each call has its price."""
        self._parsed.append((parsed, context))
        self._parsed_rows += parsed.num_rows
        self._rows += parsed.num_rows
        if self._parsed_rows >= FINISH_ROWS:
            self._finish()

    def _finish(self) -> None:
        if self._parsed:
            rows = self.finish(self._parsed)
            self._tables.append(rows)
            self._bytes += rows.nbytes
            self._parsed, self._parsed_rows = [], 0

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
        load = Load(load_id, part.source, part.mark, part.counts, *times, part.problem, torn, part.takes_back)
        self._loads.append(load)
        return load

    def commit(self) -> None:
        """Write everything and make it count; does nothing where there is no load. Raises `LakeError`."""
        if not self._loads:
            return
        self._finish()
        written: list[str] = []
        try:
            rows = writer.write_rows(self.lake, self._name, self._tables)
            written += rows
            rejects = writer.write_rejects(self.lake, self._name, self._at, self._rejected)
            written += rejects
            for number, rejected in self._torn:
                torn = writer.write_rejects(self.lake, f"{self._name}-{number:05d}", self._at, [rejected])
                written += torn
                rejects += torn
            files = {"access_logs": rows, "quarantine": rejects}
            ledger.commit(self.lake, Batch(self._name, self._at.isoformat(), files, tuple(self._loads)))
        except LakeError:
            writer.remove(self.lake, written)
            raise
        self._clear()

    def _clear(self) -> None:
        for gathered in (self._tables, self._rejected, self._torn, self._loads):
            gathered.clear()
        self._name, self._rows, self._bytes = "", 0, 0


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
