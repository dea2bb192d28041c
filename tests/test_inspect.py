"""What `meshlog inspect` says about a file, and that it writes nothing."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ingesting import NOISE, TYPED, Lake, line, lines
from rich.cells import cell_len
from test_dialects import CASES
from test_dialects_agree import WRAPPERS, as_text

from pipeline.ingest.dialects import ISTIO_KEYS
from pipeline.ingest.explained import as_json, lines_of
from pipeline.ingest.fields import DEFAULT, read_mapping
from pipeline.ingest.inspect import Explanation, explain
from pipeline.ingest.sources import expand


def explained(path: Path, **options: Any) -> Explanation:
    (source,) = expand([path]).sources
    return explain(source, options.pop("fields", DEFAULT), **options)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_it_counts_as_an_ingest_does(case: Path, log: Path, tmp_path: Path) -> None:
    """Whatever the format, the counts and times are those that `loads` would have."""
    import tomllib

    log.write_text(tomllib.loads(case.read_text(encoding="utf-8"))["lines"], encoding="utf-8")
    summary = Lake(tmp_path / "lake").take(log)
    found = explained(log)

    assert found.counts == {name: getattr(summary.counts, name) for name in found.counts}
    assert (found.first_started_at, found.last_started_at) == (summary.first_started_at, summary.last_started_at)
    assert sum(trouble.count for trouble in found.troubles) == summary.counts.rejects
    assert sum(found.pods.values()) == summary.counts.rows


def test_wrappers_dialects_keys_and_pods_are_named(log: Path) -> None:
    """What was peeled, what is inside, which key fills which column, and whose lines they are."""
    log.write_text(
        "".join(WRAPPERS[name](json.dumps({**TYPED, "zone": "a"})) + "\n" for name in ("cri", "kubectl", "fluent bit"))
    )
    found = explained(log)

    assert found.wrappers == {"CRI": 1, "kubectl logs --prefix": 1, "timestamps": 1, "Fluent Bit": 1}
    assert found.dialects == {"Istio JSON with keys of its own, typed values": 3}
    assert found.pods == {"cart-v1": 2, "(not known)": 1}
    assert found.unmapped == {"zone": 3}
    (template,) = found.templates
    assert [key for key, _ in template.columns] == [*TYPED, "zone"]
    assert dict(template.columns)["start_time"] == "started_at"
    assert dict(template.columns)["zone"] is None


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("istio_json_typed", "Istio default JSON, typed values"),
        ("istio_json_strings", "Istio default JSON, all values strings"),
        ("istio_json_1_1", "Istio default JSON, all values strings"),
        ("envoy_gateway_typed", "Envoy Gateway JSON, typed values"),
        ("envoy_gateway_text", "Envoy Gateway JSON, written by a text template, unescaped"),
        ("contour_json", "Contour JSON, typed values"),
        ("istio_text_1_9", "Istio text, 1.9 and later"),
        ("istio_text_1_8", "Istio text, 1.8"),
        ("istio_text_1_3", "Istio text, 1.3 to 1.7"),
        ("istio_text_1_2", "Istio text, 1.2"),
        ("istio_text_1_1", "Istio text, 1.1"),
        ("istio_text_1_0_3", "Istio text for TCP, 1.0.3 to 1.0.9"),
        ("envoy_text", "Envoy text"),
    ],
)
def test_dialects_have_names(log: Path, stem: str, name: str) -> None:
    """A format is called by what writes it."""
    import tomllib

    (case,) = (path for path in CASES if path.stem == stem)
    log.write_text(tomllib.loads(case.read_text(encoding="utf-8"))["lines"], encoding="utf-8")

    assert name in explained(log).dialects


def test_the_keys_of_istio_are_those_of_its_lines() -> None:
    """The list that names the dialect is the one that Envoy writes."""
    assert {*TYPED, "istio_policy_status"} == ISTIO_KEYS


@pytest.mark.parametrize("wrapper", ["bare", "cri", "docker", "kubectl", "fluent bit"])
def test_a_caret_stands_under_the_place(log: Path, wrapper: str) -> None:
    """In the line as it stands in the file, even where a wrapper escapes the record."""
    log.write_text(WRAPPERS[wrapper](json.dumps({**TYPED, "response_code": "abc"})) + "\n")
    (trouble,) = explained(log).troubles
    (shown,) = trouble.first

    assert shown.place is not None
    assert shown.raw[shown.place :].lstrip(b'\\"').startswith(b"abc")
    text = list(lines_of(explained(log)))
    caret = next(number for number, part in enumerate(text) if part.strip() == "^")
    assert text[caret - 1][text[caret].index("^") :].lstrip('\\"').startswith("abc")


@pytest.mark.parametrize("filling", ["x", "日本", "e\u0301", "\x1b[31m", "\u202e", "é"])
def test_shown_lines_fit_into_eighty_columns(log: Path, filling: str) -> None:
    """Characters may take two columns or none, and escapes many: the caret stands where a terminal shows the place."""
    values = {**TYPED, "path": filling * 99, "response_code": "abc", "route_name": filling * 99}
    log.write_text(json.dumps(values, ensure_ascii=False) + "\n")
    text = list(lines_of(explained(log)))
    caret = next(number for number, part in enumerate(text) if part.strip() == "^")
    shown = text[caret - 1]

    assert cell_len(shown) <= 80
    columns = "".join(char + "\0" * (cell_len(char) - 1) for char in shown if cell_len(char))
    assert columns[text[caret].index("^") :].startswith('"abc"')


def test_a_caret_stands_under_the_place_in_text_and_in_broken_json(log: Path) -> None:
    """A text line's place is where it stops following the layout, broken JSON's is where the parser gave up."""
    log.write_text(as_text(TYPED).replace(" 200 ", " 2x0 ") + "\n" + json.dumps(TYPED).replace("75", "7 5") + "\n")
    text, broken = (trouble.first[0] for trouble in explained(log).troubles)

    assert text.raw[text.place :].startswith(b"2x0")
    assert broken.raw[: broken.place].endswith(b"7 ")


def test_three_lines_of_each_kind_are_shown(log: Path) -> None:
    """All are counted; what differs in its value only is one kind."""
    log.write_bytes(b"".join(line(number, response_code=f"x{number}") for number in range(9)) + NOISE * 5)
    found = explained(log)
    (trouble,) = found.troubles

    assert (trouble.count, len(trouble.first), len(found.noise)) == (9, 3, 3)
    assert [shown.number for shown in trouble.first] == [1, 2, 3]


def test_control_characters_are_escaped(log: Path) -> None:
    """What a stranger wrote into a log does not steer the terminal of who looks at it."""
    log.write_bytes(b"\x1b]0;evil\x07\xe2\x80\xae agent\n" + line(path="\x9b31m", response_code="\u202e"))
    text = "\n".join(lines_of(explained(log)))

    assert text.replace("\n", "").isprintable()
    assert r"\x1b]0;evil\x07\u202e" in text


def test_compression_is_named_and_damage_is_told(log: Path) -> None:
    """What came before the damage is explained."""
    log.write_bytes(gzip.compress(lines(2000))[:-200])
    found = explained(log)

    assert found.compression == "gzip"
    assert found.problem is not None
    assert "ends in the middle" in found.problem
    assert found.counts["rows"] > 1000


def test_a_mapping_can_be_tried_out(log: Path, tmp_path: Path) -> None:
    """It changes what fills which column."""
    log.write_text('{"when":"2021-02-18T07:08:50Z","code":200}\n')
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[fields]\nwhen = "started_at"\ncode = "response_code"\n')

    assert explained(log).counts["noise"] == 1
    assert explained(log, fields=read_mapping(mapping)).counts["rows"] == 1


def test_it_reads_no_more_than_it_is_asked_for(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of any size answers at once, and the answer says that it is not the whole."""
    monkeypatch.setattr("pipeline.ingest.blocks.BLOCK_BYTES", 20_000)
    log.write_bytes(lines(1000))
    found = explained(log, most_lines=50)

    assert 50 <= found.counts["lines"] < 200
    assert not found.is_whole
    assert explained(log, most_lines=0).counts["lines"] == 1000


