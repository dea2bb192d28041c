"""A batch counts wholly or not at all, whatever happens to the process that writes it."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ingesting import Lake, line, lines

from pipeline.errors import LakeError, LockedError
from pipeline.lake import ledger
from pipeline.lake.layout import create_lake
from pipeline.lake.ledger import Batch, Counts, Ledger, Load, Torn, commit, mark_of, read_ledger, write_lock
from pipeline.lake.schema import LOADS

INGEST = """
import sys
from pipeline.ingest import blocks, gather, merge
from pipeline.ingest.load import load
blocks.BLOCK_BYTES, gather.BATCH_ROWS, merge.MANY_BATCHES = 20_000, 100, 1_000_000
load(sys.argv[2:], sys.argv[1])
"""


def _ingest(lake: Path, logs: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parent.parent
    return subprocess.Popen([sys.executable, "-c", INGEST, str(lake), str(logs)], cwd=root, stderr=subprocess.PIPE)


def test_a_killed_ingest_and_the_same_command_give_the_lake_of_an_undisturbed_run(tmp_path: Path) -> None:
    """However often and whenever it is killed."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(6):
        (logs / f"{number}.log").write_bytes(lines(1000, number * 1000) + line(9999)[:-50])
    calm, stormy = Lake(tmp_path / "calm"), Lake(tmp_path / "stormy")
    calm.take(logs)

    chance = random.Random(7)
    for _ in range(5):
        with _ingest(stormy.root, logs) as process:
            began = time.monotonic()
            while process.poll() is None and not (stormy.root / "ledger").is_dir() and time.monotonic() - began < 30:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.25))
            process.send_signal(signal.SIGKILL)
    with _ingest(stormy.root, logs) as process:
        errors = process.communicate()[1]

    assert process.returncode == 0, errors.decode()
    assert stormy.rows() == calm.rows()
    reasons = [(reject["source"], reject["line_number"]) for reject in calm.rejects()]
    assert sorted((reject["source"], reject["line_number"]) for reject in stormy.rejects()) == sorted(reasons)
    assert stormy.totals() == calm.totals()
    counted = {*stormy.ledger.files("access_logs"), *stormy.ledger.files("quarantine")}
    assert counted == {name for name in stormy.files() if name.endswith(".parquet")}


def _load(load_id: str, counts: Counts, torn: Torn | None = None, takes_back: str | None = None) -> Load:
    return Load(load_id, "a.log", mark_of(b"head", b"head", 4, 1), counts, torn=torn, takes_back=takes_back)


TORN = Torn("", Counts(lines=1, rejects=1, bytes=9), "quarantine/torn.parquet")
FIRST = Batch(
    "1",
    "2026-01-01T00:00:00+00:00",
    {"access_logs": ("access_logs/1.parquet",), "quarantine": ("quarantine/1.parquet", "quarantine/torn.parquet")},
    (_load("1-1", Counts(3, 2, 1, 0, 0, 99), TORN),),
)
SECOND = Batch(
    "2",
    "2026-01-02T00:00:00+00:00",
    {"access_logs": ("access_logs/2.parquet",)},
    (_load("2-1", Counts(1, 1), None, "1-1"),),
)


def test_a_torn_line_counts_until_it_is_read_again() -> None:
    """Its file and its counts go when a later load takes it back."""
    before, after = Ledger((FIRST,)), Ledger((FIRST, SECOND))

    assert before.files("quarantine") == ["quarantine/1.parquet", "quarantine/torn.parquet"]
    assert after.files("quarantine") == ["quarantine/1.parquet"]
    assert [(row["lines"], row["rejects"], row["bytes"]) for row in before.loads().to_pylist()] == [(3, 1, 99)]
    assert [(row["lines"], row["rejects"], row["bytes"]) for row in after.loads().to_pylist()] == [
        (2, 0, 90),
        (1, 0, 0),
    ]


def test_what_is_committed_is_read_back(tmp_path: Path) -> None:
    """Records come in the order in which they were committed."""
    lake = create_lake(tmp_path / "lake")
    for batch in (FIRST, SECOND):
        commit(lake, batch)

    assert read_ledger(lake).batches == (FIRST, SECOND)


def test_an_empty_ledger_has_an_empty_table(tmp_path: Path) -> None:
    """The columns are there."""
    empty = read_ledger(create_lake(tmp_path / "lake"))

    assert empty.loads().schema.equals(LOADS)
    assert empty.files("access_logs") == []


def test_a_damaged_record_is_a_lake_error(tmp_path: Path) -> None:
    """The message names it."""
    lake = create_lake(tmp_path / "lake")
    (lake.ledger / "1.json").write_text('{"batch": "1"')

    with pytest.raises(LakeError, match=r"1\.json: the ledger record cannot be read"):
        read_ledger(lake)


def test_a_record_removed_while_it_is_read_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge replaced it long ago; what is left is listed anew."""
    lake = create_lake(tmp_path / "lake")
    for name in ("1", "2"):
        commit(lake, Batch(name, "2021-02-18T00:00:00+00:00", {}, ()))
    read = ledger._read_batch

    def removing(path: Path) -> Batch:
        (lake.ledger / "1.json").unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(ledger, "_read_batch", removing)

    assert [batch.batch for batch in read_ledger(lake).batches] == ["2"]


def test_a_record_that_cannot_be_there_is_a_lake_error(tmp_path: Path) -> None:
    """A link that leads nowhere is listed however often one looks."""
    lake = create_lake(tmp_path / "lake")
    (lake.ledger / "1.json").symlink_to(tmp_path / "nowhere")

    with pytest.raises(LakeError, match="links that lead nowhere"):
        read_ledger(lake)


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    """A failed ingest does not block the next one."""
    lake = create_lake(tmp_path / "lake")
    with pytest.raises(RuntimeError), write_lock(lake):
        raise RuntimeError
    with (
        write_lock(lake, wait=0),
        pytest.raises(LockedError, match="another ingest is writing here"),
        write_lock(lake, 0),
    ):
        pass
