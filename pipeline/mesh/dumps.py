"""Reads what `istioctl proxy-config ... -o json` and Envoy's own `/config_dump` write: the parts of one proxy's state.

Only what is named here is stored, never the dump itself: listeners and bootstraps hold certificates, tokens and code.
"""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.mesh.checks import Path, check
from pipeline.mesh.documents import line_of
from pipeline.mesh.listeners import listener_rows
from pipeline.mesh.parts import DUMP, SHAPES
from pipeline.mesh.routes import route_rows
from pipeline.mesh.settings import cluster_settings, compact, origin
from pipeline.mesh.shapes import Document, LeftOut, Row

Configuration = tuple[str | None, Any, Path]
"""What a part of a dump is, what it holds, and where it stands in the document."""

_SNAKE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")

_CLUSTER_KEYS = (
    "connectTimeout",
    "edsClusterConfig",
    "loadAssignment",
    "clusterType",
    "circuitBreakers",
    "lbPolicy",
    "type",
)
_CLUSTER_NAME = re.compile(r"(outbound|inbound|inbound-vip)\|(\d*)\|([^|]*)\|(.*)")
_SNI_CLUSTER_NAME = re.compile(r"(outbound)_\.(\d+)_\.([^_]*)_\.(.*)")

_PARTS = {
    "bootstrap": "bootstrap",
    "cluster": "cluster",
    "listener": "listener",
    "routeConfig": "routes",
    "endpointConfig": "endpoints",
}
"""In a whole config dump, each part's configuration stands below one of these keys."""


def is_dump(value: Any) -> bool:
    """Say whether a value is a dump of a proxy, or a part of one, by its keys."""
    value = _camel(value) if isinstance(value, dict) else value
    return isinstance(value, dict) and (_part_of(value) is not None or "configs" in value or "clusterStatuses" in value)


def dumped(document: Document, value: Any, proxy: str | None) -> Iterator[Row | LeftOut]:
    """Yield the parts of a dump: one object, or a list of clusters, listeners, routes or endpoints.

    Raises `InputError` naming document and line where one is none of these, or has not its part's shape.
    """
    items = value if isinstance(value, list) else [value]
    before: str | None = None
    for number, item in enumerate(items):
        path: Path = (number,) if isinstance(value, list) else ()
        if not isinstance(item, dict):
            raise document.error(
                f"item {number + 1} is no object, as every part of a proxy's configuration is", line_of(document, path)
            )
        item = _camel(item)
        check(document, item, DUMP, path)
        parts = [*_configurations(item, before, path)]
        for part, found, place in parts:
            if part is None:
                raise document.error(
                    f"item {number + 1} is no bootstrap, listener, route, cluster or endpoint. "
                    "Give what istioctl proxy-config ... -o json wrote, whole",
                    line_of(document, path),
                )
            check(document, found, SHAPES[part], place)
            before = part
        proxy = proxy or next((_proxy_of(found) for part, found, _ in parts if part == "bootstrap"), None)
        for part, found, _ in parts:
            yield from _rows(str(part), found, proxy)


def _configurations(item: dict[str, Any], before: str | None, path: Path) -> Iterator[Configuration]:
    """Yield each configuration in an item, with what it is; None where it cannot be told."""
    if "configs" in item or "clusterStatuses" in item:
        for number, status in enumerate(item.get("clusterStatuses") or ()):
            yield "endpoints", status, (*path, "clusterStatuses", number)
        for number, config in enumerate(item.get("configs") or ()):
            if "Secret" in str(config.get("@type")):
                yield "secret", {}, path
            yield from _wrapped(config, (*path, "configs", number))
    else:
        wrapped = next((key for key in _PARTS if isinstance(item.get(key), dict)), None)
        found = item[wrapped] if wrapped else item
        # a route configuration may be nothing but a name: then it is what its neighbours are
        likely = before if "name" in item and "kind" not in item else None
        yield (_PARTS[wrapped] if wrapped else _part_of(item) or likely), found, (*path, wrapped) if wrapped else path


