"""Callers at fault: they leave, or send what is no request."""

from __future__ import annotations

from tests.mesh.plans import Step
from tests.mesh.scenarios.table import FRONTEND, plays, sends
from tests.mesh.scene import Scene
from tests.mesh.world import GATEWAY_IP, GATEWAY_PORT

_GATEWAY = (GATEWAY_IP, GATEWAY_PORT)
_BAD = ("bad_request", None)


async def _user_gone(scene: Scene) -> None:
    slow = Step("orders", then=(Step("payments", takes_ms=300),))
    count = max(3, scene.requests // 2)
    await scene.ask(slow, count=count, leaves_after_ms=100, blame=("client_gone", None))
    await scene.settle()


async def _user_gone_mid_body(scene: Scene) -> None:
    await scene.ask(
        frontend=Step("frontend", chunks=30, pause_ms=10),
        count=max(3, scene.requests // 2),
        leaves_after_ms=120,
        blame=("client_gone", None),
    )
    await scene.settle()


async def _bad_request(scene: Scene) -> None:
    nonsense = b"GET /work HTTP/1.1\r\nhost shop.example.com\r\n\r\n"
    old = b"GET /work HTTP/1.0\r\nhost: shop.example.com\r\nuser-agent: nginx\r\n\r\n"
    large = b"GET /work HTTP/1.1\r\nhost: shop.example.com\r\ncookie: " + b"c" * 70_000 + b"\r\n\r\n"
    for raw in (nonsense, old, large):
        for _ in range(max(2, scene.requests // 3)):
            await scene.knock(_GATEWAY, raw, _BAD)


SCENARIOS = (
    plays("client_gone", _user_gone, apart=True),
    plays("client_gone_mid_body", _user_gone_mid_body),
    sends(
        "client_gone_inside",
        Step("payments", takes_ms=250, leaves_after_ms=100),
        share=0.5,
        blame=("client_gone", FRONTEND),
    ),
    sends(
        "client_gone_inside_grpc",
        Step("currency", takes_ms=250, leaves_after_ms=100),
        share=0.5,
        blame=("client_gone", FRONTEND),
    ),
    plays("bad_request", _bad_request),
)
