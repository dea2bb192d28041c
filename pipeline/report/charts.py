"""Draws a page's charts as static SVG, each twice: wide for a screen or paper, narrow for a phone.

Charts know Vega-Altair, nothing else does. A drawing needs no script; its colours are CSS variables of the page's style
sheet, so they follow light and dark; and whatever a log wrote is made visible text before it is drawn.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from pipeline.report.text import ms, short
from pipeline.text import visible

Row = dict[str, Any]
Spec = dict[str, Any]
"""A Vega-Lite specification that reads the data set "rows"."""

WIDE, NARROW = 1080, 328
"""Pixels: the page's text column, and a phone of 360 without its margins."""

PARTS = ("app", "below", "body", "proxy", "network")
"""The parts of a call's time, in the order in which their bars stand; each has a colour --app, --below, ..."""

ROWS = alt.NamedData("rows")
"""The data set of every specification."""

AXIS_SPACE = 44
"""Pixels left of a plot, for the numbers of its axis."""


def error_rate(rows: Sequence[Row], description: str) -> Markup:
    """Draw the error rate of every step of time, and under it the requests that it is a rate of."""
    drawn = [{name: row[name] for name in _OVER_TIME} for row in rows]
    return both(lambda width: _over_time(rows, width), drawn, description)


def latency(rows: Sequence[Row], description: str) -> Markup:
    """Draw one bar a service: the mean time of its calls, as the parts that it went to."""
    return both(_parts, [_service(position, row) for position, row in enumerate(rows)], description)


def waterfall(rows: Sequence[Row], description: str) -> Markup:
    """Draw one request: for each call the client's interval, in it the server's, in that the application's.

    Calls that failed have their own colours, and say so in words; so does the one where it began.
    """
    return both(_intervals, [_call(row) for row in rows], description)


def waterfall_svg(rows: Sequence[Row], description: str, title: Sequence[str]) -> Markup:
    """Draw one request as `waterfall` does, wide and under lines of a title, for a file of its own."""
    above = {
        "text": [visible(each) for each in title],
        "subtitle": _KEY,
        "color": "var(--ink)",
        "subtitleColor": "var(--muted)",
        "anchor": "start",
        "offset": 14,
    }
    more = {"title": above, "padding": 16, "datasets": {"rows": [_call(row) for row in rows]}}
    return svg(_intervals(WIDE) | more, description)


_KEY = (
    "A bar, from outside: the caller waited; the server's proxy had it; its application and the calls it made, to the "
    "first byte. A cross: failed."
)


def both(spec: Callable[[int], Spec], rows: Sequence[Row], description: str) -> Markup:
    """Draw the specification that `spec` gives for a width twice: wide, and narrow for a phone."""
    wide, narrow = (svg(spec(width) | {"datasets": {"rows": rows}}, description) for width in (WIDE, NARROW))
    return Markup('<div class="chart wide">{}</div><div class="chart narrow">{}</div>').format(wide, narrow)


_VEGAS_ROLES = re.compile(r'(<g[^<>]*?) role="graphics-[^"]*" aria-roledescription="[^"]*"')


def svg(spec: Spec, description: str) -> Markup:
    """Render a specification with its data to SVG, with one role and one name instead of Vega's own for every mark."""
    svg: str = _VEGAS_ROLES.sub(r"\1", vl_convert.vegalite_to_svg(spec))
    opening, rest = svg.split(">", 1)
    opening = opening.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    named = Markup(' role="img" aria-label="{}">').format(visible(description))
    return Markup(opening) + named + Markup(rest)  # noqa: S704 (Vega escapes the texts that it draws)


def spec_of(chart: alt.LayerChart | alt.FacetChart | alt.VConcatChart) -> Spec:
    """Return a chart's specification, in the page's fonts and colours."""
    axis = alt.AxisConfig(
        labelColor="var(--muted)",
        labelFontSize=12,
        titleColor="var(--muted)",
        titleFontSize=12,
        titleFontWeight="normal",
        gridColor="var(--line)",
        domain=False,
        ticks=False,
    )
    view = alt.ViewConfig(stroke=None)
    font = "system-ui, sans-serif"
    styled = chart.configure(background="transparent", padding=0, font=font, aria=False, view=view, axis=axis)
    spec: Spec = styled.to_dict()
    return spec


