"""The notebook in which applications and drivers write what they did and saw, and the truth file made of it.

Nothing here knows a log line. Parent and child are linked by a private header that no access log prints, so the tree
holds where an application loses x-request-id.

In a request of the file, `failed` is the design's `is_error` (a 5xx; neither a 4xx nor a client that `left`), and
`request_id` is null if no application ever saw it. In a span, `served` has one entry for each attempt that reached the
application, `pod_ip` is the pod of the last one, and `id_passed` is false where the caller withheld x-request-id.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SPAN_HEADER = "x-truth-span"

GATEWAY = "istio-ingressgateway.istio-system"
"""What every outside request comes in by."""


def now() -> str:
    """Give the time of day as RFC 3339 with microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Call:
    """One call as its caller knew it; `status` stays None if no answer came."""

    caller: str
    callee: str | None
    method: str
    path: str
    parent: str | None
    subset: str | None = None
    id_passed: bool = True
    span: str = field(default_factory=lambda: uuid.uuid4().hex)
    sent_at: str = field(default_factory=now)
    client_ms: float | None = None
    status: int | None = None
    grpc_status: int | None = None
    began: float = field(default_factory=time.perf_counter)
    sent: float | None = None
    """When the connection was there and the head of the request went out."""
    late_ms: float = 0.0
    """How long the answer's end may have been there before the caller saw it."""

    def is_sent(self) -> None:
        """Note that the request goes out now."""
        self.sent = time.perf_counter()


@dataclass
class Served:
    """One attempt as the application that served it knew it; `completed` even if nobody waited any more."""

    span: str
    pod_ip: str
    request_id: str | None
    started_at: str = field(default_factory=now)
    app_ms: float | None = None
    status: int | None = None
    completed: bool = False
    began: float = field(default_factory=time.perf_counter)
    late_ms: float = 0.0
    """How long the request may have been there before the application saw it."""


@dataclass
class TcpSession:
    """One raw TCP connection as one end's application knew it; `port` is that end's view of the client's port."""

    side: str
    service: str
    pod_ip: str
    port: int
    opened_at: str = field(default_factory=now)
    ms: float | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    ok: bool = False
    span: str = ""
    began: float = field(default_factory=time.perf_counter)


@dataclass
class Visit:
    """One request of an outside user, and the story's verdict on it."""

    call: Call
    left: bool = False
    cause: str | None = None
    culprit: str | None = None
    scenario: str = ""
    is_hidden: bool = False
    """No line can tell the cause: the honest verdict is unknown, with the cause among its candidates."""
    below_break: tuple[str, str] | None = None
    """What is wrong below a service that did not pass the request id on: its calls are traces of their own."""

    @property
    def failed(self) -> bool:
        """Tell an error as the design defines it: a 5xx; a 4xx or a client that left is none."""
        return (self.call.status or 0) >= 500

    def blame(self, cause: str, culprit: str | None) -> None:
        """Set down why this request went as it did."""
        self.cause, self.culprit = cause, culprit


@dataclass
class Notebook:
    """All notes of one recording."""

    visits: list[Visit] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    sessions: list[TcpSession] = field(default_factory=list)
    late_ms: dict[str, list[float]] = field(default_factory=dict)
    """How late a process wakes up, now and then, by the scenario that was played: a busy machine is late everywhere."""
    tcp_calls: list[Call] = field(default_factory=list)
    """Connections as calls, where the driver's plan asked for them."""

    def truth(self, story: str, cause: str | None, culprit: str | None, recorded_at: str) -> dict[str, Any]:
        """Make the truth file of a story."""
        document: dict[str, Any] = {
            "story": story,
            "recorded_at": recorded_at,
            "cause": cause,
            "culprit_service": culprit,
            "requests": [self._request(visit) for visit in self.visits],
        }
        if self.sessions:
            hidden = ("span", "began")
            document["connections"] = [
                {key: value for key, value in vars(session).items() if key not in hidden} for session in self.sessions
            ]
        return document

    def _request(self, visit: Visit) -> dict[str, Any]:
        tree = self._tree(visit.call)
        served = tree["served"]
        return {
            "request_id": served[0]["request_id"] if served else None,
            "status": visit.call.status,
            "failed": visit.failed,
            "left": visit.left,
            "gateway": GATEWAY,
            "cause": visit.cause,
            "culprit_service": visit.culprit,
            "tree": tree,
        }

    def _tree(self, call: Call) -> dict[str, Any]:
        served = [one for one in self.served if one.span == call.span]
        children = [self._tree(child) for child in self.calls if child.parent == call.span]
        hidden = {"span", "parent", "began", "sent", "late_ms"} | (
            {"grpc_status"} if call.grpc_status is None else set()
        )
        noted = {key: value for key, value in vars(call).items() if key not in hidden}
        return {
            **noted,
            "pod_ip": served[-1].pod_ip if served else None,
            "served": [
                {key: value for key, value in vars(one).items() if key not in ("span", "began", "late_ms")}
                for one in served
            ],
            "children": children,
        }
