"""The mesh's own configuration is read whole and without its secrets, or not at all, with the place of the mistake."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.errors import InputError
from pipeline.ingest.load import load
from pipeline.lake.layout import open_lake
from pipeline.lake.ledger import read_ledger
from pipeline.lake.schema import MESH
from pipeline.mesh.kinds import ANY, UNDERSTOOD
from pipeline.mesh.settings import route_settings
from pipeline.mesh.snapshot import read_snapshot

FIXTURES = Path(__file__).parent / "mesh_config"
SAMPLES = Path(__file__).parents[1] / "sample_logs"
RESOURCES = FIXTURES / "resources.yaml"
EVERY_FIELD = FIXTURES / "every_field.yaml"

DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled"

KINDS = {
    *("VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "PeerAuthentication"),
    *("AuthorizationPolicy", "Service", "EndpointSlice", "Pod"),
}


def held(lake: Path, dataset: str) -> list[dict]:
    """Return the rows of a dataset that count."""
    names = read_ledger(open_lake(lake)).files(f"mesh/{dataset}")
    return [row for name in names for row in pq.read_table(lake / name, partitioning=None).to_pylist()]


def read_text(tmp_path: Path, text: str, name: str = "given.yaml", **options):
    """Read one text into a lake of its own."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    return read_snapshot([str(tmp_path / name)], tmp_path / "lake", **options)


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_every_kind_and_field_is_understood(tmp_path, version):
    """Each resource is read in every version of its API, and no field of it is unknown."""
    described = f"{RESOURCES.read_text()}---\n{EVERY_FIELD.read_text()}"
    text = re.sub(r"(istio\.io)/v1$", rf"\1/{version}", described, flags=re.MULTILINE)

    summary = read_text(tmp_path, text)

    assert {part.kind for part in summary.parts} == KINDS
    assert {(part.treatment, part.detail) for part in summary.parts} == {("read", "")}
    objects = held(tmp_path / "lake", "objects")
    assert {row["api_version"] for row in objects if row["api_group"].endswith("istio.io")} == {version}


def fields_of(shape, path: str = ""):
    """Yield the path of every field that a shape names."""
    if isinstance(shape, list):
        yield from fields_of(shape[0], path)
    elif isinstance(shape, dict):
        for key, inner in shape.items():
            yield f"{path}.{key}"
            yield from fields_of(inner, f"{path}.{key}")


def fields_in(value, shape, path: str = ""):
    """Yield the path of every field of a shape that a value holds."""
    if isinstance(shape, list):
        for item in value:
            yield from fields_in(item, shape[0], path)
    elif isinstance(shape, dict):
        for key, inner in value.items():
            named = key if key in shape else "*"
            yield f"{path}.{named}"
            yield from fields_in(inner, shape.get(named), f"{path}.{named}")


@pytest.mark.parametrize("kind", UNDERSTOOD, ids=lambda kind: kind[1])
def test_fixtures_hold_every_field(kind):
    """No field is said to be understood that no fixture has."""
    objects = [each for path in (RESOURCES, EVERY_FIELD) for each in objects_in(path)]
    found = {
        field
        for each in objects
        if (each["apiVersion"].rpartition("/")[0], each["kind"]) == kind
        for field in fields_in(each, {**UNDERSTOOD[kind], **dict.fromkeys(("apiVersion", "kind", "metadata"), ANY)})
    }

    assert sorted({*fields_of(UNDERSTOOD[kind])} - found) == []


def objects_in(path: Path) -> list[dict]:
    """Return the objects of a file."""
    return [each for one in yaml.safe_load_all(path.read_text()) for each in one.get("items", [one])]


