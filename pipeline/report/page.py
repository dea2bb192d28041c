"""Renders a report's page: one HTML file that needs no network, no script and no other file.

Autoescape and one `finalize` stand between a log and the page: whatever a template prints is escaped and visible.
A name that a template misspells is an error, not an empty place.
"""

from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from markupsafe import Markup

from pipeline.assets import assets
from pipeline.report import text
from pipeline.text import whom


def render(template: str, zone: ZoneInfo, *, is_long: bool = False, **context: Any) -> str:
    """Render a template of `reports` with its style sheet; moments are in `zone`, dated if it `is_long`."""
    environment = _environment(zone, is_long)
    style = (assets("reports") / "style.css").read_text()
    return environment.get_template(template).render(context, style=Markup(style))  # noqa: S704 (our own file)


def _environment(zone: ZoneInfo, is_long: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets("reports")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=text.shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = (text.count, text.rate, text.ms, text.spread, text.change, text.factor, text.objective)
    texts = (text.breakable, text.cut, text.flagged, text.lines)
    of_incidents = (text.span, text.size, text.chance)
    environment.filters |= {each.__name__: each for each in (*texts, *numbers, *of_incidents)}
    environment.filters["clock"] = lambda moment: text.clock(moment, zone, is_long)
    environment.filters["minute"] = lambda moment: text.minute(moment, zone, is_long)
    environment.filters["moment"] = lambda moment: text.clock(moment, zone, True)
    environment.filters["whom"] = whom
    environment.tests["name"] = text.is_name
    return environment
