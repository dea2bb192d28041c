"""A recording of the town: all scenarios played on real Envoys, the logs as a collector would bring them, and notes.

Each line carries the span of its call until the logs are written: there it is cut out and noted beside file and line
number. A line without a header (raw TCP, nonsense) is known by the sockets that the two ends noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.mesh import envoy, http1, lateness
from tests.mesh.certs import Authority
from tests.mesh.formats import TRACKED, TRUTH_KEY
from tests.mesh.http1 import Reply, Request
from tests.mesh.planned import PlannedApp
from tests.mesh.plans import PLAN_HEADER, from_header
from tests.mesh.policies import AUTHZ_PORT
from tests.mesh.proxies import Proxy
from tests.mesh.record import _only_one_mesh
from tests.mesh.scenarios.healthy import background
from tests.mesh.scene import Scenario, Scene, Town
from tests.mesh.town import town
from tests.mesh.truth import MIRROR_MARK, Notebook
from tests.mesh.world import Pod

_SPAN = re.compile(rf',"{TRUTH_KEY}":(null|"([^"]*)")')
_START = re.compile(r'"start_time":"([^"]*)"')
_QUIET_SECONDS = 0.2
_NAP_SECONDS = 0.02
_SAME_SECONDS = 5

Spans = defaultdict[str, list[tuple[datetime, str]]]
"""Connections by an end's address: when each was opened, and the span of the call it was opened for."""


@dataclass(frozen=True)
class Setting:
    """How a recording's logs differ from what the proxies wrote: clocks apart (ms by workload), and logs not there."""

    name: str
    clocks_ms: dict[str, int] = field(default_factory=dict)
    unlogged: frozenset[str] = frozenset()


