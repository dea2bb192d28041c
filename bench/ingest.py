"""The ingest against DuckDB, Polars, PyArrow and chDB, as whole processes in turn: `python -m bench.ingest`.

All read the same generated files (`lines`), warm in the page cache, to zstd Parquet. Ours does the full job: types, "-"
to null, cluster parts, direction, rejects and noise apart, ledger. The others copy, see `peers`. Times are medians,
every second round runs in reverse order, and each goal stands beside what was measured, met or not.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from bench import goals, lines, table
from bench.goals import Goal
from bench.measure import ROOT, Contender, in_turn, python, warm
from bench.peers import CAN_READ, NOTES

PARTS = (*lines.STYLES, "small", "memory")

ENDINGS = {"gzip": "jsonl.gz", "zstd": "jsonl.zst"}

APART = ROOT / ".venv" / "peers" / "bin" / "python"
"""The environment of those that meshlog does not depend on, see the Makefile."""

LIVES_APART = ("polars", "chdb")

BYTES_A_LINE = 800
"""Of the typed style, to choose how many lines make a gigabyte."""

Show = Callable[..., None]


class Bench:
    """The files that are being measured, and the options that all parts share."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.lines: int = options.lines
        self.runs: int = options.runs
        self.peers: list[str] = [] if options.only_ours else options.peers
        self.gigabytes: list[float] = options.gigabytes
        self.scratch = scratch

    def generate(self, style: str, count: int, name: str | None = None) -> Path:
        """Write lines in a process of its own, as its memory would count as that of the programs measured later."""
        path = self.scratch / f"{name or style}.{ENDINGS.get(style, 'jsonl')}"
        if not path.exists():
            python("-m", "bench.lines", style, str(count), str(path))
        warm(path)
        return path

    def ours(self, source: Path, name: str = "meshlog") -> Contender:
        """The command on a file, into a new lake."""
        lake = self.scratch / f"lake-{name}"
        call = ("-c", "from pipeline.cli import cli; cli()", "ingest", str(source), "--lake", str(lake))
        return Contender(name, call, lake)

    def peer(self, name: str, style: str, source: Path) -> Contender:
        """A peer's program on a file."""
        target = self.scratch / f"{name}.parquet"
        interpreter = str(APART) if name in LIVES_APART else sys.executable
        return Contender(name, ("-m", "bench.peers", name, style, str(source), str(target)), target, interpreter)

    def contenders(self, style: str, source: Path, typed: Path) -> list[Contender]:
        """Ours, what its goal is measured against, and every peer that reads the style."""
        chosen = [self.ours(source)]
        if style == "noise":
            chosen.append(self.ours(typed, "clean"))
        if style in ENDINGS:
            decompress = Contender("decompress", ("-m", "bench.peers", "decompress", style, str(source), ""))
            chosen += [self.ours(typed, "plain"), decompress]
        return chosen + [self.peer(name, style, source) for name in self.peers if style in CAN_READ[name]]


def measure_style(bench: Bench, style: str, show: Show) -> Iterator[Goal]:
    """Generate, measure and show one style; its file is gone afterwards, but for the typed one, which others need."""
    typed = bench.generate("typed", bench.lines)
    source = bench.generate(style, bench.lines)
    contenders = bench.contenders(style, source, typed)
    in_turn(contenders, bench.runs)
    text = typed if style in ENDINGS else source
    if bench.peers and style in NOTES:
        print(f"{NOTES[style]}\n")
    show(table.FIGURES, table.figures(style, contenders, text.stat().st_size / 1e6))
    if source != typed:
        source.unlink()
    yield from goals.of_style(style, {contender.name: contender for contender in contenders})


