"""Goes on reading: files that grow, rotate, are truncated or newly appear, or a pipe, in small batches.

Each pass is an ordinary ingest of the files that changed, so what is known is left out by content, whatever rotation
did to names. Two things are more than that. A file is held open as long as it may grow, so that its last lines are
read even where it was renamed out of sight; of more files than may be open, those that changed last. And a last line
without newline waits until the file is quiet, since a writer that flushes its buffer leaves half a line more often
than not.

The lake is held from the first moment to the last, as by any ingest. A file that is truncated in place loses what was
written to it since the last look, at most `LOOK_SECONDS` ago, unless the copy made of it is followed too. So does one
that is not held open and is renamed out of sight.
"""

import contextlib
import io
import os
import resource
import sys
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
from pipeline.lake.ledger import Known, read_ledger, remove_leftovers

LOOK_SECONDS = 1.0
"""How often files are looked at."""

GONE_SECONDS = 60.0
"""How long a file is held open after its path has come to lead elsewhere and nothing was added."""

MERGE_SECONDS = 60.0
"""How often it is seen whether there are small batches to merge."""

OPEN_FILES = 1024
"""How many files are held open at most, and never more than half of what the process may open."""

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
    if stored := next((source for source in sources if source.open), None):
        raise UsageError(
            f"--follow {stored.name}: an object does not grow. Ingest its prefix again, as often as need be"
        )
    is_pipe = [source.path is None for source in sources]
    if any(is_pipe) and len(sources) > 1:
        raise UsageError("--follow takes `-` or files, not both. Run it twice, with a lake for each")
    timer = _Timer(every)
    with writing(sources, lake_root, mapping=mapping, labels=labels, memory=memory, is_due=timer.is_due) as ingest:
        told, merger = _Told(ingest, tell), _Merger(ingest)
        if any(is_pipe):
            for _ in ingest.read(sources[0], Pipe(stdin or sys.stdin.buffer, every, has_to_stop)):
                told.news()
                merger.now_and_then()
            told.read.add(sources[0].name)
        else:
            _Following(ingest, paths, told, every).run(timer, merger, has_to_stop)
    told.news()
    return told.summary(expand(paths, told.refusal).skipped)


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
    """Merges small batches now and then, so that a follow of weeks leaves neither files nor memory full of them."""

    ingest: Ingest
    last: float = field(default_factory=time.monotonic)

    def now_and_then(self) -> None:
        """Merge if some time has passed; a disk that refuses is met again by the next commit, which says so."""
        if time.monotonic() - self.last < MERGE_SECONDS:
            return
        self.last = time.monotonic()
        gathering, lake = self.ingest.gathering, self.ingest.gathering.lake
        gathering.commit()
        gathering.settle()  # what is being written is named by no record, as what was left behind is
        with contextlib.suppress(LakeError):
            if merge_small(lake, datetime.now(UTC)):
                held = read_ledger(lake)
                remove_leftovers(lake, held)
                self.ingest.known = Known(held)


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
    """A file that may grow, held open where `file` is set."""

    source: Source
    key: tuple[int, int]
    """Device and inode: the file, whatever it is called by now."""
    path: str = ""
    """Where it was at the last look."""
    file: BinaryIO | None = None
    seen: tuple[int, int] = (-1, -1)
    """Size and time of change at the last look."""
    changed_at: float = 0.0
    read: tuple[int, int] = (-1, -1)
    """What `seen` was when it was read, with the size up to which it was."""
    is_gone: bool = False
    """Whether the paths no longer lead to it."""

    def look(self, status: os.stat_result) -> None:
        now = (status.st_size, status.st_mtime_ns)
        if now != self.seen:
            self.seen, self.changed_at = now, time.monotonic()

    def open(self) -> BinaryIO | None:
        """Open it if it is not; None where its path has come to lead elsewhere."""
        if self.file is None:
            with contextlib.suppress(OSError):
                # without a buffer, which would show what was there before a truncation
                file = Path(self.path).open("rb", buffering=0)  # noqa: SIM115 - `close` closes it
                if _key(os.fstat(file.fileno())) == self.key:
                    self.file = file
                else:
                    file.close()
        return self.file

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    @property
    def quiet_for(self) -> float:
        return time.monotonic() - self.changed_at


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class _Following:
    """The files that are followed; a pass reads those that changed."""

    def __init__(self, ingest: Ingest, paths: Sequence[str | PathLike[str]], told: _Told, every: float) -> None:
        self._ingest, self._paths, self._told, self._every = ingest, paths, told, every
        self._held: dict[tuple[int, int], _Held] = {}
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most_open = OPEN_FILES if limit == resource.RLIM_INFINITY else min(OPEN_FILES, limit // 2)

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
                held.close()

    def _rest(self, has_to_stop: Callable[[], bool]) -> None:
        until = time.monotonic() + min(LOOK_SECONDS, self._every)
        while time.monotonic() < until and not has_to_stop():
            time.sleep(0.05)

    def _pass(self, *, is_last: bool) -> None:
        self._find()
        self._choose_open()
        for held in self._held.values():
            if held.seen != held.read:
                was_open = held.file is not None
                self._read(held, is_last=is_last)
                if not was_open:
                    held.close()
        self._told.news()
        self._let_go()

    def _find(self) -> None:
        """Look at what the paths lead to now, and at the held files that they no longer lead to."""
        found = set()
        for source in expand(self._paths, self._told.refusal).sources:
            with contextlib.suppress(OSError):  # it went away in this moment
                status = Path(source.path or "").stat()
                key = _key(status)
                found.add(key)
                held = self._held.setdefault(key, _Held(source, key))
                held.path = source.path or ""
                held.look(status)
                if held.file is None:  # renamed, or another file that got the number of one that is gone
                    held.source = source
        for key, held in self._held.items():
            held.is_gone = key not in found
            if held.is_gone and held.file:
                held.look(os.fstat(held.file.fileno()))

    def _choose_open(self) -> None:
        """Hold the files open that changed last, above all those that no path leads to: they cannot be opened again."""
        latest = sorted(self._held.values(), key=lambda held: (held.is_gone, held.seen[1]), reverse=True)
        for held in latest[self._most_open :]:
            if held.is_gone:
                self._read(held, is_last=True)
            held.close()
        for held in latest[: self._most_open]:
            held.open()

    def _let_go(self) -> None:
        for key, held in list(self._held.items()):
            is_read = held.seen == held.read and held.quiet_for >= GONE_SECONDS
            if held.is_gone and (is_read or held.file is None):
                held.close()
                del self._held[key]

    def _read(self, held: _Held, *, is_last: bool) -> None:
        """Read a file as far as it can be relied on: whole lines while it moves, everything when it rests."""
        file = held.open()
        if file is None:
            return
        is_quiet = is_last or held.quiet_for >= self._every
        size = held.seen[0] if is_quiet else _whole_lines(file, held.seen[0])
        if size is None or (size, held.seen[1]) == held.read:
            return
        limited: BinaryIO = _Upto(file, size)  # type: ignore[assignment]  # it reads as a BinaryIO does
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