# ---------- error rate over time

_OVER_TIME = ("position", "next_position", "requests", "failed", "error_rate")


def _over_time(rows: Sequence[Row], width: int) -> Spec:
    above = alt.layer(_steps("error_rate", "var(--fail-fill)", _time_axis([], width), "error rate", ".0%"), data=ROWS)
    axis = _time_axis(rows, width)
    below = alt.layer(
        _steps("requests", "var(--calm)", axis, "requests", "~s"),
        _steps("failed", "var(--fail-fill)", axis, "requests", "~s"),
        data=ROWS,
    )
    plot = width - AXIS_SPACE - 28
    parts = (above.properties(width=plot, height=120), below.properties(width=plot, height=72))
    return spec_of(alt.vconcat(*parts, spacing=20).resolve_scale(x="shared"))


def _steps(field: str, colour: str, axis: alt.Axis, title: str, number: str) -> alt.Chart:
    """Draw a bar for each step of time in which `field` is more than nothing."""
    y_axis = alt.Axis(
        format=number,
        title=title,
        titleAngle=0,
        titleAlign="left",
        titleAnchor="end",
        titleX=0,
        titleY=-8,
        tickCount=2,
        tickMinStep=0.01 if "%" in number else 1,
        minExtent=AXIS_SPACE,
        maxExtent=AXIS_SPACE,
    )
    bars = alt.Chart(ROWS).transform_filter(f"datum.{field} > 0")
    drawn: alt.Chart = bars.mark_rect(stroke="var(--paper)", strokeWidth=0.5).encode(
        x=alt.X("position:Q", axis=axis, scale=alt.Scale(nice=False, domain=_from_zero(1))),
        x2="next_position:Q",
        y=alt.Y(f"{field}:Q", axis=y_axis, scale=alt.Scale(domain=_from_zero(0.01 if "%" in number else 1))),
        y2=alt.datum(0),
        color=alt.value(colour),
    )
    return drawn


def _time_axis(rows: Sequence[Row], width: int) -> alt.Axis:
    """Name the steps that have a tick by their times; a phone has room for every second."""
    ticks = [row for row in rows if row["is_tick"]][:: 1 if width == WIDE else 2]
    labels = {str(row["position"]): row["label"] for row in ticks}
    values = [row["position"] for row in ticks]
    return alt.Axis(values=values, labelExpr=f"{labels}[datum.value]", grid=False, title=None)


def _from_zero(least: float) -> alt.DomainUnionWith:
    """Let a scale reach from 0 to what its data needs, and to `least` where all of it is smaller."""
    return alt.DomainUnionWith(unionWith=[0, least])


# ---------- rows of bars: a label and a figure beside each bar, or above it where there is no room

_TIME = "datum.value >= 1000 ? format(datum.value / 1000, '~g') + ' s' : format(datum.value, '~g') + ' ms'"


def _rows_of_bars(width: int, bars: Sequence[alt.Chart]) -> Spec:
    """Write the `label` and the `figure` of every row to its bars."""
    is_wide = width == WIDE
    row = alt.Chart(ROWS).encode(y=_row(), color=_ink())
    place: dict[str, Any] = {"baseline": "middle", "dy": 0 if is_wide else -13, "fontSize": 12.5}
    indent = alt.ExprRef("14 * datum.indent")
    label = row.mark_text(align="left", dx=indent, **place)
    figure = row.mark_text(align="right", **place)
    texts = (
        label.encode(x=alt.value(0), text=f"{'label' if is_wide else 'short_label'}:N"),
        figure.encode(x=alt.value(width), text=f"{'figure' if is_wide else 'short_figure'}:N"),
    )
    return spec_of(alt.layer(*bars, *texts, data=ROWS, width=width, height=alt.Step(26 if is_wide else 40)))


def _bars(chart: alt.Chart, width: int, inset: int = 0) -> alt.Chart:
    """Draw bars, on a phone under the texts of their rows."""
    bars: alt.Chart = chart.mark_bar(height=14 - inset, yOffset=0 if width == WIDE else 7)
    return bars


