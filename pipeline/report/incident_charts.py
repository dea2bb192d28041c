"""Draws the course of an incident: the share of requests that failed or were slow, and under it the requests."""

from collections.abc import Sequence
from typing import Any

import altair as alt
from markupsafe import Markup

from pipeline.report.charts import AXIS_SPACE, ROWS, WIDE, Row, Spec, both, spec_of

_DRAWN = ("kind", "position", "next_position", "calls", "failed", "slow", "failed_share", "bad_share", "label")
_HEIGHT = 132


def timeline(rows: Sequence[Row], description: str) -> Markup:
    """Draw the rows of `timeline`: steps as bars, onset, peak and recovery as lines, the baseline shaded."""
    drawn = [{name: row[name] for name in _DRAWN} for row in rows]
    return both(lambda width: _timeline(rows, width), drawn, description)


def _timeline(rows: Sequence[Row], width: int) -> Spec:
    nowhere = alt.Axis(values=[], grid=False, title=None)
    above = alt.layer(
        _spans(),
        _bars("bad_share", "var(--proxy)", nowhere, "failed or slow", ".0%"),
        _bars("failed_share", "var(--fail-fill)", nowhere, "failed or slow", ".0%"),
        _lines(),
        _names(width),
        data=ROWS,
    )
    below = alt.layer(
        _spans(),
        _bars("calls", "var(--calm)", _times(rows, width), "requests", "~s", title_y=-8),
        _lines(),
        data=ROWS,
    )
    plot = width - AXIS_SPACE - 28
    parts = (above.properties(width=plot, height=_HEIGHT), below.properties(width=plot, height=56))
    return spec_of(alt.vconcat(*parts, spacing=14).resolve_scale(x="shared"))


def _bars(field: str, colour: str, axis: alt.Axis, title: str, number: str, title_y: int = -22) -> alt.Chart:
    # the names of the marks stand right above the plot, and the title above them
    figures: dict[str, Any] = {"format": number, "title": title, "tickCount": 2}
    place: dict[str, Any] = {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": 0}
    least = 0.01 if "%" in number else 1
    y_axis = alt.Axis(**figures, **place, titleY=title_y, tickMinStep=least, minExtent=AXIS_SPACE, maxExtent=AXIS_SPACE)
    steps = alt.Chart(ROWS).transform_filter(f"datum.kind === 'step' && datum.{field} > 0")
    drawn: alt.Chart = steps.mark_rect(stroke="var(--paper)", strokeWidth=0.5).encode(
        x=alt.X("position:Q", axis=axis, scale=alt.Scale(nice=False)),
        x2="next_position:Q",
        y=alt.Y(f"{field}:Q", axis=y_axis, scale=alt.Scale(domain=alt.DomainUnionWith(unionWith=[0, least]))),
        y2=alt.datum(0),
        color=alt.value(colour),
    )
    return drawn


def _spans() -> alt.Chart:
    """Shade the baseline."""
    spans = alt.Chart(ROWS).transform_filter("datum.kind === 'span' && datum.label === 'baseline'")
    shaded: alt.Chart = spans.mark_rect().encode(x="position:Q", x2="next_position:Q", color=alt.value("var(--panel)"))
    return shaded


def _lines() -> alt.Chart:
    marks = alt.Chart(ROWS).transform_filter("datum.kind === 'mark'")
    lines: alt.Chart = marks.mark_rule(strokeDash=[3, 3]).encode(x="position:Q", color=alt.value("var(--ink)"))
    return lines


def _names(width: int) -> alt.Chart:
    """Write the name of each mark above the plot, each where it does not meet the next one."""
    marks = alt.Chart(ROWS).transform_filter("datum.kind === 'mark'")
    sides = "datum.label === 'onset' ? 'right' : datum.label === 'peak' ? 'center' : 'left'"
    named: alt.Chart = marks.mark_text(
        align=alt.ExprRef(sides), baseline="bottom", fontSize=12 if width == WIDE else 11, y=-3
    ).encode(x="position:Q", text="label:N", color=alt.value("var(--ink)"))
    return named


def _times(rows: Sequence[Row], width: int) -> alt.Axis:
    ticks = [row for row in rows if row["is_tick"]][:: 1 if width == WIDE else 2]
    labels = {str(int(row["position"])): row["label"] for row in ticks}
    return alt.Axis(
        values=[row["position"] for row in ticks], labelExpr=f"{labels}[datum.value]", grid=False, title=None
    )
