"""The configuration in force answers: values in effect, the rule behind a call, and the object behind a finding."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pipeline.ingest.load import load
from pipeline.mesh.secrets import without_secrets
from pipeline.mesh.snapshot import read_snapshot
from pipeline.query.session import Window, open_session
from pipeline.report.questions import ask
from tests.mesh import istio, istioctl
from tests.mesh.stories import STORIES
from tests.mesh.town import town
from tests.mesh.world import Breaker, Route, shop

FIXTURES = Path(__file__).parent / "mesh_config"
SAMPLES = Path(__file__).parents[1] / "sample_logs"
BEFORE = datetime(2026, 11, 23, 20, tzinfo=UTC)
"""Before the samples were recorded."""

PAYMENTS = "payments.shop.svc.cluster.local"
STRANGER = "spiffe://cluster.local/ns/shop/sa/payments-renamed"


def objects_of(mesh) -> str:
    """Write a mesh as documents of YAML."""
    return "---\n".join(yaml.safe_dump(each) for each in istio.objects(mesh))


def describe(lake: Path, folder: Path, mesh, form: str, at: datetime = BEFORE) -> None:
    """Read a mesh's configuration into a lake: its objects, or what istioctl shows at two of its proxies."""
    pods = {"frontend": mesh.pods["frontend"], "gateway": mesh.gateway}
    texts = {
        "objects": {"objects.yaml": objects_of(mesh)},
        "json": {f"{name}.json": istioctl.write_json(mesh, pod) for name, pod in pods.items()},
        "text": {f"{name}.txt": istioctl.printed(mesh, pod) for name, pod in pods.items()},
    }[form]
    for name, text in texts.items():
        (folder / name).write_text(text)
        proxy = None if form == "objects" else f"{pods[name.split('.')[0]].name}.shop"
        read_snapshot([str(folder / name)], lake, at, proxy)


@pytest.fixture(scope="module")
def story_lakes(tmp_path_factory):
    """Give a fresh copy of a lake that holds one story's log."""
    folder = tmp_path_factory.mktemp("stories")

    def copied(story: str, to: Path) -> Path:
        if not (folder / story).exists():
            load([str(SAMPLES / f"{story}.jsonl")], folder / story)
        shutil.copytree(folder / story, to)
        return to

    return copied


@pytest.fixture(scope="module")
def resources(tmp_path_factory):
    """A session on the hand-written resources, and no log."""
    lake = tmp_path_factory.mktemp("resources") / "lake"
    read_snapshot([str(FIXTURES / "resources.yaml")], lake)
    with open_session(lake) as session:
        yield session


@pytest.fixture(scope="module")
def every_field(tmp_path_factory):
    """A session on the objects that have every field, and no log."""
    lake = tmp_path_factory.mktemp("every_field") / "lake"
    read_snapshot([str(FIXTURES / "every_field.yaml")], lake)
    with open_session(lake) as session:
        yield session


def rows(session, sql: str, *columns: str) -> list[tuple]:
    """Return a query's rows as tuples of some columns."""
    return [tuple(row[column] for column in columns) for row in session.rows(sql)]


# host's port, subset, field -> value, whether it is set, where
EFFECTIVE = [
    (8080, None, "connectionPool.tcp.maxConnections", "100", True, "spec.trafficPolicy."),
    (8080, None, "connectionPool.tcp.connectTimeout", "3s", True, "spec.trafficPolicy."),
    (8080, None, "connectionPool.http.http1MaxPendingRequests", "10", True, "spec.trafficPolicy."),
    (8080, None, "connectionPool.http.maxRetries", "3", True, "spec.trafficPolicy."),
    (8080, None, "outlierDetection.maxEjectionPercent", "50", True, "spec.trafficPolicy."),
    (8080, None, "connectionPool.http.http2MaxRequests", "200", True, "spec.trafficPolicy."),
    (8080, None, "connectionPool.http.maxConcurrentStreams", "2147483647", False, "spec.trafficPolicy."),
    (8080, None, "connectionPool.tcp.maxConnectionDuration", None, False, "spec.trafficPolicy."),
    (8080, None, "loadBalancer.simple", "LEAST_REQUEST", True, "spec.trafficPolicy."),
    (8080, None, "loadBalancer.localityLbSetting.enabled", "true", True, "spec.trafficPolicy."),
    (8080, None, "loadBalancer.localityLbSetting.failover[0].to", "us", True, "spec.trafficPolicy."),
    (8443, None, "loadBalancer.localityLbSetting.enabled", "true", False, "spec.trafficPolicy.portLevelSettings[0]."),
    (8080, None, "outlierDetection.splitExternalLocalOriginErrors", "false", False, "spec.trafficPolicy."),
    (8080, None, "outlierDetection.consecutiveLocalOriginFailures", "5", False, "spec.trafficPolicy."),
    # a subset without a policy has the rule's
    (8080, "v1", "connectionPool.tcp.maxConnections", "100", True, "spec.trafficPolicy."),
    (8080, "v1", "tls.mode", "ISTIO_MUTUAL", True, "spec.trafficPolicy."),
    # a subset's section replaces the rule's as a whole: what it leaves out is the default
    (8080, "v2", "connectionPool.http.http1MaxPendingRequests", "1", True, "spec.subsets[1].trafficPolicy."),
    (8080, "v2", "connectionPool.tcp.maxConnections", "4294967295", False, "spec.subsets[1].trafficPolicy."),
    (8080, "v2", "connectionPool.http.idleTimeout", "1h", False, "spec.subsets[1].trafficPolicy."),
    (8080, "v2", "tls.mode", "DISABLE", True, "spec.subsets[1].trafficPolicy."),
    # sections that it does not name are the rule's
    (8080, "v2", "outlierDetection.consecutive5xxErrors", "7", True, "spec.trafficPolicy."),
    # a port's settings replace all of its level
    (8443, None, "connectionPool.tcp.maxConnections", "5", True, "spec.trafficPolicy.portLevelSettings[0]."),
    (8443, None, "connectionPool.http.maxRetries", "4294967295", False, "spec.trafficPolicy.portLevelSettings[0]."),
    (8443, None, "outlierDetection.interval", "10s", False, "spec.trafficPolicy.portLevelSettings[0]."),
    (8443, None, "tls.mode", None, False, "spec.trafficPolicy.portLevelSettings[0]."),
    (8443, "v1", "connectionPool.tcp.maxConnections", "5", True, "spec.trafficPolicy.portLevelSettings[0]."),
    (8443, "v2", "loadBalancer.simple", "RANDOM", True, "spec.subsets[1].trafficPolicy.portLevelSettings[0]."),
    (8443, "v2", "tls.mode", None, False, "spec.subsets[1].trafficPolicy.portLevelSettings[0]."),
    (9090, None, "connectionPool.tcp.maxConnections", "100", True, "spec.trafficPolicy."),
]


