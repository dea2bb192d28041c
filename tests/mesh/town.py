"""The mesh in which the scenarios play: the shop grown to a town, with mTLS, access policies and a variant for every
way in which Istio's resources can be wrong.

A caller picks a variant by a header, as VirtualServices let it; a variant leads to a route or subset of its own, so
that broken policies and healthy traffic share services, pods and proxies.
"""

from __future__ import annotations

from dataclasses import replace

from tests.mesh.policies import DENIED_SUBSET
from tests.mesh.world import Breaker, Fault, Mesh, Pod, Policy, Retries, Route, Service, shop

VARIANT_HEADER = "x-variant"

DROPS_ID = frozenset({"recommendations"})
"""Services whose application does not pass x-request-id on."""

VOID = ("127.0.24.1", 8080)
"""An address that swallows every connection attempt."""

DENIED_PORT, NARROW_PORT = 6380, 6381
"""Ports of sessions behind which its clients are refused, and limited to one connection."""

ON_5XX = Retries(retry_on="5xx,reset,connect-failure")
_PER_TRY = Retries(retry_on="5xx", per_try_ms=150)
_NARROW = Policy(Breaker(max_connections=1, max_pending=1, max_requests=1))

_SERVICES = (
    Service("orders", "10.96.0.18"),
    Service("ledger", "10.96.0.19", is_upgraded=True),
    Service("inventory", "10.96.0.20"),
    Service("mailer", "10.96.0.21"),
    Service("search", "10.96.0.22"),
    Service("legacy", "10.96.0.23"),
    Service("queue", "10.96.0.24", port=5672, protocol="tcp"),
)

_PODS = (
    Pod("cart-2", "cart-v1-5d8f7c9b4-b7wsn", "127.0.13.2", "cart", "v1", 18023),
    Pod("cart-3", "cart-v1-5d8f7c9b4-zk5td", "127.0.13.3", "cart", "v1", 18033),
    Pod("orders", "orders-v1-6d9f4b7c58-q2xhv", "127.0.18.1", "orders", "v1", 18018),
    Pod("ledger", "ledger-v1-7b5c9d8f6-n4tjw", "127.0.19.1", "ledger", "v1", 18019),
    Pod("inventory", "inventory-v1-59c8d7b6f4-s9kmr", "127.0.20.1", "inventory", "v1", 18020),
    Pod("mailer", "mailer-v1-8f6d5c7b9-d3vgz", "127.0.21.1", "mailer", "v1", 18021),
    Pod("search", "search-v1-6c7d8f9b5-l6qnx", "127.0.22.1", "search", "v1", 18024),
    Pod("legacy", "legacy-0", "127.0.23.1", "legacy", "v1", 18025, has_sidecar=False),
    Pod("queue", "queue-0", "127.0.25.1", "queue", "v1", 18026),
)

_GATEWAY_ROUTES = (
    Route("frontend", name="retrying", prefix="/retrying", retries=ON_5XX),
    Route("frontend", name="hurried", prefix="/hurried", timeout_ms=400),
    Route("frontend", name="home", prefix="/work"),
)


def _variants(service: str, *routes: Route) -> dict[str, tuple[Route, ...]]:
    picked = [replace(route, service=service, header=(VARIANT_HEADER, route.name)) for route in routes]
    return {service: (*picked, Route(service))}


_RETRY = Route("", name="retry", retries=ON_5XX)
_SHORT = Route("", name="short", timeout_ms=400)
_SHORT_RETRY = Route("", name="short-retry", timeout_ms=5000, retries=_PER_TRY)

_ROUTES = {
    **_variants(
        "payments",
        _RETRY,
        _SHORT,
        _SHORT_RETRY,
        Route("", name="delay", fault=Fault(delay_ms=120)),
        Route("", name="abort", fault=Fault(abort_status=503)),
        Route("", name="maintenance", answers=503),
        Route("", name="idle", idle_ms=200),
        Route("", name="lasting", lasts_ms=200),
        Route("", name="mirrored", mirror="inventory"),
        Route("", "v9", name="dangling", is_dangling=True),
        Route("", "empty", name="empty"),
        Route("", "empty", name="empty-retry", retries=ON_5XX),
        Route("", "narrow", name="narrow"),
        Route("", "narrow", name="narrow-retry", retries=ON_5XX),
        Route("", "ejecting", name="ejecting"),
        Route("", "plain", name="plain"),
        Route("", "plain", name="plain-retry", retries=ON_5XX),
        Route("", "stranger", name="stranger"),
        Route("", "stranger", name="stranger-retry", retries=ON_5XX),
        Route("", "void", name="void"),
        Route("", "void", name="void-retry", retries=ON_5XX),
    ),
    **_variants("orders", _RETRY, _SHORT),
    **_variants("ledger", _RETRY, _SHORT, _SHORT_RETRY),
    **_variants("currency", _RETRY, _SHORT),
    **_variants("inventory", _RETRY),
    **_variants("mailer", _RETRY),
    **_variants("search", _RETRY),
    **_variants("cart", _RETRY, _SHORT),
    **_variants("legacy", Route("", "mutual", name="mutual"), Route("", "mutual", name="mutual-retry", retries=ON_5XX)),
    "catalog": (
        Route("catalog", "v2", name="canary", header=(VARIANT_HEADER, "v2")),
        Route("catalog", "v1", name="stable", prefix="/work"),
        Route("catalog", "v1", name="probes", exact="/healthz"),
    ),
}

_POLICIES = {
    ("payments", "empty"): Policy(hosts=()),
    ("payments", "narrow"): _NARROW,
    ("payments", "ejecting"): Policy(ejects_after=5),
    ("payments", "plain"): Policy(tls="plain"),
    ("payments", "stranger"): Policy(tls="stranger"),
    ("payments", "void"): Policy(connect_timeout_ms=250, hosts=(VOID,)),
    ("sessions", DENIED_SUBSET): Policy(),
    ("sessions", "narrow"): _NARROW,
    ("legacy", ""): Policy(tls="plain"),
    ("legacy", "mutual"): Policy(),
}


def town() -> Mesh:
    """Build the town in good health but for the variants that nobody asks for."""
    mesh = shop()
    pods = {pod.workload: pod for pod in (*mesh.pods.values(), *_PODS)}
    return replace(
        mesh,
        services={**mesh.services, **{service.name: service for service in _SERVICES}},
        pods=pods,
        gateway_routes=_GATEWAY_ROUTES,
        routes=_ROUTES,
        policies=_POLICIES,
        has_mtls=True,
        permissive=frozenset({"catalog"}),
        is_guarded=True,
        tcp_ports={DENIED_PORT: ("sessions", DENIED_SUBSET), NARROW_PORT: ("sessions", "narrow")},
    )
