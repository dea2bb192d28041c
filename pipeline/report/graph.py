"""Draws the service graph as a picture: callers left of those they call, failing edges in colour.

NetworkX puts the services into layers, those that call each other in a circle into one; where they stand within a layer
is chosen so that few edges cross.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import altair as alt
import networkx as nx
from markupsafe import Markup

from pipeline.report.charts import WIDE, Row, Spec, spec_of, svg
from pipeline.report.text import count, rate, short

OUTSIDE = "outside the mesh"
"""Who calls where no calling service is known."""

_SWEEPS = 6
_ROW, _MARGIN, _DOT = 50, 28, 7
_NAMES = 282
"""Pixels for the names left of the first layer."""

Place = tuple[float, float]
Node = Any
"""A service's name, or the place where an edge passes a layer: (caller, called, layer)."""


def service_graph(edges: Sequence[Row], description: str) -> Markup:
    """Draw edges of `graph_edges`; on a phone the picture scrolls in its own box."""
    if not edges:
        return Markup("")
    routes = {(edge["client_service"] or OUTSIDE, edge["service"]): edge for edge in edges}
    layers, ways = _layered(routes)
    places = _placed(layers)
    height = max(y for _, y in places.values()) + _MARGIN
    lines = [
        point
        for pair, way in ways.items()
        for point in _line(routes[pair], pair, [places[node] for node in way], _step(layers))
    ]
    called = {edge["service"]: edge for edge in edges}
    dots = [
        {"x": x, "y": y, **_texts(node, called.get(node), _room(x, layers))}
        for node, (x, y) in places.items()
        if isinstance(node, str)
    ]
    spec = _picture(height) | {"datasets": {"lines": lines, "dots": dots}}
    return Markup('<div class="chart picture">{}</div>').format(svg(spec, description))


# ---------- where things stand


def _layered(routes: Iterable[tuple[str, str]]) -> tuple[list[list[Node]], dict[tuple[str, str], list[Node]]]:
    """Return the layers from left to right, each in its order, and for each edge the nodes that it passes."""
    graph = nx.DiGraph(list(routes))
    circles = nx.condensation(graph)
    layer_of = {
        service: depth
        for depth, generation in enumerate(nx.topological_generations(circles))
        for circle in generation
        for service in circles.nodes[circle]["members"]
    }
    layers: dict[int, list[Node]] = defaultdict(list)
    for service in sorted(layer_of):
        layers[layer_of[service]].append(service)
    ways: dict[tuple[str, str], list[Node]] = {}
    for caller, called in graph.edges:
        passed = [(caller, called, depth) for depth in range(layer_of[caller] + 1, layer_of[called])]
        ways[caller, called] = [caller, *passed, called]
        for node in passed:
            layers[node[2]].append(node)
    ordered = [layers[depth] for depth in sorted(layers)]
    _uncross(ordered, ways.values())
    return ordered, ways


def _uncross(layers: list[list[Node]], ways: Iterable[list[Node]]) -> None:
    """Move each node to the middle of its neighbours, from the left and from the right in turn."""
    before, after = defaultdict(list), defaultdict(list)
    for way in ways:
        for left, right in pairwise(way):
            before[right].append(left)
            after[left].append(right)
    for sweep in range(_SWEEPS):
        neighbours, order = (before, layers) if sweep % 2 == 0 else (after, layers[::-1])
        for fixed, layer in pairwise(order):
            at = {node: place / len(fixed) for place, node in enumerate(fixed)}
            here = {node: place / len(layer) for place, node in enumerate(layer)}
            known = {node: [at[each] for each in neighbours[node] if each in at] or [here[node]] for node in layer}
            layer.sort(key=lambda node: sum(known[node]) / len(known[node]))


