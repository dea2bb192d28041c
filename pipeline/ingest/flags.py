"""Envoy's response flags: the long names that `%RESPONSE_FLAGS_LONG%` prints (Envoy 1.28 and later), made short.

The lake has the short ones, whatever a format prints; a token that is neither stays as it is, since extensions
register their own. The list is envoy-facts 1a; a test holds it against `sql/seeds/response_flags.csv`.
"""

LONG_NAMES = {
    "FailedLocalHealthCheck": "LH",
    "NoHealthyUpstream": "UH",
    "UpstreamRequestTimeout": "UT",
    "LocalReset": "LR",
    "UpstreamRemoteReset": "UR",
    "UpstreamConnectionFailure": "UF",
    "UpstreamConnectionTermination": "UC",
    "UpstreamOverflow": "UO",
    "NoRouteFound": "NR",
    "DelayInjected": "DI",
    "FaultInjected": "FI",
    "RateLimited": "RL",
    "UnauthorizedExternalService": "UAEX",
    "RateLimitServiceError": "RLSE",
    "DownstreamConnectionTermination": "DC",
    "UpstreamRetryLimitExceeded": "URX",
    "StreamIdleTimeout": "SI",
    "InvalidEnvoyRequestHeaders": "IH",
    "DownstreamProtocolError": "DPE",
    "UpstreamMaxStreamDurationReached": "UMSDR",
    "ResponseFromCacheFilter": "RFCF",
    "NoFilterConfigFound": "NFCF",
    "DurationTimeout": "DT",
    "UpstreamProtocolError": "UPE",
    "NoClusterFound": "NC",
    "OverloadManagerTerminated": "OM",
    "DnsResolutionFailed": "DF",
    "DropOverload": "DO",
    "DownstreamRemoteReset": "DR",
    "UnconditionalDropOverload": "UDO",
}


def short(flags: str) -> str | None:
    """Shorten long names in a comma list, order kept; None for no flag."""
    names = (name.strip() for name in flags.split(","))
    return ",".join(LONG_NAMES.get(name, name) for name in names if name not in ("", "-")) or None
