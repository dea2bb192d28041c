"""Following gives the counts of a batch run, whatever happens to the files meanwhile."""

import gzip
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from crashing import Reader
from ingesting import Lake, line, lines

from pipeline.errors import LockedError, UsageError
from pipeline.ingest import follow as following
from pipeline.ingest import merge
from pipeline.ingest.follow import follow
from pipeline.ingest.load import Summary, writing
from pipeline.ingest.sources import expand
from pipeline.lake import ledger

EVERY = 0.2


class Follower:
    """A follow in a thread: `wait_for` rows in the lake, `summary` after `stop`."""

    def __init__(self, lake: Lake, *paths: object, **options: Any) -> None:
        self.lake, self.said = lake, []  # type: Lake, list[str]
        self.summary: Summary | None = None
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._paths, self._options = [str(path) for path in paths], options
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.summary = follow(
                self._paths,
                self.lake.root,
                every=EVERY,
                has_to_stop=self._stop.is_set,
                tell=self.said.append,
                **self._options,
            )
        except BaseException as error:
            self.error = error

    def wait_for(self, rows: int) -> None:
        deadline = time.monotonic() + 15
        while self._rows() < rows:
            assert self._thread.is_alive(), self.error
            assert time.monotonic() < deadline, f"{self._rows()} of {rows} rows"
            time.sleep(0.05)

    def _rows(self) -> int:
        return self.lake.totals()["rows"] if (self.lake.root / "lake.json").exists() else 0

    def stop(self) -> Summary:
        self._stop.set()
        self._thread.join(20)
        assert self.error is None, self.error
        assert self.summary is not None
        return self.summary


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.05)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def ids(lake: Lake) -> list[str]:
    return sorted((row["request_id"] for row in lake.rows("request_id")), key=lambda text: int(text[3:]))


def numbered(count: int) -> list[str]:
    return [f"id-{number}" for number in range(count)]


def test_what_is_added_is_committed_while_the_follow_goes_on(lake: Lake, logs: Path) -> None:
    """Lines appear in the lake within an interval, and a file that appears later is read too."""
    append(logs / "a.log", lines(10))
    follower = Follower(lake, logs)
    follower.wait_for(10)
    append(logs / "a.log", lines(5, 10))
    append(logs / "new.log", lines(5, 15))
    follower.wait_for(20)
    summary = follower.stop()

    assert ids(lake) == numbered(20)
    assert (summary.counts.rows, summary.counts.rejects, summary.sources_read) == (20, 0, 2)
    assert follower.said == []


def test_half_a_line_waits_for_its_rest(lake: Lake, logs: Path) -> None:
    """While a file grows, its open line is not read: no reject comes and goes."""
    whole = lines(3)
    append(logs / "a.log", whole[:-100])
    follower = Follower(lake, logs)
    append(logs / "a.log", b"")
    follower.wait_for(2)
    append(logs / "a.log", whole[-100:])
    follower.wait_for(3)
    follower.stop()

    assert ids(lake) == numbered(3)
    assert lake.rejects() == []
    assert lake.totals()["lines"] == 3


def test_half_a_line_that_stays_half_is_a_reject(lake: Lake, logs: Path) -> None:
    """At the end everything that was written is dealt with, as by a batch run."""
    append(logs / "a.log", lines(3)[:-100])
    follower = Follower(lake, logs)
    follower.wait_for(2)
    summary = follower.stop()

    assert (summary.counts.rows, summary.counts.rejects) == (2, 1)
    assert [reject["line_number"] for reject in lake.rejects()] == [3]


def test_a_renamed_file_is_read_to_its_end(lake: Lake, logs: Path) -> None:
    """The one name that is followed leads to a new file; what was still written to the old one is not lost."""
    log = logs / "access.log"
    append(log, lines(10))
    follower = Follower(lake, log)
    follower.wait_for(10)
    old = log.open("ab")
    log.rename(logs / "elsewhere")
    append(log, lines(10, 20))
    old.write(lines(10, 10))
    old.close()
    follower.wait_for(30)
    (logs / "elsewhere").unlink()
    follower.stop()

    assert ids(lake) == numbered(30)


