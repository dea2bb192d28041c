"""Renders an incident as Markdown, to be pasted into a ticket: what a log wrote stays text there, too.

One `finalize` stands between a log and the document: whatever a template prints is made visible, and every sign that
Markdown reads as more than itself is escaped.
"""

import re
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline import __version__
from pipeline.assets import assets
from pipeline.query.window import zone
from pipeline.report import text
from pipeline.report.incident import CHANGES, Facts
from pipeline.text import visible, whom

_SIGNS = re.compile(r"([\\`*_{}\[\]<>|#~!&])")


def markdown(facts: Facts) -> str:
    """Render `reports/incident.md.jinja`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets("reports")),
        autoescape=False,  # noqa: S701 (this is no HTML; finalize escapes what Markdown reads)
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )
    shown = (text.count, text.rate, text.ms, text.short, text.size, text.things)
    environment.filters |= {each.__name__: each for each in shown}
    environment.filters["clock"] = lambda moment: text.clock(moment, zone(facts.timezone), facts.is_long)
    environment.filters["moment"] = lambda moment: text.clock(moment, zone(facts.timezone), True)
    environment.filters["block"] = _block
    environment.filters["whom"] = whom
    return environment.get_template("incident.md.jinja").render(
        facts=facts,
        periods=facts.periods,
        trouble=facts.rows("trouble")[0],
        totals=facts.rows("totals")[0],
        origin_changes=facts.significant("origin")[:CHANGES],
        request_changes=facts.significant("requests")[:CHANGES],
        outcomes=[row for row in facts.outcomes if row["is_significant"]][:CHANGES],
        version=__version__,
    )


def _shown(value: Any) -> Any:
    if value is None:
        return text.NOTHING
    return value if isinstance(value, Markup) else Markup(_SIGNS.sub(r"\\\1", visible(str(value))))  # noqa: S704 (no HTML)


def _block(value: str) -> Markup:
    """Return a text of several lines for an indented block, in which Markdown reads nothing."""
    return Markup("\n".join(f"    {visible(line)}" for line in value.splitlines()))  # noqa: S704 (no HTML)
