"""Which files an ingest reads, which it leaves out, and what it refuses."""

import bz2
import gzip
import lzma
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.ingest import blocks
from pipeline.ingest.blocks import Broken, open_text, zstd
from pipeline.ingest.shapes import LINE_LIMIT
from pipeline.ingest.sources import expand


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for name in ("b.log", "a/z.log", "a/0.log.20261123.gz", ".hidden", ".git/x.log", "README.md", "a/page.html"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x\n")
    return tmp_path


def names(*paths: object) -> list[str]:
    return [Path(source.name).name for source in expand([str(path) for path in paths]).sources]


def test_a_file_that_is_gone_since_it_was_listed_is_left_out(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose logs rotate is no error; a path that the user names is."""
    listed = [(str(logs), list[str](), ["b.log", "gone.log"])]
    monkeypatch.setattr(os, "walk", lambda *_, **__: listed)

    assert names(logs) == ["b.log"]
    with pytest.raises(InputError, match="there is no such file"):
        names(logs / "gone.log")


def test_a_folder_is_read_in_order_and_what_is_left_out_is_named(logs: Path) -> None:
    """Hidden files and files that are evidently no logs are skipped, not silently."""
    expansion = expand([str(logs)])

    assert [Path(source.name).relative_to(logs).as_posix() for source in expansion.sources] == [
        "b.log",
        "a/0.log.20261123.gz",
        "a/z.log",
    ]
    assert [Path(name).name for name in expansion.skipped] == [".hidden", "README.md", "page.html"]


def test_links_to_folders_are_followed_and_each_folder_is_entered_once(logs: Path) -> None:
    """A link may lead to a folder elsewhere, to one that is read anyway, or above itself."""
    root, elsewhere = logs / "a", logs / ".elsewhere"
    elsewhere.mkdir()
    (root / "sub").mkdir()
    for path in (elsewhere / "e.log", root / "sub" / "s.log"):
        path.write_text("x\n")
    (root / "sub" / "up").symlink_to(root)
    (root / "again").symlink_to(root / "sub")
    (root / "linked").symlink_to(elsewhere)

    found = [Path(source.name).relative_to(root).as_posix() for source in expand([str(root)]).sources]

    assert found == ["0.log.20261123.gz", "z.log", "sub/s.log", "linked/e.log"]


def test_what_is_no_file_in_a_folder_is_left_out_and_named(logs: Path) -> None:
    """A node's links to logs that are gone, and a program's pipes, keep no log from being read."""
    os.mkfifo(logs / "a" / "pipe")
    (logs / "gone.log").symlink_to("nowhere.log")
    (logs / "self.log").symlink_to("self.log")

    expansion = expand([str(logs)])

    assert [Path(source.name).name for source in expansion.sources] == ["b.log", "0.log.20261123.gz", "z.log"]
    assert {"pipe", "gone.log", "self.log"} <= {Path(name).name for name in expansion.skipped}


def test_a_named_file_is_read_whatever_it_is_called(logs: Path) -> None:
    """What the user names is meant."""
    expansion = expand([str(logs), str(logs / "README.md")])

    assert "README.md" in [Path(source.name).name for source in expansion.sources]
    assert "README.md" not in [Path(name).name for name in expansion.skipped]


def test_a_file_is_listed_once(logs: Path) -> None:
    """A folder, a glob, the file itself and a link to it lead to one source."""
    (logs / "link.log").symlink_to(logs / "b.log")

    assert names(logs / "b.log", logs / "*.log", logs).count("b.log") == 1
    assert "link.log" not in names(logs / "b.log", logs)


def test_a_glob_matches_files_and_folders(logs: Path) -> None:
    """`**` goes down, a folder that matches is read."""
    assert names(logs / "**" / "*.log") == ["z.log", "b.log"]
    assert names(logs / "[a]") == ["0.log.20261123.gz", "z.log"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(logs: Path) -> None:
    """An existing name wins over a pattern."""
    (logs / "[x].log").write_text("x\n")

    assert names(logs / "[x].log") == ["[x].log"]


def test_stdin_has_a_name(logs: Path) -> None:
    """`-` may stand among files, and counts once."""
    assert names("-", logs / "b.log", "-") == ["stdin", "b.log"]


@pytest.mark.parametrize(
    ("path", "message"),
    [("missing.log", "there is no such file"), ("*.nope", "no file matches"), ("pipe", "is no regular file")],
)
def test_what_cannot_be_read_is_an_input_error(logs: Path, path: str, message: str) -> None:
    """The message names the path."""
    os.mkfifo(logs / "pipe")

    with pytest.raises(InputError, match=message) as caught:
        expand([str(logs / path)])
    assert str(logs / path) in str(caught.value)


def test_a_folder_without_rights_is_an_input_error(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the system's answer is imitated."""

    def refused(path: str) -> Iterator[os.DirEntry[str]]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(InputError, match=r"the folder cannot be read: Permission denied\. Check its rights"):
        expand([str(logs)])


def test_a_file_without_rights_is_an_input_error(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found before anything is read."""

    def refused(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(InputError, match=r"b\.log: cannot be read: Permission denied"):
        expand([str(logs)])


def _blocks(path: Path, data: bytes, **options: object) -> list[tuple[bytes, int, int, bool, int]]:
    path.write_bytes(data)
    with path.open("rb") as file:
        found = blocks.blocks(open_text(file), **options)  # type: ignore[arg-type]
        return [(block.data, block.offset, block.first_line, block.is_open, block.cut) for block in found]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_blocks_end_at_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """However the text is cut, its lines, offsets and numbers are the same."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    data = b"one\ntwo\n\nfour\nfive"
    found = _blocks(tmp_path / "log", data)

    assert b"".join(block[0] for block in found) == data
    for text, offset, first_line, is_open, _ in found:
        assert data[offset : offset + len(text)] == text
        assert first_line == data[:offset].count(b"\n") + 1
        assert is_open == (not text.endswith(b"\n"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
@pytest.mark.parametrize("ending", [b"", b"open"])
def test_a_large_text_comes_in_pieces_that_end_at_line_ends(
    tmp_path: Path, pack: Callable[[bytes], bytes], ending: bytes
) -> None:
    """Lines of all lengths, some of them longer than where a line's end is looked for: none is lost, moved or torn."""
    chance = random.Random(1)
    lengths = [*(chance.randrange(2000) for _ in range(2000)), 200_000, *(chance.randrange(9) for _ in range(9))]
    data = b"".join(chance.randbytes(length).hex().encode() + b"\n" for length in lengths) + ending
    found = _blocks(tmp_path / "log", pack(data), size=128 << 10)

    assert b"".join(text for text, *_ in found) == data
    assert len(found) > 20
    for text, offset, first_line, is_open, _ in found:
        assert data[offset : offset + len(text)] == text
        assert first_line == data[:offset].count(b"\n") + 1
        assert is_open == (not text.endswith(b"\n"))


def test_what_swells_most_is_fed_in_small_pieces(tmp_path: Path) -> None:
    """Text that zstd makes a ten thousandth of, behind text that it cannot make small: little of it comes at once."""
    noise = random.Random(1).randbytes(300_000).hex().encode() + b"\n"
    path = tmp_path / "bomb.zst"
    path.write_bytes(zstd.compress(noise + b"the same line again and again\n" * (5 << 20)))
    with path.open("rb") as file:
        text = open_text(file)
        most = max(map(len, iter(lambda: text.read_lines(4 << 20) or b"", b"")))

    assert most < 120 << 20


@pytest.mark.parametrize("size", [1000, 1 << 20, 4 << 20])
def test_a_line_over_the_limit_is_a_block_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """It tells its whole size, and the lines around it keep their places."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    long = b"x" * (LINE_LIMIT + 1) + b"\n"
    just = b"y" * LINE_LIMIT + b"\n"
    found = _blocks(tmp_path / "log", b"a\n" + long + b"b\n" + just + long[:-1])

    cuts = [(offset, first_line, is_open, cut) for _, offset, first_line, is_open, cut in found if cut or is_open]
    assert cuts == [(2, 2, False, len(long)), (4 + len(long) + len(just), 5, True, len(long) - 1)]
    assert b"".join(data for data, *_, cut in found if not cut) == b"a\nb\n" + just


def test_what_stands_before_damage_is_kept_but_for_a_little(tmp_path: Path) -> None:
    """A checksum that is wrong is seen at the end; what came before it is not lost with it."""
    text = b"".join(b"a line of some length, the %dth\n" % number for number in range(10_000))
    packed = bytearray(gzip.compress(text))
    packed[-6] ^= 1
    (tmp_path / "log.gz").write_bytes(packed)
    kept: list[bytes] = []
    with (tmp_path / "log.gz").open("rb", buffering=0) as raw, pytest.raises(Broken, match="damaged"):
        kept.extend(block.data for block in blocks.blocks(open_text(raw)))

    assert text.startswith(b"".join(kept))
    assert len(b"".join(kept)) > len(text) - (80 << 10)


def test_a_text_that_swells_is_read_in_pieces(tmp_path: Path) -> None:
    """A few KB of gzip that hold 300 MB of one line do not fill the memory."""
    import tracemalloc

    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"x" * 300_000_000 + b"\nend\n", 9))
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            found = [(block.cut, block.first_line) for block in blocks.blocks(open_text(file))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found == [(300_000_001, 1), (0, 2)]
    assert peak < 100_000_000


def _text(path: Path, data: bytes) -> tuple[bytes, str | None]:
    """Read a file to its end: the text and, where it is damaged, what is said of it."""
    path.write_bytes(data)
    got = b""
    with path.open("rb") as file:
        text = open_text(file)
        try:
            while more := text.read(1 << 20):
                got += more
        except Broken as broken:
            return got, str(broken)
    return got, None


SKIPPABLE = b"\x5d\x2a\x4d\x18\x04\0\0\0size"


@pytest.mark.parametrize(
    "data",
    [
        SKIPPABLE + zstd.compress(b"one\n") + SKIPPABLE + zstd.compress(b"two\n") + SKIPPABLE,
        lzma.compress(b"one\n") + b"\0" * 8 + lzma.compress(b"two\n") + b"\0" * 4,
        gzip.compress(b"one\n") + gzip.compress(b"two\n") + b"\0" * 20_000,
        bz2.compress(b"one\n") + bz2.compress(b"two\n"),
    ],
    ids=["pzstd", "xz", "gzip", "bzip2"],
)
def test_members_may_stand_apart(tmp_path: Path, data: bytes) -> None:
    """pzstd puts frames that hold no text before its own, xz and tapes pad with zeros."""
    assert _text(tmp_path / "log", data) == (b"one\ntwo\n", None)


def test_what_follows_compressed_data_is_named_for_what_it_is(tmp_path: Path) -> None:
    """It is no half of a member; what came before is kept."""
    said = "what follows the gzip data is none: it was left out; what came before it was kept"

    assert _text(tmp_path / "log", gzip.compress(b"one\n") + b"garbage") == (b"one\n", said)


def test_what_is_not_compressed_after_all_is_damage(tmp_path: Path) -> None:
    """A file that begins as gzip does and is none says so."""
    path = tmp_path / "log"
    path.write_bytes(b"\x1f\x8bnot really gzip, as it turns out")
    with path.open("rb") as file, pytest.raises(Broken, match="the gzip data is damaged"):
        list(blocks.blocks(open_text(file)))
