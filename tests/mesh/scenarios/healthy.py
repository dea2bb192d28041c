"""Requests that go well, in every shape that makes pairing and nesting hard."""

from __future__ import annotations

import asyncio

from tests.mesh.plans import Step
from tests.mesh.scenarios.table import plays, sends
from tests.mesh.scene import Scene
from tests.mesh.world import Pod

_PROBER, _SCRAPER = "127.0.98.1", "127.0.98.2"
_CATALOG = ("127.0.12.1", 8080)

_CHAIN = Step("orders", then=(Step("cart"), Step("payments", then=(Step("ledger"),))))

BACKGROUND = (
    (Step("catalog"), Step("cart"), Step("currency")),
    (_CHAIN,),
    (Step("recommendations", then=(Step("catalog"),)),),
    (Step("orders", then=(Step("payments"), Step("sessions"))), Step("catalog", variant="v2")),
    (Step("legacy"), Step("cart", method="POST")),
)
"""What the requests ask for that go on while scenarios play."""


async def background(scene: Scene) -> None:
    """Send a healthy request now and then until the scene is over."""
    turn = 0
    while not scene.is_over:
        await scene.ask(*BACKGROUND[turn % len(BACKGROUND)], count=1, at_once=turn % 2 == 0)
        turn += 1
        await asyncio.sleep(0.08)


async def _keep_alive(scene: Scene) -> None:
    """One user, one connection, one request after another, so that all share their addresses."""
    await scene.ask(Step("cart"), Step("payments"), count=2 * scene.requests, at_a_time=1)


async def _one_id(scene: Scene) -> None:
    await scene.ask(Step("cart"), Step("payments"), request_id="order-4711", at_a_time=1)


async def _one_id_at_once(scene: Scene) -> None:
    uuid = "3f1c9a52-7d0e-4b86-9c1f-5a7e2d94b013"
    await scene.ask(_CHAIN, Step("catalog"), request_id=uuid, at_a_time=4)


async def _one_id_for_ever(scene: Scene) -> None:
    """A client whose library fills in a constant, over one connection and many."""
    for at_a_time in (1, 3):
        await scene.ask(
            Step("ledger"), Step("cart"), request_id="00000000-0000-0000-0000-000000000000", at_a_time=at_a_time
        )


async def _probes(scene: Scene) -> None:
    """The kubelet and Prometheus call a pod's port directly, in plain text: no client line."""
    for path, agent, source in (("/healthz", "kube-probe/1.33", _PROBER), ("/metrics", "Prometheus/3.5.0", _SCRAPER)):
        raw = f"GET {path} HTTP/1.1\r\nhost: 127.0.12.1:8080\r\nuser-agent: {agent}\r\nconnection: close\r\n\r\n"
        for _ in range(scene.requests // 2):
            await scene.knock(_CATALOG, raw.encode(), source=source)
            await asyncio.sleep(0.01)


async def _slow_pod(scene: Scene) -> None:
    """One of three pods of cart is slow; nobody's timeout is hit."""
    slow: Pod = scene.town.mesh.pods["cart-2"]
    scene.town.apps["cart-2"].lag_ms = 150
    try:
        await scene.ask(Step("cart", path="/tasks/slow"), count=3 * scene.requests)
        await scene.settle()
    finally:
        scene.town.apps[slow.workload].lag_ms = 0


SCENARIOS = (
    sends("chain", _CHAIN, Step("catalog"), apart=True),
    sends("fan_out", Step("catalog"), Step("cart"), Step("payments"), Step("currency"), at_once=True, apart=True),
    sends("twice_in_turn", Step("catalog"), Step("catalog"), Step("ledger"), Step("ledger"), apart=True),
    sends("twice_at_once", Step("catalog"), Step("catalog"), Step("cart"), Step("cart"), at_once=True, apart=True),
    sends("twice_over_http2", *(Step("ledger", takes_ms=takes) for takes in (12, 1, 6)), at_once=True, apart=True),
    sends("twice_over_grpc", *(Step("currency", takes_ms=takes) for takes in (9, 1, 4)), at_once=True),
    plays("keep_alive", _keep_alive, apart=True),
    sends("id_dropped", Step("recommendations", then=(Step("catalog"), Step("cart"))), apart=True),
    plays("one_id", _one_id, apart=True),
    plays("one_id_at_once", _one_id_at_once, apart=True),
    plays("one_id_for_ever", _one_id_for_ever),
    sends("http_stream", Step("catalog", chunks=8, pause_ms=15), share=0.5),
    sends("grpc_stream", Step("currency", chunks=6, pause_ms=15), share=0.5),
    sends("websocket", Step("payments", upgrades=True, chunks=8, pause_ms=15), Step("cart"), share=0.5),
    sends("mirrored", Step("payments", variant="mirrored"), Step("cart")),
    sends("tcp", Step("sessions", chunks=3), Step("cart"), apart=True),
    plays("probes", _probes),
    plays("slow_endpoint", _slow_pod),
    sends("failure_tolerated", Step("payments", status=500), blame=("app_5xx", "payments.shop"), tolerates=True),
)
