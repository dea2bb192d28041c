"""Reads one line at a time with orjson: a row, or noise, or blank, or a reject with its reason.

It is the reference for what a line means: the columnar parser (`kernel.py`) may decline a line, but a row that it
delivers is the row that this module would have made. A bad line is never an exception.
"""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pyarrow as pa

from pipeline.ingest import envelopes, textlines, unescaped
from pipeline.ingest.addresses import has_same_local_ip, is_forwarded_last
from pipeline.ingest.fields import (
    ABSENT,
    CODE,
    FORWARDED_LAST,
    MAX_CODE,
    MAX_NUMBER,
    MAX_TIME_US,
    MIN_TIME_US,
    PARSED,
    SAME_LOCAL_IP,
    TIME,
    WHOLE_NUMBERS,
    FieldMap,
)
from pipeline.ingest.shapes import Parsed

_TIME = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s?(Z|z|UTC|[+-]\d\d:?\d\d)?", re.ASCII
)
_EPOCH = re.compile(r"(\d{9,10})(?:\.(\d{1,9}))?", re.ASCII)
_EPOCH_PARTS = re.compile(r"(\d{10})(\d{3}|\d{6}|\d{9})", re.ASCII)
_NUMBER = re.compile(r"(\d{1,18})(?:\.0+)?", re.ASCII)
_NAMES = {bool: "true or false", dict: "an object", list: "a list"}


_NO_ROWS = PARSED.empty_table()

_LEVELS = 6
"""Envelopes within one another that are opened."""


class _RejectError(Exception):
    """The line looks like an access log and this is what is wrong with it."""

    def __init__(self, what: str, key: str | None = None) -> None:
        super().__init__(what)
        self.key = key
        """The key at whose value it is wrong."""


@dataclass
class _Gathered:
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    noise: int = 0
    blank: int = 0


def parse(texts: Sequence[bytes], numbers: Sequence[int], fields: FieldMap, *, is_open: bool = False) -> Parsed:
    """Read records one at a time; `is_open` says that the last one ends where its source ends.

    A reject's position is its place in `texts`; rows carry the record's line number. An envelope with many records
    gives as many rows, rejects and noise.
    """
    gathered = _Gathered()
    for position, (text, number) in enumerate(zip(texts, numbers, strict=True)):
        reading = _Reading(gathered, position, number, fields)
        reading.read(text, is_cut=is_open and position == len(texts) - 1)
    # from nothing it takes a millisecond, as often as a block has a line of noise
    rows = pa.Table.from_pylist(gathered.rows, schema=PARSED) if gathered.rows else _NO_ROWS
    return Parsed(rows, tuple(gathered.rejects), gathered.noise, gathered.blank)


@dataclass(frozen=True)
class _Reading:
    """One line, and where what it holds goes."""

    gathered: _Gathered
    position: int
    number: int
    fields: FieldMap

    def read(self, text: bytes, *, is_cut: bool, level: int = 0) -> None:
        text = text.strip().removeprefix(b"\xef\xbb\xbf")
        if not text:
            self.gathered.blank += 1
            return
        try:
            self._record(text, is_cut=is_cut, level=level)
        except _RejectError as reject:
            place = _value_place(text, reject.key) if reject.key else None
            reason = f"{reject}, at byte {place}" if place else str(reject)
            self.gathered.rejects.append((self.position, reason))

    def _record(self, text: bytes, *, is_cut: bool, level: int) -> None:
        found = _load(text, self.fields, is_cut=is_cut)
        shape = self.fields.shape(found) if isinstance(found, dict) else None
        is_plain = shape is not None and shape.is_access_log
        if not is_plain and level < _LEVELS and (records := _inner(found)):
            for record in records:
                self.read(record, is_cut=False, level=level + 1)
            return
        if shape is None or not shape.may_be_access_log:
            self.gathered.noise += 1
            return
        _refuse_twice(text, found)
        row = _row(found, self.fields)
        row["line_number"] = self.number
        _compare_addresses(row)
        self.gathered.rows.append(row)


def _inner(found: Any) -> list[bytes]:
    """Return the records that an envelope, a list or a string of JSON holds."""
    if isinstance(found, dict):
        return envelopes.opened(found)
    if isinstance(found, str):
        return [found.encode()]
    try:
        return [item.encode() if isinstance(item, str) else orjson.dumps(item) for item in found or ()]
    except TypeError:  # orjson reads lists that are nested deeper than those it writes
        return []


