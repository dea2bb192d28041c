"""What the ingest is to reach, on two cores and doing the full job, and whether it did."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.measure import Contender

RATIOS = {"typed": 2.0, "strings": 1.7, "cri": 1.5}
"""How many times as long DuckDB's COPY has to take, by medians."""

WORST_RATIOS = {"typed": 1.5, "templates": 0.8, "random": 0.8}
"""The same in the worst single run."""

NOISE_COST = 1.10

COMPRESSION_COST = 1.3

SMALL_SECONDS = 0.7

PEAK_MB = 700

Contenders = Mapping[str, Contender]


@dataclass(frozen=True)
class Goal:
    """A figure beside its target."""

    what: str
    target: str
    measured: str
    is_met: bool


def of_style(style: str, contenders: Contenders) -> Iterator[Goal]:
    """The goals of a style that its contenders allow to tell; none of those that failed."""
    ran = {name: contender for name, contender in contenders.items() if contender.runs and not contender.failure}
    if "meshlog" not in ran:
        yield Goal(f"{style}: ingest runs to its end", "yes", "no", False)
        return
    if "duckdb" in ran:
        yield from _against_duckdb(style, ran["meshlog"], ran["duckdb"])
    ours = ran["meshlog"].wall
    if style == "noise" and "clean" in ran:
        yield _at_most("noise: time against clean", NOISE_COST, ours / ran["clean"].wall)
    if "decompress" in ran and "plain" in ran:
        slower = max(ran["decompress"].wall, ran["plain"].wall)
        what = f"{style}: time against decompression or plain ingest, the slower"
        yield _at_most(what, COMPRESSION_COST, ours / slower)
    yield peak(style, ran["meshlog"])


def _against_duckdb(style: str, ours: Contender, duckdb: Contender) -> Iterator[Goal]:
    if style in RATIOS:
        yield _at_least(f"{style}: times DuckDB's COPY", RATIOS[style], duckdb.wall / ours.wall)
    if style in WORST_RATIOS:
        worst = min(theirs.wall / mine.wall for mine, theirs in zip(ours.runs, duckdb.runs, strict=True))
        yield _at_least(f"{style}: times DuckDB's COPY, worst run", WORST_RATIOS[style], worst)
    if ours.rows == duckdb.rows:
        share = ours.parquet_bytes / duckdb.parquet_bytes
        yield _at_most(f"{style}: size of Parquet against DuckDB's", 1.0, share)


def small(ours: Contender) -> Goal:
    """The time of a file of ten lines."""
    return Goal("10 lines: seconds in all", f"< {SMALL_SECONDS}", f"{ours.wall:.2f}", ours.wall < SMALL_SECONDS)


def peak(what: str, ours: Contender) -> Goal:
    """The memory of an ingest."""
    return Goal(f"{what}: peak memory in MB", f"< {PEAK_MB}", f"{ours.peak:.0f}", ours.peak < PEAK_MB)


def _at_least(what: str, target: float, value: float) -> Goal:
    return Goal(what, f">= {target:.2f}", f"{value:.2f}", value >= target)


def _at_most(what: str, target: float, value: float) -> Goal:
    return Goal(what, f"<= {target:.2f}", f"{value:.2f}", value <= target)
