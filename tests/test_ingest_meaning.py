"""What a line's values mean: clusters in parts, which side logged it, and what kind of proxy."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ingesting import TYPED

from pipeline.ingest import direction, normalise, odd
from pipeline.ingest.fields import DEFAULT
from pipeline.ingest.normalise import split_cluster
from pipeline.ingest.shapes import Context
from pipeline.ingest.wrappers import Origin, origin


def row(pod: str | None = None, **changes: Any) -> dict[str, Any]:
    """Take one line through parsing, normalising and direction."""
    parsed = odd.parse([json.dumps({**TYPED, **changes}).encode()], [1], DEFAULT)
    placed = parsed.rows.append_column("context", pa.array([0], pa.int32()))
    rows: list[dict[str, Any]] = direction.decide(
        normalise.rows(placed, [Context("x", pod)], {}), parsed.rows
    ).to_pylist()
    return rows[0]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("outbound|8080|v1|cart.shop.svc.cluster.local", (8080, "v1", "cart.shop.svc.cluster.local", "cart.shop")),
        ("outbound|80||cart.shop.svc.my.domain", (80, None, "cart.shop.svc.my.domain", "cart.shop")),
        ("outbound|443||api.example.com", (443, None, "api.example.com", "api.example.com")),
        ("outbound|443||*.example.com", (443, None, "*.example.com", "*.example.com")),
        ("inbound|8080||", (8080, None, None, None)),
        ("inbound|8080|http-web|cart.shop.svc.cluster.local", (8080, None, "cart.shop.svc.cluster.local", "cart.shop")),
        ("inbound-vip|80|http/v2|cart.shop.svc.cluster.local", (80, "v2", "cart.shop.svc.cluster.local", "cart.shop")),
        ("inbound-vip|80|tcp|cart.shop.svc.cluster.local", (80, None, "cart.shop.svc.cluster.local", "cart.shop")),
        ("outbound_.8000_._.cart.shop.svc.cluster.local", (8000, None, "cart.shop.svc.cluster.local", "cart.shop")),
        ("outbound_.80_.v1_.cart.shop.svc.cluster.local", (80, "v1", "cart.shop.svc.cluster.local", "cart.shop")),
        ("shop/cart/80/da39a3ee5e", (80, None, "cart.shop", "cart.shop")),
        ("PassthroughCluster", (None, None, None, None)),
        ("outbound|99999999||host", (None, None, "host", "host")),
    ],
)
def test_a_cluster_name_has_parts(name: str, parts: tuple[object, ...]) -> None:
    """Istio's forms are split; other names have no parts."""
    assert split_cluster(name) == parts


def test_leaked_and_marked_names_are_cleaned() -> None:
    """The alternative stat name after `;` and the mark of some releases before an SNI are no part of the name."""
    made = row(
        upstream_cluster="outbound|80||cart.shop.svc.cluster.local;.;stat",
        requested_server_name="invalid:outbound_.80_._.cart.shop.svc.cluster.local",
    )

    assert made["upstream_cluster"] == "outbound|80||cart.shop.svc.cluster.local"
    assert made["requested_server_name"] == "outbound_.80_._.cart.shop.svc.cluster.local"
    assert made["service"] == "cart.shop"


@pytest.mark.parametrize("absent", ["-", "", None])
def test_absent_is_null(absent: str | None) -> None:
    """ "-", "" and null mean the same, in text and in numbers; no response code is 0."""
    made = row(method=absent, bytes_sent=absent, upstream_cluster=absent, response_code=absent, response_flags=absent)

    assert made["method"] is made["bytes_sent"] is made["upstream_cluster"] is made["service"] is None
    assert (made["response_code"], made["response_flags"]) == (0, None)


