"""A pipe read as it comes: what is there at once, and word that there is nothing, so that a commit need not wait.

Until the question is settled where reading begins, a read waits for its bytes; but the very first ones (by which a
known text is recognised) are waited for no longer than one interval, so that a slow pipe is not held back.
"""

import io
import os
import select
import time
from collections.abc import Callable
from typing import BinaryIO

from pipeline.lake.ledger import HEAD_BYTES

_TICK = 0.2


class Pipe:
    """A binary stream for `load`, made of another; `has_to_stop` ends it early, as if it ended there."""

    def __init__(self, raw: BinaryIO, every: float, has_to_stop: Callable[[], bool]) -> None:
        self.is_patient = True
        self._raw, self._every, self._has_to_stop = raw, every, has_to_stop
        self._taken = 0
        self._first: float | None = None
        self._has_paused = self._is_paused = False

    def go_on(self) -> None:
        """End the pause that the first bytes are given."""
        self._is_paused = False

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, none at the end, None where there is nothing and the pipe is not patient."""
        while not self._has_to_stop():
            if self._is_ready():
                got = self._take(size)
                self._taken += len(got)
                self._first = self._first or time.monotonic()
                return got
            if not self.is_patient:
                return None
            if self._pauses():
                return b""
        return b""

    def _is_ready(self) -> bool:
        try:
            return bool(select.select([self._raw.fileno()], [], [], _TICK)[0])
        except (OSError, ValueError, io.UnsupportedOperation):
            return True  # no file descriptor, or one that cannot be waited for

    def _take(self, size: int) -> bytes:
        try:
            return os.read(self._raw.fileno(), size)
        except (ValueError, io.UnsupportedOperation):
            return self._raw.read(size)

    def _pauses(self) -> bool:
        """Say that the first bytes took long enough: they are then what is known of the beginning."""
        if not self._has_paused and self._first is not None and self._taken < HEAD_BYTES:
            self._has_paused = self._is_paused = time.monotonic() - self._first >= self._every
        return self._is_paused
