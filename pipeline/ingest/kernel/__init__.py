"""The compiled scanner of plain lines; nothing else knows numba."""

from pipeline.ingest.kernel.scan import (
    CODE,
    CODED,
    DICTIONARY_FULL,
    DONE,
    EXTRA,
    NUMBER,
    PLAIN,
    RECORD,
    ROWS_FULL,
    TIME,
    Distinct,
    Keys,
    Lines,
    Rows,
    scan,
)
from pipeline.ingest.kernel.words import SLACK, count_lines, hash_text

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
    "count_lines",
    "hash_text",
    "scan",
]
