"""The shop that the benchmark's lines come from: the recorded one, moved into a cluster with several sites.

The samples were recorded on loopback with one pod a service. Here each recorded line becomes a pattern for each of
`SITES` sites: pods have cluster addresses, a site has its own namespace, hosts and service addresses, and whatever
differs from line to line in a real log is left open as a slot, `%(name)s`, that `lines` fills. Which keys are null,
which flags, codes and details go together stays as the Envoys wrote it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[1] / "sample_logs"

SITES = 24

FAILING_SHARE = 0.03
"""Share of lines from the stories in which something fails; the rest are of the happy path."""

NAMESPACES = ("shop", "shop-emea", "shop-apac", "storefront", "shop-canary", "outlet")

OUTSIDE_HOSTS = ("shop.example.com", "www.shop.example.com", "shop.example.de", "outlet.example.com")

CLIENTS = [f"{network}.{host}" for network in ("192.0.2", "198.51.100", "203.0.113") for host in range(1, 255)]
"""Addresses of users outside: all that are reserved for documentation, 762."""

AGENTS = [
    browser.format(release)
    for release in range(128, 146)
    for browser in (
        "(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
        "(Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Mobile Safari/537.36",
        "(X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
    )
] + [
    "(iPhone; CPU iPhone OS 18_6 like Mac OS X) Mobile/15E148",
    "(iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/604.1",
]
"""The users' browsers, all of them Mozilla/5.0."""

AGENT_LINES = (
    "2026-11-22T09:14:03.118204Z\tinfo\txdsproxy\tconnected to delta upstream XDS server: istiod.istio-system.svc",
    "2026-11-22T09:44:03.201877Z\tinfo\tcache\tgenerated new workload certificate\tresourceName=default latency=41.2ms "
    "ttl=23h59m59.798121s",
    "2026-11-22T09:44:03.202114Z\tinfo\tsds\tPush Secret\tresource=default",
    "2026-11-22T10:14:17.554309Z\tinfo\txdsproxy\tdisconnected from delta XDS server: istiod.istio-system.svc",
)
"""What Istio's agent writes into the same stream; the samples were recorded without one."""


def _stories() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The typed lines of the happy path, and those of all other stories."""
    happy = [json.loads(line) for line in (SAMPLES / "happy_path.jsonl").read_text().splitlines()]
    others = [
        json.loads(line)
        for path in sorted(SAMPLES.glob("*.jsonl"))
        if path.stem not in ("happy_path", "all_strings")
        for line in path.read_text().splitlines()
    ]
    return happy, others


@cache
def scenes() -> tuple[list[dict[str, Any]], int]:
    """Records with slots for what differs from line to line; those from the number given on are of failing stories."""
    happy, others = _stories()
    made = [[_moved(record, site) for record in story for site in range(SITES)] for story in (happy, others)]
    return made[0] + made[1], len(made[0])


def old_keys() -> list[str]:
    """The keys of Istio 1.3 to 1.7, in their order."""
    with (SAMPLES / "all_strings.jsonl").open() as file:
        return list(json.loads(next(file)))


def _moved(record: Mapping[str, Any], site: int) -> dict[str, Any]:
    """One recorded line as a pattern of a site."""
    moved = {key: _moved_text(value, site) if isinstance(value, str) else value for key, value in record.items()}
    moved |= {"start_time": "%(started)s", "duration": "%(duration)d"}
    slots = {"request_id": "%(id)s", "upstream_service_time": "%(service_time)d"}
    slots |= {"bytes_sent": "%(sent)d", "bytes_received": "%(received)d"}
    moved |= {key: slot for key, slot in slots.items() if record[key]}
    for key, port in (("upstream_local_address", "%(near_port)d"), ("downstream_remote_address", "%(far_port)d")):
        if record[key] and not record[key].endswith(":0"):
            moved[key] = f"{moved[key].rpartition(':')[0]}:{port}"
    if (record["user_agent"] or "").startswith(("Mozilla", "curl")):
        moved["user_agent"] = "Mozilla/5.0 %(agent)s"
    if site % 2 and record["path"] and record["path"].startswith("/products"):
        moved["path"] = moved["path"].replace("/products", "/products/%(product)s", 1)
    return moved


def _moved_text(text: str, site: int) -> str:
    namespace = NAMESPACES[site % len(NAMESPACES)]
    text = text.replace("%", "%%")
    text = re.sub(r"127\.0\.(1\d)\.(\d)", lambda pod: f"10.244.{site + 17}.{int(pod[1]) * 10 + int(pod[2])}", text)
    text = re.sub(r"127\.0\.99\.\d+", "%(client)s", text)
    text = text.replace("10.96.0.", f"10.96.{site}.").replace(".shop.svc", f".{namespace}.svc")
    text = text.replace("shop.example.com", OUTSIDE_HOSTS[site % len(OUTSIDE_HOSTS)]).replace("alice", "%(user)s")
    return re.sub(r"^([a-z]+):(\d+)$", rf"\1.{namespace}.svc.cluster.local:\2", text) if site % 3 else text


def pieces(record: Mapping[str, Any], keys: Iterable[str], as_text: bool) -> list[str]:
    """`"key":value` of each key; as text, every value is a string and an absent one is "-"."""
    return [f'"{key}":{_value(key, record.get(key), as_text)}' for key in keys]


def _value(key: str, value: Any, as_text: bool) -> str:
    if as_text:
        return json.dumps("-" if value is None else str(value))
    is_number = key in ("duration", "bytes_sent", "bytes_received")
    return str(value) if is_number else json.dumps(value)


def noise() -> list[str]:
    """What Envoy itself wrote beside the recorded access logs, and what Istio's agent writes."""
    logs = sorted(SAMPLES.glob("pods/*/*/0.log"))
    written = (line.split(" ", 3) for path in logs for line in path.read_text().splitlines())
    return sorted({text for _, stream, tag, text in written if stream == "stderr" and tag == "F"}) + list(AGENT_LINES)
