"""Reads a source's bytes: decompression told by the first bytes, then blocks that end at a line's end.

Memory holds one block, whatever the input: a line over the limit is handed on as its beginning and dropped up to its
newline. What stands before damage (a gzip cut short) is delivered before `Broken` says what is wrong.
"""

import bz2
import io
import lzma
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from isal import igzip_lib

from pipeline.errors import why
from pipeline.ingest.shapes import BLOCK_BYTES, ENDING_BYTES, LINE_LIMIT, RAW_LIMIT, Block

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FEED = 128 << 10
"""Compressed bytes read at once."""

_AT_ONCE = 32 << 10
"""Bytes of text that come of them at once at most: of more, Python's own libraries join parts of this size."""

_AT_ONCE_GZIP = 64 << 10
"""The same for isal, which knows no parts. What comes at once with damage is lost with it, so it is not more."""

_ENDING = 64 << 10
"""Bytes at the end of a piece in which its last newline is looked for before it is read."""


class Broken(Exception):  # noqa: N818 - it is no error here: load.py turns it into a `problem`
    """The rest of a source cannot be read; what came before was delivered."""


class Text(Protocol):
    """Decompressed text that can be read forwards."""

    @property
    def compression(self) -> str | None:
        """Name what it is compressed with; None for plain text."""
        ...

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, none at the end; raises `Broken` where the rest is damaged.

        None says that a pipe has nothing at the moment.
        """
        ...

    def read_lines(self, size: int, /) -> bytes | None:
        """Read as `read` does, but end behind a newline where one is near: then nothing need be copied."""
        ...

    def skip(self, size: int, /) -> int:
        """Pass over up to `size` bytes and return how many there were."""
        ...


class _Member(Protocol):
    """What decompresses one gzip member, zstd frame, bzip2 or xz stream; Python's own libraries agree on it."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _gzip() -> _Member:
    member: _Member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    return member


def _zstd() -> _Member:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 31})


_MAGIC: tuple[tuple[bytes, str, Callable[[], _Member], int], ...] = (
    (b"\x1f\x8b", "gzip", _gzip, _AT_ONCE_GZIP),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd, _AT_ONCE),
    *(
        (bytes([low]) + b"\x2a\x4d\x18", "zstd", _zstd, _AT_ONCE) for low in range(0x50, 0x60)
    ),  # skippable: what pzstd begins with
    (b"BZh", "bzip2", bz2.BZ2Decompressor, _AT_ONCE),
    (b"\xfd7zXZ\x00", "xz", lzma.LZMADecompressor, _AT_ONCE),
)
_MAGIC_BYTES = max(len(magic) for magic, *_ in _MAGIC)
_DAMAGE: tuple[type[Exception], ...] = (
    igzip_lib.error,  # type: ignore[assignment]
    zstd.ZstdError,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
)


class _Plain:
    """An uncompressed stream; a file is skipped by seeking."""

    compression = None

    def __init__(self, raw: BinaryIO, head: bytes) -> None:
        self._raw, self._head, self._file = raw, head, _descriptor(raw)

    def read(self, size: int, /) -> bytes | None:
        head, self._head = self._head[:size], self._head[size:]
        try:
            got = self._raw.read(size - len(head)) if len(head) < size else b""
            return head + (got or b"") if head else got
        except OSError as error:
            raise Broken(f"reading stopped: {why(error)}; what came before it was kept") from error

    def read_lines(self, size: int, /) -> bytes | None:
        if self._head or self._file is None or size <= _ENDING:
            return self.read(size)
        try:
            ending = os.pread(self._file, _ENDING, self._raw.tell() + size - _ENDING)
        except OSError as error:
            raise Broken(f"reading stopped: {why(error)}; what came before it was kept") from error
        end = ending.rfind(b"\n") + 1
        return self.read(size - _ENDING + end if end else size)

    def skip(self, size: int, /) -> int:
        if not self._raw.seekable():
            return _read_away(self, size)
        here = self._raw.tell() - len(self._head)
        target = min(here + size, self._raw.seek(0, io.SEEK_END))
        self._head = b""
        return self._raw.seek(target) - here


def _descriptor(raw: BinaryIO) -> int | None:
    """Return the number of a file that can be read at any place; None for pipes and for objects of a store."""
    try:
        return raw.fileno() if raw.seekable() else None
    except (AttributeError, OSError):
        return None


