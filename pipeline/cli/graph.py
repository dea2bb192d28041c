"""`meshlog graph`: who calls whom, as rows or as text that other programs draw."""

import sys
from pathlib import Path

import click

from pipeline.cli.options import FORMATS, answer, open_window, tell, terminal_width, window_options

DRAWINGS = ("mermaid", "dot")


@click.command(short_help="Say who calls whom, and how well, as a table or a drawing.")
@window_options
@click.option("--format", "format", type=click.Choice([*FORMATS, *DRAWINGS]), help="How to write the graph.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of stdout."
)
def graph(
    lake: Path, since: str | None, until: str | None, timezone: str, format: str | None, output: Path | None
) -> None:
    """Write the service graph: an edge for each pair of a calling and a called service, with its calls, error rate and
    95th percentile. A drawing shows an edge thick and red where a call in twenty failed, orange where one in a hundred.

    \b
    Examples:
      meshlog graph --since 1h
      meshlog graph --format mermaid                      to paste into a Markdown page, in a mermaid block
      meshlog graph --format dot | dot -Tsvg > mesh.svg   with Graphviz
      meshlog graph -o mesh.mmd                           the suffix tells the format: .mmd, .dot, .csv, ...

    Exits with 5 where nobody called anybody in the window.
    """
    from pipeline.query.graph import drawing_of, drawn, edge_lines, edges_of
    from pipeline.query.models import question
    from pipeline.query.render import replacing

    drawing = drawing_of(format, output)
    with open_window(lake, since, until, timezone) as session:
        edges = edges_of(session)
        if drawing is None and (format or output):
            answer(session, question("service_edges"), format, output)
        elif drawing is None:
            tell(edge_lines(edges, terminal_width()))
        elif output:
            with replacing(output) as file:
                file.write(drawn(edges, drawing).encode())
        else:
            sys.stdout.write(drawn(edges, drawing))