def measure_small(bench: Bench, show: Show) -> Iterator[Goal]:
    """Ten lines: what starting costs, five times."""
    source = bench.generate("typed", 10, "small")
    contenders = [bench.ours(source), *(bench.peer(name, "typed", source) for name in bench.peers)]
    in_turn(contenders, 5)
    show(table.FIGURES, table.figures("10 lines", contenders, source.stat().st_size / 1e6))
    if contenders[0].failure:
        yield Goal("10 lines: ingest runs to its end", "yes", "no", False)
    else:
        yield goals.small(contenders[0])


def measure_memory(bench: Bench, show: Show) -> Iterator[Goal]:
    """Ours once on real files of growing size: memory must not grow with them."""
    (bench.scratch / "typed.jsonl").unlink(missing_ok=True)
    for gigabytes in bench.gigabytes:
        name = f"{gigabytes:g} GB"
        source = bench.generate("typed", int(gigabytes * 1e9 / BYTES_A_LINE), "large")
        contender = bench.ours(source)
        in_turn([contender], 1)
        show(table.FIGURES, table.figures(name, [contender], source.stat().st_size / 1e6))
        source.unlink()
        if contender.failure:
            yield Goal(f"{name}: ingest runs to its end", "yes", "no", False)
        else:
            yield goals.peak(name, contender)


def measure(bench: Bench, parts: list[str], show: Show) -> Iterator[Goal]:
    """All chosen parts, after an unmeasured run for which the kernel is compiled, once a machine."""
    in_turn([bench.ours(bench.generate("typed", 2_000, "first"))], 1)
    for style in lines.STYLES:
        if style in parts:
            yield from measure_style(bench, style, show)
    if "small" in parts:
        yield from measure_small(bench, show)
    if "memory" in parts:
        yield from measure_memory(bench, show)


def machine(peers: list[str]) -> str:
    """Where and with what the figures came about."""
    model = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    versions = [f"{name} {version(name)}" for name in peers if name not in LIVES_APART]
    for name in set(peers) & set(LIVES_APART):
        installed = APART.parents[1].glob(f"lib/*/site-packages/{name}-[0-9]*.dist-info")
        versions += [folder.stem.replace("-", " ") for folder in installed] or [f"{name} not installed"]
    return ", ".join((f"{os.cpu_count()} cores ({model})", f"Python {platform.python_version()}", *versions))


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def parse() -> argparse.Namespace:
    """The options; everything by default."""

    def some_of(known: tuple[str, ...]) -> Callable[[str], list[str]]:
        def chosen(text: str) -> list[str]:
            names = text.split(",")
            if unknown := sorted(set(names) - set(known)):
                raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
            return names

        return chosen

    options = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__.partition("\n")[0])
    options.add_argument("--lines", type=int, default=5_000_000, help="lines of each style [5000000]")
    options.add_argument("--runs", type=int, default=3, help="runs of each program [3]")
    options.add_argument("--styles", type=some_of(PARTS), default=list(PARTS), help=f"any of {','.join(PARTS)}")
    options.add_argument("--peers", type=some_of(tuple(CAN_READ)), default=list(CAN_READ), help=",".join(CAN_READ))
    options.add_argument("--only-ours", action="store_true", help="no peer")
    options.add_argument(
        "--gigabytes", type=float, nargs="+", default=[1, 10], help="sizes of the files of the memory part [1 10]"
    )
    options.add_argument(
        "--scratch", type=Path, default=Path("out/bench"), help="folder for up to 12 GB, empty at the end [out/bench]"
    )
    options.add_argument("--markdown", action="store_true", help="tables in Markdown")
    return options.parse_args()


def main() -> None:
    """Measure what was chosen, show each part when it is done, and the goals at the end."""
    options = parse()

    def show(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        table.show(header, rows, options.markdown)

    options.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        bench = Bench(options, Path(scratch).resolve())
        print(f"{bench.lines:,} lines a style, medians of {bench.runs} runs, {machine(bench.peers)}\n", flush=True)
        reached = list(measure(bench, options.styles, show))
    show(table.GOALS, table.goals(reached))


if __name__ == "__main__":
    main()
