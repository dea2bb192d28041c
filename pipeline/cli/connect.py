"""`meshlog connect`: the same tables for any other DuckDB client."""

from pathlib import Path

import click

from pipeline.cli.options import models_option, open_window, window_options
from pipeline.errors import MeshlogError


@click.command(short_help="Write SQL that gives any DuckDB client the same tables.")
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file, not to stdout.")
@click.option(
    "--tables",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Compute the tables now, into DIR/TABLE.parquet, for any reader of Parquet.",
)
@window_options
@models_option
def connect(
    tables: tuple[str, ...],
    output: Path | None,
    folder: Path | None,
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    models: Path | None,
) -> None:
    """Write SQL that makes the tables of a lake and a window in the duckdb command, DBeaver or a notebook.

    \b
    Examples:
      meshlog connect -o meshlog.sql && duckdb -init meshlog.sql
      meshlog connect hops traces --since 1h -o meshlog.sql      these tables, and what they build on
      meshlog connect --tables ./tables -o meshlog.sql           computed once, as Parquet
      harlequin --init-path meshlog.sql

    access_logs is a view over the lake's files. The tables above it are computed when the client runs the SQL, as
    meshlog itself does when they are first asked for: name those that you need, or compute them once with --tables. The
    named questions are macros: from slowest_routes(_limit := 5). Write it anew after an ingest.
    """
    from pipeline.query.connect import connecting_sql
    from pipeline.query.models import table_named
    from pipeline.query.questions import load_questions

    with open_window(lake, since, until, timezone, models) as session:
        wanted = [table_named(name, session.tables) for name in tables] or session.tables
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            sql = "\n".join(connecting_sql(session, wanted, load_questions(models).values(), folder)) + "\n"
            if output:
                _write_whole(output, sql)
            else:
                click.echo(sql, nl=False)
        except OSError as error:
            raise MeshlogError(f"{error.filename}: cannot be written: {error.strerror}. Name another place") from error


def _write_whole(output: Path, sql: str) -> None:
    """Write a file that appears whole or not at all."""
    temporary = output.with_name(f".{output.name}.tmp")
    try:
        temporary.write_text(sql, encoding="utf-8")
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
