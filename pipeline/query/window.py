"""What people type for a time, as a window: `1h`, `-1h` (ago), `2026-11-23`, RFC 3339; half-open, UTC unless told."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.errors import UsageError
from pipeline.query.session import Window

_AGO = re.compile(r"-?(\d+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def window(since: str | None, until: str | None, timezone: str = "UTC", now: datetime | None = None) -> Window:
    """Return the window that two typed times mean; None leaves an end open.

    Raises `UsageError` for a text that is no time, an unknown time zone, and an end that is not after the start.
    """
    now = now or datetime.now(UTC)
    start = moment(since, timezone, now) if since else None
    end = moment(until, timezone, now) if until else None
    if start and end and end <= start:
        raise UsageError(f"--until {until} is not after --since {since}: the window is half-open, [since, until)")
    return Window(start, end)


def moment(text: str, timezone: str, now: datetime) -> datetime:
    """Return the UTC moment that a text means; a date or time without an offset is in `timezone`.

    Raises `UsageError`.
    """
    text = text.strip()
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    if text == "now":
        return now
    return _absolute(text, timezone)


def day(text: str) -> date:
    """Return the date that a text like `2026-11-23` means. Raises `UsageError`."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no date. Write it like 2026-11-23") from error


def day_window(of: date, timezone: str) -> Window:
    """Return the window of one day in a time zone; it has 23 or 25 hours where clocks change."""
    return Window(*(_absolute(each.isoformat(), timezone) for each in (of, of + timedelta(days=1))))


def zone(name: str) -> ZoneInfo:
    """Return the time zone of that name. Raises `UsageError`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UsageError(f"--tz {name}: no such time zone. Name one like UTC or Europe/Berlin") from error


def _absolute(text: str, timezone: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no time. Write 1h (ago), 2026-11-23, 2026-11-23T03:00 or 2026-11-23T03:00:00Z"
        ) from error
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=zone(timezone))
    return aware.astimezone(UTC)
