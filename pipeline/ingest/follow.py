"""Goes on reading: files that grow, rotate, are truncated or newly appear, or a pipe, in small batches.

Each pass is an ordinary ingest of the files that changed, so what is known is left out by content, whatever rotation
did to names. Two things are more than that. A file is held open as long as it may grow, so that its last lines are
read even where it was renamed out of sight. And a last line without newline waits until the file is quiet, since a
writer that flushes its buffer leaves half a line more often than not.

The lake is held from the first moment to the last, as by any ingest. A file that is truncated in place loses what was
written to it since the last look, at most `LOOK_SECONDS` ago, unless the copy made of it is followed too.
"""

import contextlib
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError, LakeError, UsageError
from pipeline.ingest import blocks
from pipeline.ingest.fields import FieldMap
from pipeline.ingest.load import Ingest, Summary, writing
from pipeline.ingest.merge import merge_small
from pipeline.ingest.pipe import Pipe
from pipeline.ingest.shapes import LINE_LIMIT, Source
from pipeline.ingest.sources import expand
from pipeline.lake.layout import Lake

LOOK_SECONDS = 1.0
"""How often files are looked at."""

GONE_SECONDS = 60.0
"""How long a file is held open after its path has come to lead elsewhere and nothing was added."""

MERGE_SECONDS = 60.0
"""How often it is seen whether there are small batches to merge."""

_PIECE = 64 << 10

Tell = Callable[[str], None]


def follow(
    paths: Sequence[str | PathLike[str]],
    lake_root: str | PathLike[str],
    *,
    every: float,
    has_to_stop: Callable[[], bool],
    tell: Tell,
    mapping: str | PathLike[str] | FieldMap | None = None,
    labels: Mapping[str, str] | None = None,
    stdin: BinaryIO | None = None,
    memory: int | None = None,
) -> Summary:
    """Ingest what there is and what is added, a batch every `every` seconds, until `has_to_stop` or stdin's end.

    Then all that was written by that time is committed. `tell` gets each problem and warning once, as it comes up.
    Raises as `load` does; `UsageError` for standard input beside files, since one of them would wait for the other.
    """
    sources = expand(paths).sources
    is_pipe = [source.path is None for source in sources]
    if any(is_pipe) and len(sources) > 1:
        raise UsageError("--follow takes `-` or files, not both. Run it twice, with a lake for each")
    timer = _Timer(every)
    with writing(sources, lake_root, mapping=mapping, labels=labels, memory=memory, is_due=timer.is_due) as ingest:
        told, merger = _Told(ingest, tell), _Merger(ingest.gathering.lake)
        if any(is_pipe):
            for _ in ingest.read(sources[0], Pipe(stdin or _stdin(), every, has_to_stop)):
                told.news()
                merger.now_and_then()
            told.read.add(sources[0].name)
        else:
            _Following(ingest, paths, told, every).run(timer, merger, has_to_stop)
    told.news()
    return told.summary(expand(paths, told.refusal).skipped)


def _stdin() -> BinaryIO:
    import sys

    return sys.stdin.buffer


@dataclass
class _Timer:
    every: float
    last: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        """Say whether an interval has passed, once each."""
        if time.monotonic() - self.last < self.every:
            return False
        self.last = time.monotonic()
        return True


@dataclass
class _Merger:
    """Merges small batches now and then."""

    lake: Lake
    last: float = field(default_factory=time.monotonic)

    def now_and_then(self) -> None:
        """Merge if some time has passed; a disk that refuses is met again by the next commit, which says so."""
        if time.monotonic() - self.last >= MERGE_SECONDS:
            self.last = time.monotonic()
            with contextlib.suppress(LakeError):
                merge_small(self.lake, datetime.now(UTC))


@dataclass
class _Told:
    """Tells problems and warnings as they come up, each once."""

    ingest: Ingest
    tell: Tell
    known: set[tuple[str, str]] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    """The sources that had something new."""

    def news(self) -> None:
        """Tell what has come up since the last time."""
        for name, text in (*self.ingest.summary.problems, *self.ingest.clock.warnings()):
            if (name, text) not in self.known:
                self.known.add((name, text))
                self.tell(text if text.startswith(name) else f"{name}: {text}")

    def summary(self, skipped: tuple[str, ...]) -> Summary:
        """Return what the follow did, each source counted once, however often it was read."""
        found = self.ingest.summary
        problems = tuple(dict.fromkeys(found.problems))
        return replace(
            found,
            skipped=skipped,
            problems=problems,
            warnings=self.ingest.clock.warnings(),
            sources_failed=len({name for name, _ in problems}),
            sources_read=len(self.read),
            sources_unchanged=0,
        )

    def refusal(self, error: InputError) -> None:
        """Tell of a path that cannot be read; one that is gone is no news."""
        text = str(error)
        missing = ("there is no such file", "no file matches")
        if not any(what in text for what in missing) and ("", text) not in self.known:
            self.known.add(("", text))
            self.tell(text)


