"""What guards the mesh's services: gateways, Sidecars, access policies and filters, as tables and behind denials."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pipeline.ingest.load import load
from pipeline.mesh.snapshot import read_snapshot
from pipeline.query.session import open_session

FIXTURES = Path(__file__).parent / "mesh_config"
GUARDS = FIXTURES / "guards.yaml"
BEFORE = datetime(2026, 11, 23, 20, tzinfo=UTC)
PAYMENTS = "payments.shop.svc.cluster.local"
POLICY = "AuthorizationPolicy"


@pytest.fixture(scope="module")
def guards(tmp_path_factory):
    """A session on the hand-written guards, and no log."""
    lake = tmp_path_factory.mktemp("guards") / "lake"
    read_snapshot([str(FIXTURES / "resources.yaml"), str(GUARDS)], lake)
    with open_session(lake) as session:
        yield session


def rows(session, sql: str, *columns: str) -> list[tuple]:
    """Return a query's rows as tuples of some columns."""
    return [tuple(row[column] for column in columns) for row in session.rows(sql)]


def test_gateways_have_their_servers(guards):
    """A row a server: port, hosts, TLS mode, the name of its certificate's secret, and who serves it."""
    found = rows(
        guards,
        "from mesh_gateways order by gateway, server",
        *("gateway", "server", "port", "protocol", "hosts", "tls_mode", "credential_name", "is_redirect"),
    )

    assert found == [
        *[
            ("egress", 1, 80, "HTTP", ["*"], None, None, True),
            ("egress", 2, 443, "TLS", ["*"], "PASSTHROUGH", None, False),
        ],
        (
            *("public", 1, 443, "HTTPS", ["shop/payments.example.com", "*.example.org"], "SIMPLE", "example-com-cert"),
            False,
        ),
    ]


def test_sidecars_have_their_reach(guards):
    """A row a Sidecar: whom it selects, what they reach, at which ports they listen, and whether unknown hosts pass."""
    found = rows(
        guards,
        "from mesh_sidecars order by namespace, sidecar",
        *("namespace", "sidecar", "egress_hosts", "ingress_ports", "outbound_mode", "is_set"),
    )

    assert found == [
        ("istio-system", "default", ["*/*"], [], "ALLOW_ANY", False),
        ("shop", "cart", [], ["9090"], "REGISTRY_ONLY", True),
        ("shop", "default", ["./*", "istio-system/*"], ["9080"], "REGISTRY_ONLY", True),
    ]


POOL = "spec.trafficPolicy.connectionPool."
PENDING = "connectionPool.http.http1MaxPendingRequests"
CONNECTIONS = "connectionPool.tcp.maxConnections"

# service, port, field -> value, whether it is set, the object, where
INBOUND = {
    # a Sidecar's pool counts for every port, as a whole
    ("cart.shop", 8080, PENDING): ("4", True, "cart.shop", "spec.inboundConnectionPool.http.http1MaxPendingRequests"),
    ("cart.shop", 8080, CONNECTIONS): (
        *("4294967295", False, "cart.shop"),
        "spec.inboundConnectionPool.tcp.maxConnections",
    ),
    # the pool of the port at which the application listens stands before it, again as a whole
    ("cart.shop", 80, CONNECTIONS): ("2", True, "cart.shop", "spec.ingress[0].connectionPool.tcp.maxConnections"),
    ("cart.shop", 80, PENDING): (
        *("4294967295", False, "cart.shop"),
        "spec.ingress[0].connectionPool.http.http1MaxPendingRequests",
    ),
    # without either the DestinationRule's limits are the server's, too
    ("payments.shop", 8080, PENDING): ("10", True, "payments.shop", f"{POOL}http.http1MaxPendingRequests"),
    ("frontend.shop", 8080, PENDING): ("4294967295", False, None, f"{POOL}http.http1MaxPendingRequests"),
}


def test_what_servers_allow_is_their_sidecars_or_their_rules(guards):
    """The Sidecar of a service's own pods sets what they take; what it leaves out is the default, not the rule's."""
    found = {
        (row["service"], row["port"], row["field"]): (row["value"], row["is_set"], row["object"], row["path"])
        for row in guards.rows("from mesh_inbound_settings")
    }

    assert {key: found[key] for key in INBOUND} == INBOUND


