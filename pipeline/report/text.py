"""How values become text on a page: what a log wrote shows as it is, and cannot act; numbers carry their units.

Control, direction-changing and other invisible characters are shown as escapes (`\\x1b`, `\\u202e`), so that a path
cannot hide its end, turn the line around or reach the terminal it is pasted into. Only formatting happens here: every
number comes from SQL.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from pipeline.text import visible

NOTHING = "\N{EN DASH}"
"""What stands where there is no value."""

_GLUE = "\u00a0"
"""Holds a number and its unit on one line."""

_MINUS = "\N{MINUS SIGN}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_NAME = re.compile(r"[A-Za-z0-9._:-]+")


def shown(value: Any) -> Any:
    """Return what a page prints for any value: markup as it is, text made visible, a sign for nothing."""
    if value is None:
        return NOTHING
    return value if isinstance(value, Markup) else visible(str(value))


def short(text: str, width: int) -> str:
    """Return a visible text, cut in its middle to at most `width` characters."""
    whole = visible(text)
    if len(whole) <= width:
        return whole
    tail = width // 3
    return f"{whole[: width - tail - 1]}…{whole[-tail:]}"


def cut(value: str | None, width: int = 72) -> Markup:
    """Return a long value cut in its middle, with the whole of it as the title."""
    if value is None:
        return escape(NOTHING)
    whole, shortened = visible(value), short(value, width)
    if shortened == whole:
        return escape(whole)
    return Markup('<span class="cut" title="{}">{}</span>').format(whole[:2000], shortened)


def breakable(text: str) -> Markup:
    """Let a long field or a line's evidence break where one of its words ends."""
    return Markup("<wbr>").join(re.split(r"(?<=[._|:;{},])", visible(text)))


def lines(text: str) -> Markup:
    """Return a text of several lines for a `pre`: its own line ends stay, all else is made visible."""
    return Markup("\n").join(visible(line) for line in text.splitlines())


def flagged(command: str) -> Markup:
    """Hold each flag of a command, or of a sentence that has one, on one line."""
    words = (
        Markup('<span class="flag">{}</span>').format(visible(word)) if word.startswith("--") else escape(visible(word))
        for word in command.split(" ")
    )
    return Markup(" ").join(words)


def is_name(value: str | None) -> bool:
    """Say whether a value from a log can be nothing but a name, so that a command may hold it."""
    return value is not None and _NAME.fullmatch(value) is not None


def count(value: float | None) -> str:
    """Format a number of things: 1,234."""
    return NOTHING if value is None else f"{value:,.0f}"


def things(number: int, one: str) -> str:
    """Count things in words: 1 call, 2 calls."""
    return f"{count(number)} {one if number == 1 else one + 's'}"


def rate(value: float | None) -> str:
    """Format a share of 0 to 1 in per cent; what is not none or all never reads as such."""
    if value is None:
        return NOTHING
    percent = value * 100
    if 0 < percent < 0.05:
        return f"<0.1{_GLUE}%"
    if 99.95 <= percent < 100:
        return f">99.9{_GLUE}%"
    return f"{percent:.0f}{_GLUE}%" if percent in (0, 100) else f"{percent:.1f}{_GLUE}%"


def ms(value: float | None) -> str:
    """Format milliseconds in the unit that fits: 0.8 ms, 16 ms, 1.25 s, 3.0 min."""
    if value is None:
        return NOTHING
    size = abs(value)
    if size < 999.5:
        return f"{_few_digits(value)}{_GLUE}ms"
    return f"{value / 1000:.2f}{_GLUE}s" if size < 59_995 else f"{value / 60_000:.1f}{_GLUE}min"


def spread(values: Sequence[float | None]) -> str:
    """Format several times in one unit, that of the longest: 15 / 158 / 422 ms; nothing but 0 once."""
    known = [value for value in values if value is not None]
    if known and not any(known):
        return ms(0)
    if not known or max(known) >= 59_995:
        return " / ".join(ms(value) for value in values)
    unit, size = ("s", 1000) if max(known) >= 999.5 else ("ms", 1)
    figures = (NOTHING if value is None else _few_digits(value / size) for value in values)
    return " / ".join(figures).replace(" ", _GLUE) + f"{_GLUE}{unit}"


def _few_digits(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if abs(value) < 9.95 else f"{value:.0f}"


def change(value: float | None, unit: str) -> str:
    """Format a difference with its sign, in the words of its unit."""
    if value is None:
        return NOTHING
    size = {"count": count, "ms": ms, "rate": _points}[unit](abs(value))
    return f"{'+' if value > 0 else _MINUS}{size}" if value else "no change"


def _points(value: float) -> str:
    return f"{value * 100:.1f}{_GLUE}points"


def clock(value: datetime | None, zone: ZoneInfo, is_dated: bool = False) -> str:
    """Format a moment of the day to the second, with the date where `is_dated`."""
    if value is None:
        return NOTHING
    local = value.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}" if is_dated else f"{local:%H:%M:%S}"


def minute(value: datetime | None, zone: ZoneInfo, is_dated: bool = False) -> str:
    """Format the begin of a minute, with the date where `is_dated`."""
    return clock(value, zone, is_dated).removesuffix(":00")


def span(seconds: float | None) -> str:
    """Format a length of time: 8 s, 12 min, 3.5 h."""
    if seconds is None:
        return NOTHING
    if abs(seconds) < 120:
        return f"{seconds:.0f}{_GLUE}s"
    return f"{seconds / 60:.0f}{_GLUE}min" if abs(seconds) < 7200 else f"{seconds / 3600:.1f}{_GLUE}h"


def size(value: float | None) -> str:
    """Format bytes: 594 B, 12 kB, 3.4 MB."""
    if value is None:
        return NOTHING
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= least:
            return f"{value / least:.1f}{_GLUE}{unit}"
    return f"{value:.0f}{_GLUE}B"


def chance(value: float | None) -> str:
    """Format a p or q value; what is very small is told as less than a bound."""
    if value is None:
        return NOTHING
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def factor(value: float | None) -> str:
    """Format how many times as much, with a sign for times: 0.3x, 14x, 1,203x."""
    if value is None:
        return NOTHING
    return f"{_few_digits(value) if value < 999.5 else count(value)}{_TIMES}"


def objective(value: float) -> str:
    """Format a share that must succeed, with all of its nines: 99.95 %."""
    return f"{value * 100:.10g}{_GLUE}%"


def pasted(sql: str, parameters: Mapping[str, Any]) -> str:
    """Return a question's SQL with its parameters written out, so that it runs in any DuckDB shell on the models."""
    return re.sub(
        r"^(?!--).*$",
        lambda line: re.sub(r"\$(\w+)", lambda name: _literal(parameters[name[1]]), line[0]),
        sql.strip(),
        flags=re.MULTILINE,
    )


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_literal(each) for each in value) + "]"
    return json.dumps(value)
