"""The applications behind the sidecars: how one runs, calls others, notes what it does, and is told to misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tests.mesh import grpc, http1
from tests.mesh.http1 import Answer, Reply, Request
from tests.mesh.lateness import arrival, late_ms
from tests.mesh.truth import SPAN_HEADER, Call, Notebook, Served, TcpSession
from tests.mesh.world import OUTBOUND_PORT, Mesh, Pod, Service

_CONTEXT_HEADERS = ("end-user",)
"""What every application copies onward besides x-request-id."""


@dataclass(frozen=True)
class Behaviour:
    """How an application serves: how long it takes, and how many attempts of each call it answers with a 503."""

    takes_ms: int
    fails_first: int = 0


@dataclass
class App:
    """One application: its pod, its place in the mesh, its outgoing connections and its notes."""

    pod: Pod
    mesh: Mesh
    notebook: Notebook
    behaviour: Behaviour
    passes_request_id: bool = True
    _server: asyncio.Server | None = None
    _connections: set[asyncio.StreamWriter] = field(default_factory=set)
    _handling: set[asyncio.Task[None]] = field(default_factory=set)
    _channels: dict[str, grpc.Channel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.service: Service = self.mesh.services[self.pod.service]
        self.sidecar = (self.pod.ip, OUTBOUND_PORT)
        self._client = http1.Client(self.pod.ip, self.sidecar, is_application=True)

    async def start(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        """Listen on the pod's application port; `serve` takes each connection."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(writer)
            self._handling.add(task)
            try:
                await serve(reader, writer)
            except ConnectionError:
                pass  # the sidecar gave up waiting; the notes say that the work was done
            finally:
                self._connections.discard(writer)
                self._handling.discard(task)
                writer.close()

        host, port = ("127.0.0.1", self.pod.app_port) if self.pod.has_sidecar else (self.pod.ip, self.service.port)
        self._server = await asyncio.start_server(connected, host, port)

    async def stop(self) -> None:
        """Stop listening and close every connection, as a process that ends does."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for writer in self._connections:
            writer.close()
        await asyncio.gather(*self._handling)

    @contextmanager
    def behaving(self, **changes: int) -> Iterator[None]:
        """Change the behaviour for a while; an attempt keeps the one it began with."""
        usual, self.behaviour = self.behaviour, replace(self.behaviour, **changes)
        yield
        self.behaviour = usual

    async def hang_up(self) -> None:
        """Close the connections this application opened to its sidecar."""
        await self._client.close()
        for channel in self._channels.values():
            await channel.close()

    async def attend(self, request: Request, work: Callable[[], Awaitable[Reply]]) -> Reply:
        """Serve one attempt as the behaviour says, and note it."""
        note = Served(request.headers.get(SPAN_HEADER, ""), self.pod.ip, request.headers.get("x-request-id"))
        self.notebook.served.append(note)
        began, behaviour = time.perf_counter(), self.behaviour
        attempts = sum(one.span == note.span for one in self.notebook.served)
        await asyncio.sleep(behaviour.takes_ms / 1000)
        reply = Reply(503, b"try again later\n") if attempts <= behaviour.fails_first else await work()
        note.app_ms = elapsed_ms(began)
        note.status = reply.status
        note.completed = True
        return reply

    async def call(
        self,
        served: Request,
        service: str,
        path: str,
        method: str = "GET",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Call another service on behalf of a request being served, and note it."""
        callee = self.mesh.services[service]
        call = self._note_call(served, callee, method, path)
        call.subset = _subset(self.mesh, service, headers or {})
        sent = {"host": f"{service}:{callee.port}", **self._onward(served, call), **(headers or {})}
        try:
            answer = await self._client.send(
                (callee.cluster_ip, callee.port), Request(method, path, sent, body), call.is_sent
            )
            call.status = answer.status
        finally:
            call.client_ms, call.late_ms = elapsed_ms(call.began), late_ms(arrival())
        return answer

    async def call_outside(
        self, served: Request, host: str, address: http1.Address, path: str, headers: dict[str, str]
    ) -> Answer:
        """Call a host that is no service of the mesh, and note it."""
        call = Call(self.service.short, None, "GET", path, served.headers.get(SPAN_HEADER))
        self.notebook.calls.append(call)
        try:
            answer = await self._client.send(
                address, Request("GET", path, {"host": host, **self._onward(served, call), **headers}), call.is_sent
            )
            call.status = answer.status
        finally:
            call.client_ms, call.late_ms = elapsed_ms(call.began), late_ms(arrival())
        return answer

    async def call_grpc(
        self, served: Request, service: str, path: str, message: bytes, more: dict[str, str] | None = None
    ) -> grpc.Result:
        """Make a unary gRPC call on behalf of a request being served, and note it."""
        callee = self.mesh.services[service]
        call = self._note_call(served, callee, "POST", path)
        channel = self._channels.get(service)
        if channel is None:
            address = (callee.cluster_ip, callee.port)
            channel = self._channels[service] = grpc.Channel(self.pod.ip, self.sidecar, address)
        headers = {
            **self._onward(served, call),
            "host": f"{service}:{callee.port}",
            "user-agent": "grpc-python-h2/4",
            **(more or {}),
        }
        try:
            result = await channel.unary(Request("POST", path, headers, message), call.is_sent)
            call.status, call.grpc_status = result.http_status, result.grpc_status
            call.late_ms = late_ms(result.arrived)
        finally:
            call.client_ms = elapsed_ms(call.began)
        return result

    async def talk(self, service: str, commands: list[bytes]) -> bool:
        """Open a TCP connection to a service, send commands one by one, and tell whether all were answered."""
        callee = self.mesh.services[service]
        began = time.perf_counter()
        reader, writer = await http1.dial(self.pod.ip, self.sidecar, (callee.cluster_ip, callee.port))
        note = TcpSession("client", callee.short, self.pod.ip, writer.get_extra_info("sockname")[1])
        self.notebook.sessions.append(note)
        try:
            note.ok = all([await _ask(reader, writer, command, note) for command in commands])
        except ConnectionError:
            note.ok = False
        writer.close()
        note.ms = elapsed_ms(began)
        return note.ok

    def _note_call(self, served: Request, callee: Service, method: str, path: str) -> Call:
        parent = served.headers.get(SPAN_HEADER)
        call = Call(self.service.short, callee.short, method, path, parent, id_passed=self.passes_request_id)
        self.notebook.calls.append(call)
        return call

    def _onward(self, served: Request, call: Call) -> dict[str, str]:
        passed = (*_CONTEXT_HEADERS, *(("x-request-id",) if self.passes_request_id else ()))
        kept = {name: served.headers[name] for name in passed if name in served.headers}
        return {"user-agent": f"{self.service.name}/1.4", **kept, SPAN_HEADER: call.span}


def elapsed_ms(began: float) -> float:
    """Give the milliseconds since a `time.perf_counter()` reading."""
    return round((time.perf_counter() - began) * 1000, 3)


def _subset(mesh: Mesh, service: str, headers: dict[str, str]) -> str | None:
    """Find the subset that the caller asked for, by the VirtualService it knows."""
    for route in mesh.routes_to(service):
        if route.header is None or headers.get(route.header[0]) == route.header[1]:
            return route.subset or None
    return None


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: bytes, note: TcpSession) -> bool:
    writer.write(command + b"\r\n")
    note.bytes_sent += len(command) + 2
    reply = await reader.readline()
    note.bytes_received += len(reply)
    return reply.startswith(b"+")
