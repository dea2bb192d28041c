"""A line that does not tell its side is told by the other lines of its log and of its addressee, or stays unknown."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES
from ingesting import line

from pipeline.ingest.load import load
from pipeline.query.session import open_session

POD, OTHER, VIP = "10.1.0.9", "10.1.0.7", "10.96.0.12:8080"

SILENT = {
    "upstream_cluster": None,
    "upstream_host": None,
    "upstream_local_address": None,
    "requested_server_name": None,
    "route_name": None,
    "x_forwarded_for": None,
    "response_code": 404,
    "response_flags": "NR",
    "response_code_details": "route_not_found",
}
"""What a line without a route says; where it arrived and whence it came is the case's."""

REFUSED = {
    "response_code": 403,
    "response_flags": "-",
    "response_code_details": "rbac_access_denied_matched_policy[none]",
}


def inbound(pod: str = POD, **changes: Any) -> dict[str, Any]:
    """A line of a pod's own server side."""
    own = {
        "upstream_cluster": "inbound|8080||",
        "upstream_host": f"{pod}:8080",
        "downstream_local_address": f"{pod}:8080",
    }
    return own | {"upstream_local_address": "127.0.0.6:5001", "downstream_remote_address": f"{OTHER}:5002"} | changes


def outbound(pod: str = POD, **changes: Any) -> dict[str, Any]:
    """A line of a pod's own client side, about a call of the cart service."""
    own = {"upstream_local_address": f"{pod}:5003", "downstream_remote_address": f"{pod}:5004"}
    return own | {"downstream_local_address": VIP, "upstream_host": "10.1.0.5:8080"} | changes


def gateway(pod: str = POD, **changes: Any) -> dict[str, Any]:
    """A line of a gateway."""
    own = {"downstream_local_address": f"{pod}:8443", "downstream_remote_address": "10.1.0.1:5005"}
    return outbound(pod) | own | {"x_forwarded_for": "10.1.0.1"} | changes


def silent(at: str, whence: str, **changes: Any) -> dict[str, Any]:
    """A line that does not tell its side."""
    return {**SILENT, "downstream_local_address": at, "downstream_remote_address": whence, **changes}


FROM_OTHER, FROM_OWN = f"{OTHER}:41000", f"{POD}:41000"
AT_OWN, ELSEWHERE = f"{POD}:9999", "10.1.0.5:9999"

UNKNOWN = ("unknown", "unknown")
SERVER, CLIENT, GATEWAY = ("inbound", "sidecar"), ("outbound", "sidecar"), ("outbound", "gateway")

CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], tuple[str, str]]] = {
    # envoy-facts 5.3, rule 8: the pod's own address
    "at the address that inbound lines show": ([inbound()], silent(AT_OWN, FROM_OTHER), SERVER),
    "at the address that outbound lines show": ([outbound()], silent(AT_OWN, FROM_OTHER), SERVER),
    "from the address that inbound lines show": ([inbound()], silent(ELSEWHERE, FROM_OWN), CLIENT),
    "from the address that outbound lines show": ([outbound()], silent(ELSEWHERE, FROM_OWN), CLIENT),
    "both kinds of lines agree": ([inbound(), outbound()], silent(AT_OWN, FROM_OTHER), SERVER),
    "nothing else in the log": ([], silent(AT_OWN, FROM_OTHER), UNKNOWN),
    "neither end is the pod's": ([inbound()], silent(ELSEWHERE, FROM_OTHER), UNKNOWN),
    "a longer address that begins alike": ([inbound()], silent("10.1.0.99:80", FROM_OTHER), UNKNOWN),
    "both ends are the pod's": ([inbound()], silent(AT_OWN, FROM_OWN), UNKNOWN),
    "the pod's address out of X-Forwarded-For": ([inbound()], silent(ELSEWHERE, f"{POD}:0"), UNKNOWN),
    "both kinds of lines disagree": ([inbound(), outbound(OTHER)], silent(AT_OWN, "10.1.0.1:1"), UNKNOWN),
    "a log of several pods": ([inbound()] * 8 + [inbound("10.1.0.8")], silent(AT_OWN, FROM_OTHER), UNKNOWN),
    "one line among many that shows another": (
        [inbound()] * 10 + [inbound("10.1.0.8")],
        silent(AT_OWN, FROM_OTHER),
        SERVER,
    ),
    "IPv6": ([inbound("[fd00::9]")], silent("[fd00::9]:9999", "[fd00::7]:41000"), SERVER),
    "IPv6 of another pod": ([inbound("[fd00::9]")], silent("[fd00::99]:9999", "[fd00::7]:41000"), UNKNOWN),
    "an address on loopback": ([inbound("127.0.11.1")], silent("127.0.11.1:9999", "127.0.12.1:41000"), SERVER),
    "a tunnel's line": ([inbound()], silent(AT_OWN, FROM_OTHER, upstream_cluster="connect_originate"), UNKNOWN),
    "a gateway's own address": ([gateway()], silent(AT_OWN, FROM_OTHER), GATEWAY),
    "not a gateway's own address": ([gateway()], silent(ELSEWHERE, FROM_OTHER), UNKNOWN),
    # rule 9: who refuses callers
    "refused at the own address": ([inbound()], silent(AT_OWN, FROM_OTHER, **REFUSED), SERVER),
    "refused itself": ([inbound()], silent(AT_OWN, FROM_OWN, **REFUSED), SERVER),
    "refused for its token": (
        [inbound()],
        silent(AT_OWN, FROM_OWN, response_code_details="jwt_authn_access_denied{Jwt_is_missing}"),
        SERVER,
    ),
    "a client's proxy refuses nobody": ([inbound()], silent(ELSEWHERE, FROM_OWN, **REFUSED), UNKNOWN),
    "refused by nobody knows whom": ([], silent(AT_OWN, FROM_OTHER, **REFUSED), UNKNOWN),
    "refused by a gateway": ([gateway()], silent(ELSEWHERE, FROM_OTHER, **REFUSED), GATEWAY),
}


