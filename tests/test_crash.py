"""kill -9 at any moment, a full disk, a reader meanwhile: the lake holds whole batches, each line once."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crashing import Forge, Reader
from ingesting import NOISE, Lake, line, lines

from pipeline.lake.ledger import DATASETS


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge() as made:
        yield made


def without_source(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as text, but for where they were read and when they were set aside."""
    left_out = ("source", "line_number", "quarantined_at")
    return sorted(repr({name: value for name, value in row.items() if name not in left_out}) for row in rows)


def assert_whole(lake: Lake) -> None:
    """The law holds, the files hold what the loads say, and no other file lies about."""
    totals, ledger = lake.totals(), lake.ledger
    assert totals["lines"] == totals["rows"] + totals["rejects"] + totals["noise"] + totals["blank"]
    assert (len(lake.rows("line_number")), len(lake.rejects())) == (totals["rows"], totals["rejects"])
    named = {name for dataset in DATASETS for name in ledger.files(dataset)}
    named |= {f"ledger/{batch.batch}.json" for batch in ledger.batches}
    assert set(lake.files()) - {"lake.json", "write.lock"} == named


def test_sixty_kills_at_random_moments_lose_and_double_nothing(forge: Forge, tmp_path: Path) -> None:
    """Logs grow and rotate between the kills, and a reader never sees half a batch."""
    chance = random.Random(os.environ.get("SEED", "7"))
    logs = tmp_path / "logs"
    logs.mkdir()
    stormy, calm = Lake(tmp_path / "stormy"), Lake(tmp_path / "calm")
    texts = {number: lines(400, number * 10_000) + NOISE for number in range(4)}
    for number, text in texts.items():
        (logs / f"{number}.log").write_bytes(text[:-20])
    reader = Reader(stormy.root)
    reader.start()
    killed = 0
    for turn in range(1000):
        process = forge.start(stormy.root, [logs])
        time.sleep(chance.uniform(0, 0.15))
        os.kill(process, signal.SIGKILL)
        killed += forge.end() == -signal.SIGKILL
        number = chance.randrange(4)
        texts[number] += lines(60, number * 10_000 + 1000 + turn * 100) + line(turn, response_code="x") + b"\n"
        cut = chance.choice([0, 1, 40, 700])
        (logs / f"{number}.log").write_bytes(texts[number][: len(texts[number]) - cut])
        if turn % 9 == 5:
            (logs / f"{number}.log").rename(logs / f"{number}.log.{turn}")
            texts[number] = b""
        if killed >= 60:
            break
    assert forge.run(stormy.root, logs) == 0
    reader.end()
    assert forge.run(stormy.root, logs, keep_seconds=0) == 0
    assert forge.run(stormy.root, logs, keep_seconds=0) == 0
    calm.take(logs)

    assert reader.wrong == []
    assert reader.reads > 20
    assert without_source(stormy.rows()) == without_source(calm.rows())
    assert without_source(stormy.rejects()) == without_source(calm.rejects())
    assert_whole(stormy)


