"""`meshlog inspect`: why lines are read as they are."""

from pathlib import Path

import click

FAILED = 1


@click.command(short_help="Explain how files are read, without reading them into a lake.")
@click.argument("paths", nargs=-1, required=True, metavar="FILE...|-")
@click.option("--mapping", type=click.Path(path_type=Path), help="TOML file: which key of a line fills which column.")
@click.option(
    "--lines",
    "most_lines",
    type=click.IntRange(min=0),
    default=100_000,
    show_default=True,
    metavar="N",
    help="Read this many lines of each file, or a little more; 0 for all.",
)
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def inspect(paths: tuple[str, ...], mapping: Path | None, most_lines: int, format: str) -> None:
    """Say what a file is compressed with, which wrappers and which dialect its lines have, which key fills which
    column, how many lines are rows, rejects, noise and blank, and why lines are rejected. Nothing is written.

    \b
    Examples:
      meshlog inspect access.log.gz
      kubectl logs deploy/cart -c istio-proxy | meshlog inspect -
      meshlog inspect custom.log --mapping mapping.toml     try a mapping out
      meshlog inspect night/*.log --format json | jq .counts

    A caret stands under the place for which a line is rejected. JSON is one object a line, one a file.
    Exits with 1 where a file cannot be read to its end.
    """
    from pipeline.ingest.explained import as_json, lines_of
    from pipeline.ingest.fields import DEFAULT, read_mapping
    from pipeline.ingest.inspect import explain
    from pipeline.ingest.sources import expand

    fields = read_mapping(mapping) if mapping else DEFAULT
    has_failed = False
    for number, source in enumerate(expand(paths).sources):
        found = explain(source, fields, most_lines=most_lines)
        has_failed = has_failed or found.problem is not None
        if format == "json":
            click.echo(as_json(found))
        else:
            for line in [""] * (number > 0) + list(lines_of(found)):
                click.echo(line)
    raise click.exceptions.Exit(FAILED if has_failed else 0)