@dataclass
class Recording:
    """What came of it: the notes, and the span of each line by file name and line number."""

    setting: Setting
    town: Town
    spans: dict[tuple[str, int], str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    """Whose log each file is."""

    @property
    def notebook(self) -> Notebook:
        return self.town.notebook


def record(setting: Setting, scenarios: Sequence[Scenario], requests: int, logs: Path) -> Recording:
    """Play the scenarios one after another over background traffic, and write each pod's log into `logs`."""
    with _only_one_mesh(), tempfile.TemporaryDirectory(prefix="meshlog-") as folder:
        recorded = lateness.run(_play(scenarios, requests, Path(folder)))
    recording = Recording(setting, recorded)
    logs.mkdir(parents=True, exist_ok=True)
    _write_logs(recording, logs)
    return recording


async def _play(scenarios: Sequence[Scenario], requests: int, folder: Path) -> Town:
    async with _town_up(folder) as running:
        late = running.notebook.late_ms
        watching = asyncio.create_task(_watch(late))
        behind = Scene("background", running, requests, "127.0.97.1")
        noise = asyncio.create_task(background(behind))
        for number, scenario in enumerate(scenarios):
            scene = Scene(scenario.name, running, requests, f"127.0.96.{number + 1}")
            late[scenario.name] = []
            await scenario.play(scene)
            await scene.close()
        behind.is_over = True
        await noise
        await behind.settle()
        await behind.close()
        watching.cancel()
    return running


async def _watch(late_ms: dict[str, list[float]]) -> None:
    """Note, under the scenario that began last, how late the machine is to wake a process up that asked for it."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(_NAP_SECONDS)
        if late_ms:
            late_ms[next(reversed(late_ms))].append((time.perf_counter() - began - _NAP_SECONDS) * 1000)


@asynccontextmanager
async def _town_up(folder: Path) -> AsyncIterator[Town]:
    mesh, notebook, authority = town(), Notebook(), Authority(folder)

    def proxy(pod: Pod) -> Proxy:
        files = authority.issue(pod.name, pod.identity)
        make = envoy.gateway(mesh, TRACKED, files) if pod is mesh.gateway else envoy.sidecar(mesh, pod, TRACKED, files)
        return Proxy(pod, make, folder)

    proxies = {"gateway": proxy(mesh.gateway)}
    proxies |= {key: proxy(pod) for key, pod in mesh.pods.items() if pod.has_sidecar}
    running = Town(mesh, notebook, {key: PlannedApp(pod, mesh, notebook) for key, pod in mesh.pods.items()}, proxies)
    authorizer = await asyncio.start_server(_authorize, "127.0.0.1", AUTHZ_PORT)
    try:
        await asyncio.gather(*(one.start() for one in proxies.values()))
        await asyncio.gather(*(app.start() for app in running.apps.values()))
        await asyncio.gather(*(one.ready() for one in proxies.values()))
        yield running
        await asyncio.sleep(_QUIET_SECONDS)
    finally:
        await asyncio.gather(*(app.stop() for app in running.apps.values()), return_exceptions=True)
        await asyncio.gather(*(one.stop() for one in proxies.values()))
        authorizer.close()
        await asyncio.sleep(_QUIET_SECONDS)  # transports that were closed end in the loop's next turns


async def _authorize(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve as the external authorization service: refuse what the plan says is refused."""

    async def decide(request: Request) -> Reply:
        refused = from_header(request.headers.get(PLAN_HEADER)).status == 403
        return Reply(403 if refused else 200)

    with contextlib.suppress(ConnectionError):
        await http1.serve(decide, reader, writer)
    writer.close()


def _write_logs(recording: Recording, logs: Path) -> None:
    """Write each pod's log, its clock shifted, and note whose line is whose."""
    upstream: Spans = defaultdict(list)
    without_header: list[tuple[str, int, dict[str, Any]]] = []
    for workload, proxy in recording.town.proxies.items():
        if workload in recording.setting.unlogged:
            continue
        pod = proxy.pod
        name = f"{pod.namespace}_{pod.name}_istio-proxy.log"
        recording.services[name] = f"{pod.service}.{pod.namespace}"
        kept: list[str] = []
        for text in proxy.access_lines():
            if not text.endswith("}"):
                continue  # cut off when the proxy was killed
            line = json.loads(text)
            span = line[TRUTH_KEY]
            if span and MIRROR_MARK in (line["authority"] or ""):
                span += MIRROR_MARK
            kept.append(_shifted(_SPAN.sub("", text), recording.setting.clocks_ms.get(workload, 0)))
            if span:
                recording.spans[name, len(kept)] = span
                if "connection_termination" in (line["response_code_details"] or ""):
                    upstream[line["upstream_local_address"]].append((_started(line), span))
            else:
                without_header.append((name, len(kept), line))
        (logs / name).write_text("".join(f"{text}\n" for text in kept))
    _know_by_sockets(recording, upstream, without_header)


def _know_by_sockets(recording: Recording, upstream: Spans, lines: list[tuple[str, int, dict[str, Any]]]) -> None:
    """Find the spans of lines without a header by the ends that were noted; where the application noted none, by the
    client's line of the same connection. `upstream` has the spans of connections by the client's proxy's own end.
    """
    noted = _sockets(recording.town)
    for name, number, line in lines:
        peer = str(line["downstream_remote_address"])
        span = _span_of(noted["client", peer.split(":")[0], peer], line)
        if span and _is_outbound(line):
            recording.spans[name, number] = span
            upstream[line["upstream_local_address"]].append((_started(line), span))
    for name, number, line in lines:
        pod_ip = str(line["downstream_local_address"]).split(":")[0]
        application = _span_of(noted["server", pod_ip, line["upstream_local_address"]], line)
        span = application or _span_of(upstream[line["downstream_remote_address"]], line)
        span = recording.town.raw_spans.get(line["downstream_remote_address"], span)
        if span and not _is_outbound(line):
            recording.spans[name, number] = span


def _is_outbound(line: dict[str, Any]) -> bool:
    """Tell the line of an application that dialled a service's address."""
    return str(line["downstream_local_address"]).startswith("10.")


def _started(line: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(line["start_time"])


def _span_of(connections: Sequence[tuple[datetime, str]], line: dict[str, Any]) -> str | None:
    """Choose the connection that was opened nearest to a line's start: the kernel gives a port out more than once."""
    began = _started(line)
    near = [(abs(opened - began), span) for opened, span in connections]
    return min((one for one in near if one[0] < timedelta(seconds=_SAME_SECONDS)), default=(None, None))[1]


def _sockets(running: Town) -> defaultdict[tuple[str, str, str], list[tuple[datetime, str]]]:
    """Name connections without headers by side, pod and the application's end: the client's own, the server's peer."""
    found: defaultdict[tuple[str, str, str], list[tuple[datetime, str]]] = defaultdict(list)
    for note in running.notebook.sessions:
        if note.span:
            end = f"{note.pod_ip if note.side == 'client' else '127.0.0.6'}:{note.port}"
            found[note.side, note.pod_ip, end].append((datetime.fromisoformat(note.opened_at), note.span))
    return found


def _shifted(text: str, shift_ms: int) -> str:
    if not shift_ms:
        return text

    def later(found: re.Match[str]) -> str:
        moment = datetime.fromisoformat(found[1]) + timedelta(milliseconds=shift_ms)
        return f'"start_time":"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"'

    return _START.sub(later, text)
