"""Explains how a source is read, without writing anything: the same stages as an ingest, and what they saw.

Nothing here decides how a line is read; it asks the stages that do. A place in a line is counted in the bytes of the
line as it stands in the source, wrapper included, wherever the two can be brought together.
"""

import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

import pyarrow.compute as pc

from pipeline.errors import InputError
from pipeline.ingest import blocks, dialects, odd, wrappers
from pipeline.ingest.fields import FieldMap
from pipeline.ingest.shapes import LINE_LIMIT, Block, Parsed, Records, Source
from pipeline.ingest.sources import opened

MOST_SHOWN = 3
"""Lines shown of each kind of trouble, and of noise."""

_MOST_TEMPLATES = 5
_MOST_RAW = 4096


@dataclass(frozen=True)
class Line:
    """A line that is shown: its number, why, its bytes, and the place (0-based) that the reason means."""

    number: int
    reason: str
    raw: bytes
    place: int | None = None


@dataclass(frozen=True)
class Trouble:
    """One kind of reject: how many there are, and the first of them."""

    kind: str
    count: int
    first: tuple[Line, ...]


@dataclass(frozen=True)
class Template:
    """Keys in the order in which records have them, each with the column that it fills (None: `extra`)."""

    dialect: str
    columns: tuple[tuple[str, str | None], ...]
    records: int


@dataclass(frozen=True)
class Explanation:
    """What there is to say about a source."""

    source: str
    compression: str | None
    bytes: int
    counts: Mapping[str, int]
    """`lines`, `rows`, `rejects`, `noise`, `blank`, as `loads` would have them."""
    is_whole: bool
    """Whether everything was read, rather than the lines that were asked for."""
    wrappers: Mapping[str, int]
    dialects: Mapping[str, int]
    templates: tuple[Template, ...]
    unmapped: Mapping[str, int]
    troubles: tuple[Trouble, ...]
    noise: tuple[Line, ...]
    pods: Mapping[str, int]
    first_started_at: datetime | None = None
    last_started_at: datetime | None = None
    problem: str | None = None


