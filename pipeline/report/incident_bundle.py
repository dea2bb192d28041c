"""Writes an incident's bundle: index.html, incident.md, incident.json, and the rows behind them as Parquet.

Nothing is counted here. A reader meets the whole old bundle or the whole new one, file by file, the page last.
"""

import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pipeline import __version__
from pipeline.errors import MeshlogError
from pipeline.query.window import zone
from pipeline.report import incident_charts
from pipeline.report.incident import CHANGES, TABLES, Asked, Facts, gather
from pipeline.report.incident_markdown import markdown
from pipeline.report.nightly import request
from pipeline.report.page import render

_TIMELINE = (
    "Bar chart: the share of requests that failed, and that failed or were slow, in each step of time, above the "
    "number of requests; onset, peak and recovery are marked."
)

SECTIONS = (
    *("gaps", "trouble", "timeline", "spread", "totals", "reach", "findings", "changes", "outcomes"),
    *("differing_endpoints", "retries", "exemplars", "request_calls", "coverage_totals"),
)
"""The answers of a bundle, in the order of its sections."""


def write_bundle(root: Path, asked: Asked, out: Path, timezone: str = "UTC") -> Path:
    """Write the bundle of an incident to the folder `out`, and return the page's path.

    A failed run changes nothing in `out`. Raises `NoDataError` where the window holds no call, `UsageError` for an
    unknown time zone or a baseline that overlaps the window, `LakeError` where there is no lake, `MeshlogError` where
    `out` cannot be written.
    """
    zone(timezone)
    try:
        is_new = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        aside = Path(mkdtemp(prefix=".incident-", dir=out))
        try:
            facts = gather(asked, root, timezone, aside)
            _put(facts, aside, out)
            is_new = False
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            if is_new:
                out.rmdir()
    except OSError as error:
        raise MeshlogError(f"{out}: cannot be written: {error.strerror}. Name another folder with --out") from error
    return out / "index.html"


def _put(facts: Facts, aside: Path, out: Path) -> None:
    texts = {"incident.json": as_json(facts), "incident.md": markdown(facts), "index.html": page(facts)}
    for name, text in texts.items():
        (aside / name).write_text(text, encoding="utf-8")
    (out / "tables").mkdir(exist_ok=True)
    for table in TABLES:
        (aside / f"{table}.parquet").replace(out / "tables" / f"{table}.parquet")
    for name in texts:
        (aside / name).replace(out / name)


def page(facts: Facts) -> str:
    """Render the page."""
    return render(
        "incident.html.jinja",
        zone(facts.timezone),
        is_long=facts.is_long,
        facts=facts,
        answers=facts.answers,
        periods=facts.periods,
        trouble=facts.rows("trouble")[0],
        totals=facts.rows("totals")[0],
        origin_changes=facts.significant("origin")[:CHANGES],
        request_changes=facts.significant("requests")[:CHANGES],
        outcomes=[row for row in facts.outcomes if row["is_significant"]][:CHANGES],
        exemplars=[request(row, facts.answers["request_calls"]) for row in facts.rows("exemplars")],
        timeline_chart=incident_charts.timeline(facts.rows("timeline"), _TIMELINE),
        version=__version__,
    )


def as_json(facts: Facts) -> str:
    """Write what the page says for programs: every section's rows, and the command that gives them again."""
    document: dict[str, Any] = {
        "meshlog": __version__,
        "command": facts.command,
        "service": facts.asked.service,
        "periods": facts.periods,
    }
    tested = {"changes": facts.changes, "outcomes": facts.outcomes}
    for name in SECTIONS:
        answer = facts.answers[name]
        document[name] = {
            "asks": answer.meaning,
            "rows": tested.get(name, answer.rows),
            "command": answer.command,
        }
    return json.dumps(document, indent=1, default=_plain, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
