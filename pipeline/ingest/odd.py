"""Reads one line at a time with orjson: a row, or noise, or blank, or a reject with its reason.

It is the reference for what a line means: the columnar parser (`kernel.py`) may decline a line, but a row that it
delivers is the row that this module would have made. A bad line is never an exception.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pyarrow as pa

from pipeline.ingest.fields import (
    ABSENT,
    CODE,
    MAX_CODE,
    MAX_NUMBER,
    MAX_TIME_US,
    MIN_TIME_US,
    PARSED,
    TIME,
    WHOLE_NUMBERS,
    FieldMap,
)
from pipeline.ingest.shapes import Parsed

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s?(Z|z|UTC|[+-]\d\d:?\d\d)?", re.ASCII
)
_EPOCH = re.compile(r"(\d{9,10})(?:\.(\d{1,9}))?", re.ASCII)
_EPOCH_PARTS = re.compile(r"(\d{10})(\d{3}|\d{6}|\d{9})", re.ASCII)
_NUMBER = re.compile(r"(\d{1,18})(?:\.0+)?", re.ASCII)
_NAMES = {bool: "true or false", dict: "an object", list: "a list"}


class _RejectError(Exception):
    """The line looks like an access log and this is what is wrong with it."""


@dataclass
class _Gathered:
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    noise: int = 0
    blank: int = 0


def parse(texts: Sequence[bytes], numbers: Sequence[int], fields: FieldMap, *, is_open: bool = False) -> Parsed:
    """Read records one at a time; `is_open` says that the last one ends where its source ends.

    A reject's position is its place in `texts`; rows carry the record's line number.
    """
    gathered = _Gathered()
    for position, (text, number) in enumerate(zip(texts, numbers, strict=True)):
        try:
            _read(gathered, text, number, fields, is_cut=is_open and position == len(texts) - 1)
        except _RejectError as reject:
            gathered.rejects.append((position, str(reject)))
    rows = pa.Table.from_pylist(gathered.rows, schema=PARSED)
    return Parsed(rows, tuple(gathered.rejects), gathered.noise, gathered.blank)


def _read(gathered: _Gathered, text: bytes, number: int, fields: FieldMap, *, is_cut: bool) -> None:
    text = text.strip().removeprefix(b"\xef\xbb\xbf")
    if not text:
        gathered.blank += 1
        return
    found = _load(text, fields, is_cut=is_cut)
    if found is None or not fields.is_access_log(found):
        gathered.noise += 1
        return
    row = _row(found, fields)
    row["line_number"] = number
    gathered.rows.append(row)


def _load(text: bytes, fields: FieldMap, *, is_cut: bool) -> dict[str, Any] | None:
    """Return the line's object; None for noise."""
    if text.startswith(b"{"):
        try:
            found = orjson.loads(text)
            return found if isinstance(found, dict) else None
        except orjson.JSONDecodeError as error:
            if is_cut:
                raise _RejectError(f"ends in the middle: {_place(text, error)}") from None
            if fields.telltales().search(text):
                raise _RejectError(f"is not valid JSON: {_place(text, error)}") from None
            return None
    if fields.telltales().search(text) and b"{" in text:
        raise _RejectError(f"{text.index(b'{')} bytes stand before the JSON object, in no wrapper that meshlog knows")
    if fields.telltales().search(text):
        raise _RejectError("is the end of an access log line: its beginning is missing")
    return None


def _place(text: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as wrong:
        return f"byte {wrong.start + 1} (0x{text[wrong.start]:02x}) is not UTF-8"
    return f"{error.msg.split(': line ')[0]} at column {error.colno}"


def _row(found: Mapping[str, Any], fields: FieldMap) -> dict[str, Any]:
    """Type the mapped keys and gather the others; of two keys for one column the first in order with a value counts."""
    row: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, column in fields.shape(found).columns:
        value = found[key]
        if value is None or value in ABSENT:
            continue
        if column is None or column in row:
            extra[key] = value
        else:
            row[column] = _typed(key, column, value)
    if TIME not in row:
        raise _RejectError("has no start time: its value is absent")
    row["extra"] = as_json(extra) if extra else None
    return row


def as_json(value: object) -> str:
    """Write a value as JSON text, an object's keys sorted."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _typed(key: str, column: str, value: Any) -> Any:
    if column == TIME:
        return _time(key, value)
    if column in WHOLE_NUMBERS:
        return _whole(key, value, MAX_CODE if column == CODE else MAX_NUMBER)
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        raise _RejectError(f"{key} is {_NAMES[type(value)]}, not text")
    return as_json(value)


def _whole(key: str, value: Any, largest: int) -> int:
    number: int | None = None
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value)):
        number = int(found[1])
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    if number is None:
        raise _RejectError(f"{key} is {_shown(value)}, not a whole number")
    if not 0 <= number <= largest:
        raise _RejectError(f"{key} is {number}, not in 0 to {largest}")
    return number


def _time(key: str, value: Any) -> datetime:
    text = as_json(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    moment = _microseconds(text) if isinstance(text, str) else None
    if moment is None:
        raise _RejectError(f"{key} is {_shown(value)}, not a time such as 2021-02-18T07:08:50.031Z")
    if not MIN_TIME_US <= moment < MAX_TIME_US:
        raise _RejectError(f"{key} is {_shown(value)}, not between 1970 and 2200")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)


def _microseconds(text: str) -> int | None:
    """Read an RFC 3339 time (UTC where no offset is given) or seconds since 1970; finer than microseconds is cut."""
    if found := _TIME.fullmatch(text):
        year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=_zone(found[8]))
        except ValueError:
            return None
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) + _fraction(found[7])
    if found := _EPOCH.fullmatch(text) or _EPOCH_PARTS.fullmatch(text):
        return int(found[1]) * 1_000_000 + _fraction(found[2])
    return None


def _fraction(digits: str | None) -> int:
    return int((digits or "").ljust(6, "0")[:6])


def _zone(text: str | None) -> timezone:
    if text is None or text in ("Z", "z", "UTC"):
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _shown(value: Any) -> str:
    if type(value) in _NAMES:
        return _NAMES[type(value)]
    text = as_json(value)
    return text if len(text) <= 60 else text[:57] + "..."
