"""One scenario at play in the running town: how it sends its requests, breaks things, and notes what is to blame."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.mesh import http1
from tests.mesh.apps import elapsed_ms
from tests.mesh.http1 import Client, Request
from tests.mesh.planned import PlannedApp
from tests.mesh.plans import PLAN_HEADER, Step
from tests.mesh.proxies import FLUSH_MS, Proxy
from tests.mesh.truth import SPAN_HEADER, Call, Notebook, Visit
from tests.mesh.world import GATEWAY_IP, GATEWAY_PORT, SHOP_HOST, Mesh

_AT_A_TIME = 3
_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
_GATEWAY = (GATEWAY_IP, GATEWAY_PORT)
_FRONTEND = Step("frontend", takes_ms=1)


@dataclass
class Town:
    """The running mesh: its proxies and applications, and the notes that all of them share."""

    mesh: Mesh
    notebook: Notebook
    apps: dict[str, PlannedApp]
    proxies: dict[str, Proxy]
    session_verdicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What is to blame for TCP connections that fail, by scenario."""
    raw_spans: dict[str, str] = field(default_factory=dict)
    """Spans by the sender's address, for requests that are no HTTP and carry no header."""


@dataclass
class Scene:
    """What a scenario's play is given: `requests` is how many it shall send of each kind."""

    name: str
    town: Town
    requests: int
    user_ip: str
    is_over: bool = False
    _clients: list[Client] = field(default_factory=list)

    async def ask(
        self,
        *steps: Step,
        count: int | None = None,
        blame: tuple[str, str | None] | None = None,
        only_failed: bool = False,
        is_hidden: bool = False,
        below_break: tuple[str, str] | None = None,
        at_a_time: int = _AT_A_TIME,
        session_blame: tuple[str, str] | None = None,
        **settings: object,
    ) -> list[Visit]:
        """Send requests through the gateway for which the frontend takes these steps; `blame` is what is wrong.

        `is_hidden` says that no line can tell the cause, `below_break` what is wrong below a service that drops the id.
        """
        turn = asyncio.Semaphore(at_a_time)
        missing = at_a_time - len(self._clients)
        self._clients += [Client(self.user_ip, _GATEWAY, is_application=False) for _ in range(missing)]
        free = self._clients[:at_a_time]

        async def one() -> Visit:
            async with turn:
                client = free.pop()
                try:
                    return await self.visit(client, steps, **settings)  # type: ignore[arg-type]
                finally:
                    free.append(client)

        visits = await asyncio.gather(*(one() for _ in range(count or self.requests)))
        if session_blame:
            self.town.session_verdicts[self.name] = session_blame
        for visit in visits:
            if blame and (visit.failed or not only_failed):
                visit.blame(*blame)
                visit.is_hidden, visit.below_break = is_hidden, below_break
        return visits

    async def visit(
        self,
        client: Client,
        steps: tuple[Step, ...],
        path: str = "/work",
        host: str = SHOP_HOST,
        frontend: Step = _FRONTEND,
        request_id: str | None = None,
        leaves_after_ms: int = 0,
        at_once: bool = False,
        tolerates: bool = False,
    ) -> Visit:
        """Send one request of an outside user and note what came back."""
        plan = Step(**{**vars(frontend), "then": steps or frontend.then, "at_once": at_once, "tolerates": tolerates})
        visit = self._noted(Call("outside", "frontend.shop", "GET", path, parent=None))
        headers = {"host": host, "user-agent": _AGENT, SPAN_HEADER: visit.call.span, PLAN_HEADER: plan.to_header()}
        if request_id:
            headers["x-request-id"] = request_id
        try:
            exchange = client.send(_GATEWAY, Request("GET", path, headers))
            visit.call.status = (await asyncio.wait_for(exchange, leaves_after_ms / 1000 or None)).status
        except TimeoutError:
            visit.left = True
        except ConnectionError:
            pass  # cut short: the status stays unknown
        visit.call.client_ms = elapsed_ms(visit.call.began)
        return visit

    async def knock(
        self, address: http1.Address, raw: bytes, blame: tuple[str, str | None] | None = None, source: str = ""
    ) -> Visit:
        """Send bytes from outside straight to a proxy, such as a probe or nonsense, and read until it answers."""
        visit = self._noted(Call("outside", None, "", "", parent=None))
        reader, writer = await asyncio.open_connection(*address, local_addr=(source or self.user_ip, 0))
        host, port = writer.get_extra_info("sockname")
        self.town.raw_spans[f"{host}:{port}"] = visit.call.span
        writer.write(raw.replace(b"\r\n\r\n", f"\r\n{SPAN_HEADER}: {visit.call.span}\r\n\r\n".encode()))
        try:
            answer = await asyncio.wait_for(reader.readline(), 3)
            visit.call.status = int(answer.split()[1]) if answer.startswith(b"HTTP/") else None
        except (ConnectionError, TimeoutError):
            pass
        writer.close()
        visit.call.client_ms = elapsed_ms(visit.call.began)
        if blame:
            visit.blame(*blame)
        return visit

    def _noted(self, call: Call) -> Visit:
        visit = Visit(call, scenario=self.name)
        self.town.notebook.visits.append(visit)
        return visit

    async def settle(self) -> None:
        """Wait until what was begun is served and noted."""
        for _ in range(150):
            if all(note.completed for note in self.town.notebook.served):
                break
            await asyncio.sleep(0.02)

    async def flushed(self) -> None:
        """Wait until every proxy has written its access log out."""
        await asyncio.sleep(FLUSH_MS / 1000 + 0.1)

    async def close(self) -> None:
        """Hang up."""
        for client in self._clients:
            await client.close()


Play = Callable[[Scene], Awaitable[object]]


@dataclass(frozen=True)
class Scenario:
    """A scenario's name, its play, and in which recordings it takes part."""

    name: str
    play: Play
    in_town: bool = True
    apart: bool = False
    """Played where clocks are apart and some logs are missing."""
