"""What the configuration has to say to each scenario, and whether what is cited stands in the objects that were read.

A scenario whose cause lies in the configuration names the object, the field and the value that must be cited. All else
that is cited must be so: the value is that of the field, and what is said not to be set is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tests.mesh.score import Judge, Row
from tests.mesh.verdicts import Verdict, is_hidden

Json = dict[str, Any]
Cited = tuple[str, str, str, str | None]
"""Kind, namespace/name, field and value; a field's [NAME] is the item of that name."""

_RULE, _SUBSET = "VirtualService", "DestinationRule"
_PAYMENTS, _POLICY = "shop/payments", "trafficPolicy.connectionPool"


def _retries(service: str, rule: str = "retry") -> Cited:
    return (_RULE, f"shop/{service}", f"spec.http[{rule}].retries.retryOn", "5xx,reset,connect-failure")


def _timeout(service: str) -> Cited:
    return (_RULE, f"shop/{service}", "spec.http[short].timeout", "400ms")


def _patch(name: str, field: str, value: str) -> Cited:
    return ("EnvoyFilter", f"shop/{name}", f"spec.configPatches[0].patch.value.{field}", value)


_GATEWAY = "istio-system/storefront"
_GATEWAY_RETRIES = (_RULE, _GATEWAY, "spec.http[retrying].retries.retryOn", "5xx,reset,connect-failure")
_PER_TRY = (_RULE, _PAYMENTS, "spec.http[short-retry].retries.perTryTimeout", "150ms")
_HTTP_PORT = ("Service", _PAYMENTS, "spec.ports[].name", "http-web")
_PLAIN = (_SUBSET, _PAYMENTS, "spec.subsets[plain].trafficPolicy.tls.mode", "DISABLE")
_STRICT = ("PeerAuthentication", "shop/default", "spec.mtls.mode", "STRICT")
_STRANGER = "spiffe://cluster.local/ns/shop/sa/payments-renamed"
_RENAMED = (_SUBSET, _PAYMENTS, "spec.subsets[stranger].trafficPolicy.tls.subjectAltNames[0]", _STRANGER)
_NO_SIDECAR = ("Pod", "shop/legacy-0", "spec.containers", "legacy")
_DANGLING = (_RULE, _PAYMENTS, "spec.http[dangling].route[0].destination.subset", "v9")
_EMPTY = (_SUBSET, _PAYMENTS, "spec.subsets[empty].labels", '{"version":"empty"}')
_VOID = (_SUBSET, _PAYMENTS, f"spec.subsets[void].{_POLICY}.tcp.connectTimeout", "250ms")
_NARROW = (_SUBSET, _PAYMENTS, f"spec.subsets[narrow].{_POLICY}.http.http1MaxPendingRequests", "1")
_SECRET_PATH = '{"to":[{"operation":{"paths":["/secret*"]}}]}'
_SECRET = ("AuthorizationPolicy", "shop/secret", "spec.rules[0]", _SECRET_PATH)
_NO_TCP = '{"when":[{"key":"connection.sni","values":["*_.denied_.*"]}]}'
_REGISTRY_ONLY = ("Sidecar", "shop/default", "spec.outboundTrafficPolicy.mode", "REGISTRY_ONLY")


def _port(name: str, port: int) -> Cited:
    return ("Service", f"shop/{name}", "spec.ports[].targetPort", str(port))


