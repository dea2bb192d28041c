"""A running mesh: proxies and applications brought up for one story, driven by outside users, and taken down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.mesh import envoy, shop
from tests.mesh.apps import App, elapsed_ms
from tests.mesh.formats import Style
from tests.mesh.http1 import Client, Request
from tests.mesh.proxies import FLUSH_MS, Proxy
from tests.mesh.truth import SPAN_HEADER, Call, Notebook, Visit
from tests.mesh.world import GATEWAY_IP, GATEWAY_PORT, SHOP_HOST, Mesh

_SETTLE_SECONDS = 5.0


@dataclass(frozen=True)
class User:
    """An outside user: one source address, one browser, one kept-alive connection."""

    ip: str
    agent: str


ALICE = User("127.0.99.11", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
BOB = User("127.0.99.12", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) Mobile/15E148")
CAROL = User("127.0.99.13", "curl/8.14.1")


@dataclass
class Stage:
    """What a story plays on: `visit` drives, `stop_app` and `stop_pod` break things."""

    mesh: Mesh
    notebook: Notebook = field(default_factory=Notebook)
    apps: dict[str, App] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    rotated_at: list[int] = field(default_factory=list)
    _clients: dict[User, Client] = field(default_factory=dict)

    async def visit(
        self,
        user: User,
        path: str,
        method: str = "GET",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        host: str = SHOP_HOST,
        routed: bool = True,
        leaves_after_ms: int | None = None,
    ) -> Visit:
        """Send one request of an outside user through the gateway and note what came back."""
        call = Call("outside", "frontend.shop" if routed else None, method, path, parent=None)
        visit = Visit(call)
        self.notebook.visits.append(visit)
        sent = {"host": host, "user-agent": user.agent, SPAN_HEADER: call.span, **(headers or {})}
        client = self._clients.setdefault(user, Client(user.ip, (GATEWAY_IP, GATEWAY_PORT), is_application=False))
        patience = None if leaves_after_ms is None else leaves_after_ms / 1000
        began = time.perf_counter()
        try:
            exchange = client.send((GATEWAY_IP, GATEWAY_PORT), Request(method, path, sent, body))
            call.status = (await asyncio.wait_for(exchange, patience)).status
        except TimeoutError:
            visit.left = True
        call.client_ms = elapsed_ms(began)
        return visit

    async def stop_app(self, workload: str) -> None:
        """Stop an application and leave its sidecar running."""
        await self.apps[workload].stop()

    async def stop_pod(self, workload: str) -> None:
        """Stop a whole pod, sidecar first flushed; its endpoint stays in everybody's configuration."""
        await self.apps[workload].stop()
        await self.proxies[workload].stop()

    async def rotate_logs(self) -> None:
        """Let the proxies flush, then note the moment at which the kubelet shall have rotated."""
        await asyncio.sleep(FLUSH_MS / 1000 + 0.1)
        self.rotated_at.append(time.time_ns())

    async def settle(self) -> None:
        """Wait until every application has done what it began, and a little for the proxies to note it."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while not all(note.completed for note in self.notebook.served) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.15)

    async def hang_up(self) -> None:
        """Close the users' and the applications' own connections."""
        for client in self._clients.values():
            await client.close()
        for app in self.apps.values():
            await app.hang_up()


@asynccontextmanager
async def mesh_up(mesh: Mesh, workloads: Iterable[str], style: Style, folder: Path) -> AsyncIterator[Stage]:
    """Run the gateway and the named workloads; on leaving, let all calls end and stop everything that was started."""
    stage = Stage(mesh)
    pods = {workload: mesh.pods[workload] for workload in workloads}
    stage.proxies = {"gateway": Proxy(mesh.gateway, envoy.gateway(mesh, style), folder)}
    stage.proxies |= {key: Proxy(pod, envoy.sidecar(mesh, pod, style), folder) for key, pod in pods.items()}
    stage.apps = {key: App(pod, mesh, stage.notebook, shop.USUAL[key]) for key, pod in pods.items()}
    try:
        await asyncio.gather(*(proxy.start() for proxy in stage.proxies.values()))
        await asyncio.gather(*(shop.start(app) for app in stage.apps.values()))
        await asyncio.gather(*(proxy.ready() for proxy in stage.proxies.values()))
        yield stage
        await stage.settle()
        await stage.hang_up()
        await asyncio.sleep(0.1)
    finally:
        await asyncio.gather(*(app.stop() for app in stage.apps.values()), return_exceptions=True)
        await asyncio.gather(*(proxy.stop() for proxy in stage.proxies.values()))
