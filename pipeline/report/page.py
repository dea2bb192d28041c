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


def render(template: str, zone: ZoneInfo, **context: Any) -> str:
    """Render a template of `reports` with its style sheet; moments are printed in `zone`."""
    environment = _environment(zone)
    style = (assets("reports") / "style.css").read_text()
    return environment.get_template(template).render(context, style=Markup(style))  # noqa: S704 (our own file)


def _environment(zone: ZoneInfo) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets("reports")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=text.shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats = (text.breakable, text.cut, text.lines, text.count, text.rate, text.ms, text.spread, text.change, text.day)
    of_incidents = (text.span, text.size, text.chance)
    environment.filters |= {each.__name__: each for each in (*formats, *of_incidents)}
    environment.filters["clock"] = lambda moment: text.clock(moment, zone)
    environment.filters["moment"] = lambda moment: text.moment(moment, zone)
    environment.tests["name"] = text.is_name
    return environment
