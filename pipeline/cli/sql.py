"""`meshlog sql`: one query, its answer on stdout."""

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from pipeline.cli.options import answer, models_option, open_window, output_options, window_options
from pipeline.errors import UsageError


@click.command(short_help="Ask one question in SQL.")
@click.argument("query", metavar="QUERY|-", required=False)
@click.option(
    "-f", "--file", type=click.Path(path_type=Path, dir_okay=False), help="Read the query from a file instead."
)
@click.option(
    "-p",
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="The value of $NAME in the query, bound as text: cast it where SQL needs a type, as in $n::int.",
)
@window_options
@models_option
@output_options
def sql(
    query: str | None,
    file: Path | None,
    parameters: tuple[str, ...],
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    models: Path | None,
    format: str | None,
    output: Path | None,
) -> None:
    """Run one query over the lake's tables; `-` reads it from stdin.

    \b
    Examples:
      meshlog sql "from error_rates where errors > 0 order by minute_at"
      meshlog sql "select cause, count(*) from hops group by all" --since 1h
      meshlog sql "from traces" --format parquet -o traces.parquet
      meshlog sql -f question.sql --param service=cart.shop --param least=10
      echo "from loads" | meshlog sql -

    Tables: access_logs, hops, trace_spans, traces, latency_breakdown, error_rates, diagnoses, endpoints,
    service_graph, retries, coverage, quarantine, loads. A query only reads.
    """
    from pipeline.query.lookup import of_query

    text = _query(query, file)
    values = _values(parameters)
    with open_window(lake, since, until, timezone, models, of_query(text)) as session:
        if different := session.parameters(text) ^ values.keys():
            names = ", ".join(f"${name}" for name in sorted(different))
            raise UsageError(f"{names}: in the query or in --param, but not in both. Write: --param NAME=VALUE")
        answer(session, text, format, output, values)


def _query(query: str | None, file: Path | None) -> str:
    """Return the query from where it stands. Raises `UsageError`."""
    from pipeline.query.models import text_of

    if (query is None) == (file is None):
        raise UsageError("one query is needed: as an argument, as - for stdin, or with -f FILE")
    text = text_of(file) if file else sys.stdin.read() if query == "-" else query
    if not text or not text.strip():
        raise UsageError("there is no query: it is empty. Try: meshlog sql 'from traces'")
    return text


def _values(parameters: Iterable[str]) -> dict[str, str]:
    """Return the values of `NAME=VALUE`. Raises `UsageError`."""
    values = {}
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--param {parameter}: write it as NAME=VALUE, and $NAME in the query")
        values[name] = value
    return values