@dataclass
class _Held:
    """A file that may grow, held open; `is_moving` while it grew at the last look."""

    source: Source
    file: BinaryIO
    key: tuple[int, int]
    seen: tuple[int, int] = (-1, -1)
    """Size and time of change at the last look."""
    changed_at: float = 0.0
    read: tuple[int, int] = (-1, -1)
    """What `seen` was when it was read, with the size up to which it was."""
    is_gone: bool = False

    def look(self) -> None:
        status = os.fstat(self.file.fileno())
        now = (status.st_size, status.st_mtime_ns)
        if now != self.seen:
            self.seen, self.changed_at = now, time.monotonic()

    @property
    def quiet_for(self) -> float:
        return time.monotonic() - self.changed_at


class _Following:
    """The files that are followed; a pass reads those that changed."""

    def __init__(self, ingest: Ingest, paths: Sequence[str | PathLike[str]], told: _Told, every: float) -> None:
        self._ingest, self._paths, self._told, self._every = ingest, paths, told, every
        self._held: dict[tuple[int, int], _Held] = {}

    def run(self, timer: _Timer, merger: _Merger, has_to_stop: Callable[[], bool]) -> None:
        try:
            while not has_to_stop():
                self._pass(is_last=False)
                if timer.is_due():
                    self._ingest.gathering.commit()
                    self._ingest.gathering.settle()
                    merger.now_and_then()
                self._rest(has_to_stop)
            self._pass(is_last=True)
        finally:
            for held in self._held.values():
                held.file.close()

    def _rest(self, has_to_stop: Callable[[], bool]) -> None:
        until = time.monotonic() + min(LOOK_SECONDS, self._every)
        while time.monotonic() < until and not has_to_stop():
            time.sleep(0.05)

    def _pass(self, *, is_last: bool) -> None:
        self._find()
        for held in self._held.values():
            held.look()
            if held.seen != held.read:
                self._read(held, is_last=is_last)
        self._told.news()
        self._let_go()

    def _find(self) -> None:
        """Hold what the paths lead to now, and note which of the held files they no longer lead to."""
        found = set()
        for source in expand(self._paths, self._told.refusal).sources:
            key = self._hold(source)
            if key:
                found.add(key)
        for key, held in self._held.items():
            held.is_gone = key not in found

    def _hold(self, source: Source) -> tuple[int, int] | None:
        path = Path(source.path or "")
        try:
            status = path.stat()
            key = (status.st_dev, status.st_ino)
            if key in self._held:
                return key
            file = path.open("rb")
        except OSError:
            return None  # it went away in this moment
        status = os.fstat(file.fileno())
        key = (status.st_dev, status.st_ino)
        if key in self._held:
            file.close()
        else:
            self._held[key] = _Held(source, file, key)
        return key

    def _let_go(self) -> None:
        for key, held in list(self._held.items()):
            if held.is_gone and held.seen == held.read and held.quiet_for >= GONE_SECONDS:
                held.file.close()
                del self._held[key]

    def _read(self, held: _Held, *, is_last: bool) -> None:
        """Read a file as far as it can be relied on: whole lines while it moves, everything when it rests."""
        is_quiet = is_last or held.quiet_for >= self._every
        size = held.seen[0] if is_quiet else _whole_lines(held.file, held.seen[0])
        if size is None or (size, held.seen[1]) == held.read:
            return
        limited: BinaryIO = _Upto(held.file, size)  # type: ignore[assignment]  # it reads as a BinaryIO does
        before = self._ingest.summary.counts.lines
        for _ in self._ingest.read(replace(held.source, opened=limited), None):
            pass
        if self._ingest.summary.counts.lines > before:
            self._told.read.add(held.source.name)
        held.read = (size, held.seen[1])


def _whole_lines(file: BinaryIO, size: int) -> int | None:
    """Return the position after the last newline; None for compressed files, which are read when they are whole."""
    file.seek(0)
    if blocks.is_compressed(file.read(8)):
        return None
    end = size
    while end > 0 and size - end <= 2 * LINE_LIMIT:
        begin = max(0, end - _PIECE)
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return size if end else 0


class _Upto(io.RawIOBase):
    """A file as if it ended at `size`."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file, self._size = file, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(self._size if whence == io.SEEK_END else place)

    def tell(self) -> int:
        return self._file.tell()
