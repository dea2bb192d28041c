"""The same record gives the same row in every wrapper and dialect, however its source is cut and read."""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ingesting import TYPED, Lake, as_strings, lines
from test_dialects import CASES

from pipeline.ingest import envelopes, odd, wrappers
from pipeline.ingest.fields import DEFAULT, WRAPPER_KEYS
from pipeline.ingest.flags import LONG_NAMES, short
from pipeline.ingest.shapes import Block

RECORDS: list[Mapping[str, Any]] = [
    TYPED,
    {**TYPED, "user_agent": 'a "quoted" one', "path": "/with a blank", "x_forwarded_for": "10.9.9.9,10.1.0.3"},
    {**TYPED, "response_code": 503, "response_flags": "UF,URX", "upstream_service_time": None},
    {**TYPED, "method": None, "path": None, "protocol": None, "response_code": 0, "upstream_host": "[fd00::9]:80"},
    {**TYPED, "request_id": "no uuid", "upstream_host": "envoy://inner/x", "downstream_remote_address": "10.1.0.7:0"},
]


def as_text(values: Mapping[str, Any]) -> str:
    """Write a record as Istio 1.9 and later do by default."""
    of = as_strings(values)
    quoted = ("x_forwarded_for", "user_agent", "request_id", "authority", "upstream_host")
    plain = ("upstream_cluster", "upstream_local_address", "downstream_local_address", "downstream_remote_address")
    details = f"{of['response_code_details']} {of['connection_termination_details']}"
    return " ".join(
        [
            f'[{of["start_time"]}] "{of["method"]} {of["path"]} {of["protocol"]}"',
            f"{of['response_code']} {of['response_flags']} {details}",
            f'"{of["upstream_transport_failure_reason"]}" {of["bytes_received"]} {of["bytes_sent"]} {of["duration"]}',
            of["upstream_service_time"],
            *(f'"{of[name]}"' for name in quoted),
            *(of[name] for name in (*plain, "requested_server_name", "route_name")),
        ]
    )


def any_value(value: Any) -> dict[str, Any]:
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def otlp(text: str) -> str:
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": text}}]}]}]})


DIALECTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "typed": json.dumps,
    "compact": lambda values: json.dumps(values, separators=(",", ":")),
    "strings": lambda values: json.dumps(as_strings(values)),
    "floats": lambda values: json.dumps({k: float(v) if isinstance(v, int) else v for k, v in values.items()}),
    "reversed": lambda values: json.dumps(dict(reversed(values.items()))),
    "unescaped": lambda values: "{" + ",".join(f'"{key}":"{value}"' for key, value in as_strings(values).items()) + "}",
    "text": as_text,
}
WRAPPERS: Mapping[str, Callable[[str], str]] = {
    "bare": str,
    "cri": lambda text: f"2021-02-18T07:08:50.031000001Z stdout F {text}",
    "cri in pieces": lambda text: (
        f"2021-02-18T07:08:50.031Z stdout P {text[:60]}\n2021-02-18T07:08:50.031Z stdout F {text[60:]}"
    ),
    "docker": lambda text: json.dumps({"log": text + "\n", "stream": "stdout", "time": "2021-02-18T07:08:50.031Z"}),
    "docker in pieces": lambda text: "\n".join(
        json.dumps({"log": piece, "stream": "stdout", "time": "2021-02-18T07:08:50.031Z"}, separators=(",", ":"))
        for piece in (text[:60], text[60:90], text[90:] + "\n")
    ),
    "kubectl": lambda text: f"[pod/cart-v1/istio-proxy] 2021-02-18T07:08:50.031Z {text}",
    "timestamps": lambda text: f"2021-02-18T07:08:50.031Z {text}",
    "compose": lambda text: f"cart-1  | {text}",
    "stern": lambda text: f"cart-v1 istio-proxy {text}",
    "coloured stern": lambda text: f"\x1b[38;5;2mcart-v1\x1b[0m \x1b[32mistio-proxy\x1b[0m {text}",
    "cf": lambda text: f"   2021-02-18T07:08:50.03+0000 [APP/PROC/WEB/0] OUT {text}",
    "grep": lambda text: f"access.log:12:{text}",
    "syslog": lambda text: f"<134>Feb 18 07:08:50 node-7 envoy[123]: {text}",
    "fluent bit": lambda text: json.dumps({"log": text, "kubernetes": {"pod_name": "cart-v1"}}),
    "filebeat": lambda text: json.dumps({"message": text, "kubernetes": {"pod": {"name": "cart-v1"}}}),
    "vector": lambda text: json.dumps({"message": text, "kubernetes": {"pod_namespace": "shop"}}),
    "loki": lambda text: json.dumps({"labels": {"pod": "cart-v1"}, "line": text, "timestamp": "2021-02-18T07:08:51Z"}),
    "google": lambda text: json.dumps({"textPayload": text, "resource": {"labels": {"pod_name": "cart-v1"}}}),
    "opentelemetry": otlp,
}
SINGLE = [name for name in WRAPPERS if "pieces" not in name]
OWN = ("source", "line_number", "pod", "namespace", "node", "reporter")


