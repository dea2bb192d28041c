"""Peels off what stands around a record, layer by layer, and joins the records that were split over several lines.

Layers: CRI, the prefixes of tools (`prefixes.py`), Docker's json-file, JSON envelopes (`envelopes.py`); they nest. Text
lines become JSON records (`textlines.py`), and what a wrapper knows is told to the record (`origins.told`), so that the
stages behind see records only. What a line means depends on it and on the pieces before it, never on its block.

How lines count: a record in pieces (CRI `P ... F`, Docker's entries up to a newline, one object printed over several
lines) counts once, under the number of its first line; an envelope that holds many records counts each of them. So
`lines` in `loads` counts records, and blank lines and noise as they stand.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.ingest import envelopes, prefixes, textlines
from pipeline.ingest.origins import NOWHERE, Origin, origin, told
from pipeline.ingest.shapes import LINE_LIMIT, RAW_LIMIT, Block, Records

__all__ = ["NOTHING", "Origin", "Partial", "Pending", "close", "origin", "peel"]

_CRI = re.compile(rb"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([PF])(?::\S*)? ?")
_DOCKER = b'{"log":"'
_DOCKER_PIECE = 16 << 10
"""Bytes at which Docker splits what a program writes."""

_PRETTY_LINES = 200
_PRETTY_BEGIN = re.compile(rb"([ \t]*)\{[ \t\r]*")
_PRETTY_FIRST = re.compile(rb'[ \t]+"[^"]*"[ \t]*:')
_PRETTY = b"{"

_SAMPLE = 8
_LAYERS = 6
"""Wrappers within one another that are peeled."""


@dataclass(frozen=True)
class Partial:
    """The pieces so far of a record that is split: their texts, the lines as read, and the first's number."""

    number: int
    texts: tuple[bytes, ...]
    raws: tuple[bytes, ...]
    origin: Origin = NOWHERE

    @property
    def size(self) -> int:
        """Bytes of text so far."""
        return sum(map(len, self.texts))


Pending = Mapping[bytes, Partial]
"""Stream to the record that it has begun and not ended."""

NOTHING: Pending = {}

Note = Callable[[str], None]
"""Told the name of each layer peeled (for `inspect.py`)."""


def peel(block: Block, pending: Pending = NOTHING, note: Note | None = None) -> tuple[Records, Pending]:
    """Return the records of a block and what its streams have begun; hand the latter to the next call."""
    lines = block.data.split(b"\n")
    if not block.is_open:
        lines.pop()
    if not pending and note is None and _is_bare(lines):
        texts = [line.removesuffix(b"\r") for line in lines] if lines[:1] and lines[0].endswith(b"\r") else lines
        return Records(texts, block.numbers, lines, block.is_open, len(block.data) if block.is_open else 0), NOTHING
    peeling = _Peeling(dict(pending), is_open=block.is_open, note=note)
    for number, line in zip(block.numbers, lines, strict=True):
        peeling.take(line, number)
    return peeling.records(), peeling.pending


def _is_bare(lines: list[bytes]) -> bool:
    """Say whether all lines are plain objects; envelopes among them are opened later, by `odd.py`."""
    bare = all(line.startswith(b'{"') and not line.startswith(_DOCKER) for line in lines)
    return bare and not any(envelopes.opened(_object(line)) for line in lines[:_SAMPLE])


