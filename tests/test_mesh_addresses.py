"""Addresses become names: what a call's addresses belong to is told by the configuration where the logs do not."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.ingest.load import load
from pipeline.mesh.snapshot import read_snapshot
from pipeline.query.session import open_session

FIXTURES = Path(__file__).parent / "mesh_config"
BEFORE = datetime(2026, 11, 23, 20, tzinfo=UTC)

CALL = {
    "start_time": "2026-11-23T21:00:00.000Z", "method": "GET", "path": "/x", "protocol": "HTTP/1.1",
    "response_code": 200, "response_flags": "-", "response_code_details": "via_upstream",
    "connection_termination_details": None, "upstream_transport_failure_reason": None, "bytes_received": 0,
    "bytes_sent": 0, "duration": 3, "upstream_service_time": "2", "x_forwarded_for": None, "user_agent": "u",
    "request_id": "r", "authority": "10.1.4.1:8080", "upstream_host": "10.1.4.1:8080",
    "upstream_cluster": "PassthroughCluster", "upstream_local_address": "10.1.1.1:4000",
    "downstream_local_address": "10.1.4.1:8080", "downstream_remote_address": "10.1.1.1:5000",
    "requested_server_name": None, "route_name": "allow_any",
}  # fmt: skip

PAYMENTS_POD = "payments-v1-84c9bd7f56-m7rjd"
NO_CLUSTER = {
    "response_code": 503, "response_flags": "NC", "response_code_details": "cluster_not_found",
    "upstream_host": None, "upstream_cluster": None, "upstream_local_address": None, "upstream_service_time": None,
}  # fmt: skip


def at(address: str) -> dict[str, str]:
    """Let a passthrough call go to an address."""
    return {"upstream_host": address, "downstream_local_address": address, "authority": address}


# what a line says of its call -> service, server's pod, what the called address is
TOLD = {
    "a pod called by its own address": (at("10.1.4.1:8080"), "payments.shop", PAYMENTS_POD, "pod"),
    "a pod of a headless Service": (at("10.1.6.1:6379"), "redis.shop", "redis-0", "pod"),
    "a Service's own address": (at("10.96.0.14:8080"), "payments.shop", "10.96.0.14", "service"),
    "a ServiceEntry's endpoint": (at("203.0.113.7:8443"), "api.bank.example", "203.0.113.7", "endpoint"),
    "the node's address, which pods share": (at("192.0.2.10:9100"), None, "192.0.2.10", None),
    "an address that a Job has given back": (at("10.1.9.9:8080"), None, "10.1.9.9", None),
    "a stranger's address": (at("198.51.100.7:80"), None, "198.51.100.7", None),
}


def described(folder: Path, *said: dict) -> Path:
    """Make a lake of lines in one file that tells no pod, beside the configuration."""
    (folder / "log.jsonl").write_text("".join(json.dumps({**CALL, **each}) + "\n" for each in said))
    load([str(folder / "log.jsonl")], folder / "lake")
    files = ("resources.yaml", "guards.yaml", "addresses.yaml")
    read_snapshot([str(FIXTURES / name) for name in files], folder / "lake", BEFORE)
    return folder / "lake"


@pytest.mark.parametrize("case", TOLD)
def test_a_passthrough_call_finds_its_service(tmp_path, case):
    """Both sides of a call that only has addresses have their names, where the configuration knows them."""
    said, *expected = TOLD[case]

    with open_session(described(tmp_path, said)) as session:
        (hop,) = session.rows("select hops.*, called_kind from hops inner join hop_places using (hop_id)")

    assert [hop["service"], hop["server_pod"], hop["called_kind"]] == expected
    assert (hop["client_service"], hop["client_pod"]) == ("frontend.shop", "frontend-v1-7c9d6b5f4d-k8wzm")


def test_what_was_sent_to_a_services_own_address_is_its_callers_line(tmp_path):
    """A line without a cluster is the caller's where it arrived at a Service's address: no pod is called there."""
    lake = described(tmp_path, {**NO_CLUSTER, "downstream_local_address": "10.96.0.14:8080"})

    with open_session(lake) as session:
        (line,) = session.rows("select direction from access_logs")
        (hop,) = session.rows("select client_service, cause, culprit_service from hops")

    assert line["direction"] == "outbound"
    assert hop == {"client_service": "frontend.shop", "cause": "no_cluster", "culprit_service": "frontend.shop"}


def test_places_are_told_on_both_sides(tmp_path):
    """Workload, version and zone of both sides are in hop_places."""
    with open_session(described(tmp_path, CALL)) as session:
        (place,) = session.rows("from hop_places")

    assert (place["client_workload"], place["client_version"]) == ("frontend-v1", "v1")
    assert (place["server_workload"], place["server_version"], place["server_zone"]) == ("payments-v1", "v1", "eu-1a")
