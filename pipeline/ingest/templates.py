"""Learns the key template of a source: which keys its lines have, and the JSON type of each.

A proxy writes every line with the same keys, so a few lines tell how to read millions at once. A template is a guess
that only ever costs time: what does not fit it goes to `odd.py`, which reads every line rightly.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import pyarrow as pa

from pipeline.ingest.fields import TIME, WHOLE_NUMBERS, FieldMap
from pipeline.ingest.shapes import Template

SAMPLE = 64
"""Access log lines that a template is learnt from."""

_TYPES: Mapping[type, pa.DataType] = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}


def learn(texts: Iterable[bytes], fields: FieldMap) -> Template | None:
    """Learn from a source's lines; None where they are no access logs, or of a kind for one-at-a-time reading."""
    types: dict[str, Any] = {}
    for line in _sample(texts, fields):
        for key, value in line.items():
            kind = None if value is None else _TYPES.get(type(value), object)
            known = types.setdefault(key, kind)
            if known is None:
                types[key] = kind
            elif kind is not None and kind != known:
                return None
    return _template(types, fields)


def _sample(texts: Iterable[bytes], fields: FieldMap) -> Iterable[dict[str, Any]]:
    left = SAMPLE
    for text in texts:
        line = _load(text)
        if line is not None and fields.is_access_log(line):
            yield line
            left -= 1
        if not left:
            return


def _load(text: bytes) -> dict[str, Any] | None:
    if not text.startswith(b"{"):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _template(types: Mapping[str, Any], fields: FieldMap) -> Template | None:
    columns = {key: column for key in types if (column := fields.column(key)) is not None}
    if not types or object in types.values() or len(set(columns.values())) < len(columns):
        return None
    text_style = any(types[key] == pa.string() for key, column in columns.items() if _is_count(column))
    schema = [
        (key, _guess(columns.get(key), is_text=text_style) if kind is None else kind) for key, kind in types.items()
    ]
    if any(kind == pa.bool_() and key in columns for key, kind in schema):
        return None
    if any(columns.get(key) == TIME and kind != pa.string() for key, kind in schema):
        return None
    return Template(pa.schema(schema), tuple((column, key) for key, column in columns.items()))


def _is_count(column: str) -> bool:
    return column in WHOLE_NUMBERS and column != "upstream_service_time_ms"


def _guess(column: str | None, *, is_text: bool) -> pa.DataType:
    """Guess the type of a key seen only as null; the service time is a header, so text even in the typed style."""
    return pa.int64() if column is not None and _is_count(column) and not is_text else pa.string()
