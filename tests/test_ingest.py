"""What an ingest makes of its input, whatever shape that comes in."""

import bz2
import gzip
import io
import json
import lzma
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ingesting import NOISE, Lake, as_strings, line, lines

from pipeline.errors import InputError, LakeError, LockedError, UsageError
from pipeline.ingest import gather
from pipeline.ingest.blocks import zstd
from pipeline.ingest.shapes import LINE_LIMIT
from pipeline.lake import ledger
from pipeline.lake.layout import create_lake
from pipeline.lake.schema import ACCESS_LOGS


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def log(tmp_path: Path) -> Callable[..., Path]:
    def write(data: bytes, name: str = "access.log") -> Path:
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return write


def test_a_line_becomes_a_typed_row(lake: Lake, log: Callable[..., Path]) -> None:
    """Every column of a typed line has its value, and what Envoy did not know is null."""
    path = log(line())
    lake.take(path)

    (row,) = lake.rows()
    assert list(row) == ACCESS_LOGS.names
    assert row["started_at"].isoformat() == "2021-02-18T07:00:00.031000+00:00"
    assert (row["direction"], row["reporter"]) == ("outbound", "sidecar")
    assert (row["response_code"], row["response_flags"], row["duration_ms"]) == (200, None, 5)
    assert (row["bytes_received"], row["bytes_sent"], row["upstream_service_time_ms"]) == (12, 75, 4)
    assert (row["cluster_port"], row["cluster_subset"]) == (8080, "v1")
    assert (row["cluster_host"], row["service"]) == ("cart.shop.svc.cluster.local", "cart.shop")
    assert (row["source"], row["line_number"]) == (path.as_posix(), 1)
    assert row["requested_server_name"] is row["x_forwarded_for"] is row["extra"] is row["pod"] is None


def test_the_lake_has_the_schema_of_the_contract(lake: Lake, log: Callable[..., Path]) -> None:
    """Files hold the columns of `ACCESS_LOGS` in order, dictionaries kept, one file an hour."""
    lake.take(log(line() + line(start_time="2021-02-18T08:00:00Z")))

    names = lake.ledger.files("access_logs")
    assert [name.rsplit("/", 1)[0] for name in sorted(names)] == [
        "access_logs/date=2021-02-18/hour=07",
        "access_logs/date=2021-02-18/hour=08",
    ]
    for name in names:
        assert pq.read_schema(lake.root / name).remove_metadata().equals(ACCESS_LOGS)


@pytest.mark.parametrize("count", [1, 100])
def test_all_strings_read_like_typed_values(lake: Lake, log: Callable[..., Path], tmp_path: Path, count: int) -> None:
    """The style of Istio up to 1.7, in any key order and with a policy status, gives the same rows."""
    old = []
    for number in range(count):
        values = as_strings(json.loads(line(number))) | {"istio_policy_status": "-"}
        keys = random.Random(number).sample(sorted(values), len(values))
        old.append(json.dumps({key: values[key] for key in keys}).encode() + b"\n")
    lake.take(log(lines(count)))
    other = Lake(tmp_path / "other")
    other.take(log(b"".join(old), "old.log"))

    columns = [name for name in ACCESS_LOGS.names if name != "source"]
    assert other.rows(*columns) == lake.rows(*columns)


def test_integers_written_as_floats_are_numbers(lake: Lake, log: Callable[..., Path]) -> None:
    """Istio 1.22.0 wrote 200.0."""
    lake.take(log(line(response_code=200.0, duration="7", bytes_sent="8.0")))

    assert lake.rows("response_code", "duration_ms", "bytes_sent") == [
        {"response_code": 200, "duration_ms": 7, "bytes_sent": 8}
    ]


