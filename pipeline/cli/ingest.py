"""`meshlog ingest`: read access logs into the lake."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import lake_option
from pipeline.errors import UsageError
from pipeline.text import visible

if TYPE_CHECKING:
    from pipeline.ingest.load import Summary

FAILED = 1

TOO_MANY_REJECTS = 4


@click.command(short_help="Read access logs into the lake.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...|-")
@lake_option
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Fill pod, namespace, node, or a key of extra.")
@click.option("--mapping", type=click.Path(path_type=Path), help="TOML file: which key of a line fills which column.")
@click.option(
    "--max-rejects",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help="Exit with 4 where more of the lines were rejected.",
)
def ingest(
    paths: tuple[str, ...], lake: Path, labels: tuple[str, ...], mapping: Path | None, max_rejects: float
) -> None:
    """Read files, folders, globs and stdin (`-`); what was read before is left out by itself.

    \b
    Examples:
      meshlog ingest /var/log/pods                          a node's logs, as the kubelet keeps them
      meshlog ingest night/*.gz --lake /data/lake
      kubectl logs deploy/cart -c istio-proxy | meshlog ingest - --label namespace=shop

    gzip, zstd, bzip2 and xz are told by their content. A line that looks like an access log and cannot be
    read is kept, with the reason: meshlog sql "from quarantine".
    """
    from pipeline.cli.progress import progress
    from pipeline.ingest.load import load

    with progress() as show:
        summary = load(paths, lake, mapping=mapping, labels=_pairs(labels), progress=show)
    for line in _spoken(summary):
        click.echo(line, err=True)
    raise click.exceptions.Exit(_exit_code(summary, max_rejects))


def _pairs(labels: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for label in labels:
        key, equals, value = label.partition("=")
        if not key or not equals:
            raise UsageError(f"--label {label}: is no key=value. Write it like --label namespace=shop")
        pairs[key] = value
    return pairs


def _spoken(summary: "Summary") -> Iterator[str]:
    """Put into words what an ingest did, what it left out first."""
    if summary.skipped:
        yield f"left out, not logs by their names: {visible(', '.join(summary.skipped))}"
    for source, problem in summary.problems:
        yield visible(problem if problem.startswith(source) else f"{source}: {problem}")
    counts = summary.counts
    sources = f"{summary.sources_read:,} sources read, {summary.sources_unchanged:,} unchanged"
    yield f"{sources}: {counts.lines:,} lines = {counts.rows:,} rows + {counts.rejects:,} rejects + " + (
        f"{counts.noise:,} noise + {counts.blank:,} blank"
    )
    if counts.rejects:
        yield 'see why: meshlog sql "select source, line_number, reason from quarantine"'


def _exit_code(summary: "Summary", max_rejects: float) -> int:
    """Choose the exit code: a source that failed outweighs rejected lines."""
    if summary.sources_failed:
        return FAILED
    counts = summary.counts
    return TOO_MANY_REJECTS if counts.rejects * 100 > max_rejects * counts.lines else 0
