"""A shared lake: joins stay, names go, and what would leave a raw value behind is found and not written."""

import csv
import json
import re
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import MeshlogError
from pipeline.ingest.load import load
from pipeline.lake.schema import ACCESS_LOGS
from pipeline.query.models import seeds
from pipeline.query.session import Window, open_session
from pipeline.share import columns, proof
from pipeline.share.keys import read_key
from pipeline.share.pseudonyms import Pseudonyms
from pipeline.share.share import Choices, share
from tests.ingesting import line
from tests.reporting import hostile_lines, large_lines

KEY = b"a key of the tests, long enough"
OTHER = b"another key, also long enough"

SAME_ANSWERS = (
    "select link, kind, cause, rule, attempt, attempts, is_error, count(*) as n from hops group by all order by all",
    "select hops, services, kind, response_code, is_error, cause, flags, is_complete, count(*) as n from traces"
    " group by all order by all",
    "select cause, calls, failed_calls, edge_calls from diagnoses order by all",
    "select calls from service_graph order by all",
    "select depth, duration_ms, self_ms, attempt, count(*) as n from trace_spans group by all order by all",
    "select lines, rows, rejects, noise, blank, paired, unpaired from coverage order by all",
)


@pytest.fixture(scope="module")
def shared(samples_lake, tmp_path_factory) -> Path:
    """The samples, shared."""
    out = tmp_path_factory.mktemp("share") / "shared"
    share(samples_lake, out, KEY, Choices(Window()))
    return out


def values_of(lake: Path) -> dict[str, set[str]]:
    """Return every text of a lake's rows by column."""
    found: dict[str, set[str]] = {name: set() for name in ACCESS_LOGS.names}
    for path in lake.rglob("access_logs/**/*.parquet"):
        for row in pq.ParquetFile(path).read().to_pylist():
            for name, value in row.items():
                if isinstance(value, str):
                    found[name].add(value)
    return found


