"""The models keep what their files promise: grain, key, comments, and an answer on any lake."""

import json
from pathlib import Path

import pytest
from ingesting import TYPED

from pipeline.ingest.load import load
from pipeline.query.models import INTERNAL, load_comments, load_models, question, seeds
from pipeline.query.session import Window, open_session
from pipeline.query.slices import slices
from pipeline.query.statements import named_in
from tests.mesh.laws import LAWS

MODELS = load_models()
TABLES = [name for name in MODELS if name not in INTERNAL]

CONTRACT = {
    *("access_logs", "hops", "trace_spans", "traces", "latency_breakdown", "error_rates", "diagnoses"),
    *("endpoints", "service_graph", "retries", "coverage", "quarantine", "loads"),
}


@pytest.fixture(scope="module")
def session(samples_lake):
    """A session on the samples."""
    opened = open_session(samples_lake)
    yield opened
    opened.close()


def test_every_table_of_the_contract_has_a_model():
    """The names that people type are there."""
    assert set(TABLES) >= CONTRACT


@pytest.mark.parametrize("name", MODELS)
def test_a_model_begins_with_its_grain_and_key(name):
    """The first line reads `-- one row per ...`, the second names the key."""
    first, second, *_ = MODELS[name].sql.splitlines()

    assert first.startswith("-- one row per ")
    assert second.startswith("-- key: ")


@pytest.mark.parametrize("name", TABLES)
def test_the_key_is_unique(session, name):
    """No two rows of a table share its key, null being a value like any other."""
    key = ", ".join(MODELS[name].key)

    assert session.rows(f"select {key}, count(*) as rows from {name} group by {key} having count(*) > 1") == []


@pytest.mark.parametrize("name", TABLES)
def test_every_column_has_a_meaning(session, name):
    """Each column of each table carries a comment."""
    assert [column for column, _, meaning in session.columns(name) if not meaning] == []


def test_no_meaning_is_left_over(session):
    """Each row of columns.csv belongs to a column that exists."""
    columns = {(table, column) for table in TABLES for column, _, _ in session.columns(table)}
    names = {column for _, column in columns}
    left = [entry for entry in load_comments() if entry not in columns and not (entry[0] == "" and entry[1] in names)]

    assert left == []


def test_grain_and_meanings_are_comments_in_duckdb(session):
    """Any DuckDB client sees what the files say."""
    session.rows("from error_rates")
    table = session.rows("select comment from duckdb_tables() where table_name = 'error_rates'")
    column = session.rows(
        "select comment from duckdb_columns() where table_name = 'error_rates' and column_name = 'errors'"
    )

    assert table == [{"comment": "one row per minute, direction, cluster and service"}]
    assert column == [{"comment": "lines with is_error"}]


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_lake_answers(empty_lake, name):
    """Every table answers on a lake without rows: no rows, and no error."""
    with open_session(empty_lake) as session:
        assert session.rows(f"from {name}") == []


@pytest.mark.parametrize("law", LAWS)
def test_no_row_breaks_a_law(session, law):
    """Times add up to what they are parts of, and findings are complete."""
    assert session.rows(LAWS[law]) == []


def test_laws_have_rows_to_hold_for(session):
    """The samples have hops with all parts, critical paths of several hops, and findings of three requests."""
    assert session.rows("select count(*) as hops from hops where body_ms is not null")[0]["hops"] > 100
    assert session.rows("from trace_spans where critical_ms > 0 and depth > 0")
    assert session.rows("from diagnoses where len(example_request_ids) = 3")
    assert session.rows("from trace_spans where critical_ms > 0 and not is_critical") == []


def test_a_long_body_is_not_its_proxys_doing(session):
    """An export that streams for half a second shows in body_ms, and hardly in proxy_ms."""
    exports = session.rows(
        "from hops where path = '/export' and service = 'catalog.shop' and client_response_code = 200"
    )

    assert exports
    assert all(hop["body_ms"] > 100 > 5 >= hop["proxy_ms"] for hop in exports)