@dataclass
class _Seen:
    """What has been seen so far of a source."""

    fields: FieldMap
    pod: str | None
    counts: Counter[str] = field(default_factory=Counter)
    wrappers: Counter[str] = field(default_factory=Counter)
    templates: Counter[tuple[str, tuple[str, ...]]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[Line]] = field(default_factory=dict)
    noise: list[Line] = field(default_factory=list)
    pods: Counter[str] = field(default_factory=Counter)
    times: list[datetime] = field(default_factory=list)

    def see(self, records: Records) -> None:
        """Read a block's records as an ingest does, and keep what is worth telling."""
        parsed = odd.parse(records.texts, records.numbers, self.fields, is_open=records.is_open)
        rejects = len(parsed.rejects)
        self.counts.update(rows=parsed.rows.num_rows, rejects=rejects, noise=parsed.noise, blank=parsed.blank)
        self.counts["lines"] = sum(self.counts[name] for name in ("rows", "rejects", "noise", "blank"))
        for text in records.texts:
            self._see_keys(text)
        for position, reason in parsed.rejects:
            self.trouble(records.numbers[position], reason, records.raws[position], records.texts[position])
        self._see_noise(records, parsed)
        if parsed.rows.num_rows:
            limits = pc.min_max(parsed.rows["started_at"]).as_py()
            self.times = [min([*self.times, limits["min"]]), max([*self.times, limits["max"]])]
            self.pods.update(pod or self.pod or "(not known)" for pod in parsed.rows["pod"].to_pylist())

    def _see_keys(self, text: bytes) -> None:
        text = text.strip()
        if not text.startswith(b"{"):
            return
        found = dialects.read_keys(text, self.fields)
        if found and self.fields.shape(found).may_be_access_log:
            self.templates[dialects.dialect(text, found), tuple(found)] += 1

    def trouble(self, number: int, reason: str, raw: bytes, text: bytes) -> None:
        """Keep a reject, if it is one of the first of its kind."""
        kind = re.sub(r'"(?:[^"\\]|\\.)*"|\d+(?:[.,]\d+)*', "…", reason)
        self.kinds[kind] += 1
        lines = self.first.setdefault(kind, [])
        if len(lines) < MOST_SHOWN:
            at = place(raw, text, reason)
            begin = max(0, (at or 0) - _MOST_RAW // 2)
            lines.append(Line(number, reason, raw[begin : begin + _MOST_RAW], None if at is None else at - begin))

    def _see_noise(self, records: Records, parsed: Parsed) -> None:
        if len(self.noise) >= MOST_SHOWN or not parsed.noise:
            return
        known = {*parsed.rows["line_number"].to_pylist(), *(records.numbers[at] for at, _ in parsed.rejects)}
        for number, raw in zip(records.numbers, records.raws, strict=True):
            if number not in known and raw.strip() and len(self.noise) < MOST_SHOWN:
                self.noise.append(Line(number, "is no access log", raw[:_MOST_RAW]))


def explain(source: Source, fields: FieldMap, *, most_lines: int = 0, stdin: BinaryIO | None = None) -> Explanation:
    """Say how a source is read, its first `most_lines` at least (0: all). Raises `InputError` where it cannot be."""
    try:
        if source.path is None:
            return _explain(source, stdin or sys.stdin.buffer, fields, most_lines)
        with opened(source) as file:
            return _explain(source, file, fields, most_lines)
    except blocks.Broken as error:
        raise InputError(f"{source.name}: {error}. Check the file and its disk") from error


def _explain(source: Source, raw: BinaryIO, fields: FieldMap, most_lines: int) -> Explanation:
    text = blocks.open_text(raw)
    seen = _Seen(fields, wrappers.origin(source.name).pod)
    pending, size, last, is_open, problem, is_whole = wrappers.NOTHING, 0, 0, False, None, True
    try:
        for block in blocks.blocks(text):
            if block.offset == 0 and (reason := blocks.binary_reason(block.data[:_MOST_RAW])):
                raise blocks.Broken(reason)
            pending = _see_block(seen, block, pending)
            size, last, is_open = block.offset + block.size, block.first_line + block.lines - 1, block.is_open
            if most_lines and seen.counts["lines"] >= most_lines:
                is_whole = False
                break
    except blocks.Broken as broken:
        problem = str(broken)
    if is_whole:
        seen.see(wrappers.close(pending, last, is_open=is_open))
    return _explained(source, seen, text.compression, size, is_whole=is_whole, problem=problem)


def _see_block(seen: _Seen, block: Block, pending: wrappers.Pending) -> wrappers.Pending:
    if block.is_rest:
        return pending
    if block.cut:
        seen.counts.update(lines=1, rejects=1)
        reason = f"is {block.cut:,} bytes long; the limit is {LINE_LIMIT:,}. Its first bytes are kept"
        seen.trouble(block.first_line, reason, block.data, b"")
        return pending
    records, pending = wrappers.peel(block, pending, lambda name: seen.wrappers.update([name]))
    seen.see(records)
    return pending


def _explained(
    source: Source, seen: _Seen, compression: str | None, size: int, *, is_whole: bool, problem: str | None
) -> Explanation:
    named: Counter[str] = Counter()
    unmapped: Counter[str] = Counter()
    for (dialect, keys), count in seen.templates.items():
        named[dialect] += count
        unmapped.update({key: count for key in keys if seen.fields.column(key) is None})
    templates = tuple(
        Template(dialect, tuple((key, seen.fields.column(key)) for key in keys), count)
        for (dialect, keys), count in seen.templates.most_common(_MOST_TEMPLATES)
    )
    troubles = tuple(Trouble(kind, count, tuple(seen.first[kind])) for kind, count in seen.kinds.most_common())
    first, last = seen.times or (None, None)
    counts = {name: seen.counts[name] for name in ("lines", "rows", "rejects", "noise", "blank")}
    return Explanation(
        source.name, compression, size, counts, is_whole, dict(seen.wrappers.most_common()),
        dict(named.most_common()), templates, dict(unmapped.most_common()), troubles, tuple(seen.noise),
        dict(seen.pods.most_common()), first, last, problem,
    )  # fmt: skip


_PLACE = re.compile(r"at byte (\d+)|: byte (\d+) \(0x")


def place(raw: bytes, text: bytes, reason: str) -> int | None:
    """Find the place in a line that its reason means; None where it names none, or the wrapper hides it."""
    found = _PLACE.search(reason)
    if found is None:
        return None
    at = int(found[1] or found[2]) - 1
    text = text.strip()
    begin = raw.find(text[:at]) if at else 0
    if begin >= 0 and raw[begin : begin + at] == text[:at]:
        return begin + at
    key = re.match(r"(\S+) is ", reason)
    inside = re.search(rb'\\*"' + re.escape(key[1].encode()) + rb'\\*"\s*:\s*', raw) if key else None
    return inside.end() if inside else None
