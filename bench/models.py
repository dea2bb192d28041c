"""The models on days of growing size, as whole processes: `python -m bench.models --lines 1000000,5000000,20000000`.

Each size is a lake of its own (`day`), warm in the page cache. The programs are the command as its user runs it, so every
figure holds the start of Python, which `select 1` shows by itself. Goals are for the largest lake and stand beside what
was measured, met or not; growth is against the smallest one.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import table
from bench.day import DAY
from bench.goals import Goal
from bench.ingest import machine
from bench.measure import Contender, in_turn, python, warm

FIGURES = ("lines", "program", "wall s", "CPU s", "peak MB")

START = "select 1"
MODELS = "hops and traces"
REPORT = "report"

LIMITS = {MODELS: 60.0, "trace ID": 0.5, "hops of a request": 0.5, "error rates": 1.0, REPORT: 90.0}
"""Seconds that each may take on 20 million lines."""

MOST_MB = 4_000

MOST_GROWTH = 1.2
"""Time against time on the smallest lake, for each line."""

QUERIES = {
    START: "select 1",
    MODELS: "select (select count(*) from hops) as hops, (select count(*) from traces) as traces",
    "hops of a request": "select * from hops where request_id = '{request}'",
    "error rates": "select sum(requests), sum(errors), max(error_rate) from error_rates",
}


@dataclass(frozen=True)
class Measured:
    """What the programs took on a lake of so many lines."""

    lines: int
    contenders: dict[str, Contender]


def measure(lines: int, runs: int, scratch: Path) -> Measured:
    """Make a lake, and run each program on it so many times in turn; the long ones once."""
    lake = scratch / f"lake-{lines}"
    python("-m", "bench.day", str(lines), str(lake))
    for file in lake.rglob("*.parquet"):
        warm(file)
    short = [Contender(name, _sql(lake, query)) for name, query in QUERIES.items() if name != MODELS]
    request = _a_request(lake)
    for contender in short:
        contender.arguments = tuple(argument.replace("{request}", request) for argument in contender.arguments)
    short.append(Contender("trace ID", _meshlog("trace", request, "--lake", str(lake))))
    out = ("--date", f"{DAY:%Y-%m-%d}", "--out", str(scratch / "report"))
    long = [
        Contender(MODELS, _sql(lake, QUERIES[MODELS])),
        Contender(REPORT, _meshlog(REPORT, "--lake", str(lake), *out)),
    ]
    in_turn(short, runs)
    in_turn(long, 1)
    return Measured(lines, {contender.name: contender for contender in (*short, *long)})


def _meshlog(*arguments: str) -> tuple[str, ...]:
    return ("-c", "from pipeline.cli import cli; cli()", *arguments)


def _sql(lake: Path, query: str) -> tuple[str, ...]:
    return _meshlog("sql", query, "--lake", str(lake))


def _a_request(lake: Path) -> str:
    """The id of a request from the middle of the day that went through several services."""
    from pyarrow import parquet

    file = min((lake / "access_logs").glob("date=*/hour=12/*.parquet"))
    rows = parquet.read_table(file, columns=["request_id", "upstream_cluster"]).to_pylist()
    return str(next(row["request_id"] for row in rows if "frontend" in (row["upstream_cluster"] or "")))


def figures(measured: Measured) -> Iterator[tuple[str, ...]]:
    """A row a program."""
    for name, contender in measured.contenders.items():
        if contender.failure:
            yield (f"{measured.lines:,}", name, f"failed: {contender.failure[:100]}", "", "")
        else:
            took = (f"{contender.wall:.2f}", f"{contender.cpu:.2f}", f"{contender.peak:.0f}")
            yield (f"{measured.lines:,}", name, *took)


def goals(smallest: Measured, largest: Measured) -> Iterator[Goal]:
    """The limits on the largest lake, and the growth up to there."""
    where = f"{largest.lines:,} lines"
    for name, limit in LIMITS.items():
        contender = largest.contenders[name]
        if contender.failure:
            yield Goal(f"{where}: {name} runs to its end", "yes", "no", False)
            continue
        yield Goal(f"{where}: {name}, seconds", f"< {limit:g}", f"{contender.wall:.2f}", contender.wall < limit)
        yield Goal(f"{where}: {name}, peak MB", f"< {MOST_MB}", f"{contender.peak:.0f}", contender.peak < MOST_MB)
    before, after = smallest.contenders[MODELS], largest.contenders[MODELS]
    if largest.lines > smallest.lines and not before.failure and not after.failure:
        growth = after.wall / before.wall / (largest.lines / smallest.lines)
        what = f"{MODELS}: time a line, {where} against {smallest.lines:,}"
        yield Goal(what, f"<= {MOST_GROWTH:.2f}", f"{growth:.2f}", growth <= MOST_GROWTH)


def parse() -> argparse.Namespace:
    """The options; everything by default."""

    def counts(text: str) -> list[int]:
        return sorted(int(part) for part in text.split(","))

    options = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__.partition("\n")[0])
    options.add_argument(
        "--lines", type=counts, default=[1_000_000, 5_000_000, 20_000_000], help="[1000000,5000000,20000000]"
    )
    options.add_argument(
        "--runs", type=int, default=3, help="runs of each program that is to take a second or less [3]"
    )
    options.add_argument(
        "--scratch", type=Path, default=Path("out/bench"), help="folder for up to 2 GB, empty at the end [out/bench]"
    )
    options.add_argument("--markdown", action="store_true", help="tables in Markdown")
    return options.parse_args()


def main() -> None:
    """Measure each size, show it when it is done, and the goals at the end."""
    options = parse()
    options.scratch.mkdir(parents=True, exist_ok=True)
    print(f"medians of {options.runs} runs, {machine(['duckdb'])}\n", flush=True)
    measured = []
    for lines in options.lines:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            measured.append(measure(lines, options.runs, Path(scratch).resolve()))
        table.show(FIGURES, list(figures(measured[-1])), options.markdown)
    table.show(table.GOALS, table.goals(goals(measured[0], measured[-1])), options.markdown)


if __name__ == "__main__":
    main()
