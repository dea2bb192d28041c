"""Laws that hold for every input: both parsers agree, every line becomes one thing, twice is once."""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ingesting import NOISE, TYPED, Lake, as_strings, line, lines

from pipeline.ingest import direction, normalise, odd
from pipeline.ingest.addresses import has_same_local_ip, is_forwarded_last
from pipeline.ingest.fields import DEFAULT, PARSED
from pipeline.ingest.scanner import Scanner
from pipeline.ingest.shapes import Context
from pipeline.ingest.writer import arranged

absent = st.sampled_from([None, "-", ""])
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
digits = st.integers(0, 10**6).map(str)
awkward_numbers = st.sampled_from(
    [
        200.0,
        "200.0",
        "007",
        "0x1F",
        "+5",
        "-5",
        -1,
        "1e3",
        1e3,
        1.5,
        2**63,
        2**64,
        10**18,
        "9" * 19,
        True,
        [],
        {},
        " 5",
        "٣",
    ]
)
awkward_times = st.sampled_from(
    [
        "2021-02-18T07:08:50Z",
        "2021-02-18T07:08:50.031123Z",
        "2021-02-18T07:08:50.031123456Z",
        "2021-02-18T07:08:50.0311234Z",
        "2021-02-18T07:08:50.031+01:00",
        "2021-02-18 07:08:50.031Z",
        "2021-02-18T07:08:50.031",
        "2021-02-30T07:08:50.031Z",
        "2021-02-18T24:08:50.031Z",
        "2021-02-18T07:08:60.031Z",
        "0001-01-01T00:00:00.000Z",
        "2021-02-18T07:08:50.Z",
        "2021-02-18T07:08Z        Z",
        "2021-02-18T07:08:50.03Z1Z",
        "1613632130.031",
        "1613632130031",
        1613632130,
        "",
        "-",
        None,
        True,
    ]
)
any_value = absent | text | st.integers(-5, 2**65) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = ("bytes_received", "bytes_sent", "duration", "response_code", "upstream_service_time")


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw new values for a few keys of a line, most of them possible ones."""
    key = st.sampled_from(sorted(TYPED))
    made: dict[str, Any] = {}
    for name in draw(st.lists(key, max_size=4)):
        if name == "start_time":
            made[name] = draw(awkward_times)
        elif name in NUMBERS:
            made[name] = draw(st.integers(0, 999) | digits | absent | awkward_numbers)
        else:
            made[name] = draw(text | absent | any_value)
    for name in draw(st.lists(st.sampled_from(["trace", ":authority", "zone", "status"]), max_size=1)):
        made[name] = draw(any_value)
    return made


@st.composite
def one_line(draw: st.DrawFn) -> bytes:
    """Draw a line: typed or all strings, its keys in any order, some absent, now and then broken."""
    values: dict[str, Any] = {**TYPED, **draw(changes())}
    if draw(st.integers(0, 9)) == 0:
        values = as_strings(values)
    keys = list(values)
    if draw(st.booleans()):
        keys = draw(st.permutations(keys))
    keys = keys[draw(st.sampled_from([0, 0, 0, 3])) :]
    made = json.dumps({key: values[key] for key in keys}, ensure_ascii=draw(st.booleans())).encode("utf-8")
    return draw(st.sampled_from(MUTATIONS))(made)


def _twice(made: bytes) -> bytes:
    return made[:-1] + b',"method":"PUT"}'


MUTATIONS = [
    *[bytes] * 12,
    lambda made: made + made,
    lambda made: b" " + made,
    lambda made: made + b" ",
    lambda made: made.replace(b"GET", b"G\xffT"),
    lambda made: made.replace(b"GET", b"\xed\xa0\x80"),
    lambda made: made.replace(b"GET", b"\\ud800"),
    lambda made: made.replace(b"GET", b"a\\u0000b\\/\\n"),
    lambda made: made.replace(b"GET", b"a\tb"),
    lambda made: made.replace(b": 75", b": NaN"),
    lambda made: made.replace(b": 75", b": 075"),
    lambda made: made.replace(b": 75", b": -0"),
    lambda made: made[:-1] + b",}",
    lambda made: made[: len(made) // 2] + b"}",
    lambda _: b'{"a":[{}',
    lambda _: b'{"x":"y"}{"z":1}',
    lambda _: b'{"level":"info","time":"2021-02-18T07:08:50Z","msg":{"deep":[1,{"er":2}]}}',
    _twice,
]


SCANNERS = [Scanner(DEFAULT), Scanner(DEFAULT)]
"""One that knows the usual keys alone, and one that learns those of every line."""

SCANNERS[0].learn([line()[:-1], json.dumps(as_strings(json.loads(line()))).encode()])


def _scanned(texts: list[bytes], scanner: Scanner) -> list[tuple[int, dict[str, Any]]]:
    """Read lines at once; (position, row) of those that the scanner takes."""
    scanner.scan(b"".join(text + b"\n" for text in texts), range(len(texts)), 0)
    taken = scanner.take()
    rows = [row for scanned in taken for row in scanned.table().to_pylist()]
    scanner.reuse(taken)
    return [(row["line_number"], {name: row[name] for name in PARSED.names}) for row in rows]


def assert_agreement(texts: list[bytes]) -> None:
    """What a scanner delivers of lines is what reading each alone gives."""
    SCANNERS[1].learn(texts)
    for scanner in SCANNERS:
        for position, row in _scanned(texts, scanner):
            assert odd.parse([texts[position]], [position], DEFAULT).rows.to_pylist() == [row]


whole_line = one_line().filter(lambda made: b"\n" not in made)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(whole_line)
@example(json.dumps({**TYPED, "trace": 1 << 64}).encode())
def test_a_row_of_the_scanner_is_the_row_of_the_reference(made: bytes) -> None:
    """The scanner may decline any line, but what it delivers is what reading the line alone gives."""
    assert_agreement([made])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(whole_line, min_size=2, max_size=4))
def test_neighbours_do_not_change_a_row(texts: list[bytes]) -> None:
    """Lines before and behind, and keys that only a neighbour has, lead to no other rows."""
    assert_agreement(texts)


ips = st.sampled_from(["10.0.0.1", "10.0.0.11", "fd00::1", "fd00::11", "é", "a:b", ""])
ports = st.sampled_from(["", ":0", ":80", ":65535", ":123456", ":b:0", ":00"])
socket_addresses = st.builds(lambda ip, port: (f"[{ip}]" if ":" in ip else ip) + port, ips, ports) | st.text(max_size=4)
forwarded_lists = st.lists(st.builds(lambda ip, pad: f"{pad}{ip}{pad}", ips, st.sampled_from(["", " ", "\t "])))


@given(forwarded_lists, st.tuples(*[socket_addresses] * 3))
@settings(max_examples=500, deadline=None)
def test_the_scanner_compares_addresses_as_the_reference_does(forwarded: list[str], addresses: tuple[str, ...]) -> None:
    """Of the two local addresses the IP, and the sender with the last X-Forwarded-For entry."""
    arrived, went, sender = addresses
    changes = {
        "downstream_local_address": arrived,
        "upstream_local_address": went,
        "downstream_remote_address": sender,
        "x_forwarded_for": ",".join(forwarded),
    }
    assert_agreement([json.dumps({**TYPED, **changes}, ensure_ascii=False).encode()])


@pytest.mark.parametrize(
    ("arrived", "went", "is_same"),
    [
        ("10.0.0.1:80", "10.0.0.1:49152", True),
        ("10.0.0.1:80", "10.0.0.11:49152", False),
        ("[fd00::1]:80", "[fd00::1]:49152", True),
        ("/var/run/socket", "10.0.0.1:49152", None),
    ],
)
def test_local_ips_are_compared_whole(arrived: str, went: str, is_same: bool | None) -> None:
    """Up to the port; an address without one tells nothing."""
    assert has_same_local_ip(arrived, went) is is_same


@pytest.mark.parametrize(
    ("forwarded", "sender", "is_last"),
    [
        ("203.0.113.9", "203.0.113.9:51234", True),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9:51234", True),
        ("203.0.113.9, 198.51.100.1", "203.0.113.9:51234", False),
        ("203.0.113.9", "203.0.113.9:0", False),
        ("203.0.113.9", "203.0.113.91:51234", False),
        ("fd00::9", "[fd00::9]:51234", True),
        ("203.0.113.9,", "203.0.113.9:51234", False),
    ],
)
def test_the_sender_is_the_last_entry_or_not(forwarded: str, sender: str, is_last: bool) -> None:
    """With a port of its own: port 0 is what a sidecar makes of the entry."""
    assert is_forwarded_last(forwarded, sender) is is_last


def test_ordinary_lines_are_scanned() -> None:
    """The property above would hold for a scanner that declines everything; this one does not."""
    for style in (dict, as_strings):
        for separators in ((",", ":"), (", ", ": ")):
            texts = [
                json.dumps(style({**TYPED, "duration": number, "trace": f"t{number}"}), separators=separators).encode()
                for number in range(50)
            ]
            scanner = Scanner(DEFAULT)
            scanner.learn(texts)

            assert [position for position, _ in _scanned(texts, scanner)] == [*range(50)]


def test_keys_in_any_order_are_scanned() -> None:
    """Each line may have its keys in an order of its own, and lack some."""
    lines = [json.dumps(dict(sorted(TYPED.items(), key=lambda item: hash((item, n))))).encode() for n in range(50)]
    lines += [json.dumps({k: v for k, v in TYPED.items() if k != "user_agent"}).encode()]
    scanner = Scanner(DEFAULT)
    scanner.learn(lines[:1])

    assert len(_scanned(lines, scanner)) == 51


def test_a_full_dictionary_is_begun_anew(monkeypatch) -> None:
    """More distinct texts than a dictionary holds cost nothing but a new dictionary."""
    monkeypatch.setattr("pipeline.ingest.scanner.MOST_DISTINCT", 8)
    texts = [json.dumps({**TYPED, "user_agent": f"agent {number}"}).encode() for number in range(100)]
    scanner = Scanner(DEFAULT)
    scanner.learn(texts)

    assert sorted(row["user_agent"] for _, row in _scanned(texts, scanner)) == sorted(f"agent {n}" for n in range(100))


def test_rows_outlive_the_arrays_that_they_were_scanned_into() -> None:
    """Arrays are filled anew while rows that came from them are being written, rows without a value included."""
    scanner = Scanner(DEFAULT)
    texts = [json.dumps({**TYPED, "user_agent": agent, "path": f"/{agent}"}).encode() for agent in ("a", "b", None)]
    scanner.learn(texts)
    scanner.scan(b"\n".join([*texts, b""]), range(3), 0)
    (scanned,) = scanner.take()
    parsed = scanned.table()
    rows = arranged(direction.decide(normalise.rows(parsed, [Context("a.log")], {}), parsed))
    before = rows.to_pylist()
    for chunk in scanned.chunks:
        for array in (chunk.codes, chunk.numbers, chunk.offsets, chunk.text, chunk.line_number, chunk.compared):
            array.fill(77)

    assert rows.to_pylist() == before
    rows.validate(full=True)


def test_a_line_that_no_longer_fitted_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is begun in arrays that are full, and whole in the next ones; the full ones are used again."""
    monkeypatch.setattr("pipeline.ingest.scanner.TEXT_BYTES", 4096)
    scanner = Scanner(DEFAULT)
    filling = [json.dumps({**TYPED, "path": f"/{number:070}"}).encode() for number in range(200)]
    lacking = {key: None if key in ("authority", "method", "protocol", "user_agent") else TYPED[key] for key in TYPED}
    texts = [json.dumps({**lacking, "request_id": str(number)}).encode() for number in range(200)]
    scanner.learn([*filling, *texts])
    expected = odd.parse(texts, range(len(texts)), DEFAULT).rows.to_pylist()
    scanner.scan(b"\n".join([*filling, b""]), range(len(filling)), 0)
    (full,) = scanner.take()
    scanner.reuse([replace(full, chunks=full.chunks[:1])])

    for _ in range(2):  # the arrays that had been begun, and those that were full
        assert [row for _, row in _scanned(texts, scanner)] == expected


