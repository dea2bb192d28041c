"""Nothing that a line may hold is an exception, and where a source is cut changes nothing, whatever it holds."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingesting import TYPED
from test_dialects_agree import DIALECTS, RECORDS, WRAPPERS, as_text, read_in_blocks

from pipeline.ingest import odd, textlines, wrappers
from pipeline.ingest.fields import DEFAULT
from pipeline.ingest.inspect import place
from pipeline.ingest.shapes import Block

_KEYS = """
log message msg line body Body event MESSAGE _raw @message textPayload jsonPayload log_processed _source result fields
logEvents events labels resource attributes kubernetes pod_name pod name namespace node host file path data stream
values resourceLogs scopeLogs logRecords stringValue kvlistValue arrayValue intValue key value time start_time
response_code response_flags method timestamp status
"""
KEYS = _KEYS.split()

records = st.sampled_from([dialect(values) for dialect in DIALECTS.values() for values in RECORDS])
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"), max_size=20) | records
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
prefixes = st.sampled_from(
    ["", "", "cart-1  | ", "[pod/a/b] ", "2021-02-18T07:08:50Z ", "x.log:1:", "a b ", "\x1b[1m", "  ", "\ufeff"]
)
cut = st.floats(0, 1) | st.just(1.0)


@st.composite
def one_line(draw: st.DrawFn) -> bytes:
    """Draw a line: an object of envelopes' keys, or a record in wrappers, behind prefixes, now and then cut."""
    if draw(st.booleans()):
        text = json.dumps(draw(st.dictionaries(st.sampled_from(KEYS), values, max_size=5)))
    else:
        text = draw(texts)
        for name in draw(st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=3)):
            text = WRAPPERS[name](text)
    text = draw(prefixes) + text
    made = text[: int(len(text) * draw(cut))].encode("utf-8", "replace")
    return draw(st.sampled_from([bytes, bytes, bytes, lambda raw: raw.replace(b"e", b"\xff", 1)]))(made)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(one_line(), min_size=1, max_size=8), st.lists(st.integers(0, 10**4), max_size=3))
def test_no_line_is_an_exception_and_blocks_make_no_difference(lines: list[bytes], ends: list[int]) -> None:
    """Every line becomes something, the same wherever the source is cut."""
    data = b"\n".join(lines) + b"\n"

    whole = read_in_blocks(data, [])
    assert read_in_blocks(data, sorted(ends)) == whole
    for _, reason, raw in whole[1]:
        at = place(raw, raw, reason)
        assert at is None or 0 <= at <= len(raw) + 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(one_line(), min_size=1, max_size=4))
def test_an_open_line_is_no_exception(lines: list[bytes]) -> None:
    """Nor is what stands at the end of a source without a newline."""
    data = b"\n".join(lines)
    *_, last = data.split(b"\n")
    body = data[: len(data) - len(last)]
    records, pending = wrappers.peel(Block(body, 0, 1)) if body else (None, wrappers.NOTHING)
    records, pending = wrappers.peel(Block(last, len(body), body.count(b"\n") + 1, is_open=True), pending)
    odd.parse(records.texts, records.numbers, DEFAULT, is_open=records.is_open)
    assert len(records.texts) == len(records.numbers) == len(records.raws)
    assert records.open_bytes <= len(data)
    wrappers.close(pending, data.count(b"\n") + 1, is_open=True)


_HEAD = '[2021-02-18T07:08:50.031Z] "GET /'
_AGAIN = 'x HTTP/1.1" 200 - via_upstream - "-" 12 75 5 4 "-" "'


@pytest.mark.parametrize(
    "text",
    [
        _HEAD + _AGAIN * 1000,
        _HEAD + _AGAIN * 400 + '" "' * 400,
        _HEAD + " HTTP/1.1" * 6000,
        _HEAD + 'a HTTP/1.1" 200 ' * 4000,
        "a" * 60_000,
        "a." * 30_000 + " | ",
        "1-" * 30_000,
        "2021-02-18T07:08:50Z " * 3000,
        '{"start_time":"' + '","path":"' * 6000 + '"}',
        '{"log":' * 9000,
        '{"message":' * 400 + "1" + "}" * 400,
        '{"start_time":"2021-02-18T07:08:50Z","status":200,"a":' + '{"a":' * 400 + "1" + "}" * 401,
        "[" + '{"a":' * 400 + "1" + "}" * 400 + "]",
        '[{"a":' + "[" * 400 + "1" + "]" * 400 + "}]",
    ],
)
def test_hostile_text_costs_no_time(text: str) -> None:
    """A header may hold what it likes, up to Envoy's 60 KiB: no pattern takes more than a moment for it."""
    began = time.process_time()
    records, _ = wrappers.peel(Block(text.encode() + b"\n", 0, 1))
    odd.parse(records.texts, records.numbers, DEFAULT)

    assert time.process_time() - began < 2


def test_a_strangers_header_cannot_forge_a_text_line() -> None:
    """A user agent that looks like the rest of the line stays part of the user agent."""
    forged = {**TYPED, "user_agent": 'x" "r-1" "evil" "10.6.6.6:1'}
    found = textlines.read(as_text(forged).encode())

    assert found is not None
    assert (found[1]["upstream_host"], found[1]["authority"]) == (TYPED["upstream_host"], TYPED["authority"])
    assert found[1]["user_agent"] == forged["user_agent"]


def test_deep_envelopes_end() -> None:
    """A line that wraps itself again and again is opened a few times and then noise."""
    made: Any = json.dumps(TYPED)
    for _ in range(12):
        made = json.dumps({"message": made})
    parsed = odd.parse([made.encode()], [1], DEFAULT)

    assert (parsed.rows.num_rows, len(parsed.rejects), parsed.noise) == (0, 0, 1)
