"""The mesh as data: services, pods, Istio-like policies, and the address plan that never changes.

Every pod has its own loopback address, so an address means the same pod in every recording. Cluster IPs are only text
in a PROXY header: no packet goes there.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Literal

Protocol = Literal["http", "grpc", "tcp"]

GATEWAY_IP = "127.0.10.1"
GATEWAY_PORT = 8080
OUTBOUND_PORT = 15001
ADMIN_PORT = 15000
SHOP_HOST = "shop.example.com"


@dataclass(frozen=True)
class Service:
    """A Kubernetes Service: what callers name."""

    name: str
    cluster_ip: str
    port: int = 8080
    protocol: Protocol = "http"
    namespace: str = "shop"
    is_upgraded: bool = False
    """HTTP/2 between the sidecars though the applications speak HTTP/1.1 (DestinationRule `h2UpgradePolicy`)."""

    @property
    def host(self) -> str:
        return f"{self.name}.{self.namespace}.svc.cluster.local"

    @property
    def short(self) -> str:
        return f"{self.name}.{self.namespace}"

    @property
    def port_name(self) -> str:
        return {"http": "http-web", "grpc": "grpc-web", "tcp": "tcp-redis"}[self.protocol]


@dataclass(frozen=True)
class Pod:
    """One pod: a proxy at `ip` and, but for the gateway, an application on 127.0.0.1:`app_port`.

    `workload` is what stories call it: the service, with the subset where there are two.
    """

    workload: str
    name: str
    ip: str
    service: str
    subset: str = ""
    app_port: int = 0
    namespace: str = "shop"
    has_sidecar: bool = True

    @property
    def identity(self) -> str:
        """The SPIFFE name in the pod's certificate."""
        return f"spiffe://cluster.local/ns/{self.namespace}/sa/{self.service}"

    @property
    def uid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.name))


@dataclass(frozen=True)
class Retries:
    """VirtualService `http[].retries`; the defaults are Istio's own."""

    attempts: int = 2
    retry_on: str = "connect-failure,refused-stream,unavailable,cancelled"
    per_try_ms: int = 0


@dataclass(frozen=True)
class Fault:
    """VirtualService `http[].fault`, always at 100 %."""

    delay_ms: int = 0
    abort_status: int = 0


@dataclass(frozen=True)
class Route:
    """One entry of VirtualService `http`: what matches, where it goes, under which policy."""

    service: str
    subset: str = ""
    name: str = "default"
    prefix: str = "/"
    exact: str = ""
    header: tuple[str, str] | None = None
    timeout_ms: int = 0
    retries: Retries | None = None
    fault: Fault | None = None
    answers: int = 0
    """The status of `http[].directResponse`; 0 for none."""
    idle_ms: int = 0
    """How long nothing may move on a request, as an EnvoyFilter may set it."""
    lasts_ms: int = 0
    """How long a stream may last, as an EnvoyFilter may set it."""
    mirror: str = ""
    """The service that gets a copy of each request (`http[].mirrors`); nobody waits for its answer."""
    is_dangling: bool = False
    """The destination's subset is defined nowhere, so that the proxy has no such cluster."""


@dataclass(frozen=True)
class Breaker:
    """DestinationRule `trafficPolicy.connectionPool`: limits that each client proxy counts for itself."""

    max_connections: int
    max_pending: int
    max_requests: int


Tls = Literal["mutual", "plain", "stranger"]
"""How a client's cluster speaks: ISTIO_MUTUAL, DISABLE, or mutual with another server's name expected."""


@dataclass(frozen=True)
class Policy:
    """DestinationRule `trafficPolicy` of one service or subset; `hosts` stand in for the service's pods."""

    breaker: Breaker | None = None
    ejects_after: int = 0
    ejected_ms: int = 1500
    connect_timeout_ms: int = 10_000
    tls: Tls = "mutual"
    hosts: tuple[tuple[str, int], ...] | None = None