def test_values_in_effect_follow_istios_inheritance(resources):
    """Of rule, subset and ports the most particular level decides, a section at a time, and then the default."""
    found = {
        (row["port"], row["subset"], row["field"]): (row["value"], row["is_set"], row["path"])
        for row in resources.rows("from mesh_effective_settings where service = 'payments.shop'")
    }

    for port, subset, field, value, is_set, place in EFFECTIVE:
        assert found[port, subset, field] == (value, is_set, f"{place}{field}"), (port, subset, field)


# subset, field -> value, whether it is set, where; of payments in the town, as its proxies' JSON alone tells
IN_EFFECT_AT_PROXIES = [
    (None, "connectionPool.tcp.maxConnections", "4294967295", None, "spec"),
    ("narrow", "connectionPool.tcp.maxConnections", "1", True, "spec.subsets[]"),
    ("void", "connectionPool.tcp.connectTimeout", "0.250s", True, "spec.subsets[]"),
    ("void", "connectionPool.tcp.maxConnections", "4294967295", None, "spec"),
    ("ejecting", "outlierDetection.maxEjectionPercent", "100", True, "spec.subsets[]"),
    # no socket is no TLS; matched sockets are automatic mTLS, which nobody set
    ("plain", "tls.mode", "DISABLE", True, "spec.subsets[]"),
    ("stranger", "tls.mode", "ISTIO_MUTUAL", True, "spec.subsets[]"),
    ("stranger", "tls.subjectAltNames[0]", STRANGER, True, "spec.subsets[]"),
    ("narrow", "tls.mode", None, False, "spec"),
]


def test_proxies_alone_tell_a_subsets_policy_from_its_rules(tmp_path):
    """A subset's cluster that differs from the service's has a policy of its own; tables have no value to compare."""
    frontend = town().pods["frontend"]
    found = {}
    for form, write in (("json", istioctl.write_json), ("txt", istioctl.printed)):
        (tmp_path / f"shown.{form}").write_text(write(town(), frontend))
        read_snapshot([str(tmp_path / f"shown.{form}")], tmp_path / form, proxy="frontend.shop")
        with open_session(tmp_path / form) as session:
            found[form] = {
                (row["subset"], row["field"]): (row["value"], row["is_set"], row["path"])
                for row in session.rows("from mesh_effective_settings where service = 'payments.shop'")
            }

    for subset, field, value, is_set, level in IN_EFFECT_AT_PROXIES:
        assert found["json"][subset, field] == (value, is_set, f"{level}.trafficPolicy.{field}"), (subset, field)
    assert found["txt"]["narrow", "tls.mode"] == (None, None, "spec.subsets[].trafficPolicy.tls.mode")
    assert found["txt"][None, "tls.mode"] == (None, None, "spec.trafficPolicy.tls.mode")


PLACES = {
    (80, None): "spec.trafficPolicy.portLevelSettings[0].",
    (82, None): "spec.trafficPolicy.",
    (81, "copies"): "spec.subsets[0].trafficPolicy.portLevelSettings[0].",
    (82, "copies"): "spec.subsets[0].trafficPolicy.",
}
"""Where a port and a subset of every_field.yaml have their values from."""


def leaves_of(value, path: str = "") -> dict[str, str]:
    """Return what JSON has at the end of each path."""
    if isinstance(value, dict):
        return {at: text for key, each in value.items() for at, text in leaves_of(each, f"{path}.{key}").items()}
    if isinstance(value, list):
        return {at: text for n, each in enumerate(value) for at, text in leaves_of(each, f"{path}[{n}]").items()}
    return {path.removeprefix("."): json.dumps(value).strip('"')}


def test_every_field_of_a_policy_has_its_effective_value(every_field):
    """What a rule, a subset, and a port's settings of each say is in effect there, field by field."""
    (listed,) = yaml.safe_load_all((FIXTURES / "every_field.yaml").read_text())
    (rule,) = [each for each in listed["items"] if each["kind"] == "DestinationRule"]
    sections = ("connectionPool", "loadBalancer", "outlierDetection", "tls")
    policy = leaves_of({section: without_secrets(rule["spec"]["trafficPolicy"][section]) for section in sections})
    found = every_field.rows("from mesh_effective_settings where service = 'every-field.fields'")

    for (port, subset), place in PLACES.items():
        own = [
            row for row in found if (row["port"], row["subset"], row["client_namespace"]) == (port, subset, "fields")
        ]
        assert {row["field"]: (row["value"], row["path"]) for row in own if row["is_set"]} == {
            field: (value, f"{place}{field}") for field, value in policy.items()
        }


