"""Envoy's bootstrap for each pod, generated from the mesh: one dict a proxy, in the shape istiod would give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.mesh import policies
from tests.mesh.certs import Files
from tests.mesh.formats import Style
from tests.mesh.world import (
    ADMIN_PORT,
    GATEWAY_PORT,
    OUTBOUND_PORT,
    SHOP_HOST,
    Breaker,
    Fault,
    Mesh,
    Pod,
    Policy,
    Route,
    Service,
)

Json = dict[str, Any]

_NETWORK = "type.googleapis.com/envoy.extensions.filters.network"
_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_UNLIMITED = Breaker(2**32 - 1, 2**32 - 1, 2**32 - 1)
_BLACK_HOLE = "BlackHoleCluster"

BLOCKED_PORT = 9999
"""A port that belongs to no service: what an application dials there is blocked."""

_BLOCK_ALL: Json = {
    "name": "block_all",
    "domains": ["*"],
    "routes": [{"name": "block_all", "match": {"prefix": "/"}, "direct_response": {"status": 502}}],
}
"""Istio's virtual host for hosts outside the registry, under `outboundTrafficPolicy: REGISTRY_ONLY`."""


def sidecar(mesh: Mesh, pod: Pod, style: Style, files: Files | None = None) -> Json:
    """Configure a pod's sidecar: an inbound listener on the pod's port, an outbound one on 15001."""
    service = mesh.services[pod.service]
    listeners = [_inbound_listener(mesh, service, pod, style, files), _outbound_listener(mesh, pod, style)]
    clusters = [_inbound_cluster(service, pod, style), *_outbound_clusters(mesh, pod, files)]
    if mesh.is_guarded:
        clusters += [*policies.authz_clusters(), _black_hole(pod)]
    return _bootstrap(pod, listeners, clusters)


def gateway(mesh: Mesh, style: Style, files: Files | None = None) -> Json:
    """Configure the ingress gateway: it trusts no X-Forwarded-For and appends the peer it sees."""
    virtual_host = {
        "name": f"{SHOP_HOST}:{GATEWAY_PORT}",
        "domains": [SHOP_HOST, f"{SHOP_HOST}:*"],
        "routes": [_route(mesh, route) for route in mesh.gateway_routes],
    }
    manager = _http_manager("outbound_0.0.0.0_8080", [virtual_host], style, edge=True)
    listener = _listener("0.0.0.0_8080", mesh.gateway.ip, GATEWAY_PORT, [{"filters": [manager]}])
    return _bootstrap(mesh.gateway, [listener], _outbound_clusters(mesh, mesh.gateway, files))


def outbound_cluster_name(service: Service, subset: str = "") -> str:
    """Name a client side's cluster as Istio does."""
    return f"outbound|{service.port}|{subset}|{service.host}"