def test_kills_during_a_follow_lose_and_double_nothing(forge: Forge, tmp_path: Path) -> None:
    """Logs grow by halves of lines, rotate and appear while they are followed, and batches are merged meanwhile."""
    chance = random.Random(os.environ.get("SEED", "7"))
    logs = tmp_path / "logs"
    logs.mkdir()
    stormy, calm = Lake(tmp_path / "stormy"), Lake(tmp_path / "calm")
    reader = Reader(stormy.root)
    reader.start()
    texts: dict[str, bytes] = {}
    for turn in range(15):
        process = forge.start(stormy.root, [logs], follow=60, many_batches=4)
        for step in range(chance.randrange(1, 12)):
            name = chance.choice(["a.log", "b.log", f"{turn}.log"])
            number = 100_000 * turn + 1000 * step
            added = lines(chance.choice([1, 9, 150]), number) + line(number, response_code="x") + NOISE
            at = len(texts.get(name, b"")) - chance.choice([0, 0, 30, 300])
            texts[name] = texts.get(name, b"") + added
            with (logs / name).open("ab") as file:
                size = file.tell()
                file.write(texts[name][size : max(size, at + len(added))])
            if name == "b.log" and step % 3 == 0:
                (logs / name).write_bytes(texts.pop(name))
                (logs / name).rename(logs / f"{turn}-{step}.log.1")
            time.sleep(chance.uniform(0, 0.04))
        if turn == 7:  # one lives until it has merged, however busy the machine is
            while not any(batch.replaces for batch in stormy.ledger.batches):
                texts["a.log"] = texts.get("a.log", b"") + line(len(texts.get("a.log", b"")))
                (logs / "a.log").write_bytes(texts["a.log"])
                time.sleep(0.1)
        os.kill(process, signal.SIGKILL)
        assert forge.end() == -signal.SIGKILL
    for name, text in texts.items():
        (logs / name).write_bytes(text)
    assert forge.run(stormy.root, logs, follow=0.3) == 0
    reader.end()
    for _ in range(2):
        assert forge.run(stormy.root, logs, follow=0.1, keep_seconds=0) == 0
    calm.take(logs)

    assert reader.wrong == []
    assert reader.reads > 10
    assert without_source(stormy.rows()) == without_source(calm.rows())
    assert without_source(stormy.rejects()) == without_source(calm.rejects())
    assert_whole(stormy)


def test_a_kill_at_every_step_of_a_commit(forge: Forge, tmp_path: Path) -> None:
    """Before and after each file that is written, put on the disk, renamed or removed."""
    log = tmp_path / "a.log"
    calm = Lake(tmp_path / "calm")
    whole = lines(150) + line(1, response_code="x") + line(7, start_time="2021-02-18T09:00:00Z")
    for step in range(1, 400, 2):  # each step has a before and an after, and one after is the next before
        lake = Lake(tmp_path / f"lake{step}")
        log.write_bytes(whole[:-30])
        is_killed = forge.run(lake.root, log, die_at=step, many_batches=2, batch_rows=60) == -signal.SIGKILL
        assert forge.run(lake.root, log) == 0
        log.write_bytes(whole)
        is_killed |= forge.run(lake.root, log, die_at=step, many_batches=2, keep_seconds=0) == -signal.SIGKILL
        assert forge.run(lake.root, log) == 0
        assert forge.run(lake.root, log, keep_seconds=0) == 0
        if step == 1:
            calm.take(log)
        assert lake.rows() == calm.rows()
        assert without_source(lake.rejects()) == without_source(calm.rejects())
        assert_whole(lake)
        if not is_killed:
            break

    assert step > 15


def test_a_disk_that_fills_up_leaves_whole_batches(forge: Forge, tmp_path: Path) -> None:
    """The ingest fails, what it committed stays, and with room the same command does the rest."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small file system")
    try:
        log = tmp_path / "a.log"
        chance = random.Random(1)
        log.write_bytes(b"".join(line(number, path=f"/{chance.getrandbits(2000):x}") for number in range(3000)))
        lake = Lake(disk / "lake")
        assert forge.run(lake.root, log) == 1
        held = lake.totals()["rows"]
        assert 0 < held == len(lake.rows("line_number")) < 3000
        assert forge.run(lake.root, log) == 1
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        for _ in range(2):
            assert forge.run(lake.root, log, keep_seconds=0) == 0
        assert sorted(row["line_number"] for row in lake.rows("line_number")) == list(range(1, 3001))
        assert_whole(lake)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_that_may_not_grow_is_an_error_and_no_damage(forge: Forge, tmp_path: Path) -> None:
    """A limit on the size of files (or a quota) refuses in the middle of a write, as a full disk does."""
    log, lake = tmp_path / "a.log", Lake(tmp_path / "lake")
    log.write_bytes(lines(2000))

    assert forge.run(lake.root, log, file_limit=9_000, keep_seconds=0, batch_rows=2000, block_bytes=4 << 20) == 1
    assert lake.loads() == []
    for _ in range(2):
        assert forge.run(lake.root, log, keep_seconds=0) == 0
    assert len(lake.rows("line_number")) == 2000
    assert_whole(lake)
