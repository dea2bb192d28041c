"""Applications that do what the plan in each request tells them, over HTTP/1.1, gRPC and raw TCP.

An application answers 502 where a call it needs failed, and passes a 4xx on; it notes its own view of all of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tests.mesh import grpc, http1
from tests.mesh.apps import App, Behaviour, elapsed_ms
from tests.mesh.http1 import Garbage, Reply, Request
from tests.mesh.lateness import late_ms
from tests.mesh.plans import PLAN_HEADER, Step, from_header
from tests.mesh.town import DROPS_ID, VARIANT_HEADER
from tests.mesh.truth import SPAN_HEADER, Call, Notebook, Served, TcpSession
from tests.mesh.world import Mesh, Pod

_STALL_MS = 500
_CHUNK = b"sku,name,price\n" * 40
_BROKEN = 502
_NO_HTTP = b"220 mail.shop ready, this is no HTTP\r\n\r\n"


@dataclass
class PlannedApp:
    """One application of the town, on the plumbing that the shop's applications have."""

    pod: Pod
    mesh: Mesh
    notebook: Notebook
    lag_ms: int = 0
    """How much slower than planned this pod is."""
    _attempts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.app = App(self.pod, self.mesh, self.notebook, Behaviour(0))
        self.app.passes_request_id = self.pod.service not in DROPS_ID

    async def start(self) -> None:
        """Listen, with the protocol of the service."""
        match self.app.service.protocol:
            case "tcp":
                await self.app.start(self._serve_lines)
            case "grpc":
                await self.app.start(lambda reader, writer: grpc.serve(self._serve_grpc, reader, writer))
            case "http":
                await self.app.start(lambda reader, writer: http1.serve(self._serve_http, reader, writer))

    async def stop(self) -> None:
        """End as a process does: no listener, no connection, no answer to what was being served."""
        await self.app.hang_up()
        await self.app.stop()

    async def _serve_http(self, request: Request) -> Reply | Garbage:
        step, note, failure = await self._work(request)
        if step.ends in ("crash", "garbage"):
            self._done(note, None)
            return Garbage(_NO_HTTP if step.ends == "garbage" else b"")
        status = failure or step.status
        self._done(note, status)
        if step.chunks or step.ends == "cut":
            return Reply(status, _parts(step))
        return Reply(status, b"ok\n")

    async def _serve_grpc(self, request: Request) -> grpc.GrpcReply:
        step, note, failure = await self._work(request)
        status = 14 if failure else step.grpc_status
        self._done(note, 200)
        messages = (b"m",) * max(1, step.chunks)
        return grpc.GrpcReply(messages, status, step.pause_ms if step.chunks else 0, is_reset=step.ends == "reset")

    async def _work(self, request: Request) -> tuple[Step, Served, int]:
        """Note one attempt and do its work; the last value is the status that a failure below or the plan demands."""
        note = Served(request.headers.get(SPAN_HEADER, ""), self.pod.ip, request.headers.get("x-request-id"))
        note.late_ms = late_ms(request.arrived)
        self.notebook.served.append(note)
        step = from_header(request.headers.get(PLAN_HEADER))
        self._attempts[note.span] += 1
        attempt = self._attempts[note.span]
        await asyncio.sleep((step.takes_ms + self.lag_ms + (_STALL_MS if attempt <= step.stalls_first else 0)) / 1000)
        fails = attempt <= step.fails_first
        if fails and not step.fails_late:
            return step, note, 503
        statuses = await self._calls(request, step)
        if fails:
            return step, note, 503
        if step.tolerates:
            return step, note, 0
        return step, note, _verdict(statuses)

    def _done(self, note: Served, status: int | None) -> None:
        note.app_ms, note.status, note.completed = elapsed_ms(note.began), status, True

    async def _calls(self, request: Request, step: Step) -> list[int | None]:
        if step.at_once:
            return [*await asyncio.gather(*(self.call(request, one) for one in step.then))]
        return [await self.call(request, one) for one in step.then]

    async def call(self, served: Request, step: Step) -> int | None:
        """Make one call on behalf of a request being served; give its status, None if no answer came."""
        callee = self.mesh.services.get(step.to)
        headers = {PLAN_HEADER: step.to_header(), **({VARIANT_HEADER: step.variant} if step.variant else {})}
        if callee is None:
            return await self._call_stranger(served, step, headers)
        if callee.protocol == "tcp":
            return 200 if await self.talk(step, served.headers.get(SPAN_HEADER)) else None
        patience = step.leaves_after_ms / 1000 or None
        if step.host:
            headers["host"] = step.host
        if callee.protocol == "grpc":
            return await self._call_grpc(served, step, headers, patience)
        return await self._settled(
            self.app.call(served, step.to, step.path, step.method, headers=headers),
            patience,
            lambda answer: answer.status,
        )

    async def _call_grpc(
        self, served: Request, step: Step, headers: dict[str, str], patience: float | None
    ) -> int | None:
        calling = self.app.call_grpc(served, step.to, "/shop.Currency/Convert", b"m", headers)
        return await self._settled(calling, patience, lambda result: _BROKEN if result.grpc_status else 200)

    async def _call_stranger(self, served: Request, step: Step, headers: dict[str, str]) -> int | None:
        """Call a host that no service of the mesh has, at an address outside."""
        calling = self.app.call_outside(served, step.to, ("203.0.113.7", 80), step.path, headers)
        return await self._settled(calling, None, lambda answer: answer.status)

    async def _settled(self, calling, patience, status: Callable) -> int | None:  # type: ignore[no-untyped-def]
        try:
            return status(await asyncio.wait_for(calling, patience))  # type: ignore[no-any-return]
        except (TimeoutError, OSError):
            return None

    async def talk(self, step: Step, parent: str | None) -> bool:
        """Open a TCP connection that names its span first, send a few commands, and tell whether all were answered."""
        port = int(step.variant) if step.variant else self.mesh.services[step.to].port
        call = Call(self.app.service.short, f"{step.to}.shop", "", "", parent)
        self.notebook.tcp_calls.append(call)
        commands = [f"SPAN {call.span}".encode(), *[b"GET key"] * max(1, step.chunks)]
        note = TcpSession("client", f"{step.to}.shop", self.pod.ip, 0)
        self.notebook.sessions.append(note)
        note.span = call.span
        began = time.perf_counter()
        reader, writer = await http1.dial(
            self.pod.ip, self.app.sidecar, (self.app.mesh.services[step.to].cluster_ip, port)
        )
        note.port = writer.get_extra_info("sockname")[1]
        try:
            for command in commands:
                writer.write(command + b"\r\n")
                note.ok = (await asyncio.wait_for(reader.readline(), 2)).startswith(b"+")
                await asyncio.sleep(step.pause_ms / 1000)
        except (OSError, TimeoutError):
            note.ok = False
        writer.close()
        note.ms = elapsed_ms(began)
        return note.ok

    async def _serve_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        note = TcpSession("server", self.app.service.short, self.pod.ip, writer.get_extra_info("peername")[1])
        self.notebook.sessions.append(note)
        while command := await reader.readline():
            if command.startswith(b"SPAN "):
                note.span = command.decode().split()[1]
            writer.write(b"+" + command)
        note.ok, note.ms = True, elapsed_ms(note.began)


def _verdict(statuses: list[int | None]) -> int:
    """Answer 502 where a needed call failed or gave nothing, a 4xx where a call was refused, 0 where all went well."""
    if any(status is None or status >= 500 for status in statuses):
        return _BROKEN
    return max((status for status in statuses if status and status >= 400), default=0)


async def _parts(step: Step) -> AsyncIterator[bytes]:
    for _ in range(max(2, step.chunks)):
        yield _CHUNK
        await asyncio.sleep(step.pause_ms / 1000)
    if step.ends == "cut":
        raise ConnectionAbortedError("the plan ends the body here")
