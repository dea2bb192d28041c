"""`meshlog sql`: one query, its answer on stdout."""

import sys
from pathlib import Path

import click

from pipeline.cli.options import answer, open_window, output_options, window_options
from pipeline.errors import UsageError


@click.command(short_help="Ask one question in SQL.")
@click.argument("query", metavar="QUERY|-")
@window_options
@output_options
def sql(
    query: str, lake: Path, since: str | None, until: str | None, timezone: str, format: str | None, output: Path | None
) -> None:
    """Run one query over the lake's tables; `-` reads it from stdin.

    \b
    Examples:
      meshlog sql "from error_rates where errors > 0 order by minute_at"
      meshlog sql "select cause, count(*) from hops group by all" --since 1h
      meshlog sql "from traces" --format parquet -o traces.parquet
      meshlog sql - < question.sql

    Tables: access_logs, hops, trace_spans, traces, latency_breakdown, error_rates, diagnoses, endpoints,
    service_graph, retries, coverage, quarantine, loads. A query only reads.
    """
    if query == "-":
        query = sys.stdin.read()
    if not query.strip():
        raise UsageError("there is no query: it is empty. Try: meshlog sql 'from traces'")
    from pipeline.query.lookup import for_query

    with open_window(lake, since, until, timezone) as window, for_query(window, query) as session:
        answer(session, query, format, output)