def told(tmp_path: Path, logs: dict[str, list[dict[str, Any]]]) -> tuple[str, str]:
    """Ingest logs and return direction and reporter of the first one's last line."""
    for name, changes in logs.items():
        (tmp_path / f"{name}.log").write_bytes(b"".join(line(at, **each) for at, each in enumerate(changes)))
    load([str(tmp_path)], tmp_path / "lake")
    with open_session(tmp_path / "lake") as session:
        rows = session.rows(
            """
            select direction, reporter from access_logs
            where source like '%/' || $name || '.log'
            order by line_number
        """,
            {"name": next(iter(logs))},
        )
    assert len(rows) == len(next(iter(logs.values())))
    return rows[-1]["direction"], rows[-1]["reporter"]


@pytest.mark.parametrize("case", CASES)
def test_the_other_lines_of_a_log_tell_whose_it_is(tmp_path: Path, case: str) -> None:
    """The pod's own address settles it, unless both ends, or no end, or lines of several pods show it."""
    others, asked, expected = CASES[case]

    assert told(tmp_path, {"asked": [*others, asked]}) == expected


HEADLESS = "10.1.0.5:8080"

SERVICES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], tuple[str, str]]] = {
    # rule 11: a Service's own address
    "where clients call a Service": ([outbound(OTHER)], silent(VIP, FROM_OTHER), CLIENT),
    "where nobody calls": ([outbound(OTHER)], silent("10.96.0.12:81", FROM_OTHER), UNKNOWN),
    "at a pod that is called by its own address": (
        [outbound(OTHER, downstream_local_address=HEADLESS)],
        silent(HEADLESS, FROM_OTHER),
        UNKNOWN,
    ),
    "at a pod that clients were sent to": (
        [outbound(OTHER), outbound(OTHER, downstream_local_address=HEADLESS, upstream_host="10.1.0.6:8080")],
        silent(HEADLESS, FROM_OTHER),
        UNKNOWN,
    ),
    "at a pod that serves there": (
        [outbound(OTHER, downstream_local_address=AT_OWN), inbound(downstream_local_address=AT_OWN)],
        silent(AT_OWN, FROM_OTHER),
        UNKNOWN,
    ),
    "where a call went through unknown": (
        [outbound(OTHER, upstream_cluster="PassthroughCluster")],
        silent(VIP, FROM_OTHER),
        UNKNOWN,
    ),
    "where no server was chosen": ([outbound(OTHER, upstream_host=None)], silent(VIP, FROM_OTHER), UNKNOWN),
    "at a gateway": ([gateway("10.1.0.2")], silent("10.1.0.2:8443", FROM_OTHER), UNKNOWN),
    "a client's proxy still refuses nobody": ([outbound(OTHER)], silent(VIP, FROM_OTHER, **REFUSED), UNKNOWN),
    "where a waypoint serves": (
        [outbound(OTHER), inbound(upstream_cluster="inbound-vip|8080|http|cart.shop", downstream_local_address=VIP)],
        silent(VIP, FROM_OTHER),
        UNKNOWN,
    ),
}