@dataclass(frozen=True)
class Mesh:
    """Everything the proxies of one recording are configured from."""

    services: dict[str, Service]
    pods: dict[str, Pod]
    gateway: Pod
    gateway_routes: tuple[Route, ...]
    routes: dict[str, tuple[Route, ...]] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)
    without_endpoints: frozenset[str] = frozenset()
    policies: dict[tuple[str, str], Policy] = field(default_factory=dict)
    has_mtls: bool = False
    permissive: frozenset[str] = frozenset()
    """Services whose PeerAuthentication lets plain text in as well."""
    is_guarded: bool = False
    """Inbound listeners carry the filters of access policies, and outbound ones block unknown hosts."""
    tcp_ports: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Further ports at which applications dial a TCP service, each with service and subset."""

    def endpoints(self, service: str, subset: str = "") -> list[Pod]:
        """List the pods a client's cluster holds; an empty subset means all of them."""
        if service in self.without_endpoints:
            return []
        named = subset if (service, subset) not in self.policies else ""
        return [pod for pod in self.pods.values() if pod.service == service and named in ("", pod.subset)]

    def addresses(self, service: str, subset: str = "") -> list[tuple[str, int]]:
        """List what a client's cluster connects to."""
        hosts = self.policy(service, subset).hosts
        if hosts is not None:
            return [*hosts]
        return [(pod.ip, self.services[service].port) for pod in self.endpoints(service, subset)]

    def policy(self, service: str, subset: str = "") -> Policy:
        """Give the DestinationRule's policy for a service or subset; one of limits alone counts for all subsets."""
        return self.policies.get((service, subset), Policy(self.breakers.get(service)))

    def subsets(self, service: str) -> list[str]:
        """List the subsets that routes may name, the empty one first."""
        routed = {route.subset for route in self.routes_to(service) if not route.is_dangling}
        dialled = {subset for name, subset in self.tcp_ports.values() if name == service}
        return ["", *sorted((routed | dialled) - {""})]

    def routes_to(self, service: str) -> tuple[Route, ...]:
        """Give the VirtualService's routes, or the one Istio makes where there is none."""
        return self.routes.get(service, (Route(service),))

    def with_routes(self, service: str, *routes: Route) -> Mesh:
        """Put a VirtualService on a service."""
        return replace(self, routes={**self.routes, service: routes})

    def with_breaker(self, service: str, breaker: Breaker) -> Mesh:
        """Put a DestinationRule with connection limits on a service."""
        return replace(self, breakers={**self.breakers, service: breaker})

    def without(self, service: str) -> Mesh:
        """Take all endpoints away from a service."""
        return replace(self, without_endpoints=self.without_endpoints | {service})


_SERVICES = (
    Service("frontend", "10.96.0.11"),
    Service("catalog", "10.96.0.12"),
    Service("cart", "10.96.0.13"),
    Service("payments", "10.96.0.14"),
    Service("recommendations", "10.96.0.15"),
    Service("currency", "10.96.0.16", port=7000, protocol="grpc"),
    Service("sessions", "10.96.0.17", port=6379, protocol="tcp"),
)

_PODS = (
    Pod("frontend", "frontend-v1-7c9d6b5f4d-k8wzm", "127.0.11.1", "frontend", "v1", 18011),
    Pod("catalog-v1", "catalog-v1-66b8c5d9f7-p4nhq", "127.0.12.1", "catalog", "v1", 18012),
    Pod("catalog-v2", "catalog-v2-58f7d4c6b9-t9vcx", "127.0.12.2", "catalog", "v2", 18022),
    Pod("cart", "cart-v1-5d8f7c9b4-x2lqp", "127.0.13.1", "cart", "v1", 18013),
    Pod("payments", "payments-v1-84c9bd7f56-m7rjd", "127.0.14.1", "payments", "v1", 18014),
    Pod("recommendations", "recommendations-v1-6f5b9c8d7-h5zgk", "127.0.15.1", "recommendations", "v1", 18015),
    Pod("currency", "currency-v1-79d5c4b8f6-w6tbn", "127.0.16.1", "currency", "v1", 18016),
    Pod("sessions", "sessions-0", "127.0.17.1", "sessions", "v1", 18017),
)

_GATEWAY = Pod(
    workload="gateway",
    name="istio-ingressgateway-6f9c7d8b5c-j4lvs",
    ip=GATEWAY_IP,
    service="istio-ingressgateway",
    namespace="istio-system",
)

_STOREFRONT = (
    Route("frontend", name="home", exact="/"),
    Route("frontend", name="catalog", prefix="/products"),
    Route("frontend", name="cart", prefix="/cart"),
    Route("frontend", name="checkout", prefix="/checkout"),
    Route("frontend", name="catalog", prefix="/export"),
    Route("frontend", name="prices", prefix="/prices"),
)

_CATALOG = (
    Route("catalog", "v2", name="canary", header=("x-catalog-version", "v2")),
    Route("catalog", "v1", name="stable"),
)


def shop() -> Mesh:
    """Build the healthy shop: what every story starts from."""
    return Mesh(
        services={service.name: service for service in _SERVICES},
        pods={pod.workload: pod for pod in _PODS},
        gateway=_GATEWAY,
        gateway_routes=_STOREFRONT,
        routes={"catalog": _CATALOG},
    )
