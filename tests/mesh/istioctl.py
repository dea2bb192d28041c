"""The recorder's mesh as `istioctl proxy-config` would show it at one pod: as JSON, and as the printed tables."""

from __future__ import annotations

import json
from typing import Any

from tests.mesh.envoy import outbound_cluster_name
from tests.mesh.istio import objects
from tests.mesh.world import Mesh, Pod, Policy, Retries, Route, Service

Json = dict[str, Any]

_UNLIMITED = 2**32 - 1


def proxy_config(mesh: Mesh, pod: Pod) -> Json:
    """Give each part of a pod's configuration, as `-o json` does."""
    services = list(mesh.services.values())
    named = [(service, subset) for service in services for subset in mesh.subsets(service.name)]
    ruled = {each["metadata"]["name"] for each in objects(mesh) if each["kind"] == "DestinationRule"}
    return {
        "clusters": [_cluster(mesh, service, subset, has_rule=service.name in ruled) for service, subset in named],
        "routes": _routes(mesh, pod),
        "endpoints": [_endpoints(mesh, service, subset) for service, subset in named],
        "listeners": [_listener(service) for service in services],
    }


def printed(mesh: Mesh, pod: Pod) -> str:
    """Give the same as the tables that istioctl prints, one after another."""
    found = proxy_config(mesh, pod)
    clusters = [["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"]]
    for cluster in found["clusters"]:
        direction, port, subset, host = cluster["name"].split("|")
        clusters.append([host, port, subset or "-", direction, cluster["type"], _managed(cluster)])
    routes = [["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"]]
    routes += [
        [config["name"], host["name"], ", ".join(host["domains"][:2]), _printed_match(route["match"]), _managed(route)]
        for config in found["routes"]
        for host in config["virtualHosts"]
        for route in host["routes"]
    ]
    endpoints = [["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]]
    for status in found["endpoints"]:
        for host in status["hostStatuses"]:
            address = host["address"]["socketAddress"]
            endpoints.append([f"{address['address']}:{address['portValue']}", "HEALTHY", "OK", status["name"]])
    return "\n".join(_table(rows) for rows in (clusters, routes, endpoints))


def write_json(mesh: Mesh, pod: Pod) -> str:
    """Write the JSON of every part, one document after another, as calls of istioctl into one file would."""
    return "\n".join(json.dumps(part, indent=4) for part in proxy_config(mesh, pod).values())


def _table(rows: list[list[str]]) -> str:
    """Align cells as Go's tabwriter does, with five blanks between."""
    widths = [max(len(row[at]) for row in rows) + 5 for at in range(len(rows[0]))]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)


def _origin(kind: str, name: str, namespace: str = "shop") -> Json:
    config = f"/apis/networking.istio.io/v1/namespaces/{namespace}/{kind}/{name}"
    return {"metadata": {"filterMetadata": {"istio": {"config": config}}}}


def _managed(part: Json) -> str:
    config = part.get("metadata", {}).get("filterMetadata", {}).get("istio", {}).get("config", "")
    return f"{config.split('/')[-1]}.{config.split('/')[-3]}" if config else ""


def _seconds(ms: int) -> str:
    """Write a duration as protobuf's JSON does."""
    return f"{ms / 1000:.3f}s" if ms % 1000 else f"{ms // 1000}s"


def _cluster(mesh: Mesh, service: Service, subset: str, *, has_rule: bool) -> Json:
    policy = mesh.policy(service.name, subset)
    limits = policy.breaker
    threshold = {
        "maxConnections": limits.max_connections if limits else _UNLIMITED,
        "maxPendingRequests": limits.max_pending if limits else _UNLIMITED,
        "maxRequests": limits.max_requests if limits else _UNLIMITED,
        "maxRetries": _UNLIMITED,
    }
    return {
        "name": outbound_cluster_name(service, subset),
        "type": "EDS",
        "lbPolicy": "LEAST_REQUEST",
        "connectTimeout": _seconds(policy.connect_timeout_ms),
        "circuitBreakers": {"thresholds": [threshold]},
        **({"outlierDetection": _ejection(policy)} if policy.ejects_after else {}),
        **_sockets(policy, service, is_told=mesh.policy(service.name).tls != "mutual"),
        **(_origin("destination-rule", service.name) if has_rule else {}),
    }


def _ejection(policy: Policy) -> Json:
    ejected = _seconds(policy.ejected_ms)
    return {
        "consecutive5xx": policy.ejects_after,
        "interval": "0.200s",
        "baseEjectionTime": ejected,
        "maxEjectionPercent": 100,
    }


def _sockets(policy: Policy, service: Service, *, is_told: bool) -> Json:
    """Give the client's TLS: none, Istio's where the rule tells so, or automatic mTLS, which asks each endpoint."""
    if policy.tls == "plain":
        return {}
    validation: Json = {"validationContextSdsSecretConfig": {"name": "ROOTCA"}}
    if policy.tls == "stranger":
        renamed = f"spiffe://cluster.local/ns/{service.namespace}/sa/{service.name}-renamed"
        matcher = {"sanType": "URI", "matcher": {"exact": renamed}}
        validation["defaultValidationContext"] = {"matchTypedSubjectAltNames": [matcher]}
    common = {"tlsCertificateSdsSecretConfigs": [{"name": "default"}], "combinedValidationContext": validation}
    config = {"commonTlsContext": common, "sni": f"outbound_.{service.port}_._.{service.host}"}
    socket = {"name": "envoy.transport_sockets.tls", "typedConfig": config}
    if policy.tls == "stranger" or is_told:
        return {"transportSocket": socket}
    mutual = {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transportSocket": socket}
    return {"transportSocketMatches": [mutual, {"name": "tlsMode-disabled", "match": {}}]}


def _routes(mesh: Mesh, pod: Pod) -> list[Json]:
    if pod.service == "istio-ingressgateway":
        storefront = {
            "name": "shop.example.com:8080",
            "domains": ["shop.example.com"],
            "routes": [
                {**_route(mesh, route), **_origin("virtual-service", "storefront", "istio-system")}
                for route in mesh.gateway_routes
            ],
        }
        return [{"name": "http.8080", "virtualHosts": [storefront]}]
    hosts = [
        {
            "name": f"{service.host}:{service.port}",
            "domains": [service.host, service.name],
            "routes": [
                {
                    **_route(mesh, route),
                    **(_origin("virtual-service", service.name) if service.name in mesh.routes else {}),
                }
                for route in mesh.routes_to(service.name)
            ],
        }
        for service in mesh.services.values()
        if service.protocol != "tcp"
    ]
    return [{"name": "8080", "virtualHosts": hosts}]


def _route(mesh: Mesh, route: Route) -> Json:
    action: Json = {
        "cluster": outbound_cluster_name(mesh.services[route.service], route.subset),
        "timeout": _seconds(route.timeout_ms) if route.timeout_ms else "0s",
    }
    retries = route.retries or Retries()  # Istio writes its default out
    action["retryPolicy"] = {"retryOn": retries.retry_on, "numRetries": retries.attempts}
    if retries.per_try_ms:
        action["retryPolicy"]["perTryTimeout"] = _seconds(retries.per_try_ms)
    if route.mirror:
        action["requestMirrorPolicies"] = [{"cluster": outbound_cluster_name(mesh.services[route.mirror])}]
    match: Json = {"path": route.exact} if route.exact else {"prefix": route.prefix}
    if route.header:
        match["headers"] = [{"name": route.header[0], "stringMatch": {"exact": route.header[1]}}]
    found: Json = {"name": route.name, "match": match}
    found |= {"directResponse": {"status": route.answers}} if route.answers else {"route": action}
    if route.fault:
        share = {"percentage": {"numerator": 100}}
        fault: Json = (
            {"delay": {"fixedDelay": _seconds(route.fault.delay_ms), **share}}
            if route.fault.delay_ms
            else {"abort": {"httpStatus": route.fault.abort_status, **share}}
        )
        found["typedPerFilterConfig"] = {"envoy.filters.http.fault": fault}
    return found


def _printed_match(match: Json) -> str:
    return match["path"] if "path" in match else f"{match['prefix']}*"


def _endpoints(mesh: Mesh, service: Service, subset: str) -> Json:
    hosts = [
        {
            "address": {"socketAddress": {"address": ip, "portValue": port}},
            "healthStatus": {"edsHealthStatus": "HEALTHY"},
        }
        for ip, port in mesh.addresses(service.name, subset)
    ]
    return {"name": outbound_cluster_name(service, subset), "addedViaApi": True, "hostStatuses": hosts}


def _listener(service: Service) -> Json:
    return {
        "name": f"{service.cluster_ip}_{service.port}",
        "address": {"socketAddress": {"address": service.cluster_ip, "portValue": service.port}},
        "filterChains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.tcp_proxy",
                        "typedConfig": {"cluster": outbound_cluster_name(service)},
                    }
                ]
            }
        ],
    }