def test_a_host_without_a_rule_has_the_defaults(resources):
    """A ServiceEntry that no DestinationRule names has Istio's defaults, and no rule to blame."""
    found = resources.rows("""
        select value, is_set, destination_rule from mesh_effective_settings
        where service = 'api.bank.example' and field = 'connectionPool.tcp.connectTimeout'
    """)

    assert found == [{"value": "10s", "is_set": False, "destination_rule": None}]


def test_the_most_exact_host_decides(tmp_path):
    """Of a rule for a wildcard and one for the host itself the second counts; a short host is its namespace's."""
    rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {0}, namespace: shop}}\n" \
        "spec: {{host: {1}, trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {2}}}}}}}}}\n"  # fmt: skip
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {0}, namespace: shop}}\nspec: {{ports: [{{port: 80}}]}}\n"
    )
    parts = [rule.format("all", '"*.shop.svc.cluster.local"', 9), rule.format("a", "a", 1)]
    parts += [service.format(name) for name in "ab"]
    (tmp_path / "rules.yaml").write_text("---\n".join(parts))
    read_snapshot([str(tmp_path / "rules.yaml")], tmp_path / "lake")

    with open_session(tmp_path / "lake") as session:
        found = rows(
            session,
            "from mesh_effective_settings where field = 'connectionPool.tcp.maxConnections' order by service",
            *("service", "value", "destination_rule"),
        )

    assert found == [("a.shop", "1", "a.shop"), ("b.shop", "9", "all.shop")]


def test_rules_matches_and_destinations_keep_their_order(resources):
    """A VirtualService's rules are numbered as they are tried, with the names that access logs have for them."""
    matches = rows(
        resources,
        "from mesh_matches where protocol = 'http' order by rule, match",
        *("rule", "match", "route_name", "field"),
    )
    rule = resources.rows("from mesh_rules where rule_name = 'everyone'")[0]

    assert matches == [
        (1, 1, "testers.by-header", "spec.http[0].match[0]"),
        (1, 2, "testers.by-query", "spec.http[0].match[1]"),
        (2, 1, "old-page", "spec.http[1].match[0]"),
        (3, 1, "delegated", "spec.http[2].match[0]"),
        (4, 0, "everyone", "spec.http[3]"),
    ]
    assert (rule["timeout_ms"], rule["retry_attempts"], rule["retry_on"]) == (90_500, 3, "5xx,reset")
    assert (rule["mirror_host"], rule["mirror_percent"]) == ("payments-canary.shop.svc.cluster.local", "5")
    assert rule["hosts"] == [PAYMENTS, "payments.example.com"]
    assert rows(
        resources,
        "from mesh_destinations where protocol = 'http' order by rule, destination",
        *("rule", "service", "subset", "weight_share"),
    ) == [
        (1, "payments.shop", "v2", 1.0),
        (4, "payments.shop", "v1", 0.9),
        (4, "payments.shop", "v2", 0.1),
    ]


def test_a_later_proxy_status_leaves_the_bootstrap_in_force(tmp_path):
    """What a bootstrap told of a proxy stays, and beside it stands how far it was in sync later."""
    (tmp_path / "status.txt").write_text(
        "NAME                                  CDS        LDS       EDS        RDS\n"
        "payments-v1-84c9bd7f56-m7rjd.shop     SYNCED     STALE     SYNCED     SYNCED\n"
    )
    read_snapshot([str(FIXTURES / "bootstrap.json")], tmp_path / "lake", BEFORE)
    read_snapshot([str(tmp_path / "status.txt")], tmp_path / "lake", BEFORE + timedelta(minutes=5))

    with open_session(tmp_path / "lake") as session:
        (proxy,) = session.rows("from mesh_proxies")

    assert (proxy["workload"], proxy["zone"]) == ("payments-v1", "eu-1a")
    assert json.loads(proxy["sync_state"])["LDS"] == "STALE"


def test_a_ports_name_tells_its_protocol(resources):
    """appProtocol goes before the name, and a name outside the convention leaves it to detection."""
    found = rows(
        resources, "from mesh_services where kind = 'Service' order by port", "port", "protocol", "protocol_field"
    )

    assert found == [
        (7777, "detected", "spec.ports[].name"),
        (8080, "http", "spec.ports[].name"),
        (8443, "https", "spec.ports[].name"),
        (9090, "grpc", "spec.ports[].appProtocol"),
    ]


def test_pods_have_workload_service_version_and_zone(resources):
    """Pod and EndpointSlice together tell what runs behind an address."""
    (pod,) = resources.rows("from mesh_pods")

    assert (pod["address"], pod["workload"], pod["service"]) == ("10.1.4.1", "payments-v1", "payments.shop")
    assert (pod["version"], pod["zone"], pod["node"], pod["is_ready"]) == ("v1", "eu-1a", "node-3", True)


def test_older_slices_have_their_zones_among_the_topology(every_field):
    """discovery.k8s.io/v1beta1 keeps zone and node of an endpoint as labels."""
    found = rows(every_field, "from mesh_pods where address = '10.1.7.1'", "service", "zone", "node")

    assert found == [("every-field.fields", "eu-1b", "node-4")]


def test_service_entries_tell_where_their_hosts_are(resources):
    """Location, resolution and addresses of a ServiceEntry stand beside its ports."""
    found = rows(
        resources,
        "from mesh_services where kind = 'ServiceEntry'",
        *("host", "port", "protocol", "location", "resolution", "addresses"),
    )

    assert found == [("api.bank.example", 443, "tls", "MESH_EXTERNAL", "STATIC", ["203.0.113.0/24"])]