def _bootstrap(pod: Pod, listeners: list[Json], clusters: list[Json]) -> Json:
    return {
        "node": {"id": f"sidecar~{pod.ip}~{pod.name}.{pod.namespace}", "cluster": f"{pod.service}.{pod.namespace}"},
        "admin": {"address": _address(pod.ip, ADMIN_PORT)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def _inbound_listener(mesh: Mesh, service: Service, pod: Pod, style: Style, files: Files | None) -> Json:
    cluster = style.inbound_cluster(service)
    if service.protocol == "tcp":
        guards = [policies.tcp_guard()] if mesh.is_guarded else []
        chain: Json = {"filters": [*guards, _tcp_proxy(cluster, style)]}
    else:
        virtual_host = {
            "name": f"inbound|http|{service.port}",
            "domains": ["*"],
            "routes": _inbound_routes(mesh, cluster),
        }
        filters = policies.inbound_filters() if mesh.is_guarded else []
        chain = {"filters": [_http_manager(f"inbound_{pod.ip}_{service.port}", [virtual_host], style, False, filters)]}
    chains = [chain] if files is None else _secured(chain, files, service.name in mesh.permissive)
    listener = _listener("virtualInbound", pod.ip, service.port, chains)
    if files is not None:
        listener["listener_filters"] = [policies.tls_inspector()]
        listener["access_log"] = [_access_log(style, only_flags=["NR"])]
    return listener


def _secured(chain: Json, files: Files, is_permissive: bool) -> list[Json]:
    """Let a chain take TLS alone, which is STRICT, or TLS beside plain text."""
    match = {"filter_chain_match": {"transport_protocol": "tls"}, "transport_socket": policies.server_socket(files)}
    return [{**chain, **match}, *([chain] if is_permissive else [])]


def _inbound_routes(mesh: Mesh, cluster: str) -> list[Json]:
    def route(path: str) -> Json:
        return {"name": "default", "match": {"prefix": path}, "route": {"cluster": cluster, "timeout": "0s"}}

    if not mesh.is_guarded:
        return [route("/")]
    return [
        {**route(path), "typed_per_filter_config": policies.route_settings(path)} for path in policies.GUARDED_PATHS
    ]


def _outbound_listener(mesh: Mesh, pod: Pod, style: Style) -> Json:
    """Listen where iptables would lead: a PROXY header brings the cluster IP that the application dialled."""
    services = mesh.services.values()
    virtual_hosts = [_virtual_host(mesh, service) for service in services if service.protocol != "tcp"]
    dialled = {service.port: outbound_cluster_name(service) for service in services if service.protocol == "tcp"}
    dialled |= {
        port: outbound_cluster_name(mesh.services[name], subset) for port, (name, subset) in mesh.tcp_ports.items()
    }
    if mesh.is_guarded:
        virtual_hosts.append(_BLOCK_ALL)
        dialled[BLOCKED_PORT] = _BLACK_HOLE
    chains: list[Json] = [
        {"filter_chain_match": {"destination_port": port}, "filters": [_tcp_proxy(cluster, style)]}
        for port, cluster in dialled.items()
    ]
    chains.append({"filters": [_http_manager("outbound_0.0.0.0_15001", virtual_hosts, style)]})
    return _listener("virtualOutbound", pod.ip, OUTBOUND_PORT, chains, proxy_header=True)


def _listener(name: str, ip: str, port: int, chains: list[Json], proxy_header: bool = False) -> Json:
    listener = {"name": name, "address": _address(ip, port), "filter_chains": chains}
    if proxy_header:
        kind = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
        listener["listener_filters"] = [
            {"name": "envoy.filters.listener.proxy_protocol", "typed_config": {"@type": kind}}
        ]
    return listener


def _http_manager(
    stat_prefix: str, virtual_hosts: list[Json], style: Style, edge: bool = False, filters: Sequence[Json] = ()
) -> Json:
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_NETWORK}.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": stat_prefix,
            "codec_type": "AUTO",
            "server_name": "istio-envoy",
            "use_remote_address": edge,
            "preserve_external_request_id": edge,
            "stream_idle_timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "access_log": [_access_log(style)],
            "http_filters": [
                *filters,
                {"name": "envoy.filters.http.fault", "typed_config": {"@type": f"{_HTTP}.fault.v3.HTTPFault"}},
                {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_HTTP}.router.v3.Router"}},
            ],
            # a route may name a cluster that is not there, as one that came from istiod may
            "route_config": {"name": stat_prefix, "virtual_hosts": virtual_hosts, "validate_clusters": False},
        },
    }


def _tcp_proxy(cluster: str, style: Style) -> Json:
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": f"{_NETWORK}.tcp_proxy.v3.TcpProxy",
            "stat_prefix": cluster,
            "cluster": cluster,
            "access_log": [_access_log(style)],
        },
    }


def _access_log(style: Style, only_flags: Sequence[str] = ()) -> Json:
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    logger: Json = {
        "name": "envoy.access_loggers.file",
        "typed_config": {"@type": kind, "path": "/dev/stdout", "log_format": style.log_format},
    }
    if only_flags:
        logger["filter"] = {"response_flag_filter": {"flags": [*only_flags]}}
    return logger


def _virtual_host(mesh: Mesh, service: Service) -> Json:
    name, port = service.name, service.port
    names = [name, service.short, f"{service.short}.svc", service.host, service.cluster_ip]
    return {
        "name": f"{service.host}:{port}",
        "domains": [*names, *(f"{alias}:{port}" for alias in names)],
        "routes": [_route(mesh, route) for route in mesh.routes_to(name)],
    }


