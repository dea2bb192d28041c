"""Watches the times of rows on their way: years that cannot be, and a clock that was set back within one source.

Such rows are kept as they are, for they may be all there is; the user is warned. Envoy logs a request when it ends, so
what has to grow from line to line is the end of the request, not its start: a connection of hours is no jump. A jump
forward alone is silence, as at night; where the clock came back from it, that is a jump back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.columns import whole

FIRST_YEAR = 2016
"""Envoy was published in that year."""

AHEAD = timedelta(days=1)
"""How far a row may start after the time of the ingest."""

BACK = timedelta(hours=1)
"""How far a request may end before the one above it."""

_SECOND = 1_000_000
_NO_DURATION = pa.scalar(0, pa.int64())
Warned = tuple[str, str]


@dataclass
class _Finding:
    line: int
    text: str
    lines: int


Findings = dict[tuple[str, str], _Finding]
"""What is odd, by source and kind."""


class _Row(NamedTuple):
    """A row's line number, and when it ended, in microseconds."""

    line: int
    end: int


@dataclass(frozen=True)
class Seen:
    """What is odd within some rows, and the first and the last row of each source among them."""

    findings: Findings
    ends: Mapping[str, tuple[_Row, _Row]]


def look(rows: pa.Table, now: datetime) -> Seen:
    """Look at rows of the lake's columns, in any order; those in the order of their lines are looked at fastest."""
    if not rows.num_rows:
        return Seen({}, {})
    rows = rows.select(["source", "line_number", "started_at", "duration_ms"]).unify_dictionaries().combine_chunks()
    encoded = whole(rows["source"])
    source, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    line, start = rows["line_number"].to_numpy(), rows["started_at"].cast(pa.int64()).to_numpy()
    end = start + pc.fill_null(rows["duration_ms"], _NO_DURATION).to_numpy() * 1000
    order = np.lexsort((line, source))
    source, line, start, end = source[order], line[order], start[order], end[order]
    findings: Findings = {}
    latest, earliest = _micros(now + AHEAD), _micros(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC))
    for kind, outside in (("ahead", start > latest), ("past", start < earliest)):
        for at in np.flatnonzero(outside).tolist():
            _add(findings, names[source[at]], kind, _Finding(int(line[at]), _text(int(start[at])), 1))
    follows = (source[1:] == source[:-1]) & (line[1:] > line[:-1])
    jumps = follows & (end[1:] < end[:-1] - _in_micros(BACK))
    for at in np.flatnonzero(jumps).tolist():
        _add(findings, names[source[at]], "back", _jump(int(end[at]), _Row(int(line[at + 1]), int(end[at + 1]))))
    firsts = np.flatnonzero(np.diff(source, prepend=source[:1] - 1))
    lasts = np.append(firsts[1:], len(source)) - 1
    ends = {
        names[source[first]]: (_Row(int(line[first]), int(end[first])), _Row(int(line[last]), int(end[last])))
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    }
    return Seen(findings, ends)


def _jump(before: int, row: _Row) -> _Finding:
    return _Finding(row.line, f"{(before - row.end) / _SECOND / 3600:.1f} h", 1)


def _add(findings: Findings, source: str, kind: str, new: _Finding) -> None:
    """Count a finding with those of its source and kind, the first line of which is shown."""
    found = findings.setdefault((source, kind), new)
    if found is not new:
        found.lines += new.lines
        if new.line < found.line:
            found.line, found.text = new.line, new.text


@dataclass
class Clock:
    """Gathers what was seen in rows, batch after batch as they came; `warnings` says what is odd."""

    now: datetime
    _found: Findings = field(default_factory=dict)
    _last: dict[str, _Row] = field(default_factory=dict)

    def add(self, seen: Seen) -> None:
        """Add what was seen in the next batch, also between its first rows and the last ones before them."""
        for (source, kind), finding in seen.findings.items():
            _add(self._found, source, kind, finding)
        for source, (first, last) in seen.ends.items():
            before = self._last.get(source)
            if before and first.line > before.line and first.end < before.end - _in_micros(BACK):
                _add(self._found, source, "back", _jump(before.end, first))
            self._last[source] = last

    def warnings(self) -> tuple[Warned, ...]:
        """Return what was found: source, and the words for it, which begin with the source and its first line."""
        return tuple((source, _spoken(source, kind, found)) for (source, kind), found in list(self._found.items()))


def _spoken(source: str, kind: str, found: _Finding) -> str:
    begin = f"{source}:{found.line}: "
    more = f" ({found.lines:,} such lines)" if found.lines > 1 else ""
    if kind == "back":
        return (
            f"{begin}ends {found.text} before the row above it{more}: the clock was set back, or several logs were "
            "put together. The rows are kept; ingest such logs as files of their own"
        )
    what = "more than a day from now" if kind == "ahead" else f"before {FIRST_YEAR}, when there was no Envoy"
    flag = "--until now" if kind == "ahead" else f"--since {FIRST_YEAR}-01-01"
    return (
        f"{begin}starts at {found.text}, {what}{more}: check the node's clock and this machine's. "
        f"The rows are kept; leave them out of an answer with {flag}"
    )


def _micros(moment: datetime) -> int:
    return _in_micros(moment - datetime(1970, 1, 1, tzinfo=UTC))


def _in_micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def _text(microseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
