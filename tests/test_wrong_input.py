"""Wrong input through the command: a message that says what, where and what to do, a documented code, nothing half."""

import gzip
import os
import random
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Ran
from ingesting import NOISE, Lake, line, lines

from pipeline.lake.layout import create_lake

Command = Callable[..., Ran]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def write(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def assert_lawful(lake: Lake) -> None:
    """Every line of every load is one thing, and the lake holds the rows and rejects that were counted."""
    for load in lake.loads():
        assert load["lines"] == load["rows"] + load["rejects"] + load["noise"] + load["blank"]
    totals = lake.totals()
    assert (totals["rows"], totals["rejects"]) == (len(lake.rows("line_number")), len(lake.rejects()))


def test_a_missing_path_is_named_and_nothing_is_written(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 1; the good file beside it waits for the corrected command."""
    good = write(logs, "good.log", lines(3))
    ran = meshlog("ingest", good, logs / "misspelt.log", "--lake", lake.root)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"meshlog: {logs}/misspelt.log: there is no such file. Check the path\n"
    assert not lake.root.exists()


def test_an_empty_file_is_no_error(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 0: a proxy without traffic."""
    ran = meshlog("ingest", write(logs, "empty.log", b""), "--lake", lake.root)

    assert ran.code == 0
    assert "0 sources read, 1 unchanged: 0 lines" in ran.err
    assert lake.loads() == []


def test_a_binary_file_that_was_named_is_refused(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 1, before anything is written."""
    core = write(logs, "core", b"\x7fELF\x00\x01" * 100)
    ran = meshlog("ingest", core, "--lake", lake.root)

    assert ran.code == 1
    assert ran.err == (
        f"meshlog: {core}: does not look like a log: byte 5 is NUL. Name log files, or the folder that holds them\n"
    )
    assert not lake.root.exists()


def test_utf_16_is_refused_with_the_way_out(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 1: PowerShell's redirection of `kubectl logs` writes it."""
    for coding in ("utf-16-le", "utf-16-be"):
        path = write(logs, "utf16.log", ("\ufeff" + lines(3).decode()).encode(coding))
        ran = meshlog("ingest", path, "--lake", lake.root)

        assert ran.code == 1
        assert f"{path}: is UTF-16, as PowerShell's > writes it: make it UTF-8 with iconv" in ran.err


def test_a_closed_standard_input_is_an_error(lake: Lake) -> None:
    """Exit 1: some supervisors start processes without one."""
    start = [sys.executable, "-c", "from pipeline.cli import cli; cli()", "ingest", "-", "--lake", str(lake.root)]
    ran = subprocess.run(["/bin/sh", "-c", f"{shlex.join(start)} <&-"], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "meshlog: -: standard input is closed. Pipe something in, or name files\n"


def test_a_binary_file_in_a_folder_is_reported_and_the_rest_read(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 1, since a source could not be read; the logs beside it are in the lake."""
    write(logs, "a.log", lines(3))
    core = write(logs, "core", b"\x7fELF\x00\x01" * 100)
    write(logs, "z.log", lines(3, 10))
    ran = meshlog("ingest", logs, "--lake", lake.root)

    assert ran.code == 1
    assert f"{core}: does not look like a log: byte 5 is NUL" in ran.err
    assert "6 lines = 6 rows" in ran.err
    assert_lawful(lake)


def test_a_truncated_gzip_keeps_what_came_before(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 1 until the whole file is there; then nothing is missing and nothing twice."""
    chance = random.Random(1)
    packed = gzip.compress(b"".join(line(number, path=f"/{chance.getrandbits(4000):x}") for number in range(500)))
    path = write(logs, "night.log.gz", packed[: len(packed) // 2])
    ran = meshlog("ingest", path, "--lake", lake.root)

    assert ran.code == 1
    assert f"{path}: the gzip data ends in the middle; what came before it was kept" in ran.err
    assert 100 < lake.totals()["rows"] < 400
    assert_lawful(lake)
    path.write_bytes(packed)
    assert meshlog("ingest", path, "--lake", lake.root).code == 0
    assert lake.totals()["rows"] == lake.totals()["lines"] == 500
    assert_lawful(lake)


def test_half_a_line_at_the_end_is_kept_with_its_reason(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 4 where that is more than --max-rejects; the quarantine has source, line and reason."""
    path = write(logs, "a.log", lines(5)[:-60])
    ran = meshlog("ingest", path, "--lake", lake.root)

    assert ran.code == 4
    assert "5 lines = 4 rows + 1 rejects" in ran.err
    assert "select source, line_number, reason from quarantine" in ran.err
    (reject,) = lake.rejects()
    assert (reject["source"], reject["line_number"]) == (str(path), 5)
    assert reject["reason"].startswith("ends in the middle")
    assert_lawful(lake)
    path.write_bytes(lines(5))
    assert meshlog("ingest", path, "--lake", lake.root).code == 0
    assert lake.rejects() == []
    assert_lawful(lake)


def test_invalid_utf8_costs_its_own_line(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 0 as long as few lines are rejected; the reason names the byte."""
    bad = line(150).replace(b"/items", b"/\xffitems")
    path = write(logs, "a.log", lines(150) + bad + lines(150, 151))
    ran = meshlog("ingest", path, "--lake", lake.root)

    assert ran.code == 0
    assert "301 lines = 300 rows + 1 rejects" in ran.err
    (reject,) = lake.rejects()
    assert (reject["line_number"], reject["raw"]) == (151, bad[:-1])
    assert f"byte {bad.index(0xFF) + 1} (0xff) is not UTF-8" in reject["reason"]
    assert_lawful(lake)


def test_a_line_of_ten_megabytes_is_a_reject(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Its first bytes are kept, and what stands around it is read."""
    data = lines(100) + line(100, path="/" + "x" * 10_000_000) + lines(100, 101) + NOISE + b"\n"
    ran = meshlog("ingest", write(logs, "a.log", data), "--lake", lake.root)

    assert ran.code == 0
    assert "203 lines = 200 rows + 1 rejects + 1 noise + 1 blank" in ran.err
    (reject,) = lake.rejects()
    assert reject["line_number"] == 101
    assert "bytes long; the limit is 1,048,576" in reject["reason"]
    assert_lawful(lake)


def test_a_folder_without_rights_is_named(
    meshlog: Command, lake: Lake, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1 before anything is written; root may read everything, so the system's answer is imitated."""

    def refused(path: str) -> Iterator[os.DirEntry[str]]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refused)
    ran = meshlog("ingest", logs, "--lake", lake.root)

    assert ran.code == 1
    assert ran.err == f"meshlog: {logs}: the folder cannot be read: Permission denied. Check its rights\n"
    assert not lake.root.exists()


def test_a_newer_lake_is_left_alone(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 1, with the way to upgrade."""
    create_lake(lake.root)
    (lake.root / "lake.json").write_text('{"format": 99}')
    before = lake.files()
    ran = meshlog("ingest", write(logs, "a.log", lines(3)), "--lake", lake.root)

    assert ran.code == 1
    assert "written by a newer meshlog (lake format 99" in ran.err
    assert "pip install --upgrade meshlog" in ran.err
    assert lake.files() == before


def test_a_folder_that_is_no_lake_is_left_alone(meshlog: Command, logs: Path) -> None:
    """Exit 1: --lake was given the logs' own folder."""
    path = write(logs, "a.log", lines(3))
    ran = meshlog("ingest", path, "--lake", logs)

    assert ran.code == 1
    assert f"{logs}: is not empty and is no lake" in ran.err
    assert [found.name for found in logs.iterdir()] == ["a.log"]


def test_a_clock_that_is_wrong_is_a_warning(meshlog: Command, lake: Lake, logs: Path) -> None:
    """Exit 0: the rows are kept, and stderr names source and line and a remedy."""
    path = write(logs, "a.log", lines(3) + line(4, start_time="2150-01-01T00:00:00.000Z"))
    ran = meshlog("ingest", path, "--lake", lake.root)

    assert ran.code == 0
    assert f"{path}:4: starts at 2150-01-01T00:00:00Z, more than a day from now: check the node's clock" in ran.err
    assert "4 lines = 4 rows" in ran.err
    assert_lawful(lake)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--memory", "12XB"], "--memory 12XB: is no size. Write it like --memory 512MB"),
        (["--memory", "64MB"], "--memory 64MB: is too little; an ingest needs 512 MB or more"),
        (["--follow", "--every", "0"], "0.0 is not in the range"),
        (["--follow", "-"], "--follow takes `-` or files, not both"),
    ],
)
def test_flags_that_cannot_be_are_usage_errors(
    meshlog: Command, lake: Lake, logs: Path, flags: list[str], message: str
) -> None:
    """Exit 2, before anything is written."""
    ran = meshlog("ingest", write(logs, "a.log", lines(3)), *flags, "--lake", lake.root)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not lake.root.exists()
