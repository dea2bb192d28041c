"""`meshlog status`: what the lake holds."""

from pathlib import Path

import click

from pipeline.cli.options import answer, lake_option, open_window, output_options, timezone_option


@click.command(short_help="Say what the lake holds.")
@lake_option
@timezone_option
@output_options
def status(lake: Path, timezone: str, format: str | None, output: Path | None) -> None:
    """Count what was read into the lake, and the time it spans.

    \b
    Examples:
      meshlog status
      meshlog status --lake /data/lake --format json
      meshlog sql "from loads order by loaded_at desc"     every source and ingest
    """
    from pipeline.query.models import question
    from pipeline.query.spoken import status_lines

    with open_window(lake, None, None, timezone) as session:
        if format or output:
            answer(session, question("lake_status"), format, output)
        else:
            for line in status_lines(session, lake):
                click.echo(line)
