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

_BALANCED = frozenset({"EDS", "STRICT_DNS", "LOGICAL_DNS"})
"""Types of clusters among whose endpoints a policy chooses."""

_DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled"


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
    found = {
        **_renamed(thresholds, _THRESHOLDS),
        **_renamed(cluster.get("outlierDetection") or {}, _OUTLIERS),
        "connectionPool.tcp.connectTimeout": cluster.get("connectTimeout"),
        "connectionPool.http.idleTimeout": common.get("idleTimeout"),
        "connectionPool.http.maxRequestsPerConnection": common.get("maxRequestsPerConnection")
        or cluster.get("maxRequestsPerConnection"),
        "connectionPool.tcp.maxConnectionDuration": common.get("maxConnectionDuration"),
        # JSON leaves out what is Envoy's own default
        "loadBalancer.simple": cluster.get("lbPolicy", "ROUND_ROBIN" if cluster.get("type") in _BALANCED else None),
        **_tls(cluster),
    }
    return {field: str(value) for field, value in found.items() if value is not None}


def _tls(cluster: dict[str, Any]) -> dict[str, Any]:
    """Return a cluster's client TLS; nothing where sockets are matched to endpoints, as automatic mTLS does.

    As automatic mTLS is Istio's default, a rule's cluster of pods that has no socket at all was told to have none.
    """
    if cluster.get("transportSocketMatches"):
        return {}
    config = (cluster.get("transportSocket") or {}).get("typedConfig") or {}
    if "commonTlsContext" not in config:
        return {"tls.mode": "DISABLE"} if cluster.get("type") == "EDS" and origin(cluster) else {}
    common = config["commonTlsContext"] or {}
    certificates = [each.get("name") for each in common.get("tlsCertificateSdsSecretConfigs") or ()]
    combined = common.get("combinedValidationContext") or {}
    expected = combined.get("defaultValidationContext") or common.get("validationContext") or {}
    typed = [each.get("matcher") or {} for each in expected.get("matchTypedSubjectAltNames") or ()]
    names = [each.get("exact") for each in typed or expected.get("matchSubjectAltNames") or ()]
    server = str(config.get("sni") or "")
    return {
        "tls.mode": "ISTIO_MUTUAL" if "default" in certificates else "MUTUAL" if certificates else "SIMPLE",
        # Istio's own names of clusters are no setting
        "tls.sni": server if server and not server.startswith("outbound_.") else None,
        **{f"tls.subjectAltNames[{number}]": name for number, name in enumerate(names)},
    }


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
        "retries.retryOn": _retry_on(retries),
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


def _retry_on(retries: dict[str, Any]) -> str | None:
    """Return what is retried as a VirtualService names it: codes stand in the list, where Envoy has them apart.

    Istio's own default comes with Envoy's word for codes but none of them; before 1.24 with 503 alone.
    """
    conditions = str(retries.get("retryOn") or "").split(",")
    codes = [str(code) for code in retries.get("retriableStatusCodes") or ()]
    named = ",".join(each for each in conditions if each != "retriable-status-codes")
    is_default = named == _DEFAULT_RETRY_ON and codes == ["503"]
    return ",".join(filter(None, [named, *([] if is_default else codes)])) or None


def _fault(route: dict[str, Any]) -> dict[str, Any]:
    filters = route.get("typedPerFilterConfig") or {}
    found = filters.get("envoy.filters.http.fault") or filters.get("envoy.fault") or {}
    return found if isinstance(found, dict) else {}


def _percent(value: Any) -> float | None:
    if not isinstance(value, dict) or value.get("numerator") is None:
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
