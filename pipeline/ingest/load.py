"""The whole ingest: the one module that knows the order of the stages.

    expand -> resume -> blocks -> peel -> template and kernel, or odd -> normalise -> direction -> gather -> commit

What is wrong with the call (a missing path, no rights, a named file that is no log) ends it before anything is
written. What is wrong with one source on the way (damage, a binary file in a folder) is that source's `problem`: what
came before it is kept, the others are read, and the summary says so.

The law holds for every source: lines = rows + rejects + noise + blank.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import pyarrow.compute as pc

from pipeline.errors import InputError
from pipeline.ingest import blocks, direction, kernel, normalise, odd, resume, templates, wrappers
from pipeline.ingest.fields import DEFAULT, FieldMap, read_mapping
from pipeline.ingest.gather import Gathering, Part
from pipeline.ingest.shapes import LINE_LIMIT, RAW_LIMIT, Block, Context, Parsed, Records, Reject, Source, Template
from pipeline.ingest.sources import expand, total_bytes
from pipeline.lake.layout import Lake, create_lake
from pipeline.lake.ledger import (
    HEAD_BYTES,
    TAIL_BYTES,
    Counts,
    Known,
    digest,
    mark_of,
    read_ledger,
    remove_leftovers,
    write_lock,
)

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
) -> Summary:
    """Ingest files, folders, globs and `-` into the lake, which is made where there is none.

    `mapping` is a TOML file (see `fields.read_mapping`); `labels` fill `pod`, `namespace` and `node` where a line does
    not know them, and go to `extra` otherwise. Text that the lake holds already is not read again. Raises `InputError`
    and `UsageError` before anything is written, `LockedError` where another ingest holds the lake, `LakeError` where
    the disk refuses; batches that were committed before stay.
    """
    fields = mapping if isinstance(mapping, FieldMap) else read_mapping(Path(mapping)) if mapping else DEFAULT
    expansion = expand(paths)
    for source in expansion.sources:
        _refuse_binary(source)
    lake = create_lake(Path(lake_root))
    with write_lock(lake):
        ledger = read_ledger(lake)
        remove_leftovers(lake, ledger)
        ingest = _Ingest(_gathering(lake, labels or {}), Known(ledger), fields, labels or {})
        done, total = 0, total_bytes(expansion.sources)
        for source in expansion.sources:
            for position in ingest.read(source, stdin):
                if progress:
                    progress(done + position, total)
            done += source.size or 0
        if progress:
            progress(done, total)
        ingest.gathering.commit()
    return replace(ingest.summary, skipped=expansion.skipped)


def _gathering(lake: Lake, labels: Mapping[str, str]) -> Gathering:
    others = {key: value for key, value in labels.items() if key not in ("pod", "namespace", "node")}
    return Gathering(lake, lambda: datetime.now(UTC), lambda parts: direction.decide(normalise.rows(parts, others)))


def _refuse_binary(source: Source) -> None:
    """Stop before anything is written where a file that the user named is no log."""
    if source.path is None or not source.is_named:
        return
    try:
        with Path(source.path).open("rb") as file:
            head = blocks.read_fully(blocks.open_text(file), HEAD_BYTES)
    except blocks.Broken as error:
        raise InputError(f"{source.path}: {error}. Check the file and its disk") from error
    if reason := blocks.binary_reason(head):
        raise InputError(f"{source.path}: {reason}. Name log files, or the folder that holds them")


@dataclass
class _Ingest:
    gathering: Gathering
    known: Known
    fields: FieldMap
    labels: Mapping[str, str]
    template: Template | None = None
    """The last source's: its neighbour's lines are mostly of the same kind."""
    summary: Summary = field(default_factory=Summary)

    def read(self, source: Source, stdin: BinaryIO | None) -> Iterator[int]:
        """Read what is new in a source and commit whenever a batch is full; yields the bytes of the source passed."""
        try:
            with resume.begin(source, stdin, self.known.candidates) as start:
                reading = _Reading(source.name, self.context(source), self.fields, start, self.template)
                for _ in reading.run(self.gathering):
                    yield start.position()
                    if self.gathering.is_full:
                        self._keep(reading)
                        self.gathering.commit()
                self._keep(reading)
                self.template = reading.template
        except (InputError, blocks.Broken) as error:
            self._count(Counts(), str(error), source.name)
            return
        self._count(reading.total, reading.problem, source.name, reading.first, reading.last)

    def _keep(self, reading: "_Reading") -> None:
        part = reading.take_part()
        if part is not None:
            load = self.gathering.add_load(part)
            self.known.add(load)

    def context(self, source: Source) -> Context:
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
        self.summary = replace(
            old,
            counts=old.counts + counts,
            sources_read=old.sources_read + (counts.lines > 0),
            sources_unchanged=old.sources_unchanged + (counts.lines == 0 and problem is None),
            sources_failed=old.sources_failed + (problem is not None),
            problems=(*old.problems, (name, problem)) if problem else old.problems,
            first_started_at=min(filter(None, (old.first_started_at, first)), default=None),
            last_started_at=max(filter(None, (old.last_started_at, last)), default=None),
        )


_PASSED_BYTES = TAIL_BYTES + 2 * LINE_LIMIT
"""Bytes remembered of what was passed: enough for a mark before a torn line."""

_FEW = 16
"""Fewer lines than this are read one at a time."""


class _Reading:
    """One source on its way through the stages; `take_part` hands over what was read since the last commit."""

    def __init__(
        self, source: str, context: Context, fields: FieldMap, start: resume.Start, template: Template | None
    ) -> None:
        self.total = Counts()
        self.problem: str | None = None
        self.first: datetime | None = None
        self.last: datetime | None = None
        self._source, self._context, self._fields, self._start = source, context, fields, start
        after = start.after
        self._offset, self._lines = (after.mark.offset, after.mark.lines) if after else (0, 0)
        self._passed = start.tail
        self._is_open = self._is_cut = False
        self._torn: tuple[str, Counts, Reject | None] | None = None
        self._takes_back = after.load_id if after and after.torn else None
        self._counts = Counts()
        self._times: list[datetime] = []
        self._pending = wrappers.NOTHING
        self.template = template

    def run(self, gathering: Gathering) -> Iterable[None]:
        """Read to the end; yields where a commit may come between."""
        try:
            text = self._text()
            is_inside = self._start.after is not None and self._start.after.mark.is_cut
            for block in blocks.blocks(text, self._offset, self._lines + 1, is_inside=is_inside):
                self._check(block)
                self._block(block, gathering)
                if not self._pending and self._torn is None:
                    yield
        except blocks.Broken as broken:
            self.problem = str(broken)
        if self._pending:
            records = wrappers.close(self._pending, self._lines, is_open=self._is_open)
            self._pending = wrappers.NOTHING
            self._records(records, gathering)

    def _text(self) -> blocks.Text:
        """Return what is left to be read: not the newline of a row that was read, no torn line that is as it was."""
        text, after = self._start.text, self._start.after
        if after and after.torn:
            size = after.torn.counts.bytes
            got = blocks.read_fully(text, size + 1)
            is_same = len(got) == size and digest(got) == after.torn.digest
            return text if is_same else blocks.push_back(got, text)
        if after and after.mark.is_open and not after.mark.is_cut:
            got = blocks.read_fully(text, 2)
            newline = got[: 1 if got[:1] == b"\n" else 2 if got == b"\r\n" else 0]
            self._offset += len(newline)
            self._passed += newline
            return blocks.push_back(got[len(newline) :], text)
        return text

    def _check(self, block: Block) -> None:
        if block.offset == 0 and (reason := blocks.binary_reason(block.data[:HEAD_BYTES])):
            raise blocks.Broken(reason)

    def _block(self, block: Block, gathering: Gathering) -> None:
        self._offset, self._lines = block.offset + block.size, self._lines + block.lines
        data = block.ending or block.data
        self._passed = data[-_PASSED_BYTES:] if len(data) >= _PASSED_BYTES else (self._passed + data)[-_PASSED_BYTES:]
        self._is_open, self._is_cut = block.is_open, block.is_open and bool(block.cut)
        self._counts += Counts(bytes=block.size)
        if block.is_rest:
            return
        if block.cut:
            reason = f"is {block.cut:,} bytes long; the limit is {LINE_LIMIT:,}. Its first bytes are kept"
            self._reject(gathering, (Reject(block.first_line, reason, block.data),))
            return
        records, self._pending = wrappers.peel(block, self._pending)
        self._records(records, gathering)

    def _reject(self, gathering: Gathering, rejects: tuple[Reject, ...]) -> None:
        gathering.add_rejects(self._source, rejects)
        self._counts += Counts(lines=len(rejects), rejects=len(rejects))

    def _records(self, records: Records, gathering: Gathering) -> None:
        whole = len(records.texts) - records.is_open
        self._whole(records.texts[:whole], records.numbers[:whole], records.raws[:whole], gathering)
        if records.is_open:
            self._open(records, gathering)

    def _open(self, records: Records, gathering: Gathering) -> None:
        """Deal with a last line that may be half of one: a row counts, all else is torn and read again if it grows."""
        texts, numbers, raws = records.texts[-1:], records.numbers[-1:], records.raws[-1:]
        parsed = odd.parse(texts, numbers, self._fields, is_open=True)
        if parsed.rows.num_rows or not records.open_bytes:
            self._keep(parsed, numbers, raws, gathering)
            return
        size = records.open_bytes
        rejects = len(parsed.rejects)
        counts = Counts(lines=1, rejects=rejects, noise=parsed.noise, blank=parsed.blank, bytes=size)
        reject = Reject(numbers[0], parsed.rejects[0][1], raws[0][:RAW_LIMIT]) if rejects else None
        self._torn = (digest(self._passed[-size:]), counts, reject)
        self._counts += replace(counts, bytes=0)
        self._offset, self._passed = self._offset - size, self._passed[:-size]
        self._lines, self._is_open = numbers[0] - 1, False

    def _whole(
        self, texts: Sequence[bytes], numbers: Sequence[int], raws: Sequence[bytes], gathering: Gathering
    ) -> None:
        clean = [position for position, text in enumerate(texts) if kernel.is_clean(text)]
        left = sorted({*range(len(texts))} - {*clean}) if len(clean) < len(texts) else []
        left += self._at_once(texts, numbers, clean, gathering)
        if left:
            left.sort()
            of = (lambda values: values) if len(left) == len(texts) else (lambda values: [values[at] for at in left])
            self._keep(odd.parse(of(texts), of(numbers), self._fields), of(numbers), of(raws), gathering)

    def _at_once(
        self, texts: Sequence[bytes], numbers: Sequence[int], places: list[int], gathering: Gathering
    ) -> list[int]:
        """Parse the lines at `places` through the template; returns the places that are left for `odd`."""
        if len(places) < _FEW:
            return places
        chosen = [texts[at] for at in places]
        self.template = self.template or templates.learn(chosen, self._fields)
        if self.template is None:
            return places
        where = [numbers[at] for at in places]
        columns = kernel.parse(chosen, where, self.template)
        if columns is None and (learnt := templates.learn(chosen, self._fields)) not in (None, self.template):
            self.template = learnt
            columns = kernel.parse(chosen, where, learnt)
        if columns is None:
            half = len(places) // 2
            first = self._at_once(texts, numbers, places[:half], gathering)
            return first + self._at_once(texts, numbers, places[half:], gathering)
        self._keep(Parsed(columns.rows), (), (), gathering)
        left = [places[at] for at in columns.misfits]
        if len(left) * 10 > len(places):
            mixed = [texts[at] for at in left[: templates.SAMPLE // 2]] + chosen[: templates.SAMPLE // 2]
            self.template = templates.learn(mixed, self._fields) or self.template
        return left

    def _keep(self, parsed: Parsed, numbers: Sequence[int], raws: Sequence[bytes], gathering: Gathering) -> None:
        if parsed.rows.num_rows:
            gathering.add_rows(parsed.rows, self._context)
            limits = pc.min_max(parsed.rows["started_at"]).as_py()
            self._times = [f(self._times + list(limits.values())) for f in (min, max)]
        if parsed.rejects:
            rejects = tuple(Reject(numbers[at], reason, raws[at][:RAW_LIMIT]) for at, reason in parsed.rejects)
            gathering.add_rejects(self._source, rejects)
        rows, rejected = parsed.rows.num_rows, len(parsed.rejects)
        lines = rows + rejected + parsed.noise + parsed.blank
        self._counts += Counts(lines, rows, rejected, parsed.noise, parsed.blank)

    def take_part(self) -> Part | None:
        """Hand over what was read since the last commit; None where there is nothing."""
        counts, times = self._counts, self._times
        if not counts.obeys_the_law():
            raise AssertionError(f"{self._source}: lines are not rows + rejects + noise + blank: {counts}")
        if not counts.lines:
            return None
        tail = self._passed[-TAIL_BYTES:]
        mark = mark_of(self._start.head, tail, self._offset, self._lines, is_open=self._is_open, is_cut=self._is_cut)
        first, last = (times[0], times[1]) if times else (None, None)
        part = Part(self._source, mark, counts, first, last, self.problem, self._torn, self._takes_back)
        self.total += counts
        self.first = min(filter(None, (self.first, first)), default=None)
        self.last = max(filter(None, (self.last, last)), default=None)
        self._counts, self._times, self._takes_back = Counts(), [], None
        return part