def _wrapped(value: Any, path: Path) -> Iterator[Configuration]:
    """Find the configurations below the lists and states of a config dump."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _wrapped(each, (*path, number))
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in _PARTS and each is not None:
                yield _PARTS[key], each, (*path, key)
            elif key.startswith(("static", "dynamic", "activeState")) and "Secret" not in key:
                yield from _wrapped(each, (*path, key))


def _part_of(item: dict[str, Any]) -> str | None:
    kind = str(item.get("@type", ""))
    if isinstance(item.get("bootstrap"), dict):
        return "bootstrap"
    if "Secret" in kind or item.keys() & {"tlsCertificate", "validationContext", "secret", "dynamicActiveSecrets"}:
        return "secret"
    if item.keys() & {"filterChains", "defaultFilterChain", "listenerFilters"}:
        return "listener"
    if "virtualHosts" in item:
        return "routes"
    if "hostStatuses" in item or "addedViaApi" in item or ("clusterName" in item and "endpoints" in item):
        return "endpoints"
    if "name" in item and item.keys() & {*_CLUSTER_KEYS}:
        return "cluster"
    return next((part for key, part in _PARTS.items() if isinstance(item.get(key), dict)), None)


def _rows(part: str, found: dict[str, Any], proxy: str | None) -> Iterator[Row | LeftOut]:
    match part:
        case "secret":
            yield LeftOut("Secret", "secrets are not stored")
        case "bootstrap":
            yield from _bootstrap_rows(found.get("bootstrap", found), proxy)
        case "listener":
            yield from listener_rows(found, proxy)
        case "routes":
            yield from route_rows(found, proxy)
        case "endpoints":
            yield from _endpoint_rows(found, proxy)
        case _:
            yield cluster_row(found, proxy)


def cluster_row(found: dict[str, Any], proxy: str | None, *, is_static: bool = False) -> Row:
    """Make a row of a cluster."""
    name = str(found.get("name"))
    kind = found.get("type") or (found.get("clusterType") or {}).get("name")
    return Row(
        "mesh/clusters",
        "cluster",
        {
            "proxy": proxy,
            "cluster": name,
            **cluster_parts(name),
            "type": str(kind) if kind else None,
            "destination_rule": origin(found),
            "is_static": is_static,
            "settings": compact(cluster_settings(found)),
        },
    )


def cluster_parts(name: str) -> dict[str, Any]:
    """Take a cluster's name apart into direction, port, subset and host."""
    match = _CLUSTER_NAME.fullmatch(name) or _SNI_CLUSTER_NAME.fullmatch(name)
    if not match:
        return {"direction": None, "port": None, "subset": None, "host": name}
    direction, port, subset, host = match.groups()
    return {"direction": direction, "port": int(port) if port else None, "subset": subset or None, "host": host}


def _endpoint_rows(found: dict[str, Any], proxy: str | None) -> Iterator[Row]:
    cluster = str(found.get("name") or found.get("clusterName"))
    hosts = found.get("hostStatuses") or [
        {**host, **(host.get("endpoint") or {}), "locality": group.get("locality")}
        for group in found.get("endpoints") or ()
        for host in group.get("lbEndpoints") or ()
    ]
    for host in hosts:
        health = host.get("healthStatus") or {}
        is_status = isinstance(health, dict)
        status = health.get("edsHealthStatus") if is_status else health
        yield Row(
            "mesh/endpoints",
            "endpoint",
            {
                "proxy": proxy,
                "cluster": cluster,
                "address": address_of(host.get("address") or {}),
                "status": str(status or "HEALTHY"),
                "outlier_check": "FAILED" if is_status and health.get("failedOutlierCheck") else "OK",
                "zone": (host.get("locality") or {}).get("zone"),
            },
        )


def address_of(address: dict[str, Any]) -> str:
    """Write an address as istioctl does."""
    socket = address.get("socketAddress")
    if socket:
        host = str(socket.get("address"))
        host = f"[{host}]" if ":" in host else host
        port = socket.get("portValue")
        return f"{host}:{port}" if port else host
    internal = address.get("envoyInternalAddress") or {}
    if internal:
        return f"envoy://{internal.get('serverListenerName')}/{internal.get('endpointId', '')}"
    return f"unix://{(address.get('pipe') or {}).get('path', '')}"


def _bootstrap_rows(found: dict[str, Any], proxy: str | None) -> Iterator[Row]:
    node = found.get("node") or {}
    metadata = node.get("metadata") or {}
    static = found.get("staticResources") or {}
    listeners = static.get("listeners") or ()
    ports = [((each.get("address") or {}).get("socketAddress") or {}).get("portValue") for each in listeners]
    labels = metadata.get("LABELS") if isinstance(metadata.get("LABELS"), dict) else {}
    admin = ((found.get("admin") or {}).get("address") or {}).get("socketAddress") or {}
    locality = node.get("locality") or {}
    yield Row(
        "mesh/proxies",
        "bootstrap",
        {
            "proxy": proxy,
            "node_id": node.get("id"),
            "workload": metadata.get("WORKLOAD_NAME"),
            "version": (labels or {}).get("version"),
            "istio_version": metadata.get("ISTIO_VERSION"),
            "region": locality.get("region"),
            "zone": locality.get("zone"),
            "admin_port": admin.get("portValue"),
            "stats_port": next((port for port in ports if port == 15090), None),
        },
    )
    for cluster in static.get("clusters") or ():
        yield cluster_row(cluster, proxy, is_static=True)
    for listener in listeners:
        yield from listener_rows(listener, proxy)


def _proxy_of(bootstrap: dict[str, Any]) -> str | None:
    """Return the proxy, as pod.namespace, that a bootstrap names: sidecar~10.1.2.3~pod.ns~ns.svc.domain."""
    identity = str(((bootstrap.get("bootstrap") or bootstrap).get("node") or {}).get("id")).split("~")
    return identity[2] if len(identity) == 4 else None


def _camel(value: Any) -> Any:
    """Give keys the case of istioctl's JSON; Envoy's own admin pages write them in snake case."""
    if isinstance(value, dict):
        return {_camel_key(str(key)): _camel(each) for key, each in value.items()}
    return [_camel(each) for each in value] if isinstance(value, list) else value


def _camel_key(key: str) -> str:
    if not _SNAKE.fullmatch(key):
        return key
    head, *rest = key.split("_")
    return head + "".join(word.capitalize() for word in rest)