def test_an_answer_of_the_proxys_own_tells_no_application_time(session):
    """Where no application answered, its time is unknown, not 0."""
    assert session.rows("from hops where app_ms is not null and server_upstream_service_time_ms is null") == []
    assert session.rows("from hops where network_ms is not null and link in ('client_only', 'server_only')") == []


def test_the_law_holds_for_every_source(session):
    """lines = rows + rejects + noise + blank."""
    assert session.rows("from loads where lines <> rows + rejects + noise + blank") == []


def test_hops_use_every_line_once(session):
    """Each line of the log is one side of a hop: none is lost, and a server's line is in one hop only."""
    lost = session.rows("""
        from access_logs
        anti join hops on source = client_source and line_number = client_line_number
        anti join hops as served on source = served.server_source and line_number = served.server_line_number
    """)
    twice = session.rows("""
        select server_source, server_line_number from hops
        where server_source is not null
        group by all having count(*) > 1
    """)

    assert lost == []
    assert twice == []


def test_every_cause_is_in_the_seed(session):
    """A rule cannot say a word that causes.csv does not explain."""
    assert session.rows("select cause from hop_causes anti join causes using (cause)") == []


def test_the_seed_holds_every_cause_of_the_design():
    """causes.csv has the agreed words, each with resource or advice, and a command that only reads."""
    import csv

    with seeds()["causes"].open(newline="") as file:
        causes = {row["cause"]: row for row in csv.DictReader(file)}

    assert set(causes) == {
        "connect_refused",
        "connect_timeout",
        "app_down",
        "app_crash",
        "app_5xx",
        "app_error",
        "upstream_reset",
        "protocol_error",
        "slow_upstream",
        "slow_endpoint",
        "no_endpoints",
        "outlier_ejection",
        "overload",
        "retried",
        "no_route",
        "no_cluster",
        "blocked_egress",
        "direct_response",
        "tls_mismatch",
        "tls_identity",
        "denied",
        "authz_down",
        "rate_limited",
        "injected_fault",
        "client_gone",
        "bad_request",
        "proxy_gone",
        "stream_limit",
        "filter_failed",
        "unknown",
    }
    assert all(row["advice"] and row["title"] for row in causes.values())
    assert all(row["next_command"].split()[0] in ("kubectl", "istioctl") for row in causes.values())


def test_the_seed_holds_every_flag_of_envoy():
    """response_flags.csv has the thirty core flags of Envoy 1.40."""
    import csv

    with seeds()["response_flags"].open(newline="") as file:
        flags = {row["flag"] for row in csv.DictReader(file)}

    assert flags == {
        "LH",
        "UH",
        "UT",
        "LR",
        "UR",
        "UF",
        "UC",
        "UO",
        "NR",
        "DI",
        "FI",
        "RL",
        "UAEX",
        "RLSE",
        "DC",
        "URX",
        "SI",
        "IH",
        "DPE",
        "UMSDR",
        "RFCF",
        "NFCF",
        "DT",
        "UPE",
        "NC",
        "OM",
        "DF",
        "DO",
        "DR",
        "UDO",
    }


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("select calls from hops", {"hops"}),
        ('select $slo, (select count(*) from Traces) from main.hops, "retries"', {"hops", "traces", "retries"}),
        ("with lines as (from calls) select traces from lines as hops", {"calls"}),
        ("describe hops", {"hops"}),
        ("summarize hops", {"hops"}),
        ("explain from hops", {"hops"}),
        ("pivot hops on link using count(*)", {"hops"}),
        ("from query_table('hops')", {"hops"}),
        ("from query('from hops')", {"hops"}),
        ("select 1 -- from hops", set()),
    ],
)
def test_a_query_needs_the_tables_that_it_reads(session, sql, read):
    """A column that is called like a table builds none, and a table that DuckDB's tree does not show is found."""
    assert named_in(session.connection, sql, session.models) == read