def _route(mesh: Mesh, route: Route) -> Json:
    match: Json = {"path": route.exact} if route.exact else {"prefix": route.prefix}
    if route.header:
        name, value = route.header
        match["headers"] = [{"name": name, "string_match": {"exact": value}}]
    if route.answers:
        return {"name": route.name, "match": match, "direct_response": {"status": route.answers}}
    action: Json = {
        "cluster": outbound_cluster_name(mesh.services[route.service], route.subset),
        "timeout": f"{route.timeout_ms / 1000}s",
    }
    if route.idle_ms:
        action["idle_timeout"] = f"{route.idle_ms / 1000}s"
    if route.lasts_ms:
        action["max_stream_duration"] = {"max_stream_duration": f"{route.lasts_ms / 1000}s"}
    if route.mirror:
        action["request_mirror_policies"] = [{"cluster": outbound_cluster_name(mesh.services[route.mirror])}]
    if route.retries:
        retry = action["retry_policy"] = {"retry_on": route.retries.retry_on, "num_retries": route.retries.attempts}
        if route.retries.per_try_ms:
            retry["per_try_timeout"] = f"{route.retries.per_try_ms / 1000}s"
    entry = {"name": route.name, "match": match, "route": action}
    if route.fault:
        entry["typed_per_filter_config"] = {"envoy.filters.http.fault": _fault(route.fault)}
    return entry


def _fault(fault: Fault) -> Json:
    always = {"numerator": 100, "denominator": "HUNDRED"}
    config: Json = {"@type": f"{_HTTP}.fault.v3.HTTPFault"}
    if fault.delay_ms:
        config["delay"] = {"fixed_delay": f"{fault.delay_ms / 1000}s", "percentage": always}
    if fault.abort_status:
        config["abort"] = {"http_status": fault.abort_status, "percentage": always}
    return config


def _inbound_cluster(service: Service, pod: Pod, style: Style) -> Json:
    name = style.inbound_cluster(service)
    endpoints = [_address("127.0.0.1", pod.app_port)]
    return _cluster(name, endpoints, style.inbound_source, service.protocol == "grpc", Policy())


def _outbound_clusters(mesh: Mesh, pod: Pod, files: Files | None) -> list[Json]:
    clusters = []
    for service in mesh.services.values():
        for subset in mesh.subsets(service.name):
            policy = mesh.policy(service.name, subset)
            endpoints = [_address(*address) for address in mesh.addresses(service.name, subset)]
            http2 = service.protocol == "grpc" or service.is_upgraded
            cluster = _cluster(outbound_cluster_name(service, subset), endpoints, pod.ip, http2, policy)
            if files is not None and policy.tls != "plain":
                cluster["transport_socket"] = policies.client_socket(files, service, subset, policy)
            clusters.append(cluster)
    return clusters


def _black_hole(pod: Pod) -> Json:
    return _cluster(_BLACK_HOLE, [], pod.ip, False, Policy())


def _cluster(name: str, endpoints: list[Json], source_ip: str, http2: bool, policy: Policy) -> Json:
    protocol = "http2_protocol_options" if http2 else "http_protocol_options"
    kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    breaker = policy.breaker or _UNLIMITED
    limits = {
        "max_connections": breaker.max_connections,
        "max_pending_requests": breaker.max_pending,
        "max_requests": breaker.max_requests,
        "max_retries": 2**32 - 1,
    }
    cluster: Json = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": f"{policy.connect_timeout_ms / 1000}s",
        "common_lb_config": {"healthy_panic_threshold": {}},
        "circuit_breakers": {"thresholds": [limits]},
        "upstream_bind_config": {"source_address": {"address": source_ip, "port_value": 0}},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": kind,
                "explicit_http_config": {protocol: {}},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}} for address in endpoints]}],
        },
    }
    if policy.ejects_after:
        cluster["outlier_detection"] = _outlier_detection(policy)
    return cluster


def _outlier_detection(policy: Policy) -> Json:
    """Eject a host after so many 5xx in a row, all hosts if need be, as DestinationRule `outlierDetection` does."""
    return {
        "consecutive_5xx": policy.ejects_after,
        "enforcing_consecutive_5xx": 100,
        "enforcing_success_rate": 0,
        "interval": "0.2s",
        "base_ejection_time": f"{policy.ejected_ms / 1000}s",
        "max_ejection_percent": 100,
    }


def _address(ip: str, port: int) -> Json:
    return {"socket_address": {"address": ip, "port_value": port}}
