"""Reads the values of plain JSON lines at an address: numbers, times, literals; and steps over a CRI prefix."""

import numpy as np
from numba import njit

from pipeline.ingest.kernel.words import byte, word

MOST_DIGITS = 18
MAX_CODE = 999
MAX_YEAR = 2199

PARTIAL = -2
"""Said of a CRI line that holds a piece of a record."""


@njit(nogil=True, inline="always")
def digits(p, length):
    """Read an unsigned number of at most 18 digits; -1 where it is none."""
    if length == 0 or length > MOST_DIGITS:
        return np.int64(-1)
    value = np.int64(0)
    for k in range(length):
        digit = np.int64(byte(p + k)) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        value = value * 10 + digit
    return value


@njit(nogil=True)
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


@njit(nogil=True)
def microseconds(s, length):
    """Read `2021-02-18T07:08:50.031Z`, with up to nine decimals or none; -1 for any other form."""
    if length < 20 or length > 30 or byte(s + 4) != 45 or byte(s + 7) != 45 or byte(s + 10) != 84:
        return np.int64(-1)
    if byte(s + 13) != 58 or byte(s + 16) != 58 or byte(s + length - 1) != 90:
        return np.int64(-1)
    year, month, day = digits(s, 4), digits(s + 5, 2), digits(s + 8, 2)
    hour, minute, second = digits(s + 11, 2), digits(s + 14, 2), digits(s + 17, 2)
    if year < 0 or month < 0 or day < 0 or hour < 0 or minute < 0 or second < 0:
        return np.int64(-1)
    if hour > 23 or minute > 59 or second > 59:
        return np.int64(-1)
    fraction = np.int64(0)
    if length > 20:
        decimals = length - 21
        fraction = digits(s + 20, decimals)
        if byte(s + 19) != 46 or fraction < 0:
            return np.int64(-1)
        for _ in range(decimals, 6):
            fraction *= 10
        for _ in range(6, decimals):
            fraction //= 10
    days = _day_number(year, month, day)
    if days < 0:
        return np.int64(-1)
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + fraction


@njit(nogil=True, inline="always")
def literal(p):
    """Measure a `null`, `true`, `false` or unsigned whole number at p; 0 for anything else."""
    first = byte(p)
    if first == 110:
        return 4 if byte(p + 1) == 117 and byte(p + 2) == 108 and byte(p + 3) == 108 else 0
    if first == 116:
        return 4 if byte(p + 1) == 114 and byte(p + 2) == 117 and byte(p + 3) == 101 else 0
    if first == 102:
        is_false = byte(p + 1) == 97 and byte(p + 2) == 108 and byte(p + 3) == 115 and byte(p + 4) == 101
        return 5 if is_false else 0
    length = 0
    while 48 <= byte(p + length) <= 57:
        length += 1
    return 0 if length > 1 and first == 48 else length


_STDOUT, _STDERR = (np.uint64(int.from_bytes(b" %s " % name, "little")) for name in (b"stdout", b"stderr"))


@njit(nogil=True)
def cri_text(p, end):
    """Step over `2021-02-18T07:08:50.031Z stdout F `; -1 where it does not stand there, `PARTIAL` for a piece."""
    if p + 48 > end or byte(p + 4) != 45 or byte(p + 10) != 84:
        return np.int64(-1)
    q = p + 19
    while q < p + 40 and byte(q) != 32:
        q += 1
    stream = word(q)
    if stream != _STDOUT and stream != _STDERR:
        return np.int64(-1)
    if byte(q + 8) == 80:
        return np.int64(PARTIAL)
    return q + 10 if byte(q + 8) == 70 and byte(q + 9) == 32 else np.int64(-1)
