"""Incidents on real Envoys, with the truth noted by their driver: a dependency is slow for a while, one pod's
application is gone, a deploy breaks a route; in turn, mildly, at once, at the edges of the logs, or not at all.

Run it as `python -m tests.mesh.outage [--course NAME] --out tests/outage`; it writes one log a pod, as the proxies
wrote them but for one that is lost and one whose clock is ahead, and `truth.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import lzma
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path

from tests.mesh.http1 import Client, Request
from tests.mesh.plans import PLAN_HEADER, Step
from tests.mesh.record import _only_one_mesh
from tests.mesh.recording import Recording, Setting, _town_up, _write_logs
from tests.mesh.scene import Town
from tests.mesh.truth import SPAN_HEADER, now
from tests.mesh.world import GATEWAY_IP, GATEWAY_PORT, SHOP_HOST

SETTING = Setting("outage", clocks_ms={"cart-3": 900}, unlogged=frozenset({"ledger"}))

_EVERY_SECONDS = 0.1
_PATIENCE_SECONDS = 5.0
_GATEWAY = (GATEWAY_IP, GATEWAY_PORT)
_USUAL_MS = 12
_BAD_POD = "cart-2"
_USERS = (
    ("127.0.96.1", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("127.0.96.2", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36"),
    ("127.0.96.3", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) Mobile/15E148"),
    ("127.0.96.4", "shop-android/7.2.1 okhttp/4.12.0"),
    ("127.0.96.5", "curl/8.14.1"),
)


@dataclass(frozen=True)
class Truth:
    """What a fault of a kind shows in: what fails first, whose fault it is, and what is different there."""

    first_edge: tuple[str, str]
    culprit: str
    dimension: str
    value: str
    measure: str = "errors"


KINDS: Mapping[str, Truth] = {
    "slow dependency": Truth(
        ("orders.shop", "payments.shop"), "payments.shop", "service", "payments.shop", measure="latency"
    ),
    "bad pod": Truth(("frontend.shop", "cart.shop"), "cart.shop", "pod", "cart-v1-5d8f7c9b4-b7wsn"),
    "broken route": Truth(("frontend.shop", "orders.shop"), "orders.shop", "path_template", "/work/orders/{id}"),
}


@dataclass(frozen=True)
class Planned:
    """A fault that shall happen: its kind, when it begins and how long it lasts in seconds, and how bad it is.

    That is milliseconds for a slow dependency; for a broken route, of how many of its calls one fails.
    """

    kind: str
    at: float
    lasts: float
    severity: int = 1


@dataclass(frozen=True)
class Course:
    """How long traffic flows, in seconds, and what goes wrong meanwhile."""

    seconds: float
    faults: tuple[Planned, ...] = ()


COURSES: Mapping[str, Course] = {
    "in turn": Course(
        172,
        (Planned("slow dependency", 20, 60, 450), Planned("bad pod", 100, 20), Planned("broken route", 140, 20)),
    ),
    "short": Course(
        60, (Planned("slow dependency", 12, 8, 450), Planned("bad pod", 28, 8), Planned("broken route", 44, 8))
    ),
    "mild": Course(110, (Planned("slow dependency", 20, 30, 60), Planned("broken route", 70, 20, 3))),
    "at once": Course(67, (Planned("slow dependency", 15, 25, 450), Planned("bad pod", 27, 25))),
    "at the edges": Course(60, (Planned("slow dependency", 0, 15, 450), Planned("broken route", 45, 60))),
    "calm": Course(60),
}
"""What can be recorded. `in turn` is what tests/outage holds."""


@dataclass
class Fault:
    """One fault as it happened. One that outlasts the traffic has no end."""

    name: str
    first_edge: tuple[str, str]
    culprit: str
    dimension: str
    value: str
    measure: str
    began_at: str
    ended_at: str | None


@dataclass
class Drive:
    """The traffic and what is wrong with it at the moment."""

    town: Town
    faults: list[Fault] = field(default_factory=list)
    payments_ms: int = _USUAL_MS
    broken_one_of: int = 0
    is_over: bool = False
    _clients: dict[str, Client] = field(default_factory=dict)

    async def run(self) -> None:
        """Send ten requests a second until told to stop, each on its own, whatever the others do."""
        sent: list[asyncio.Task[None]] = []
        for number, (address, agent) in enumerate(cycle(_USERS)):
            if self.is_over:
                break
            sent.append(asyncio.create_task(self._visit(number, address, agent)))
            await asyncio.sleep(_EVERY_SECONDS)
        await asyncio.gather(*sent)
        for client in self._clients.values():
            await client.close()

    async def _visit(self, number: int, address: str, agent: str) -> None:
        method, path, steps = self._wish(number)
        headers = {
            "host": SHOP_HOST,
            "user-agent": agent,
            SPAN_HEADER: uuid.uuid4().hex,
            PLAN_HEADER: Step("frontend", takes_ms=1, then=steps).to_header(),
        }
        client = self._clients.setdefault(address, Client(address, _GATEWAY, is_application=False))
        await asyncio.wait_for(client.send(_GATEWAY, Request(method, path, headers)), _PATIENCE_SECONDS)

    def _wish(self, number: int) -> tuple[str, str, tuple[Step, ...]]:
        """Choose what the user asks for, and with it what the applications shall do."""
        ledger = Step("ledger", "/work/entries")
        order = number if number % 2 else uuid.uuid4()
        match number % 4:
            case 0:
                return "GET", f"/work/items?page={number}", (Step("catalog", "/work/items"), self._cart(number))
            case 1:
                read = Step(
                    "orders", f"/work/orders/{order}", takes_ms=4, status=self._order_status(number), then=(ledger,)
                )
                return "GET", f"/work/orders/{order}", (read,)
            case 2:
                return "GET", f"/work/carts/{number}", (self._cart(number), Step("catalog", "/work/items"))
            case _:
                charge = Step("payments", "/work/charges", "POST", self.payments_ms, then=(ledger,))
                placed = Step("orders", "/work/orders", "POST", takes_ms=3, then=(self._cart(number), charge))
                return "POST", ("/hurried/checkout" if number % 3 == 0 else "/work/checkout"), (placed,)

    def _cart(self, number: int) -> Step:
        return Step("cart", f"/work/carts/{number}", takes_ms=3)

    def _order_status(self, number: int) -> int:
        return 500 if self.broken_one_of and number // 4 % self.broken_one_of == 0 else 200

    async def go_wrong(self, planned: Planned) -> None:
        """Let a fault happen, and note when it began and ended."""
        await asyncio.sleep(planned.at)
        began_at = now()
        await self._set(planned.kind, planned.severity)
        fault = Fault(planned.kind, **asdict(KINDS[planned.kind]), began_at=began_at, ended_at=None)
        self.faults.append(fault)
        await asyncio.sleep(planned.lasts)
        fault.ended_at = now()
        await self._set(planned.kind, 0)

    async def _set(self, kind: str, severity: int) -> None:
        """Make something as bad as told; 0 mends it."""
        match kind:
            case "slow dependency":
                self.payments_ms = severity or _USUAL_MS
            case "broken route":
                self.broken_one_of = severity
            case _:
                bad = self.town.apps[_BAD_POD]
                await (bad.stop() if severity else bad.start())


async def _play(course: Course, folder: Path) -> Drive:
    async with _town_up(folder) as town:
        drive = Drive(town)
        traffic = asyncio.create_task(drive.run())
        faults = [asyncio.create_task(drive.go_wrong(planned)) for planned in course.faults]
        await asyncio.sleep(course.seconds)
        drive.is_over = True
        for fault in faults:
            fault.cancel()
        await asyncio.gather(*faults, return_exceptions=True)
        await traffic
    return drive


def record(course: Course, out: Path) -> list[Fault]:
    """Play a course and write its logs, compressed, and its truth into a folder, which is emptied first."""
    with _only_one_mesh(), tempfile.TemporaryDirectory(prefix="meshlog-") as folder:
        drive = asyncio.run(_play(course, Path(folder)))
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    _write_logs(Recording(SETTING, drive.town), out)
    for log in sorted(out.glob("*.log")):
        if text := log.read_bytes():
            log.with_name(f"{log.name}.xz").write_bytes(lzma.compress(text, preset=9))
        log.unlink()
    truth = [asdict(fault) for fault in drive.faults]
    (out / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return drive.faults


def main() -> None:
    """Record into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--course", choices=COURSES, default="in turn", help="what goes wrong")
    parser.add_argument("--out", type=Path, default=Path("tests/outage"), help="folder for the logs and truth.json")
    arguments = parser.parse_args()
    for fault in record(COURSES[arguments.course], arguments.out):
        print(f"{fault.name}: {fault.began_at} to {fault.ended_at}")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
