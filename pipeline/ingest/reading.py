"""Takes one source through the stages up to rows, rejects and counts, and keeps the place where it stands.

    blocks -> scanner -> what it leaves: peel -> scanner again -> what it leaves: odd

Every line becomes exactly one thing, which is asserted whenever a part is handed over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from pipeline.ingest import blocks, copies, odd, resume, wrappers
from pipeline.ingest.fields import FieldMap
from pipeline.ingest.gather import Gathering, Part
from pipeline.ingest.shapes import LINE_LIMIT, RAW_LIMIT, Block, Context, Parsed, Records, Reject
from pipeline.lake.ledger import (
    CHECKPOINT_BYTES,
    HEAD_BYTES,
    TAIL_BYTES,
    Checkpoint,
    Counts,
    digest,
    mark_of,
)

if TYPE_CHECKING:
    from pipeline.ingest.scanner import Scan, Scanner

_PASSED_BYTES = TAIL_BYTES + 2 * LINE_LIMIT
"""Bytes remembered of what was passed: enough for a mark before a torn line."""

_SAMPLE = 64
"""Lines that keys are learnt from."""


class Reading:
    """One source on its way through the stages; `take_part` hands over what was read since the last commit."""

    def __init__(self, source: str, context: Context, fields: FieldMap, start: resume.Start) -> None:
        self.total = Counts()
        self.block_bytes: int | None = None
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
        self.continues = after.load_id if after else None
        """The load at whose mark this one begins."""
        self._begun = self._offset
        self._checkpoints: list[Checkpoint] = []
        self._counts = Counts()
        self._times: list[datetime] = []
        self._pending = wrappers.NOTHING

    @property
    def bytes_read(self) -> int:
        """Bytes of text read so far."""
        return self.total.bytes + self._counts.bytes

    def run(self, gathering: Gathering) -> Iterable[None]:
        """Read to the end; yields where a commit may come between."""
        try:
            text = self._text()
            is_inside = self._start.after is not None and self._start.after.mark.is_cut
            cut = blocks.blocks(text, self._offset, self._lines + 1, is_inside=is_inside, size=self.block_bytes)
            for block in cut:
                if block.size:  # a pipe with nothing at the moment gives an empty one
                    self._check(block)
                    self._block(block, gathering)
                if not self._pending and self._torn is None:
                    self._leave_checkpoint()
                    yield
        except blocks.Broken as broken:
            self.problem = str(broken)
        if self._pending:
            records = wrappers.close(self._pending, self._lines, is_open=self._is_open)
            self._pending = wrappers.NOTHING
            self._records(records, gathering)

    def _leave_checkpoint(self) -> None:
        last = self._checkpoints[-1].offset if self._checkpoints else self._begun
        if self._offset - last >= CHECKPOINT_BYTES and not self._is_open:
            self._checkpoints.append(copies.checkpoint(self._offset, self._lines, self._passed))

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
        left = block
        if gathering.scanner and not (block.is_open or block.is_rest or block.cut or self._pending):
            left = self._scanned(block, gathering.scanner, gathering)
        self._offset, self._lines = block.offset + block.size, self._lines + block.lines
        data = block.ending or block.data
        # a long block is kept as it is: a copy of its end would cost more than it saves
        self._passed = data if len(data) >= _PASSED_BYTES else (self._passed + data)[-_PASSED_BYTES:]
        self._is_open, self._is_cut = block.is_open, block.is_open and bool(block.cut)
        self._counts += Counts(bytes=block.size)
        if block.is_rest:
            return
        if block.cut:
            reason = f"is {block.cut:,} bytes long; the limit is {LINE_LIMIT:,}. Its first bytes are kept"
            self._reject(gathering, (Reject(block.first_line, reason, block.data),))
            return
        records, self._pending = wrappers.peel(left, self._pending)
        self._records(records, gathering)

    def _scanned(self, block: Block, scanner: "Scanner", gathering: Gathering) -> Block:
        """Let the scanner take the lines that it can; returns the others as a block."""
        if not scanner.knows_keys:
            scanner.learn(block.data.split(b"\n", _SAMPLE)[:_SAMPLE])
        scan = self._scan(block.data, block.first_line, scanner, gathering)
        block.has(scan.lines)
        odd = scan.odd
        lines = [block.data[start:end] for start, end, _ in odd]
        if len(odd) * 10 > block.lines:
            scanner.learn(lines[: _SAMPLE // 2] + lines[-_SAMPLE // 2 :])
        picked = [block.first_line + place for _, _, place in odd]
        return Block(b"".join(lines), block.offset, block.first_line, picked=picked)

    def _scan(self, data: bytes, numbers: int | Sequence[int], scanner: "Scanner", gathering: Gathering) -> "Scan":
        """Scan lines with these numbers, or from this one on."""
        scan = scanner.scan(data, numbers, gathering.place_of(self._context))
        gathering.add_scanned(scan.rows)
        self._counts += Counts(lines=scan.rows, rows=scan.rows)
        if scan.rows:
            self._extend_times(_moment(scan.earliest_us), _moment(scan.latest_us))
        return scan

    def _extend_times(self, first: datetime, last: datetime) -> None:
        self._times = [min([*self._times, first]), max([*self._times, last])]

    def _reject(self, gathering: Gathering, rejects: tuple[Reject, ...]) -> None:
        gathering.add_rejects(self._source, rejects)
        self._counts += Counts(lines=len(rejects), rejects=len(rejects))

    def _records(self, records: Records, gathering: Gathering) -> None:
        if not records.texts:
            return
        whole = len(records.texts) - records.is_open
        texts, numbers, raws = records.texts[:whole], records.numbers[:whole], records.raws[:whole]
        if gathering.scanner and whole >= _SAMPLE:
            left = self._peeled(texts, numbers, gathering.scanner, gathering)
            texts, raws = [texts[place] for place in left], [raws[place] for place in left]
            numbers = [numbers[place] for place in left]
        self._keep(odd.parse(texts, numbers, self._fields), numbers, raws, gathering)
        if records.is_open:
            self._open(records, gathering)

    def _peeled(
        self, texts: Sequence[bytes], numbers: Sequence[int], scanner: "Scanner", gathering: Gathering
    ) -> Sequence[int]:
        """Let the scanner take records that are plain once their wrappers are off; returns the places of the others."""
        data = b"\n".join([*texts, b""])
        if data.count(b"\n") > len(texts):
            return range(len(texts))  # a record stands on several lines
        if scanner.learn(texts[:_SAMPLE]) or scanner.knows_keys:
            return [place for _, _, place in self._scan(data, numbers, scanner, gathering).odd]
        return range(len(texts))

    def _open(self, records: Records, gathering: Gathering) -> None:
        """Deal with a last line that may be half of one: a row counts, all else is torn and read again if it grows."""
        texts, numbers, raws = records.texts[-1:], records.numbers[-1:], records.raws[-1:]
        parsed = odd.parse(texts, numbers, self._fields, is_open=True)
        is_whole = parsed.rows.num_rows or len(parsed.rejects) + parsed.noise + parsed.blank > 1
        if is_whole or not records.open_bytes:
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

    def _keep(self, parsed: Parsed, numbers: Sequence[int], raws: Sequence[bytes], gathering: Gathering) -> None:
        if parsed.rows.num_rows:
            gathering.add_rows(parsed.rows, self._context)
            limits = pc.min_max(parsed.rows["started_at"]).as_py()
            self._extend_times(limits["min"], limits["max"])
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
        places = tuple(self._checkpoints)
        flags = {"is_open": self._is_open, "is_cut": self._is_cut}
        mark = mark_of(self._start.head, tail, self._offset, self._lines, **flags, checkpoints=places)
        first, last = (times[0], times[1]) if times else (None, None)
        part = Part(self._source, mark, counts, first, last, self.problem, self._torn, self._takes_back, self.continues)
        self.total += counts
        self.first = min(filter(None, (self.first, first)), default=None)
        self.last = max(filter(None, (self.last, last)), default=None)
        self._counts, self._times, self._takes_back = Counts(), [], None
        self._checkpoints, self._begun = [], self._offset
        return part


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
