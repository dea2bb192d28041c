"""Turns the rows of istioctl's printed tables into the rows that its JSON output gives, as far as they tell."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from pipeline.mesh.secrets import text_without_secrets
from pipeline.mesh.shapes import Document, LeftOut, Row
from pipeline.mesh.tables import PrintedRow, Table

_STATIC = frozenset({"agent", "prometheus_stats", "sds-grpc", "xds-grpc", "zipkin"})
"""Clusters of Istio's bootstrap."""

_MORE = re.compile(r"\s*\+\s*\d+ more.*$")
"""How istioctl ends a list of domains that it cuts."""

_SYNC = ("CDS", "LDS", "EDS", "RDS", "ECDS", "SDS", "NDS", "PCDS", "WDS", "WADS")


def printed(document: Document, table: Table, proxy: str | None) -> Iterator[Row | LeftOut]:
    """Yield a table's rows.

    Raises `InputError` naming the line that cannot be taken apart, and for a table that is too short in columns.
    """
    if table.unread is not None:
        line = document.first_line + table.unread
        raise document.error(
            "the columns of this row do not stand below the header's. Paste the table as printed", line
        )
    if table.kind.startswith("short "):
        line = document.first_line + table.line
        raise document.error(
            "an old istioctl printed this table without what matters. Run it with --verbose or -o json", line
        )
    if table.kind == "secrets":
        yield LeftOut("Secret", "secrets are not stored")
        return
    places: dict[tuple[Any, ...], int] = {}
    for row in table.rows:
        values = _READERS[table.kind](document, row)
        cells = {key: text_without_secrets(value) if isinstance(value, str) else value for key, value in values.items()}
        if table.kind in ("listeners", "routes"):
            group = (cells.get("route_config"), cells.get("address"), cells.get("port"))
            cells["place"] = places[group] = places.get(group, 0) + 1
        yield Row(f"mesh/{_DATASETS[table.kind]}", _SPOKEN[table.kind], {"proxy": proxy, **cells})


def _cluster(document: Document, row: PrintedRow) -> dict[str, Any]:
    direction, port, subset = row.cells.get("DIRECTION"), _number(document, row, "PORT"), row.cells.get("SUBSET")
    # an inbound cluster has no host
    host = row.cells.get("SERVICE FQDN", "") if direction else _needed(document, row, "SERVICE FQDN")
    name = f"{direction}|{'' if port is None else port}|{subset or ''}|{host}" if direction else host
    return {
        "cluster": name,
        "direction": direction,
        "port": port,
        "subset": subset,
        "host": host,
        "type": row.cells.get("TYPE"),
        "destination_rule": row.cells.get("DESTINATION RULE"),
        "is_static": name in _STATIC,
    }


def _listener(document: Document, row: PrintedRow) -> dict[str, Any]:
    address = row.cells.get("ADDRESS") or row.cells.get("ADDRESSES")
    return {
        "listener": row.cells.get("NAME"),
        "address": address,
        "port": _number(document, row, "PORT"),
        "match": row.cells.get("MATCH"),
        "destination": row.cells.get("DESTINATION"),
    }


def _route(_document: Document, row: PrintedRow) -> dict[str, Any]:
    domains = row.cells.get("DOMAINS")
    return {
        "route_config": row.cells.get("NAME", ""),
        "virtual_host": row.cells.get("VHOST NAME"),
        "domains": [domain.strip() for domain in _MORE.sub("", domains).split(",")] if domains else [],
        "match": row.cells.get("MATCH"),
        "virtual_service": row.cells.get("VIRTUAL SERVICE"),
    }


def _endpoint(document: Document, row: PrintedRow) -> dict[str, Any]:
    return {
        "address": _needed(document, row, "ENDPOINT"),
        "cluster": _needed(document, row, "CLUSTER"),
        "status": row.cells.get("STATUS"),
        "outlier_check": row.cells.get("OUTLIER CHECK"),
    }


def _status(document: Document, row: PrintedRow) -> dict[str, Any]:
    # without --verbosity a newer istioctl only counts and names the types: 2 (CDS,LDS)
    subscribed = re.findall(r"[A-Z]+", row.cells.get("SUBSCRIBED TYPES", ""))
    states = {name: row.cells[name] for name in _SYNC if name in row.cells} | dict.fromkeys(subscribed, "SUBSCRIBED")
    return {
        "proxy": _needed(document, row, "NAME"),
        "istio_version": row.cells.get("VERSION"),
        "sync_state": orjson.dumps(states).decode(),
    }


_STATUSES = ("statuses", "subscriptions")
_READERS = {
    "clusters": _cluster,
    "listeners": _listener,
    "routes": _route,
    "endpoints": _endpoint,
    **dict.fromkeys(_STATUSES, _status),
}
_DATASETS = {**{name: name for name in _READERS}, **dict.fromkeys(_STATUSES, "proxies")}
_SPOKEN = {name: name.removesuffix("s") for name in _READERS} | dict.fromkeys(_STATUSES, "sync status")


def _needed(document: Document, row: PrintedRow, column: str) -> str:
    cell = row.cells.get(column)
    if cell is None:
        raise document.error(
            f"the column {column} is empty. Paste the table as printed", document.first_line + row.line
        )
    return cell


def _number(document: Document, row: PrintedRow, column: str) -> int | None:
    cell = row.cells.get(column)
    if cell is not None and not cell.isdecimal():
        raise document.error(f"{column} is no number here. Paste the table as printed", document.first_line + row.line)
    return None if cell is None else int(cell)