def test_json_and_lists_hold_the_same_as_documents(tmp_path):
    """Objects one after another in YAML, in a List, in a bare JSON list and in a typed list are the same rows."""
    objects = list(yaml.safe_load_all(RESOURCES.read_text()))
    rules = [each for each in objects if each["kind"] == "DestinationRule"]
    typed = [{key: value for key, value in each.items() if key not in ("kind", "apiVersion")} for each in rules]
    others = [each for each in objects if each["kind"] != "DestinationRule"]
    kept = {"apiVersion": rules[0]["apiVersion"], "kind": "DestinationRuleList", "items": typed}
    forms = {
        "documents.yaml": RESOURCES.read_text(),
        "list.yaml": yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": objects}),
        "bare.json": json.dumps(objects),
        "stream.json": json.dumps(kept) + "\n" + json.dumps({"apiVersion": "v1", "kind": "List", "items": others}),
    }
    read = {}
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        lake = tmp_path / f"{name}.lake"
        read_snapshot([str(tmp_path / name)], lake)
        read[name] = {(row["kind"], row["name"], row["body"]) for row in held(lake, "objects")}

    assert read["list.yaml"] == read["bare.json"] == read["stream.json"] == read["documents.yaml"]
    assert len(read["documents.yaml"]) == len(KINDS)


def test_what_is_unknown_is_kept_and_named(tmp_path):
    """A field, a kind and a version that are newer than this product are stored as they are."""
    text = """
apiVersion: networking.istio.io/v2
kind: DestinationRule
metadata: {name: a, namespace: shop}
spec:
  host: a
  trafficPolicy: {connectionPool: {http: {http9Streams: 3}}}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: b, namespace: shop}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
"""
    summary = read_text(tmp_path, text)
    rows = {row["kind"]: row for row in held(tmp_path / "lake", "objects")}

    assert [(part.kind, part.treatment, part.detail) for part in summary.parts] == [
        ("DestinationRule", "read", "spec.trafficPolicy.connectionPool.http.http9Streams"),
        ("Telemetry", "kept", ""),
    ]
    assert json.loads(rows["DestinationRule"]["body"])["spec"]["trafficPolicy"]["connectionPool"]["http"] == {
        "http9Streams": 3
    }
    assert json.loads(rows["Telemetry"]["body"])["spec"] == {"accessLogging": [{"providers": [{"name": "envoy"}]}]}


def test_no_secret_reaches_the_lake(tmp_path):
    """Whatever holds a secret (Secrets, environment, headers, URLs, tokens, keys, dumps), no byte of it is stored."""
    lake = tmp_path / "lake"
    read_snapshot([str(FIXTURES)], lake)
    text = "\n".join(str(row) for dataset in MESH for row in held(lake, dataset.removeprefix("mesh/"))) + "".join(
        path.read_text() for path in (lake / "ledger").iterdir()
    )
    planted = set(re.findall(r"PLANTED-\d+", "".join(path.read_text() for path in FIXTURES.iterdir())))

    assert len(planted) > 25
    assert [secret for secret in sorted(planted) if secret in text] == []
    assert "UExBTlRFRC" not in text
    assert "BEGIN CERTIFICATE" not in text


def test_names_of_secrets_stay(tmp_path):
    """A credentialName is no secret, and is what an engineer has to look at."""
    read_snapshot([str(RESOURCES)], tmp_path / "lake")
    (gateway,) = [row for row in held(tmp_path / "lake", "objects") if row["kind"] == "Gateway"]

    assert json.loads(gateway["body"])["spec"]["servers"][0]["tls"]["credentialName"] == "example-com-cert"


def test_a_whole_dump_gives_every_part_of_its_proxy(tmp_path):
    """`proxy-config all -o json` names its proxy, and gives clusters, listeners, routes and endpoints."""
    lake = tmp_path / "lake"
    read_snapshot([str(FIXTURES / "all.json")], lake)
    clusters = {row["cluster"]: row for row in held(lake, "clusters")}
    routes = held(lake, "routes")
    payments = clusters["outbound|8080|v2|payments.shop.svc.cluster.local"]

    assert {row["proxy"] for name in ("clusters", "routes", "listeners", "endpoints") for row in held(lake, name)} == {
        "frontend-v1-x.shop"
    }
    assert (payments["host"], payments["port"], payments["subset"]) == ("payments.shop.svc.cluster.local", 8080, "v2")
    assert payments["destination_rule"] == "payments.shop"
    assert json.loads(payments["settings"])["connectionPool.http.http1MaxPendingRequests"] == "1"
    assert clusters["agent"]["is_static"]
    assert [(row["match"], row["destination"]) for row in held(lake, "listeners")] == [
        ("App: HTTP", "Route: 8080"),
        ("ALL", "PassthroughCluster"),
    ]
    assert [row["route_name"] for row in routes] == ["testers.by-header", "everyone"]
    assert routes[0]["match"] == "/charge* and headers end-user"
    assert json.loads(routes[0]["settings"])["fault.delay.percentage.value"] == "100.0"
    assert json.loads(routes[1]["settings"])["timeout"] == "90.500s"
    assert routes[1]["virtual_service"] == "payments.shop"
    assert [(row["address"], row["zone"]) for row in held(lake, "endpoints")] == [("10.1.4.2:8080", "eu-1a")]


