"""The compiled scanner of plain lines; nothing else knows numba."""

from pipeline.ingest.kernel.layout import (
    CODE,
    CODED,
    DICTIONARY_FULL,
    DONE,
    EXTRA,
    NUMBER,
    PLAIN,
    RECORD,
    ROWS_FULL,
    SLACK,
    TIME,
    Distinct,
    Keys,
    Lines,
    Rows,
)
from pipeline.ingest.kernel.native import kernel

__all__ = [
    "CODE",
    "CODED",
    "DICTIONARY_FULL",
    "DONE",
    "EXTRA",
    "NUMBER",
    "PLAIN",
    "RECORD",
    "ROWS_FULL",
    "SLACK",
    "TIME",
    "Distinct",
    "Keys",
    "Lines",
    "Rows",
    "kernel",
]