def test_mtls_modes_follow_the_most_particular_policy(resources):
    """A port's mode goes before its workload's."""
    found = rows(resources, "from mesh_authentications order by port", "port", "mode", "policy")

    assert found == [
        (7777, "STRICT", "payments"),
        (8080, "STRICT", "payments"),
        (8443, "STRICT", "payments"),
        (9090, "PERMISSIVE", "payments"),
    ]


def test_what_is_wrong_in_the_configuration_is_found_without_any_call(resources):
    """Faults left in, mirrors, hosts nobody owns, ports without a protocol, and clients' TLS against servers'."""
    found = rows(resources, "from config_findings", "problem", "kind", "field", "value")

    assert ("fault_left", "VirtualService", "spec.http[0].fault", "delay 300ms, abort 503") in found
    assert ("mirrored", "VirtualService", "spec.http[3].mirror", "payments-canary.shop.svc.cluster.local 5%") in found
    assert (
        *("host_nobody_owns", "VirtualService", "spec.tcp[0].route[0].destination.host"),
        "sessions.shop.svc.cluster.local",
    ) in found
    assert ("protocol_detected", "Service", "spec.ports[].name (port 7777)", "legacy") in found
    assert ("tls_conflict", "DestinationRule", "spec.subsets[1].trafficPolicy.tls.mode", "DISABLE") in found


# story -> the first citation of its finding: kind, object, field, value
SELECTOR = ("Service", "shop/payments", "spec.selector")
RULE = "spec.trafficPolicy.connectionPool.http.http1MaxPendingRequests"
CITED = {
    "connection_refused": ("VirtualService", "shop/payments", "spec.http[0].retries.attempts", "2"),
    "app_down": ("Service", "shop/payments", "spec.ports[].targetPort", "8080"),
    "no_endpoints": ("EndpointSlice", "shop/payments-x7k2p", "endpoints", "0 ready"),
    "circuit_breaker": ("DestinationRule", "shop/payments", RULE, "1"),
    "route_timeout": ("VirtualService", "shop/payments", "spec.http[0].timeout", "250ms"),
    "retries_succeed": ("VirtualService", "shop/payments", "spec.http[0].retries.retryOn", "5xx"),
    "retries_exhausted": ("VirtualService", "shop/payments", "spec.http[0].retries.retryOn", "5xx"),
    "no_route": ("VirtualService", "istio-system/storefront", "spec.hosts", "shop.example.com"),
    "client_gone": ("VirtualService", "istio-system/storefront", "spec.http[3].timeout", None),
    "injected_delay": ("VirtualService", "shop/payments", "spec.http[0].fault.delay.fixedDelay", "300ms"),
    "injected_abort": ("VirtualService", "shop/payments", "spec.http[0].fault.abort.httpStatus", "503"),
    "tcp": ("Service", "shop/sessions", "spec.ports[].targetPort", "6379"),
    "grpc": ("Service", "shop/currency", "spec.ports[].targetPort", "7000"),
}

IN_PROXIES = {
    "connection_refused": ("VirtualService", "shop/payments", "spec.http[].retries.attempts", "2"),
    "app_down": (*SELECTOR, "1 endpoints in proxies"),
    "no_endpoints": (*SELECTOR, "0 endpoints in proxies"),
    "circuit_breaker": CITED["circuit_breaker"],
    "route_timeout": ("VirtualService", "shop/payments", "spec.http[].timeout", "0.250s"),
    "retries_succeed": ("VirtualService", "shop/payments", "spec.http[].retries.retryOn", "5xx"),
    "retries_exhausted": ("VirtualService", "shop/payments", "spec.http[].retries.retryOn", "5xx"),
    "no_route": CITED["no_route"],
    "client_gone": ("VirtualService", "istio-system/storefront", "spec.http[].timeout", "0s"),
    "injected_delay": ("VirtualService", "shop/payments", "spec.http[].fault.delay.fixedDelay", "0.300s"),
    "injected_abort": ("VirtualService", "shop/payments", "spec.http[].fault.abort.httpStatus", "503"),
    "tcp": ("Service", "shop/sessions", "spec.selector", "1 endpoints in proxies"),
    "grpc": ("Service", "shop/currency", "spec.selector", "1 endpoints in proxies"),
}

NOT_PRINTED = ("VirtualService", "DestinationRule")
"""Kinds whose values no printed table has: the object and the field are told, and where to look."""


def citations(lake: Path) -> list[tuple]:
    """Return every citation of a lake's findings."""
    with open_session(lake) as session:
        return [
            (row["kind"], f"{row['namespace']}/{row['name']}", row["field"], row["value"])
            for row in session.rows("from citations order by diagnosis_id, place")
        ]


@pytest.mark.parametrize("story", CITED)
def test_a_finding_cites_object_field_and_value(tmp_path, story_lakes, story):
    """Every recorded failure names the object behind it, from the objects themselves."""
    lake = story_lakes(story, tmp_path / "lake")
    describe(lake, tmp_path, STORIES[story].mesh, "objects")

    assert CITED[story] in citations(lake)


@pytest.mark.parametrize("story", IN_PROXIES)
def test_proxies_own_state_is_cited_where_no_object_was_read(tmp_path, story_lakes, story):
    """istioctl's JSON alone names the same object and field, with the value that the proxy has."""
    lake = story_lakes(story, tmp_path / "lake")
    describe(lake, tmp_path, STORIES[story].mesh, "json")

    assert IN_PROXIES[story] in citations(lake)


