"""Watches the times of rows on their way: years that cannot be, and a clock that was set back within one source.

Such rows are kept as they are, for they may be all there is; the user is warned. Envoy logs a request when it ends, so
what has to grow from line to line is the end of the request, not its start: a connection of hours is no jump. A jump
forward alone is silence, as at night; where the clock came back from it, that is a jump back.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

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


@dataclass
class Clock:
    """Gathers what is odd about the times of many tables of rows; `warnings` says it, a source and kind at a time."""

    now: datetime
    _found: dict[tuple[str, str], _Finding] = field(default_factory=dict)
    _last: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Line number and end, in microseconds, of the last row of each source in the table before."""

    def watch(self, rows: pa.Table) -> None:
        """Look at rows of the lake's columns, in any order."""
        if rows.num_rows:
            looked = rows.select(["source", "line_number", "started_at", "duration_ms"]).combine_chunks()
            self._watch(looked.unify_dictionaries())

    def _watch(self, rows: pa.Table) -> None:
        encoded = rows["source"].combine_chunks()
        source, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
        line, start = rows["line_number"].to_numpy(), rows["started_at"].cast(pa.int64()).to_numpy()
        end = start + pc.fill_null(rows["duration_ms"], _NO_DURATION).to_numpy() * 1000
        order = np.lexsort((line, source))
        source, line, start, end = source[order], line[order], start[order], end[order]
        latest, earliest = _micros(self.now + AHEAD), _micros(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC))
        for kind, outside in (("ahead", start > latest), ("past", start < earliest)):
            for at in np.flatnonzero(outside).tolist():
                self._add(names[source[at]], kind, int(line[at]), _text(int(start[at])))
        follows = (source[1:] == source[:-1]) & (line[1:] > line[:-1])
        jumps = follows & (end[1:] < end[:-1] - _in_micros(BACK))
        for at in np.flatnonzero(jumps).tolist():
            self._back(names[source[at]], int(line[at + 1]), int(end[at]), int(end[at + 1]))
        self._across(names, source, line, end)

    def _across(
        self, names: list[str], source: npt.NDArray[np.int32], line: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
    ) -> None:
        """Compare the first row of each source with its last one in the table before."""
        borders = np.flatnonzero(source[1:] != source[:-1])
        for first in (0, *(borders + 1).tolist()):
            before = self._last.get(names[source[first]])
            if before and line[first] > before[0] and end[first] < before[1] - _in_micros(BACK):
                self._back(names[source[first]], int(line[first]), before[1], int(end[first]))
        for last in (*borders.tolist(), len(line) - 1):
            self._last[names[source[last]]] = (int(line[last]), int(end[last]))

    def _back(self, source: str, line: int, before: int, after: int) -> None:
        self._add(source, "back", line, f"{(before - after) / _SECOND / 3600:.1f} h")

    def _add(self, source: str, kind: str, line: int, text: str) -> None:
        found = self._found.setdefault((source, kind), _Finding(line, text, 0))
        found.lines += 1
        if line < found.line:
            found.line, found.text = line, text

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