NO_CLUSTER = {"upstream_cluster": None, "upstream_host": None, "upstream_local_address": None, "route_name": None}
AT_GATEWAY = {"downstream_local_address": "10.1.0.7:8443", "upstream_local_address": "10.1.0.7:5000"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("outbound", "sidecar")),
        ({"upstream_cluster": "inbound|8080||"}, ("inbound", "sidecar")),
        ({"upstream_cluster": "InboundPassthroughClusterIpv4"}, ("inbound", "sidecar")),
        ({"upstream_cluster": "inbound-vip|80|http|cart.shop.svc.cluster.local"}, ("inbound", "waypoint")),
        ({"upstream_cluster": "PassthroughCluster"}, ("outbound", "sidecar")),
        ({"upstream_cluster": "BlackHoleCluster"}, ("outbound", "sidecar")),
        ({"upstream_cluster": "outbound_.80_._.cart.shop.svc.cluster.local"}, ("outbound", "gateway")),
        ({"upstream_cluster": "httproute/shop/cart/rule/0"}, ("outbound", "gateway")),
        ({"upstream_cluster": "shop/cart/80/da39a3ee5e"}, ("outbound", "gateway")),
        ({"upstream_cluster": "connect_originate"}, ("unknown", "unknown")),
        (AT_GATEWAY, ("outbound", "gateway")),
        (
            {"downstream_local_address": "[fd00::7]:8080", "upstream_local_address": "[fd00::7]:5"},
            ("outbound", "gateway"),
        ),
        ({**AT_GATEWAY, "upstream_cluster": "inbound|8443||"}, ("inbound", "sidecar")),
        (
            {"x_forwarded_for": "1.2.3.4,10.9.9.9", "downstream_remote_address": "10.9.9.9:4711"},
            ("outbound", "gateway"),
        ),
        ({"x_forwarded_for": "1.2.3.4", "downstream_remote_address": "1.2.3.4:0"}, ("outbound", "sidecar")),
        ({**NO_CLUSTER, "response_flags": "NR"}, ("unknown", "unknown")),
        ({**NO_CLUSTER, "route_name": "block_all"}, ("outbound", "sidecar")),
        ({**NO_CLUSTER, "upstream_local_address": "127.0.0.6:5000"}, ("inbound", "sidecar")),
        ({**NO_CLUSTER, "upstream_host": "127.0.0.1:8080"}, ("inbound", "sidecar")),
        (
            {**NO_CLUSTER, "requested_server_name": "outbound_.80_._.cart.shop.svc.cluster.local"},
            ("inbound", "sidecar"),
        ),
        ({**NO_CLUSTER, "response_code_details": "filter_chain_not_found"}, ("inbound", "sidecar")),
        (
            {
                **NO_CLUSTER,
                "response_code_details": "filter_chain_not_found",
                "downstream_local_address": "10.1.0.7:8443",
            },
            ("outbound", "gateway"),
        ),
        ({**NO_CLUSTER, "downstream_local_address": "10.1.0.7:15006"}, ("inbound", "sidecar")),
        ({**NO_CLUSTER, "downstream_local_address": "10.1.0.7:15001"}, ("outbound", "sidecar")),
        (
            {**NO_CLUSTER, "x_forwarded_for": "10.9.9.9", "downstream_remote_address": "10.9.9.9:4711"},
            ("outbound", "gateway"),
        ),
    ],
)
def test_direction_and_reporter(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    """A line tells its side and its proxy, or stays unknown."""
    made = row(**changes)

    assert (made["direction"], made["reporter"]) == expected


def test_a_gateway_is_known_by_its_pod_but_an_app_of_that_name_is_not() -> None:
    """A gateway's calls leave from the address at which they arrived; those at a sidecar do not."""
    assert row("istio-ingressgateway-7d9", **NO_CLUSTER)["reporter"] == "gateway"
    assert row("api-gateway-7d9")["reporter"] == "sidecar"


UID = "d4d957df-ae20-59d4-84cb-e209204698a7"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/var/log/pods/shop_cart-v1-h5zgk_{UID}/istio-proxy/0.log", Origin("cart-v1-h5zgk", "shop")),
        (f"/x/shop_cart-v1-h5zgk_{UID}/istio-proxy/0.log.20261123-204742.gz", Origin("cart-v1-h5zgk", "shop")),
        (f"/var/log/containers/cart-v1-h5zgk_shop_istio-proxy-{'0a' * 32}.log", Origin("cart-v1-h5zgk", "shop")),
        ("/tmp/shop_cart-v1-h5zgk_istio-proxy.log", Origin("cart-v1-h5zgk", "shop")),
        ("/tmp/shop_redis-0_server.log", Origin("redis-0", "shop")),
        ("/tmp/shop_gateway_istio-proxy.log.gz", Origin("gateway", "shop")),
        ("/tmp/prod_access_2026.log", Origin()),
        ("/tmp/happy_path_1.jsonl", Origin()),
        ("/tmp/access.log", Origin()),
    ],
)
def test_paths_of_the_kubelet_tell_pod_and_namespace(path: str, expected: Origin) -> None:
    """Other paths tell nothing."""
    assert origin(path) == expected


def test_the_sample_of_old_style_names_no_subset() -> None:
    """The third part of an inbound cluster up to Istio 1.7 is the port's name."""
    samples = Path(__file__).parent.parent / "sample_logs" / "all_strings.jsonl"
    parsed = odd.parse(samples.read_bytes().splitlines(), range(len(samples.read_bytes().splitlines())), DEFAULT)
    places = pa.array([0] * parsed.rows.num_rows, pa.int32())
    rows = direction.decide(
        normalise.rows(parsed.rows.append_column("context", places), [Context("x")], {}), parsed.rows
    ).to_pylist()

    inbound = [made for made in rows if made["direction"] == "inbound"]
    assert inbound
    assert all(made["cluster_subset"] is None and made["service"] for made in inbound)
