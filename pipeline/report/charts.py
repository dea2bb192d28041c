"""Draws a page's charts as static SVG, each twice: wide for a screen or paper, narrow for a phone.

The only module that knows Vega-Altair. A drawing needs no script; its colours are CSS variables of the page's style
sheet, so they follow light and dark; and whatever a log wrote is made visible text before it is drawn.
"""

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from pipeline.report.text import ms, visible

Rows = Sequence[dict[str, Any]]

WIDE, NARROW = 1040, 328
"""Pixels: the page's text column, and a phone of 360 without its margins."""

_AXIS_SPACE = 48
_FONT = "system-ui, sans-serif"
PARTS = ("app", "below", "proxy", "network")
"""The parts of a call's time, in the order in which their bars stand; each has a colour --app, --below, ..."""


def error_rate(rows: Rows, description: str) -> Markup:
    """Draw the error rate of every step of time, and under it the requests that it is a rate of."""
    return _both(lambda width: _over_time(rows, width), description)


def latency(rows: Rows, description: str) -> Markup:
    """Draw one bar a service: the mean time of its calls, as the parts that it went to."""
    return _both(lambda width: _parts(rows, width), description)


def waterfall(rows: Rows, description: str) -> Markup:
    """Draw one request: for each call the client's interval, in it the server's; failed calls in their own colour."""
    return _both(lambda width: _intervals(rows, width), description)


def _both(draw: Callable[[int], alt.LayerChart | alt.VConcatChart], description: str) -> Markup:
    wide, narrow = (_svg(draw(width), description) for width in (WIDE, NARROW))
    return Markup('<div class="chart wide">{}</div><div class="chart narrow">{}</div>').format(wide, narrow)


def _svg(chart: alt.LayerChart | alt.VConcatChart, description: str) -> Markup:
    """Render to SVG with one role and one name instead of Vega's own for every mark."""
    styled = chart.configure(
        background="transparent", padding=0, font=_FONT, aria=False, view=alt.ViewConfig(stroke=None)
    ).configure_axis(
        labelColor="var(--muted)", titleColor="var(--muted)", labelFontSize=12, gridColor="var(--line)",
        domainColor="var(--line)", tickColor="var(--line)", titleFontWeight="normal", titleFontSize=12,
    )
    svg: str = vl_convert.vegalite_to_svg(styled.to_dict())
    begin = svg.index(">")
    opening = svg[:begin].replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    named = Markup(' role="img" aria-label="{}"').format(visible(description))
    return Markup(opening) + named + Markup(svg[begin:])  # noqa: S704 (Vega escapes its texts)


def _data(rows: Rows) -> alt.Data:
    return alt.Data(values=list(rows))


# ---------- error rate over time


def _over_time(rows: Rows, width: int) -> alt.VConcatChart:
    data = _data([{name: row[name] for name in _OVER_TIME} for row in rows])
    ticks = {str(row["position"]): row["label"] for row in rows if row["is_tick"]}
    end = max((row["next_position"] for row in rows), default=1)
    plot = width - _AXIS_SPACE - 12

    def x(labels: bool) -> alt.X:
        axis = alt.Axis(
            values=[int(position) for position in ticks], labelExpr=f"{ticks}[datum.value]", labels=labels,
            ticks=labels, grid=False, title=None, labelAlign="left", labelFlush=False, labelOverlap=True,
        )
        return alt.X("position:Q", axis=axis, scale=alt.Scale(domain=[0, end], nice=False))

    gap = alt.BarConfig(stroke="var(--paper)", strokeWidth=0.6)
    bars = alt.Chart(data).mark_rect(stroke=gap.stroke, strokeWidth=gap.strokeWidth)
    rates = bars.transform_filter("datum.failed > 0").encode(
        x=x(False), x2="next_position:Q", y=_y("error_rate:Q", ".0%", "error rate"), y2=alt.datum(0),
        color=alt.value("var(--fail)"),
    )
    succeeded = bars.encode(
        x=x(True), x2="next_position:Q", y=_y("requests:Q", "~s", "requests"), y2=alt.datum(0),
        color=alt.value("var(--calm)"),
    )
    failed = bars.transform_filter("datum.failed > 0").encode(
        x=x(True), x2="next_position:Q", y=_y("failed:Q", "~s", "requests"), y2=alt.datum(0),
        color=alt.value("var(--fail)"),
    )
    above = rates.properties(width=plot, height=130)
    below = alt.layer(succeeded, failed).properties(width=plot, height=80)
    return alt.vconcat(above, below, spacing=16).resolve_scale(x="shared")


_OVER_TIME = ("position", "next_position", "requests", "failed", "error_rate")


def _y(field: str, format_: str, title: str) -> alt.Y:
    axis = alt.Axis(
        format=format_, title=title, titleAngle=0, titleAlign="left", titleAnchor="end", titleX=0, titleY=-8,
        tickCount=3, tickMinStep=0.01 if "%" in format_ else 1, minExtent=_AXIS_SPACE, maxExtent=_AXIS_SPACE,
        domain=False, ticks=False,
    )
    return alt.Y(field, axis=axis, scale=alt.Scale(domainMin=0))


