"""Logs with a history, and the lake that was filled while it went on; shared by the property test and the fuzz target.

Every line has an id of its own, so that a line that is lost or doubled shows. Nothing that was not ingested is ever
removed: what a real rotation would lose is not ours to find.
"""

import bz2
import gzip
import json
import lzma
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ingesting import Lake, as_strings, line

from pipeline.ingest import blocks, gather, merge
from pipeline.ingest import load as loading
from pipeline.ingest.blocks import zstd

COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "zstd": lambda data: zstd.compress(data),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


class History:
    """A folder of logs, `texts` what is in them, and a lake."""

    def __init__(self, root: Path) -> None:
        self.logs, self.lake, self._root = root / "logs", Lake(root / "lake"), root
        self.logs.mkdir()
        self.texts: dict[str, bytes] = {"0.log": b""}
        self.kinds: dict[str, str] = {}
        self._next = self._name = 0
        self._rest: dict[str, bytes] = {}
        self._write("0.log")

    def _write(self, name: str) -> None:
        (self.logs / name).write_bytes(COMPRESSORS[self.kinds.get(name, "none")](self.texts[name]))

    def _pick(self, at: int) -> str:
        return sorted(self.texts)[at % len(self.texts)]

    def _live(self, at: int) -> str:
        """A log that may still grow: one that is no copy, rotated or compressed."""
        live = [name for name in sorted(self.texts) if name.count(".") == 1]
        return live[at % len(live)]

    def _new_name(self, end: str) -> str:
        self._name += 1
        return f"{self._name}.{end}"

    def _line(self, **changes: Any) -> bytes:
        self._next += 1
        made = _own(line(self._next, **changes))
        if self._next % 7 == 0:
            made = json.dumps(as_strings(json.loads(made))).encode() + b"\n"
        return made

    def append(self, at: int, count: int) -> None:
        name = self._live(at)
        self.texts[name] += self._rest.pop(name, b"") + b"".join(self._line() for _ in range(count))
        self._write(name)

    def append_part(self, at: int, percent: int) -> None:
        name = self._live(at)
        whole = self._rest.pop(name, b"") or self._line()
        size = len(whole) * percent // 100
        self.texts[name] += whole[:size]
        self._rest[name] = whole[size:]
        self._write(name)

    def append_other(self, at: int, kind: str) -> None:
        name = self._live(at)
        self._next += 1
        body = _own(line(self._next))[:-1]
        made = {
            "noise": f"2021-02-18T07:08:50Z\tinfo\tnoise {self._next}\n".encode(),
            "blank": b"\r\n",
            "reject": _own(line(self._next, response_code=f"no {self._next}")),
            "cri": b"2021-02-18T07:08:50.1Z stdout P %b\n2021-02-18T07:08:50.1Z stdout F %b\n" % (body[:99], body[99:]),
            "late": _own(line(self._next, start_time="2021-02-19T09:00:00Z")),
        }[kind]
        self.texts[name] += self._rest.pop(name, b"") + made
        self._write(name)

    def rotate(self, at: int) -> None:
        """Rename a log; a new one begins under its name."""
        name = self._live(at)
        if name in self._rest:
            self.append(at, 0)
        new = self._new_name(f"{name}.1")
        (self.logs / name).rename(self.logs / new)
        self.texts[new], self.texts[name] = self.texts[name], b""
        self._write(name)

    def copy_and_truncate(self, at: int) -> None:
        """Copy a log, and let it begin anew in the same file."""
        name = self._live(at)
        if name in self._rest:
            self.append(at, 0)
        new = self._new_name(f"{name}.2")
        self.texts[new], self.texts[name] = self.texts[name], b""
        self._write(new)
        self._write(name)

    def recompress(self, at: int, kind: str) -> None:
        """Compress a log that grows no more, or unpack it."""
        name = self._pick(at)
        if name.count(".") > 1:
            self.kinds[name] = kind
            self._write(name)

    def copy(self, at: int, percent: int) -> None:
        """Copy a log's first records to a file of its own; half a record would be a reject of its own."""
        name = self._pick(at)
        text = self.texts[name]
        end = text.rfind(b"\n", 0, len(text) * percent // 100) + 1
        if b" stdout P " in text[text.rfind(b"\n", 0, max(end - 1, 0)) + 1 : end]:
            end = text.rfind(b"\n", 0, end - 1) + 1
        if end:
            new = self._new_name(f"{name}.copy")
            self.texts[new] = text[:end]
            self._write(new)

    def ingest(self, block: int, batch: int, scan: bool) -> None:
        """Ingest with small blocks and batches, with the compiled scanner from the first byte or not at all."""
        old = blocks.BLOCK_BYTES, gather.BATCH_ROWS, loading.SCAN_FROM_BYTES, merge.MANY_BATCHES
        blocks.BLOCK_BYTES, gather.BATCH_ROWS = block, batch
        loading.SCAN_FROM_BYTES, merge.MANY_BATCHES = 0 if scan else 1 << 40, 5
        try:
            self.lake.take(self.logs)
        finally:
            blocks.BLOCK_BYTES, gather.BATCH_ROWS, loading.SCAN_FROM_BYTES, merge.MANY_BATCHES = old

    def check_law(self) -> None:
        """Every load's lines are rows, rejects, noise and blank, and the rows are there."""
        if not (self.lake.root / "lake.json").exists():
            return
        for load in self.lake.loads():
            assert load["lines"] == load["rows"] + load["rejects"] + load["noise"] + load["blank"], load
        totals = self.lake.totals()
        assert totals["rows"] == len(self.lake.rows("line_number"))
        assert totals["rejects"] == len(self.lake.rejects())

    def check_all(self) -> None:
        """After a last ingest, the lake holds what one ingest of everything gives, and another ingest adds nothing."""
        self.ingest(1 << 22, 10_000, False)
        before = self.lake.totals()
        self.ingest(5_000, 20, True)
        assert self.lake.totals() == before
        self.check_law()
        calm = Lake(self._root / "calm")
        calm.take(self.logs)
        assert _ids(self.lake) == _ids(calm)
        doubled = [name for name, count in Counter(_ids(self.lake)).items() if count > 1]
        assert doubled == []
        assert _raw(self.lake) == _raw(calm)
        values = [sorted(map(_values, each.rows())) for each in (self.lake, calm)]
        assert values[0] == values[1]


def _own(made: bytes) -> bytes:
    """Write a line's id first, so that no two lines begin alike."""
    values = json.loads(made)
    return json.dumps({"request_id": values.pop("request_id"), **values}, separators=(",", ":")).encode() + b"\n"


def _ids(lake: Lake) -> list[str]:
    return sorted(row["request_id"] for row in lake.rows("request_id"))


def _raw(lake: Lake) -> list[bytes]:
    return sorted(reject["raw"] for reject in lake.rejects())


def _values(row: dict[str, Any]) -> str:
    return repr({name: value for name, value in row.items() if name not in ("source", "line_number")})