def lake_of(folder: Path, *log: bytes) -> Path:
    """Make a lake of some lines."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secret-source.log").write_bytes(b"".join(log))
    load([str(folder / "secret-source.log")], folder / "lake")
    return folder / "lake"


# ---------- what stays


@pytest.mark.parametrize("query", SAME_ANSWERS)
def test_the_models_give_the_same_answers(samples_lake, shared, query):
    """Hops, causes, traces and their counts are those of the original."""
    with open_session(samples_lake) as before, open_session(shared) as after:
        assert before.rows(query)
        assert after.rows(query) == before.rows(query)


def test_a_shift_moves_times_by_whole_weeks(samples_lake, tmp_path):
    """Weekday and hour stay, the distances between lines too, and all models agree."""
    share(samples_lake, tmp_path / "shared", KEY, Choices(Window(), shift_times=True))
    edges = "select min(started_at) as low, max(started_at) as high, count(*) as n from access_logs"
    with open_session(samples_lake) as before, open_session(tmp_path / "shared") as after:
        raw, moved = before.rows(edges)[0], after.rows(edges)[0]
        assert after.rows(SAME_ANSWERS[0]) == before.rows(SAME_ANSWERS[0])

    assert raw["n"] == moved["n"]
    assert raw["high"] - raw["low"] == moved["high"] - moved["low"]
    assert (raw["low"] - moved["low"]).days % 7 == 0
    assert raw["low"] > moved["low"]


def test_services_stay_where_the_user_says_so(samples_lake, tmp_path):
    """With keep_services their names are readable, pods and addresses are not."""
    share(samples_lake, tmp_path / "shared", KEY, Choices(Window(), keep_services=True))
    raw, left = values_of(samples_lake), values_of(tmp_path / "shared")

    assert left["service"] == raw["service"]
    assert left["upstream_cluster"] & raw["upstream_cluster"] >= {"outbound|8080|v1|catalog.shop.svc.cluster.local"}
    assert any(pod.startswith("payments-v1-") for pod in left["pod"])
    for name in ("pod", "path", "request_id", "x_forwarded_for", "source"):
        assert not left[name] & raw[name] - {"/"}


def test_pseudonyms_have_the_shape_of_what_they_stand_for():
    """Ports, the parts of clusters, the segments of paths, and the mark of a request id stay."""
    made = Pseudonyms(KEY)

    assert re.fullmatch(r"outbound\|8080\|n\d{15}\|n\d{15}\.n\d{15}\.svc\.cluster\.local",
                        made.name("outbound|8080|v1|cart.shop.svc.cluster.local"))  # fmt: skip
    assert re.fullmatch(r"\[fd00(:\d{0,4}){5}\]:8080", made.name("10.1.2.3:8080"))
    assert re.fullmatch(r"\[fd00(:\d{0,4}){5}\]:443", made.name("[2001:db8::7]:443"))
    assert re.fullmatch(r"(fd00(:\d{0,4}){5},? ?){2}", made.name("10.1.2.3, 2001:db8::7"))
    assert re.fullmatch(r"/n\d{15}/n\d{15}/9\d{15}", made.path("/api/users/42?token=s3cr3t"))
    assert re.fullmatch(r"n\d{15}-x\d{9}-[a-z0-9]{5}", made.pod("cart-v1-5d8f7c9b4-x2lqp"))
    assert made.pod("redis-0").endswith("-0")
    assert made.agent("grpc-go/1.64.0") == "grpc-go"
    assert made.name("127.0.0.6:40000") == "127.0.0.6:40000"
    for mark in "49ab":
        uuid = f"967f8e1a-dbc0-{mark}cce-ad53-ce6a27d5e54c"
        assert re.fullmatch(rf"\d{{8}}-\d{{4}}-{mark}\d{{3}}-\d{{4}}-\d{{12}}", made.identifier(uuid))


def test_templates_of_paths_and_families_of_agents_stay(tmp_path):
    """What call_dimensions tells apart in paths and user agents, it still does."""
    segments = [
        *("users", "v1", "oauth2", "foo_bar", "foo-bar", "order-4711", "4711", "4711.json", "report.pdf", "a@b.org"),
        *("2021-02-18", "deadbeef01", "967f8e1a-dbc0-4cce-ad53-ce6a27d5e54c", "x" * 90, "eyJhbGciOiJIUzI1NiJ9abc123x"),
        *("%C3%A9", "books:list", "pkg.Service", "4711.alice"),
    ]
    agents = ["Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "curl/8.14.1", "acme/1.0",
              "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36"]  # fmt: skip
    log = [
        line(number, path=f"/api/{segment}/end?q={number}", user_agent=agents[number % 4])
        for number, segment in enumerate(segments)
    ]
    lake = lake_of(tmp_path, *log)
    share(lake, tmp_path / "shared", KEY, Choices(Window()))
    groups = """
        select list_sort(list(coalesce(client_line_number, server_line_number))) as same
        from call_dimensions inner join hops using (hop_id)
        group by {} order by same
    """
    with open_session(lake) as before, open_session(tmp_path / "shared") as after:
        for column in ("path_template", "user_agent_family"):
            assert after.rows(groups.format(column)) == before.rows(groups.format(column))


def test_details_keep_the_words_of_envoy_alone():
    """What the rules read stays; the name of a policy goes."""
    made = Pseudonyms(KEY)
    refused = "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_111}"
    denied = made.text("rbac_access_denied_matched_policy[ns[shop]-policy[deny-alice]-rule[0]]")

    assert made.text(refused) == refused
    assert denied.startswith("rbac_access_denied_matched_policy[ns[n")
    assert "alice" not in denied
    assert "10.1.2.3" not in made.text("remote address:10.1.2.3:443")


def test_one_key_gives_one_pseudonym_and_another_key_another(samples_lake, shared, tmp_path):
    """Two shares under one key join; under two keys nothing is alike."""
    share(samples_lake, tmp_path / "again", KEY, Choices(Window()))
    share(samples_lake, tmp_path / "other", OTHER, Choices(Window()))
    first, again, other = values_of(shared), values_of(tmp_path / "again"), values_of(tmp_path / "other")

    assert first == again
    for name in ("request_id", "pod", "service", "source"):
        assert not first[name] & other[name]


# ---------- what goes


def test_every_column_has_a_treatment():
    """A new column of the schema is not shared before somebody said what becomes of it."""
    assert list(columns.TREATMENTS) == ACCESS_LOGS.names
    methods = {treatment for treatment in columns.TREATMENTS.values() if hasattr(Pseudonyms, treatment)}
    assert set(columns.TREATMENTS.values()) - methods == {columns.KEPT, columns.TIME, columns.EXTRA}


def test_no_value_of_a_sensitive_column_is_left(samples_lake, shared):
    """By plain comparison, without the proof's own code: no request id, pod, host, path or source of the samples."""
    raw, left = values_of(samples_lake), values_of(shared)
    everything = "\n".join(value for values in left.values() for value in values)
    everything += "".join(path.read_text() for path in shared.rglob("*.json"))

    for name in ("request_id", "pod", "source", "service", "cluster_host", "x_forwarded_for", "namespace"):
        assert raw[name]
        assert [value for value in raw[name] if value in everything] == []
    for word in ("payments", "frontend", "ingressgateway", "products", "limit=", "shop", "sample_logs", "127.0.14.1"):
        assert word not in everything