def _load(text: bytes, fields: FieldMap, *, is_cut: bool) -> Any:
    """Return the line's object, or the records that it holds; None for noise."""
    if text.startswith((b"{", b'"{', b"[{")):
        try:
            return orjson.loads(text.removesuffix(b","))
        except orjson.JSONDecodeError as error:
            return _load_broken(text, error, fields, is_cut=is_cut)
    if text.startswith(b"[") and not is_cut and (found := textlines.read(text)):
        return found[1]
    if wrong := textlines.trouble(text):
        raise _RejectError("has no newline: it may be half a line" if is_cut and textlines.read(text) else wrong)
    if fields.telltales().search(text) and b"{" in text:
        raise _RejectError(f"{text.index(b'{')} bytes stand before the JSON object, in no wrapper that meshlog knows")
    if fields.telltales().search(text):
        raise _RejectError("is the end of an access log line: its beginning is missing")
    return None


def _refuse_twice(text: bytes, found: Mapping[str, Any]) -> None:
    """Reject a record in which a key stands twice: a header's quotes may have made it so in unescaped text."""
    if text.count(b'":') <= len(found):
        return
    outermost: list[list[tuple[str, Any]]] = [[]]
    with contextlib.suppress(ValueError, RecursionError):
        json.loads(text, parse_int=str, object_pairs_hook=lambda pairs: outermost.__setitem__(0, pairs))
    twice = [key for key, count in Counter(key for key, _ in outermost[0]).items() if count > 1]
    if twice:
        raise _RejectError(f"has the key {twice[0]} twice, so it can mean two things")


def _load_broken(text: bytes, error: orjson.JSONDecodeError, fields: FieldMap, *, is_cut: bool) -> Any:
    """Read what is no JSON but was meant to be; None for noise."""
    if is_cut and text.startswith(b"{"):
        raise _RejectError(f"ends in the middle: {_place(text, error)}") from None
    if not fields.telltales().search(text):
        return None
    found = unescaped.read(text, lambda key: fields.column(key) is not None)
    if found is None:
        raise _RejectError(f"is not valid JSON: {_place(text, error)}") from None
    return found


def _value_place(text: bytes, key: str) -> int | None:
    """Return the place (1-based) of the value of a record's key."""
    found = re.search(re.escape(orjson.dumps(key)) + rb"\s*:\s*", text)
    return found.end() + 1 if found else None


def _place(text: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as wrong:
        return f"byte {wrong.start + 1} (0x{text[wrong.start]:02x}) is not UTF-8"
    return f"{error.msg.split(': line ')[0]} at byte {len(text.decode()[: error.pos].encode()) + 1}"


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
    try:
        row["extra"] = as_json(extra) if extra else None
    except TypeError:
        raise _RejectError("holds objects that are nested too deeply") from None
    return row


def _compare_addresses(row: dict[str, Any]) -> None:
    """Note what the addresses of a row say side by side."""
    arrived, went = row.get("downstream_local_address"), row.get("upstream_local_address")
    forwarded, sender = row.get("x_forwarded_for"), row.get("downstream_remote_address")
    row[SAME_LOCAL_IP] = has_same_local_ip(arrived, went) if arrived and went else None
    row[FORWARDED_LAST] = is_forwarded_last(forwarded, sender) if forwarded and sender else None


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
        raise _RejectError(f"{key} is {_NAMES[type(value)]}, not text", key)
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
        raise _RejectError(f"{key} is {_shown(value)}, not a whole number", key)
    if not 0 <= number <= largest:
        raise _RejectError(f"{key} is {number}, not in 0 to {largest}", key)
    return number


def _time(key: str, value: Any) -> datetime:
    text = as_json(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    moment = _microseconds(text) if isinstance(text, str) else None
    if moment is None:
        raise _RejectError(f"{key} is {_shown(value)}, not a time such as 2021-02-18T07:08:50.031Z", key)
    if not MIN_TIME_US <= moment < MAX_TIME_US:
        raise _RejectError(f"{key} is {_shown(value)}, not between 1970 and 2200", key)
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
