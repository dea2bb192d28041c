"""Which span of time a report is for, as typed or told by clock or lake, and which earlier ones it is held against."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipeline.errors import NoDataError, UsageError
from pipeline.query.session import Session, Window, open_session
from pipeline.query.window import day, day_window, moment, zone

WHOLE_DAY = "00:00 to 24:00"

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True)
class Earlier:
    """A window before the report's own; `name` is how a sentence calls it."""

    name: str
    window: Window


@dataclass(frozen=True)
class Period:
    """The window of a report, both ends known, what to call it, and what it is held against."""

    since: datetime
    until: datetime
    timezone: str
    name: str
    title: str
    hours: str
    earlier: tuple[Earlier, ...]

    @property
    def window(self) -> Window:
        """The span as a session knows it."""
        return Window(self.since, self.until)

    @property
    def is_day(self) -> bool:
        """Whether it is one whole day of its time zone."""
        return self.hours == WHOLE_DAY

    @property
    def is_long(self) -> bool:
        """Whether a time of the day alone does not tell a moment in it: it spans more than a day of 25 hours."""
        return self.until - self.since > timedelta(hours=25)


def day_period(of: date, timezone: str = "UTC") -> Period:
    """Return the period of one day, held against the day before and the same weekday of the week before."""
    since, until = (moment(str(each), timezone, datetime.now(UTC)) for each in (of, of + _DAY))
    earlier = (
        Earlier("the day before", day_window(of - _DAY, timezone)),
        Earlier(f"{of:%A} last week", day_window(of - _WEEK, timezone)),
    )
    return Period(since, until, timezone, str(of), _long_date(of), WHOLE_DAY, earlier)


def span_period(since: str, until: str | None, timezone: str, now: datetime | None = None) -> Period:
    """Return the period between two typed times (`1h`, RFC 3339, ...), up to now where `until` is None.

    It is held against the span of the same length right before it and, where it is shorter than a week, the same span a
    week earlier. Raises `UsageError` for a text that is no time and for an end that is not after the start.
    """
    now = now or datetime.now(UTC)
    start, end = moment(since, timezone, now), moment(until, timezone, now) if until else now
    if end <= start:
        raise UsageError(
            f"--until {until or 'now'} is not after --since {since}: the window is half-open, [since, until)"
        )
    local = [each.astimezone(zone(timezone)) for each in (start, end)]
    earlier = [Earlier("the span before", Window(start - (end - start), start))]
    if end - start < _WEEK:
        # the same time on the clock, whatever it did in between
        week = Window(*((each - _WEEK).astimezone(UTC) for each in local))
        earlier.append(Earlier("the same span last week", week))
    name = " to ".join(f"{each:%Y-%m-%dT%H:%M:%S}" for each in local)
    if local[0].date() == local[1].date():
        title, hours = _long_date(local[0]), f"{local[0]:%H:%M:%S} to {local[1]:%H:%M:%S}"
    else:
        title, hours = " to ".join(f"{each.day} {each:%B %Y}" for each in local), name.replace("T", " ")
    return Period(start, end, timezone, name, title, hours, tuple(earlier))


def _long_date(of: date) -> str:
    return f"{of:%A}, {of.day} {of:%B %Y}"


def day_named(text: str, root: Path, timezone: str, now: datetime | None = None) -> date:
    """Return the day that `2026-11-22`, `today`, `yesterday` or `last` (the lake's newest) means in a time zone.

    Raises `UsageError` for any other text, `NoDataError` where the newest day of an empty lake is asked for.
    """
    today = (now or datetime.now(UTC)).astimezone(zone(timezone)).date()
    named = {"today": today, "yesterday": today - _DAY}
    return _newest(root, timezone) if text == "last" else named.get(text) or day(text)


def _newest(root: Path, timezone: str) -> date:
    with open_session(root, timezone=timezone) as session:
        newest: date | None = session.rows("select max(last_started_at)::date as newest from loads")[0]["newest"]
        if newest is None:
            raise NoDataError(nothing_held(root, session))
    return newest


def nothing_held(root: Path, session: Session) -> str:
    """Say why a lake without an access-log line has none: nothing was read yet, or all of it was rejected or noise."""
    read = session.rows("select sum(lines)::bigint as lines, sum(rejects)::bigint as rejects from loads")[0]
    if not read["lines"]:
        return f"{root}: holds no access-log line yet. Read some with: meshlog ingest PATH --lake {root}"
    see = f'meshlog sql "from quarantine" --lake {root}' if read["rejects"] else "meshlog inspect FILE"
    return (
        f"{root}: holds no access-log line: of {read['lines']:,} lines read {read['rejects']:,} were rejected, and the "
        f"rest are none. See why: {see}"
    )
