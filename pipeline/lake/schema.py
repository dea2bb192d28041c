"""The datasets of the lake as Arrow knows them; `columns` says what they hold."""

from collections.abc import Iterable

import pyarrow as pa

from pipeline.lake import columns

TIMESTAMP = pa.timestamp("us", tz="UTC")

_TYPES = {
    "timestamptz": TIMESTAMP,
    columns.CODED: pa.dictionary(pa.int32(), pa.string()),
    "varchar": pa.string(),
    "varchar[]": pa.list_(pa.string()),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "blob": pa.binary(),
}


def _schema(of: Iterable[columns.Column]) -> pa.Schema:
    return pa.schema([pa.field(column.name, _TYPES[column.kind], column.is_nullable) for column in of])


ACCESS_LOGS = _schema(columns.ACCESS_LOGS)
QUARANTINE = _schema(columns.QUARANTINE)
LOADS = _schema(columns.LOADS)
MESH = {dataset: _schema(of) for dataset, of in columns.MESH.items()}