@pytest.mark.parametrize("case", SERVICES)
def test_where_clients_call_a_service_a_line_is_a_client_s(tmp_path: Path, case: str) -> None:
    """Other pods' logs tell the addresses of Services; an address of a pod is none."""
    others, asked, expected = SERVICES[case]

    assert told(tmp_path, {"asked": [asked], "others": others}) == expected


def test_an_address_that_is_the_pod_s_and_a_service_s_tells_nothing(tmp_path: Path) -> None:
    """Rules that contradict each other leave the line unknown."""
    logs = {
        "asked": [outbound(), silent(AT_OWN, FROM_OTHER)],
        "others": [outbound(OTHER, downstream_local_address=AT_OWN)],
    }

    assert told(tmp_path, logs) == UNKNOWN


def test_a_waypoint_s_log_tells_nothing(tmp_path: Path) -> None:
    """It is called at other services' addresses, some of which no line of it may show."""
    served = inbound(upstream_cluster="inbound-vip|80|http|cart.shop", downstream_local_address="10.96.0.99:80")

    assert told(tmp_path, {"asked": [served, silent(VIP, FROM_OTHER)], "others": [outbound(OTHER)]}) == UNKNOWN


def test_each_pod_of_a_collected_file_is_learnt_of_alone(tmp_path: Path) -> None:
    """In one file of many pods the collector names the pod of each line."""
    envelopes = []
    for number, (pod, changes) in enumerate(
        [("a", inbound()), ("b", inbound(OTHER)), ("b", silent(AT_OWN, FROM_OTHER)), ("a", silent(AT_OWN, FROM_OTHER))]
    ):
        log = line(number, **changes).decode()
        envelopes.append(json.dumps({"log": log, "kubernetes": {"pod_name": pod, "namespace_name": "shop"}}))
    (tmp_path / "all.log").write_text("\n".join(envelopes) + "\n")
    load([str(tmp_path)], tmp_path / "lake")
    with open_session(tmp_path / "lake") as session:
        found = session.rows("select pod, direction from access_logs order by line_number")

    assert [(row["pod"], row["direction"]) for row in found] == [
        ("a", "inbound"),
        ("b", "inbound"),
        ("b", "outbound"),
        ("a", "inbound"),
    ]


@pytest.mark.parametrize("nth", range(3))
def test_silenced_lines_of_the_samples_are_told_right_or_not_at_all(tmp_path: Path, nth: int) -> None:
    """Real lines, every third without what tells its side: none is told wrong, and of a pod's own log most are told."""
    truth = {}
    for path in sorted(SAMPLES.rglob("*.log")):
        target = tmp_path / "logs" / path.relative_to(SAMPLES)
        target.parent.mkdir(parents=True)
        target.write_bytes(
            b"\n".join(_silenced(text, at % 3 == nth) for at, text in enumerate(path.read_bytes().splitlines()))
        )
    load([str(SAMPLES / "pods")], tmp_path / "whole")
    load([str(tmp_path / "logs" / "pods")], tmp_path / "silenced")
    asked = "select parse_path(source)[-3] as log, line_number, direction, reporter from access_logs"
    with open_session(tmp_path / "whole") as session:
        truth = {(row["log"], row["line_number"]): (row["direction"], row["reporter"]) for row in session.rows(asked)}
    with open_session(tmp_path / "silenced") as session:
        found = {(row["log"], row["line_number"]): (row["direction"], row["reporter"]) for row in session.rows(asked)}
        undecided = session.rows("select count(*) as lines from lake_access_logs where direction = 'unknown'")[0][
            "lines"
        ]
    verdicts = Counter("right" if truth[at] == said else said[0] for at, said in found.items())

    assert undecided > 30
    assert set(verdicts) <= {"right", "unknown"}
    assert verdicts["unknown"] < undecided / 10


def _silenced(text: bytes, is_chosen: bool) -> bytes:
    """Take what tells its side out of a line within the kubelet's prefix."""
    begin = text.find(b" F {") + 3  # a line in pieces stays as it is
    if not is_chosen or begin < 3:
        return text
    keys = SILENT.keys() & json.loads(text[begin:]).keys()
    return text[:begin] + json.dumps({**json.loads(text[begin:]), **{key: SILENT[key] for key in keys}}).encode()
