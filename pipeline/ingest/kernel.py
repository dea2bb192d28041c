"""Reads a block of clean lines at once through Arrow's columnar JSON reader.

Whatever Arrow reads more laxly than `odd.py` makes it decline: the whole block (None) or single lines (`misfits`). So
a row delivered here is the row that `odd.py` would have made, which is a property test. A compiled scanner takes this
module's place behind the same call.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from pipeline.ingest.fields import (
    ABSENT,
    CODE,
    FLAGS,
    MAX_CODE,
    MAX_NUMBER,
    MAX_TIME_US,
    MIN_TIME_US,
    PARSED,
    TEXTS,
    TIME,
    WHOLE_NUMBERS,
)
from pipeline.ingest.shapes import LINE_LIMIT, Template
from pipeline.lake.schema import TIMESTAMP

_ABSENT = pa.array(ABSENT)
# Typed scalars: guessing the type of a Python value costs Arrow a tenth of a millisecond each time.
_TRUE, _FALSE, _NO_TEXT = pa.scalar(True, pa.bool_()), pa.scalar(False, pa.bool_()), pa.scalar(None, pa.string())
_OPEN, _CLOSE, _NOTHING = (pa.scalar(text, pa.string()) for text in ("{", "}", ""))
_SHORTEST_TIME, _LONGEST_TIME, _LONGEST_NUMBER, _ZERO_LENGTH = (pa.scalar(n, pa.int32()) for n in (20, 27, 18, 0))
_FIRST_TIME, _END_OF_TIME = pa.scalar(MIN_TIME_US, pa.int64()), pa.scalar(MAX_TIME_US, pa.int64())
_ZERO, _LARGEST_CODE, _LARGEST = (pa.scalar(n, pa.int64()) for n in (0, MAX_CODE, MAX_NUMBER))


@dataclass(frozen=True)
class Columns:
    """The rows of the lines that fit (in `fields.PARSED`), and the positions of those that did not."""

    rows: pa.Table
    misfits: tuple[int, ...]


def is_clean(text: bytes) -> bool:
    """Say whether a line may stand in a block: it begins and ends as an object does, so no object spans lines."""
    return text.startswith(b"{") and text.endswith(b"}")


def parse(texts: Sequence[bytes], numbers: Sequence[int], template: Template) -> Columns | None:
    """Read clean lines (see `is_clean`) at once; None where the block does not fit.

    Arrow takes several objects a line and invalid UTF-8: the first shows in the number of rows, the second is looked
    for. What a key outside the template holds decides its line: any value makes it a misfit.
    """
    table = _read(b"\n".join(texts), template)
    if table is None or table.num_rows != len(texts):
        return None
    keys = dict(template.columns)
    misfit = _unknown_keys(table, template)
    columns: dict[str, pa.Array] = {}
    try:
        columns[TIME], wrong = _times(table[keys[TIME]].combine_chunks())
        misfit = pc.or_(misfit, wrong)
        for name in WHOLE_NUMBERS:
            if name in keys:
                columns[name], wrong = _numbers(table[keys[name]].combine_chunks(), name)
                misfit = pc.or_(misfit, wrong)
    except pa.ArrowInvalid:
        return None
    misfit = pc.or_(misfit, _lacks_code_and_flags(table, keys))
    for name in TEXTS:
        if name in keys:
            columns[name] = table[keys[name]].combine_chunks().cast(pa.string())
    columns["extra"] = _extra(table, template.extras)
    columns["line_number"] = pa.array(numbers, pa.int64())
    rows = pa.table([columns.get(f.name, pa.nulls(len(texts), f.type)) for f in PARSED], schema=PARSED)
    return _split(rows, misfit)


def _split(rows: pa.Table, misfit: pa.Array) -> Columns:
    if not pc.any(misfit).as_py():
        return Columns(rows, ())
    return Columns(rows.filter(pc.invert(misfit)), tuple(pc.indices_nonzero(misfit).to_pylist()))


def _read(text: bytes, template: Template) -> pa.Table | None:
    try:
        text.decode()
        return pj.read_json(
            pa.BufferReader(text),
            read_options=pj.ReadOptions(use_threads=len(text) > 2 * LINE_LIMIT, block_size=2 * LINE_LIMIT),
            parse_options=pj.ParseOptions(explicit_schema=template.schema, unexpected_field_behavior="infer"),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError):
        return None


def _unknown_keys(table: pa.Table, template: Template) -> pa.Array:
    misfit = _all_false(table.num_rows)
    for name in table.column_names:
        if name not in template.schema.names:
            misfit = pc.or_(misfit, table[name].combine_chunks().is_valid())
    return misfit


def _all_false(length: int) -> pa.Array:
    return pa.repeat(_FALSE, length)


def _lacks_code_and_flags(table: pa.Table, keys: dict[str, str]) -> pa.Array:
    """Find lines that may be no access logs: Arrow does not tell a key that is null from one that is absent."""
    lacks = pa.repeat(_TRUE, table.num_rows)
    for name in (CODE, FLAGS):
        if name in keys:
            lacks = pc.and_(lacks, table[keys[name]].combine_chunks().is_null())
    return lacks


def _times(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Type RFC 3339 times in UTC with up to six decimals; others, rare, are misfits."""
    length = pc.binary_length(values)
    fits = pc.and_(
        pc.and_(pc.greater_equal(length, _SHORTEST_TIME), pc.less_equal(length, _LONGEST_TIME)),
        pc.ends_with(values, "Z"),
    )
    fits = pc.fill_null(fits, _FALSE)
    times = pc.if_else(fits, values, _NO_TEXT).cast(TIMESTAMP)
    ticks = times.cast(pa.int64())
    in_range = pc.and_(pc.greater_equal(ticks, _FIRST_TIME), pc.less(ticks, _END_OF_TIME))
    return times, pc.invert(pc.fill_null(in_range, _FALSE))