def _object(text: bytes) -> dict[str, Any]:
    """Read an object; an empty one where the text is none."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass
class _Peeling:
    """One block on its way: what has been peeled, and what its streams have begun."""

    pending: dict[bytes, Partial]
    is_open: bool
    note: Note | None = None
    texts: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    _last: int = -1
    _line: bytes = b""
    _sampled: int = 0
    _opens: bool = False
    """Whether this block's objects are worth a look inside: its first ones are envelopes."""

    def add(self, text: bytes, number: int, raw: bytes) -> None:
        self.texts.append(text)
        self.numbers.append(number)
        self.raws.append(raw)

    def records(self) -> Records:
        """Return what was peeled; half a line after a begun record waits with it, since both are read again."""
        is_last = bool(self.numbers) and self.numbers[-1] == self._last
        if self.is_open and self.pending and is_last and not _object(self.texts[-1]):
            half = Partial(self.numbers.pop(), (self.texts.pop(),), (self.raws.pop(),))
            stream, begun = max(self.pending.items(), key=lambda item: item[1].number)
            self.pending[stream] = _joined(begun, half)
        is_begun = any(partial.raws[-1] is self._line for partial in self.pending.values())
        is_open = self.is_open and bool(self.numbers) and not is_begun
        open_bytes = _bytes_in_one_piece(self.raws[-1], self.numbers[-1], self._last) if is_open else 0
        return Records(self.texts, self.numbers, self.raws, is_open, open_bytes)

    def take(self, line: bytes, number: int) -> None:
        """Deal with the next line."""
        self._last, self._line = number, line
        if _PRETTY in self.pending and self._goes_on(line, number):
            return
        if found := _PRETTY_BEGIN.fullmatch(line):
            self.pending[_PRETTY] = Partial(number, (found[1],), (line,))
            return
        text, where, stream = line, NOWHERE, b""
        for _ in range(_LAYERS):
            if text.startswith(b"{"):
                break
            if cri := _CRI.match(text):
                self._say("CRI")
                stream = cri[1] + stream
                text, is_whole = text[cri.end() :].removesuffix(b"\r"), cri[2] == b"F"
                if stream in self.pending or not is_whole:
                    self._piece(stream, Partial(number, (text,), (line,), where), is_last=is_whole)
                    return
                continue
            if (stripped := prefixes.strip(text)) is None:
                break
            name, text, known = stripped
            stream += text and line[: len(line) - len(text)][:_HEAD] if name not in _TIMED else b""
            where = known.or_else(where)
            self._say(name)
        self._record(text, number, line, where)

    def _say(self, name: str) -> None:
        if self.note:
            self.note(name)

    # ---------- records in pieces

    def _piece(self, stream: bytes, piece: Partial, *, is_last: bool) -> None:
        begun = self.pending.pop(stream, None)
        joined = piece if begun is None else _joined(begun, piece)
        if is_last or joined.size > LINE_LIMIT:
            text, where = prefixes.bare(b"".join(joined.texts))
            self._record(text, joined.number, b"\n".join(joined.raws), where.or_else(joined.origin))
        else:
            self.pending[stream] = joined

    def _goes_on(self, line: bytes, number: int) -> bool:
        """Add a line to an object printed over several lines; where it is no part of it, the object ends unfinished."""
        begun = self.pending.pop(_PRETTY)
        indent, count = begun.texts[0], len(begun.raws)
        text = line.strip()
        is_next = number == begun.number + count and count < _PRETTY_LINES and begun.size + len(line) <= RAW_LIMIT
        joined = _joined(begun, Partial(number, (text,), (line,)))
        if is_next and text in (b"}", b"},") and line.startswith(indent + b"}"):
            self._say("one record over several lines")
            self._record(_compact(joined).removesuffix(b","), begun.number, b"\n".join(joined.raws), NOWHERE)
            return True
        is_deeper = line.startswith((indent + b" ", indent + b"\t")) and text != b""
        if is_next and is_deeper and (count > 1 or _PRETTY_FIRST.match(line)):
            self.pending[_PRETTY] = joined
            return True
        self.add(_compact(begun), begun.number, b"\n".join(begun.raws))
        return False

    def _docker(self, text: bytes, number: int, line: bytes, where: Origin) -> bool:
        """Take an entry of Docker's json-file apart; False where it is another collector's object."""
        found = _object(text)
        if not found or not found.keys() <= envelopes.DOCKER_KEYS:
            return False
        self._say("Docker json-file")
        log, stream = str(found["log"]).encode(), b"docker " + str(found.get("stream")).encode()
        whole = log.endswith(b"\n") or _ends_alone(log, is_begun=stream in self.pending)
        if (_object(log) or textlines.read(log)) and (begun := self.pending.pop(stream, None)):
            self.add(b"".join(begun.texts), begun.number, b"\n".join(begun.raws))
        self._piece(stream, Partial(number, (log.rstrip(b"\r\n") if whole else log,), (line,), where), is_last=whole)
        return True

    # ---------- whole records

    def _record(self, text: bytes, number: int, line: bytes, where: Origin) -> None:
        """Open envelopes, write text lines as JSON, tell the record where it is from; `odd.py` does so for the rest."""
        if text.startswith(_DOCKER) and self._docker(text, number, line, where):
            return
        if not self.is_open:
            if text.startswith(b"{"):
                found = _object(text) if self._looks_inside() else {}
                if found and (inner := envelopes.opened(found)):
                    self._opens = True
                    if self.note:
                        self.note(envelopes.kind(found))
                    for record in inner:
                        self.add(told(record, where), number, line)
                    return
            elif textlines.is_text(text) and (record_of := textlines.as_json(text.rstrip(), where)):
                self.add(record_of, number, line)
                return
        self.add(told(text.removesuffix(b"\r"), where), number, line)

    def _looks_inside(self) -> bool:
        self._sampled += 1
        return self._opens or self._sampled <= _SAMPLE or self.note is not None


_TIMED = ("timestamps", "cf logs", "aws logs tail", "syslog", "colours", "grep -n")
"""Prefixes that change from line to line, so that they tell no stream."""
_HEAD = 256


def _ends_alone(log: bytes, *, is_begun: bool) -> bool:
    """Say whether an entry without a newline is whole: Docker's are pieces, but other collectors end none with one."""
    is_piece = is_begun or len(log) >= _DOCKER_PIECE or log.startswith(b"{") or textlines.is_text(log)
    return not is_piece or bool(_object(log)) or (len(log) < _DOCKER_PIECE and textlines.read(log) is not None)


def _compact(begun: Partial) -> bytes:
    """Put an object into one line; a newline is never part of a value."""
    return b" ".join((b"{", *begun.texts[1:]))


def _joined(begun: Partial, piece: Partial) -> Partial:
    return Partial(begun.number, begun.texts + piece.texts, begun.raws + piece.raws, begun.origin)


def _bytes_in_one_piece(raw: bytes, first_line: int, last_line: int) -> int:
    """Measure an open record; 0 where lines of another stream stand between its pieces."""
    return len(raw) if last_line - first_line == raw.count(b"\n") else 0


def close(pending: Pending, last_line: int, *, is_open: bool) -> Records:
    """Return, at the end of a source, the records whose last piece never came; each is its text so far.

    `last_line` is the source's last line number, `is_open` whether it lacks its newline.
    """
    begun = sorted(pending.items(), key=lambda item: item[1].number)
    texts = [_compact(partial) if key == _PRETTY else b"".join(partial.texts) for key, partial in begun]
    raws = [b"\n".join(partial.raws) for _, partial in begun]
    numbers = [partial.number for _, partial in begun]
    open_bytes = 0
    if len(begun) == 1 and (size := _bytes_in_one_piece(raws[0], numbers[0], last_line)):
        open_bytes = size + (not is_open)
    return Records(texts, numbers, raws, bool(begun), open_bytes)