CITED: dict[str, Cited] = {
    "app_5xx_retries": _retries("payments"),
    "app_5xx_deep_retries": _retries("payments"),
    "app_5xx_gateway_retries": _GATEWAY_RETRIES,
    **dict.fromkeys(("retried", "retried_twice", "retried_twice_near"), _retries("payments")),
    **dict.fromkeys(("retried_over_http2", "retried_at_once_over_http2"), _retries("ledger")),
    "retried_by_gateway": _GATEWAY_RETRIES,
    "retried_with_work_below": _retries("orders"),
    "retried_stall": (_RULE, _PAYMENTS, "spec.http[short-retry].retries.retryOn", "5xx"),
    "app_crash_retries": (_RULE, _PAYMENTS, "spec.http[retry].retries.attempts", "2"),
    **dict.fromkeys(
        ("protocol_error", "protocol_error_retries"), ("Service", _PAYMENTS, "spec.ports[].name", "http-web")
    ),
    "slow_upstream": _timeout("payments"),
    "slow_upstream_deep": _timeout("orders"),
    "slow_upstream_per_try": _PER_TRY,
    "slow_upstream_max_duration": _patch("payments-lasting", "route.max_stream_duration.max_stream_duration", "0.200s"),
    "slow_upstream_http2": _timeout("ledger"),
    "slow_upstream_grpc": _timeout("currency"),
    "slow_upstream_gateway": (_RULE, _GATEWAY, "spec.http[hurried].timeout", "400ms"),
    "slow_endpoint_timeouts": _timeout("cart"),
    **dict.fromkeys(("app_down", "app_down_retries", "app_down_deep"), _port("inventory", 8080)),
    "tcp_app_down": _port("queue", 5672),
    **dict.fromkeys(("connect_refused", "connect_refused_retries", "connect_refused_deep"), _port("mailer", 8080)),
    "killed_sidecar": _port("search", 8080),
    **dict.fromkeys(("connect_timeout", "connect_timeout_retries"), _VOID),
    **dict.fromkeys(("tls_plain_to_strict", "tls_plain_to_strict_retries"), _PLAIN),
    "tls_plain_scrape": _STRICT,
    **dict.fromkeys(("tls_to_plain", "tls_to_plain_retries"), _NO_SIDECAR),
    **dict.fromkeys(("tls_identity", "tls_identity_retries"), _RENAMED),
    "tcp_denied": ("AuthorizationPolicy", "shop/no-tcp", "spec.rules[0]", _NO_TCP),
    "tcp_overload": (_SUBSET, "shop/sessions", f"spec.subsets[narrow].{_POLICY}.tcp.maxConnections", "1"),
    **dict.fromkeys(("tcp_blocked_egress", "blocked_egress"), _REGISTRY_ONLY),
    "no_route": (_RULE, _GATEWAY, "spec.hosts", "shop.example.com"),
    "no_route_inside": (
        *(_RULE, "shop/catalog", "spec.http[].match"),
        "headers x-variant exact v2; uri exact /healthz; uri prefix /work",
    ),
    **dict.fromkeys(("no_cluster", "no_cluster_deep"), _DANGLING),
    "direct_response": (_RULE, _PAYMENTS, "spec.http[maintenance].directResponse.status", "503"),
    **dict.fromkeys(("no_endpoints", "no_endpoints_retries", "no_endpoints_deep"), _EMPTY),
    "outlier_ejection": (
        *(_SUBSET, _PAYMENTS, "spec.subsets[ejecting].trafficPolicy.outlierDetection.consecutive5xxErrors"),
        "5",
    ),
    **dict.fromkeys(("overload", "overload_retries"), _NARROW),
    "injected_abort": (_RULE, _PAYMENTS, "spec.http[abort].fault.abort.httpStatus", "503"),
    "injected_delay": (_RULE, _PAYMENTS, "spec.http[delay].fault.delay.fixedDelay", "120ms"),
    **dict.fromkeys(("denied", "denied_deep"), _SECRET),
    "denied_token": ("RequestAuthentication", "shop/tokens", "spec.jwtRules[0].issuer", "https://issuer.example.com"),
    "denied_outside": ("AuthorizationPolicy", "shop/guarded", "spec.provider.name", "authz"),
    "authz_down": ("AuthorizationPolicy", "shop/orphaned", "spec.provider.name", "authz-orphaned"),
    "filter_failed": _patch("script", "name", "envoy.filters.http.lua"),
    "stream_limit": _patch("payments-idle", "route.idle_timeout", "0.200s"),
    "rate_limited": _patch("rate-limit", "typed_config.token_bucket.max_tokens", "3"),
}
"""What must be cited for each scenario that the configuration has a part in."""

_AUTHORS = ("VirtualService", "DestinationRule")
"""Kinds that proxies note as the origin of routes and clusters."""


def in_proxies(cited: Cited, *, is_printed: bool) -> Cited | None:
    """Give what can be cited of it from proxies alone: not which item of a list it is, and in printed tables no value.

    None where a proxy knows nothing of the object.
    """
    kind, name, field, value = cited
    if cited == _EMPTY:
        return ("Service", name, "spec.selector", "0 endpoints in proxies")
    if kind == "Service" and field.endswith("targetPort"):
        return (kind, name, "spec.selector", "1 endpoints in proxies")
    if kind not in _AUTHORS:
        return None
    if field == "spec.hosts":
        return cited
    if field.endswith(".match"):  # a route inside: the hosts that its virtual host takes
        service, namespace = name.split("/")[::-1]
        return (kind, name, "spec.hosts", f"{service}.{namespace}.svc.cluster.local, {service}")
    field = re.sub(r"\[[^]]*\]", "[]", field)
    if is_printed:
        # which names are expected is no column of a table, but that the rule bears on TLS is known
        return (kind, name, re.sub(r"tls\..*", "tls.mode", field), None)
    return (kind, name, field.replace("subjectAltNames[]", "subjectAltNames[0]"), _as_in_envoy(value))


def _as_in_envoy(value: str | None) -> str | None:
    """Write a duration in seconds, as the proxies' JSON has it."""
    match = re.fullmatch(r"(\d+)ms", value or "")
    return f"{int(match[1]) / 1000:.3f}s" if match else value  # none of the town's is whole seconds


WITHOUT = frozenset(
    {"app_5xx", "app_error", "app_crash", "upstream_reset", "client_gone", "bad_request", "proxy_gone", None}
)
"""Causes that no configuration is behind: what is cited for them, such as retries that are not set, has to be so."""

_CITATIONS = """
    select diagnoses.cause, candidates, culprit_service, citations.* from diagnoses
    inner join citations using (diagnosis_id)
"""


