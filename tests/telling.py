"""Writes the cases of `tests/cases` as log lines: a plain good call each, but for the fields that the case names."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Fields = dict[str, Any]

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SPACING = timedelta(minutes=10)
OCTETS = {"c": 50, "s": 100, "d": 150}

NAMES = {
    "code": "response_code",
    "flags": "response_flags",
    "details": "response_code_details",
    "ctd": "connection_termination_details",
    "utfr": "upstream_transport_failure_reason",
    "ms": "duration",
    "ust": "upstream_service_time",
    "host": "upstream_host",
    "ula": "upstream_local_address",
    "cluster": "upstream_cluster",
    "dla": "downstream_local_address",
    "dra": "downstream_remote_address",
    "sni": "requested_server_name",
    "route": "route_name",
    "ua": "user_agent",
    "xff": "x_forwarded_for",
    "id": "request_id",
    "policy": "istio_policy_status",
    "rx": "bytes_received",
    "tx": "bytes_sent",
}
"""The short names that cases use; any other name is the log's own key."""

_OF_THE_REQUEST = ("method", "path", "protocol", "authority", "request_id", "user_agent", "upstream_service_time")
_OF_THE_UPSTREAM = ("upstream_host", "upstream_local_address", "upstream_service_time")
SHORTHANDS = {
    "local": (*_OF_THE_UPSTREAM, "response_code_details"),
    "unread": (*_OF_THE_REQUEST, *_OF_THE_UPSTREAM, "upstream_cluster", "route_name", "response_code_details"),
    "tcp": (*_OF_THE_REQUEST, "route_name", "response_code_details"),
}
"""What a line lacks that is a proxy's own reply, that could not be read, or that is a raw connection."""

_OWN = ("side", "from", "to", "at", "req", "times", *SHORTHANDS)


@dataclass(frozen=True)
class Told:
    """One line of a case: the case's number, its place there, and the line under Istio's keys."""

    case: int
    place: int | None
    fields: Fields


def address(case: int, pod: str) -> str:
    """Return the address of a pod of a case, such as `s` or, the second one of the same service, `s2`."""
    return f"10.{case // 200}.{case % 200}.{OCTETS[pod[0]] + int(pod[1:] or 1)}"


def service(case: int, pod: str) -> str:
    """Return the service of a pod of a case."""
    return f"{pod[0]}{case}.shop"


def told(case: int, said: Fields) -> Iterator[Told]:
    """Write a case's lines, after calls that tell the pods' names and which of their sidecars log."""
    for number, (caller, called) in enumerate((("d", "c"), ("c", "s"), ("s", "d"))):
        yield Told(case, None, _line(case, {"side": "C", "from": caller, "to": called, "req": 900 + number}, -60_000))
    for number, pod in enumerate(said.get("logs", [])):
        for at, more in ((-50_000, 0), (50_000, 50)):
            both = {"from": "c", "to": pod, "req": 910 + number + more}
            yield Told(case, None, _line(case, both | {"side": "C"}, at))
            yield Told(case, None, _line(case, both | {"side": "S"}, at + 1))
    for place, line in enumerate(said["lines"]):
        for number in range(line.get("times", 1)):
            one = line | {"req": line.get("req", 0) + number}
            yield Told(case, place, _line(case, one, line.get("at", int(line["side"] == "S")) + 20 * number))


def _line(case: int, line: Fields, at: int) -> Fields:
    fields = _good(case, line, line["side"])
    fields["start_time"] = _moment(BEGIN + case * SPACING + timedelta(milliseconds=at))
    for shorthand, absent in SHORTHANDS.items():
        if line.get(shorthand):
            fields |= dict.fromkeys(absent)
            fields["response_code"] = fields["response_code"] if shorthand == "local" else 0
    named = {NAMES.get(key, key): _value(case, value) for key, value in line.items() if key not in _OWN}
    if named.get("response_flags", "-") is None:
        del named["response_flags"]
    if "response_code_details" in named and "upstream_service_time" not in named:
        is_answer = named["response_code_details"] == "via_upstream"
        fields["upstream_service_time"] = fields["upstream_service_time"] if is_answer else None
    return fields | named


