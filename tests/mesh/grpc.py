"""gRPC over plain HTTP/2: what applications and their callers need of it, with a PROXY header in front.

Written on h2 because no gRPC library lets a client send bytes before the HTTP/2 preface. Calls of one connection run
side by side, as they do in every gRPC library.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.mesh.http1 import Address, Request, dial
from tests.mesh.lateness import arrival

_CHUNK = 1 << 16

CANCEL = 8
"""HTTP/2's error code for a stream that its sender wants no more."""


@dataclass(frozen=True)
class GrpcReply:
    """An answer: its messages, `pause_ms` apart, and grpc-status; or a stream reset in place of the trailers."""

    messages: tuple[bytes, ...] = (b"",)
    status: int = 0
    pause_ms: int = 0
    is_reset: bool = False


GrpcHandler = Callable[[Request], Awaitable[GrpcReply]]
"""Takes the request with its message as body."""


@dataclass(frozen=True)
class Result:
    """What a gRPC caller got: the HTTP status, grpc-status and the reply's messages."""

    http_status: int
    grpc_status: int
    message: bytes
    arrived: float
    """When its end was there, at the earliest."""


@dataclass
class _Stream:
    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_reset: bool = False
    arrived: float = 0.0
    """When its first bytes, for a caller its end, were there, at the earliest."""


def _frame(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


async def serve(handler: GrpcHandler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the calls of one connection until the peer closes it; a stream that is reset loses its answer alone."""
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    conn.initiate_connection()
    writer.write(conn.data_to_send())
    streams: dict[int, _Stream] = {}
    answering: set[asyncio.Task[None]] = set()
    while data := await reader.read(_CHUNK):
        for stream_id in _receive(conn, data, streams):
            task = asyncio.create_task(_answer(conn, writer, stream_id, streams[stream_id], handler))
            answering.add(task)
            task.add_done_callback(answering.discard)
        writer.write(conn.data_to_send())
        await writer.drain()
    await asyncio.gather(*answering)


async def _answer(
    conn: h2.connection.H2Connection,
    writer: asyncio.StreamWriter,
    stream_id: int,
    stream: _Stream,
    handler: GrpcHandler,
) -> None:
    headers = stream.headers
    reply = await handler(Request(headers[":method"], headers[":path"], headers, stream.data[5:], stream.arrived))
    if stream.is_reset:
        return
    try:
        if reply.is_reset:
            conn.reset_stream(stream_id, CANCEL)
        else:
            conn.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
            for message in reply.messages:
                conn.send_data(stream_id, _frame(message))
                writer.write(conn.data_to_send())
                await asyncio.sleep(reply.pause_ms / 1000)
            conn.send_headers(stream_id, [("grpc-status", str(reply.status))], end_stream=True)
    except h2.exceptions.StreamClosedError:
        return  # the caller went away meanwhile
    writer.write(conn.data_to_send())


def _receive(conn: h2.connection.H2Connection, data: bytes, streams: dict[int, _Stream]) -> list[int]:
    """Feed bytes in, note what arrived per stream, and give the streams that ended."""
    ended = []
    for event in conn.receive_data(data):
        match event:
            case h2.events.RequestReceived() | h2.events.ResponseReceived():
                stream = streams.setdefault(event.stream_id, _Stream())
                stream.headers, stream.arrived = _text(event.headers), arrival()
            case h2.events.TrailersReceived():
                streams[event.stream_id].trailers = _text(event.headers)
            case h2.events.DataReceived():
                streams[event.stream_id].data += event.data
                conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                ended.append(event.stream_id)
            case h2.events.StreamReset():
                streams[event.stream_id].is_reset = True
            case h2.events.ConnectionTerminated():
                raise ConnectionError(f"the peer ended the connection: {event}")
    return ended


def _text(headers: object) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers}  # type: ignore[attr-defined]  # h2 types them loosely


class Channel:
    """A client's HTTP/2 connection to one destination through its sidecar; calls run side by side."""

    def __init__(self, source_ip: str, via: Address, destination: Address) -> None:
        self._route = (source_ip, via, destination)
        self._conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    async def unary(self, request: Request, is_sent: Callable[[], None] = lambda: None) -> Result:
        """Make one call; `request.path` is /package.Service/Method. A cancelled one resets its stream."""
        async with self._turn:
            writer = await self._connected()
            is_sent()
            stream_id = self._conn.get_next_available_stream_id()
            stream = self._streams[stream_id] = _Stream()
            self._conn.send_headers(stream_id, _call_headers(request))
            self._conn.send_data(stream_id, _frame(request.body), end_stream=True)
            writer.write(self._conn.data_to_send())
        try:
            await stream.ended.wait()
        except asyncio.CancelledError:
            self._conn.reset_stream(stream_id, CANCEL)
            writer.write(self._conn.data_to_send())
            raise
        if ":status" not in stream.headers or stream.is_reset:
            raise ConnectionError("the sidecar broke off the call")
        status = {**stream.headers, **stream.trailers}.get("grpc-status", "2")
        return Result(int(stream.headers[":status"]), int(status), stream.data[5:], stream.arrived)

    async def close(self) -> None:
        """Close the connection, if one was made."""
        if self._writer:
            self._writer.close()
        if self._reading:
            await self._reading

    async def _connected(self) -> asyncio.StreamWriter:
        if self._writer is None:
            reader, self._writer = await dial(*self._route)
            self._conn.initiate_connection()
            self._reading = asyncio.create_task(self._read(reader, self._writer))
        return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK):
                ended = _receive(self._conn, data, self._streams)
                writer.write(self._conn.data_to_send())
                for stream_id, stream in self._streams.items():
                    if stream_id in ended or stream.is_reset:
                        stream.arrived = stream.arrived if stream.ended.is_set() else arrival()
                        stream.ended.set()
        except ConnectionError:
            pass
        for stream in self._streams.values():
            stream.is_reset = stream.is_reset or not stream.ended.is_set()
            stream.ended.set()


def _call_headers(request: Request) -> list[tuple[str, str]]:
    pseudo = {":method": "POST", ":scheme": "http", ":path": request.path, ":authority": request.headers["host"]}
    own = {name: value for name, value in request.headers.items() if name != "host"}
    return [*{**pseudo, "content-type": "application/grpc", "te": "trailers", **own}.items()]