def _numbers(values: pa.Array, column: str) -> tuple[pa.Array, pa.Array]:
    wrong = _all_false(len(values))
    if pa.types.is_string(values.type):
        values = pc.if_else(pc.is_in(values, _ABSENT), _NO_TEXT, values)
        digits = pc.and_(pc.ascii_is_decimal(values), pc.less_equal(pc.binary_length(values), _LONGEST_NUMBER))
        wrong = pc.fill_null(pc.invert(digits), _FALSE)
        values = pc.if_else(wrong, _NO_TEXT, values).cast(pa.int64())
    largest = _LARGEST_CODE if column == CODE else _LARGEST
    outside = pc.or_(pc.less(values, _ZERO), pc.greater(values, largest))
    return values, pc.or_(wrong, pc.fill_null(outside, _FALSE))


def _extra(table: pa.Table, keys: Sequence[str]) -> pa.Array:
    parts = [part for key in keys if (part := _member(key, table[key].combine_chunks())) is not None]
    if not parts:
        return pa.nulls(table.num_rows, pa.string())
    # Not null_handling="skip": PyArrow 26 then loses the rows in which everything is null.
    joined = pc.utf8_rtrim(pc.binary_join_element_wise(*parts, _NOTHING, null_handling="replace"), ",")
    is_empty = pc.equal(pc.binary_length(joined), _ZERO_LENGTH)
    return pc.if_else(is_empty, _NO_TEXT, pc.binary_join_element_wise(_OPEN, joined, _CLOSE, _NOTHING))


def _member(key: str, values: pa.Array) -> pa.Array | None:
    """Write `"key":value,` for each line; each distinct value is written once."""
    encoded = values.dictionary_encode()
    name = orjson.dumps(key).decode()
    written = [
        None if value is None or value in ABSENT else f"{name}:{orjson.dumps(value).decode()},"
        for value in encoded.dictionary.to_pylist()
    ]
    if not any(written):
        return None
    return pa.array(written, pa.string()).take(encoded.indices)
