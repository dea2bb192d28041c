"""Scans blocks of lines with compiled code, straight into typed and dictionary-encoded columns; alone knows numba.

A line is taken only where it is plain: one flat object whose keys are known, each at most once, with text that needs no
unescaping. Every other line is handed back by its place, for `odd.py`, which is the reference: a row made here is the
row that it would have made (a property test). Nothing is allocated in here, so the compiled code runs without the GIL.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

CODED, PLAIN, NUMBER, CODE, TIME, EXTRA = range(6)
"""What a key's value becomes: dictionary-coded text, plain text, whole number, response code, time, part of `extra`."""

DONE, FULL, DISTINCT_FULL = range(3)
"""Why a scan ended: the block is through, the rows' arrays are full, a dictionary is full."""

SLACK = 64
"""Bytes that must be readable behind what is scanned or hashed, since text is read eight bytes at a time."""

MOST_DIGITS = 18
MAX_CODE = 999
MAX_YEAR = 2199


class Keys(NamedTuple):
    """The known keys: `text` holds `"key":` of each; `follows` predicts the next key from the last one."""

    text: Any  # uint8
    start: Any  # int64
    length: Any  # int64
    kind: Any  # int64
    slot: Any  # int64: row of the array of its kind; for EXTRA its place in sorted order
    is_flags: Any  # uint8
    table: Any  # int64: open addressing, hash of `key` to its number, -1 for free
    follows: Any  # int64, one more than there are keys: the last stands for the line's beginning


class Distinct(NamedTuple):
    """Every distinct text of the coded columns, by column and code."""

    table: Any  # int32 [columns, slots], -1 for free
    hash: Any  # uint64 [columns, most]
    start: Any  # int64 [columns, most]
    length: Any  # int64 [columns, most]
    text: Any  # uint8
    used: Any  # int64 [columns + 1]: how many a column has; last, bytes of text


class Rows(NamedTuple):
    """The rows so far, column by column; text of row r lies between offsets r and r + 1."""

    codes: Any  # int32 [coded columns, rows], -1 for null
    numbers: Any  # int64 [columns, rows]
    has_number: Any  # uint8
    offsets: Any  # int32 [plain columns, rows + 1]
    text: Any  # uint8 [plain columns, bytes]
    has_text: Any  # uint8
    line_number: Any  # int64
    context: Any  # int32


def _loader(bits: int, kind: Any) -> Any:
    """Make an intrinsic that loads an unsigned number of so many bits from any address."""

    @intrinsic
    def load(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            return builder.load(place, align=1, typ=ir.IntType(bits))

        return kind(types.int64), codegen

    return load


_word, _byte = _loader(64, types.uint64), _loader(8, types.uint8)
"""Eight bytes, and one byte, at an address. Addresses are plain numbers: arrays handed from function to function cost a
reference count each time, which took half of the kernel's time."""


@intrinsic
def _put(typingctx: Any, address: Any, value: Any) -> Any:
    """Store a word at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store(args[1], place, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), codegen


@intrinsic
def _trailing_zeros(typingctx: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_QUOTES, _BACKSLASHES = np.uint64(0x2222222222222222), np.uint64(0x5C5C5C5C5C5C5C5C)
_SPACES, _NEWLINES = np.uint64(0x2020202020202020), np.uint64(0x0A0A0A0A0A0A0A0A)
_K1, _K2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


@njit(nogil=True, cache=True, inline="always")
def _text_end(p):
    """Find the quote that ends a text; a backslash or a control character before it ends the search as well.

    Returns its address, and whether a byte above 127 may stand before it.
    """
    high = np.uint64(0)
    while True:
        word = _word(p)
        quote, backslash = word ^ _QUOTES, word ^ _BACKSLASHES
        # exact for the lowest byte that matches, and only that one is used
        stops = ((quote - _ONES) & ~quote) | ((backslash - _ONES) & ~backslash) | ((word - _SPACES) & ~word)
        stops &= _HIGH
        high |= word & _HIGH
        if stops:
            return p + np.int64(_trailing_zeros(stops) >> np.uint64(3)), high != 0
        p += 8


@njit(nogil=True, cache=True)
def _line_end(p, end):
    """Find the newline at or after p; `end` where there is none."""
    while p + 8 <= end:
        word = _word(p) ^ _NEWLINES
        stops = (word - _ONES) & ~word & _HIGH
        if stops:
            return p + np.int64(_trailing_zeros(stops) >> np.uint64(3))
        p += 8
    while p < end and _byte(p) != 10:
        p += 1
    return p


@njit(nogil=True, cache=True, inline="always")
def _same(a, b, length):
    k = 0
    while k + 8 <= length:
        if _word(a + k) != _word(b + k):
            return False
        k += 8
    # a shift by 64 bits would be undefined, so by 8 and then by the rest
    return k == length or ((_word(a + k) ^ _word(b + k)) << np.uint64(8) << np.uint64(56 - 8 * (length - k))) == 0


@njit(nogil=True, cache=True, inline="always")
def _copy(source, target, length):
    """Copy text eight bytes at a time; up to seven bytes behind the target are overwritten."""
    k = 0
    while k < length:
        _put(target + k, _word(source + k))
        k += 8


@njit(nogil=True, cache=True)
def hash_text(p, length):
    """Hash a stretch of text; seven bytes behind it must be readable."""
    h = np.uint64(length) * _K1
    k = 0
    while k + 8 <= length:
        h = (h ^ _word(p + k)) * _K2
        h ^= h >> np.uint64(29)
        k += 8
    if k < length:
        h = (h ^ (_word(p + k) << np.uint64(8) << np.uint64(56 - 8 * (length - k)))) * _K2
        h ^= h >> np.uint64(32)
    return h


@njit(nogil=True, cache=True)
def _is_utf8(p, length):
    """Check text as Python's decoder does: no overlong forms, no surrogates, nothing beyond U+10FFFF."""
    end = p + length
    while p < end:
        first = _byte(p)
        if first < 0x80:
            p += 1
            continue
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
        elif 0xF0 <= first <= 0xF4:
            more = 3
        else:
            return False
        if p + more >= end:
            return False
        second = _byte(p + 1)
        if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F):
            return False
        if (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F):
            return False
        for k in range(1, more + 1):
            if _byte(p + k) & 0xC0 != 0x80:
                return False
        p += more + 1
    return True


