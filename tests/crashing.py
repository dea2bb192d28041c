"""A process that forks ingests on request, to start and kill many in little time, and a reader of what they write.

The process has imported everything and started no thread, so a fork is a fresh `meshlog ingest` without its half second
of imports. Batches and blocks are small, so that a few thousand lines make many commits.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow.parquet as pq

from pipeline.lake.layout import open_lake
from pipeline.lake.ledger import read_ledger

SERVER = """
import json, os, pathlib, signal, sys, time
from pipeline.ingest import blocks, direction, follow, gather, load, merge, normalise, odd, writer
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

def print_error(text):
    print(text, file=sys.stderr, flush=True)

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
        if call["follow"]:
            follow.LOOK_SECONDS = follow.MERGE_SECONDS = 0.01
            until = time.monotonic() + call["follow"]
            stop = lambda: time.monotonic() > until
            follow.follow(call["paths"], call["lake"], every=0.02, has_to_stop=stop, tell=print_error)
        else:
            load.load(call["paths"], call["lake"])
    except Exception as error:
        print_error(f"{type(error).__name__}: {error}")
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
    """Starts ingests: `start` returns a process id, `end` waits and returns its exit code (negative: a signal).

    `follow` is for how many seconds to follow, rather than to ingest once.
    """

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
            "follow": 0,
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


class Reader(threading.Thread):
    """Reads a lake over and over, as a query does, and notes what does not fit together."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.root, self.reads, self.wrong = root, 0, list[str]()
        self.is_done = threading.Event()

    def run(self) -> None:
        while not self.is_done.is_set():
            if (self.root / "ledger").is_dir():
                try:
                    self._read()
                except Exception as error:
                    self.wrong.append(repr(error))
            time.sleep(0.01)

    def _read(self) -> None:
        ledger = read_ledger(open_lake(self.root))
        loads = ledger.loads().to_pylist()
        counts = {
            "access_logs": sum(load["rows"] for load in loads),
            "quarantine": sum(load["rejects"] for load in loads),
        }
        for dataset, count in counts.items():
            found = sum(pq.read_metadata(self.root / name).num_rows for name in ledger.files(dataset))
            if found != count:
                self.wrong.append(f"{found} {dataset}, not {count}")
        self.reads += 1

    def end(self) -> None:
        self.is_done.set()
        self.join(10)