def test_neither_rejects_nor_hashes_of_the_text_are_shared(tmp_path):
    """The copy's ledger has no digest by which a guess at the text could be tested, and no quarantine."""
    lake = lake_of(tmp_path, line(1), b'{"start_time":"2021-02-18T07:08:50.031Z","response_code":"s3cr3t"}\n')
    share(lake, tmp_path / "shared", KEY, Choices(Window()))
    raw = "".join(path.read_text() for path in (lake / "ledger").glob("*.json"))
    left = "".join(path.read_text() for path in (tmp_path / "shared" / "ledger").glob("*.json"))

    assert not set(re.findall(r"[0-9a-f]{32}", raw)) & set(re.findall(r"[0-9a-f]{32}", left))
    assert not (tmp_path / "shared" / "quarantine").exists()
    assert "secret" not in left


def test_unknown_keys_go_unless_allowed(tmp_path):
    """A key that the format has beyond the known ones is dropped; an allowed one stays as it is."""
    lake = lake_of(tmp_path, line(1, tenant="acme-corp", session="d41d8cd98f", grpc_status_number=14))
    share(lake, tmp_path / "without", KEY, Choices(Window()))
    share(lake, tmp_path / "allowed", KEY, Choices(Window(), allowed_keys=("tenant",)))

    assert values_of(tmp_path / "without")["extra"] == {'{"grpc_status_number":14}'}
    assert json.loads(values_of(tmp_path / "allowed")["extra"].pop())["tenant"] == "acme-corp"


def test_hostile_and_large_logs_are_shared_too(tmp_path):
    """Markup, escapes, quotes, invisible characters and names of every length leave nothing behind."""
    for name, log in (("hostile", hostile_lines()), ("large", large_lines(2, 10))):
        lake = lake_of(tmp_path / name, *log)
        done = share(lake, tmp_path / name / "shared", KEY, Choices(Window()))
        assert done.rows == len(log)
        with open_session(lake) as before, open_session(tmp_path / name / "shared") as after:
            assert after.rows(SAME_ANSWERS[0]) == before.rows(SAME_ANSWERS[0])


SPOKEN = {
    "user_agent": ("Zorblax/1.0", "Mozilla/5.0 (zorblax) Firefox/1", "curl/zorblax", "zorblaxbot", "grpc-zorblax/1"),
    "authority": (
        "zorblax:4711",
        "user:zorblax@host",
        "[2001:db8::dead:beef]:443",
        "::ffff:203.0.113.77",
        "tcp.zorblax",
    ),
    "path": ("zorblax", "http://zorblax/x", "/a.zorblax?zorblax", "/a;zorblax", "/" + "zorblax" * 30, "/Zorbläx"),
    "x_forwarded_for": ("203.0.113.77, zorblax", "for=203.0.113.77;by=zorblax", "fe80::dead:beef%zorblax"),
    "response_code_details": (
        *(
            "203.0.113.77_timeout",
            "from_203.0.113.77.",
            "ip203.0.113.77x",
            "203.000.113.077",
            "to_2001:db8::dead:beef_x",
        ),
        *("peer:2001:db8::dead:beef", "_[2001:db8::dead:beef]:443_", "rbac_denied[ns[zorblax]-policy[zorblax-x]]"),
    ),
    "upstream_transport_failure_reason": ("TLS_error:spiffe://zorblax.local/ns/zorblax/sa/zorblax",),
    "upstream_cluster": ("zorblax", "inbound|80|zorblax|", "outbound_.80_.zorblax_.zorblax.zorblax.svc.cluster.local"),
    "upstream_host": ("/var/run/zorblax.sock", "envoy://zorblax/", "@zorblax/0001"),
    "route_name": ("default-zorblax", "ZORBLAX:4711"),
    "method": ("ZORBLAX", "M-ZORBLAX"),
    "protocol": ("ZORBLA", "ZORBLA,UF", "HTTP/zorblax"),
    "response_flags": ("ZORBLA", "ZORBLA,UF"),
    "istio_policy_status": ("zorblax",),
}
"""What a mesh can have told, by the key of a line: names, addresses and codes where nobody expects them."""

