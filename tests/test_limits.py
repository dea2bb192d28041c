"""Limits of memory, and times that cannot be: a clear word, and nothing lost."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import ROOT
from ingesting import Lake, line, lines

from pipeline.errors import UsageError
from pipeline.ingest.limits import LEAST_BYTES, parse_memory, within

PEAK = """
import sys
from pipeline.ingest.load import load
summary = load([sys.argv[1]], sys.argv[2], memory=int(sys.argv[3]))
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(summary.counts.rows, int(peak) * 1024)
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


@pytest.mark.parametrize(
    ("text", "size"), [("512MB", 512_000_000), ("1GiB", 1 << 30), ("1.5 gb", 1_500_000_000), ("800m", 800 << 20)]
)
def test_a_size_may_be_written_in_many_ways(text: str, size: int) -> None:
    """Decimal and binary units, in any case."""
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["much", "12XB", "", "-5GB", "511MB", "0"])
def test_what_is_no_size_or_too_little_is_refused(text: str) -> None:
    """The message says how to write it, or how much it takes."""
    with pytest.raises(UsageError, match=r"512MB|512 MB or more"):
        parse_memory(text)


def test_less_memory_makes_smaller_batches() -> None:
    """Never larger ones than without a limit."""
    small, large = within(LEAST_BYTES), within(8 << 30)

    assert small.batch_rows < large.batch_rows == 92_000
    assert 64 << 10 < small.block_bytes < large.block_bytes == 4 << 20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of a process's memory")
def test_the_peak_stays_below_the_limit(tmp_path: Path, log: Path) -> None:
    """For a file that is larger than what the limit leaves for rows."""
    log.write_bytes(lines(3000) * 40)
    call = [sys.executable, "-c", PEAK, str(log), str(tmp_path / "lake"), str(LEAST_BYTES)]
    ran = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    rows, peak = map(int, ran.stdout.split())

    assert rows == 120_000
    assert peak < LEAST_BYTES


def test_years_that_cannot_be_are_kept_and_warned_of(lake: Lake, log: Path) -> None:
    """The warning names the first such line of the source, how many there are, and a remedy."""
    ahead = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    old = [line(number, start_time="1970-01-01T00:00:01.000Z") for number in (20, 21)]
    log.write_bytes(lines(20) + b"".join(old) + line(22) + line(23, start_time=ahead))
    summary = lake.take(log)

    assert (summary.counts.rows, summary.sources_failed) == (24, 0)
    said = dict(zip(("past", "back", "ahead"), sorted(text for _, text in summary.warnings), strict=True))
    found = sorted(text.removeprefix(f"{log}:") for text in said.values())
    assert found[0].startswith("21: ends 448")
    assert found[1].startswith("21: starts at 1970-01-01T00:00:01Z, before 2016, when there was no Envoy")
    assert "(2 such lines)" in found[1]
    assert found[2].startswith("24: starts at ")
    assert "more than a day from now" in found[2]
    assert "--until now" in found[2]


@pytest.mark.parametrize("count", [5, 3000])
def test_a_clock_that_was_set_back_is_warned_of(lake: Lake, log: Path, count: int) -> None:
    """Whether the lines are read one at a time or many at once."""
    late = [line(number, start_time=f"2021-02-18T12:{number // 60 % 60:02d}:00.000Z") for number in range(count)]
    log.write_bytes(b"".join(late) + lines(count, count))
    warnings = lake.take(log).warnings

    assert [text.split(": ")[0] for _, text in warnings] == [f"{log}:{count + 1}"]
    assert "the clock was set back, or several logs were put together" in warnings[0][1]


def test_a_long_connection_and_a_quiet_night_are_no_jumps(lake: Lake, log: Path) -> None:
    """A line is written when its request ends, and nothing may happen for hours."""
    log.write_bytes(
        line(0, start_time="2021-02-18T10:00:00.000Z")
        + line(1, start_time="2021-02-18T04:00:00.000Z", duration=6 * 3_600_000 + 5000)
        + line(2, start_time="2021-02-19T04:00:00.000Z")
    )

    assert lake.take(log).warnings == ()


def test_logs_beside_each_other_are_no_jump(lake: Lake, tmp_path: Path) -> None:
    """Each source has its own time, also where their rows share a batch."""
    for name, hour in (("a", 12), ("b", 7), ("c", 9)):
        (tmp_path / f"{name}.log").write_bytes(line(0, start_time=f"2021-02-18T{hour:02d}:00:00.000Z") * 1)

    assert lake.take(*sorted(tmp_path.glob("*.log"))).warnings == ()
