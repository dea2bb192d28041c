"""The kinds of objects that are understood, and the fields of each: what is not here is kept, and named as unknown.

After Istio's API (v1, v1beta1 and v1alpha3 share these fields) and Kubernetes' core and discovery APIs. A dict is an
object, a list holds one item's shape, TEXT is any scalar, NUMBER a whole one, ANY is not looked into, and the key `*`
stands for any key.
"""

from typing import Any, Final

TEXT: Final = "text"
NUMBER: Final = "number"
ANY: Final = "any"

_TEXTS = [TEXT]
_LABELS = {"*": TEXT}
_SELECTOR = {"matchLabels": _LABELS}
_WORKLOADS = {"labels": _LABELS}
_MATCHES = {"*": ANY}
"""String matches by header or parameter: exact, prefix or regex."""

_DESTINATION = {"host": TEXT, "subset": TEXT, "port": {"number": NUMBER}}
_HEADER_RULES = {"request": ANY, "response": ANY}
_MIRROR_SHARE = {"value": TEXT}

_HTTP_MATCH = {
    **dict.fromkeys(("name", "port", "ignoreUriCase", "sourceNamespace", "statPrefix"), TEXT),
    **{key: {"exact": TEXT, "prefix": TEXT, "regex": TEXT} for key in ("uri", "scheme", "method", "authority")},
    **dict.fromkeys(("headers", "withoutHeaders", "queryParams"), _MATCHES),
    "gateways": _TEXTS,
    "sourceLabels": _LABELS,
}

_HTTP_RULE = {
    "name": TEXT,
    "match": [_HTTP_MATCH],
    "route": [{"destination": _DESTINATION, "weight": TEXT, "headers": _HEADER_RULES}],
    "redirect": ANY,
    "directResponse": {"status": TEXT, "body": ANY},
    "delegate": {"name": TEXT, "namespace": TEXT},
    "rewrite": {"uri": TEXT, "authority": TEXT, "uriRegexRewrite": ANY},
    "timeout": TEXT,
    "retries": dict.fromkeys(
        ("attempts", "perTryTimeout", "retryOn", "retryRemoteLocalities", "retryIgnorePreviousHosts", "backoff"), TEXT
    ),
    "fault": {
        "delay": {"percentage": {"value": TEXT}, "percent": TEXT, "fixedDelay": TEXT, "exponentialDelay": TEXT},
        "abort": {
            "percentage": {"value": TEXT},
            **dict.fromkeys(("percent", "httpStatus", "grpcStatus", "http2Error"), TEXT),
        },
    },
    "mirror": _DESTINATION,
    "mirrors": [{"destination": _DESTINATION, "percentage": _MIRROR_SHARE}],
    "mirrorPercent": TEXT,
    "mirrorPercentage": _MIRROR_SHARE,
    "corsPolicy": ANY,
    "headers": _HEADER_RULES,
}

_LEVEL_MATCH = {
    **dict.fromkeys(("destinationSubnets", "gateways"), _TEXTS),
    **dict.fromkeys(("port", "sourceNamespace"), TEXT),
    "sourceLabels": _LABELS,
}
_LEVEL_ROUTE = [{"destination": _DESTINATION, "weight": TEXT}]

_CONNECTION_POOL = {
    "tcp": {
        **dict.fromkeys(("maxConnections", "connectTimeout", "maxConnectionDuration", "idleTimeout"), TEXT),
        "tcpKeepalive": {"probes": TEXT, "time": TEXT, "interval": TEXT},
    },
    "http": {
        **dict.fromkeys(
            (
                *("http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries"),
                *("idleTimeout", "h2UpgradePolicy", "useClientProtocol", "maxConcurrentStreams"),
            ),
            TEXT,
        ),
        "http2KeepAlive": {"interval": TEXT, "timeout": TEXT},
    },
}
_POLICY = {
    "loadBalancer": {
        "simple": TEXT,
        "consistentHash": ANY,
        "localityLbSetting": ANY,
        "zoneAwareLbSetting": ANY,
        "warmup": ANY,
        "warmupDurationSecs": TEXT,
    },
    "connectionPool": _CONNECTION_POOL,
    "outlierDetection": {
        **dict.fromkeys(
            (
                *("splitExternalLocalOriginErrors", "consecutiveLocalOriginFailures", "consecutiveGatewayErrors"),
                *("consecutive5xxErrors", "consecutiveErrors", "interval", "baseEjectionTime", "maxEjectionPercent"),
                "minHealthPercent",
            ),
            TEXT,
        ),
        "outlierDetectionHttpErrorCodes": _TEXTS,
    },
    "tls": {
        **dict.fromkeys(("mode", "clientCertificate", "privateKey", "caCertificates", "credentialName", "sni"), TEXT),
        **dict.fromkeys(("insecureSkipVerify", "caCrl"), TEXT),
        "subjectAltNames": _TEXTS,
    },
}
_TRAFFIC_POLICY = {
    **_POLICY,
    "portLevelSettings": [{"port": {"number": NUMBER}, **_POLICY}],
    **dict.fromkeys(("tunnel", "proxyProtocol", "retryBudget"), ANY),
}