@pytest.mark.parametrize("name", ["error_budgets", "services_against_earlier", "earlier_services"])
def test_days_are_held_against_each_other_without_pairing(samples_lake, name):
    """What the report asks of other days is counted from lines: to pair each would take as long as its own day."""
    with open_session(samples_lake) as session:
        session._build(question(name))
        assert not session.built & {"sure_pairs", "calls", "hops"}


def test_a_large_lake_answers_as_a_small_one_does(samples_lake, session, monkeypatch):
    """What is kept in files, because it would be much, holds the same rows, and its comments."""
    monkeypatch.setattr("pipeline.query.session.LARGE_BYTES", 0)
    with open_session(samples_lake) as large:
        for rows in ("from hops order by hop_id", "from traces order by trace_id"):
            assert large.rows(rows) == session.rows(rows)
        assert large.rows("select comment from duckdb_views() where view_name = 'calls'")[0]["comment"]


CLIENT = TYPED | {"upstream_host": "10.0.0.2:80", "upstream_local_address": "10.0.0.1:4000"}
SERVER = TYPED | {
    "upstream_cluster": "inbound|80||",
    "downstream_local_address": "10.0.0.2:80",
    "downstream_remote_address": "10.0.0.1:4000",
}
"""The two lines of a call."""

CLIENT_LOG, SERVER_LOG = (f"pods/shop_{pod}_{'0f1e' * 8}/istio-proxy/0.log" for pod in ("client", "server"))
"""Where the node's kubelet would put them."""


def test_a_day_made_in_slices_is_the_day(tmp_path, monkeypatch):
    """Calls are made an hour at a time where a day is large: those with a line in each of two hours are whole, too."""
    begins = ["09:59:59.999", "10:00:00.001", "10:59:59.998", "11:30:00.000", "12:59:59.999", "13:00:00.002"]
    texts = [
        json.dumps((CLIENT, SERVER)[at % 2] | {"request_id": f"id-{at // 2}", "start_time": f"2026-11-22T{began}Z"})
        for at, began in enumerate(begins)
    ]
    (tmp_path / "day.log").write_text("\n".join(texts))
    load([tmp_path / "day.log"], tmp_path / "lake")
    with open_session(tmp_path / "lake") as whole:
        hops, traces = (whole.rows(rows) for rows in ("from hops order by hop_id", "from traces order by trace_id"))
    monkeypatch.setattr("pipeline.query.session.LARGE_BYTES", 0)
    monkeypatch.setattr("pipeline.query.slices.SLICE_BYTES", 1)
    with open_session(tmp_path / "lake") as sliced:
        assert sliced.rows("from hops order by hop_id") == hops
        assert sliced.rows("from traces order by trace_id") == traces
        assert len(list(slices(sliced.files))) == 5
    assert [hop["link"] for hop in hops].count("address") == 2


def test_a_short_attempt_stays_with_the_call_that_holds_it(tmp_path):
    """Two calls alike, in turn over one connection: the first one's retry ends as the second call begins."""
    logged = [(CLIENT, 0, 10), (SERVER, 1, 2), (SERVER, 8, 2), (CLIENT, 10, 8), (SERVER, 11, 5)]
    texts = [
        json.dumps(side | {"start_time": f"2026-11-22T10:00:00.{at:03}Z", "duration": duration_ms})
        for side, at, duration_ms in logged
    ]
    (tmp_path / "calls.log").write_text("\n".join(texts))
    load([tmp_path / "calls.log"], tmp_path / "lake")
    with open_session(tmp_path / "lake") as session:
        attempts = session.rows("select client_line_number as line, attempts from hops order by all")

    assert attempts == [{"line": 1, "attempts": 2}] * 2 + [{"line": 4, "attempts": 1}]


