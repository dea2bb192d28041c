"""Envoy's bootstrap for each pod, generated from the mesh: one dict a proxy, in the shape istiod would give it."""

from __future__ import annotations

from typing import Any

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
    Route,
    Service,
)

Json = dict[str, Any]

_NETWORK = "type.googleapis.com/envoy.extensions.filters.network"
_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_UNLIMITED = Breaker(2**32 - 1, 2**32 - 1, 2**32 - 1)


def sidecar(mesh: Mesh, pod: Pod, style: Style) -> Json:
    """Configure a pod's sidecar: an inbound listener on the pod's port, an outbound one on 15001."""
    service = mesh.services[pod.service]
    listeners = [_inbound_listener(service, pod, style), _outbound_listener(mesh, pod, style)]
    return _bootstrap(pod, listeners, [_inbound_cluster(service, pod, style), *_outbound_clusters(mesh, pod)])


def gateway(mesh: Mesh, style: Style) -> Json:
    """Configure the ingress gateway: it trusts no X-Forwarded-For and appends the peer it sees."""
    virtual_host = {
        "name": f"{SHOP_HOST}:{GATEWAY_PORT}",
        "domains": [SHOP_HOST, f"{SHOP_HOST}:*"],
        "routes": [_route(mesh, route) for route in mesh.gateway_routes],
    }
    manager = _http_manager("outbound_0.0.0.0_8080", [virtual_host], style, edge=True)
    listener = _listener("0.0.0.0_8080", mesh.gateway.ip, GATEWAY_PORT, [{"filters": [manager]}])
    return _bootstrap(mesh.gateway, [listener], _outbound_clusters(mesh, mesh.gateway))


def outbound_cluster_name(service: Service, subset: str = "") -> str:
    """Name a client side's cluster as Istio does."""
    return f"outbound|{service.port}|{subset}|{service.host}"


def _bootstrap(pod: Pod, listeners: list[Json], clusters: list[Json]) -> Json:
    return {
        "node": {"id": f"sidecar~{pod.ip}~{pod.name}.{pod.namespace}", "cluster": f"{pod.service}.{pod.namespace}"},
        "admin": {"address": _address(pod.ip, ADMIN_PORT)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def _inbound_listener(service: Service, pod: Pod, style: Style) -> Json:
    cluster = style.inbound_cluster(service)
    if service.protocol == "tcp":
        chain = {"filters": [_tcp_proxy(cluster, style)]}
    else:
        route = {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}
        virtual_host = {"name": f"inbound|http|{service.port}", "domains": ["*"], "routes": [route]}
        chain = {"filters": [_http_manager(f"inbound_{pod.ip}_{service.port}", [virtual_host], style)]}
    return _listener("virtualInbound", pod.ip, service.port, [chain])


def _outbound_listener(mesh: Mesh, pod: Pod, style: Style) -> Json:
    """Listen where iptables would lead: a PROXY header brings the cluster IP that the application dialled."""
    services = mesh.services.values()
    virtual_hosts = [_virtual_host(mesh, service) for service in services if service.protocol != "tcp"]
    chains: list[Json] = [
        {
            "filter_chain_match": {"destination_port": service.port},
            "filters": [_tcp_proxy(outbound_cluster_name(service), style)],
        }
        for service in services
        if service.protocol == "tcp"
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


def _http_manager(stat_prefix: str, virtual_hosts: list[Json], style: Style, edge: bool = False) -> Json:
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_NETWORK}.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": stat_prefix,
            "codec_type": "AUTO",
            "server_name": "istio-envoy",
            "use_remote_address": edge,
            "stream_idle_timeout": "0s",
            "access_log": [_access_log(style)],
            "http_filters": [
                {"name": "envoy.filters.http.fault", "typed_config": {"@type": f"{_HTTP}.fault.v3.HTTPFault"}},
                {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_HTTP}.router.v3.Router"}},
            ],
            "route_config": {"name": stat_prefix, "virtual_hosts": virtual_hosts},
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


def _access_log(style: Style) -> Json:
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {"@type": kind, "path": "/dev/stdout", "log_format": style.log_format},
    }


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
    action: Json = {
        "cluster": outbound_cluster_name(mesh.services[route.service], route.subset),
        "timeout": f"{route.timeout_ms / 1000}s",
    }
    if route.retries:
        action["retry_policy"] = {"retry_on": route.retries.retry_on, "num_retries": route.retries.attempts}
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
    return _cluster(name, endpoints, style.inbound_source, service.protocol == "grpc", _UNLIMITED)


def _outbound_clusters(mesh: Mesh, pod: Pod) -> list[Json]:
    return [
        _cluster(
            outbound_cluster_name(service, subset),
            [_address(endpoint.ip, service.port) for endpoint in mesh.endpoints(service.name, subset)],
            pod.ip,
            service.protocol == "grpc",
            mesh.breakers.get(service.name, _UNLIMITED),
        )
        for service in mesh.services.values()
        for subset in mesh.subsets(service.name)
    ]


def _cluster(name: str, endpoints: list[Json], source_ip: str, http2: bool, breaker: Breaker) -> Json:
    protocol = "http2_protocol_options" if http2 else "http_protocol_options"
    kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    limits = {
        "max_connections": breaker.max_connections,
        "max_pending_requests": breaker.max_pending,
        "max_requests": breaker.max_requests,
        "max_retries": 2**32 - 1,
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
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


def _address(ip: str, port: int) -> Json:
    return {"socket_address": {"address": ip, "port_value": port}}
