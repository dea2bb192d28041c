"""Requests that a proxy answers itself: routes, clusters, endpoints, limits, faults and access policies."""

from __future__ import annotations

from tests.mesh.plans import Step
from tests.mesh.policies import LIMIT_TOKENS
from tests.mesh.scenarios.table import FRONTEND, PAYMENTS, plays, sends
from tests.mesh.scene import Scene
from tests.mesh.truth import GATEWAY

_DENIED = ("denied", PAYMENTS)


def _deep(step: Step) -> Step:
    return Step("orders", then=(Step("cart"), step))


async def _ejected(scene: Scene) -> None:
    """Five answers of 500 eject the only host; then there is none, until the ejection ends."""
    failing = Step("payments", status=500, variant="ejecting")
    await scene.ask(Step("payments", variant="ejecting"), count=3, at_a_time=1)
    await scene.ask(failing, count=5, at_a_time=1, blame=("app_5xx", PAYMENTS))
    await scene.ask(Step("payments", variant="ejecting"), at_a_time=1, blame=("outlier_ejection", PAYMENTS))


async def _burst(scene: Scene, variant: str) -> None:
    """Three calls at once through a breaker that lets one run and one wait."""
    step = Step("payments", takes_ms=25, variant=variant)
    for _ in range(scene.requests // 3):
        await scene.ask(step, count=4, at_a_time=4, blame=("overload", PAYMENTS), only_failed=True)


async def _overload(scene: Scene) -> None:
    await _burst(scene, "narrow")


async def _overload_retries(scene: Scene) -> None:
    await _burst(scene, "narrow-retry")


async def _rate_limited(scene: Scene) -> None:
    """A bucket of a few tokens that nobody fills again."""
    limited = Step("payments", path="/limited")
    await scene.ask(limited, count=LIMIT_TOKENS, at_a_time=1)
    await scene.ask(limited, blame=("rate_limited", PAYMENTS))


async def _no_route(scene: Scene) -> None:
    await scene.ask(path="/wishlist", blame=("no_route", GATEWAY))
    await scene.ask(host="shop.example.org", blame=("no_route", GATEWAY), count=3)


SCENARIOS = (
    plays("no_route", _no_route),
    sends("no_route_inside", Step("catalog", path="/moved"), blame=("no_route", FRONTEND)),
    sends("no_cluster", Step("payments", variant="dangling"), blame=("no_cluster", FRONTEND), apart=True),
    sends("no_cluster_deep", _deep(Step("payments", variant="dangling")), blame=("no_cluster", "orders.shop")),
    sends("blocked_egress", Step("api.partner.example"), blame=("blocked_egress", FRONTEND)),
    sends("direct_response", Step("payments", variant="maintenance"), blame=("direct_response", PAYMENTS)),
    sends("no_endpoints", Step("payments", variant="empty"), blame=("no_endpoints", PAYMENTS), apart=True),
    sends("no_endpoints_retries", Step("payments", variant="empty-retry"), blame=("no_endpoints", PAYMENTS)),
    sends("no_endpoints_deep", _deep(Step("payments", variant="empty")), blame=("no_endpoints", PAYMENTS)),
    plays("outlier_ejection", _ejected),
    plays("overload", _overload),
    plays("overload_retries", _overload_retries),
    sends("injected_abort", Step("payments", variant="abort"), blame=("injected_fault", PAYMENTS)),
    sends("injected_delay", Step("payments", variant="delay"), share=0.5, blame=("injected_fault", PAYMENTS)),
    sends("denied", Step("payments", path="/secret"), blame=_DENIED),
    sends("denied_token", Step("payments", path="/token"), blame=_DENIED),
    sends("filter_failed", Step("payments", path="/scripted"), blame=("filter_failed", PAYMENTS)),
    sends("stream_limit", Step("payments", takes_ms=450, variant="idle"), share=0.5, blame=("stream_limit", PAYMENTS)),
    sends("denied_deep", _deep(Step("payments", path="/secret")), blame=_DENIED),
    sends("denied_outside", Step("payments", path="/guarded", status=403), blame=_DENIED),
    sends("allowed_outside", Step("payments", path="/guarded")),
    sends("authz_down", Step("payments", path="/orphaned"), blame=("authz_down", PAYMENTS)),
    plays("rate_limited", _rate_limited),
)