def test_access_policies_have_their_rules(guards):
    """A row a rule, with the place that a denial names, and one for a policy without rules."""
    found = rows(
        guards,
        "from mesh_authorizations order by namespace, policy, rule",
        *("namespace", "policy", "rule", "action", "provider", "field"),
    )

    assert found == [
        ("istio-system", "nothing", 0, "ALLOW", None, None),
        ("shop", "callers", 1, "ALLOW", None, "spec.rules[0]"),
        ("shop", "external", 1, "CUSTOM", "opa", "spec.rules[0]"),
        ("shop", "no-admin", 1, "DENY", None, "spec.rules[0]"),
        ("shop", "no-admin", 2, "DENY", None, "spec.rules[1]"),
    ]


def test_selectors_select_services_by_their_pods(guards):
    """Labels select pods of their own namespace, none of them all; the root namespace's objects select everywhere."""
    found = rows(
        guards, "from mesh_selections where service in ('cart.shop', 'payments.shop') order by all",
        *("kind", "namespace", "name", "service", "rank"),
    )  # fmt: skip

    assert sorted(row for row in found if row[0] in (POLICY, "Sidecar")) == [
        ("AuthorizationPolicy", "istio-system", "nothing", "cart.shop", 3),
        ("AuthorizationPolicy", "istio-system", "nothing", "payments.shop", 3),
        ("AuthorizationPolicy", "shop", "callers", "payments.shop", 1),
        ("AuthorizationPolicy", "shop", "external", "payments.shop", 1),
        ("AuthorizationPolicy", "shop", "no-admin", "cart.shop", 2),
        ("AuthorizationPolicy", "shop", "no-admin", "payments.shop", 2),
        ("Sidecar", "istio-system", "default", "cart.shop", 3),
        ("Sidecar", "istio-system", "default", "payments.shop", 3),
        ("Sidecar", "shop", "cart", "cart.shop", 1),
    ]


CALL = {
    "start_time": "2026-11-23T21:00:00.000Z", "method": "GET", "path": "/v1/charge", "protocol": "HTTP/1.1",
    "response_code": 403, "response_flags": "-", "response_code_details": "via_upstream",
    "connection_termination_details": None, "upstream_transport_failure_reason": None, "bytes_received": 0,
    "bytes_sent": 0, "duration": 3, "upstream_service_time": None, "x_forwarded_for": None, "user_agent": "u",
    "request_id": "r", "authority": "payments:8080", "upstream_host": None,
    "upstream_cluster": "inbound|8080||", "upstream_local_address": None,
    "downstream_local_address": "10.1.4.1:8080", "downstream_remote_address": "10.1.1.1:5000",
    "requested_server_name": f"outbound_.8080_._.{PAYMENTS}", "route_name": "default",
}  # fmt: skip

OUTBOUND = {
    "response_code": 502, "response_code_details": "direct_response", "route_name": "block_all",
    "authority": "api.other.example", "upstream_cluster": None, "downstream_local_address": "203.0.113.9:80",
    "requested_server_name": None,
}  # fmt: skip

# what a line says -> the object, field and value behind it
BEHIND = {
    "a DENY rule": (
        {"response_code_details": "rbac_access_denied_matched_policy[ns[shop]-policy[no-admin]-rule[1]]"},
        (POLICY, "shop/no-admin", "spec.rules[1]", '{"to":[{"operation":{"methods":["TRACE"]}}]}'),
    ),
    "no ALLOW rule": (
        {"response_code_details": "rbac_access_denied_matched_policy[none]"},
        (POLICY, "istio-system/nothing", "spec.rules", "none"),
    ),
    "an external service that refuses": (
        {"response_code_details": "ext_authz_denied", "response_flags": "UAEX"},
        (POLICY, "shop/external", "spec.provider.name", "opa"),
    ),
    "an external service that is down": (
        {"response_code_details": "ext_authz_error", "response_flags": "UAEX"},
        (POLICY, "shop/external", "spec.provider.name", "opa"),
    ),
    "a token of nobody's": (
        {"response_code": 401, "response_code_details": "jwt_authn_access_denied{Jwt_issuer_is_not_configured}"},
        ("RequestAuthentication", "shop/tokens", "spec.jwtRules[0].issuer", "https://issuer.example"),
    ),
    "a rate limit": (
        {"response_code": 429, "response_flags": "RL", "response_code_details": "local_rate_limited"},
        ("EnvoyFilter", "shop/limit", "spec.configPatches[0].patch.value.typed_config.token_bucket.max_tokens", "10"),
    ),
    "a limit of the server's own sidecar": (
        {"response_code": 503, "response_flags": "UO", "response_code_details": "upstream_reset_before_response_started"
         "{overflow}", "downstream_local_address": "10.1.5.1:8080", "authority": "cart:8080",
         "requested_server_name": "outbound_.8080_._.cart.shop.svc.cluster.local"},
        ("Sidecar", "shop/cart", "spec.inboundConnectionPool.http.http1MaxPendingRequests", "4"),
    ),
    "a script": (
        {"response_code": 500, "response_code_details": "lua_response"},
        ("EnvoyFilter", "shop/limit", "spec.configPatches[1].patch.value.name", "envoy.filters.http.lua"),
    ),
}  # fmt: skip


