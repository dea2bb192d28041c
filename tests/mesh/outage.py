"""A bad minute on real Envoys, with the truth noted by its driver: a dependency is slow for a while, then one pod's
application is gone, then a deploy breaks a route; between them the mesh is well.

Run it as `python -m tests.mesh.outage --out tests/outage`; it writes one log a pod, as the proxies wrote them but for
one that is lost and one whose clock is ahead, and `truth.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import lzma
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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
_CALM_SECONDS = 8.0
_BAD_SECONDS = 8.0
_PATIENCE_SECONDS = 5.0
_GATEWAY = (GATEWAY_IP, GATEWAY_PORT)
_SLOW_MS = 350
_USERS = (
    ("127.0.96.1", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("127.0.96.2", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36"),
    ("127.0.96.3", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) Mobile/15E148"),
    ("127.0.96.4", "shop-android/7.2.1 okhttp/4.12.0"),
    ("127.0.96.5", "curl/8.14.1"),
)


@dataclass
class Fault:
    """One fault as the driver knows it: when it began and ended, what failed first, and what was different there."""

    name: str
    first_edge: tuple[str, str]
    culprit: str
    dimension: str
    value: str
    measure: str
    began_at: str = ""
    ended_at: str = ""


@dataclass
class Drive:
    """The traffic and what is wrong with it at the moment."""

    town: Town
    faults: list[Fault] = field(default_factory=list)
    payments_ms: int = 12
    order_status: int = 200
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
                read = Step("orders", f"/work/orders/{order}", takes_ms=4, status=self.order_status, then=(ledger,))
                return "GET", f"/work/orders/{order}", (read,)
            case 2:
                return "GET", f"/work/carts/{number}", (self._cart(number), Step("catalog", "/work/items"))
            case _:
                charge = Step("payments", "/work/charges", "POST", self.payments_ms, then=(ledger,))
                placed = Step("orders", "/work/orders", "POST", takes_ms=3, then=(self._cart(number), charge))
                return "POST", ("/hurried/checkout" if number % 3 == 0 else "/work/checkout"), (placed,)

    def _cart(self, number: int) -> Step:
        return Step("cart", f"/work/carts/{number}", takes_ms=3)

    @contextmanager
    def wrong(self, *truth: str, measure: str = "errors", edge: tuple[str, str]) -> Iterator[None]:
        """Note when a fault begins and ends; `truth` is its name, culprit, and the dimension and value it shows in."""
        name, culprit, dimension, value = truth
        fault = Fault(name, edge, culprit, dimension, value, measure, began_at=now())
        yield
        fault.ended_at = now()
        self.faults.append(fault)


async def _play(folder: Path) -> Drive:
    async with _town_up(folder) as town:
        drive = Drive(town)
        traffic = asyncio.create_task(drive.run())
        await asyncio.sleep(1.5 * _CALM_SECONDS)
        with drive.wrong(
            "slow dependency", "payments.shop", "service", "payments.shop",
            measure="latency", edge=("orders.shop", "payments.shop"),
        ):  # fmt: skip
            drive.payments_ms = _SLOW_MS
            await asyncio.sleep(_BAD_SECONDS)
            drive.payments_ms = 12
        await asyncio.sleep(_CALM_SECONDS)
        app = town.apps["cart-2"]
        with drive.wrong("bad pod", "cart.shop", "pod", app.pod.name, edge=("frontend.shop", "cart.shop")):
            await app.stop()
            await asyncio.sleep(_BAD_SECONDS)
            await app.start()
        await asyncio.sleep(_CALM_SECONDS)
        with drive.wrong(
            "broken route", "orders.shop", "path_template", "/work/orders/{id}", edge=("frontend.shop", "orders.shop")
        ):
            drive.order_status = 500
            await asyncio.sleep(_BAD_SECONDS)
            drive.order_status = 200
        await asyncio.sleep(0.75 * _CALM_SECONDS)
        drive.is_over = True
        await traffic
    return drive


def record(out: Path) -> list[Fault]:
    """Play the bad minute and write its logs, compressed, and its truth into a folder, which is emptied first."""
    with _only_one_mesh(), tempfile.TemporaryDirectory(prefix="meshlog-") as folder:
        drive = asyncio.run(_play(Path(folder)))
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
    parser.add_argument("--out", type=Path, default=Path("tests/outage"), help="folder for the logs and truth.json")
    for fault in record(parser.parse_args().out):
        print(f"{fault.name}: {fault.began_at} to {fault.ended_at}")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
