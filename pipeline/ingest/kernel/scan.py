"""Scans blocks of lines straight into typed and dictionary-encoded columns.

A line is taken only where it is plain: one flat object whose keys are known, each at most once, with text that needs no
unescaping. Every other line is handed back by its place, for `odd.py`, which is the reference: a row made here is the
row that it would have made (a property test). Nothing is allocated in here, so the compiled code runs without the GIL.
"""

import numpy as np
from numba import njit

from pipeline.ingest.kernel.addresses import forwarded_last, same_local_ip
from pipeline.ingest.kernel.layout import (
    CODE,
    CODE_BITS,
    CODED,
    DICTIONARY_FULL,
    DONE,
    EXTRA,
    FOLLOWS,
    IS_LOG,
    KIND,
    LENGTH,
    LENGTH_BITS,
    NUMBER,
    ODD,
    PLAIN,
    ROWS_FULL,
    SEEN,
    SLACK,
    SLOT,
    TEXT,
    TIME,
)
from pipeline.ingest.kernel.values import MAX_CODE, MOST_DIGITS, PARTIAL, cri_text, digits, literal, microseconds
from pipeline.ingest.kernel.words import (
    byte,
    copy,
    get_int,
    get_long,
    hash_text,
    is_utf8,
    line_end,
    put_byte,
    put_int,
    put_long,
    put_word,
    same,
    text_end,
)


@njit(nogil=True, inline="always")
def _spaces_end(p):
    while byte(p) == 32:
        p += 1
    return p


@njit(nogil=True)
def _looked_up(p, keys):
    """Find the record of the key at p, 0 for none, and the address behind its colon."""
    if byte(p) != 34:
        return 0, p
    q, _ = text_end(p + 1)
    if q == p + 1:
        return 0, p
    place = np.int64(hash_text(p + 1, q - p - 1)) & keys.mask
    key = get_long(keys.table + 8 * place)
    while key and not (get_long(key + LENGTH) == q - p + 2 and same(p, get_long(key + TEXT), q - p + 1)):
        place = (place + 1) & keys.mask
        key = get_long(keys.table + 8 * place)
    q = _spaces_end(q + 1)
    return (key, q + 1) if byte(q) == 58 else (0, q)


@njit(nogil=True, inline="always")
def _key(p, last, keys):
    """Read the key at p: the one that came after the last before, else looked up."""
    key = get_long(last + FOLLOWS)
    if key and same(p, get_long(key + TEXT), get_long(key + LENGTH)):
        return key, p + get_long(key + LENGTH)
    key, p = _looked_up(p, keys)
    put_long(last + FOLLOWS, key)
    return key, p


@njit(nogil=True)
def _new_code(begin, length, slot, place, distinct):
    new, at = get_long(distinct.used + 8 * slot), get_long(distinct.used + 8 * distinct.columns)
    if new >= distinct.most or at + length + SLACK > distinct.text_bytes:
        return -1
    copy(begin, distinct.text + at, length)
    span = distinct.spans + 16 * (slot * distinct.most + new)
    put_long(span, at)
    put_long(span + 8, length)
    put_long(place, ((at << LENGTH_BITS | length) << CODE_BITS) | new)
    put_long(distinct.used + 8 * slot, new + 1)
    put_long(distinct.used + 8 * distinct.columns, at + length)
    return new


@njit(nogil=True, inline="always")
def _code(begin, length, slot, distinct):
    """Return the code of a text in a column's dictionary, where it may be new; -1 where that is full."""
    table = distinct.table + 8 * slot * distinct.slots
    place = np.int64(hash_text(begin, length)) & (distinct.slots - 1)
    entry = get_long(table + 8 * place)
    while entry >= 0:
        span = entry >> CODE_BITS
        if span & ((1 << LENGTH_BITS) - 1) == length and same(begin, distinct.text + (span >> LENGTH_BITS), length):
            return entry & ((1 << CODE_BITS) - 1)
        place = (place + 1) & (distinct.slots - 1)
        entry = get_long(table + 8 * place)
    return _new_code(begin, length, slot, table + 8 * place, distinct)


