"""Puts an explanation of a source into words, or into JSON; whatever a log brings along is made safe to look at."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from itertools import accumulate, takewhile
from typing import Any

import orjson
from rich.cells import cell_len

from pipeline.ingest.inspect import Explanation, Line, Template, Trouble
from pipeline.text import visible

_WIDTH = 72
"""Columns shown of a line: with what stands before it, 80 in all, so that no terminal wraps it away from its caret."""

_MOST_PODS = 10


def lines_of(found: Explanation) -> Iterator[str]:
    """Return an explanation line by line."""
    counts = found.counts
    yield visible(found.source)
    kind = f"{found.compression}, " if found.compression else ""
    much = "" if found.is_whole else " read; the rest was left out (--lines)"
    yield _fact("text", f"{kind}{found.bytes:,} bytes{much}")
    four = " + ".join(f"{counts[name]:,} {name}" for name in ("rows", "rejects", "noise", "blank"))
    yield _fact("lines", f"{counts['lines']:,} = {four}")
    if found.problem:
        yield _fact("problem", found.problem)
    yield _fact("wrappers", _counted(found.wrappers) or "none")
    yield _fact("dialects", _counted(found.dialects) or "none: no line is an access log")
    if found.first_started_at and found.last_started_at:
        yield _fact("times", f"{_spoken(found.first_started_at)} to {_spoken(found.last_started_at)}")
        yield _fact("pods", _counted(found.pods, _MOST_PODS))
    if found.unmapped:
        yield _fact("in extra", _counted(found.unmapped))
    for template in found.templates:
        yield from _template_lines(template)
    for trouble in found.troubles:
        yield from _trouble_lines(trouble)
    if found.noise:
        yield ""
        yield f"  noise ({counts['noise']:,}), such as"
        for line in found.noise:
            yield from _shown(line)


def _fact(name: str, value: str) -> str:
    return f"  {name:<9} {visible(value)}"


def _counted(counts: Mapping[str, int], most: int = 40) -> str:
    named = [f"{name} ({count:,})" for name, count in counts.items()]
    more = f", and {len(named) - most:,} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def _spoken(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _template_lines(template: Template) -> Iterator[str]:
    yield ""
    yield visible(f"  keys in order, records that have them: {template.records:,} ({template.dialect})")
    width = max(len(key) for key, _ in template.columns)
    for key, column in template.columns:
        yield visible(f"    {key:<{width}}  {column or 'extra'}")


def _trouble_lines(trouble: Trouble) -> Iterator[str]:
    yield ""
    yield visible(f"  rejects ({trouble.count:,}): {trouble.kind}")
    for line in trouble.first:
        yield from _shown(line, line.reason)


def _shown(line: Line, reason: str = "") -> Iterator[str]:
    """Show a line around its place, with a caret under it."""
    yield visible(f"    line {line.number:,}: {reason}".rstrip(": "))
    at = line.place or 0
    before, after = _around(_text(line.raw[:at]), _text(line.raw[at:]))
    yield "      " + before + after
    if line.place is not None:
        yield "      " + " " * cell_len(before) + "^"


def _around(before: str, after: str) -> tuple[str, str]:
    """Cut what stands before and after a place so that both fit into a terminal's line; marks where it cut."""
    room = _WIDTH - min(_WIDTH // 2, cell_len(after))
    start = _beginning(before[::-1], room)[::-1]
    end = _beginning(after, _WIDTH - cell_len(start))
    return "…" * (start != before) + start, end + "…" * (end != after)


def _beginning(text: str, cells: int) -> str:
    """Return as much of a text's beginning as fits into so many columns: some characters take two, some none."""
    widths = accumulate(cell_len(char) for char in text)
    return text[: sum(1 for width in takewhile(lambda width: width <= cells, widths))]


def _text(raw: bytes) -> str:
    return visible(raw.decode("utf-8", "backslashreplace"))


def as_json(found: Explanation) -> str:
    """Write an explanation as one JSON object; bytes that are no UTF-8 as escapes."""
    return orjson.dumps(asdict(found), default=_plain).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError
