"""Error rates per minute: what a cluster's name leaves open is told by the address that was called."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.ingest.load import load
from pipeline.query.models import question
from pipeline.query.session import open_session
from tests.reporting import call

Rows = list[dict[str, Any]]

RATES = """
    select service, requests, errors, error_rate from error_rates
    where direction = 'inbound' order by service nulls first
"""


def answers(folder: Path, lines: dict[str, list[bytes]], *questions: str) -> list[Rows]:
    """Read logs by their paths below a folder, and ask."""
    for name, log in lines.items():
        (folder / "logs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "logs" / name).write_bytes(b"".join(log))
    load([str(folder / "logs")], folder / "lake")
    with open_session(folder / "lake") as session:
        return [session.rows(sql, {"limit": 10} if "$limit" in sql else None) for sql in questions]


@pytest.fixture
def calls() -> list[bytes]:
    """Ten calls of cart that go well and ten of payments that fail, both on port 8080."""
    cart = {"service": "cart.shop", "server": "10.1.0.9"}
    payments = {"service": "payments.shop", "server": "10.1.0.10", "response_code": 503}
    good = [each for number in range(10) for each in call(number, number, **cart)]
    return good + [each for number in range(10, 20) for each in call(number, number, **payments)]


def test_services_of_one_inbound_port_are_told_apart(tmp_path, calls):
    """`inbound|8080||` of a service that fails and of one that does not are two rows."""
    (rates,) = answers(tmp_path, {"access.log": calls}, RATES)

    assert rates == [
        {"service": "cart.shop", "requests": 10, "errors": 0, "error_rate": 0.0},
        {"service": "payments.shop", "requests": 10, "errors": 10, "error_rate": 1.0},
    ]


def test_servers_that_nobody_was_seen_to_call_go_by_their_workload(tmp_path, calls):
    """With no client's line the pod's name from the log's path tells the service; a log without a pod stays unnamed."""
    servers = calls[1::2]
    logs = {
        "shop_cart-v1-5d8f7c9b4-x2lqp_0bd09a0a-df6b-5a2b-9df7-7f231b733377/istio-proxy/0.log": servers[:10],
        "other.log": servers[10:],
    }
    (rates,) = answers(tmp_path, logs, RATES)

    assert [(row["service"], row["requests"]) for row in rates] == [(None, 10), ("cart-v1.shop", 10)]


def test_the_worst_cluster_is_the_service_that_failed(tmp_path, calls):
    """Where only servers logged, a page lists the failing service with its own calls, not the port that it shares."""
    servers = calls[1::2]
    logs = {
        "shop_cart-7c9d6b5f4d-x2lqp_0bd09a0a-df6b-5a2b-9df7-7f231b733377/istio-proxy/0.log": servers[:10],
        "shop_payments-84c9bd7f56-m7rjd_1bd09a0a-df6b-5a2b-9df7-7f231b733377/istio-proxy/0.log": servers[10:],
    }
    (worst,) = answers(tmp_path, logs, question("worst_clusters"))

    assert [(row["service"], row["requests"], row["errors"]) for row in worst] == [("payments.shop", 10, 10)]


def test_every_line_is_counted_once(samples_lake):
    """However lines are named, their number stays: requests add up to the lines of the log."""
    with open_session(samples_lake) as session:
        counted = session.rows("select direction, sum(requests)::int as n from error_rates group by all order by all")
        lines = session.rows("select direction, count(*)::int as n from access_logs group by all order by all")
        unnamed = session.rows("from error_rates where direction = 'inbound' and service is null")

    assert counted == lines
    assert unnamed == []