def test_a_bootstrap_tells_the_proxy_and_its_static_clusters(tmp_path):
    """The bootstrap names pod, workload, version and zone, its own clusters, and the ports of admin and statistics."""
    read_snapshot([str(FIXTURES / "bootstrap.json")], tmp_path / "lake")
    (proxy,) = held(tmp_path / "lake", "proxies")

    assert (proxy["proxy"], proxy["workload"]) == ("payments-v1-84c9bd7f56-m7rjd.shop", "payments-v1")
    assert (proxy["version"], proxy["zone"], proxy["istio_version"]) == ("v1", "eu-1a", "1.27.1")
    assert (proxy["admin_port"], proxy["stats_port"]) == (15000, 15090)
    assert {row["cluster"] for row in held(tmp_path / "lake", "clusters") if row["is_static"]} == {
        *("prometheus_stats", "agent", "sds-grpc", "xds-grpc", "zipkin")
    }


def test_envoys_own_case_of_keys_is_read_too(tmp_path):
    """What `curl localhost:15000/config_dump` writes is in snake case, and means the same."""
    dump = [
        {
            "name": "outbound|80||a.b.svc.cluster.local",
            "type": "EDS",
            "connect_timeout": "10s",
            "circuit_breakers": {"thresholds": [{"max_pending_requests": 7}]},
        }
    ]
    read_text(tmp_path, json.dumps(dump), "dump.json", proxy="x.b")
    (cluster,) = held(tmp_path / "lake", "clusters")

    # JSON leaves out what is Envoy's own default
    assert json.loads(cluster["settings"]) == {
        "loadBalancer.simple": "ROUND_ROBIN",
        "connectionPool.http.http1MaxPendingRequests": "7",
        "connectionPool.tcp.connectTimeout": "10s",
    }
    assert cluster["proxy"] == "x.b"


