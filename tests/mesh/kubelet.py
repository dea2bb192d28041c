"""The kubelet's way to keep container logs: CRI lines under NS_POD_UID/CONTAINER, long lines cut, old files rotated."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from tests.mesh.proxies import Line, Proxy

_CONTAINER = "istio-proxy"
_LONGEST_PART = 16384
"""containerd's limit; a longer line goes out in partial records, all but the last tagged P."""


def write(proxies: Iterable[Proxy], folder: Path, rotated: str, moments: list[int]) -> None:
    """Write each pod's log; the log of the `rotated` workload is rotated at the given moments (Unix nanoseconds)."""
    for proxy in proxies:
        pod = proxy.pod
        home = folder / f"{pod.namespace}_{pod.name}_{pod.uid}" / _CONTAINER
        home.mkdir(parents=True, exist_ok=True)
        _write_rotated(proxy.lines, home, moments if pod.workload == rotated else [])


def _write_rotated(lines: list[Line], home: Path, moments: list[int]) -> None:
    """Start a new file at each moment: the kubelet gzips a rotated file once the next one has been rotated too."""
    for number, moment in enumerate(moments):
        raw = _records([line for line in lines if line.read_at_ns < moment])
        lines = [line for line in lines if line.read_at_ns >= moment]
        path = home / f"0.log.{datetime.fromtimestamp(moment // 10**9, UTC):%Y%m%d-%H%M%S}"
        if number < len(moments) - 1:
            path, raw = path.with_name(f"{path.name}.gz"), gzip.compress(raw, mtime=0)
        path.write_bytes(raw)
    (home / "0.log").write_bytes(_records(lines))


def _records(lines: list[Line]) -> bytes:
    return b"".join(_record(line, tag, part) for line in lines for tag, part in _parts(line.text.encode()))


def _parts(raw: bytes) -> list[tuple[str, bytes]]:
    cuts = range(0, max(len(raw), 1), _LONGEST_PART)
    return [("P" if cut + _LONGEST_PART < len(raw) else "F", raw[cut : cut + _LONGEST_PART]) for cut in cuts]


def _record(line: Line, tag: str, part: bytes) -> bytes:
    seconds, rest = divmod(line.read_at_ns, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{rest:09d}Z {line.stream} {tag} ".encode() + part + b"\n"