@pytest.mark.parametrize("story", IN_PROXIES)
def test_printed_tables_alone_name_the_object(tmp_path, story_lakes, story):
    """From text tables object and field are known; values as far as the tables have them."""
    lake = story_lakes(story, tmp_path / "lake")
    describe(lake, tmp_path, STORIES[story].mesh, "text")
    kind, name, field, value = IN_PROXIES[story]
    known = story == "no_route" or kind not in NOT_PRINTED

    assert (kind, name, field, value if known else None) in citations(lake)


def test_every_finding_of_the_stories_is_tested():
    """Each story with a cause has its citation."""
    assert set(CITED) == set(IN_PROXIES) == {name for name, story in STORIES.items() if story.cause}


def test_configured_is_compared_with_observed(tmp_path, story_lakes, meshlog):
    """The terminal shows what is set, what was seen, what to change, and as of when."""
    lake = story_lakes("circuit_breaker", tmp_path / "lake")
    describe(lake, tmp_path, STORIES["circuit_breaker"].mesh, "objects")
    said = " ".join(meshlog("diagnose", "--lake", lake).out.split())

    assert f"DestinationRule shop/payments sets {RULE}: 1 (seen: up to 7 calls at once from one pod)" in said
    assert "raise it above what waits at once [as of 2026-11-23 20:00]" in said


def test_what_is_not_set_is_told_with_istios_default(tmp_path, story_lakes):
    """A limit that nobody set is cited as such."""
    lake = story_lakes("app_down", tmp_path / "lake")
    describe(lake, tmp_path, STORIES["app_down"].mesh, "objects")

    with open_session(lake) as session:
        (cited,) = rows(session, "from citations where field like '%retries.attempts'", "cited")

    assert cited == ("no VirtualService spec.http[].retries.attempts not set; Istio's default is 2",)


def test_each_window_has_its_own_snapshot(tmp_path, story_lakes):
    """A limit that was raised at eight and lowered later is cited as it was in each window; none before is flagged."""
    lake = story_lakes("circuit_breaker", tmp_path / "lake")
    load([str(SAMPLES / "route_timeout.jsonl")], lake)
    with open_session(lake) as session:
        seen = session.rows("select first_seen_at from diagnoses where cause = 'overload'")[0]["first_seen_at"]
    for limit, at in ((7, BEFORE), (1, seen - timedelta(seconds=1)), (9, seen + timedelta(hours=1))):
        mesh = shop().with_breaker("payments", Breaker(limit, limit, limit))
        describe(lake, tmp_path, mesh, "objects", at)

    def limits(until: datetime | None) -> list[tuple]:
        sql = f"from mesh_effective_settings where service = 'payments.shop' and '{RULE}'.ends_with(field)"
        with open_session(lake, Window(None, until)) as session:
            return rows(session, sql, "value", "is_later")

    assert limits(seen - timedelta(minutes=1)) == [("7", False)]
    assert limits(seen + timedelta(minutes=1)) == [("1", False)]
    assert limits(seen + timedelta(hours=2)) == [("9", False)]
    assert limits(BEFORE - timedelta(days=1)) == [("7", True)]
    assert limits(None) == [("1", False)]


def test_rules_in_use_and_rules_that_nothing_matched(tmp_path, story_lakes):
    """Route names lead to rules; those that no call of the window came by are told."""
    lake = story_lakes("injected_abort", tmp_path / "lake")
    describe(lake, tmp_path, STORIES["injected_abort"].mesh, "objects")

    with open_session(lake) as session:
        used = rows(
            session,
            "from route_usage where virtual_service in ('payments', 'catalog') order by virtual_service, rule",
            *("virtual_service", "route_name", "calls", "errors", "is_used"),
        )

    assert used == [
        ("catalog", "canary", 0, 0, False),
        ("catalog", "stable", 0, 0, False),
        ("payments", "tester", 3, 3, True),
        ("payments", "everyone", 4, 0, True),
    ]


def test_weights_are_compared_with_the_split(tmp_path, story_lakes):
    """A canary's share of the calls stands beside its weight."""
    lake = story_lakes("happy_path", tmp_path / "lake")
    describe(lake, tmp_path, STORIES["happy_path"].mesh, "objects")
    text = (tmp_path / "objects.yaml").read_text()
    parts = [part for part in yaml.safe_load_all(text) if part["metadata"]["name"] == "catalog"]
    rule = next(part for part in parts if part["kind"] == "VirtualService")
    weighted = [{"destination": {"host": "catalog", "subset": subset}, "weight": 50} for subset in ("v1", "v2")]
    rule["spec"]["http"][1]["route"] = weighted
    (tmp_path / "weighted.yaml").write_text(yaml.safe_dump(rule))
    read_snapshot([str(tmp_path / "weighted.yaml")], lake, BEFORE + timedelta(minutes=1))

    with open_session(lake) as session:
        found = rows(
            session,
            "from route_splits where virtual_service = 'catalog' and rule = 2 order by destination",
            *("subset", "weight_share", "call_share"),
        )

    assert found == [("v1", 0.5, 1.0), ("v2", 0.5, 0.0)]


def test_a_subset_without_a_rule_and_an_unreachable_rule_are_found(tmp_path):
    """A destination's subset that nothing defines, and a rule behind one that takes everything."""
    mesh = shop().with_routes("payments", Route("payments", "v9", name="first"), Route("payments", name="second"))
    described = [
        part
        for part in istio.objects(mesh)
        if not (part["kind"] == "DestinationRule" and part["metadata"]["name"] == "payments")
    ]
    (tmp_path / "objects.yaml").write_text("---\n".join(yaml.safe_dump(part) for part in described))
    read_snapshot([str(tmp_path / "objects.yaml")], tmp_path / "lake")

    with open_session(tmp_path / "lake") as session:
        found = rows(session, "from config_findings", "problem", "field", "value")

    assert found == [
        ("rule_never_reached", "spec.http[1]", "second"),
        ("subset_undefined", "spec.http[0].route[0].destination.subset", "v9"),
    ]


