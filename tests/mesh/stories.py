"""The stories: one function plays each, and one table row says what it shows and who has to change something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.mesh.formats import ALL_STRINGS, TYPED, Style
from tests.mesh.stage import ALICE, BOB, CAROL, Stage
from tests.mesh.truth import GATEWAY, Visit
from tests.mesh.world import Breaker, Fault, Mesh, Retries, Route, shop

Play = Callable[[Stage], Awaitable[None]]

_EVERYONE = ("frontend", "catalog-v1", "catalog-v2", "cart", "payments", "recommendations")
_CHECKOUT = ("frontend", "catalog-v1", "cart", "payments")
_PAYMENTS = "payments.shop"
_LONG_QUERY = "/products?filter=" + "colour:blue,size:m;" * 950


@dataclass(frozen=True)
class Story:
    """What is recorded: the mesh, the pods that run, the play, and the verdict on it."""

    name: str
    play: Play
    workloads: tuple[str, ...] = _CHECKOUT
    cause: str | None = None
    culprit: str | None = None
    mesh: Mesh = field(default_factory=shop)
    style: Style = TYPED
    layout: Literal["file", "kubelet"] = "file"


async def _checkouts(stage: Stage, count: int, headers: dict[str, str] | None = None) -> list[Visit]:
    return [await stage.visit(ALICE, "/checkout", "POST", b'{"cart": "alice"}', headers) for _ in range(count)]


async def _products(stage: Stage, count: int) -> list[Visit]:
    return [await stage.visit(BOB, "/products") for _ in range(count)]


def _blame(visits: list[Visit], cause: str, culprit: str | None) -> None:
    for visit in visits:
        visit.blame(cause, culprit)


async def _happy_path(stage: Stage) -> None:
    for _ in range(3):
        await stage.visit(ALICE, "/")
    await asyncio.gather(stage.visit(BOB, "/"), stage.visit(CAROL, "/products"))
    for item in (b'{"sku": "sku-3", "count": 1}', b'{"sku": "sku-17", "count": 12, "gift": true}'):
        await stage.visit(ALICE, "/cart/items", "POST", item)
    await _checkouts(stage, 2)
    await _products(stage, 2)


async def _connection_refused(stage: Stage) -> None:
    await _checkouts(stage, 3)
    await stage.stop_pod("payments")
    _blame(await _checkouts(stage, 3), "connect_refused", _PAYMENTS)
    await _products(stage, 3)


async def _app_down(stage: Stage) -> None:
    await _checkouts(stage, 3)
    await stage.stop_app("payments")
    _blame(await _checkouts(stage, 3), "app_down", _PAYMENTS)
    await _products(stage, 3)


async def _no_endpoints(stage: Stage) -> None:
    await _products(stage, 3)
    _blame(await _checkouts(stage, 3), "no_endpoints", _PAYMENTS)
    await _products(stage, 1)


async def _circuit_breaker(stage: Stage) -> None:
    await _checkouts(stage, 2)
    users = (ALICE, BOB, CAROL)
    with stage.apps["payments"].behaving(takes_ms=80):
        burst = await asyncio.gather(*(stage.visit(users[turn % 3], "/checkout", "POST") for turn in range(8)))
    _blame([visit for visit in burst if visit.failed], "overload", _PAYMENTS)
    await _checkouts(stage, 2)


async def _route_timeout(stage: Stage) -> None:
    await _checkouts(stage, 3)
    with stage.apps["payments"].behaving(takes_ms=600):
        _blame(await _checkouts(stage, 2), "slow_upstream", _PAYMENTS)
    await stage.settle()
    await _checkouts(stage, 2)


async def _retries_succeed(stage: Stage) -> None:
    await _checkouts(stage, 2)
    for failures in (1, 2):
        with stage.apps["payments"].behaving(fails_first=failures):
            _blame(await _checkouts(stage, 2), "retried", _PAYMENTS)
    await _checkouts(stage, 1)


async def _retries_exhausted(stage: Stage) -> None:
    await _checkouts(stage, 2)
    with stage.apps["payments"].behaving(fails_first=99):
        _blame(await _checkouts(stage, 3), "app_5xx", _PAYMENTS)
    await _checkouts(stage, 1)


async def _no_route(stage: Stage) -> None:
    await _products(stage, 3)
    lost = [
        await stage.visit(CAROL, "/products", host="api.example.com", routed=False),
        await stage.visit(CAROL, "/wishlist", routed=False),
        await stage.visit(CAROL, "/admin/login", "POST", b"user=root", routed=False),
    ]
    _blame(lost, "no_route", GATEWAY)
    await _products(stage, 1)


async def _client_gone(stage: Stage) -> None:
    await _checkouts(stage, 2)
    with stage.apps["payments"].behaving(takes_ms=400):
        left = [await stage.visit(BOB, "/checkout", "POST", leaves_after_ms=150) for _ in range(2)]
        _blame(left, "client_gone", None)
        await stage.settle()
    await _checkouts(stage, 1)


async def _injected_fault(stage: Stage) -> None:
    await _checkouts(stage, 3)
    _blame(await _checkouts(stage, 3, {"end-user": "tester"}), "injected_fault", _PAYMENTS)
    await _checkouts(stage, 1)


async def _large_response(stage: Stage) -> None:
    await _products(stage, 2)
    await asyncio.gather(stage.visit(ALICE, "/export"), _products(stage, 3))
    await stage.visit(CAROL, "/export")


async def _tcp(stage: Stage) -> None:
    commands = [b"PING", b"ECHO alice", b"ECHO 0123456789abcdef"]
    frontend = stage.apps["frontend"]
    await _products(stage, 2)
    for count in (1, 2, 3):
        await frontend.talk("sessions", commands[:count])
    await stage.stop_app("sessions")
    for _ in range(3):
        await frontend.talk("sessions", commands)
    await _products(stage, 1)


async def _grpc(stage: Stage) -> None:
    for _ in range(4):
        await stage.visit(ALICE, "/prices")
    await stage.stop_app("currency")
    _blame([await stage.visit(ALICE, "/prices") for _ in range(3)], "app_down", "currency.shop")
    await _products(stage, 2)


async def _all_strings(stage: Stage) -> None:
    await _happy_path(stage)
    _blame([await stage.visit(CAROL, "/wishlist", routed=False)], "no_route", GATEWAY)
    _blame(await _checkouts(stage, 2, {"end-user": "tester"}), "injected_fault", _PAYMENTS)
    await stage.stop_app("payments")
    _blame(await _checkouts(stage, 2), "app_down", _PAYMENTS)


async def _pods(stage: Stage) -> None:
    await _happy_path(stage)
    await stage.rotate_logs()
    await stage.visit(CAROL, _LONG_QUERY)
    _blame([await stage.visit(CAROL, "/wishlist", routed=False)], "no_route", GATEWAY)
    await stage.rotate_logs()
    await _happy_path(stage)


def _payments_route(name: str = "default", **policy: object) -> Mesh:
    return shop().with_routes("payments", Route("payments", name=name, **policy))  # type: ignore[arg-type]


def _payments_fault(fault: Fault) -> Mesh:
    tester = Route("payments", name="tester", header=("end-user", "tester"), fault=fault)
    return shop().with_routes("payments", tester, Route("payments", name="everyone"))


_ON_5XX = Retries(retry_on="5xx")

STORIES = {
    story.name: story
    for story in (
        Story("happy_path", _happy_path, _EVERYONE),
        Story(
            "connection_refused",
            _connection_refused,
            cause="connect_refused",
            culprit=_PAYMENTS,
            mesh=_payments_route(retries=Retries()),
        ),
        Story("app_down", _app_down, cause="app_down", culprit=_PAYMENTS),
        Story("no_endpoints", _no_endpoints, cause="no_endpoints", culprit=_PAYMENTS, mesh=shop().without("payments")),
        Story(
            "circuit_breaker",
            _circuit_breaker,
            cause="overload",
            culprit=_PAYMENTS,
            mesh=shop().with_breaker("payments", Breaker(max_connections=1, max_pending=1, max_requests=1)),
        ),
        Story(
            "route_timeout",
            _route_timeout,
            cause="slow_upstream",
            culprit=_PAYMENTS,
            mesh=_payments_route("charge", timeout_ms=250),
        ),
        Story(
            "retries_succeed",
            _retries_succeed,
            cause="retried",
            culprit=_PAYMENTS,
            mesh=_payments_route(retries=_ON_5XX),
        ),
        Story(
            "retries_exhausted",
            _retries_exhausted,
            cause="app_5xx",
            culprit=_PAYMENTS,
            mesh=_payments_route(retries=_ON_5XX),
        ),
        Story("no_route", _no_route, cause="no_route", culprit=GATEWAY),
        Story("client_gone", _client_gone, cause="client_gone"),
        Story(
            "injected_delay",
            _injected_fault,
            cause="injected_fault",
            culprit=_PAYMENTS,
            mesh=_payments_fault(Fault(delay_ms=300)),
        ),
        Story(
            "injected_abort",
            _injected_fault,
            cause="injected_fault",
            culprit=_PAYMENTS,
            mesh=_payments_fault(Fault(abort_status=503)),
        ),
        Story("large_response", _large_response),
        Story("tcp", _tcp, ("frontend", "catalog-v1", "sessions"), cause="app_down", culprit="sessions.shop"),
        Story("grpc", _grpc, ("frontend", "catalog-v1", "currency"), cause="app_down", culprit="currency.shop"),
        Story(
            "all_strings",
            _all_strings,
            _EVERYONE,
            mesh=_payments_fault(Fault(abort_status=503)),
            style=ALL_STRINGS,
        ),
        Story("pods", _pods, _EVERYONE, layout="kubelet"),
    )
}
"""Every story by name, in the order in which they are recorded."""
