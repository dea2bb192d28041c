"""`meshlog report`: the nightly page and tables for one day."""

from pathlib import Path
from typing import Literal

import click

from pipeline.cli.options import lake_option, timezone_option


@click.command(short_help="Write the nightly page for a day.")
@lake_option
@timezone_option
@click.option(
    "--date",
    "day",
    default="yesterday",
    show_default=True,
    metavar="DAY",
    help="2026-11-22, yesterday, today, or last: the newest day the lake holds.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("report"), show_default="./report",
    help="The folder to write index.html and tables/ to.",
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
    lake: Path, timezone: str, day: str, out: Path, tables_format: Literal["parquet", "csv", "json", "none"]
) -> None:
    """Write one self-contained HTML page for a day, against the day before, and its tables as files.

    \b
    Examples:
      meshlog report                                   yesterday, into ./report
      meshlog report --date 2026-11-22 --out /srv/www/mesh --format csv
      15 0 * * *  meshlog ingest /logs && meshlog report --out /srv/www/mesh       as a cron job

    Exits with 5 where the lake holds nothing of that day.
    """
    from pipeline.report.days import day_named
    from pipeline.report.nightly import write_nightly

    chosen = day_named(day, lake, timezone)
    tables = None if tables_format == "none" else tables_format
    page = write_nightly(lake, chosen, out, timezone=timezone, tables_format=tables)
    click.echo(page)