@njit(nogil=True, inline="always")
def _keep_text(begin, length, kind, slot, row, distinct, rows):
    """Store a text in its column, coded or plain."""
    if kind == CODED:
        cell = rows.codes + 4 * (slot * rows.stride + row)
        if get_int(cell) >= 0:
            return ODD
        code = _code(begin, length, slot, distinct)
        if code < 0:
            return DICTIONARY_FULL
        put_int(cell, code)
        return DONE
    cell = rows.offsets + 4 * (slot * rows.stride + row)
    at = np.int64(get_int(cell))
    if get_int(cell + 4) != at:
        return ODD
    if at + length + SLACK > rows.text_bytes:
        return ROWS_FULL
    copy(begin, rows.text + slot * rows.text_bytes + at, length)
    put_int(cell + 4, at + length)
    return DONE


@njit(nogil=True, inline="always")
def _keep_number(begin, length, kind, slot, row, rows):
    """Store a number or time in its column."""
    cell = rows.numbers + 8 * (slot * rows.stride + row)
    value = microseconds(begin, length) if kind == TIME else digits(begin, length)
    if value < 0 or get_long(cell) >= 0 or (kind == CODE and value > MAX_CODE):
        return ODD
    put_long(cell, value)
    return DONE


@njit(nogil=True)
def _keep_extras(room, row, keys, rows):
    """Store the unmapped keys that have a value as one JSON object, in the order of their names."""
    slot = rows.plain_columns - 1
    cell = rows.offsets + 4 * (slot * rows.stride + row)
    first = rows.text + slot * rows.text_bytes + get_int(cell)
    at = first
    if get_int(cell) + room + SLACK > rows.text_bytes:
        return ROWS_FULL
    for place in range(keys.extra_count):
        extra = keys.extras + 24 * place
        length = get_long(extra + 16)
        if length:
            put_word(at, np.uint64(123 if at == first else 44))
            key = get_long(extra)
            copy(get_long(key + TEXT), at + 1, get_long(key + LENGTH))
            at += 1 + get_long(key + LENGTH)
            copy(get_long(extra + 8), at, length)
            at += length
    if at > first:
        put_word(at, np.uint64(125))
        put_int(cell + 4, get_int(cell) + (at + 1 - first))
    return DONE


@njit(nogil=True)
def _plain_text(slot, row, rows):
    cell = rows.offsets + 4 * (slot * rows.stride + row)
    return rows.text + slot * rows.text_bytes + get_int(cell), np.int64(get_int(cell + 4) - get_int(cell))


@njit(nogil=True)
def _compare_addresses(row, distinct, rows):
    arrived = get_int(rows.codes + 4 * (rows.arrived * rows.stride + row))
    went, went_length = _plain_text(rows.went, row, rows)
    local = -1
    if arrived >= 0 and went_length:
        span = distinct.spans + 16 * (rows.arrived * distinct.most + arrived)
        local = same_local_ip(distinct.text + get_long(span), get_long(span + 8), went, went_length)
    forwarded, forwarded_length = _plain_text(rows.forwarded, row, rows)
    sender, sender_length = _plain_text(rows.sender, row, rows)
    last = -1
    if forwarded_length and sender_length:
        last = forwarded_last(forwarded, forwarded_length, sender, sender_length)
    put_byte(rows.compared + row, local)
    put_byte(rows.compared + rows.stride + row, last)


@njit(nogil=True)
def _clear(row, rows):
    """Empty a row that an odd line may have begun; what was never begun is empty."""
    for slot in range(rows.coded_columns):
        put_int(rows.codes + 4 * (slot * rows.stride + row), -1)
    for slot in range(rows.number_columns):
        put_long(rows.numbers + 8 * (slot * rows.stride + row), -1)


@njit(nogil=True, inline="always")
def _begin(row, keys, rows):
    for slot in range(rows.plain_columns):
        cell = rows.offsets + 4 * (slot * rows.stride + row)
        put_int(cell + 4, get_int(cell))
    for place in range(keys.extra_count):
        put_long(keys.extras + 24 * place + 16, 0)


