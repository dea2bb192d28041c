"""Unary gRPC over plain HTTP/2: what the currency application and its callers need, with a PROXY header in front.

Written on h2 because no gRPC library lets a client send bytes before the HTTP/2 preface.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from tests.mesh.http1 import Address, Request, dial

_CHUNK = 1 << 16

UNAVAILABLE = 14

UnaryHandler = Callable[[Request], Awaitable[bytes]]
"""Takes the request with its message as body and gives the reply message; it always means grpc-status 0."""


@dataclass(frozen=True)
class Result:
    """What a gRPC caller got: the HTTP status, grpc-status and the reply message."""

    http_status: int
    grpc_status: int
    message: bytes


@dataclass
class _Stream:
    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""


def _frame(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


async def serve(handler: UnaryHandler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the unary calls of one connection, one after another, until the peer closes it."""
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    conn.initiate_connection()
    writer.write(conn.data_to_send())
    streams: dict[int, _Stream] = {}
    while data := await reader.read(_CHUNK):
        for stream_id in _receive(conn, data, streams):
            await _answer(conn, stream_id, streams.pop(stream_id), handler)
        writer.write(conn.data_to_send())
        await writer.drain()


async def _answer(conn: h2.connection.H2Connection, stream_id: int, stream: _Stream, handler: UnaryHandler) -> None:
    headers = stream.headers
    message = await handler(Request(headers[":method"], headers[":path"], headers, stream.data[5:]))
    conn.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
    conn.send_data(stream_id, _frame(message))
    conn.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)


def _receive(conn: h2.connection.H2Connection, data: bytes, streams: dict[int, _Stream]) -> list[int]:
    """Feed bytes in, note what arrived per stream, and give the streams that ended."""
    ended = []
    for event in conn.receive_data(data):
        match event:
            case h2.events.RequestReceived() | h2.events.ResponseReceived():
                streams.setdefault(event.stream_id, _Stream()).headers = _text(event.headers)
            case h2.events.TrailersReceived():
                streams[event.stream_id].trailers = _text(event.headers)
            case h2.events.DataReceived():
                streams[event.stream_id].data += event.data
                conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                ended.append(event.stream_id)
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                raise ConnectionError(f"the peer ended the call: {event}")
    return ended


def _text(headers: object) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers}  # type: ignore[attr-defined]  # h2 types them loosely


class Channel:
    """A client's HTTP/2 connection to one destination through its sidecar; calls go one at a time."""

    def __init__(self, source_ip: str, via: Address, destination: Address) -> None:
        self._route = (source_ip, via, destination)
        self._conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}
        self._socket: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def unary(self, request: Request) -> Result:
        """Make one call; `request.path` is /package.Service/Method."""
        async with self._turn:
            reader, writer = await self._connected()
            stream_id = self._conn.get_next_available_stream_id()
            self._conn.send_headers(stream_id, _call_headers(request))
            self._conn.send_data(stream_id, _frame(request.body), end_stream=True)
            writer.write(self._conn.data_to_send())
            stream = await self._finished(stream_id, reader, writer)
        status = {**stream.headers, **stream.trailers}.get("grpc-status", "2")
        return Result(int(stream.headers[":status"]), int(status), stream.data[5:])

    async def close(self) -> None:
        """Close the connection, if one was made."""
        if self._socket:
            self._socket[1].close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._socket is None:
            self._socket = await dial(*self._route)
            self._conn.initiate_connection()
        return self._socket

    async def _finished(self, stream_id: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Stream:
        ended: list[int] = []
        while stream_id not in ended:
            data = await reader.read(_CHUNK)
            if not data:
                raise ConnectionError("the sidecar closed the connection")
            ended = _receive(self._conn, data, self._streams)
            writer.write(self._conn.data_to_send())
        return self._streams.pop(stream_id)


def _call_headers(request: Request) -> list[tuple[str, str]]:
    pseudo = {":method": "POST", ":scheme": "http", ":path": request.path, ":authority": request.headers["host"]}
    own = {name: value for name, value in request.headers.items() if name != "host"}
    return [*{**pseudo, "content-type": "application/grpc", "te": "trailers", **own}.items()]