@pytest.mark.parametrize(("is_compressed", "most_open"), [(False, 1024), (True, 1024), (False, 1)])
def test_rotation_within_a_folder_gives_each_line_once(
    lake: Lake, logs: Path, is_compressed: bool, most_open: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names move on, archives are compressed and the oldest goes: the lake has every line once."""
    monkeypatch.setattr(following, "OPEN_FILES", most_open)
    log = logs / "access.log"
    log.touch()
    follower = Follower(lake, logs)
    for turn in range(5):
        append(log, lines(20, 20 * turn))
        follower.wait_for(20 * turn + 1)
        if (logs / "access.log.1").exists():
            if is_compressed:
                packed = gzip.compress((logs / "access.log.1").read_bytes())
                (logs / ".packed").write_bytes(packed)
                (logs / ".packed").replace(logs / "access.log.2.gz")
            else:
                (logs / "access.log.1").replace(logs / "access.log.2")
        log.replace(logs / "access.log.1")
        log.touch()
    follower.wait_for(100)
    follower.stop()

    assert ids(lake) == numbered(100)
    assert lake.rejects() == []
    assert follower.said == []


def test_an_archive_that_is_whole_in_the_end_is_no_failure(lake: Lake, logs: Path) -> None:
    """It was read while something was still compressing it; that is not what a follow ends with."""
    packed = gzip.compress(lines(200))
    problems = []
    with writing([], lake.root) as ingest:
        for size in (len(packed) // 2, len(packed)):
            (logs / "a.log.gz").write_bytes(packed[:size])
            (source,) = expand([logs]).sources
            list(ingest.read(source, None))
            problems.append(len(ingest.summary.problems))

    assert problems == [1, 0]
    assert ids(lake) == numbered(200)


def test_copy_and_truncate_gives_each_line_once(lake: Lake, logs: Path) -> None:
    """The copy is known by its content, and what is written after the truncation is new."""
    log = logs / "access.log"
    append(log, lines(10))
    follower = Follower(lake, logs)
    follower.wait_for(10)
    for turn in range(1, 4):
        append(log, lines(5, 10 * turn))
        shutil.copy(log, logs / f"access.log.{turn}")
        os.truncate(log, 0)
        append(log, lines(5, 10 * turn + 5))
        follower.wait_for(10 + 10 * turn)
    follower.stop()

    assert ids(lake) == numbered(40)
    assert lake.rejects() == []


FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from pipeline.cli import cli
cli()
"""


def test_more_files_than_may_be_open_are_followed(lake: Lake, logs: Path) -> None:
    """Two hundred files, half as many descriptors: all that is added, in files renamed and new ones too, is read."""
    for number in range(200):
        append(logs / f"{number}.log", line(number))
    with _command("ingest", logs, "--follow", "--every", "0.1", "--lake", lake.root, script=FEW_FILES) as process:
        _wait_for(lake, 200, process)
        for number in range(0, 200, 2):
            append(logs / f"{number}.log", line(200 + number))
            append(logs / f"new-{number}.log", line(201 + number))
        _wait_for(lake, 400, process)
        for number in range(0, 200, 20):
            append(logs / f"{number}.log", line(400 + number // 20))
            (logs / f"{number}.log").rename(logs / f"{number}.log.1")
            append(logs / f"{number}.log", line(410 + number // 20))
        _wait_for(lake, 420, process)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)

    assert process.returncode == 0, said
    assert said.splitlines()[:-1] == []
    assert ids(lake) == numbered(420)


def _wait_for(lake: Lake, rows: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 20
    while not (lake.root / "lake.json").exists() or lake.totals()["rows"] < rows:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_file_that_is_not_held_open_goes_by_the_name_that_leads_to_it(
    lake: Lake, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system gives the number of a removed file to the next one: by the old name it would be another pod's."""
    monkeypatch.setattr(following, "OPEN_FILES", 1)
    append(logs / "old.log", lines(2))
    os.utime(logs / "old.log", (0, 0))
    append(logs / "busy.log", line(2))
    follower = Follower(lake, logs)
    follower.wait_for(3)
    (logs / "old.log").rename(logs / "new.log")
    append(logs / "new.log", lines(2, 3))
    os.utime(logs / "new.log", (1, 1))
    follower.wait_for(5)
    follower.stop()

    assert [row["source"] for row in lake.rows() if row["request_id"] in ("id-3", "id-4")] == [f"{logs}/new.log"] * 2


def test_a_follow_merges_as_it_goes(lake: Lake, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small batches leave few files and records, and what it knows of them shrinks alike; no line is lost."""
    monkeypatch.setattr(following, "MERGE_SECONDS", 0)
    monkeypatch.setattr(merge, "MANY_BATCHES", 5)
    monkeypatch.setattr(ledger, "KEEP_SECONDS", 0)
    follower = Follower(lake, logs)
    most = 0
    for number in range(20):
        append(logs / "a.log", lines(3, 3 * number))
        append(logs / "b.log", line(1000 + number, response_code="x"))
        follower.wait_for(3 * number + 1)
        most = max(most, len(lake.files()))
    summary = follower.stop()

    assert most < 40  # sixty without
    assert len(lake.ledger.batches) < 10
    assert ids(lake) == numbered(60)
    assert (summary.counts.rows, summary.counts.rejects) == (60, 20)
    assert len(lake.rejects()) == lake.totals()["rejects"] == 20
    assert lake.take(logs).counts.lines == 0


def test_a_followed_pipe_merges_as_it_goes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with files."""
    monkeypatch.setattr(following, "MERGE_SECONDS", 0)
    monkeypatch.setattr(merge, "MANY_BATCHES", 3)
    monkeypatch.setattr(ledger, "KEEP_SECONDS", 0)
    most = 0
    with pipe() as (reader, writer):
        follower = Follower(lake, "-", stdin=reader)
        for number in range(12):
            writer.write(lines(3, 3 * number))
            follower.wait_for(3 * number + 1)
            most = max(most, len(lake.files()))
        writer.close()
        follower._thread.join(10)
        assert follower.stop().counts.rows == 36

    assert most < 25  # thirty-seven without
    assert ids(lake) == numbered(36)
    assert lake.take("-", stdin=io.BytesIO(lines(36))).counts.lines == 0


def test_a_reader_sees_whole_batches_while_a_follow_merges(
    lake: Lake, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever listed the files can read them all, merged meanwhile or not."""
    monkeypatch.setattr(following, "MERGE_SECONDS", 0)
    monkeypatch.setattr(merge, "MANY_BATCHES", 3)
    follower, reader = Follower(lake, logs), Reader(lake.root)
    reader.start()
    for number in range(12):
        append(logs / "a.log", lines(3, 3 * number) + line(1000 + number, response_code="x"))
        follower.wait_for(3 * number + 1)
    follower.stop()
    reader.end()

    assert reader.wrong == []
    assert reader.reads > 12
    assert any(batch.replaces for batch in lake.ledger.batches)


def test_a_followed_folder_and_a_batch_run_count_alike(lake: Lake, logs: Path, tmp_path: Path) -> None:
    """The counts are those of one ingest of what was written."""
    text = lines(40) + b"noise\n\n" + line(3, response_code="abc") + lines(10, 40) + line(99)[:-1]
    follower = Follower(lake, logs)
    for begin in range(0, len(text), 5000):
        append(logs / "a.log", text[begin : begin + 5000])
        time.sleep(0.05)
    summary = follower.stop()
    calm = Lake(tmp_path / "calm")
    calm.take(logs)

    assert lake.rows() == calm.rows()
    of = ("lines", "rows", "rejects", "noise", "blank")
    assert {name: lake.totals()[name] for name in of} == {name: calm.totals()[name] for name in of}
    assert summary.counts.obeys_the_law()
    assert calm.take(logs).counts == lake.take(logs).counts == type(summary.counts)()


def test_a_follow_holds_the_lake(lake: Lake, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another ingest is told who holds it."""
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.1)
    append(logs / "a.log", lines(3))
    follower = Follower(lake, logs)
    follower.wait_for(3)
    try:
        with pytest.raises(LockedError, match=f"process {os.getpid()}"):
            lake.take(logs)
    finally:
        follower.stop()


def test_a_problem_is_told_once(lake: Lake, logs: Path) -> None:
    """A binary file in the folder, looked at again and again, is reported when it is found."""
    append(logs / "a.log", lines(3))
    append(logs / "core", b"\x7fELF\x00\x01")
    follower = Follower(lake, logs)
    follower.wait_for(3)
    for number in range(3, 6):
        append(logs / "core", b"\x00")
        append(logs / "a.log", line(number))
        follower.wait_for(number + 1)
    summary = follower.stop()

    assert len(follower.said) == 1
    assert "core: does not look like a log" in follower.said[0]
    assert summary.sources_failed == 1


@contextmanager
def pipe() -> Iterator[tuple[io.BufferedReader, io.BufferedWriter]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", buffering=0) as writer:
        yield reader, writer


def test_a_pipe_is_committed_while_it_is_open(lake: Lake) -> None:
    """Lines count within an interval although the pipe says nothing more; its end ends the follow."""
    with pipe() as (reader, writer):
        follower = Follower(lake, "-", stdin=reader)
        writer.write(lines(3))
        follower.wait_for(3)
        writer.write(lines(4, 3)[:-50])
        follower.wait_for(6)
        writer.write(lines(4, 3)[-50:])
        follower.wait_for(7)
        writer.close()
        follower._thread.join(10)
        assert not follower._thread.is_alive()
        assert follower.stop().counts.rows == 7
    assert ids(lake) == numbered(7)
    assert lake.take("-", stdin=io.BytesIO(lines(7))).counts.lines == 0


def test_a_pipe_that_brings_known_lines_again_adds_what_is_new(lake: Lake) -> None:
    """As `kubectl logs -f` does after a restart."""
    lake.take("-", stdin=io.BytesIO(lines(50)))
    with pipe() as (reader, writer):
        follower = Follower(lake, "-", stdin=reader)
        writer.write(lines(55))
        follower.wait_for(55)
        follower.stop()

    assert ids(lake) == numbered(55)


def test_a_pipe_beside_files_is_a_usage_error(lake: Lake, logs: Path) -> None:
    """One would wait for the other."""
    append(logs / "a.log", lines(3))
    with pytest.raises(UsageError, match="--follow takes `-` or files, not both"):
        follow(["-", str(logs)], lake.root, every=1, has_to_stop=lambda: True, tell=print)


def _command(
    *arguments: object, script: str = "from pipeline.cli import cli; cli()", **options: Any
) -> "subprocess.Popen[str]":
    root = Path(__file__).parents[1]
    call = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(call, cwd=root, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **options)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_commits_everything_that_was_read(lake: Lake, logs: Path, sent: signal.Signals, code: int) -> None:
    """SIGTERM is an ordinary end, Control-C an interrupt; neither loses a line."""
    append(logs / "a.log", lines(100))
    with _command("ingest", logs, "--follow", "--every", "60", "--lake", lake.root) as process:
        deadline = time.monotonic() + 20
        while not (lake.root / "write.holder").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        append(logs / "a.log", lines(20, 100))
        process.send_signal(sent)
        _, said = process.communicate(timeout=20)

    assert (process.returncode, "Traceback" in said) == (code, False), said
    assert "120 lines = 120 rows" in said
    assert ids(lake) == numbered(120)
