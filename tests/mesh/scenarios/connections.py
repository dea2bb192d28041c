"""Connections that do not come about: applications and pods gone, packets that vanish, TLS that does not fit."""

from __future__ import annotations

import asyncio
import socket

from tests.mesh.plans import Step
from tests.mesh.scenarios.table import FRONTEND, PAYMENTS, plays, sends
from tests.mesh.scene import Scene
from tests.mesh.town import VOID

_INVENTORY, _MAILER, _SESSIONS = "inventory.shop", "mailer.shop", "sessions.shop"
_TIMED_OUT = ("connect_timeout", PAYMENTS)
_MISMATCH = ("tls_mismatch", PAYMENTS)


def _deep(step: Step) -> Step:
    return Step("orders", then=(Step("cart"), step))


async def _stopped(scene: Scene, service: str, *steps: Step, blame: tuple[str, str | None]) -> None:
    """Send healthy requests, stop the application behind its sidecar, send more, start it and send healthy ones."""
    app = scene.town.apps[service]
    well = Step(service)
    await scene.ask(well, count=4)
    await app.stop()
    await scene.ask(*steps, blame=blame)
    await app.start()
    await scene.ask(well, count=4)


async def _app_down(scene: Scene) -> None:
    await _stopped(scene, "inventory", Step("inventory"), blame=("app_down", _INVENTORY))


async def _app_down_retries(scene: Scene) -> None:
    await _stopped(scene, "inventory", Step("inventory", variant="retry"), blame=("app_down", _INVENTORY))


async def _app_down_deep(scene: Scene) -> None:
    await _stopped(scene, "inventory", _deep(Step("inventory")), blame=("app_down", _INVENTORY))


async def _tcp_app_down(scene: Scene) -> None:
    """A raw connection may be refused before its TLS handshake is over, which hides from its client what was wrong."""
    app = scene.town.apps["queue"]
    await scene.ask(Step("queue", chunks=2))
    await scene.settle()
    await app.stop()
    await scene.ask(Step("queue"), tolerates=True, session_blame=("app_down", "queue.shop"))
    await app.start()


async def _pod_gone(scene: Scene) -> None:
    """The pod ends in good order, its endpoint stays: the first refusal is the start of three scenarios."""
    await scene.ask(Step("mailer"))
    await scene.settle()
    await scene.town.apps["mailer"].stop()
    await scene.town.proxies["mailer"].stop()
    await scene.ask(Step("mailer"), blame=("connect_refused", _MAILER))


async def _swallowing() -> list[socket.socket]:
    """Listen with a queue that is full, so that the kernel drops every further attempt to connect."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(VOID)
    listener.listen(0)
    taken = []
    for _ in range(2):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(VOID)
        taken.append(one)
    await asyncio.sleep(0.05)
    return [listener, *taken]


async def _into_the_void(scene: Scene, variant: str) -> None:
    sockets = await _swallowing()
    await scene.ask(Step("payments", variant=variant), count=max(3, scene.requests // 2), blame=_TIMED_OUT)
    for one in sockets:
        one.close()


async def _connect_timeout(scene: Scene) -> None:
    await _into_the_void(scene, "void")


async def _connect_timeout_retries(scene: Scene) -> None:
    await _into_the_void(scene, "void-retry")


async def _plain_scrape(scene: Scene) -> None:
    """Prometheus without a certificate at a port that is STRICT: the server's proxy closes the connection."""
    raw = b"GET /metrics HTTP/1.1\r\nhost: 127.0.14.1:8080\r\nuser-agent: Prometheus/3.5.0\r\n\r\n"
    for _ in range(scene.requests):
        await scene.knock(("127.0.14.1", 8080), raw, _MISMATCH, source="127.0.98.2")


SCENARIOS = (
    plays("app_down", _app_down, apart=True),
    plays("app_down_retries", _app_down_retries),
    plays("app_down_deep", _app_down_deep),
    plays("connect_refused", _pod_gone),
    sends("connect_refused_retries", Step("mailer", variant="retry"), blame=("connect_refused", _MAILER)),
    sends("connect_refused_deep", _deep(Step("mailer")), blame=("connect_refused", _MAILER)),
    plays("connect_timeout", _connect_timeout),
    plays("connect_timeout_retries", _connect_timeout_retries),
    sends("tls_plain_to_strict", Step("payments", variant="plain"), blame=_MISMATCH),
    sends("tls_plain_to_strict_retries", Step("payments", variant="plain-retry"), blame=_MISMATCH),
    sends("tls_to_plain", Step("legacy", variant="mutual"), blame=("tls_mismatch", "legacy.shop")),
    sends("tls_to_plain_retries", Step("legacy", variant="mutual-retry"), blame=("tls_mismatch", "legacy.shop")),
    plays("tls_plain_scrape", _plain_scrape),
    sends("tls_identity", Step("payments", variant="stranger"), blame=("tls_identity", PAYMENTS)),
    sends("tls_identity_retries", Step("payments", variant="stranger-retry"), blame=("tls_identity", PAYMENTS)),
    plays("tcp_app_down", _tcp_app_down),
    sends("tcp_denied", Step("sessions", variant="6380"), session_blame=("denied", _SESSIONS), tolerates=True),
    sends(
        "tcp_overload",
        *[Step("sessions", variant="6381", chunks=8, pause_ms=10)] * 3,
        at_once=True,
        at_a_time=1,
        session_blame=("overload", _SESSIONS),
        tolerates=True,
    ),
    sends(
        "tcp_blocked_egress",
        Step("sessions", variant="9999"),
        session_blame=("blocked_egress", FRONTEND),
        tolerates=True,
    ),
)
