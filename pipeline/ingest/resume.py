"""Finds out how much of a source the lake already holds, by its content alone.

A load's mark fits where the text begins with the same bytes and the stretch before the mark is the same too; then
reading goes on at the mark. Where a known text begins like it and leads further, `copies` looks how far they agree.
Otherwise the source is new, whatever its name. A file is opened anew for each try; standard input cannot be, so what
was read from it is kept aside until the question is settled.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.ingest import copies
from pipeline.ingest.blocks import Broken, Text, open_text, push_back, read_fully
from pipeline.ingest.pipe import Pipe
from pipeline.ingest.shapes import Source
from pipeline.ingest.sources import opened
from pipeline.lake.ledger import HEAD_BYTES, STARTS, Load, digest

_SPOOL_BYTES = 64 << 20


@dataclass(frozen=True)
class Start:
    """A source's text, standing where reading begins, and the load that this continues (None: at the beginning)."""

    text: Text
    head: bytes
    tail: bytes
    after: Load | None
    position: Callable[[], int]
    """Tells how many bytes of the source, as it lies on the disk, have been read."""


class _Replay(io.RawIOBase):
    """A stream that can be rewound until `settle` is called."""

    def __init__(self, raw: BinaryIO | Pipe) -> None:
        super().__init__()
        self._raw = raw
        self._spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - closed by `close`
        self._is_settled = False
        self._taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes | None:
        if kept := self._spool.read(size):
            return kept
        if (got := self._raw.read(size)) is None:  # a pipe that has nothing at the moment
            return None
        self._taken += len(got)
        if not self._is_settled:
            self._spool.write(got)
        return got

    def tell(self) -> int:
        return self._taken

    def rewind(self) -> None:
        self._spool.seek(0)
        if isinstance(self._raw, Pipe):
            self._raw.go_on()

    def settle(self) -> None:
        self._is_settled = True
        if isinstance(self._raw, Pipe):
            self._raw.is_patient = False

    def close(self) -> None:
        self._spool.close()
        super().close()


@contextlib.contextmanager
def begin(
    source: Source,
    stdin: BinaryIO | Pipe | None,
    candidates: Callable[[bytes], list[Load]],
    beyond: Callable[[bytes, int], list[Load]] = lambda _head, _offset: [],
    same: copies.Same = lambda _load, _block: 0,
) -> Iterator[Start]:
    """Open a source where reading has to begin.

    `candidates` names the loads that a head of text may belong to, `beyond` those that begin like it and lead further
    than an offset; `same` compares lines with the lake's (see `copies`).

    Raises `InputError` where the file cannot be opened any more.
    """
    with contextlib.ExitStack() as stack:
        reopen, settle, position = _opener(source, stdin, stack)
        head = read_fully(reopen(), HEAD_BYTES)
        text, tail, fit = _furthest_mark(reopen, [load for load in candidates(head) if _tells(load, source)])
        if further := beyond(head, fit.mark.offset if fit else 0):
            place = copies.further(reopen, fit, further, same)
            text, tail, fit = place or _furthest_mark(reopen, [fit] if fit else [])
        settle()
        yield Start(text, head, tail, fit, position)


def _tells(load: Load, source: Source) -> bool:
    """Say whether a load may be told by its content.

    Half a first line is much like any other's: it belongs to the file of its name, as long as that begins with it.
    """
    torn = load.torn
    if torn is None or load.mark.offset + torn.counts.bytes >= STARTS[0] or load.source == source.name:
        return True
    try:
        with Path(load.source).open("rb") as file:
            return digest(file.read(load.mark.offset + torn.counts.bytes)[load.mark.offset :]) != torn.digest
    except OSError:
        return True


def _furthest_mark(reopen: Callable[[], Text], candidates: list[Load]) -> tuple[Text, bytes, Load | None]:
    """Return the text at the furthest mark that fits, what stands before it, and the mark's load."""
    for load in candidates:
        text = reopen()
        tail = _tail_before(text, load)
        if tail is None:
            continue
        if load.torn is None:
            return text, tail, load
        begun = read_fully(text, load.torn.counts.bytes)
        if digest(begun) == load.torn.digest:  # else the text goes on otherwise: it is another one
            return push_back(begun, text), tail, load
    return reopen(), b"", None


def _opener(
    source: Source, stdin: BinaryIO | Pipe | None, stack: contextlib.ExitStack
) -> tuple[Callable[[], Text], Callable[[], None], Callable[[], int]]:
    if source.path is None:
        replay = stack.enter_context(contextlib.closing(_Replay(stdin or sys.stdin.buffer)))

        def again() -> Text:
            replay.rewind()
            return open_text(replay)  # type: ignore[arg-type]  # it reads as a BinaryIO does

        return again, replay.settle, replay.tell
    if source.opened is not None:
        held = source.opened

        def back() -> Text:
            held.seek(0)
            return open_text(held)

        return back, lambda: None, held.tell
    file = stack.enter_context(opened(source))

    def anew() -> Text:
        file.seek(0)
        return open_text(file)

    return anew, lambda: None, file.tell


def _tail_before(text: Text, load: Load) -> bytes | None:
    """Return the text before the load's mark, which is then where `text` stands; None where the text is another."""
    mark = load.mark
    try:
        if text.skip(mark.offset - mark.tail_bytes) < mark.offset - mark.tail_bytes:
            return None
    except Broken:
        return None
    tail = read_fully(text, mark.tail_bytes)
    return tail if len(tail) == mark.tail_bytes and digest(tail) == mark.tail else None
