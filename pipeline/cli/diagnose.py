"""`meshlog diagnose`: what went wrong in a window, and who has to change what."""

from pathlib import Path

import click

from pipeline.cli.options import answer, has_colour, open_window, output_options, terminal_width, window_options


@click.command(short_help="Say what went wrong, and who has to change what.")
@window_options
@output_options
def diagnose(
    lake: Path, since: str | None, until: str | None, timezone: str, format: str | None, output: Path | None
) -> None:
    """List the findings, those with the most failed calls first.

    \b
    Examples:
      meshlog diagnose --since 1h
      meshlog diagnose --since 2026-11-22T03:00Z --until 2026-11-22T04:00Z
      meshlog diagnose --format json -o findings.json

    Exits with 5 where the window holds no line at all, and with 0 where nothing went wrong in it.
    """
    from pipeline.query.spoken import finding_lines

    with open_window(lake, since, until, timezone) as session:
        if format or output:
            answer(session, "from diagnoses", format, output)
        else:
            for line in finding_lines(session, terminal_width()):
                click.secho(line.text, bold=line.is_head if has_colour() else None)