def test_json_holds_the_same(log: Path) -> None:
    """One object, with bytes as text."""
    log.write_bytes(lines(3) + line(4, response_code="abc") + b"\xff agent\n")
    told = json.loads(as_json(explained(log)))

    assert told["counts"] == {"lines": 5, "rows": 3, "rejects": 1, "noise": 1, "blank": 0}
    assert told["noise"][0]["raw"] == "\\xff agent"
    assert told["troubles"][0]["first"][0]["number"] == 4


def test_the_command(meshlog, log: Path, tmp_path: Path) -> None:
    """It prints to stdout, writes no lake, reads stdin, and its exit code tells a file that cannot be read."""
    log.write_bytes(lines(3))
    ran = meshlog("inspect", log)
    assert (ran.code, ran.err) == (0, "")
    assert "lines     3 = 3 rows + 0 rejects + 0 noise + 0 blank" in ran.out
    assert not (tmp_path / "lake").exists()
    assert "stdin" in meshlog("inspect", "-", stdin=lines(3)).out
    assert json.loads(meshlog("inspect", log, "--format", "json").out)["counts"]["rows"] == 3

    assert meshlog("inspect", tmp_path / "none.log").code == 1
    assert meshlog("inspect", log, "--lines", "-1").code == 2
    log.write_bytes(gzip.compress(lines(2000))[:-200])
    assert meshlog("inspect", log).code == 1
