"""Log lines and lakes for the tests of the write half."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingest.load import Summary, load
from pipeline.lake.layout import open_lake
from pipeline.lake.ledger import Ledger, read_ledger
from pipeline.lake.schema import ACCESS_LOGS, QUARANTINE

TYPED: Mapping[str, Any] = {
    "authority": "cart.shop:8080",
    "bytes_received": 12,
    "bytes_sent": 75,
    "connection_termination_details": None,
    "downstream_local_address": "10.96.0.12:8080",
    "downstream_remote_address": "10.1.0.7:40977",
    "duration": 5,
    "method": "GET",
    "path": "/items?limit=20",
    "protocol": "HTTP/1.1",
    "request_id": "967f8e1a-dbc0-4cce-ad53-ce6a27d5e54c",
    "requested_server_name": None,
    "response_code": 200,
    "response_code_details": "via_upstream",
    "response_flags": "-",
    "route_name": "default",
    "start_time": "2021-02-18T07:08:50.031Z",
    "upstream_cluster": "outbound|8080|v1|cart.shop.svc.cluster.local",
    "upstream_host": "10.1.0.9:8080",
    "upstream_local_address": "10.1.0.7:55226",
    "upstream_service_time": "4",
    "upstream_transport_failure_reason": None,
    "user_agent": "Go-http-client/1.1",
    "x_forwarded_for": None,
}
NOISE = b"2021-02-18T07:08:50.031Z\tinfo\tEnvoy proxy is ready\n"


def line(number: int = 0, **changes: Any) -> bytes:
    """Write one typed line, the `number`th of a log, with its newline."""
    at = {"start_time": f"2021-02-18T07:{number // 60 % 60:02d}:{number % 60:02d}.031Z", "request_id": f"id-{number}"}
    return json.dumps({**TYPED, **at, **changes}, separators=(",", ":")).encode() + b"\n"


def lines(count: int, first: int = 0) -> bytes:
    """Write `count` lines, no two alike."""
    return b"".join(line(number) for number in range(first, first + count))


def as_strings(values: Mapping[str, Any]) -> dict[str, str]:
    """Write a line's values in the style of Istio up to 1.7: all strings, "-" for absent."""
    return {key: "-" if value is None else str(value) for key, value in values.items()}


class Lake:
    """A lake under test: `take` ingests into it, the rest reads what counts."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def take(self, *paths: object, **options: Any) -> Summary:
        return load([str(path) for path in paths], self.root, **options)

    @property
    def ledger(self) -> Ledger:
        return read_ledger(open_lake(self.root))

    def _read(self, dataset: str, schema: pa.Schema, columns: list[str] | None) -> list[dict[str, Any]]:
        names = self.ledger.files(dataset)
        tables = [pq.ParquetFile(self.root / name).read(columns=columns) for name in names]
        return pa.concat_tables(tables).to_pylist() if tables else schema.empty_table().to_pylist()

    def rows(self, *columns: str) -> list[dict[str, Any]]:
        """Return the rows, or columns of them, in a fixed order."""
        rows = self._read("access_logs", ACCESS_LOGS, list(columns) or None)
        return sorted(rows, key=lambda row: repr(sorted(row.items())))

    def rejects(self) -> list[dict[str, Any]]:
        """Return the quarantine by line number."""
        return sorted(self._read("quarantine", QUARANTINE, None), key=lambda reject: reject["line_number"])

    def loads(self) -> list[dict[str, Any]]:
        """Return the `loads` table."""
        return self.ledger.loads().to_pylist()

    def totals(self) -> dict[str, int]:
        """Add up the counts of all loads."""
        loads = self.loads()
        return {
            name: sum(row[name] for row in loads) for name in ("lines", "rows", "rejects", "noise", "blank", "bytes")
        }

    def files(self) -> list[str]:
        """Name every file on the disk, ledger included."""
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