_SERVER_TLS = {
    **dict.fromkeys(("httpsRedirect", "mode", "minProtocolVersion", "maxProtocolVersion"), TEXT),
    **dict.fromkeys(("serverCertificate", "privateKey", "caCertificates", "caCrl", "insecureSkipVerify"), TEXT),
    **dict.fromkeys(("credentialName", "caCertCredentialName"), TEXT),
    **dict.fromkeys(("credentialNames", "subjectAltNames", "cipherSuites"), _TEXTS),
    **dict.fromkeys(("verifyCertificateSpki", "verifyCertificateHash"), _TEXTS),
    "tlsCertificates": [dict.fromkeys(("serverCertificate", "privateKey", "caCertificates"), TEXT)],
}

_PORT = {"number": NUMBER, **dict.fromkeys(("name", "protocol", "targetPort"), TEXT)}
_WORKLOAD = {
    **dict.fromkeys(("address", "network", "locality", "weight", "serviceAccount"), TEXT),
    "ports": {"*": TEXT},
    "labels": _LABELS,
}
_REFERENCES = [dict.fromkeys(("kind", "group", "name", "namespace"), TEXT)]

_SOURCE = dict.fromkeys(
    (
        *("principals", "notPrincipals", "requestPrincipals", "notRequestPrincipals", "namespaces", "notNamespaces"),
        *("ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks", "serviceAccounts", "notServiceAccounts"),
        *("trustDomains", "notTrustDomains"),
    ),
    _TEXTS,
)
_OPERATION = dict.fromkeys(
    ("hosts", "notHosts", "ports", "notPorts", "methods", "notMethods", "paths", "notPaths"), _TEXTS
)

_NETWORKING: dict[str, dict[str, Any]] = {
    "VirtualService": {
        **dict.fromkeys(("hosts", "gateways", "exportTo"), _TEXTS),
        "http": [_HTTP_RULE],
        "tls": [{"match": [{**_LEVEL_MATCH, "sniHosts": _TEXTS}], "route": _LEVEL_ROUTE}],
        "tcp": [{"match": [{**_LEVEL_MATCH, "sourceSubnet": TEXT}], "route": _LEVEL_ROUTE}],
    },
    "DestinationRule": {
        "host": TEXT,
        "trafficPolicy": _TRAFFIC_POLICY,
        "subsets": [{"name": TEXT, "labels": _LABELS, "trafficPolicy": _TRAFFIC_POLICY}],
        "exportTo": _TEXTS,
        "workloadSelector": _SELECTOR,
    },
    "Gateway": {
        "selector": _LABELS,
        "servers": [
            {
                **dict.fromkeys(("name", "bind", "defaultEndpoint"), TEXT),
                "port": _PORT,
                "hosts": _TEXTS,
                "tls": _SERVER_TLS,
            }
        ],
    },
    "ServiceEntry": {
        **dict.fromkeys(("hosts", "addresses", "exportTo", "subjectAltNames"), _TEXTS),
        **dict.fromkeys(("location", "resolution"), TEXT),
        "ports": [_PORT],
        "endpoints": [_WORKLOAD],
        "workloadSelector": _WORKLOADS,
    },
    "Sidecar": {
        "workloadSelector": _WORKLOADS,
        "ingress": [
            {
                **dict.fromkeys(("bind", "captureMode", "defaultEndpoint"), TEXT),
                "port": _PORT,
                "tls": _SERVER_TLS,
                "connectionPool": _CONNECTION_POOL,
            }
        ],
        "egress": [{"port": _PORT, "bind": TEXT, "captureMode": TEXT, "hosts": _TEXTS}],
        "outboundTrafficPolicy": {"mode": TEXT, "egressProxy": _DESTINATION},
        "inboundConnectionPool": _CONNECTION_POOL,
    },
}