@pytest.mark.parametrize("identifier", ["tcp", "GET /"])
def test_an_id_like_what_stands_for_one_pairs_with_no_line_without(tmp_path, identifier):
    """Else a client's line could be in two sure pairs, and both would carry its figures."""
    nothing = dict.fromkeys(["method", "path", "protocol", "request_id", "authority"])
    lines = [
        CLIENT | {"request_id": identifier},
        SERVER | (nothing if identifier == "tcp" else {"request_id": None, "method": "GET", "path": "/"}),
        SERVER | {"request_id": identifier, "downstream_remote_address": "203.0.113.7:0"},
    ]
    (tmp_path / "calls.log").write_text("\n".join(map(json.dumps, lines)))
    load([tmp_path / "calls.log"], tmp_path / "lake")
    with open_session(tmp_path / "lake") as session:
        attempts = session.rows("select attempt, attempts from hops where client_source is not null order by all")

    assert attempts == [{"attempt": 1, "attempts": 1}]


def test_a_line_is_in_one_sure_pair(session):
    """What puts attempts in order counts on it: only pairs found otherwise can give a client's line a second one."""
    pairs = session.rows("""
        select count(*) as all, count(distinct client_line_id) as clients, count(distinct server_line_id) as servers
        from sure_pairs
    """)[0]
    assert pairs["all"] == pairs["clients"] == pairs["servers"] > 0


@pytest.mark.parametrize(
    ("logs", "labels", "named"),
    [
        # each pod's log by itself: the client calls, and is never called
        ({CLIENT_LOG: [CLIENT], SERVER_LOG: [SERVER]}, {}, True),
        # the log of a pod that is called and calls
        ({SERVER_LOG: [SERVER, CLIENT | {"upstream_local_address": "10.0.0.2:4000"}]}, {}, True),
        # a pod that is called over IPv4 and calls over IPv6
        (
            {
                CLIENT_LOG: [
                    SERVER | {"downstream_local_address": "10.0.0.1:80"},
                    CLIENT | {"upstream_local_address": "[fd00::1]:4000"},
                ],
                SERVER_LOG: [SERVER],
            },
            {},
            True,
        ),
        # all logs of a namespace in one: the listener of the only pod that is called is not the other pod's
        ({"all.log": [CLIENT, SERVER]}, {"namespace": "shop"}, False),
    ],
)
def test_pods_are_named_by_listeners_and_by_sockets(tmp_path, logs, labels, named):
    """A pod that is called is known by its listener, one that only calls by its sockets."""
    for name, lines in logs.items():
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(map(json.dumps, lines)))
    load([tmp_path / "logs"], tmp_path / "lake", labels=labels)
    with open_session(tmp_path / "lake") as session:
        names = {row["address"]: row for row in session.rows("from address_names")}

    used = {"10.0.0.2": "server"} | ({"10.0.0.1": "client"} if len(logs) > 1 or not named else {})
    used |= {"[fd00::1]": "client"} if "fd00" in str(logs) else {}
    assert {address: row["namespace"] for address, row in names.items()} == dict.fromkeys(used, "shop")
    assert {address: row["pod"] for address, row in names.items()} == (used if named else dict.fromkeys(used))


def test_a_window_keeps_pairs_at_its_edges(samples_lake):
    """A call just inside the window has both its sides, although one line lies outside."""
    with open_session(samples_lake) as whole:
        edge = whole.rows("""
            select server_started_at from hops
            where link = 'address' and client_started_at < server_started_at and attempt = 1 and attempts = 1
            order by all limit 1
        """)[0]["server_started_at"]
    with open_session(samples_lake, Window(until=edge)) as before:
        last = before.rows("select link from hops where server_started_at = $edge", {"edge": edge})

    assert "address" in [row["link"] for row in last]


def test_an_sql_file_can_be_pasted_into_duckdb(session):
    """A model is one bare select: it runs as it stands once what it reads is there."""
    session.rows("from traces")

    assert session.rows(Path("sql/marts/traces.sql").read_text())
