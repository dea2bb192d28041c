"""Reads Envoy's listeners as istioctl prints them: one row a filter chain, what it matches and where it leads."""

from collections.abc import Iterator
from typing import Any

from pipeline.mesh.shapes import Row

_HTTP = ("http/1.0", "http/1.1", "h2c")
_MTLS = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")


def listener_rows(listener: dict[str, Any], proxy: str | None) -> Iterator[Row]:
    """Yield a row for each filter chain of a listener."""
    address = (listener.get("address") or {}).get("socketAddress") or {}
    chains = [*(listener.get("filterChains") or ())]
    if listener.get("defaultFilterChain"):
        chains.append({**listener["defaultFilterChain"], "filterChainMatch": None})
    for place, chain in enumerate(chains or [{}], 1):
        yield Row(
            "mesh/listeners",
            "listener",
            {
                "proxy": proxy,
                "listener": listener.get("name"),
                "address": address.get("address"),
                "port": address.get("portValue"),
                "place": place,
                "match": _match(chain.get("filterChainMatch") or {}),
                "destination": _destination(chain.get("filters") or ()),
            },
        )


def _match(match: dict[str, Any]) -> str:
    protocols = match.get("applicationProtocols") or ()
    ranges = [f"{each.get('addressPrefix')}/{each.get('prefixLen')}" for each in match.get("prefixRanges") or ()]
    said = [
        f"Trans: {match['transportProtocol']}" if match.get("transportProtocol") else "",
        _application(protocols),
        f"SNI: {','.join(match['serverNames'])}" if match.get("serverNames") else "",
        f"Addr: {','.join(ranges)}" if ranges else "",
        f"Port: {match['destinationPort']}" if match.get("destinationPort") else "",
    ]
    return "; ".join(filter(None, said)) or "ALL"


def _application(protocols: Any) -> str:
    if not protocols:
        return ""
    names = set(protocols)
    if names <= set(_HTTP):
        return "App: HTTP"
    if names <= set(_MTLS):
        return "App: Istio mTLS"
    return f"App: {','.join(str(name) for name in protocols)}"


def _destination(filters: Any) -> str | None:
    for each in filters:
        config = each.get("typedConfig") or each.get("config") or {}
        routes = config.get("rds") or config.get("routeConfig")
        if isinstance(routes, dict):
            inline = "Inline Route: " if "rds" not in config else "Route: "
            return inline + str(routes.get("routeConfigName") or routes.get("name") or "/*")
        if each.get("name") == "envoy.filters.network.tcp_proxy" or ("statPrefix" in config and "cluster" in config):
            cluster = config.get("cluster")
            weighted = (config.get("weightedClusters") or {}).get("clusters") or ()
            names = [str(cluster)] if cluster else [str(one.get("name")) for one in weighted]
            lead = "" if names and "|" not in names[0] else "Cluster: "
            return lead + ", ".join(names)
    return None