_TOLD = re.compile(r"(?i)zorbl|203\.0+\.113\.0*77|dead:beef")


def test_names_and_addresses_in_odd_places_are_not_shared(tmp_path):
    """No byte, value or statistic of the copy and no name of its files has them, and nothing is refused."""
    log = [line(number, **{key: text}) for key, texts in SPOKEN.items() for number, text in enumerate(texts)]
    lake = lake_of(tmp_path, *log)
    done = share(lake, tmp_path / "shared", KEY, Choices(Window()))

    left = []
    for path in (tmp_path / "shared").rglob("*"):
        left.append(path.name)
        if path.is_file():
            left.append(path.read_bytes().decode("latin-1"))
        if path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            chunks = [file.metadata.row_group(0).column(number) for number in range(file.metadata.num_columns)]
            left += [str((each.statistics.min, each.statistics.max)) for each in chunks if each.statistics.has_min_max]
            left.append(json.dumps(file.read().to_pylist(), default=str))
    assert done.rows == len(log)
    assert [found[0] for text in left for found in _TOLD.finditer(text)] == []


def test_every_flag_of_envoy_is_shared():
    """Flags and protocols that Envoy has stay, alone and in a list."""
    made = Pseudonyms(KEY)
    flags = seeds()["response_flags"].read_text().splitlines()
    codes = ["HTTP/1.1", "HTTP/2", "HTTP/3", "TCP", *(row["flag"] for row in csv.DictReader(flags))]

    assert [made.code(code) for code in codes] == codes
    assert made.code("UF,URX") == "UF,URX"


# ---------- the proof

SECRETS = {
    "path": "/orders/alice",
    "authority": "internal-billing:8080",
    "user_agent": "acme-crawler/1.0",
    "request_id": "7c1e2f0a-0b1c-4cce-ad53-ce6a27d5e54c",
    "x_forwarded_for": "203.0.113.77",
    "response_code_details": "filter_says_alice",
    "connection_termination_details": "alice_left",
    "upstream_transport_failure_reason": "could_not_reach_alice",
    "upstream_cluster": "outbound|80|blue|billing.acme.svc.cluster.local",
    "upstream_host": "10.77.1.2:80",
    "upstream_local_address": "10.77.1.3:40000",
    "downstream_local_address": "10.77.1.4:80",
    "downstream_remote_address": "10.77.1.5:40000",
    "requested_server_name": "billing.example.com",
    "route_name": "alices-route",
    "method": "ALICE",
    "protocol": "ALICE/1.1",
    "response_flags": "AliceFlag",
}


@pytest.mark.parametrize("column", [name for name in columns.SENSITIVE if name not in ("extra", "node")])
def test_a_column_that_is_let_through_is_found(tmp_path, monkeypatch, column):
    """Whichever sensitive column a mistake would keep, the proof finds its values and nothing is written."""
    folder = tmp_path / "pods" / "acme_billing-7c9d6b5f4d-k8wzm_9d0e7a44-55c2-58b4-8a56-9ad498a6426b" / "istio-proxy"
    folder.mkdir(parents=True)
    (folder / "0.log").write_bytes(line(1, **SECRETS))
    load([str(tmp_path / "pods")], tmp_path / "lake")
    assert values_of(tmp_path / "lake")[column]
    monkeypatch.setitem(columns.TREATMENTS, column, columns.KEPT)

    with pytest.raises(MeshlogError, match=f"column {column}"):
        share(tmp_path / "lake", tmp_path / "shared", KEY, Choices(Window()))
    assert sorted(path.name for path in tmp_path.glob("*share*")) == []


def test_a_part_of_a_value_is_found(tmp_path, monkeypatch):
    """A treatment that leaves a piece of a name inside a longer word is found as well."""
    lake = lake_of(tmp_path, line(1, path="/users/alice"))
    monkeypatch.setattr(Pseudonyms, "path", lambda _, text: "/n1" + text.rpartition("/")[2] + "2")

    with pytest.raises(MeshlogError, match="alice"):
        share(lake, tmp_path / "shared", KEY, Choices(Window()))


def test_an_allowed_key_that_holds_a_raw_value_is_found(tmp_path):
    """Allowing a key does not let through what stands in another column."""
    lake = lake_of(tmp_path, line(1, path="/users/alice", who="alice"))

    with pytest.raises(MeshlogError, match="allow-key"):
        share(lake, tmp_path / "shared", KEY, Choices(Window(), allowed_keys=("who",)))


