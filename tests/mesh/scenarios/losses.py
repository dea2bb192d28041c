"""Lines that are missing: a sidecar killed with its last lines unwritten, and pods whose logs nobody collected."""

from __future__ import annotations

import asyncio

from tests.mesh.plans import Step
from tests.mesh.scenarios.table import plays, sends
from tests.mesh.scene import Scene

UNLOGGED = ("inventory", "orders")
"""Workloads whose logs are missing where clocks are apart."""

KILLED = "killed_sidecar"
_SEARCH = "search.shop"


async def _killed(scene: Scene) -> None:
    """Kill a pod's proxy with requests on their way; those that ended in its last second are not in its log."""
    await scene.ask(Step("search"), Step("cart"))
    await scene.flushed()
    await scene.ask(Step("search"), count=3)
    going = asyncio.create_task(
        scene.ask(Step("search", takes_ms=600), count=4, at_a_time=4, blame=("proxy_gone", _SEARCH))
    )
    await asyncio.sleep(0.3)
    await scene.town.proxies["search"].kill()
    await going
    await scene.ask(Step("search"), blame=("connect_refused", _SEARCH))


SCENARIOS = (
    sends("server_unlogged", Step("inventory"), Step("cart"), apart=True),
    sends("middle_unlogged", Step("orders", then=(Step("payments"),)), Step("cart"), apart=True),
    sends(
        "middle_unlogged_5xx",
        Step("orders", then=(Step("payments", status=500),)),
        blame=("app_5xx", "payments.shop"),
        apart=True,
    ),
    plays(KILLED, _killed),
)