def meaning(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what a wrapper knows and where a line stands."""
    return [{name: value for name, value in row.items() if name not in OWN} for row in rows]


def read(tmp_path: Path, name: str, lines: Iterable[str]) -> list[dict[str, Any]]:
    log = tmp_path / f"{name}.log"
    log.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    lake = Lake(tmp_path / name)
    lake.take(log)
    assert lake.rejects() == []
    return sorted(lake.rows(), key=lambda row: row["line_number"])


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return meaning(read(tmp_path_factory.mktemp("expected"), "bare", map(json.dumps, RECORDS)))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_record_is_the_same_row_everywhere(
    tmp_path: Path, expected: list[dict[str, Any]], wrapper: str, dialect: str
) -> None:
    """Neither the wrapper nor the dialect changes what a record says."""
    got = read(tmp_path, "other", (WRAPPERS[wrapper](DIALECTS[dialect](values)) for values in RECORDS))

    assert meaning(got) == expected


@pytest.mark.parametrize("outer", SINGLE)
@pytest.mark.parametrize("inner", SINGLE)
def test_wrappers_nest(tmp_path: Path, expected: list[dict[str, Any]], outer: str, inner: str) -> None:
    """Two wrappers around a record, whichever they are, change nothing."""
    got = read(tmp_path, "other", (WRAPPERS[outer](WRAPPERS[inner](json.dumps(values))) for values in RECORDS))

    assert meaning(got) == expected


def blocks_of(data: bytes, ends: list[int]) -> Iterable[Block]:
    """Cut a source into blocks behind the lines that end at or after the given places."""
    begin, line = 0, 1
    for end in [*ends, len(data)]:
        stop = data.find(b"\n", max(begin, min(end, len(data) - 1))) + 1
        if stop > begin:
            yield (block := Block(data[begin:stop], begin, line))
            begin, line = stop, line + block.lines


def read_in_blocks(data: bytes, ends: list[int]) -> tuple[Any, ...]:
    """Return rows, rejects' texts, noise and blank lines of a source that comes in blocks."""
    pending, rows, rejects, rest = wrappers.NOTHING, [], [], [0, 0]
    parts = []
    for block in blocks_of(data, ends):
        records, pending = wrappers.peel(block, pending)
        parts.append(records)
    parts.append(wrappers.close(pending, data.count(b"\n"), is_open=False))
    for records in parts:
        parsed = odd.parse(records.texts, records.numbers, DEFAULT)
        rows += parsed.rows.to_pylist()
        rejects += [(records.numbers[at], reason, records.raws[at]) for at, reason in parsed.rejects]
        rest = [rest[0] + parsed.noise, rest[1] + parsed.blank]
    return sorted(rows, key=repr), sorted(rejects), rest


def mixed() -> bytes:
    """Every wrapper, every dialect, noise and broken lines, in one source."""
    made = [WRAPPERS[wrapper](DIALECTS[dialect](RECORDS[0])) for wrapper in WRAPPERS for dialect in DIALECTS]
    made += [json.dumps(TYPED, indent=indent) for indent in (1, 2, "\t")]
    made += ["", "{", "agent says hello", json.dumps(TYPED, indent=2)[:200], json.dumps(TYPED), '{"a":1}']
    random.Random(1).shuffle(made)
    return ("\n".join(made) + "\n").encode()


@pytest.mark.parametrize("seed", range(20))
def test_blocks_make_no_difference(seed: int) -> None:
    """Where a source is cut into blocks changes neither rows nor rejects nor counts."""
    data = mixed()
    chance = random.Random(seed)
    ends = sorted(chance.randrange(len(data)) for _ in range(chance.choice([1, 5, 200])))

    assert read_in_blocks(data, ends) == read_in_blocks(data, [])


@pytest.mark.parametrize("seed", range(20))
def test_a_source_that_grows_gives_what_it_gives_whole(tmp_path: Path, seed: int) -> None:
    """In two steps, cut anywhere, even within a wrapper, a text line or a record over several lines."""
    data = mixed()
    log, whole, grown = tmp_path / "a.log", Lake(tmp_path / "whole"), Lake(tmp_path / "grown")
    for size in (random.Random(seed).randrange(len(data)), len(data)):
        log.write_bytes(data[:size])
        grown.take(log)
    whole.take(log)

    assert grown.rows() == whole.rows()
    assert [reject["raw"] for reject in grown.rejects()] == [reject["raw"] for reject in whole.rejects()]
    assert {**grown.totals(), "bytes": 0} == {**whole.totals(), "bytes": 0}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_peeling_early_or_late_is_the_same(case: Path) -> None:
    """What `odd` opens by itself, line by line, is what the block's peeling opens for it."""
    import tomllib

    data = tomllib.loads(case.read_text(encoding="utf-8"))["lines"].encode()
    of = [line for line in data.split(b"\n") if line.startswith((b"{", b"[{", b"[2"))]
    of = [line for line in of if not line.startswith(b'{"log":"')]
    records, _ = wrappers.peel(Block(b"".join(line + b"\n" for line in of), 0, 1))
    early = odd.parse(records.texts, records.numbers, DEFAULT)
    late = odd.parse(of, range(1, len(of) + 1), DEFAULT)

    assert early.rows.to_pylist() == late.rows.to_pylist()
    assert [reason for _, reason in early.rejects] == [reason for _, reason in late.rejects]
    assert (early.noise, early.blank) == (late.noise, late.blank)


def test_a_partial_record_is_bounded(tmp_path: Path) -> None:
    """An object that goes on for more than 200 lines is given up; what follows is read."""
    log = tmp_path / "a.log"
    endless = "{\n" + "".join(f'  "key{number}": {number},\n' for number in range(1000))
    log.write_text(endless + json.dumps(TYPED) + "\n")
    counts = Lake(tmp_path / "lake").take(log).counts

    assert (counts.rows, counts.rejects) == (1, 0)
    assert counts.noise == 1001 - 199


def test_latin_1_bytes_in_unescaped_lines_are_read(tmp_path: Path) -> None:
    """A text template writes a header's bytes as they came; the JSON formatter would have made mojibake of them."""
    values = {**TYPED, "user_agent": "café"}
    made = [DIALECTS["unescaped"](values).encode("latin-1"), as_text(values).encode("latin-1")]
    log = tmp_path / "a.log"
    log.write_bytes(b"\n".join(made) + b"\n")
    lake = Lake(tmp_path / "lake")
    lake.take(log)

    assert [row["user_agent"] for row in lake.rows("user_agent")] == ["café", "café"]


def test_a_text_line_without_newline_waits_for_it(tmp_path: Path) -> None:
    """Half a route's name looks like a whole one, so an open text line is no row yet."""
    log, lake = tmp_path / "a.log", Lake(tmp_path / "lake")
    log.write_text(as_text(TYPED)[:-3])
    lake.take(log)
    assert [reject["reason"] for reject in lake.rejects()] == ["has no newline: it may be half a line"]
    log.write_text(as_text(TYPED) + "\n")
    lake.take(log)

    assert lake.rejects() == []
    assert [row["route_name"] for row in lake.rows("route_name")] == ["default"]


def test_long_names_are_those_of_the_seed() -> None:
    """The table of long names is the one that the read half has."""
    seed = (Path(__file__).parents[1] / "sql" / "seeds" / "response_flags.csv").read_text().splitlines()[1:]

    assert {tuple(line.split(",")[1::-1]) for line in seed} == set(LONG_NAMES.items())
    assert short("UpstreamOverflow, X") == "UO,X"


def test_an_open_line_with_many_records_is_counted_by_its_records(tmp_path: Path) -> None:
    """A last line without newline that holds several records, none of them a row, obeys the law."""
    log, lake = tmp_path / "a.log", Lake(tmp_path / "lake")
    log.write_text(json.dumps({"logEvents": [{"message": "a"}, {"message": "b"}]}))
    counts = lake.take(log).counts

    assert (counts.lines, counts.noise) == (2, 2)


def test_every_key_of_an_envelope_is_known_as_one() -> None:
    """Otherwise an envelope that has a time and a status would be read as a line, unless its block is peeled."""
    opened = {*envelopes.TEXT_KEYS, *envelopes.OBJECT_KEYS, *envelopes.LIST_KEYS, "resourceLogs", "data", "kubernetes"}

    assert opened == WRAPPER_KEYS


@pytest.mark.parametrize("first", [0, 1 << 40])
def test_the_scanner_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """Compiled or one at a time, every wrapper and dialect among plain lines gives what it gives alone."""
    monkeypatch.setattr("pipeline.ingest.load.SCAN_FROM_BYTES", first)
    monkeypatch.setattr("pipeline.ingest.blocks.BLOCK_BYTES", 60_000)
    data = lines(100) + mixed() + lines(300) + mixed()
    log, lake = tmp_path / "a.log", Lake(tmp_path / "lake")
    log.write_bytes(data)
    counts = lake.take(log).counts
    rows, rejects, (noise, blank) = read_in_blocks(data, [])

    assert (counts.rows, counts.rejects, counts.noise, counts.blank) == (len(rows), len(rejects), noise, blank)
    assert [(reject["line_number"], reject["reason"]) for reject in lake.rejects()] == [each[:2] for each in rejects]
    names = ("line_number", "request_id", "path", "duration_ms", "upstream_host", "extra", "pod", "namespace", "node")
    assert lake.rows(*names) == sorted(({name: row[name] for name in names} for row in rows), key=by_items)


def by_items(row: Mapping[str, Any]) -> str:
    """Order rows as `Lake.rows` does."""
    return repr(sorted(row.items()))


def test_odd_objects_open_to_nothing() -> None:
    """Envelopes whose parts are of the wrong kind are no envelopes, and no error."""
    for made in ({"resourceLogs": 3}, {"kubernetes": 1}, {"data": {"result": [3]}}, {"log": {"file": 1}}, {}):
        assert envelopes.opened(made) in ([], [b'{"file":1}'])