def test_cri_lines_are_scanned_until_one_is_partial() -> None:
    """Whole CRI lines need no peeling; behind a piece of a record they do, for they may belong to it."""
    text = json.dumps(TYPED).encode()
    whole, piece = (b"2021-02-18T07:08:50.031442123Z stdout %s " % tag for tag in (b"F", b"P"))
    scanner = Scanner(DEFAULT)
    scanner.learn([whole + text])

    assert [position for position, _ in _scanned([whole + text, piece + text[:9], whole + text[9:]], scanner)] == [0]


pieces = st.lists(
    whole_line
    | st.sampled_from(
        [NOISE[:-1], b"", b"  ", b"plain", b"\x1b[31mred", b"{", b'{"start_time":', b"[1]", b'"x"', line()[40:-1]]
    )
    | st.binary(max_size=8).map(lambda raw: raw.replace(b"\n", b"").replace(b"\0", b"")),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([b"{", b"{"], False, 0)
@given(pieces, st.booleans(), st.integers(0, 100))
def test_lines_are_rows_rejects_noise_and_blank(texts: list[bytes], is_closed: bool, percent: int) -> None:
    """For any mix of lines the law holds, twice is once, and growing in two steps gives what one step gives."""
    data = b"\n".join([line()[:-1], *texts]) + (b"\n" if is_closed else b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.log"
        lake, grown = Lake(Path(folder) / "lake"), Lake(Path(folder) / "grown")
        path.write_bytes(data)
        counts = lake.take(path).counts
        assert counts.obeys_the_law()
        assert counts.lines == len(data.removesuffix(b"\n").split(b"\n"))
        assert counts.bytes == len(data)
        assert lake.take(path).counts.lines == 0

        path.write_bytes(data[: len(data) * percent // 100])
        grown.take(path)
        path.write_bytes(data)
        grown.take(path)
        assert grown.rows() == lake.rows()
        assert [(r["line_number"], r["raw"]) for r in grown.rejects()] == [
            (r["line_number"], r["raw"]) for r in lake.rejects()
        ]
        of = ("lines", "rows", "rejects", "noise", "blank")
        assert {name: grown.totals()[name] for name in of} == {name: lake.totals()[name] for name in of}


# ---------- how it starts


def test_the_compiler_rests_once_the_scanner_is_compiled(tmp_path):
    """A large file is scanned without loading numba, whose start would cost more than the scan."""
    Scanner(DEFAULT)
    log = tmp_path / "large.jsonl"
    log.write_bytes(lines(3_000))
    program = f"""
import sys
from pipeline.ingest.load import load
print(load([{str(log)!r}], {str(tmp_path / "lake")!r}).counts.rows)
print([name for name in ("numba", "pipeline.ingest.scanner") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.splitlines() == ["3000", "['pipeline.ingest.scanner']"]