def judge_citations(judge: Judge, objects: list[Json], citations: list[Row]) -> Iterator[str]:
    """Yield what is not cited though it must be, and what is cited though it is not so."""
    for row in citations:
        if not holds(objects, row):
            yield f"{row['cause']} cites {row['cited']}, which is not so"
    for scenario, verdicts in sorted(blamed(judge).items()):
        found = {_as_cited(row) for row in citations if _verdicts(row) & verdicts}
        if scenario in CITED and (wanted := _numbered(objects, CITED[scenario])) not in found:
            yield f"{scenario}: {' '.join(wanted)} is not cited"
        if scenario not in CITED and not {cause for cause, _ in verdicts} <= WITHOUT:
            yield f"{scenario}: nobody says what must be cited"


def judge_citations_in_proxies(
    verdicts: dict[str, set[Verdict]], objects: list[Json], citations: list[Row], *, is_printed: bool
) -> Iterator[str]:
    """Yield what is not cited from proxies alone though they know it, and the set values that no object has."""
    form = "printed tables" if is_printed else "proxies' JSON"
    for row in citations:
        if row["is_set"] and row["kind"] in _AUTHORS and not holds(objects, row):
            yield f"from {form} {row['cause']} cites {row['cited']}, which is not so"
    for scenario, true in sorted(verdicts.items()):
        wanted = in_proxies(CITED[scenario], is_printed=is_printed) if scenario in CITED else None
        if wanted and wanted not in {_as_cited(row) for row in citations if _verdicts(row) & true}:
            yield f"from {form} {scenario}: {wanted} is not cited"


def cited(session: Any) -> list[Row]:
    """Read every citation with its finding's verdict."""
    rows: list[Row] = session.rows(_CITATIONS)
    return rows


def blamed(judge: Judge) -> dict[str, set[Verdict]]:
    """Collect the verdicts that are true of each scenario's requests and connections, and can be known."""
    found: dict[str, set[Verdict]] = {}
    for visit in judge.notebook.visits:
        if visit.cause and not is_hidden(judge, visit):
            found.setdefault(visit.scenario, set()).add((visit.cause, visit.culprit))
    for scenario, verdict in judge.recording.town.session_verdicts.items():
        found.setdefault(scenario, set()).add(verdict)
    return found


def _verdicts(row: Row) -> set[Verdict]:
    return {(cause, row["culprit_service"]) for cause in row["candidates"] or [row["cause"]]}


def _as_cited(row: Row) -> Cited:
    return (row["kind"], f"{row['namespace']}/{row['name']}", row["field"], row["value"])


def _numbered(objects: list[Json], cited: Cited) -> Cited:
    """Put numbers for the names of items in a field's path."""
    kind, name, field, value = cited
    found: Any = next(each for each in objects if (each["kind"], _name(each)) == (kind, name))
    steps = []
    for step in re.findall(r"[\w-]+|\[[\w-]*\]", field):
        label = step.strip("[]")
        if step.startswith("[") and label and not label.isdigit():
            label = str([item.get("name") for item in found].index(label))
            step = f"[{label}]"
        steps.append(step)
        if label:
            found = found[int(label) if step.startswith("[") else label]
        else:
            break
    rest = field[field.index("[]") + 2 :] if "[]" in field else ""
    return (kind, name, ".".join(steps).replace(".[", "[") + rest, value)


def holds(objects: list[Json], row: Row) -> bool:
    """Say whether the objects bear out a citation."""
    if row["name"] is None:
        return row["value"] is None
    named = [
        each for each in objects if (each["kind"], _name(each)) == (row["kind"], f"{row['namespace']}/{row['name']}")
    ]
    values = [value for each in named for value in _values(each, row["field"])]
    if row["value"] is None:
        return len(named) == 1 and not values
    return any(_shows(value, row["value"]) for value in values)


def _name(each: Json) -> str:
    return f"{each['metadata']['namespace']}/{each['metadata']['name']}"


def _values(value: Any, field: str) -> Iterable[Any]:
    """Yield what stands at a path, in which [] is any item."""
    found = [value]
    for step in re.findall(r"[\w-]+|\[\d*\]", field):
        if step == "[]":
            found = [item for each in found if isinstance(each, list) for item in each]
        elif step.startswith("["):
            found = [each[int(step[1:-1])] for each in found if isinstance(each, list)]
        else:
            found = [each[step] for each in found if isinstance(each, dict) and step in each]
    return found


def _shows(value: Any, text: str) -> bool:
    """Say whether a text tells a value: of lists the items, of matches what they ask for, of endpoints how many."""
    if text.endswith(" ready"):
        return text == f"{sum(each['conditions']['ready'] for each in value)} ready"
    if isinstance(value, list):
        names = [item["name"] if isinstance(item, dict) and "name" in item else item for item in value]
        return all(part in text for item in names for part in _leaves(item))
    if isinstance(value, dict):
        return bool(json.loads(text) == value)
    return _plainly(str(value)) == _plainly(text)


def _plainly(text: str) -> str:
    """Write durations and numbers in one way: proxies have 0.400s for 400ms."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|)", text)
    return f"{float(match[1]) * (1000 if match[2] == 's' else 1):g} {match[2] and 'ms'}" if match else text


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    return [str(value)]