_SECURITY: dict[str, dict[str, Any]] = {
    "PeerAuthentication": {
        "selector": _SELECTOR,
        "mtls": {"mode": TEXT},
        "portLevelMtls": {"*": {"mode": TEXT}},
    },
    "AuthorizationPolicy": {
        "selector": _SELECTOR,
        "targetRef": ANY,
        "targetRefs": _REFERENCES,
        "action": TEXT,
        "provider": {"name": TEXT},
        "rules": [
            {
                "from": [{"source": _SOURCE}],
                "to": [{"operation": _OPERATION}],
                "when": [{"key": TEXT, "values": _TEXTS, "notValues": _TEXTS}],
            }
        ],
    },
}

SERVICE_SPEC = {
    **dict.fromkeys(("type", "clusterIP", "externalName", "publishNotReadyAddresses"), TEXT),
    **dict.fromkeys(("clusterIPs", "externalIPs"), _TEXTS),
    "selector": _LABELS,
    "ports": [
        {"port": NUMBER, **dict.fromkeys(("name", "protocol", "appProtocol", "targetPort", "nodePort"), TEXT)},
    ],
}

UNDERSTOOD: dict[tuple[str, str], dict[str, Any]] = {
    **{("networking.istio.io", kind): {"spec": spec} for kind, spec in _NETWORKING.items()},
    **{("security.istio.io", kind): {"spec": spec} for kind, spec in _SECURITY.items()},
    ("", "Service"): {"spec": SERVICE_SPEC},
    ("discovery.k8s.io", "EndpointSlice"): {
        "addressType": TEXT,
        "endpoints": [
            {
                "addresses": _TEXTS,
                "conditions": dict.fromkeys(("ready", "serving", "terminating"), TEXT),
                **dict.fromkeys(("nodeName", "zone", "hostname"), TEXT),
                "targetRef": dict.fromkeys(("kind", "name", "namespace"), TEXT),
                # where v1beta1 has zone and node
                **dict.fromkeys(("topology", "deprecatedTopology"), _LABELS),
            }
        ],
        "ports": [dict.fromkeys(("name", "port", "protocol", "appProtocol"), TEXT)],
    },
    ("", "Pod"): {
        "spec": {
            **dict.fromkeys(("nodeName", "serviceAccountName"), TEXT),
            "containers": [
                {"name": TEXT, "image": TEXT, "ports": [dict.fromkeys(("name", "containerPort", "protocol"), TEXT)]}
            ],
            "initContainers": [dict.fromkeys(("name", "image", "restartPolicy"), TEXT)],
        },
        "status": {
            **dict.fromkeys(("phase", "podIP", "hostIP", "startTime", "reason"), TEXT),
            "podIPs": [{"ip": TEXT}],
            "conditions": [{"type": TEXT, "status": TEXT, "lastTransitionTime": TEXT}],
            "containerStatuses": [{"name": TEXT, "ready": TEXT, "restartCount": TEXT}],
        },
    },
}
"""What is read of each understood kind, by API group and kind."""

METADATA = {"labels": _LABELS, "ownerReferences": [{"kind": TEXT, "name": TEXT}]}
"""What is read of every object's metadata, beside its name and namespace."""

MAY_BE_EMPTY = frozenset({"PeerAuthentication", "AuthorizationPolicy", "Sidecar"})
"""Kinds that mean something without a spec."""

ONLY_KNOWN_FIELDS = frozenset({"Service", "EndpointSlice", "Pod"})
"""Kinds of Kubernetes itself, of which nothing else is kept: their other fields may tell secrets."""

KEPT_GROUPS = ("istio.io", "gateway.networking.k8s.io")
"""Groups, or ends of groups, whose other kinds are kept as they are."""