def test_a_subset_of_a_second_rule_for_the_host_is_defined(tmp_path):
    """Istio merges the DestinationRules that a namespace has for one host: what either defines is no finding."""
    mesh = shop().with_routes("payments", Route("payments", "v8"), Route("payments", "v9"))
    rules = [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": f"payments-{subset}", "namespace": "shop"},
            "spec": {"host": "payments", "subsets": [{"name": subset, "labels": {"version": subset}}]},
        }
        for subset in ("v1", "v8")
    ]
    (tmp_path / "objects.yaml").write_text(
        "---\n".join(yaml.safe_dump(part) for part in [*istio.objects(mesh), *rules])
    )
    read_snapshot([str(tmp_path / "objects.yaml")], tmp_path / "lake")

    with open_session(tmp_path / "lake") as session:
        found = rows(session, "from config_findings where problem = 'subset_undefined'", "value")

    assert found == [("v9",)]


def test_addresses_become_names_on_both_sides(tmp_path, story_lakes):
    """Where file names do not tell, hops have the configuration's pods, workloads, versions and services."""
    lake = story_lakes("app_down", tmp_path / "lake")
    describe(lake, tmp_path, STORIES["app_down"].mesh, "objects")

    with open_session(lake) as session:
        hop = session.rows("from hop_places where service = 'payments.shop' limit 1")[0]
        pods = rows(session, "select distinct client_pod from hops where service = 'payments.shop'", "client_pod")

    assert pods == [("frontend-v1-7c9d6b5f4d-k8wzm",)]
    assert (hop["server_pod"], hop["server_workload"]) == ("payments-v1-84c9bd7f56-m7rjd", "payments-v1")
    assert (hop["server_version"], hop["server_namespace"], hop["called_kind"]) == ("v1", "shop", "pod")


def test_a_lake_without_configuration_cites_nothing(story_lakes, tmp_path, meshlog):
    """Without a snapshot findings read as before."""
    lake = story_lakes("app_down", tmp_path / "lake")

    assert citations(lake) == []
    assert "config" not in meshlog("diagnose", "--lake", lake).out


CALL = {
    "start_time": "2026-11-23T21:00:00.000Z", "method": "GET", "path": "/x", "protocol": "HTTP/1.1",
    "response_code": 200, "response_flags": "-", "response_code_details": "via_upstream",
    "connection_termination_details": None, "upstream_transport_failure_reason": None, "bytes_received": 0,
    "bytes_sent": 0, "duration": 3, "upstream_service_time": "2", "x_forwarded_for": None, "user_agent": "u",
    "request_id": "r", "authority": "payments:8080", "upstream_host": "10.1.4.1:8080",
    "upstream_cluster": f"outbound|8080||{PAYMENTS}", "upstream_local_address": "10.1.1.1:4000",
    "downstream_local_address": "10.96.0.14:8080", "downstream_remote_address": "10.1.1.1:5000",
    "requested_server_name": None, "route_name": "everyone",
}  # fmt: skip
NOWHERE = {"upstream_host": None, "upstream_local_address": None, "upstream_service_time": None}
NO_CLUSTER = {**NOWHERE, "upstream_cluster": None}
PLAIN = "TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER"
RESET = "upstream_reset_before_response_started"

# what a line says -> the object, field and value that confirm it
CONFIRMED = {
    "a subset that nobody defined": (
        {**NO_CLUSTER, "response_code": 503, "response_flags": "NC", "response_code_details": "cluster_not_found",
         "route_name": "testers.by-header"},
        ("VirtualService", "shop/payments", "spec.http[0].route[0].destination.subset", "v9"),
    ),
    "a host that nobody owns": (
        {**NO_CLUSTER, "response_code": 503, "response_flags": "NC", "response_code_details": "cluster_not_found",
         "route_name": "everyone"},
        ("VirtualService", "shop/payments", "spec.http[3].route[0].destination.host", "paymnts.shop.svc.cluster.local"),
    ),
    "clients' TLS against the server's": (
        {**NOWHERE, "response_code": 503, "response_flags": "UF", "upstream_host": "10.1.4.1:8080",
         "response_code_details": f"{RESET}{{remote_connection_failure|{PLAIN}}}",
         "upstream_transport_failure_reason": PLAIN},
        ("PeerAuthentication", "shop/payments", "spec.mtls.mode", "STRICT"),
    ),
    "a port's name": (
        {"response_code": 502, "response_flags": "UPE", "response_code_details": f"{RESET}{{protocol_error}}"},
        ("Service", "shop/payments", "spec.ports[].name", "http-web"),
    ),
    "a host without a ServiceEntry": (
        {**NO_CLUSTER, "response_code": 502, "response_code_details": "direct_response", "route_name": "block_all",
         "authority": "api.other.example"},
        ("ServiceEntry", "None/None", "spec.hosts", None),
    ),
}  # fmt: skip


def test_a_host_that_is_not_shown_to_the_gateway_is_cited_for_its_export(tmp_path):
    """A 404 of a gateway's whose host a VirtualService takes, but not for the gateway's namespace, cites exportTo."""
    text = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [edge/public]
  exportTo: [".", web]
  http: [{route: [{destination: {host: payments}}]}]
