"""Peels off what a collector put around a line, and keeps what it knows: so far CRI, and the kubelet's paths.

A record that the container runtime split into partial lines (`P ... F`) is joined per stream and counts once, under
the number of its first line: `lines` in `loads` counts records after joining. A line without a wrapper passes as it
is, so a file may mix both. Further wrappers get their function here and their place in `peel`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pipeline.ingest.shapes import LINE_LIMIT, Block, Records

_CRI = re.compile(rb"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([PF])(?::\S*)? ?")
_LOOKS_CRI = re.compile(rb"(?m)^\d{4}-\d\d-\d\dT\S+ std(?:out|err) [PF]")


@dataclass(frozen=True)
class Partial:
    """The pieces so far of a record that the runtime split: their texts, the lines as read, and the first's number."""

    number: int
    texts: tuple[bytes, ...]
    raws: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes of text so far."""
        return sum(map(len, self.texts))


Pending = Mapping[bytes, Partial]
"""Stream (`stdout`, `stderr`) to the record that it has begun and not ended."""

NOTHING: Pending = {}


@dataclass
class _Peeled:
    texts: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)

    def add(self, text: bytes, number: int, raw: bytes) -> None:
        self.texts.append(text)
        self.numbers.append(number)
        self.raws.append(raw)


def peel(block: Block, pending: Pending = NOTHING) -> tuple[Records, Pending]:
    """Return the records of a block and what its streams have begun; hand the latter to the next call."""
    lines = block.data.split(b"\n")
    if not block.is_open:
        lines.pop()
    if pending or _may_be_cri(block.data):
        return _peel_cri(block, lines, dict(pending))
    texts = [line.removesuffix(b"\r") for line in lines] if b"\r\n" in block.data else lines
    numbers = range(block.first_line, block.first_line + len(lines))
    return Records(texts, numbers, lines, block.is_open, len(block.data) if block.is_open else 0), NOTHING


def _may_be_cri(data: bytes) -> bool:
    return (b" stdout " in data or b" stderr " in data) and _LOOKS_CRI.search(data) is not None


def _peel_cri(block: Block, lines: list[bytes], pending: dict[bytes, Partial]) -> tuple[Records, Pending]:
    peeled = _Peeled()
    for number, line in enumerate(lines, block.first_line):
        found = _CRI.match(line)
        if found is None:
            peeled.add(line, number, line)
            continue
        stream, text = found[1], line[found.end() :].removesuffix(b"\r")
        begun = pending.pop(stream, None)
        if begun is None and found[2] == b"F":
            peeled.add(text, number, line)
            continue
        joined = _join(begun, number, text, line)
        if found[2] == b"P" and joined.size <= LINE_LIMIT:
            pending[stream] = joined
        else:
            peeled.add(b"".join(joined.texts), joined.number, b"\n".join(joined.raws))
    is_open = block.is_open and bool(peeled.texts)
    open_bytes = _bytes_in_one_piece(peeled, block.first_line) if is_open else 0
    return Records(peeled.texts, peeled.numbers, peeled.raws, is_open, open_bytes), pending


def _bytes_in_one_piece(peeled: _Peeled, last_line: int) -> int:
    """Measure an open record; 0 where lines of the other stream stand between its pieces."""
    raw = peeled.raws[-1]
    return len(raw) if last_line - peeled.numbers[-1] == raw.count(b"\n") else 0


def _join(begun: Partial | None, number: int, text: bytes, raw: bytes) -> Partial:
    if begun is None:
        return Partial(number, (text,), (raw,))
    return Partial(begun.number, (*begun.texts, text), (*begun.raws, raw))


def close(pending: Pending, last_line: int, *, is_open: bool) -> Records:
    """Return, at the end of a source, the records whose last piece never came; each is its text so far.

    `last_line` is the source's last line number, `is_open` whether it lacks its newline.
    """
    begun = sorted(pending.values(), key=lambda partial: partial.number)
    peeled = _Peeled()
    for partial in begun:
        peeled.add(b"".join(partial.texts), partial.number, b"\n".join(partial.raws))
    open_bytes = 0
    if len(begun) == 1 and (size := _bytes_in_one_piece(peeled, last_line)):
        open_bytes = size + (not is_open)
    return Records(peeled.texts, peeled.numbers, peeled.raws, bool(begun), open_bytes)


@dataclass(frozen=True)
class Origin:
    """What a path says about the lines in it."""

    pod: str | None = None
    namespace: str | None = None


_POD_FOLDER = re.compile(r"(?P<namespace>[a-z0-9-]+)_(?P<pod>[a-z0-9.-]+)_[0-9a-f-]{16,}")
_CONTAINER_LINK = re.compile(r"(?P<pod>[a-z0-9.-]+)_(?P<namespace>[a-z0-9-]+)_[a-z0-9-]+-[0-9a-f]{64}")
_COLLECTED = re.compile(
    r"(?P<namespace>[a-z0-9-]+)_(?P<pod>[a-z0-9.-]+)_"
    r"(?:(?:istio-proxy|envoy)|(?<=-[a-z0-9]{5}_)[a-z0-9-]+|(?<=-[0-9]_)[a-z0-9-]+)"
)
"""Other names with two underscores say nothing: a pod's name ends as Kubernetes makes them, or a proxy follows it."""


def origin(path: str) -> Origin:
    """Read pod and namespace from a path of the kubelet's making.

    Knows `.../NS_POD_UID/CONTAINER/0.log`, `.../POD_NS_CONTAINER-ID.log` and `.../NS_POD_CONTAINER.log`.
    """
    for found in _matches(PurePosixPath(path)):
        return Origin(found["pod"], found["namespace"])
    return Origin()


def _matches(path: PurePosixPath) -> Iterator[re.Match[str]]:
    folder = path.parent.parent.name
    stem = re.split(r"\.log(?:[.-]|$)", path.name)[0]
    tries = [(_POD_FOLDER, folder), (_CONTAINER_LINK, stem)]
    if stem != path.name:
        tries.append((_COLLECTED, stem))
    for pattern, text in tries:
        if found := pattern.fullmatch(text):
            yield found