def _value(case: int, value: Any) -> Any:
    """Fill a pod's address (`{s}`) and a service's name (`{S}`) into a value; "-" is absent."""
    if not isinstance(value, str):
        return value
    for pod in OCTETS:
        value = value.replace(f"{{{pod}}}", address(case, pod)).replace(f"{{{pod.upper()}}}", service(case, pod))
    return None if value == "-" else value


def _good(case: int, line: Fields, side: str) -> Fields:
    caller, called, req = line.get("from", "c"), line.get("to", "s"), line.get("req", 0)
    here, there = address(case, caller), address(case, called)
    name = service(case, called)
    host = f"{name}.svc.cluster.local"
    is_server = side == "S"
    arrived = {"S": f"{there}:8080", "C": f"10.200.{case % 200}.1:80", "G": f"{here}:8080"}
    sender = {"S": f"{here}:{40000 + req}", "C": f"{here}:{20000 + req}", "G": "203.0.113.9:52001"}
    return {
        "authority": f"{name}:80",
        "bytes_received": 0,
        "bytes_sent": 75,
        "connection_termination_details": None,
        "downstream_local_address": arrived[side],
        "downstream_remote_address": sender[side],
        "duration": 3 if is_server else 5,
        "method": "GET",
        "path": "/items",
        "protocol": "HTTP/1.1",
        "request_id": f"{case:08x}-0000-4000-9000-{req:012x}",
        "requested_server_name": f"outbound_.80_._.{host}" if is_server else None,
        "response_code": 200,
        "response_code_details": "via_upstream",
        "response_flags": "-",
        "route_name": "default",
        "start_time": "",
        "upstream_cluster": "inbound|8080||" if is_server else f"outbound|80||{host}",
        "upstream_host": f"{there}:8080",
        "upstream_local_address": f"127.0.0.6:{30000 + req}" if is_server else f"{here}:{40000 + req}",
        "upstream_service_time": "2" if is_server else "4",
        "upstream_transport_failure_reason": None,
        "user_agent": "curl/8",
        "x_forwarded_for": "203.0.113.9" if side == "G" else None,
    }


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


# ---------- the styles


def typed(fields: Fields) -> str:
    """Write a line as Istio does since 1.8: JSON with numbers and null."""
    return json.dumps(fields)


def strings(fields: Fields) -> str:
    """Write a line in the style of Istio up to 1.7: all strings, "-" for absent."""
    return json.dumps({key: "-" if value is None else str(value) for key, value in fields.items()})


_REQUEST = '[{start_time}] "{method} {path} {protocol}" {response_code} {response_flags} '
_REST = (
    ' {bytes_received} {bytes_sent} {duration} {upstream_service_time} "{x_forwarded_for}" "{user_agent}" '
    '"{request_id}" "{authority}" "{upstream_host}" {upstream_cluster} {upstream_local_address} '
    "{downstream_local_address} {downstream_remote_address} {requested_server_name} {route_name}"
)
_NEW = '{response_code_details} {connection_termination_details} "{upstream_transport_failure_reason}"'
_OLD = '"{istio_policy_status}" "{upstream_transport_failure_reason}"'


def text(fields: Fields) -> str:
    """Write a line as Istio's TEXT since 1.9 (envoy-facts 2.2)."""
    return _filled(_REQUEST + _NEW + _REST, fields)


def old_text(fields: Fields) -> str:
    """Write a line as Istio's TEXT of 1.3 to 1.7: no details, but Mixer's verdict."""
    return _filled(_REQUEST + _OLD + _REST, {"istio_policy_status": None, **fields})


def _filled(layout: str, fields: Fields) -> str:
    return layout.format(**{key: "-" if value is None else value for key, value in fields.items()})
