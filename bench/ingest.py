"""Ingest against DuckDB's own reader, as whole processes in turn: `python -m bench.ingest [--lines N] [--runs N]`.

Both read the same generated file to zstd Parquet. Ours does the full job (types, "-" to null, cluster parts,
direction, rejects and noise apart, ledger); DuckDB's is a bare `COPY (read_json) TO`. Times are medians; the ratio is
above 1 where ours is faster.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SAMPLE = Path(__file__).parents[1] / "sample_logs" / "happy_path.jsonl"

OURS = "from pipeline.cli import cli; cli()"
DUCKDB = """
import sys, duckdb
source, target = sys.argv[1:]
lines = f"read_json('{source}', format='newline_delimited')"
duckdb.execute(f"copy (from {lines}) to '{target}' (format parquet, compression zstd)")
"""


def generate(path: Path, lines: int) -> None:
    """Write lines like the recorded ones with fresh ids, times, ports and durations, the same every time."""
    rng = random.Random(7)
    samples = [json.loads(line) for line in SAMPLE.read_text().splitlines()]
    with path.open("w") as file:
        for number in range(lines):
            row = dict(rng.choice(samples))
            row["request_id"] = (
                f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-4{rng.getrandbits(12):03x}-8000-{rng.getrandbits(48):012x}"
            )
            # a day in order of time, but for the lines that end later than they began
            began = number * 86_400_000 // lines - rng.randrange(min(500, number + 1))
            second, milliseconds = divmod(max(0, began), 1000)
            row["start_time"] = (
                f"2026-11-23T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{milliseconds:03}Z"
            )
            row["duration"] = rng.randrange(500)
            row["upstream_local_address"] = (
                f"10.0.{rng.randrange(256)}.{rng.randrange(256)}:{rng.randrange(30000, 60000)}"
            )
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


def run(program: str, *arguments: str) -> tuple[float, float]:
    """Run a program to its end; return wall seconds and peak memory in MB."""
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{arguments[0]} failed with {status}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def main() -> None:
    """Generate, measure in turn, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lines", type=int, default=500_000)
    options.add_argument("--runs", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = folder / "access.jsonl"
        generate(source, chosen.lines)
        megabytes = source.stat().st_size / 1e6
        times: dict[str, list[float]] = {"meshlog": [], "duckdb": []}
        memory: dict[str, float] = {}
        for _ in range(chosen.runs):
            shutil.rmtree(folder / "lake", ignore_errors=True)
            for name, call in {
                "meshlog": (OURS, "ingest", str(source), "--lake", str(folder / "lake")),
                "duckdb": (DUCKDB, str(source), str(folder / "duckdb.parquet")),
            }.items():
                seconds, peak = run(*call)
                times[name].append(seconds)
                memory[name] = max(memory.get(name, 0), peak)
        sizes = {
            "meshlog": sum(path.stat().st_size for path in (folder / "lake").rglob("*.parquet")),
            "duckdb": (folder / "duckdb.parquet").stat().st_size,
        }
    print(f"{chosen.lines:,} lines, {megabytes:,.0f} MB, median of {chosen.runs}, {os.cpu_count()} cores")
    for name, seconds in times.items():
        print(
            f"{name:<8} {median(seconds):7.2f} s {megabytes / median(seconds):7.0f} MB/s "
            f"{memory[name]:6.0f} MB peak {sizes[name] / 1e6:7.1f} MB Parquet"
        )
    print(f"ratio    {median(times['duckdb']) / median(times['meshlog']):.2f} times DuckDB's COPY")


if __name__ == "__main__":
    main()
