"""What each application of the shop does with a request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.mesh import grpc, http1
from tests.mesh.apps import App, Behaviour, elapsed_ms
from tests.mesh.http1 import Answer, Reply, Request
from tests.mesh.truth import TcpSession

_EXPORT_CHUNKS = 16
_EXPORT_CHUNK = b"sku,name,price\n" * 13_000
_EXPORT_PAUSE_S = 0.03

USUAL = {
    "frontend": Behaviour(takes_ms=1),
    "catalog-v1": Behaviour(takes_ms=3),
    "catalog-v2": Behaviour(takes_ms=9),
    "cart": Behaviour(takes_ms=2),
    "payments": Behaviour(takes_ms=12),
    "recommendations": Behaviour(takes_ms=5),
    "currency": Behaviour(takes_ms=4),
    "sessions": Behaviour(takes_ms=0),
}
"""How each workload serves when nothing is wrong, its own calls to others not counted."""

Work = Callable[[App, Request], Awaitable[Reply]]


async def start(app: App) -> None:
    """Start an application with the work its service does."""
    match app.service.protocol:
        case "tcp":
            await app.start(lambda reader, writer: _serve_sessions(app, reader, writer))
        case "grpc":
            await app.start(lambda reader, writer: grpc.serve(lambda request: _convert(app, request), reader, writer))
        case "http":
            work = _WORK[app.service.name]
            app.passes_request_id = app.service.name != "recommendations"
            await app.start(lambda reader, writer: http1.serve(_attended(app, work), reader, writer))


def _attended(app: App, work: Work) -> http1.Handler:
    return lambda request: app.attend(request, lambda: work(app, request))


async def _frontend(app: App, request: Request) -> Reply:
    page = request.path.split("?")[0]
    return await _PAGES.get(page, _not_found)(app, request)


async def _home(app: App, request: Request) -> Reply:
    answers = await asyncio.gather(
        app.call(request, "catalog", "/products?limit=20"),
        app.call(request, "catalog", "/products?limit=5&new=1", headers={"x-catalog-version": "v2"}),
        app.call(request, "cart", "/cart/alice"),
        app.call(request, "recommendations", "/recommendations?user=alice"),
    )
    return _page(*answers)


async def _products(app: App, request: Request) -> Reply:
    return _page(await app.call(request, "catalog", "/products?limit=20"))


async def _export(app: App, request: Request) -> Reply:
    answer = await app.call(request, "catalog", "/export")
    return Reply(answer.status, answer.body) if answer.status == 200 else _page(answer)


async def _cart_items(app: App, request: Request) -> Reply:
    return _page(await app.call(request, "cart", "/cart/alice/items", "POST", request.body))


async def _checkout(app: App, request: Request) -> Reply:
    cart = await app.call(request, "cart", "/cart/alice")
    if cart.status != 200:
        return _page(cart)
    order = json.dumps({"card": "tok_4242", "cents": 4999}).encode()
    return _page(cart, await app.call(request, "payments", "/charge", "POST", order))


async def _prices(app: App, request: Request) -> Reply:
    result = await app.call_grpc(request, "currency", "/shop.Currency/Convert", b"\x0a\x03EUR\x12\x03USD")
    return Reply(200, b"prices in USD\n") if result.grpc_status == 0 else Reply(502, b"no prices\n")


async def _not_found(_app: App, _request: Request) -> Reply:
    return Reply(404, b"no such page\n")


def _page(*answers: Answer) -> Reply:
    """Make the frontend's page: a 502 as soon as one of the services it needs failed."""
    if any(answer.status >= 500 for answer in answers):
        return Reply(502, b"a service this page needs has failed\n")
    return Reply(200, b"<html>" + b"".join(answer.body for answer in answers) + b"</html>\n")


async def _catalog(_app: App, request: Request) -> Reply:
    if request.path == "/export":
        return Reply(200, _slow_export())
    return Reply(200, json.dumps({"products": [f"sku-{number}" for number in range(20)]}).encode())


async def _slow_export() -> AsyncIterator[bytes]:
    for _ in range(_EXPORT_CHUNKS):
        yield _EXPORT_CHUNK
        await asyncio.sleep(_EXPORT_PAUSE_S)


async def _cart(_app: App, request: Request) -> Reply:
    return Reply(201 if request.method == "POST" else 200, b'{"items": 3}\n')


async def _payments(_app: App, _request: Request) -> Reply:
    return Reply(200, b'{"charged": true}\n')


async def _recommendations(app: App, request: Request) -> Reply:
    return _page(await app.call(request, "catalog", "/products?like=alice"))


async def _convert(app: App, request: Request) -> grpc.GrpcReply:
    async def work() -> Reply:
        return Reply(200)

    await app.attend(request, work)
    return grpc.GrpcReply((b"\x0d\x48\xe1\x8a\x3f",))


async def _serve_sessions(app: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    note = TcpSession("server", app.service.short, app.pod.ip, writer.get_extra_info("peername")[1])
    app.notebook.sessions.append(note)
    began = time.perf_counter()
    while command := await reader.readline():
        note.bytes_received += len(command)
        reply = b"+" + command
        writer.write(reply)
        note.bytes_sent += len(reply)
    note.ok, note.ms = True, elapsed_ms(began)


_PAGES: dict[str, Work] = {
    "/": _home,
    "/products": _products,
    "/export": _export,
    "/cart/items": _cart_items,
    "/checkout": _checkout,
    "/prices": _prices,
}

_WORK: dict[str, Work] = {
    "frontend": _frontend,
    "catalog": _catalog,
    "cart": _cart,
    "payments": _payments,
    "recommendations": _recommendations,
}