# Envoy's retry policy -> the retryOn that a VirtualService would have
RETRIED = {
    "Istio's default": ({"retryOn": f"{DEFAULT_RETRY_ON},retriable-status-codes"}, DEFAULT_RETRY_ON),
    "the default before 1.24": (
        {"retryOn": f"{DEFAULT_RETRY_ON},retriable-status-codes", "retriableStatusCodes": [503]},
        DEFAULT_RETRY_ON,
    ),
    "codes": ({"retryOn": "reset,retriable-status-codes", "retriableStatusCodes": [429, 503]}, "reset,429,503"),
    "conditions alone": ({"retryOn": "5xx"}, "5xx"),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("case", RETRIED)
def test_what_a_proxy_retries_is_named_as_a_rule_names_it(case):
    """Status codes stand in the list, and what Istio adds by itself does not."""
    policy, expected = RETRIED[case]

    assert route_settings({"route": {"retryPolicy": policy}}).get("retries.retryOn") == expected


def test_printed_tables_are_read_by_their_header(tmp_path):
    """The five tables of istioctl, one after another in one text, give the rows that JSON gives."""
    lake = tmp_path / "lake"
    read_snapshot([str(FIXTURES / "printed.txt")], lake, proxy="payments-v1-84c9bd7f56-m7rjd.shop")

    assert [(row["cluster"], row["type"], row["destination_rule"]) for row in held(lake, "clusters")] == [
        ("BlackHoleCluster", "STATIC", None),
        ("agent", "STATIC", None),
        ("outbound|8080||payments.shop.svc.cluster.local", "EDS", "payments.shop"),
        ("outbound|8080|v2|payments.shop.svc.cluster.local", "EDS", "payments.shop"),
        ("inbound|8080||", "ORIGINAL_DST", None),
    ]
    assert [(row["port"], row["place"], row["match"], row["destination"]) for row in held(lake, "listeners")] == [
        (8080, 1, "Trans: raw_buffer; App: http/1.1,h2c", "Route: 8080"),
        (8080, 2, "ALL", "PassthroughCluster"),
        (6379, 1, "ALL", "Cluster: outbound|6379||sessions.shop.svc.cluster.local"),
    ]
    assert [(row["route_config"], row["match"], row["virtual_service"]) for row in held(lake, "routes")] == [
        ("8080", "/charge*", "payments.shop"),
        ("8080", "/*", "payments.shop"),
        ("", "/stats/prometheus*", None),
    ]
    assert [(row["address"], row["status"], row["outlier_check"]) for row in held(lake, "endpoints")] == [
        ("10.1.4.1:8080", "HEALTHY", "OK"),
        ("10.1.4.2:8080", "UNHEALTHY", "FAILED"),
        ("unix://./etc/istio/proxy/SDS", "HEALTHY", "OK"),
    ]
    assert [(row["istio_version"], json.loads(row["sync_state"])["RDS"]) for row in held(lake, "proxies")] == [
        ("1.27.1", "NOT SENT")
    ]


SUBSCRIBED = """\
NAME         CLUSTER        ISTIOD                     VERSION     SUBSCRIBED TYPES
cart-0.a     Kubernetes     istiod-5d8f7c9b4-x2lqp     1.29.0      5 (CDS,LDS,EDS,RDS,ECDS)
cart-1.a     Kubernetes     istiod-5d8f7c9b4-x2lqp     1.28.2      0
"""


@pytest.mark.parametrize("squeeze", [False, True], ids=["printed", "pasted"])
def test_newer_proxy_statuses_name_what_proxies_subscribe_to(tmp_path, squeeze):
    """An istioctl that tells no states without --verbosity still tells versions and types."""
    text = "\n".join(" ".join(line.split()) for line in SUBSCRIBED.splitlines()) if squeeze else SUBSCRIBED
    read_text(tmp_path, text, "status.txt")
    found = [(row["proxy"], row["istio_version"], row["sync_state"]) for row in held(tmp_path / "lake", "proxies")]

    types = json.dumps(dict.fromkeys(("CDS", "LDS", "EDS", "RDS", "ECDS"), "SUBSCRIBED"), separators=(",", ":"))
    assert found == [("cart-0.a", "1.29.0", types), ("cart-1.a", "1.28.2", "{}")]


def test_verbose_proxy_statuses_have_a_column_a_type(tmp_path):
    """Types that older proxies do not know have columns too, and states tell how long ago."""
    text = """
NAME         CLUSTER     CDS              ECDS        EDS        LDS        NDS         RDS          ISTIOD     VERSION
cart-0.a     east        SYNCED (31s)     IGNORED     SYNCED     SYNCED     IGNORED     NOT SENT     istiod     1.29.0
"""
    read_text(tmp_path, text, "status.txt")
    (proxy,) = held(tmp_path / "lake", "proxies")

    assert json.loads(proxy["sync_state"]) == {
        "CDS": "SYNCED (31s)",
        "ECDS": "IGNORED",
        "EDS": "SYNCED",
        "LDS": "SYNCED",
        "NDS": "IGNORED",
        "RDS": "NOT SENT",
    }


def test_tables_whose_blanks_a_paste_squeezed_are_read(tmp_path):
    """A table copied from a web page has lost its alignment; its columns are told by what they hold."""
    squeezed = "\n".join(" ".join(line.split()) for line in (FIXTURES / "squeezed.txt").read_text().splitlines())
    read_text(tmp_path, squeezed, "pasted.txt")

    assert [row["cluster"] for row in held(tmp_path / "lake", "clusters")] == [
        "BlackHoleCluster",
        "outbound|443||raw.example.com",
        "inbound|80|http-web|webserver.default.svc.cluster.local",
    ]
    assert [
        (row["route_config"], row["match"], row["virtual_service"]) for row in held(tmp_path / "lake", "routes")
    ] == [
        ("80", "/*", None),
        ("80", 'regex regex:".*"', "webserver.default"),
        ("", "/healthz/ready*", None),
    ]
    assert [row["destination"] for row in held(tmp_path / "lake", "listeners")] == [
        "Route: 80",
        "Cluster: outbound|80||proxy.default.svc.cluster.local",
    ]


WRONG = {
    "no YAML": ("apiVersion: v1\nkind: Secret\n---\n---\nkind: [b\nc: d\n", r"document 2, line 6: this is no YAML"),
    # what is missing at the end is missing in the last line that there is
    "YAML cut short": ('apiVersion: v1\nkind: "Serv\n\n', r"document 1, line 2: this is no YAML"),
    "JSON cut short": ('{"kind": "List",\n "items": [\n', r"document 1, line 2: this is no JSON.*cut short"),
    "JSON with a comma too many": ('{"kind": "List",\n "items": [],\n}\n', r"line 3: this is no JSON: [^.]*\. Write"),
    "a control character": ("kind: A\nmetadata:\n  name: \a\n", r"document 1, line 3: this is no YAML: control"),
    "an alias of nothing": (
        "kind: A\nmetadata: *gone\n",
        r"document 1, line 2: this is no YAML: found undefined alias",
    ),
    "JSON cut within a text": ('{"kind": "List",\n "items": ["cut', r"document 1, line 2: this is no JSON.*cut short"),
    "no kind": ("apiVersion: v1\nmetadata: {}\n", r"document 1, line 1: kind is missing"),
    "no name": (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    namespace: a\n",
        r"document 1, line 6: items\[0\].metadata.name is missing",
    ),
    "a list where an object belongs": (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n http:\n - route: {}\n",
        r"document 1, line 6: spec.http\[0\].route must be a list",
    ),
    "no spec": (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\n",
        r"document 1, line 1: spec is missing in this DestinationRule",
    ),
    "an item of another kind": (
        '[{"name": "c", "type": "EDS"}, {"apiVersion": "v1"}]',
        r"document 1, line 1: item 2 is no bootstrap",
    ),
    "a proxy's part among objects": (
        '[{"apiVersion": "v1", "kind": "Secret"}, {"name": "c", "type": "EDS"}]',
        r"document 1, line 1: item 2 is no object of Kubernetes",
    ),
    "a table without its header": ("payments 8080 - outbound EDS\n", r"document 1, line 1: this is neither"),
    "a table of kubectl's": (
        "\nNAME       TYPE        CLUSTER-IP   PORT(S)    AGE\npayments   ClusterIP   10.96.0.14   8080/TCP   3d\n",
        r"document 1, line 2: this table is printed for people.*-o yaml",
    ),
    "a table of kubectl's that is no YAML": (
        "NAMESPACE   NAME   HOSTS\nshop        a      [b: c\n",
        r"document 1, line 1: this table is printed for people",
    ),
    "a table below an object": (
        "kind: Secret\nmetadata: {name: a}\n\nENDPOINT  STATUS  OUTLIER CHECK  CLUSTER\n1.2.3.4:80  HEALTHY  OK  a\n",
        r"document 1, line 5: this is no YAML",
    ),
    "a port with a name": (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: http\n",
        r"document 1, line 6: spec.ports\[0\].port must be a number",
    ),
    "a namespace that is a number": (
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  namespace: 12\nspec: {}\n",
        r"document 1, line 5: metadata.namespace is missing, or no text",
    ),
    "labels that are a list": (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: [a]\nspec: {}\n",
        r"document 1, line 5: metadata.labels must be an object",
    ),
    "nothing in a list": (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  http:\n  -\n",
        r"document 1, line 6: spec.http\[0\] must not be null",
    ),
    "a part of another form": (
        '[\n{"name": "c",\n "type": "EDS",\n "circuitBreakers": {"thresholds": {}}}]',
        r"document 1, line 4: \[0\].circuitBreakers.thresholds must be a list",
    ),
    "a dump of another form": (
        '{"configs": [\n{"dynamicRouteConfigs": [\n{"routeConfig": {"virtualHosts": [\n{"routes": "none"}]}}]}]}',
        r"document 1, line 4: configs\[0\].dynamicRouteConfigs\[0\].routeConfig.virtualHosts\[0\].routes must be a",
    ),
    "a number that is too large": (
        '---\n---\n[{"name": "outbound|99999999999||a", "type": "EDS"}]',
        r"document 1, line 3: a value of this cluster has not the type",
    ),
    "a squeezed row": (
        "ENDPOINT     STATUS     OUTLIER CHECK     CLUSTER\n10.0.0.1:80 HEALTHY\n",
        r"document 1, line 2: the columns of this row",
    ),
    "a port that is none": (
        "ADDRESS     PORT     MATCH     DESTINATION\n0.0.0.0     web      ALL       Route: 80\n",
        r"document 1, line 2: PORT is no number",
    ),
    "an old istioctl": ("ADDRESS     PORT     TYPE\n0.0.0.0     80       HTTP\n", r"line 1: an old istioctl"),
    "anchors that grow": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))
        + "apiVersion: networking.istio.io/v1\nkind: ProxyConfig\nmetadata: {name: a}\nspec: {x: *h}\n",
        r"too large",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_named_with_its_place(tmp_path, case):
    """The message names source, document and line; nothing is stored."""
    text, message = WRONG[case]

    with pytest.raises(InputError, match=message) as raised:
        read_text(tmp_path, text)

    assert str(tmp_path / "given.yaml") in str(raised.value)
    assert not (tmp_path / "lake").exists()


