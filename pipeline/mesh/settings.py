"""What Envoy's clusters and routes are set to, under the names that a DestinationRule and a VirtualService use for it.

So a proxy's own state can be cited and compared like the object that it came from.
"""

import re
from typing import Any

import orjson

_ORIGIN = re.compile(r"/namespaces/([^/]+)/(?:destination-rule|virtual-service)/([^/]+)$")

_TYPED = "typedExtensionProtocolOptions"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_THRESHOLDS = {
    "maxConnections": "connectionPool.tcp.maxConnections",
    "maxPendingRequests": "connectionPool.http.http1MaxPendingRequests",
    "maxRequests": "connectionPool.http.http2MaxRequests",
    "maxRetries": "connectionPool.http.maxRetries",
}
_OUTLIERS = {
    "consecutive5xx": "outlierDetection.consecutive5xxErrors",
    "consecutiveGatewayFailure": "outlierDetection.consecutiveGatewayErrors",
    "interval": "outlierDetection.interval",
    "baseEjectionTime": "outlierDetection.baseEjectionTime",
    "maxEjectionPercent": "outlierDetection.maxEjectionPercent",
}


def cluster_settings(cluster: dict[str, Any]) -> dict[str, str]:
    """Return a cluster's settings by the field of a traffic policy."""
    thresholds: dict[str, Any] = next(
        (
            each
            for each in (cluster.get("circuitBreakers") or {}).get("thresholds") or ()
            if each.get("priority", "DEFAULT") == "DEFAULT"
        ),
        {},
    )
    options = (cluster.get(_TYPED) or {}).get(_HTTP_OPTIONS) or {}
    common = options.get("commonHttpProtocolOptions") or cluster.get("commonHttpProtocolOptions") or {}
    socket = (cluster.get("transportSocket") or {}).get("name")
    matches = cluster.get("transportSocketMatches")
    found = {
        **_renamed(thresholds, _THRESHOLDS),
        **_renamed(cluster.get("outlierDetection") or {}, _OUTLIERS),
        "connectionPool.tcp.connectTimeout": cluster.get("connectTimeout"),
        "connectionPool.http.idleTimeout": common.get("idleTimeout"),
        "connectionPool.http.maxRequestsPerConnection": common.get("maxRequestsPerConnection")
        or cluster.get("maxRequestsPerConnection"),
        "loadBalancer.simple": cluster.get("lbPolicy"),
        "tls.mode": "automatic" if matches else "TLS" if socket and "tls" in str(socket) else None,
    }
    return {field: str(value) for field, value in found.items() if value is not None}


def route_settings(route: dict[str, Any]) -> dict[str, str]:
    """Return a route's settings by the field of a VirtualService's http rule."""
    action = route.get("route") or {}
    retries = action.get("retryPolicy") or {}
    fault = _fault(route)
    delay, abort = fault.get("delay") or {}, fault.get("abort") or {}
    mirrors = action.get("requestMirrorPolicies") or ()
    found = {
        "timeout": action.get("timeout"),
        "retries.attempts": retries.get("numRetries"),
        "retries.perTryTimeout": retries.get("perTryTimeout"),
        "retries.retryOn": retries.get("retryOn"),
        "fault.delay.fixedDelay": delay.get("fixedDelay"),
        "fault.delay.percentage.value": _percent(delay.get("percentage")),
        "fault.abort.httpStatus": abort.get("httpStatus"),
        "fault.abort.percentage.value": _percent(abort.get("percentage")),
        "redirect": "set" if route.get("redirect") else None,
        "directResponse.status": (route.get("directResponse") or {}).get("status"),
        "rewrite.uri": action.get("prefixRewrite"),
        "mirror": ", ".join(str(mirror.get("cluster")) for mirror in mirrors) or None,
    }
    return {field: str(value) for field, value in found.items() if value is not None}


def _fault(route: dict[str, Any]) -> dict[str, Any]:
    filters = route.get("typedPerFilterConfig") or {}
    found = filters.get("envoy.filters.http.fault") or filters.get("envoy.fault") or {}
    return found if isinstance(found, dict) else {}


def _percent(value: Any) -> float | None:
    if not isinstance(value, dict) or "numerator" not in value:
        return None
    of = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}.get(value.get("denominator", "HUNDRED"), 100)
    return float(value["numerator"]) * 100 / of


def _renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {field: values.get(key) for key, field in names.items()}


def compact(settings: dict[str, str]) -> str | None:
    """Write settings as a JSON object; None where there are none."""
    return orjson.dumps(settings, option=orjson.OPT_SORT_KEYS).decode() if settings else None


def origin(found: dict[str, Any]) -> str | None:
    """Return the DestinationRule or VirtualService, as name.namespace, that Istio notes in a part's metadata."""
    metadata = (found.get("metadata") or {}).get("filterMetadata") or {}
    config = (metadata.get("istio") or {}).get("config")
    match = _ORIGIN.search(str(config)) if config else None
    return f"{match[2]}.{match[1]}" if match else None
