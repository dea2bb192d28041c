"""`meshlog trace`: one request as a waterfall."""

from pathlib import Path

import click

from pipeline.cli.options import answer, has_colour, open_window, output_options, terminal_width, window_options


@click.command(short_help="Show one request as a waterfall.")
@click.argument("request_id", metavar="ID")
@window_options
@output_options
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
      meshlog trace 967f8e1a --format json

    A row a hop: from whom to whom, code, duration, and when within the request. Exits with 5 where nothing has that id.
    """
    from pipeline.query.lookup import around
    from pipeline.query.spoken import spans_of, waterfall_lines

    with open_window(lake, since, until, timezone) as window, around(window, request_id) as session:
        if format or output:
            answer(session, spans_of(request_id), format, output)
        else:
            for line in waterfall_lines(session, request_id, terminal_width()):
                click.secho(line.text, bold=line.is_head if has_colour() else None)
