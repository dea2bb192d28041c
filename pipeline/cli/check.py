"""`meshlog check`: thresholds, for cron and CI."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.cli.options import answer, open_window, output_options, tell, terminal_width, window_options
from pipeline.query.thresholds import MIN_REQUESTS, THRESHOLDS, limits

A_CHECK_FAILED = 3


def threshold_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add a flag for every threshold."""
    for one in reversed(THRESHOLDS):
        verb = click.option(f"--{one.name.replace('_', '-')}", one.name, type=float, metavar="NUMBER", help=one.says)(
            verb
        )
    return verb


@click.command(short_help="Hold a window against thresholds, for cron and CI.")
@window_options
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of thresholds, also of single services.")
@threshold_options
@click.option("--slo", type=float, metavar="PERCENT", help="The calls of each service that must succeed, such as 99.9.")
@click.option("--no-cause", multiple=True, metavar="CAUSE", help="A cause that must not occur, such as app_down.")
@click.option(
    "--min-requests",
    type=int,
    metavar="N",
    help=f"Judge no rate or percentile of fewer requests.  [default: {MIN_REQUESTS}]",
)
@output_options
def check(
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    format: str | None,
    output: Path | None,
    config: Path | None,
    no_cause: tuple[str, ...],
    **numbers: float | None,
) -> None:
    """Say which thresholds a window breaks: those of each service, and those of the whole mesh.

    \b
    Examples:
      meshlog check --since 1h --max-error-rate 0.01 --max-p99-ms 500
      meshlog check --since 1h --slo 99.9 --max-burn-rate 14.4
      meshlog check --since 1d --no-cause app_down --max-unpaired-rate 0.05 --max-rejected-rate 0
      meshlog check --since 1h --config thresholds.toml --format json

    \b
    A thresholds file says the same, and what differs for a service; a flag outweighs its general part:
      max_error_rate = 0.01
      no_cause = ["app_down"]
      [services."payments.shop"]
      max_error_rate = 0.001

    Exit codes: 0 all hold, 3 one is broken, 2 usage, 5 no line in the window, or too few requests to judge any.
    """
    from pipeline.query.checked import is_kept, judged, verdict_lines
    from pipeline.query.models import question

    flags: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    asked = limits(flags | ({"no_cause": [*no_cause]} if no_cause else {}), config)
    parameters = {"limits": json.dumps(asked)}
    with open_window(lake, since, until, timezone) as session:
        rows = judged(session, parameters)
        if format or output:
            answer(session, question("thresholds"), format, output, parameters)
        else:
            tell(verdict_lines(rows, terminal_width()))
    raise click.exceptions.Exit(0 if is_kept(rows) else A_CHECK_FAILED)