class _Compressed:
    """Compressed members one after another, decompressed as they are asked for."""

    def __init__(self, raw: BinaryIO, head: bytes, kind: str, make: Callable[[], _Member], at_once: int) -> None:
        self._raw, self._rest, self.compression, self._make, self._at_once = raw, head, kind, make, at_once
        self._member = make()
        self._out: list[bytes] = []
        self._held = 0
        self._damage: Broken | None = None
        self._is_done = False

    def read(self, size: int, /) -> bytes | None:
        if not self._gather(size):
            return None
        return self._take(max(0, self._held - size))

    def read_lines(self, size: int, /) -> bytes | None:
        if not self._gather(size):
            return None
        last = self._out[-1] if self._out else b""
        return self._take(len(last) - (last.rfind(b"\n") + 1 or len(last)))

    def _gather(self, size: int) -> bool:
        """Decompress until there is so much; False where a pipe has nothing at the moment and there is nothing."""
        is_waiting = False
        while self._held < size and not self._is_done and not is_waiting:
            is_waiting = not self._step()
        if not self._held and self._damage and not is_waiting:
            raise self._damage
        return bool(self._held) or not is_waiting

    def _take(self, left: int) -> bytes:
        """Hand over, in one copy, all but the last `left` bytes of what is there, which are of its last piece."""
        *whole, last = self._out or [b""]
        got = b"".join((*whole, last[: len(last) - left]))
        self._out = [last[len(last) - left :]] if left else []
        self._held = left
        return got

    def skip(self, size: int, /) -> int:
        return _read_away(self, size)

    def _step(self) -> bool:
        """Decompress a little; False where a pipe has nothing at the moment."""
        try:
            if not self._member.needs_input and not self._member.eof:
                self._feed(b"")
                return True
            data, self._rest = (self._rest or self._raw.read(_FEED)), b""
            if data is None:
                return False
            if data:
                self._feed(data)
            else:
                self._end()
        except _DAMAGE as error:
            self._stop(f"the {self.compression} data is damaged ({error})")
        return True

    def _feed(self, data: bytes) -> None:
        if self._member.eof:
            data = data.lstrip(b"\0")  # xz and tar pad with zeros
            if not data:
                return
            if not _begins(self.compression, data):
                self._stop(f"what follows the {self.compression} data is none: it was left out")
                return
            self._member = self._make()
        if got := self._member.decompress(data, self._at_once):
            self._out.append(got)
            self._held += len(got)
        if self._member.eof:
            self._rest = self._member.unused_data

    def _end(self) -> None:
        self._is_done = True
        if not self._member.eof:
            self._stop(f"the {self.compression} data ends in the middle")

    def _stop(self, what: str) -> None:
        self._is_done, self._damage = True, Broken(f"{what}; what came before it was kept")


def _begins(kind: str, data: bytes) -> bool:
    """Say whether data begins another member of its kind, as far as it goes."""
    return any(data.startswith(magic[: len(data)]) for magic, name, *_ in _MAGIC if name == kind)


def _read_away(text: Text, size: int) -> int:
    left = size
    while left and (got := text.read(min(left, BLOCK_BYTES))):
        left -= len(got)
    return size - left


def read_fully(text: Text, size: int) -> bytes:
    """Read `size` bytes, fewer only where the text ends or is damaged before; a pipe is waited for."""
    got = b""
    try:
        while len(got) < size and (more := text.read(size - len(got))) != b"":
            got += more or b""
    except Broken:
        pass
    return got


def open_text(raw: BinaryIO) -> Text:
    """Wrap a raw byte stream so that it reads as text, whatever it is compressed with; raises `Broken`."""
    try:
        head = b""
        while len(head) < _MAGIC_BYTES and (more := raw.read(_MAGIC_BYTES - len(head))):
            head += more
    except OSError as error:
        raise Broken(f"cannot be read: {why(error)}") from error
    for magic, kind, make, at_once in _MAGIC:
        if head.startswith(magic):
            return _Compressed(raw, head, kind, make, at_once)
    return _Plain(raw, head)


class _Pushed:
    """Text with bytes put back in front of it."""

    def __init__(self, data: bytes, text: Text) -> None:
        self._data, self._text, self.compression = data, text, text.compression

    def read(self, size: int, /) -> bytes | None:
        if self._data:
            got, self._data = self._data[:size], self._data[size:]
            return got
        return self._text.read(size)

    def read_lines(self, size: int, /) -> bytes | None:
        return self.read(size) if self._data else self._text.read_lines(size)

    def skip(self, size: int, /) -> int:
        return _read_away(self, size)


def push_back(data: bytes, text: Text) -> Text:
    """Return text that begins with `data` and goes on as `text` does."""
    return _Pushed(data, text)


