"""Reads Envoy's route configurations: one row a route, in the order in which the proxy tries them."""

from collections.abc import Iterator
from typing import Any

from pipeline.mesh.secrets import text_without_secrets
from pipeline.mesh.settings import compact, origin, route_settings
from pipeline.mesh.shapes import Row


def route_rows(config: dict[str, Any], proxy: str | None) -> Iterator[Row]:
    """Yield a row for each route of a configuration."""
    place = 0
    for host in config.get("virtualHosts") or ():
        for route in host.get("routes") or ():
            place += 1
            yield Row(
                "mesh/routes",
                "route",
                {
                    "proxy": proxy,
                    "route_config": str(config.get("name") or ""),
                    "virtual_host": host.get("name"),
                    "domains": [str(domain) for domain in host.get("domains") or ()],
                    "place": place,
                    "route_name": route.get("name"),
                    "match": text_without_secrets(_match(route.get("match") or {})),
                    "cluster": _clusters(route.get("route") or {}),
                    "virtual_service": origin(route),
                    "settings": compact(route_settings(route)),
                },
            )


def _match(match: dict[str, Any]) -> str:
    path = (
        match.get("path")
        or (f"{match['prefix']}*" if "prefix" in match else None)
        or (f"{match['pathSeparatedPrefix']}*" if "pathSeparatedPrefix" in match else None)
        or (f"regex {(match['safeRegex'] or {}).get('regex')}" if "safeRegex" in match else "/*")
    )
    headers = [str(header.get("name")) for header in match.get("headers") or ()]
    return f"{path} and headers {', '.join(headers)}" if headers else str(path)


def _clusters(action: dict[str, Any]) -> str | None:
    weighted = (action.get("weightedClusters") or {}).get("clusters") or ()
    if weighted:
        return ", ".join(f"{each.get('name')} {each.get('weight', 0)}" for each in weighted)
    cluster = action.get("cluster")
    return str(cluster) if cluster else None
