"""Which day a report is for: as typed, or told by the clock or the lake."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipeline.errors import NoDataError
from pipeline.query.session import open_session
from pipeline.query.window import day, zone


def day_named(text: str, root: Path, timezone: str, now: datetime | None = None) -> date:
    """Return the day that `2026-11-22`, `today`, `yesterday` or `last` (the lake's newest) means in a time zone.

    Raises `UsageError` for any other text, `NoDataError` where the newest day of an empty lake is asked for.
    """
    today = (now or datetime.now(UTC)).astimezone(zone(timezone)).date()
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    return _newest(root, timezone) if text == "last" else named.get(text) or day(text)


def _newest(root: Path, timezone: str) -> date:
    with open_session(root, timezone=timezone) as session:
        newest: date | None = session.rows("select max(last_started_at)::date as newest from loads")[0]["newest"]
    if newest is None:
        raise NoDataError(f"{root}: the lake is empty. Fill it with: meshlog ingest PATH --lake {root}")
    return newest
