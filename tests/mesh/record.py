"""The recorder: plays stories on real Envoys and writes the sample logs and the truth beside them.

Run it as `python -m tests.mesh.record [--story NAME ...] --out sample_logs --truth tests/truth`.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.mesh import kubelet
from tests.mesh.stage import Stage, mesh_up
from tests.mesh.stories import STORIES, Story
from tests.mesh.truth import Notebook, now

_LOCK = Path(tempfile.gettempdir()) / "meshlog-recorder.lock"
"""Addresses are fixed, so only one mesh can be up on a machine."""


@dataclass(frozen=True)
class Counts:
    """Lines by what wrote them; `server_reached` are the server's lines of calls that got to the application."""

    client: int
    server: int
    server_reached: int


def main() -> None:
    """Record the stories that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--story", action="append", choices=STORIES, metavar="NAME", help="record only this (repeatable)"
    )
    parser.add_argument("--out", type=Path, default=Path("sample_logs"), help="folder for the log files")
    parser.add_argument("--truth", type=Path, default=Path("tests/truth"), help="folder for what truly happened")
    arguments = parser.parse_args()
    for name in arguments.story or STORIES:
        began = time.monotonic()
        counts = record(STORIES[name], arguments.out, arguments.truth)
        took = time.monotonic() - began
        print(f"{name}: {counts.client} client, {counts.server} server lines in {took:.1f} s")  # noqa: T201 - a command


def record(story: Story, out: Path, truth: Path) -> Counts:
    """Play one story and write its log and its truth; RuntimeError if a line is missing or too many."""
    for folder in (out, truth):
        folder.mkdir(parents=True, exist_ok=True)
    with _only_one_mesh(), tempfile.TemporaryDirectory(prefix="meshlog-") as configs:
        recorded_at = now()
        stage = asyncio.run(_play(story, Path(configs)))
    records = [json.loads(text) for proxy in stage.proxies.values() for text in proxy.access_lines()]
    counts = _count(records)
    _check(story.name, counts, stage.notebook)
    _write_logs(story, stage, out)
    document = stage.notebook.truth(story.name, story.cause, story.culprit, recorded_at)
    (truth / f"{story.name}.json").write_text(json.dumps(document, indent=1) + "\n")
    return counts


async def _play(story: Story, configs: Path) -> Stage:
    async with mesh_up(story.mesh, story.workloads, story.style, configs) as stage:
        await story.play(stage)
    return stage


@contextmanager
def _only_one_mesh() -> Iterator[None]:
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_logs(story: Story, stage: Stage, out: Path) -> None:
    if story.layout == "kubelet":
        folder = out / story.name
        shutil.rmtree(folder, ignore_errors=True)
        kubelet.write(stage.proxies.values(), folder, rotated="frontend", moments=stage.rotated_at)
        return
    lines = [text for proxy in stage.proxies.values() for text in proxy.access_lines()]
    lines.sort(key=lambda text: _written_at(json.loads(text)))
    (out / f"{story.name}.jsonl").write_text("".join(f"{line}\n" for line in lines))


def _written_at(record: dict[str, Any]) -> datetime:
    """Tell when a line was written: at the end of what it describes."""
    return datetime.fromisoformat(record["start_time"]) + timedelta(milliseconds=int(record["duration"]))


def _count(records: list[dict[str, Any]]) -> Counts:
    server = [line for line in records if (line["upstream_cluster"] or "").startswith("inbound|")]
    reached = [line for line in server if line["upstream_local_address"] not in (None, "-")]
    return Counts(len(records) - len(server), len(server), len(reached))


def _check(name: str, counts: Counts, notebook: Notebook) -> None:
    """Hold the lines against the notes: one client line a call, one server line an attempt that was served."""
    sides = [session.side for session in notebook.sessions]
    calls = len(notebook.visits) + len(notebook.calls) + sides.count("client")
    served = len(notebook.served) + sides.count("server")
    if (counts.client, counts.server_reached) != (calls, served):
        raise RuntimeError(f"{name}: {calls} calls and {served} served attempts were noted, but the logs hold {counts}")


if __name__ == "__main__":
    main()
