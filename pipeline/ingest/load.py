"""The whole ingest, source by source; with `reading`, which takes one source to rows, it alone knows the stages' order.

    expand -> resume -> reading -> gather -> normalise -> direction -> clock -> writer -> commit -> merge

What is wrong with the call (a missing path, no rights, a named file that is no log) ends it before anything is
written. What is wrong with one source on the way (damage, a binary file in a folder) is that source's `problem`: what
came before it is kept, the others are read, and the summary says so.

The law holds for every source: lines = rows + rejects + noise + blank.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from pipeline.errors import InputError, LakeError
from pipeline.ingest import blocks, copies, direction, merge, normalise, odd, resume, wrappers, writer
from pipeline.ingest.allocator import keep_freed_memory
from pipeline.ingest.clock import Clock, look
from pipeline.ingest.fields import DEFAULT, FieldMap, read_mapping
from pipeline.ingest.gather import Gathering, Rows
from pipeline.ingest.limits import Limits, within
from pipeline.ingest.pipe import Pipe
from pipeline.ingest.reading import Reading
from pipeline.ingest.shapes import RAW_LIMIT, Block, Context, Reject, Source
from pipeline.ingest.sources import expand, opened, total_bytes
from pipeline.lake.layout import Lake, create_lake
from pipeline.lake.ledger import (
    HEAD_BYTES,
    Counts,
    Known,
    Load,
    read_ledger,
    remove_leftovers,
    write_lock,
)
from pipeline.lake.schema import ACCESS_LOGS

keep_freed_memory()

SCAN_FROM_BYTES = 1 << 20
"""Bytes read one line at a time before the scanner is started, which takes as long as reading several megabytes so."""

Progress = Callable[[int, int | None], None]
"""Told the bytes of sources dealt with so far, and how many there are (None where that is not known)."""


@dataclass(frozen=True)
class Summary:
    """What an ingest did. `counts` is of what it read anew, bytes of text."""

    counts: Counts = field(default_factory=Counts)
    sources_read: int = 0
    """Sources that had something new."""
    sources_unchanged: int = 0
    """Sources that the lake held already, empty ones included."""
    sources_failed: int = 0
    """Sources with a problem; what could be read of them was."""
    skipped: tuple[str, ...] = ()
    """Files that folders hold and that are no logs by their names."""
    problems: tuple[tuple[str, str], ...] = ()
    """Source and what is wrong with it."""
    warnings: tuple[tuple[str, str], ...] = ()
    """Source and what is odd about the times in it."""
    first_started_at: datetime | None = None
    last_started_at: datetime | None = None


def load(
    paths: Sequence[str | PathLike[str]],
    lake_root: str | PathLike[str],
    *,
    mapping: str | PathLike[str] | FieldMap | None = None,
    labels: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    stdin: BinaryIO | None = None,
    memory: int | None = None,
) -> Summary:
    """Ingest files, folders, globs and `-` into the lake, which is made where there is none.

    `mapping` is a TOML file (see `fields.read_mapping`); `labels` fill `pod`, `namespace` and `node` where a line does
    not know them, and go to `extra` otherwise. `memory` is how many bytes to stay below (see `limits`). Text that the
    lake holds already is not read again. Raises `InputError` and `UsageError` before anything is written, `LockedError`
    where another ingest holds the lake, `LakeError` where the disk refuses; batches that were committed before stay.
    """
    expansion = expand(paths)
    with writing(expansion.sources, lake_root, mapping=mapping, labels=labels, memory=memory) as ingest:
        done, total = 0, total_bytes(expansion.sources)
        for source in expansion.sources:
            for position in ingest.read(source, stdin):
                if progress:
                    progress(done + position, total)
            done += source.size or 0
        if progress:
            progress(done, total)
    return replace(ingest.summary, skipped=expansion.skipped, warnings=ingest.clock.warnings())


@contextlib.contextmanager
def writing(
    sources: Iterable[Source],
    lake_root: str | PathLike[str],
    *,
    mapping: str | PathLike[str] | FieldMap | None = None,
    labels: Mapping[str, str] | None = None,
    memory: int | None = None,
    is_due: Callable[[], bool] = lambda: False,
) -> Iterator["Ingest"]:
    """Hold the lake and give what reads sources into it; at the end everything is committed.

    `sources` are those that must be logs, where the user named them. A batch is committed when it is full or `is_due`.
    Raises as `load` does.
    """
    fields = mapping if isinstance(mapping, FieldMap) else read_mapping(Path(mapping)) if mapping else DEFAULT
    for source in sources:
        _refuse_binary(source)
    lake = create_lake(Path(lake_root))
    with write_lock(lake):
        ledger = read_ledger(lake)
        remove_leftovers(lake, ledger)
        clock, limits = Clock(datetime.now(UTC)), within(memory) if memory else None
        with contextlib.closing(_gathering(lake, labels or {}, clock, limits, is_due)) as gathering:
            yield Ingest(gathering, Known(ledger), fields, labels or {}, clock)
            gathering.commit()
            gathering.settle()
        with contextlib.suppress(LakeError):  # everything is in the lake, if in more files than need be
            merge.merge_small(lake, datetime.now(UTC))


def _gathering(
    lake: Lake, labels: Mapping[str, str], clock: Clock, limits: Limits | None, is_due: Callable[[], bool]
) -> Gathering:
    others = {key: value for key, value in labels.items() if key not in ("pod", "namespace", "node")}

    def finish(rows: Rows) -> tuple[pa.Table, Callable[[], None]]:
        tables = [scanned.table() for scanned in rows.scanned]
        tables += [pa.concat_tables(rows.parsed)] if rows.parsed else []
        named = [direction.decide(normalise.rows(table, rows.contexts, others), table) for table in tables]
        whole = pa.concat_tables(named or [ACCESS_LOGS.empty_table()])
        return writer.arranged(whole), partial(clock.add, look(whole, clock.now))

    return Gathering(lake, lambda: datetime.now(UTC), finish, limits=limits, is_due=is_due)


def _refuse_binary(source: Source) -> None:
    """Stop before anything is written where a file that the user named is no log."""
    if source.path is None or not source.is_named:
        return
    try:
        with opened(source) as file:
            head = blocks.read_fully(blocks.open_text(file), HEAD_BYTES)
    except blocks.Broken as error:
        raise InputError(f"{source.path}: {error}. Check the file and its disk") from error
    if reason := blocks.binary_reason(head):
        raise InputError(f"{source.path}: {reason}. Name log files, or the folder that holds them")


@dataclass
class Ingest:
    """Reads sources into the batch that is being gathered."""

    gathering: Gathering
    known: Known
    fields: FieldMap
    labels: Mapping[str, str]
    clock: Clock
    bytes_read: int = 0
    summary: Summary = field(default_factory=Summary)

    def read(self, source: Source, stdin: BinaryIO | Pipe | None) -> Iterator[int]:
        """Read what is new in a source and commit whenever a batch is full; yields the bytes of the source passed."""
        self._begin_to_scan(self.bytes_read + (source.size or 0))
        try:
            with resume.begin(source, stdin, self.known.candidates, self.known.beyond, self._same) as start:
                reading = Reading(source.name, self._context(source), self.fields, start)
                reading.block_bytes = self.gathering.limits.block_bytes if self.gathering.limits else None
                for _ in reading.run(self.gathering):
                    self._begin_to_scan(self.bytes_read + reading.bytes_read)
                    yield start.position()
                    if self.gathering.is_full:
                        self._keep(reading)
                        self.gathering.commit()
                self._keep(reading)
                self.bytes_read += reading.total.bytes
        except (InputError, blocks.Broken) as error:
            self._count(Counts(), str(error), source.name)
            return
        self._count(reading.total, reading.problem, source.name, reading.first, reading.last)

    def _begin_to_scan(self, size: int) -> None:
        """Start the compiled scanner once there is so much to read that it pays."""
        if self.gathering.scanner is None and size >= SCAN_FROM_BYTES:
            from pipeline.ingest.scanner import Scanner

            self.gathering.scanner = Scanner(self.fields)

    def _keep(self, reading: Reading) -> None:
        part = reading.take_part()
        if part is not None:
            load = self.gathering.add_load(part)
            self.known.add(load)
            reading.continues = load.load_id

    def _same(self, load: Load, block: Block) -> int:
        """Count the bytes of a block's beginning that are lines the lake holds as lines of `load`'s source."""
        self.gathering.commit()
        self.gathering.settle()
        records, _ = wrappers.peel(block)
        parsed = odd.parse(records.texts, records.numbers, self.fields)
        context = pa.repeat(pa.scalar(0, pa.int32()), parsed.rows.num_rows)
        rows = normalise.rows(parsed.rows.append_column("context", context), [Context(load.source)], {})
        rows = direction.decide(rows, parsed.rows)
        rejects = [Reject(records.numbers[at], reason, records.raws[at][:RAW_LIMIT]) for at, reason in parsed.rejects]
        lake, begin = self.gathering.lake, block.first_line
        unknown = copies.first_unknown(lake, read_ledger(lake), load.source, rows, rejects, begin)
        return copies.bytes_before(block, unknown)

    def _context(self, source: Source) -> Context:
        origin = wrappers.origin(source.name)
        return Context(
            source.name,
            origin.pod or self.labels.get("pod"),
            origin.namespace or self.labels.get("namespace"),
            self.labels.get("node"),
        )

    def _count(
        self,
        counts: Counts,
        problem: str | None,
        name: str = "",
        first: datetime | None = None,
        last: datetime | None = None,
    ) -> None:
        old = self.summary
        problems = [found for found in old.problems if found[0] != name]  # what is whole by now was still being written
        self.summary = replace(
            old,
            counts=old.counts + counts,
            sources_read=old.sources_read + (counts.lines > 0),
            sources_unchanged=old.sources_unchanged + (counts.lines == 0 and problem is None),
            sources_failed=old.sources_failed + (problem is not None),
            problems=(*problems, (name, problem)) if problem else tuple(problems),
            first_started_at=min(filter(None, (old.first_started_at, first)), default=None),
            last_started_at=max(filter(None, (old.last_started_at, last)), default=None),
        )
