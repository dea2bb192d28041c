"""`meshlog trace`: one request as a waterfall."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import FORMATS, answer, open_window, tell, terminal_width, window_options

if TYPE_CHECKING:
    from pipeline.query.session import Session

DRAWINGS = ("html", "svg")


@click.command(short_help="Show one request as a waterfall.")
@click.argument("request_id", metavar="ID")
@window_options
@click.option("--format", "format", type=click.Choice((*DRAWINGS, *FORMATS)), help="How to write the answer.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of stdout."
)
def trace(
    request_id: str,
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    format: str | None,
    output: Path | None,
) -> None:
    """Show every hop of the requests with this x-request-id (or the start of one), or of one trace_id.

    \b
    Examples:
      meshlog trace 967f8e1a-dbc0-4cce-ad53-ce6a27d5e54c
      meshlog trace 967f8e1a --since 1d
      meshlog trace 967f8e1a -o trace.html            a page with the evidence; .svg: the drawing alone
      meshlog trace 967f8e1a --format json

    A row a hop: whom it called, code, duration, and when within the request. A light bar: the caller waited; a dark
    one: the server had it. ! failed; ^ where the failure began. Exits with 5 where nothing has that id.
    """
    from pipeline.query.lookup import of_request
    from pipeline.query.spoken import spans_of, waterfall_lines

    drawing = format if format in DRAWINGS else output.suffix[1:] if output and not format else None
    with open_window(lake, since, until, timezone, seek=of_request(request_id)) as session:
        if drawing in DRAWINGS:
            _draw(session, request_id, timezone, drawing, output)
        elif format or output:
            answer(session, spans_of(request_id), format, output)
        else:
            tell(waterfall_lines(session, request_id, terminal_width()))


def _draw(session: "Session", request_id: str, timezone: str, drawing: str | None, output: Path | None) -> None:
    from pipeline.export.files import write_pieces
    from pipeline.report.trace import trace_page, trace_svg

    drawn = trace_svg(session, request_id) if drawing == "svg" else trace_page(session, request_id, timezone)
    if output:
        write_pieces([drawn.encode()], output)
    else:
        click.echo(drawn, nl=False)
