"""A process that forks ingests on request, so that many can be started and killed in little time.

It has imported everything and started no thread, so a fork is a fresh `meshlog ingest` without its half second of
imports. Batches and blocks are small, so that a few thousand lines make many commits.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

SERVER = """
import json, os, pathlib, signal, sys
from pipeline.ingest import blocks, direction, gather, load, merge, normalise, odd, writer
from pipeline.lake import ledger

steps = 0

def dying(function, last):
    def step(*arguments, **options):
        global steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        made = function(*arguments, **options)
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return made
    return step

def ingest(call):
    blocks.BLOCK_BYTES, gather.BATCH_ROWS = call["block_bytes"], call["batch_rows"]
    ledger.KEEP_SECONDS, merge.MANY_BATCHES = call["keep_seconds"], call["many_batches"]
    if call["file_limit"]:
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (call["file_limit"],) * 2)
    last = call["die_at"]
    if last:
        writer.pq.write_table = dying(writer.pq.write_table, last)
        os.fsync = dying(os.fsync, last)
        for name in ("replace", "unlink", "mkdir"):
            setattr(pathlib.Path, name, dying(getattr(pathlib.Path, name), last))
    try:
        load.load(call["paths"], call["lake"])
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)

while request := sys.stdin.readline():
    call = json.loads(request)
    child = os.fork()
    if not child:
        ingest(call)
    print(child, flush=True)
    sys.stdin.readline()  # until then its id is nobody else's, so that it can be killed
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forge:
    """Starts ingests: `start` returns a process id, `end` waits and returns its exit code (negative: a signal)."""

    def __init__(self) -> None:
        root = Path(__file__).parents[1]
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> "Forge":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=30)

    def start(self, lake: Path, paths: Sequence[Path], **options: Any) -> int:
        defaults = {
            "block_bytes": 20_000,
            "batch_rows": 100,
            "die_at": 0,
            "file_limit": 0,
            "keep_seconds": 3600,
            "many_batches": 10,
        }
        call = {**defaults, "lake": str(lake), "paths": [str(path) for path in paths], **options}
        return int(self._ask(json.dumps(call)))

    def end(self) -> int:
        return int(self._ask(""))

    def _ask(self, what: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def run(self, lake: Path, *paths: Path, **options: Any) -> int:
        self.start(lake, paths, **options)
        return self.end()