def test_rows_rejects_noise_and_blank_add_up(lake: Lake, log: Callable[..., Path]) -> None:
    """Each line becomes exactly one thing, and what is no access log is no error."""
    agent = b'{"level":"info","time":"2021-02-18T07:08:50Z","scope":"ads","msg":"XDS: Pushing"}\n'
    bad = [line(1, response_code="abc"), line(2, start_time="yesterday"), line(3)[:-30] + b"\n", line(4, bytes_sent=-1)]
    summary = lake.take(log(lines(30) + NOISE + b"\n" + agent + b"".join(bad) + lines(30, 30)))

    counts = summary.counts
    assert (counts.lines, counts.rows, counts.rejects, counts.noise, counts.blank) == (67, 60, 4, 2, 1)
    assert lake.totals()["lines"] == 67
    rejects = lake.rejects()
    assert [reject["line_number"] for reject in rejects] == [34, 35, 36, 37]
    assert rejects[0]["reason"] == 'response_code is "abc", not a whole number, at byte 335'
    assert rejects[1]["reason"] == 'start_time is "yesterday", not a time such as 2021-02-18T07:08:50.031Z, at byte 435'
    assert rejects[2]["reason"].startswith("is not valid JSON: ")
    assert rejects[2]["raw"] == line(3)[:-30]
    assert rejects[3]["reason"] == "bytes_sent is -1, not in 0 to 999999999999999999, at byte 64"


def test_invalid_utf8_is_a_reject_with_its_place(lake: Lake, log: Callable[..., Path]) -> None:
    """One bad byte costs its own line and no other."""
    bad = line(20).replace(b"/items", b"/\xffitems")
    lake.take(log(lines(20) + bad + lines(20, 21)))

    (reject,) = lake.rejects()
    assert reject["reason"] == f"is not valid JSON: byte {bad.index(0xFF) + 1} (0xff) is not UTF-8"
    assert reject["raw"] == bad[:-1]
    assert len(lake.rows("path")) == 40


def test_a_line_over_the_limit_is_a_reject_and_reading_goes_on(lake: Lake, log: Callable[..., Path]) -> None:
    """A line of 10 MB is kept by its first bytes; its neighbours are rows with their own numbers."""
    lake.take(log(line(0) + line(1, path="/" + "x" * 10_000_000) + line(2) + line(3, path="/" + "y" * LINE_LIMIT)))

    first, second = lake.rejects()
    assert (first["line_number"], second["line_number"]) == (2, 4)
    assert "the limit is 1,048,576" in first["reason"]
    assert line(1)[:50] == first["raw"][:50]
    assert [row["line_number"] for row in lake.rows("line_number")] == [1, 3]


def test_unmapped_keys_and_labels_go_to_extra(lake: Lake, log: Callable[..., Path]) -> None:
    """What fills no column is kept as JSON; labels fill pod, namespace and node, and `extra` otherwise."""
    labels = {"node": "node-7", "cluster": "eu"}
    lake.take(log(line(0, trace_id="abc", tries=2, nothing="-") + lines(30, 1)), labels=labels)

    rows = lake.rows("extra", "node", "line_number")
    extras = {row["line_number"]: row["extra"] for row in rows}
    assert extras[1] == '{"cluster":"eu","trace_id":"abc","tries":2}'
    assert extras[2] == '{"cluster":"eu"}'
    assert {row["node"] for row in rows} == {"node-7"}


def test_a_mapping_names_keys_of_a_custom_format(lake: Lake, log: Callable[..., Path], tmp_path: Path) -> None:
    """A key of the user's own fills the column that the mapping gives it."""
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[fields]\nlatency = "duration_ms"\n')
    lake.take(log(b'{"ts":"2021-02-18T07:08:50Z","status":404,"latency":12}\n'), mapping=mapping)

    assert lake.rows("response_code", "duration_ms", "extra") == [
        {"response_code": 404, "duration_ms": 12, "extra": None}
    ]


