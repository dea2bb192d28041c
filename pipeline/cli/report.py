"""`meshlog report`: the nightly page, its Markdown, JSON and tables, for a day or any span of time."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline.cli.options import lake_option, models_option, timezone_option
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.report.periods import Period


@click.command(short_help="Write the nightly page for a day.")
@lake_option
@timezone_option
@click.option(
    "--date",
    "day",
    metavar="DAY",
    show_default="yesterday",
    help="2026-11-22, yesterday, today, or last: the newest day the lake holds.",
)
@click.option("--since", metavar="TIME", help="Instead of a day: from 1h (ago), 2026-11-23, 2026-11-23T03:00Z on.")
@click.option("--until", metavar="TIME", help="Up to, and without, this time; now by default.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("report"), show_default="./report",
    help="The folder to write index.html, report.md, report.json and tables/ to.",
)  # fmt: skip
@models_option
@click.option("--slo", type=float, metavar="PERCENT", show_default="99.9", help="The share of calls that must succeed.")
@click.option(
    "--slo-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Objectives in TOML: default = 99.9, and a table [services] with \"cart.shop\" = 99.95.",
)  # fmt: skip
@click.option(
    "--format",
    "tables_format",
    type=click.Choice(["parquet", "csv", "json", "none"]),
    default="parquet",
    show_default=True,
    help="How to write the tables beside the page.",
)
def report(
    lake: Path,
    timezone: str,
    day: str | None,
    since: str | None,
    until: str | None,
    out: Path,
    models: Path | None,
    slo: float | None,
    slo_file: Path | None,
    tables_format: Literal["parquet", "csv", "json", "none"],
) -> None:
    """Write a self-contained HTML page for a day, held against the day before and the same weekday of the week before.

    The same is written as report.md and report.json, and the tables behind it as files. docs/report.md tells what each
    section means, and the shape of report.json.

    \b
    Examples:
      meshlog report                                   yesterday, into ./report
      meshlog report --date 2026-11-22 --out /srv/www/mesh --slo 99.95
      meshlog report --since 2026-11-22T09:00Z --until 2026-11-22T11:00Z
      15 0 * * *  meshlog ingest /logs && meshlog report --out /srv/www/mesh       as a cron job

    Exits with 5 where the lake holds nothing of that time.
    """
    from pipeline.report.nightly import write_nightly
    from pipeline.report.objectives import objectives

    wanted = objectives(slo, slo_file)
    period = _period(lake, timezone, day, since, until)
    tables = None if tables_format == "none" else tables_format
    click.echo(write_nightly(lake, period, out, objectives=wanted, tables_format=tables, own_folder=models))


def _period(lake: Path, timezone: str, day: str | None, since: str | None, until: str | None) -> "Period":
    from pipeline.report.periods import day_named, day_period, span_period

    if day and (since or until):
        raise UsageError("--date names a whole day: leave it out, or --since and --until")
    if until and not since:
        raise UsageError("--until needs a --since: a report has a begin")
    if since:
        return span_period(since, until, timezone)
    return day_period(day_named(day or "yesterday", lake, timezone), timezone)