@njit(nogil=True, inline="always")
def _value(p, end):
    """Read the value at p: where it stands without quotes, its length (-1 for none that is plain), whether it is text.

    Last comes the address behind it.
    """
    if byte(p) != 34:
        length = literal(p)
        return p, (length if length else -1), False, p + length
    after, is_high = text_end(p + 1)
    length = after - p - 1
    if after >= end or byte(after) != 34 or (is_high and not is_utf8(p + 1, length)):
        length = -1
    return p + 1, length, True, after + 1


@njit(nogil=True)
def _object(p, end, row, keys, distinct, rows):
    """Read the object at p into a row; says what became of it, and where it ends."""
    line = get_long(keys.lines) + 1
    put_long(keys.lines, line)
    _begin(row, keys, rows)
    last, is_log, begin = keys.beginning, np.int64(0), p
    while True:
        p += 1
        if p >= end:
            return ODD, p
        key, p = _key(_spaces_end(p), last, keys)
        # of the same key twice JSON takes the last: rare, so odd
        if key == 0 or get_long(key + SEEN) == line:
            return ODD, p
        put_long(key + SEEN, line)
        last, kind, slot = key, get_long(key + KIND), get_long(key + SLOT)
        is_log |= get_long(key + IS_LOG)
        p = _spaces_end(p)

        value, length, is_text, p = _value(p, end)
        if length < 0:
            return ODD, p
        # what stands for no value: "", "-" and null
        first = byte(value)
        is_absent = (length == 0 or (length == 1 and first == 45)) if is_text else first == 110

        if is_absent:
            fate = ODD if kind == TIME else DONE
        elif kind == EXTRA:
            put_long(keys.extras + 24 * slot + 8, value - is_text)
            put_long(keys.extras + 24 * slot + 16, length + 2 * is_text)
            # JSON's numbers beyond 64 bits become floats
            fate = DONE if is_text or length <= MOST_DIGITS else ODD
        elif is_text and kind <= PLAIN:
            fate = _keep_text(value, length, kind, slot, row, distinct, rows)
        elif kind >= NUMBER and (is_text or kind != TIME):
            fate = _keep_number(value, length, kind, slot, row, rows)
        else:
            fate = ODD
        if fate != DONE:
            return fate, p

        p = _spaces_end(p)
        if byte(p) == 125:
            break
        if byte(p) != 44:
            return ODD, p
    # behind the object nothing but the line's end
    p += 1
    p += byte(p) == 13
    if p >= end or byte(p) != 10 or not is_log or get_long(rows.numbers + 8 * row) < 0:
        return ODD, p
    return (_keep_extras(p - begin, row, keys, rows) if keys.extra_count else DONE), p


@njit(nogil=True)
def scan(p, lines, keys, distinct, rows, row, line_number, context, is_partial):
    """Scan whole lines from address p to `lines.end`; rows are added from `row` on.

    `lines.odd` gets place (from `lines.start`), end and number of every other line. Returns why it ended, the address,
    the row, the next line's number, how many lines were odd, the earliest and latest time (microseconds), and whether
    a CRI line was partial, so that its stream's next lines are odd as well.
    """
    odd_count, why = 0, DONE
    earliest, latest = np.int64(2**62), np.int64(-1)
    while p < lines.end:
        if row == rows.most or odd_count == lines.odd_most:
            why = ROWS_FULL
            break
        line, fate = p, ODD
        if 48 <= byte(p) <= 57:
            inner = cri_text(p, lines.end)
            is_partial = is_partial or inner == PARTIAL
            p = inner if inner >= 0 and not is_partial else p
        if byte(p) == 123:
            fate, p = _object(p, lines.end, row, keys, distinct, rows)
        if fate == DONE:
            time = get_long(rows.numbers + 8 * row)
            earliest, latest = min(earliest, time), max(latest, time)
            put_long(rows.line_numbers + 8 * row, line_number)
            put_int(rows.contexts + 4 * row, context)
            _compare_addresses(row, distinct, rows)
            row += 1
            p += 1
        elif fate == ODD:
            _clear(row, rows)
            p = line_end(line, lines.end) + 1
            odd = lines.odd + 24 * odd_count
            put_long(odd, line - lines.start)
            put_long(odd + 8, p - lines.start)
            put_long(odd + 16, line_number)
            odd_count += 1
        else:
            why, p = fate, line
            break
        line_number += 1
    return why, p, row, line_number, odd_count, earliest, latest, is_partial
