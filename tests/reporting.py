"""Lakes and pages for the tests of reports: a quiet day, a large mesh, and a log that means harm."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.ingest.load import load
from pipeline.report.nightly import write_nightly
from pipeline.report.periods import Period, day_period
from tests.ingesting import line

DAY = date(2021, 2, 18)
SAMPLE_DAY = date(2026, 11, 23)

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=http://evil.example/x onerror='alert(1)'>",
    "</style></title><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b]0;owned\x07\x1b[31mred",
    "photo\u202egpj.exe",
    "a\u200bb\ufeffc\u2028d",
    "'; drop table traces; --",
    "javascript:alert(1)",
    "$(reboot)`reboot`",
)
"""What a caller can write into a path, a header or a request id."""


def page_of(folder: Path, *log: bytes, name: str = "access.log", period: Period | None = None, **options: Any) -> Path:
    """Make a lake of some lines and write the page of their day, or of another period."""
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / name).write_bytes(b"".join(log))
    load([str(folder / "logs" / name)], folder / "lake")
    return write_nightly(folder / "lake", period or day_period(DAY), folder / "out", **options)


_MORNING_MS = (7 * 3600 + 8 * 60 + 50) * 1000
"""From midnight to when calls begin unless told otherwise."""


def call(number: int = 0, at_ms: int = 0, **changes: Any) -> Iterator[bytes]:
    """Write both lines of one call from a gateway to `service`; changes apply to both."""
    at = datetime(2021, 2, 18, 7, 8, 50, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    service = changes.pop("service", "cart.shop")
    client, server = changes.pop("client", "10.1.0.7"), changes.pop("server", "10.1.0.9")
    both = {"start_time": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z", "request_id": f"id-{number}", **changes}
    yield line(
        **both
        | {
            "upstream_cluster": f"outbound|8080||{service}.svc.cluster.local",
            "upstream_host": f"{server}:8080",
            "upstream_local_address": f"{client}:{20000 + number}",
            "downstream_local_address": "10.96.0.12:8080",
            "downstream_remote_address": f"{client}:{10000 + number}",
        }
    )
    yield line(
        **both
        | {
            "upstream_cluster": "inbound|8080||",
            "upstream_host": f"{server}:8080",
            "upstream_local_address": f"127.0.0.6:{30000 + number}",
            "downstream_local_address": f"{server}:8080",
            "downstream_remote_address": f"{client}:{20000 + number}",
        }
    )


def wide_lines(services: int = 300) -> list[bytes]:
    """Write a day of a mesh of many services: each calls three others, and every tenth fails a third of its calls."""
    written: list[bytes] = []
    for number in range(services * 4):
        service, second = number % services, number * 86_000 // (services * 4)
        failed = (
            {"response_code": 503, "response_flags": "UF"} if service % 10 == 0 and number // services % 3 == 0 else {}
        )
        caller = (service - 1) // 3 if service else services
        name = f"service-{service:03}.team-{service % 12}"
        client, server = (f"10.{20 + each // 250}.{each % 250}.1" for each in (caller, service))
        at_ms = second * 1000 - _MORNING_MS
        written += call(number, at_ms, duration=10 + service % 40, service=name, client=client, server=server, **failed)
    return written


def quiet_lines() -> list[bytes]:
    """Write ten calls that went well."""
    return [each for number in range(10) for each in call(number, number * 1000)]


def hostile_lines() -> list[bytes]:
    """Write failed and slow calls that carry each hostile text in every field that a page shows."""
    calls: list[bytes] = []
    for number, text in enumerate(HOSTILE):
        harm = {
            "path": f"/{text}",
            "request_id": text,
            "user_agent": text,
            "authority": text,
            "method": text,
            "response_code_details": text,
            "route_name": text,
            "service": text.replace("|", ""),
        }
        calls += call(2 * number, number * 1000, response_code=503, response_flags="UF", **harm)
        calls += call(2 * number + 1, number * 1000 + 500, duration=400 + number, **harm)
    return calls


def large_lines(traces: int = 14, calls: int = 60) -> list[bytes]:
    """Write requests that fan out to many services with names as long as Kubernetes allows."""
    written: list[bytes] = []
    namespace = "n" * 63
    for trace in range(traces):
        code = 503 if trace % 2 else 200
        shared = {"request_id": f"trace-{trace}", "response_code": code, "path": "/" + "long/" * 300}
        begun = trace * 10_000
        root = {"service": f"entry-{trace}.{namespace}", "client": "10.0.0.1", "server": f"10.1.{trace}.1"}
        written += call(trace, begun, duration=9_000, **shared, **root)
        for number in range(calls):
            child = {"client": root["server"], "server": f"10.2.{trace}.{number}"}
            name = f"{'s' * 55}-{trace:03}-{number:03}.{namespace}"
            flags = {"response_flags": "UF", "upstream_transport_failure_reason": "delayed_connect_error:_111" * 3}
            written += call(
                1000 + number, begun + 10 + number * 100, duration=80, service=name, **shared, **child,
                **(flags if code == 503 and number % 3 == 0 else {}),
            )  # fmt: skip
    return written