"""
    said = {
        **NO_CLUSTER, "response_code": 404, "response_flags": "NR", "response_code_details": "route_not_found",
        "route_name": None, "authority": "shop.example", "downstream_local_address": "10.1.0.1:8080",
    }  # fmt: skip
    log = tmp_path / "istio-system_istio-ingressgateway-6f9c7d8b5c-j4lvs_istio-proxy.log"
    log.write_text(json.dumps({**CALL, **said}) + "\n")
    load([str(log)], tmp_path / "lake")
    (tmp_path / "hidden.yaml").write_text(text)
    read_snapshot([str(tmp_path / "hidden.yaml")], tmp_path / "lake", BEFORE)

    assert citations(tmp_path / "lake") == [("VirtualService", "shop/shop", "spec.exportTo", "shop, web")]


@pytest.mark.parametrize("case", CONFIRMED)
def test_a_verdict_is_confirmed_from_configuration(tmp_path, case):
    """What a single line suggests stands in the configuration, and is cited from there."""
    said, expected = CONFIRMED[case]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps({**CALL, **each}) + "\n" for each in ({}, said)))
    load([str(tmp_path / "log.jsonl")], tmp_path / "lake")
    text = (FIXTURES / "resources.yaml").read_text()
    text = text.replace("subset: v2, port", "subset: v9, port").replace("host: payments, subset: v1", "host: paymnts")
    (tmp_path / "resources.yaml").write_text(text)
    read_snapshot([str(tmp_path / "resources.yaml")], tmp_path / "lake", BEFORE)

    assert expected in citations(tmp_path / "lake")


def called(route: str, client: str = "10.1.1.1", **said) -> dict:
    """Make a line of a call by a route, from a pod's address."""
    addresses = {"upstream_local_address": f"{client}:4000", "downstream_remote_address": f"{client}:5000"}
    return {**CALL, **addresses, "route_name": route, "request_id": f"{route} {client}", **said}


