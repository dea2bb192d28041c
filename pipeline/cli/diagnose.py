"""`meshlog diagnose`: what went wrong in a window, and who has to change what."""

from pathlib import Path

import click

from pipeline.cli.options import answer, open_window, output_options, tell, terminal_width, window_options


@click.command(short_help="Say what went wrong, and who has to change what.")
@click.option("--explain", metavar="ID", help="Show the lines and the rules behind the verdict on one request.")
@window_options
@output_options
def diagnose(
    explain: str | None,
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    format: str | None,
    output: Path | None,
) -> None:
    """List the findings, those with the most failed calls first.

    \b
    Examples:
      meshlog diagnose --since 1h
      meshlog diagnose --since 2026-11-22T03:00Z --until 2026-11-22T04:00Z
      meshlog diagnose --format json -o findings.json
      meshlog diagnose --explain 967f8e1a-dbc0-4cce-ad53-ce6a27d5e54c

    --explain takes an x-request-id, the start of one, or a hop_id, and shows of every failing call both sides' lines as
    logged, how they were paired, and the rule that decided.

    Exits with 5 where the window holds no line at all, or none of that id, and with 0 where nothing went wrong in it.
    """
    from pipeline.query.explained import explanation_lines, explanation_of
    from pipeline.query.spoken import finding_lines

    with open_window(lake, since, until, timezone) as session:
        if format or output:
            answer(session, explanation_of(explain) if explain else "from diagnoses", format, output)
        else:
            width = terminal_width()
            tell(explanation_lines(session, explain, width) if explain else finding_lines(session, width))
