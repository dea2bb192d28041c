"""Laws that hold for every input: both parsers agree, every line becomes one thing, twice is once."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingesting import NOISE, TYPED, Lake, as_strings, line

from pipeline.ingest import kernel, odd, templates
from pipeline.ingest.fields import DEFAULT
from pipeline.ingest.shapes import Template

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


def _template(made: bytes) -> Template:
    template = templates.learn([made], DEFAULT)
    assert template is not None
    return template


USUAL = [_template(line()[:-1]), _template(json.dumps(as_strings(json.loads(line()))).encode())]


def _fast(texts: list[bytes], template: Template) -> list[tuple[int, dict[str, Any]]]:
    """Read lines at once; (position, row) of those that fit."""
    columns = kernel.parse(texts, range(len(texts)), template)
    return [(row["line_number"], row) for row in columns.rows.to_pylist()] if columns else []


def _meaning(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value in ("-", "") else value for name, value in row.items()}


def _assert_agreement(texts: list[bytes], template: Template) -> None:
    for position, row in _fast(texts, template):
        slow = odd.parse([texts[position]], [position], DEFAULT).rows.to_pylist()
        assert [_meaning(row)] == [_meaning(other) for other in slow]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(one_line())
def test_a_row_of_the_columnar_parser_is_the_row_of_the_other(made: bytes) -> None:
    """The columnar parser may decline any line, but what it delivers is what reading the line alone gives."""
    own = templates.learn([made], DEFAULT)
    for template in [*USUAL, *([own] if own else [])]:
        if kernel.is_clean(made):
            _assert_agreement([made], template)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(one_line().filter(kernel.is_clean), min_size=2, max_size=4))
def test_neighbours_do_not_change_a_row(texts: list[bytes]) -> None:
    """Objects that share a line or span lines, and keys that only a neighbour has, lead to no other rows."""
    own = templates.learn(texts, DEFAULT)
    for template in [*USUAL, *([own] if own else [])]:
        _assert_agreement(texts, template)


def test_ordinary_lines_fit_the_columnar_parser() -> None:
    """The property above would hold for a parser that declines everything; this one does not."""
    for style in (dict, as_strings):
        texts = [
            json.dumps(style({**TYPED, "duration": number, "trace": f"t{number}"})).encode() for number in range(50)
        ]
        template = templates.learn(texts, DEFAULT)
        assert template is not None
        columns = kernel.parse(texts, range(50), template)
        assert columns is not None
        assert columns.misfits == ()


pieces = st.lists(
    one_line().filter(lambda made: b"\n" not in made)
    | st.sampled_from(
        [NOISE[:-1], b"", b"  ", b"plain", b"\x1b[31mred", b"{", b'{"start_time":', b"[1]", b'"x"', line()[40:-1]]
    )
    | st.binary(max_size=8).map(lambda raw: raw.replace(b"\n", b"").replace(b"\0", b"")),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