@pytest.fixture(scope="module")
def delegates(tmp_path_factory):
    """A session on VirtualServices that delegate, and calls by every route that there can be."""
    folder = tmp_path_factory.mktemp("delegates")
    timed_out = {
        "response_code": 504,
        "response_flags": "UT",
        "response_code_details": "response_timeout",
        "duration": 251,
    }
    lines = [
        *(called("refunds-urgent.old-header", **timed_out), called("refunds.new"), called("everyone")),
        *(called("everyone", "10.1.2.1"), called("everyone", "10.1.3.1"), called("refunds.new", "10.1.3.1")),
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    load([str(folder / "log.jsonl")], folder / "lake")
    read_snapshot([str(FIXTURES / "delegates.yaml")], folder / "lake", BEFORE)
    with open_session(folder / "lake") as session:
        yield session


# by which route who called -> the rule that served, and the root that left it the choice
SERVED = {
    ("refunds-urgent.old-header", "frontend.shop"): ("money/refunds", "spec.http[0].match[0]", "payments", 1),
    ("refunds.new", "frontend.shop"): ("money/refunds", "spec.http[1]", "payments", 1),
    ("everyone", "frontend.shop"): ("shop/payments", "spec.http[2]", "payments", 3),
    ("everyone", "page.web"): ("shop/payments", "spec.http[2]", "payments", 3),
    ("everyone", "job.batch"): ("shop/payments-for-all", "spec.http[0]", "payments-for-all", 1),
    # not exported to batch
    ("refunds.new", "job.batch"): None,
}


def test_route_names_lead_to_the_rules_of_delegates_and_of_those_exported_to_the_client(delegates):
    """A root's names stand before its delegate's; a rule serves whom it is exported to, and some before all."""
    found = delegates.rows("""
        select route_name, client_service, hop_rules.* from hops left join hop_rules using (hop_id)
    """)

    assert {
        (row["route_name"], row["client_service"]): row["virtual_service"]
        and (
            *(f"{row['namespace']}/{row['virtual_service']}", row["field"]),
            *(row["root_virtual_service"], row["root_rule"]),
        )
        for row in found
    } == SERVED


def test_what_a_delegate_does_not_set_its_root_does(delegates):
    """A timeout that the delegate leaves out is cited from the rule that delegates."""
    found = rows(delegates, "from citations where kind = 'VirtualService' order by field", "name", "field", "value")

    assert ("payments", "spec.http[0].timeout", "250ms") in found


def test_usage_tells_delegates_by_the_names_that_logs_have(delegates):
    """A rule that delegates is no route itself, and a delegate that was not used is told under its merged names."""
    found = rows(
        delegates,
        "from route_usage order by namespace, virtual_service, rule",
        *("virtual_service", "rule", "route_name", "calls"),
    )

    assert found == [
        ("refunds", 1, "refunds-urgent.new-header, refunds-urgent.old-header", 1),
        ("refunds", 2, "refunds.new, refunds.old", 1),
        ("secret", 1, None, 0),
        ("payments", 3, "everyone", 2),
        ("payments-for-all", 1, "everyone", 1),
    ]


def test_a_delegate_that_is_not_exported_is_missing(delegates):
    """Istio leaves out a rule whose delegate its namespace does not see."""
    found = rows(delegates, "from config_findings where problem = 'delegate_missing'", "name", "field", "value")

    assert found == [("payments", "spec.http[1].delegate", "secret.money")]


RULE_IN = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {0}, namespace: {1}}}
spec: {{host: {2}, exportTo: {3}, trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {4}}}}}}}}}
"""
OWN = "payments.shop.svc.cluster.local"

# rules (name, namespace, host, exportTo, limit) -> the limit by the client's namespace, None for all others
CHOSEN = {
    "the client's own namespace has the first word": (
        [("a", "web", OWN, "['*']", 1), ("b", "shop", OWN, "['*']", 2), ("c", "istio-system", OWN, "['*']", 3)],
        {None: "2", "web": "1"},
    ),
    "a wildcard of the client's namespace stands before the service's own": (
        [("a", "web", '"*.shop.svc.cluster.local"', "['*']", 1), ("b", "shop", OWN, "['*']", 2)],
        {None: "2", "web": "1"},
    ),
    "the root namespace's rule is everybody's where there is no other": (
        [("c", "istio-system", '"*.local"', "['*']", 3)],
        {None: "3"},
    ),
    "a rule that is not exported is its namespace's alone": (
        [("b", "shop", OWN, "['.']", 2), ("c", "istio-system", OWN, "['*']", 3)],
        {None: "3", "shop": "2"},
    ),
    "a rule is exported to those that it names, and to its own namespace where it names that": (
        [("b", "shop", OWN, "['web']", 2), ("c", "istio-system", OWN, "['.', 'shop']", 3)],
        {None: "4294967295", "shop": "3", "web": "2", "istio-system": "3"},
    ),
    "what the root namespace keeps for itself is its clients' first word": (
        [("b", "shop", OWN, "['*']", 2), ("c", "istio-system", OWN, "['.']", 3)],
        {None: "2", "istio-system": "3"},
    ),
    "a rule that selects its clients is its namespace's alone": (
        [("b", "shop", OWN, "['*'], workloadSelector: {matchLabels: {app: a}}", 2)],
        {None: "4294967295", "shop": "2"},
    ),
    "a rule that selects its clients stands behind one for all of them": (
        [("a", "shop", OWN, "['*'], workloadSelector: {matchLabels: {app: a}}", 1), ("b", "shop", OWN, "['*']", 2)],
        {None: "2"},
    ),
    "a third namespace's rule is not the others'": (
        [("a", "web", OWN, "['*']", 1)],
        {None: "4294967295", "web": "1"},
    ),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_the_clients_namespace_chooses_the_rule(tmp_path, case):
    """Of DestinationRules the client's namespace's counts, then the service's, then the root's, as far as exported."""
    rules, expected = CHOSEN[case]
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: payments, namespace: shop}\nspec: {ports: [{port: 8080}]}\n"
    )
    (tmp_path / "rules.yaml").write_text("---".join([service, *("\n" + RULE_IN.format(*rule) for rule in rules)]))
    read_snapshot([str(tmp_path / "rules.yaml")], tmp_path / "lake")

    with open_session(tmp_path / "lake") as session:
        found = rows(
            session,
            "from mesh_effective_settings where field = 'connectionPool.tcp.maxConnections'",
            *("client_namespace", "value"),
        )

    assert dict(found) == expected
    assert len(found) == len(expected)


def test_findings_carry_what_is_configured(tmp_path, story_lakes, meshlog):
    """The question behind the pages, and with it the nightly page and its text, tell what a finding cites."""
    lake = story_lakes("circuit_breaker", tmp_path / "lake")
    describe(lake, tmp_path, STORIES["circuit_breaker"].mesh, "objects")
    with open_session(lake) as session:
        (finding,) = ask(session, "findings", limit=20).rows
        day = f"{finding['first_seen_at']:%Y-%m-%d}"
    ran = meshlog("report", "--lake", lake, "--date", day, "--out", tmp_path / "report")

    said = f"DestinationRule shop/payments sets {RULE}: 1 (seen: up to 7 calls at once from one pod)"
    assert finding["configuration"][0].startswith(said)
    assert ran.code == 0, ran.err
    assert said in (tmp_path / "report" / "report.md").read_text()
    assert "<dt>Configured</dt>" in (tmp_path / "report" / "index.html").read_text()


def test_a_finding_without_configuration_has_none(tmp_path, story_lakes):
    """Where no snapshot was read the page says nothing of it."""
    with open_session(story_lakes("circuit_breaker", tmp_path / "lake")) as session:
        assert [row["configuration"] for row in ask(session, "findings", limit=20).rows] == [[]]


def test_status_tells_the_snapshots(tmp_path, story_lakes, meshlog):
    """What was read of the mesh stands in the status, by snapshot, and which was replaced since."""
    lake = story_lakes("circuit_breaker", tmp_path / "lake")
    describe(lake, tmp_path, STORIES["circuit_breaker"].mesh, "objects")
    described = meshlog("status", "--lake", lake).out
    describe(lake, tmp_path, STORIES["circuit_breaker"].mesh.without("cart"), "objects", BEFORE + timedelta(minutes=5))
    again = meshlog("status", "--lake", lake).out

    assert "mesh      2026-11-23 20:00:00.000: " in described
    assert "8 Pod" in described or "9 Pod" in described
    assert "(replaced since)" not in described
    assert again.count("\nmesh ") == 2
    assert again.rstrip().endswith("(replaced since)")


def test_the_rule_of_a_request_and_those_without_any(tmp_path, story_lakes):
    """By its id a request shows the rules that served it, and the questions list the rules that nothing matched."""
    lake = story_lakes("injected_abort", tmp_path / "lake")
    describe(lake, tmp_path, STORIES["injected_abort"].mesh, "objects")

    with open_session(lake) as session:
        request = session.rows("select request_id from hops where route_name = 'tester' limit 1")[0]["request_id"]
        served = ask(session, "rule_of_request", request_id=request).rows
        unused = ask(session, "unused_rules", virtual_service="catalog", limit=20).rows

    assert ("payments", "spec.http[0].match[0]") in [(row["virtual_service"], row["field"]) for row in served]
    assert [(row["route_name"], row["field"]) for row in unused] == [
        ("canary", "spec.http[0].match[0]"), ("stable", "spec.http[1]"),
    ]  # fmt: skip
