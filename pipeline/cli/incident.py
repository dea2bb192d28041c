"""`meshlog incident`: the facts of an incident as a bundle, or where there was one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import answer, has_colour, open_window, output_options, terminal_width, window_options
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.query.session import Window


@click.command(short_help="Write the facts of an incident for its postmortem.")
@click.option("--service", metavar="NAME", help="Only requests in which this service took part.")
@click.option("--baseline", metavar="C..D", help="What to compare with.  [default: as long before the window]")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("incident"), show_default="./incident",
    help="The folder to write the bundle to.",
)  # fmt: skip
@click.option("--find", is_flag=True, help="Propose windows instead, with the command for each.")
@window_options
@output_options
def incident(
    service: str | None,
    baseline: str | None,
    out: Path,
    find: bool,
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    format: str | None,
    output: Path | None,
) -> None:
    """Hold a window against its baseline: onset, peak and recovery, the first failing edge and how the failure spread,
    whom it reached, what changed, findings and examples. Writes index.html, incident.md, incident.json and tables/.

    \b
    Examples:
      meshlog incident --find --since 1d                        where was one?
      meshlog incident --since 2026-11-22T03:00Z --until 2026-11-22T04:00Z --out /srv/www/incident
      meshlog incident --since 1h --service payments.shop
      meshlog incident --since 2026-11-22T03:00 --until 2026-11-22T04:00 \\
          --baseline 2026-11-21T03:00..2026-11-21T04:00         the same hour of the day before

    A baseline may also lie after the window, where nothing older was kept.

    --find takes --format and -o; found or not, it exits with 0. Exits with 5 where the window holds no call.
    """
    if find:
        _find(lake, since, until, timezone, service, format, output)
        return
    if format or output:
        raise UsageError("--format and -o belong to --find. A bundle is a folder: name it with --out")
    if not since:
        raise UsageError("an incident needs its window: --since TIME --until TIME. Or let --find propose some")
    from pipeline.query.window import window
    from pipeline.report.incident import Asked
    from pipeline.report.incident_bundle import write_bundle

    asked = Asked(window(since, until, timezone), _baseline(baseline, timezone), service)
    click.echo(write_bundle(lake, asked, out, timezone))


def _find(
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    service: str | None,
    format: str | None,
    output: Path | None,
) -> None:
    from pipeline.report.incident_windows import propose, window_lines

    with open_window(lake, since, until, timezone) as session:
        query = propose(session, lake, service)
        if format or output:
            answer(session, query, format, output)
        else:
            for line in window_lines(session, query, terminal_width()):
                click.secho(line.text, bold=line.is_head if has_colour() else None)


def _baseline(text: str | None, timezone: str) -> "Window | None":
    from pipeline.query.window import window

    if text is None:
        return None
    since, dots, until = text.partition("..")
    if not (since and dots and until):
        raise UsageError(f"--baseline {text}: is no C..D. Write it like 2026-11-22T02:00Z..2026-11-22T03:00Z")
    return window(since, until, timezone)
