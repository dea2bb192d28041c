"""Draws many small charts of one kind beside each other, with one scale, so that their shapes can be compared."""

from collections.abc import Sequence
from itertools import groupby

import altair as alt
from markupsafe import Markup

from pipeline.report.charts import ROWS, WIDE, Row, Spec, both, spec_of
from pipeline.report.text import count, rate, short

_COLUMNS = {True: 4, False: 2}
_GAP, _AXIS = 28, 34
_FIELDS = ("place", "position", "next_position", "error_rate")


def error_rates(rows: Sequence[Row], description: str) -> Markup:
    """Draw one chart a cluster from rows of `cluster_errors_over_time`; a line below it tells when it was called."""
    titles = [_title(next(group)) for _, group in groupby(rows, key=lambda row: row["place"])]
    drawn = [{name: row[name] for name in _FIELDS} for row in rows]
    return both(lambda width: _grid(titles, width), drawn, description)


def _title(row: Row) -> tuple[str, str]:
    """Name a cluster, and say in words what its chart shows."""
    name = " ".join(filter(None, (row["service"] or row["upstream_cluster"] or "no cluster", row["cluster_subset"])))
    return name, f"{count(row['all_errors'])} failed, at worst {rate(row['worst_rate'])}"


def _grid(titles: Sequence[tuple[str, str]], width: int) -> Spec:
    columns = _COLUMNS[width == WIDE]
    plot = (width - columns * _AXIS - (columns - 1) * _GAP) / columns
    charts = [_small(place, title, plot) for place, title in enumerate(titles, 1)]
    return spec_of(alt.concat(*charts, columns=columns, spacing=_GAP, data=ROWS).resolve_scale(x="shared", y="shared"))


def _small(place: int, title: tuple[str, str], plot: float) -> alt.LayerChart:
    name, figures = title
    own = alt.Chart().transform_filter(f"datum.place == {place}")
    x = alt.X("position:Q", axis=None, scale=alt.Scale(nice=False))
    axis = alt.Axis(format=".0%", title=None, tickCount=2, tickMinStep=0.01, minExtent=_AXIS, maxExtent=_AXIS)
    y = alt.Y("error_rate:Q", axis=axis, scale=alt.Scale(domain=alt.DomainUnionWith(unionWith=[0, 0.01])))
    called = own.mark_rule(color="var(--calm)", strokeWidth=2).encode(x=x, x2="next_position:Q", y=alt.datum(0))
    bars = own.transform_filter("datum.error_rate > 0").mark_rect(color="var(--fail-fill)")
    heading = alt.TitleParams(
        short(name, int(plot // 7.2)),
        subtitle=figures,
        anchor="start",
        frame="group",
        color="var(--ink)",
        fontSize=12.5,
        fontWeight="normal",
        subtitleColor="var(--muted)",
        subtitleFontSize=12,
        offset=10,
    )
    failed = bars.encode(x=x, x2="next_position:Q", y=y, y2=alt.datum(0))
    return alt.LayerChart(layer=[called, failed], width=plot, height=64, title=heading)