def is_compressed(head: bytes) -> bool:
    """Say whether a file that begins like this is compressed."""
    return any(head.startswith(magic) for magic, *_ in _MAGIC)


_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\x1b"))


def binary_reason(head: bytes) -> str | None:
    """Say why text that begins like this is no log; None where it may be one."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is UTF-16, as PowerShell's > writes it: make it UTF-8 with iconv -f UTF-16 -t UTF-8"
    if b"\0" in head:
        return f"does not look like a log: byte {head.index(0) + 1} is NUL"
    if len(head.translate(None, _CONTROL)) * 10 < len(head) * 9:
        return "does not look like a log: it is mostly control characters"
    return None


def blocks(
    text: Text,
    offset: int = 0,
    first_line: int = 1,
    *,
    is_inside: bool = False,
    size: int | None = None,
) -> Iterator[Block]:
    """Cut text into blocks of whole lines, of about `size` bytes; the last block may be one open line.

    `offset` and `first_line` tell where `text` stands. `is_inside` says that it stands in a line that was dealt with
    before: what is left of that line is passed over. Where a pipe has nothing at the moment, an empty block comes.
    Raises `Broken` after the last block that could be read.
    """
    carry, broken = b"", None
    passing = _Passing(b"", 0, b"") if is_inside else None
    for got, broken in _pieces(text, size or BLOCK_BYTES):  # noqa: B007 - raised at the end
        if got is None:
            yield Block(b"", offset, first_line)
            continue
        if passing:
            end = got.find(b"\n") + 1
            passing = passing.further(got[: end or len(got)])
            if not end:
                continue
            yield (block := passing.block(offset, first_line, is_rest=is_inside))
            offset, first_line = offset + block.size, first_line + block.lines
            passing, is_inside, got = None, False, got[end:]
        end = got.rfind(b"\n") + 1
        # what is read is millions of bytes at a time: mostly it is whole lines, and else copied once
        data = got if end == len(got) and not carry else b"".join((carry, memoryview(got)[:end])) if end else b""
        for block in _within_limit(data, offset, first_line):
            yield block
            first_line += block.lines
        offset, carry = offset + len(data), got[end:] if end else carry + got
        if len(carry) > LINE_LIMIT:
            passing, carry = _Passing(carry[:RAW_LIMIT], len(carry), carry[-ENDING_BYTES:]), b""
    if passing and not is_inside:
        yield passing.block(offset, first_line, is_open=True)
    if carry:
        yield Block(carry, offset, first_line, is_open=True)
    if broken:
        raise broken


@dataclass(frozen=True)
class _Passing:
    """A line over the limit that is being passed over: its beginning, its size so far, its last bytes so far."""

    beginning: bytes
    size: int
    ending: bytes

    def further(self, got: bytes) -> "_Passing":
        return _Passing(self.beginning, self.size + len(got), (self.ending + got)[-ENDING_BYTES:])

    def block(self, offset: int, first_line: int, *, is_open: bool = False, is_rest: bool = False) -> Block:
        return Block(self.beginning, offset, first_line, is_open, self.size, self.ending, is_rest)


def _pieces(text: Text, size: int) -> Iterator[tuple[bytes | None, Broken | None]]:
    """Read to the end, piece by piece; damage comes with the last one. None says that a pipe has nothing at the moment.

    Compressed text is read by a thread, one piece ahead: decompressing takes as long as what is done with it.
    """
    if text.compression is None:
        while (piece := _read(text, size))[0] != b"":
            yield piece
        yield piece
        return
    with ThreadPoolExecutor(1) as worker:
        ahead = worker.submit(_read, text, size)
        while (piece := ahead.result())[0] != b"":
            ahead = worker.submit(_read, text, size)
            yield piece
        yield piece


def _read(text: Text, size: int) -> tuple[bytes | None, Broken | None]:
    try:
        return text.read_lines(size), None
    except Broken as broken:
        return b"", broken


def _within_limit(data: bytes, offset: int, first_line: int) -> Iterator[Block]:
    """Cut whole lines where one is over the limit: a block before it, the line's beginning, a block after it."""
    begin = at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + LINE_LIMIT + 1) + 1
        if end:
            at = end
            continue
        if begin < at:
            yield (block := Block(data[begin:at], offset + begin, first_line))
            first_line += block.lines
        end = data.index(b"\n", at) + 1
        ending = data[max(at, end - ENDING_BYTES) : end]
        yield Block(data[at : at + RAW_LIMIT], offset + at, first_line, cut=end - at, ending=ending)
        first_line += 1
        begin = at = end
    if begin < at:
        yield Block(data[begin:at], offset + begin, first_line)