@njit(nogil=True, cache=True, inline="always")
def _digits(p, length):
    """Read an unsigned number of at most 18 digits; -1 where it is none."""
    if length == 0 or length > MOST_DIGITS:
        return np.int64(-1)
    value = np.int64(0)
    for k in range(length):
        digit = np.int64(_byte(p + k)) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        value = value * 10 + digit
    return value


@njit(nogil=True, cache=True)
def _day_number(year, month, day):
    """Count the days since 1970-01-01; -1 for a date that does not exist or lies outside 1970 to 2199."""
    if year < 1970 or year > MAX_YEAR or month < 1 or month > 12 or day < 1:
        return np.int64(-1)
    is_leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    longest = 28 + is_leap if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    if day > longest:
        return np.int64(-1)
    # months counted from March, so that the leap day is a year's last
    y = year - (month <= 2)
    m = month - 3 if month > 2 else month + 9
    era = y // 400
    year_of_era = y - era * 400
    day_of_year = (153 * m + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


@njit(nogil=True, cache=True)
def _microseconds(s, length):
    """Read `2021-02-18T07:08:50.031Z`, with up to nine decimals or none; -1 for any other form."""
    if length < 20 or length > 30 or _byte(s + 4) != 45 or _byte(s + 7) != 45 or _byte(s + 10) != 84:
        return np.int64(-1)
    if _byte(s + 13) != 58 or _byte(s + 16) != 58 or _byte(s + length - 1) != 90:
        return np.int64(-1)
    year, month, day = _digits(s, 4), _digits(s + 5, 2), _digits(s + 8, 2)
    hour, minute, second = _digits(s + 11, 2), _digits(s + 14, 2), _digits(s + 17, 2)
    if year < 0 or month < 0 or day < 0 or hour < 0 or minute < 0 or second < 0:
        return np.int64(-1)
    if hour > 23 or minute > 59 or second > 59:
        return np.int64(-1)
    fraction = np.int64(0)
    if length > 20:
        decimals = length - 21
        fraction = _digits(s + 20, decimals)
        if _byte(s + 19) != 46 or fraction < 0:
            return np.int64(-1)
        for _ in range(decimals, 6):
            fraction *= 10
        for _ in range(6, decimals):
            fraction //= 10
    days = _day_number(year, month, day)
    if days < 0:
        return np.int64(-1)
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + fraction


@njit(nogil=True, cache=True)
def _cri_text(p, end):
    """Step over `2021-02-18T07:08:50.031Z stdout F `; -1 where it does not stand there, -2 for a partial line."""
    if p + 48 > end or _byte(p + 4) != 45 or _byte(p + 10) != 84:
        return np.int64(-1)
    q = p + 19
    while q < p + 40 and _byte(q) != 32:
        q += 1
    if _byte(q) != 32 or _byte(q + 1) != 115 or _byte(q + 2) != 116 or _byte(q + 3) != 100 or _byte(q + 7) != 32:
        return np.int64(-1)
    is_out = _byte(q + 4) == 111 and _byte(q + 5) == 117 and _byte(q + 6) == 116
    is_err = _byte(q + 4) == 101 and _byte(q + 5) == 114 and _byte(q + 6) == 114
    if not is_out and not is_err:
        return np.int64(-1)
    if _byte(q + 8) == 80:
        return np.int64(-2)
    return q + 10 if _byte(q + 8) == 70 and _byte(q + 9) == 32 else np.int64(-1)


@njit(nogil=True, cache=True, inline="always")
def _literal(p):
    """Measure a `null`, `true`, `false` or unsigned whole number at p; 0 for anything else."""
    first = _byte(p)
    if first == 110:
        return 4 if _byte(p + 1) == 117 and _byte(p + 2) == 108 and _byte(p + 3) == 108 else 0
    if first == 116:
        return 4 if _byte(p + 1) == 114 and _byte(p + 2) == 117 and _byte(p + 3) == 101 else 0
    if first == 102:
        is_false = _byte(p + 1) == 97 and _byte(p + 2) == 108 and _byte(p + 3) == 115 and _byte(p + 4) == 101
        return 5 if is_false else 0
    length = 0
    while 48 <= _byte(p + length) <= 57:
        length += 1
    return 0 if length > 1 and first == 48 else length


@njit(nogil=True, cache=True)
def scan(start, p, end, keys, distinct, rows, row, extra_slot, extras, odd, first_line, context, is_partial):
    """Scan whole lines from address p to `end`; rows are added from `row` on.

    `odd` gets place (from `start`), end and number of every other line. `extras` holds, by place in sorted order, the
    number of each EXTRA key, and room for a value's address and length. Returns why it ended, the address, the row, the
    next line's number, how many lines were odd, the earliest and latest time (microseconds), and whether a CRI line was
    partial, so that its stream's next lines are odd as well.

    One long function: what is called with arrays pays for them, and what is inlined is compiled anew each time.
    """
    key_text, key_start, key_length, kinds, slots, is_flags, key_table, follows = keys
    table, hashes, starts, lengths, distinct_text, used = distinct
    codes, numbers, has_number, offsets, texts, has_text, line_numbers, contexts = rows
    keys_at, distinct_at, texts_at = key_text.ctypes.data, distinct_text.ctypes.data, texts.ctypes.data
    text_bytes, distinct_bytes, most_distinct = texts.shape[1], distinct_text.shape[0], hashes.shape[1]
    key_mask, table_mask = np.uint64(key_table.shape[0] - 1), np.uint64(table.shape[1] - 1)
    extra_key, extra_start, extra_length = extras[0], extras[1], extras[2]
    none, key_count, extra_count = np.int64(-1), len(kinds), extras.shape[1]
    line_number, odd_count, why = first_line, 0, DONE
    earliest, latest = np.int64(2**62), none
    while p < end:
        if row == line_numbers.shape[0] or odd_count == odd.shape[0]:
            why = FULL
            break
        line, fits = p, p < end
        if fits and _byte(p) != 123:
            inner = _cri_text(p, end) if 48 <= _byte(p) <= 57 else none
            is_partial = is_partial or inner == -2
            fits = inner >= 0 and not is_partial and _byte(inner) == 123
            p = inner if fits else p
        time, is_log, seen_low, seen_high, last = none, False, np.uint64(0), np.uint64(0), key_count
        if fits:
            for o in range(codes.shape[0]):
                codes[o, row] = -1
            for o in range(numbers.shape[0]):
                has_number[o, row] = 0
                numbers[o, row] = 0
            for o in range(offsets.shape[0]):
                offsets[o, row + 1] = offsets[o, row]
                has_text[o, row] = 0
            for o in range(extra_count):
                extra_length[o] = 0
            p += 1
        while fits:
            fits = p < end
            if not fits:
                break

            # ---------- the key: the one predicted, else looked up
            key = follows[last]
            if key >= 0 and _same(p, keys_at + key_start[key], key_length[key]):
                p += key_length[key]
            else:
                key = none
                if _byte(p) == 34:
                    q, _ = _text_end(p + 1)
                    place = hash_text(p + 1, q - p - 1) & key_mask
                    key = key_table[place]
                    # a key ends with its quote and colon
                    while key >= 0 and not (
                        key_length[key] == q - p + 2 and _same(p, keys_at + key_start[key], q - p + 1)
                    ):
                        place = (place + np.uint64(1)) & key_mask
                        key = key_table[place]
                    p = q + 1
                    while _byte(p) == 32:
                        p += 1
                    if _byte(p) != 58:
                        key = none
                    p += 1
                if key < 0:
                    fits = False
                    break
                follows[last] = key

            # of the same key twice JSON takes the last: rare, so odd
            bit = np.uint64(1) << np.uint64(key & 63)
            if key < 64:
                fits = (seen_low & bit) == 0
                seen_low |= bit
            else:
                fits = (seen_high & bit) == 0
                seen_high |= bit
            last, kind, slot = key, kinds[key], slots[key]
            is_log = is_log or kind == CODE or is_flags[key] != 0
            while _byte(p) == 32:
                p += 1

            # ---------- the value: where it stands
            is_text = _byte(p) == 34
            begin = p
            if is_text:
                begin = p + 1
                p, is_high = _text_end(begin)
                length = p - begin
                fits = fits and p < end and _byte(p) == 34 and (not is_high or _is_utf8(begin, length))
                p += 1
                is_absent = length == 0 or (length == 1 and _byte(begin) == 45)
            else:
                length = _literal(p)
                fits = fits and length > 0
                p += length
                is_absent = _byte(begin) == 110
            if not fits:
                break

            # ---------- the value: what it means
            if is_absent:
                fits = kind != TIME
            elif kind == CODED:
                if not is_text or codes[slot, row] >= 0:
                    fits = False
                    break
                h = hash_text(begin, length)
                place = h & table_mask
                code = table[slot, place]
                while code >= 0 and not (
                    hashes[slot, code] == h
                    and lengths[slot, code] == length
                    and _same(begin, distinct_at + starts[slot, code], length)
                ):
                    place = (place + np.uint64(1)) & table_mask
                    code = table[slot, place]
                if code < 0:
                    new, at = used[slot], used[-1]
                    if new >= most_distinct or at + length + SLACK > distinct_bytes:
                        why = DISTINCT_FULL
                        break
                    _copy(begin, distinct_at + at, length)
                    code = np.int32(new)
                    table[slot, place] = code
                    hashes[slot, new], starts[slot, new], lengths[slot, new] = h, at, length
                    used[slot] = new + 1
                    used[-1] = at + length
                codes[slot, row] = code
            elif kind == PLAIN:
                at = np.int64(offsets[slot, row])
                if not is_text or has_text[slot, row]:
                    fits = False
                elif at + length + SLACK > text_bytes:
                    why = FULL
                    break
                else:
                    _copy(begin, texts_at + slot * text_bytes + at, length)
                    offsets[slot, row + 1] = at + length
                    has_text[slot, row] = 1
            elif kind == NUMBER or kind == CODE:
                value = _digits(begin, length)
                if value < 0 or has_number[slot, row] or (kind == CODE and value > MAX_CODE):
                    fits = False
                else:
                    numbers[slot, row] = value
                    has_number[slot, row] = 1
            elif kind == TIME:
                fits = is_text and time < 0
                time = _microseconds(begin, length) if fits else none
                fits = time >= 0
                numbers[slot, row] = time
                has_number[slot, row] = 1
            else:
                extra_start[slot] = begin - is_text
                extra_length[slot] = length + 2 * is_text

            while _byte(p) == 32:
                p += 1
            if _byte(p) == 125:
                break
            fits = fits and _byte(p) == 44
            p += 1
            while _byte(p) == 32:
                p += 1
        if why != DONE:
            p = line
            break
        if fits:
            # behind the object nothing but the line's end
            p += 1
            p += _byte(p) == 13
            fits = p < end and _byte(p) == 10 and time >= 0 and is_log
        if fits and extra_count:
            # the unmapped keys that have a value as one JSON object, in the order of their names
            at = np.int64(offsets[extra_slot, row])
            if at + (p - line) + SLACK > text_bytes:
                why, p = FULL, line
                break
            here = texts_at + extra_slot * text_bytes
            first = at
            for o in range(extra_count):
                if extra_length[o]:
                    _put(here + at, np.uint64(123 if at == first else 44))
                    at += 1
                    key = extra_key[o]
                    _copy(keys_at + key_start[key], here + at, key_length[key])
                    at += key_length[key]
                    _copy(extra_start[o], here + at, extra_length[o])
                    at += extra_length[o]
            if at > first:
                _put(here + at, np.uint64(125))
                offsets[extra_slot, row + 1] = at + 1
                has_text[extra_slot, row] = 1
        if fits:
            line_numbers[row], contexts[row] = line_number, context
            earliest, latest = min(earliest, time), max(latest, time)
            row += 1
            p += 1
        else:
            p = _line_end(line, end) + 1
            odd[odd_count, 0], odd[odd_count, 1], odd[odd_count, 2] = line - start, p - start, line_number
            odd_count += 1
        line_number += 1
    return why, p, row, line_number, odd_count, earliest, latest, is_partial