COMPRESSORS = {
    "gz": gzip.compress,
    "zst": lambda data: zstd.compress(data),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_compression_is_told_by_content(lake: Lake, log: Callable[..., Path], kind: str) -> None:
    """A compressed file is read whatever it is called, and as many members as it has."""
    compress = COMPRESSORS[kind]
    lake.take(log(compress(lines(20)) + compress(lines(20, 20)), "access.log"))

    assert len(lake.rows("line_number")) == 40


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_a_truncated_archive_keeps_what_came_before(lake: Lake, log: Callable[..., Path], kind: str) -> None:
    """The problem is reported each time; the lines before it are ingested once, and all of them when it is whole."""
    noise = random.Random(1)
    data = b"".join(line(number, path=f"/{noise.getrandbits(4000):x}") for number in range(3000))
    packed = COMPRESSORS[kind](data)
    path = log(packed[: len(packed) * 2 // 3], "access.log.gz")
    summary = lake.take(path)

    assert summary.sources_failed == 1
    assert "ends in the middle" in summary.problems[0][1]
    assert 0 < summary.counts.rows < 3000
    assert lake.loads()[0]["problem"] == summary.problems[0][1]
    before = lake.files()
    assert lake.take(path).problems == summary.problems
    assert lake.files() == before
    lake.take(log(packed, "access.log.gz"))
    assert len(lake.rows("line_number")) == 3000
    assert lake.totals()["lines"] == lake.totals()["rows"] == 3000
    assert lake.rejects() == []


def test_the_same_files_again_change_nothing(lake: Lake, log: Callable[..., Path]) -> None:
    """No file of the lake is touched by an ingest that brings nothing new."""
    path = log(lines(10) + NOISE)
    lake.take(path)
    before = {name: (lake.root / name).stat().st_mtime_ns for name in lake.files() if not name.startswith("write.")}
    summary = lake.take(path)

    assert (summary.sources_read, summary.sources_unchanged, summary.counts.lines) == (0, 1, 0)
    after = {name: (lake.root / name).stat().st_mtime_ns for name in lake.files() if not name.startswith("write.")}
    assert after == before


@pytest.mark.parametrize("count", [1, 40, 3000])
def test_a_file_that_grew_is_read_from_where_it_ended(lake: Lake, log: Callable[..., Path], count: int) -> None:
    """Only the new lines are read, and they go on counting."""
    lake.take(log(lines(count)))
    summary = lake.take(log(lines(count + 5)))

    assert summary.counts.rows == 5
    assert sorted(row["line_number"] for row in lake.rows("line_number")) == list(range(1, count + 6))


def test_a_rotated_and_recompressed_file_is_known_by_content(lake: Lake, log: Callable[..., Path]) -> None:
    """Neither another name nor a compressor makes new lines of old ones, and what was added meanwhile is read."""
    lake.take(log(lines(50)))
    assert lake.take(log(lines(50), "access.log.1")).counts.lines == 0
    assert lake.take(log(gzip.compress(lines(50)), "access.log.2.gz")).counts.lines == 0
    assert lake.take(log(COMPRESSORS["zst"](lines(60)), "access.log.3.zst")).counts.rows == 10


def test_a_copy_in_the_same_run_counts_once(lake: Lake, log: Callable[..., Path]) -> None:
    """A folder with a file and its archive gives each line once."""
    log(lines(10), "a.log")
    folder = log(gzip.compress(lines(10)), "a.log.gz").parent

    assert lake.take(folder).counts.rows == 10


def test_another_file_with_the_same_beginning_is_another_file(lake: Lake, log: Callable[..., Path]) -> None:
    """What differs is read; the beginning that they share counts once, as any text that is known does."""
    lake.take(log(lines(100) + lines(10, 200)))
    lake.take(log(lines(100) + lines(20, 300), "other.log"))

    assert len(lake.rows("line_number")) == 100 + 10 + 20


def test_half_a_last_line_is_a_reject_until_it_is_whole(lake: Lake, log: Callable[..., Path]) -> None:
    """It is in quarantine while it is all there is; read whole, it is a row, and the reject is taken back."""
    whole = lines(5)
    path = log(whole[:-40])
    summary = lake.take(path)

    assert (summary.counts.rows, summary.counts.rejects) == (4, 1)
    (reject,) = lake.rejects()
    assert reject["reason"].startswith("ends in the middle: ")
    assert (reject["line_number"], reject["raw"]) == (5, line(4)[:-40])
    before = lake.files()
    assert lake.take(path).counts.lines == 0
    assert lake.files() == before

    lake.take(log(whole[:-20]))
    assert [len(reject["raw"]) for reject in lake.rejects()] == [len(line(4)) - 20]
    lake.take(log(whole))
    assert lake.rejects() == []
    assert sorted(row["line_number"] for row in lake.rows("line_number")) == [1, 2, 3, 4, 5]
    assert lake.totals() == {"lines": 5, "rows": 5, "rejects": 0, "noise": 0, "blank": 0, "bytes": len(whole)}


def test_a_file_of_half_a_line_grows_to_a_row(lake: Lake, log: Callable[..., Path]) -> None:
    """The rule for a torn line holds for a file that is nothing else."""
    lake.take(log(line()[:200]))
    assert lake.take(log(line()[:200])).counts.lines == 0
    lake.take(log(line() + line(1)))

    assert len(lake.rows("path")) == 2
    assert lake.totals()["lines"] == 2


def test_half_a_line_belongs_to_its_own_file(lake: Lake, log: Callable[..., Path]) -> None:
    """Another file that begins with the same few bytes does not take it for its own beginning."""
    folder = log(line()[:7], "a.log").parent
    log(b'{"au' + line(1)[4:] + line(2), "b.log")
    log(line(1)[:9] + b"x", "c.log")
    summary = lake.take(folder)

    assert (summary.counts.rows, summary.counts.rejects) == (2, 2)
    assert [reject["raw"] for reject in lake.rejects()] == [line()[:7], line()[:9] + b"x"]


def test_a_whole_last_line_without_newline_is_a_row_once(lake: Lake, log: Callable[..., Path]) -> None:
    """Its newline, when it comes, is no blank line."""
    lake.take(log(lines(3)[:-1]))
    lake.take(log(lines(3)))
    lake.take(log(lines(4)))

    assert sorted(row["line_number"] for row in lake.rows("line_number")) == [1, 2, 3, 4]
    assert lake.totals() == {**lake.totals(), "lines": 4, "blank": 0, "bytes": len(lines(4)) - 1}


def test_an_open_line_over_the_limit_is_rejected_once(lake: Lake, log: Callable[..., Path]) -> None:
    """When it goes on, the rest of it is passed over, and what follows is read."""
    start = line(0) + b'{"path":"' + b"x" * (2 * LINE_LIMIT)
    lake.take(log(start))
    lake.take(log(start + b"y" * 100 + b'"}\n' + line(1)))
    lake.take(log(start + b"y" * 100 + b'"}\n' + line(1) + line(2)))

    assert [row["line_number"] for row in lake.rows("line_number")] == [1, 3, 4]
    assert len(lake.rejects()) == 1


def test_stdin_is_known_again(lake: Lake) -> None:
    """The same bytes piped twice change nothing; more of them bring what is new; compression does not matter."""
    assert lake.take("-", stdin=io.BytesIO(lines(20))).counts.rows == 20
    assert lake.take("-", stdin=io.BytesIO(lines(20))).counts.lines == 0
    assert lake.take("-", stdin=io.BytesIO(gzip.compress(lines(25)))).counts.rows == 5
    assert {row["source"] for row in lake.rows("source")} == {"stdin"}


def test_another_stdin_with_a_known_beginning_is_read_from_where_it_differs(lake: Lake) -> None:
    """What was read to find out is not lost."""
    lake.take("-", stdin=io.BytesIO(lines(400)))
    summary = lake.take("-", stdin=io.BytesIO(lines(100) + lines(50, 500)))

    assert summary.counts.rows == 50
    assert len(lake.rows("line_number")) == 450


def cri(payload: bytes, tag: bytes = b"F", stream: bytes = b"stdout") -> bytes:
    return b"2021-02-18T07:08:50.031000001Z " + stream + b" " + tag + b" " + payload + b"\n"


def test_cri_lines_are_peeled_and_partial_ones_joined(lake: Lake, log: Callable[..., Path]) -> None:
    """A record in pieces is one row under its first line's number; pod and namespace come from the kubelet's path."""
    big = line(1)[:-1]
    data = (
        cri(line(0)[:-1])
        + cri(big[:100], b"P")
        + cri(b"some noise", stream=b"stderr")
        + cri(big[100:200], b"P")
        + cri(big[200:])
        + cri(line(2)[:-1])
    )
    uid = "d4d957df-ae20-59d4-84cb-e209204698a7"
    summary = lake.take(log(data, f"pods/shop_cart-v1-6f5b9c8d7-h5zgk_{uid}/istio-proxy/0.log"))

    assert (summary.counts.lines, summary.counts.rows, summary.counts.noise) == (4, 3, 1)
    rows = lake.rows("line_number", "request_id", "pod", "namespace")
    assert [(row["line_number"], row["request_id"]) for row in rows] == [(1, "id-0"), (2, "id-1"), (6, "id-2")]
    assert {(row["namespace"], row["pod"]) for row in rows} == {("shop", "cart-v1-6f5b9c8d7-h5zgk")}


def test_a_name_that_is_not_utf_8_is_written_as_its_bytes(lake: Lake, tmp_path: Path) -> None:
    """A disk holds any bytes for a name; the lake, which is read again here, text."""
    name = os.fsencode(tmp_path / "logs") + b"/caf\xe9.log"
    (tmp_path / "logs").mkdir()
    with open(name, "wb") as file:  # noqa: PTH123 - a name of bytes
        file.write(line(0) + b"starting\n")
    for _ in range(2):
        lake.take(tmp_path / "logs")

    assert [Path(row["source"]).name for row in lake.rows("source")] == ["caf\\xe9.log"]


def test_a_partial_record_at_the_end_waits_for_its_rest(lake: Lake, log: Callable[..., Path]) -> None:
    """Its pieces are a reject while the last one is missing, and a row when it has come."""
    big = line(1)[:-1]
    start = cri(line(0)[:-1]) + cri(big[:100], b"P") + cri(big[100:200], b"P")
    assert lake.take(log(start)).counts.rejects == 1
    assert lake.take(log(start)).counts.lines == 0
    lake.take(log(start + cri(big[200:])))

    assert [row["line_number"] for row in lake.rows("line_number")] == [1, 2]
    assert lake.rejects() == []
    assert lake.totals()["lines"] == 2


def test_windows_line_ends_are_line_ends(lake: Lake, log: Callable[..., Path]) -> None:
    """CR LF ends a line as LF does."""
    summary = lake.take(log(lines(20).replace(b"\n", b"\r\n") + b"\r\n"))

    assert (summary.counts.rows, summary.counts.blank) == (20, 1)


def test_a_batch_is_committed_when_it_is_full(
    lake: Lake, log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source may span batches; its rows are there once, and the next ingest goes on after the last."""
    monkeypatch.setattr(gather, "BATCH_ROWS", 50)
    monkeypatch.setattr("pipeline.ingest.blocks.BLOCK_BYTES", 20_000)
    summary = lake.take(log(lines(200)[:-30]))

    assert summary.counts.rows == 199
    assert len(lake.loads()) > 2
    lake.take(log(lines(210)))
    assert sorted(row["line_number"] for row in lake.rows("line_number")) == list(range(1, 211))
    assert lake.totals()["lines"] == 210


def test_an_interrupted_ingest_keeps_the_batches_before(
    lake: Lake, log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control-C leaves whole batches, and the same command finishes the work."""
    monkeypatch.setattr(gather, "BATCH_ROWS", 50)
    monkeypatch.setattr("pipeline.ingest.blocks.BLOCK_BYTES", 20_000)

    def interrupt(done: int, _: int | None) -> None:
        if done > 90_000:
            raise KeyboardInterrupt

    path = log(lines(200))
    with pytest.raises(KeyboardInterrupt):
        lake.take(path, progress=interrupt)
    assert 50 <= len(lake.rows("line_number")) < 200
    assert lake.totals()["rows"] == len(lake.rows("line_number"))
    lake.take(path)
    assert sorted(row["line_number"] for row in lake.rows("line_number")) == list(range(1, 201))


def test_an_empty_file_is_fine(lake: Lake, log: Callable[..., Path]) -> None:
    """It has no lines and leaves no record."""
    summary = lake.take(log(b""))

    assert (summary.counts.lines, summary.sources_unchanged, lake.loads()) == (0, 1, [])


def test_a_named_binary_file_ends_the_ingest_before_it_begins(lake: Lake, log: Callable[..., Path]) -> None:
    """No lake is made for what cannot be read."""
    with pytest.raises(InputError, match=r"core\.bin: does not look like a log: byte 5 is NUL"):
        lake.take(log(lines(3)), log(b"\x7fELF\x00\x01", "core.bin"))
    assert not lake.root.exists()


def test_a_binary_file_in_a_folder_does_not_lose_the_rest(lake: Lake, log: Callable[..., Path]) -> None:
    """It is reported, and the logs beside it are read."""
    log(b"\x7fELF\x00\x01", "core")
    summary = lake.take(log(lines(3)).parent)

    assert (summary.counts.rows, summary.sources_failed) == (3, 1)
    assert "does not look like a log" in summary.problems[0][1]


def test_a_missing_path_ends_the_ingest_before_it_begins(lake: Lake, log: Callable[..., Path]) -> None:
    """The good file beside it is not ingested either, so that the corrected command is the whole truth."""
    with pytest.raises(InputError, match="there is no such file"):
        lake.take(log(lines(3)), "no-such.log")
    assert not lake.root.exists()


def test_a_newer_lake_is_left_alone(lake: Lake, log: Callable[..., Path]) -> None:
    """Its marker says so."""
    create_lake(lake.root)
    (lake.root / "lake.json").write_text('{"format": 99}')
    before = lake.files()

    with pytest.raises(LakeError, match="written by a newer meshlog"):
        lake.take(log(lines(3)))
    assert lake.files() == before


def test_a_second_ingest_says_who_is_writing(
    lake: Lake, log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits a little, then names the process that holds the lake."""
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.1)
    with (
        ledger.write_lock(create_lake(lake.root)),
        pytest.raises(LockedError, match=f"another ingest is writing here: process {os.getpid()} on "),
    ):
        lake.take(log(lines(3)))


def test_a_full_disk_leaves_the_lake_as_it_was(
    lake: Lake, log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed batch leaves no file, and the same command works when there is room."""
    lake.take(log(lines(3)))
    before = lake.files()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for target in ("pipeline.ingest.writer.pq.write_table", "pipeline.lake.ledger.json.dump"):
        with monkeypatch.context() as patched:
            patched.setattr(target, full)
            with pytest.raises(LakeError, match="No space left on device"):
                lake.take(log(lines(6)))
        assert lake.files() == before
    assert lake.take(log(lines(6))).counts.rows == 3


def test_what_no_record_names_is_removed(lake: Lake, log: Callable[..., Path]) -> None:
    """Leftovers of a killed ingest never count, and the next one deletes them."""
    lake.take(log(lines(3)))
    before = lake.files()
    folder = lake.root / "access_logs" / "date=2021-02-18" / "hour=07"
    (folder / "killed.parquet").write_bytes(b"half")
    (lake.root / "ledger" / "killed.tmp").write_bytes(b"half")
    lake.take(log(lines(3)))

    assert lake.files() == before


def test_an_unknown_column_in_a_mapping_is_a_usage_error(lake: Lake, log: Callable[..., Path], tmp_path: Path) -> None:
    """The message names file, key and the columns there are."""
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[fields]\nlatency = "latency_ms"\n')

    with pytest.raises(
        UsageError, match=r"mapping\.toml: \[fields\] latency: there is no column latency_ms\. Columns: "
    ):
        lake.take(log(lines(1)), mapping=mapping)


def test_progress_ends_at_the_total(lake: Lake, log: Callable[..., Path]) -> None:
    """It counts bytes of the files as they lie on the disk."""
    seen: list[tuple[int, int | None]] = []
    path = log(gzip.compress(lines(10)))
    lake.take(path, progress=lambda done, total: seen.append((done, total)))

    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_the_samples_read_without_a_reject(lake: Lake) -> None:
    """The recorded logs of a real Envoy, kubelet folders and archives among them, hold nothing that is refused."""
    samples = Path(__file__).parent.parent / "sample_logs"
    summary = lake.take(samples)

    assert summary.counts.rejects == summary.sources_failed == 0
    assert summary.counts.rows > 500
    assert {row["reporter"] for row in lake.rows("reporter")} >= {"sidecar", "gateway"}