def _time(field: str, width: int, figure: int) -> alt.X:
    """Place milliseconds between labels and `figure` pixels of figures; on a phone under both, with room for a tick."""
    left, right = (284, width - figure) if width == WIDE else (0, width - 24)
    axis = alt.Axis(title=None, labelExpr=_TIME, tickCount=5 if width == WIDE else 3, labelFlush=True)
    return alt.X(field, axis=axis, scale=alt.Scale(range=[left, right], nice=False, domain=_from_zero(1)))


def _row() -> alt.Y:
    return alt.Y("position:O", axis=None, scale=alt.Scale(padding=0))


def _ink() -> Any:
    return alt.condition("datum.failed", alt.value("var(--fail)"), alt.value("var(--ink)"))


# ---------- latency


@cache
def _parts(width: int) -> Spec:
    colours = alt.Scale(domain=list(PARTS), range=[f"var(--{part})" for part in PARTS])
    place = f"indexof({list(PARTS)}, datum.part)"
    folded = alt.Chart(ROWS).transform_fold(list(PARTS), as_=["part", "time"]).transform_calculate(place=place)
    bars = _bars(folded, width).encode(
        x=_time("time:Q", width, figure=96).stack("zero"),
        y=_row(),
        color=alt.Color("part:N", legend=None, scale=colours),
        order="place:Q",
    )
    return _rows_of_bars(width, [bars])


def _service(position: int, row: Row) -> Row:
    return {part: row[f"{part}_avg_ms"] for part in PARTS} | {
        "position": position,
        "failed": False,
        **_texts(_name(row), ms(row["client_avg_ms"]), 0),
    }


def _texts(name: str, figure: str, indent: int, short_figure: str | None = None) -> Row:
    """Cut the texts of a row to what a drawing has room for: Vega would measure every letter of long ones, slowly."""
    beside = short(short_figure or figure, 26)
    width = 36 - 2 * indent
    return {
        "indent": indent,
        "figure": short(figure, 36),
        "short_figure": beside,
        "label": short(name, width),
        "short_label": short(name, min(width, 44 - 2 * indent - len(beside))),
    }


def _name(row: Row) -> str:
    return " ".join(filter(None, (row["service"] or "no service", row["cluster_subset"])))


# ---------- waterfall


@cache
def _intervals(width: int) -> Spec:
    intervals = (("client", "wait", "fail-wait", 0), ("server", "proxy", "fail-fill", 5), ("app", "app", "app", 9))
    return _rows_of_bars(width, [_interval(width, *each) for each in intervals])


def _interval(width: int, side: str, colour: str, failed: str, inset: int) -> alt.Chart:
    logged = alt.Chart(ROWS).transform_filter(f"isValid(datum.{side}_from_ms)")
    return _bars(logged, width, inset).encode(
        x=_time(f"{side}_from_ms:Q", width, figure=264),
        x2=f"{side}_to_ms:Q",
        y=_row(),
        color=alt.condition("datum.failed", alt.value(f"var(--{failed})"), alt.value(f"var(--{colour})")),
    )


def _call(row: Row) -> Row:
    """Name a call as the waterfall shows it: indented by its depth, its outcome in words and not by colour alone."""
    again = f" (try {row['attempt']} of {row['attempts']})" if row["attempts"] > 1 else ""
    began = row["cause"] if row["culprit_hop_id"] == row["hop_id"] else None
    answer = " ".join(filter(None, (str(row["response_code"]), row["client_flags"] or row["server_flags"])))
    answer += f", {ms(row['duration_ms'])}"
    failed = "failed " if row["is_error"] else ""
    return {name: row[name] for name in _TIMES} | {
        "position": row["position"],
        "failed": row["is_error"],
        **_texts(
            ("\N{BALLOT X} " if row["is_error"] else "") + _name(row) + again,
            f"{began}: {answer}" if began else failed + answer,
            min(row["depth"], 8),
            f"begun: {answer}" if began else failed + answer,
        ),
    }


_TIMES = ("client_from_ms", "client_to_ms", "server_from_ms", "server_to_ms", "app_from_ms", "app_to_ms")