def places_in(value, path: tuple = ()):
    """Yield the path of everything within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from places_in(each, (*path, key))


def test_no_form_of_a_dump_is_a_surprise(tmp_path):
    """Whatever stands in the place of a part, it is read or refused with document and line."""
    dump = (FIXTURES / "all.json").read_text()
    refused: list[str] = []
    for number, path in enumerate(places_in(json.loads(dump))):
        changed = json.loads(dump)
        inner = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = "text" if isinstance(inner[path[-1]], list) else [None]
        try:
            read_text(tmp_path / str(number), json.dumps(changed), "dump.json")
        except InputError as error:
            refused.append(str(error))

    assert len(refused) > 100
    assert [each for each in refused if "document 1, line 1: " not in each] == []


def test_one_wrong_file_stores_nothing_of_the_others(tmp_path):
    """All that one call names is read, or nothing."""
    (tmp_path / "wrong.yaml").write_text("kind: [")

    with pytest.raises(InputError):
        read_snapshot([str(RESOURCES), str(tmp_path / "wrong.yaml")], tmp_path / "lake")

    assert not (tmp_path / "lake").exists()


def test_the_same_again_changes_nothing(tmp_path, meshlog):
    """The same content is one snapshot, whenever it is read; changed content is another."""
    lake, given = tmp_path / "lake", tmp_path / "given.yaml"
    given.write_text(RESOURCES.read_text())
    first = meshlog("mesh", given, "--lake", lake)
    again = meshlog("mesh", given, "--lake", lake)
    os.utime(given)
    later = meshlog("mesh", given, "--lake", lake)
    given.write_text(RESOURCES.read_text().replace("maxConnections: 100", "maxConnections: 1"))
    changed = meshlog("mesh", given, "--lake", lake, "--at", "now")

    assert [ran.code for ran in (first, again, later, changed)] == [0, 0, 0, 0]
    assert "a new snapshot" in first.err
    assert "nothing new" in again.err
    assert "nothing new" in later.err
    assert "a new snapshot" in changed.err
    assert len(held(lake, "objects")) == 2 * len(KINDS)


def test_an_ingest_keeps_the_configuration(tmp_path):
    """Reading logs into the same lake, and merging its small batches, leaves snapshots alone."""
    from datetime import UTC, datetime

    from pipeline.ingest import merge

    lake = tmp_path / "lake"
    read_snapshot([str(RESOURCES)], lake)
    load([str(SAMPLES / "app_down.jsonl")], lake)
    load([str(SAMPLES / "tcp.jsonl")], lake)
    merge.MANY_BATCHES, before = 2, merge.MANY_BATCHES
    try:
        assert merge.merge_small(open_lake(lake), datetime.now(UTC))
    finally:
        merge.MANY_BATCHES = before

    assert len(held(lake, "objects")) == len(KINDS)


def test_a_folder_a_glob_and_stdin_are_read(tmp_path, meshlog):
    """Paths of every sort are taken; other files of a folder are left out."""
    folder = tmp_path / "manifests"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.yml").write_text(RESOURCES.read_text())
    (folder / "notes.md").write_text("no configuration")
    (folder / ".hidden.yaml").write_text("kind: [")
    ran = [
        meshlog("mesh", folder, "--lake", tmp_path / "a"),
        meshlog("mesh", f"{folder}/**/*.yml", "--lake", tmp_path / "b"),
        meshlog("mesh", "-", "--lake", tmp_path / "c", stdin=RESOURCES.read_text()),
    ]

    assert [each.code for each in ran] == [0, 0, 0]
    assert [len(held(tmp_path / name, "objects")) for name in "abc"] == [len(KINDS)] * 3


def test_gzipped_files_are_read(tmp_path, meshlog):
    """A file or pipe that is gzipped is read like a plain one, also within a folder; a cut one is refused."""
    packed = gzip.compress(RESOURCES.read_bytes())
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "a.yaml.gz").write_bytes(packed)
    (folder / "access.log.gz").write_bytes(b"no configuration")
    (tmp_path / "cut.yaml.gz").write_bytes(packed[:-100])

    assert meshlog("mesh", folder, "--lake", tmp_path / "lake").code == 0
    assert len(held(tmp_path / "lake", "objects")) == len(KINDS)
    assert "The file may be cut short" in meshlog("mesh", tmp_path / "cut.yaml.gz", "--lake", tmp_path / "lake").err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.yaml"], 1, "there is no such file"),
        (["*.none"], 1, "no file matches"),
        (["-", "--at", "yesterday"], 2, "is no time"),
        ([], 2, "Missing argument"),
    ],
)
def test_a_wrong_call_says_so(tmp_path, meshlog, arguments, code, message):
    """Wrong paths and times end with the documented exit code and a remedy."""
    ran = meshlog("mesh", *arguments, "--lake", tmp_path / "lake", stdin="kind: A")

    assert ran.code == code
    assert message in ran.err


def test_a_proxy_that_nothing_names_is_asked_for(tmp_path, meshlog):
    """Printed tables do not tell their pod; --proxy does."""
    printed = FIXTURES / "squeezed.txt"
    unnamed = meshlog("mesh", printed, "--lake", tmp_path / "lake")
    named = meshlog("mesh", printed, "--lake", tmp_path / "lake", "--proxy", "web-0.default")

    assert "name it with --proxy" in unnamed.err
    assert "--proxy" not in named.err
    assert {row["proxy"] for row in held(tmp_path / "lake", "clusters")} == {None, "web-0.default"}


def test_nothing_about_a_mesh_is_an_error(tmp_path, meshlog):
    """Objects that tell nothing about a mesh are not silently taken for a snapshot."""
    ran = meshlog("mesh", "-", "--lake", tmp_path / "lake", stdin="apiVersion: v1\nkind: Secret\nmetadata: {name: a}")

    assert ran.code == 1
    assert "nothing here describes a mesh (found 1 Secret)" in ran.err


def test_the_listing_is_data(tmp_path, meshlog):
    """With --format, what was read is on stdout, kind by kind."""
    ran = meshlog("mesh", FIXTURES / "secrets.yaml", "--lake", tmp_path / "lake", "--format", "json")
    listed = {row["kind"]: row["treatment"] for row in json.loads(ran.out)}

    assert (listed["Secret"], listed["EnvoyFilter"], listed["VirtualService"]) == ("left out", "kept", "read")


def test_what_a_killed_read_left_behind_counts_for_nothing(tmp_path):
    """A file that no record names is not read, and the next read removes it."""
    lake = tmp_path / "lake"
    read_snapshot([str(RESOURCES)], lake)
    stray = lake / "mesh" / "objects" / "stray.parquet"
    shutil.copy(next(stray.parent.glob("*.parquet")), stray)

    assert len(held(lake, "objects")) == len(KINDS)

    read_snapshot([str(FIXTURES / "all.json")], lake)

    assert not stray.exists()
    assert len(held(lake, "objects")) == len(KINDS)
