"""The shapes of a proxy's listeners, routes, clusters, endpoints and bootstrap, as far as they are read.

After Envoy's v3 API, keys as istioctl's JSON has them. What is not named here may be anything.
"""

from typing import Any

from pipeline.mesh.kinds import ANY, NUMBER, TEXT

_ORIGIN = {"filterMetadata": {"istio": {"config": TEXT}}}
_ADDRESS = {
    "socketAddress": {"address": TEXT, "portValue": NUMBER},
    "pipe": {"path": TEXT},
    "envoyInternalAddress": {},
}
_WEIGHTED: dict[str, Any] = {"clusters": [{}]}
_LOCALITY = {"zone": TEXT}

_SERVER_NAMES = {"matchTypedSubjectAltNames": [{"matcher": {}}], "matchSubjectAltNames": [{}]}
_CLIENT_TLS = {
    "tlsCertificateSdsSecretConfigs": [{}],
    "combinedValidationContext": {"defaultValidationContext": _SERVER_NAMES},
    "validationContext": _SERVER_NAMES,
}
_CLUSTER = {
    **dict.fromkeys(("name", "type", "connectTimeout", "lbPolicy", "maxRequestsPerConnection"), TEXT),
    "clusterType": {"name": TEXT},
    "circuitBreakers": {"thresholds": [{}]},
    "outlierDetection": {},
    "commonHttpProtocolOptions": {},
    "typedExtensionProtocolOptions": {"*": {"commonHttpProtocolOptions": {}}},
    "transportSocket": {"typedConfig": {"commonTlsContext": _CLIENT_TLS}},
    "metadata": _ORIGIN,
}

_FAULT = {key: {"percentage": {"numerator": NUMBER, "denominator": TEXT}} for key in ("delay", "abort")}
_ROUTE = {
    "name": TEXT,
    "match": {
        **dict.fromkeys(("path", "prefix", "pathSeparatedPrefix"), TEXT),
        "safeRegex": {"regex": TEXT},
        "headers": [{"name": TEXT}],
    },
    "route": {
        "cluster": TEXT,
        "weightedClusters": _WEIGHTED,
        "retryPolicy": {"retryOn": TEXT, "retriableStatusCodes": [NUMBER]},
        "requestMirrorPolicies": [{}],
    },
    "directResponse": {"status": TEXT},
    "typedPerFilterConfig": {"envoy.filters.http.fault": _FAULT, "envoy.fault": _FAULT, "*": ANY},
    "metadata": _ORIGIN,
}

_CHAIN = {
    "filterChainMatch": {
        **{key: [TEXT] for key in ("applicationProtocols", "serverNames")},
        "prefixRanges": [{}],
    },
    "filters": [{"name": TEXT, "typedConfig": {"weightedClusters": _WEIGHTED}, "config": {}}],
}
_LISTENER = {"name": TEXT, "address": _ADDRESS, "filterChains": [_CHAIN], "defaultFilterChain": _CHAIN}

_BOOTSTRAP = {
    "node": {
        "id": TEXT,
        "metadata": {"WORKLOAD_NAME": TEXT, "ISTIO_VERSION": TEXT, "LABELS": ANY},
        "locality": {"region": TEXT, "zone": TEXT},
    },
    "staticResources": {"clusters": [_CLUSTER], "listeners": [_LISTENER]},
    "admin": {"address": _ADDRESS},
}

SHAPES: dict[str, Any] = {
    "bootstrap": {**_BOOTSTRAP, "bootstrap": _BOOTSTRAP},
    "cluster": _CLUSTER,
    "listener": _LISTENER,
    "routes": {"name": TEXT, "virtualHosts": [{"name": TEXT, "domains": [TEXT], "routes": [_ROUTE]}]},
    "endpoints": {
        **dict.fromkeys(("name", "clusterName"), TEXT),
        "hostStatuses": [{"address": _ADDRESS, "healthStatus": {"edsHealthStatus": TEXT}, "locality": _LOCALITY}],
        "endpoints": [
            {"locality": _LOCALITY, "lbEndpoints": [{"endpoint": {"address": _ADDRESS}, "healthStatus": TEXT}]}
        ],
    },
    "secret": {},
}
"""What is read of each part."""

DUMP: dict[str, Any] = {"configs": [{}], "clusterStatuses": [{}]}
"""What holds the parts of a whole dump."""
