"""Many small batches become one, and nothing else changes."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from ingesting import Lake, line, lines

from pipeline.errors import LakeError
from pipeline.ingest import merge
from pipeline.lake import layout, ledger
from pipeline.lake.layout import open_lake
from pipeline.lake.ledger import read_ledger
from pipeline.lake.schema import ACCESS_LOGS


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(merge, "MANY_BATCHES", 5)
    return Lake(tmp_path / "lake")


def grow(lake: Lake, log: Path, steps: int) -> None:
    for number in range(1, steps + 1):
        rejected = line(number, response_code="x") if number % 2 else b""
        with log.open("ab") as file:
            file.write(line(number) + rejected)
        lake.take(log)


def test_a_log_that_grew_in_small_steps_has_one_batch_and_one_load(lake: Lake, tmp_path: Path) -> None:
    """Rows, rejects and counts are those before; the law holds; the position is kept."""
    log = tmp_path / "a.log"
    grow(lake, log, 4)
    before = lake.rows(), lake.rejects(), lake.totals()
    assert len(lake.loads()) == 4
    grow(lake, log, 1)

    (load,) = lake.loads()
    assert (load["lines"], load["rows"], load["rejects"]) == (8, 5, 3)
    assert len(lake.ledger.files("access_logs")) == len(lake.ledger.files("quarantine")) == 1
    assert [row for row in before[0] if row not in lake.rows()] == []
    assert [reject for reject in before[1] if reject not in lake.rejects()] == []
    assert lake.take(log).counts.lines == 0
    log.write_bytes(log.read_bytes() + line(9))
    assert lake.take(log).counts.lines == 1


def test_merged_files_are_like_any_other(lake: Lake, tmp_path: Path) -> None:
    """Their columns are those of the contract, their rows sorted by time."""
    import pyarrow.parquet as pq

    grow(lake, tmp_path / "a.log", 5)
    (name,) = lake.ledger.files("access_logs")
    table = pq.read_table(lake.root / name, partitioning=None)

    assert pq.read_schema(lake.root / name).remove_metadata().equals(ACCESS_LOGS)
    assert table["started_at"].to_pylist() == sorted(table["started_at"].to_pylist())


def test_what_was_merged_stays_for_readers_that_listed_it(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while the next ingest removes it, records and all."""
    log = tmp_path / "a.log"
    grow(lake, log, 4)
    listed = read_ledger(open_lake(lake.root))
    grow(lake, log, 1)
    lake.take(log)
    assert all((lake.root / name).exists() for name in listed.files("access_logs"))
    monkeypatch.setattr(ledger, "KEEP_SECONDS", 0)
    lake.take(log)

    assert not any((lake.root / name).exists() for name in listed.files("access_logs"))
    assert len(list((lake.root / "ledger").glob("*.json"))) == 1
    assert len(lake.rows("line_number")) == 5


def test_an_open_line_can_still_be_taken_back(lake: Lake, tmp_path: Path) -> None:
    """The reject that it was goes when it is whole, although its batch was merged."""
    log = tmp_path / "a.log"
    grow(lake, log, 4)
    whole = log.read_bytes() + lines(1, 50)
    log.write_bytes(whole[:-40])
    lake.take(log)
    assert len(lake.loads()) == 1
    assert len(lake.rejects()) == 3
    log.write_bytes(whole)
    lake.take(log)

    assert (len(lake.rejects()), lake.totals()["rejects"], lake.totals()["rows"]) == (2, 2, 5)


def test_a_short_copy_that_was_known_is_known_after_a_merge(lake: Lake, tmp_path: Path) -> None:
    """A copy of a first line too short to be told by how it begins is known by the position behind that line."""
    log, copy = tmp_path / "a.log", tmp_path / "b.log"
    log.write_bytes(b"\r\n")
    copy.write_bytes(b"\r\n")
    lake.take(log)
    assert lake.take(copy).counts.lines == 0
    grow(lake, log, 4)
    assert len(lake.ledger.batches) == 1

    assert lake.take(copy).counts.lines == 0
    assert lake.totals()["lines"] == 1 + 6


def test_a_merge_that_fails_changes_nothing(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ingest itself is done by then, so it is no error."""
    log = tmp_path / "a.log"
    grow(lake, log, 4)

    read = merge._tables

    def damaged(of: layout.Lake, files: Sequence[str]) -> list[pa.Table]:
        if any("quarantine" in file for file in files):
            raise LakeError("a file cannot be read")
        return read(of, files)

    with monkeypatch.context() as patched:
        patched.setattr(merge, "_tables", damaged)
        grow(lake, log, 1)
    assert len(lake.loads()) == 5
    assert len(lake.rows("line_number")) == 5
    named = {*lake.ledger.files("access_logs"), *lake.ledger.files("quarantine")}
    assert named == {name for name in lake.files() if name.endswith(".parquet")}
