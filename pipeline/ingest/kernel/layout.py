"""What the kernel and its caller agree on: what keys, rows and lines look like in memory, and what a scan answers.

Nothing here needs the compiler.
"""

from typing import NamedTuple

SLACK = 64
"""Bytes that must be readable, and behind a copy's target writable, beyond the end of what is worked on."""

CODED, PLAIN, NUMBER, CODE, TIME, EXTRA = range(6)
"""What a key's value becomes: dictionary-coded text, plain text, whole number, response code, time, part of `extra`."""

DONE, ODD, ROWS_FULL, DICTIONARY_FULL = range(4)
"""What became of a line, or why a scan ended: through, not plain, no room for another row or odd line, or text."""

TEXT, LENGTH, KIND, SLOT, IS_LOG, FOLLOWS, SEEN = (8 * place for place in range(7))
"""What a key's record holds, by its place in bytes: address and length of `"key":`, what its value becomes, the column
of that kind or the place in `extra`, whether it tells an access log, the record of the key that came next, and the last
line that had it."""

RECORD = 8
"""Longs of a key's record: a line of the processor's cache."""

CODE_BITS, LENGTH_BITS = 15, 21
"""Bits of a dictionary's entry: its code, its text's length, and above them where its text begins."""


class Keys(NamedTuple):
    """Addresses of what is known of keys, all of longs."""

    beginning: int
    """The record that stands for an object's beginning, of which only `FOLLOWS` has a meaning."""
    table: int
    """Open addressing by the hash of the key, to its record's address; 0 for free."""
    mask: int
    lines: int
    """How many lines were looked at, ever."""
    extras: int
    """In the order of their names, of each key that goes to `extra`: its record, and its value's address and length."""
    extra_count: int


class Distinct(NamedTuple):
    """Addresses of every distinct text of the coded columns."""

    table: int
    """Long [columns, slots]: open addressing, -1 for free."""
    slots: int
    spans: int
    """Long [columns, most, 2]: start and length, by code."""
    most: int
    text: int
    text_bytes: int
    used: int
    """Long [columns + 1]: how many a column has; last, bytes of text."""
    columns: int


class Rows(NamedTuple):
    """Addresses of the rows so far, column by column; `stride` is the rows from one column to the next.

    Rows to come are null in all codes and numbers: filled beforehand, as clearing row by row took a quarter of a scan.
    """

    codes: int
    """Int [coded columns, stride], -1 for null."""
    coded_columns: int
    numbers: int
    """Long [number columns, stride], -1 for null; the first is the time."""
    number_columns: int
    offsets: int
    """Int [plain columns, stride]: text of row r lies between offsets r and r + 1; none is null."""
    text: int
    """Byte [plain columns, text bytes]."""
    plain_columns: int
    text_bytes: int
    line_numbers: int
    contexts: int
    most: int
    stride: int
    compared: int
    """Byte [2, stride]: what comparing a row's addresses says: of the local IPs, and of the sender; -1 for nothing."""
    arrived: int
    """The coded column DOWNSTREAM_LOCAL_ADDRESS; the others are plain: UPSTREAM_LOCAL_ADDRESS, X-FORWARDED-FOR and
    DOWNSTREAM_REMOTE_ADDRESS."""
    went: int
    forwarded: int
    sender: int


class Lines(NamedTuple):
    """Where the lines stand, and where the odd ones are written down: long [odd_most, 3]."""

    start: int
    end: int
    odd: int
    odd_most: int
