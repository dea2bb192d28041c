"""What applications shall do with a request, written down by the driver and carried along in a header no log prints.

A step is one call: who is called, how that one behaves, and what it calls in turn. So every request says itself what
goes wrong in it, and requests that go well can share the mesh with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Literal

PLAN_HEADER = "x-plan"

Ending = Literal["", "crash", "garbage", "cut", "reset"]
"""How an application fails to answer: it closes the connection, writes nonsense, stops in the middle of the body, or
resets the stream."""


@dataclass(frozen=True)
class Step:
    """One call, and what the application at its other end does."""

    to: str
    path: str = "/work"
    method: str = "GET"
    takes_ms: int = 2
    status: int = 200
    fails_first: int = 0
    """How many attempts get a 503 before one is served as told."""
    fails_late: bool = False
    """Those attempts fail after the calls of `then`, not before them."""
    stalls_first: int = 0
    """How many attempts take half a second longer than `takes_ms`."""
    ends: Ending = ""
    grpc_status: int = 0
    chunks: int = 0
    """The body comes in so many parts, `pause_ms` apart; for gRPC they are messages."""
    pause_ms: int = 5
    then: tuple[Step, ...] = ()
    at_once: bool = False
    """The calls of `then` run side by side."""
    upgrades: bool = False
    """The connection becomes a WebSocket, on which the called application talks `chunks` times."""
    tolerates: bool = False
    """The application answers well though a call of `then` failed."""
    leaves_after_ms: int = 0
    """The caller hangs up."""
    variant: str = ""
    """The header by which VirtualServices pick a route."""
    host: str = ""
    """The Host that the caller names instead of the service."""

    def to_header(self) -> str:
        """Write this step's own part: what the called application has to know."""
        return json.dumps(_plain(self), separators=(",", ":"))


def from_header(text: str | None) -> Step:
    """Read a step back; a request without one is a probe, which is answered at once."""
    return _step(json.loads(text)) if text else Step("", takes_ms=0)


def _plain(step: Step) -> dict[str, Any]:
    values = {one.name: getattr(step, one.name) for one in fields(Step) if getattr(step, one.name) != one.default}
    if step.then:
        values["then"] = [_plain(one) for one in step.then]
    return values


def _step(values: dict[str, Any]) -> Step:
    return Step(**{**values, "then": tuple(_step(one) for one in values.get("then", ()))})