def cited_of(folder: Path, line: dict, *more: dict) -> list[tuple]:
    """Ingest lines beside the guards and return what is cited."""
    (folder / "log.jsonl").write_text("".join(json.dumps({**CALL, **each}) + "\n" for each in (*more, line)))
    load([str(folder / "log.jsonl")], folder / "lake")
    read_snapshot([str(FIXTURES / "resources.yaml"), str(GUARDS)], folder / "lake", BEFORE)
    with open_session(folder / "lake") as session:
        return [
            (row["kind"], f"{row['namespace']}/{row['name']}", row["field"], row["value"])
            for row in session.rows("from citations order by diagnosis_id, place")
        ]


@pytest.mark.parametrize("case", BEHIND)
def test_a_refusal_cites_what_refused(tmp_path, case):
    """A denial, a limit or a filter's answer names the object that asked for it, and where in it."""
    said, expected = BEHIND[case]

    assert expected in cited_of(tmp_path, said)


def test_no_other_policys_rule_is_cited(tmp_path):
    """Where the details name a rule, nothing else is cited for the denial."""
    said, expected = BEHIND["a DENY rule"]

    assert cited_of(tmp_path, said) == [expected]


# the client's address -> the Sidecar that governs it
GOVERNED = {"10.1.5.1": "shop/cart", "10.1.1.1": "shop/default"}


@pytest.mark.parametrize("client", GOVERNED)
def test_blocked_egress_cites_the_sidecar_in_force(tmp_path, client):
    """Of several Sidecars the one that selects the client's pod is cited, and the ServiceEntry that is not there."""
    said = {**OUTBOUND, "downstream_remote_address": f"{client}:5000"}

    assert cited_of(tmp_path, said) == [
        ("Sidecar", GOVERNED[client], "spec.outboundTrafficPolicy.mode", "REGISTRY_ONLY"),
        ("ServiceEntry", "None/None", "spec.hosts", None),
    ]


def test_a_sidecar_that_lets_all_through_is_not_cited(tmp_path):
    """The payments pod is under the mesh's own Sidecar, which blocks nothing."""
    said = {**OUTBOUND, "downstream_remote_address": "10.1.4.1:5000"}

    assert [cited[0] for cited in cited_of(tmp_path, said)] == ["ServiceEntry"]


def test_a_patch_keeps_its_limits_and_no_text(tmp_path):
    """Of what an EnvoyFilter puts into a proxy filters' names, numbers and durations stay; all other text goes."""
    read_snapshot([str(GUARDS)], tmp_path / "lake")
    with open_session(tmp_path / "lake") as session:
        (found,) = session.rows("select body from mesh_objects where kind = 'EnvoyFilter'")

    limit, script = yaml.safe_load(found["body"])["spec"]["configPatches"]
    assert limit["patch"]["value"]["typed_config"]["token_bucket"] == {
        "max_tokens": 10, "tokens_per_fill": 10, "fill_interval": "60s",
    }  # fmt: skip
    assert script["patch"]["value"]["typed_config"]["default_source_code"]["inline_string"] == "(dropped)"
    assert script["patch"]["value"]["typed_config"]["greeting"] == "(dropped)"
