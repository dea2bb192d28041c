"""HTTP/1.1 for the applications and the outside users: a small server and a client that keeps connections alive.

An application's connection carries a PROXY header, so that its sidecar sees the cluster IP that was dialled, as
iptables would let it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import h11

from tests.mesh.lateness import arrival

Address = tuple[str, int]

_CHUNK = 1 << 16
_LONGEST_HEAD = 1 << 16


@dataclass(frozen=True)
class Request:
    """A request as sent or received; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    arrived: float = 0.0
    """Of one received: when its first bytes were there, at the earliest."""


@dataclass(frozen=True)
class Reply:
    """An answer; a body that is an iterator goes out in chunks as it yields."""

    status: int
    body: bytes | AsyncIterator[bytes] = b""


@dataclass(frozen=True)
class Garbage:
    """Bytes that are no HTTP, after which the connection is closed; none at all is an application that crashed."""

    raw: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What a client got back."""

    status: int
    body: bytes


Handler = Callable[[Request], Awaitable[Reply | Garbage]]


async def serve(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, one after another, until either side closes it."""
    conn = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)
    while (request := await _read_request(conn, reader, writer)) is not None:
        reply = await handler(request)
        if isinstance(reply, Garbage):
            writer.write(reply.raw)
            return
        await _send_reply(conn, writer, reply)
        if conn.our_state is not h11.DONE or conn.their_state is not h11.DONE:
            return
        conn.start_next_cycle()


async def _next_event(conn: h11.Connection, reader: asyncio.StreamReader) -> h11.Event | type[h11.PAUSED]:
    while (event := conn.next_event()) is h11.NEED_DATA:
        conn.receive_data(await reader.read(_CHUNK))
    return event  # type: ignore[return-value]  # NEED_DATA is gone here


async def _read_request(
    conn: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    try:
        head = await _next_event(conn, reader)
    except h11.RemoteProtocolError:
        writer.write(conn.send(h11.Response(status_code=400, headers=[])) or b"")
        return None
    if not isinstance(head, h11.Request):
        return None
    arrived = arrival()
    body = b""
    while isinstance(data := await _next_event(conn, reader), h11.Data):
        body += data.data
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Request(head.method.decode(), head.target.decode(), headers, body, arrived)


async def _send_reply(conn: h11.Connection, writer: asyncio.StreamWriter, reply: Reply) -> None:
    if isinstance(reply.body, bytes):
        framing, chunks = ("content-length", str(len(reply.body))), _at_once(reply.body)
    else:
        framing, chunks = ("transfer-encoding", "chunked"), reply.body
    writer.write(conn.send(h11.Response(status_code=reply.status, headers=[framing])) or b"")
    async for chunk in chunks:
        writer.write(conn.send(h11.Data(data=chunk)) or b"")
        await writer.drain()
    writer.write(conn.send(h11.EndOfMessage()) or b"")
    await writer.drain()


async def _at_once(body: bytes) -> AsyncIterator[bytes]:
    yield body


class Connection:
    """One client connection; `is_reusable` tells whether it may carry another request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._conn = h11.Connection(h11.CLIENT)

    @property
    def is_reusable(self) -> bool:
        return self._conn.our_state is h11.IDLE and not self._reader.at_eof()

    async def exchange(self, request: Request, is_sent: Callable[[], None] = lambda: None) -> Answer:
        """Send one request and read its whole answer; ConnectionError if it is cut short."""
        is_sent()
        length = [("content-length", str(len(request.body)))] if request.body else []
        head = h11.Request(method=request.method, target=request.path, headers=[*request.headers.items(), *length])
        for event in (head, h11.Data(data=request.body), h11.EndOfMessage()):
            self._writer.write(self._conn.send(event) or b"")
        await self._writer.drain()
        try:
            answer = await self._read_answer()
        except h11.RemoteProtocolError as error:
            raise ConnectionError(str(error)) from error
        if self._conn.our_state is h11.DONE and self._conn.their_state is h11.DONE:
            self._conn.start_next_cycle()
        return answer

    async def close(self) -> None:
        """Close the connection and wait until it is gone."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read_answer(self) -> Answer:
        head = await _next_event(self._conn, self._reader)
        if not isinstance(head, h11.Response):
            raise ConnectionError(f"no answer but {head}")
        body = b""
        while isinstance(data := await _next_event(self._conn, self._reader), h11.Data):
            body += data.data
        return Answer(head.status_code, body)


@dataclass
class Client:
    """Sends requests from one source IP to one proxy, over connections that it keeps per destination."""

    source_ip: str
    via: Address
    is_application: bool
    _idle: dict[Address, list[Connection]] = field(default_factory=lambda: defaultdict(list))

    async def send(self, destination: Address, request: Request, is_sent: Callable[[], None] = lambda: None) -> Answer:
        """Send a request over an idle connection or a new one; a cancelled one closes its connection."""
        connection = await self._connection(destination)
        try:
            answer = await connection.exchange(request, is_sent)
        except BaseException:
            await connection.close()
            raise
        self._idle[destination].append(connection)
        return answer

    async def close(self) -> None:
        """Close every connection that waits for reuse."""
        for connection in [one for idle in self._idle.values() for one in idle]:
            await connection.close()
        self._idle.clear()

    async def _connection(self, destination: Address) -> Connection:
        while idle := self._idle[destination]:
            connection = idle.pop()
            if connection.is_reusable:
                return connection
            await connection.close()
        return Connection(*await dial(self.source_ip, self.via, destination if self.is_application else None))


async def dial(
    source_ip: str, via: Address, destination: Address | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect from a source IP to a proxy, telling it the destination dialled in a PROXY v1 header if there is one."""
    reader, writer = await asyncio.open_connection(*via, local_addr=(source_ip, 0))
    if destination is not None:
        port = writer.get_extra_info("sockname")[1]
        writer.write(f"PROXY TCP4 {source_ip} {destination[0]} {port} {destination[1]}\r\n".encode())
    return reader, writer
