"""The service graph as text that other programs draw: Mermaid for Markdown pages and wikis, DOT for Graphviz.

Every figure comes from the question `service_edges`. Names come from logs and so from strangers: nodes are numbered,
and a name is only ever a label, escaped so that neither Mermaid nor Graphviz finds syntax, markup or a link in it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import NoDataError
from pipeline.query.models import question
from pipeline.query.session import Session
from pipeline.query.spoken import Line
from pipeline.text import visible

Row = dict[str, Any]

OUTSIDE = "outside the mesh"

_STYLES = {"failing": ("#c62828", 3), "impaired": ("#b45309", 2)}
"""Colour and width of a line by health; the label says the same in figures."""

_SUFFIXES = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot"}


def drawing_of(chosen: str | None, output: Path | None) -> str | None:
    """Return `mermaid` or `dot` where a user chose it or a file's suffix tells it, else None."""
    kind = chosen or (_SUFFIXES.get(output.suffix) if output else None)
    return kind if kind in _SUFFIXES.values() else None


def drawn(edges: list[Row], kind: str) -> str:
    """Write edges as `mermaid` or `dot`."""
    return as_mermaid(edges) if kind == "mermaid" else as_dot(edges)


def edges_of(session: Session) -> list[Row]:
    """Return the edges of the window's service graph. Raises `NoDataError` where there is none."""
    edges = session.rows(question("service_edges"))
    if not edges:
        raise NoDataError("no service was called in this window. See what the lake holds: meshlog status")
    return edges


def edge_lines(edges: list[Row], width: int) -> Iterator[Line]:
    """Put edges into words, each caller above those that it calls, at most `width` columns wide but for long names."""
    by_client: dict[str, list[Row]] = {}
    for edge in edges:
        by_client.setdefault(_client(edge), []).append(edge)
    longest = min(max(len(visible(edge["service"])) for edge in edges), max(20, width - 51))
    for client, called in by_client.items():
        yield Line(visible(client), is_head=True)
        for edge in called:
            calls, failed, *percentile = _figures(edge)
            mark = "" if edge["health"] == "well" else "!"
            yield Line(
                f"  -> {visible(edge['service']):<{longest}} {calls:>13}  {failed:>13} {mark:1}"
                f"  {''.join(percentile)}".rstrip()
            )


def as_mermaid(edges: list[Row]) -> str:
    """Write edges as a Mermaid flowchart."""
    numbers = _numbers(edges)
    lines = ["flowchart LR"]
    lines += [f'    n{number}["{_mermaid_text(name)}"]' for name, number in numbers.items()]
    for edge in edges:
        client, server = numbers[_client(edge)], numbers[edge["service"]]
        lines.append(f'    n{client} -->|"{"<br/>".join(_figures(edge))}"| n{server}')
    for position, edge in enumerate(edges):
        if style := _STYLES.get(edge["health"]):
            lines.append(f"    linkStyle {position} stroke:{style[0]},stroke-width:{style[1]}px")
    return "\n".join(lines) + "\n"


def as_dot(edges: list[Row]) -> str:
    """Write edges as a Graphviz digraph."""
    import graphviz

    numbers = _numbers(edges)
    graph = graphviz.Digraph(
        "services",
        graph_attr={"rankdir": "LR"},
        node_attr={"shape": "box", "fontname": "sans-serif"},
        edge_attr={"fontname": "sans-serif", "fontsize": "10"},
    )
    for name, number in numbers.items():
        graph.node(f"n{number}", label=graphviz.nohtml(_dot_text(name)))
    for edge in edges:
        client, server = numbers[_client(edge)], numbers[edge["service"]]
        colour, width = _STYLES.get(edge["health"], (None, None))
        graph.edge(
            f"n{client}",
            f"n{server}",
            label=r"\n".join(_figures(edge)),
            color=colour,
            fontcolor=colour,
            penwidth=str(width) if width else None,
        )
    return str(graph.source)


def _numbers(edges: list[Row]) -> dict[str, int]:
    """Number the services in the order of the edges, callers before called."""
    names = dict.fromkeys(name for edge in edges for name in (_client(edge), edge["service"]))
    return {name: number for number, name in enumerate(names)}


def _client(edge: Row) -> str:
    return edge["client_service"] or OUTSIDE


def _figures(edge: Row) -> list[str]:
    """Put an edge's figures into a few words, one a line; nothing in them comes from a log."""
    words = [f"{edge['calls']:,} calls", f"{edge['error_rate']:.1%} failed"]
    if edge["p95_ms"] is not None:
        words.append(f"p95 {edge['p95_ms']:,.0f} ms")
    return words


def _mermaid_text(text: str) -> str:
    """Write what could mean something to Mermaid, Markdown or HTML as Mermaid's entity codes, such as `#34;`."""
    return re.sub(r"[^A-Za-z0-9 ._/-]|^ | $", lambda found: f"#{ord(found[0])};", visible(text) or " ")


def _dot_text(text: str) -> str:
    """Let backslashes and what looks like an entity stand for themselves in a label."""
    return visible(text).replace("\\", r"\\").replace("&", "&amp;")