# ---------- rows of bars: a label and a figure beside each bar, or above it where there is no room


def _rows_of_bars(rows: Rows, width: int, bars: Callable[[alt.Chart, alt.X, alt.Y], list[alt.Chart]]) -> alt.LayerChart:
    """Lay out rows with `position`, `label` and `figure`; `bars` draws the marks of one scale."""
    wide = width == WIDE
    left, right = (292, width - 190) if wide else (0, width)
    height, above = (26, 0) if wide else (40, -13)
    base = alt.Chart(_data(rows)).properties(width=width, height=height * max(len(rows), 1))
    y = alt.Y("position:O", axis=None, scale=alt.Scale(padding=0))
    axis = alt.Axis(title=None, labelExpr=_TIME, grid=True, domain=False, ticks=False, tickCount=5 if wide else 3)
    x = alt.X("from:Q", axis=axis, scale=alt.Scale(range=[left, right], domainMin=0, nice=False))
    label = base.mark_text(align="left", baseline="middle", dy=above, fontSize=12.5, limit=left - 12 if wide else width - 130)
    figure = base.mark_text(align="right", baseline="middle", dy=above, fontSize=12.5, limit=right if wide else 126)
    ink = alt.condition("datum.failed", alt.value("var(--fail)"), alt.value("var(--ink)"))
    return alt.layer(
        *bars(base, x, y),
        label.encode(y=y, x=alt.value(0), text="label:N", color=ink),
        figure.encode(y=y, x=alt.value(width), text="figure:N", color=ink),
    )


_TIME = "datum.value >= 1000 ? format(datum.value / 1000, '~g') + ' s' : format(datum.value, '~g') + ' ms'"


def _bar_place(width: int) -> tuple[int, int]:
    """Height of a bar and how far below the middle of its row it stands."""
    return (14, 0) if width == WIDE else (12, 8)


# ---------- latency


def _parts(rows: Rows, width: int) -> alt.LayerChart:
    drawn = [
        {
            "position": position,
            "label": visible(" ".join(filter(None, (row["service"], row["cluster_subset"])))),
            "figure": ms(row["client_avg_ms"]),
            "failed": False,
        }
        | {part: row[f"{part}_avg_ms"] for part in PARTS}
        for position, row in enumerate(rows)
    ]
    height, below = _bar_place(width)

    def bars(base: alt.Chart, x: alt.X, y: alt.Y) -> list[alt.Chart]:
        x = alt.X("time:Q", axis=x.axis, scale=x.scale, stack="zero")
        colour = alt.Color(
            "part:N", legend=None, scale=alt.Scale(domain=list(PARTS), range=[f"var(--{part})" for part in PARTS])
        )
        order = alt.Order("place:Q")
        place = f"indexof({list(PARTS)}, datum.part)"
        folded = base.transform_fold(list(PARTS), as_=["part", "time"]).transform_calculate(place=place)
        return [folded.mark_bar(height=height, yOffset=below).encode(x=x, y=y, color=colour, order=order)]

    return _rows_of_bars(drawn, width, bars)


# ---------- waterfall


def _intervals(rows: Rows, width: int) -> alt.LayerChart:
    height, below = _bar_place(width)

    def bars(base: alt.Chart, x: alt.X, y: alt.Y) -> list[alt.Chart]:
        client = base.mark_bar(height=height, yOffset=below).encode(
            x=alt.X("client_from_ms:Q", axis=x.axis, scale=x.scale), x2="client_to_ms:Q", y=y, color=_failing("wait")
        )
        server = base.mark_bar(height=height - 6, yOffset=below).encode(
            x=alt.X("server_from_ms:Q", axis=x.axis, scale=x.scale), x2="server_to_ms:Q", y=y, color=_failing("app")
        )
        return [
            client.transform_filter("isValid(datum.client_from_ms)"),
            server.transform_filter("isValid(datum.server_from_ms)"),
        ]

    return _rows_of_bars([_call(row) for row in rows], width, bars)


def _failing(colour: str) -> alt.Color:
    failing = "fail" if colour == "app" else "fail-wait"
    return alt.condition("datum.failed", alt.value(f"var(--{failing})"), alt.value(f"var(--{colour})"))


def _call(row: dict[str, Any]) -> dict[str, Any]:
    """Name a call as the waterfall shows it: indented by its depth, its outcome in words and not by colour alone."""
    name = visible(" ".join(filter(None, (row["service"] or "no service", row["cluster_subset"]))))
    again = f" (try {row['attempt']} of {row['attempts']})" if row["attempts"] > 1 else ""
    outcome = " ".join(filter(None, (str(row["response_code"]), row["client_flags"] or row["server_flags"])))
    times = {name: row[name] for name in ("client_from_ms", "client_to_ms", "server_from_ms", "server_to_ms")}
    return times | {
        "position": row["position"],
        "label": "\u00a0\u00a0\u00a0" * min(row["depth"], 8) + name + again,
        "figure": visible(f"{'failed ' if row['is_error'] else ''}{outcome}  {ms(row['duration_ms'])}"),
        "failed": row["is_error"],
    }