def _placed(layers: list[list[Node]]) -> dict[Node, Place]:
    """Return each node's pixels; the tallest layer fills the height, the others stand in its middle."""
    tallest = max(map(len, layers))
    return {
        node: (_NAMES + depth * _step(layers), _MARGIN + _ROW * (place + (tallest - len(layer) + 1) / 2))
        for depth, layer in enumerate(layers)
        for place, node in enumerate(layer)
    }


def _step(layers: Sequence[list[Node]]) -> float:
    """Return the pixels from one layer to the next."""
    return (WIDE - _NAMES - _MARGIN) / max(len(layers) - 1, 1)


# ---------- what is drawn


def _line(edge: Row, pair: tuple[str, str], places: list[Place], step: float) -> list[Row]:
    """Return the points of an edge's curve, which arrives level: between the two texts left of the called service."""
    (x_from, y_from), (x_to, y_to) = places[0], places[-1]
    level = min(130, 0.55 * step)
    if x_to > x_from:
        curve = [*places[:1], (x_from + 30, y_from), *places[1:-1], (x_to - level, y_to), (x_to - level / 2, y_to)]
    else:  # back to the left, or within a layer: around below
        curve = [*places[:1], (x_from + 70, y_from + 26), (x_to - 70, y_to + 26)]
    curve.append((x_to - _DOT, y_to))
    shared = {"edge": " to ".join(pair), "failed": edge["errors"] > 0, "weight": edge["weight"]}
    return [{"x": x, "y": y, "step": step, **shared} for step, (x, y) in enumerate(curve)]


def _room(x: float, layers: Sequence[list[Node]]) -> float:
    """Return the pixels for the texts left of a service at `x`: up to the layer before it, or the picture's edge."""
    return (_NAMES if x == _NAMES else min(_step(layers), _NAMES)) - 3 * _DOT


def _texts(service: str, edge: Row | None, room: float) -> Row:
    """Name a service, and say how many calls it got and how many of them failed."""
    figures = "" if edge is None else f"{count(edge['service_calls'])} calls"
    if edge and edge["service_errors"]:
        figures += f", {rate(edge['service_error_rate'])} failed"
    return {
        "label": short(service, int(room / 7.7)),
        "figures": figures,
        "failed": bool(edge and edge["service_errors"]),
    }


def _picture(height: float) -> Spec:
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, WIDE], range=[0, WIDE]))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, height], range=[0, height]))
    failed = alt.condition("datum.failed", alt.value("var(--fail-fill)"), alt.value("var(--calm)"))
    lines = alt.Chart(alt.NamedData("lines")).encode(x=x, y=y, detail="edge:N", order="step:Q")
    curves = lines.mark_line(interpolate="basis").encode(
        color=failed,
        strokeWidth=alt.StrokeWidth("weight:Q", legend=None, scale=alt.Scale(domain=[1, 7], range=[1.25, 6])),
    )
    services = alt.Chart(alt.NamedData("dots")).encode(x=x, y=y)
    ink = alt.condition("datum.failed", alt.value("var(--fail)"), alt.value("var(--ink)"))
    dots = services.mark_circle(size=_DOT**2 * 2, opacity=1).encode(color=ink)
    muted = alt.condition("datum.failed", alt.value("var(--fail)"), alt.value("var(--muted)"))
    texts = [*_with_halo(services, "label", ink, -9), *_with_halo(services, "figures", muted, 16)]
    return spec_of(alt.layer(curves, dots, *texts, width=WIDE, height=height))


def _with_halo(services: alt.Chart, field: str, colour: Any, dy: int) -> list[alt.Chart]:
    """Write a text, under it the same in the paper's colour and bolder, which keeps lines away from the letters."""
    place: dict[str, Any] = {"align": "right", "dx": -_DOT - 4, "dy": dy, "fontSize": 12}
    halo = services.mark_text(
        stroke="var(--paper)", strokeWidth=4, strokeJoin="round", color="var(--paper)", **place
    ).encode(text=f"{field}:N")
    return [halo, services.mark_text(**place).encode(text=f"{field}:N", color=colour)]