def test_the_search_is_the_same_in_many_passes(samples_lake, shared, monkeypatch):
    """However few values are searched at once, the search sees all of them."""
    files = sorted(samples_lake.rglob("access_logs/**/*.parquet"))
    whole = proof.prove(files, samples_lake, (), ())
    monkeypatch.setattr(proof, "AT_ONCE", 20)
    pieces = proof.prove(files, samples_lake, (), ())

    assert {place for place, _ in whole.found} == {place for place, _ in pieces.found}
    assert len({raw for _, raw in whole.found}) > 100
    assert proof.prove(files, shared, (), ()).found == []


# ---------- the command


def test_the_command_makes_a_key_and_says_what_it_checked(meshlog, samples_lake, tmp_path):
    """The key is its owner's alone and is shown nowhere; a second run reads it."""
    arguments = ("export", "--share", "--key-file", tmp_path / "key", "--lake", samples_lake, "-o")
    ran = meshlog(*arguments, tmp_path / "shared")
    again = meshlog(*arguments, tmp_path / "again")
    key = (tmp_path / "key").read_text().strip()

    assert (ran.code, again.code) == (0, 0)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert key not in ran.out + ran.err + again.out + again.err
    assert "made a key" in ran.err
    assert "made a key" not in again.err
    assert "none is left" in ran.err
    assert values_of(tmp_path / "shared") == values_of(tmp_path / "again")
    assert meshlog("diagnose", "--lake", tmp_path / "shared").code == 0


def test_a_window_is_shared_alone(meshlog, samples_lake, tmp_path):
    """Only lines of the window are in the copy."""
    until = "2026-11-23T20:55:50.103Z"
    counted = "select count(*) as n from access_logs"
    raw = meshlog("sql", counted, "--lake", samples_lake, "--until", until, "--format", "csv").out
    ran = meshlog("export", "--share", "--key-file", tmp_path / "key", "--lake", samples_lake, "--until", until,
                  "-o", tmp_path / "shared")  # fmt: skip

    assert ran.code == 0
    assert meshlog("sql", counted, "--lake", tmp_path / "shared", "--format", "csv").out == raw


def test_a_leak_exits_with_1_and_leaves_nothing(meshlog, samples_lake, tmp_path, monkeypatch):
    """The message names the place; no folder is left, not even a hidden one."""
    monkeypatch.setitem(columns.TREATMENTS, "pod", columns.KEPT)
    ran = meshlog("export", "--share", "--key-file", tmp_path / "key", "--lake", samples_lake, "-o", tmp_path / "out")

    assert ran.code == 1
    assert "raw values are left" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--share", "-o", "{0}/out"), 2),
        (("--share", "--key-file", "{0}/key"), 2),
        (("--share", "--key-file", "{0}/key", "-o", "{0}/out", "967f8e1a"), 2),
        (("--otlp", "--keep-services"), 2),
        (("--share", "--key-file", "{0}/short", "-o", "{0}/out"), 2),
        (("--share", "--key-file", "{0}/open", "-o", "{0}/out"), 2),
        (("--share", "--key-file", "{0}/key", "-o", "{0}"), 2),
        (("--share", "--key-file", "{0}/no/where", "-o", "{0}/out"), 1),
        (("--share", "--key-file", "{0}/key", "-o", "{0}/out", "--until", "2001-01-01"), 5),
    ],
)
def test_a_share_that_cannot_be_made_writes_nothing(meshlog, samples_lake, tmp_path, arguments, code):
    """Missing flags, bad keys, a folder that is taken and an empty window each have their exit code."""
    (tmp_path / "short").write_text("short")
    (tmp_path / "short").chmod(0o600)
    (tmp_path / "open").write_text("x" * 64)
    (tmp_path / "open").chmod(0o644)
    ran = meshlog("export", *(text.format(tmp_path) for text in arguments), "--lake", samples_lake)

    assert ran.code == code
    assert not (tmp_path / "out").exists()
    assert "Traceback" not in ran.err


def test_a_key_is_what_its_file_holds(tmp_path):
    """Line ends around a key do not count."""
    (tmp_path / "key").write_text("0123456789abcdef\n")
    (tmp_path / "key").chmod(0o600)

    assert read_key(tmp_path / "key") == (b"0123456789abcdef", False)
