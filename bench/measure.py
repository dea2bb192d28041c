"""Runs programs as whole processes, in turn, and keeps what the kernel says that each took."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]

INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of what is measured: with bytecode, as an installed package has it."""


@dataclass(frozen=True)
class Run:
    """One run of one program: wall and CPU seconds (user and system), peak resident memory in MB."""

    wall: float
    cpu: float
    peak: float


class FailedError(Exception):
    """A program ended with an error; the message is the last line that it wrote."""


@dataclass
class Contender:
    """A program in a comparison: its arguments to Python, and the Parquet file or lake that it writes, if it does."""

    name: str
    arguments: tuple[str, ...]
    target: Path | None = None
    interpreter: str = sys.executable
    runs: list[Run] = field(default_factory=list)
    failure: str | None = None
    parquet_bytes: int = 0
    rows: int = 0

    @property
    def wall(self) -> float:
        """Median seconds."""
        return median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        """Median seconds."""
        return median(run.cpu for run in self.runs)

    @property
    def peak(self) -> float:
        """The most of all runs, in MB."""
        return max(run.peak for run in self.runs)


def python(*arguments: str, interpreter: str = sys.executable) -> Run:
    """Run Python in the checkout, so that the code measured is the code beside this file.

    A child's peak counts from what this process held when it started it: some 80 MB are the least that can be told.
    """
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        child = subprocess.Popen(
            [interpreter, *arguments],
            cwd=ROOT,
            env=INSTALLED,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            raise FailedError(said[-1] if said else f"exit code {child.returncode}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turn(contenders: list[Contender], runs: int) -> None:
    """Run each so many times, every second time in reverse order; one that fails is not run again."""
    for number in range(runs):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            if contender.failure:
                continue
            _clear(contender.target)
            try:
                contender.runs.append(python(*contender.arguments, interpreter=contender.interpreter))
            except (FailedError, FileNotFoundError) as error:
                contender.failure = str(error)
    for contender in contenders:
        if contender.target and not contender.failure:
            contender.parquet_bytes, contender.rows = _written(contender.target)
        _clear(contender.target)


def _clear(target: Path | None) -> None:
    if target and target.is_dir():
        shutil.rmtree(target)
    elif target:
        target.unlink(missing_ok=True)


def _written(target: Path) -> tuple[int, int]:
    """Bytes and rows of the Parquet that a contender left; a lake's are those of its access logs."""
    from pyarrow import parquet

    files = list((target / "access_logs").rglob("*.parquet")) if target.is_dir() else [target]
    return sum(file.stat().st_size for file in files), sum(parquet.read_metadata(file).num_rows for file in files)


def warm(source: Path) -> None:
    """Bring a file into the page cache: what is measured is the programs, not the disk."""
    with source.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass
