"""How late the applications' process gets to what has arrived: one event loop serves all of them, and a busy one lets
bytes wait that no application's own clock can see.

The selector notes, of each poll, since when its events can have been there: since it returned if it had to wait for
them, else since the poll before.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

_NO_WAIT_SECONDS = 0.0002
_POLLS = 2
"""A task wakes up in the turn after the one whose poll brought its bytes."""

_earliest: deque[float] = deque(maxlen=_POLLS)


class _Watched(selectors.DefaultSelector):
    """The usual selector, which notes when it was asked and answered."""

    def __init__(self) -> None:
        super().__init__()
        self._returned = time.perf_counter()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        asked = time.perf_counter()
        ready = super().select(timeout)
        now = time.perf_counter()
        _earliest.append(now if now - asked > _NO_WAIT_SECONDS else self._returned)
        self._returned = now
        return ready


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a program as `asyncio.run` does, and watch its loop."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Watched())) as runner:
        return runner.run(main)


def arrival() -> float:
    """Tell since when, at the earliest, what woke the reading task was there (`time.perf_counter()`)."""
    return _earliest[0] if _earliest else time.perf_counter()


def late_ms(arrived: float) -> float:
    """Give the milliseconds since an arrival."""
    return (time.perf_counter() - arrived) * 1000
