"""`meshlog ingest`: read access logs into the lake."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import lake_option
from pipeline.command import INTERRUPTED
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
@click.option("--memory", metavar="SIZE", help="Stay below so much memory: 512MB or more.  [default: about 550MB]")
@click.option("--follow", is_flag=True, help="Go on reading what is added, until SIGTERM or Ctrl-C.")
@click.option(
    "--every",
    type=click.FloatRange(0.1, 3600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="With --follow: how often what was read is committed.",
)
def ingest(
    paths: tuple[str, ...],
    lake: Path,
    labels: tuple[str, ...],
    mapping: Path | None,
    max_rejects: float,
    memory: str | None,
    follow: bool,
    every: float,
) -> None:
    """Read files, folders, globs, object stores and stdin (`-`); what was read before is left out by itself.

    \b
    Examples:
      meshlog ingest /var/log/pods                          a node's logs, as the kubelet keeps them
      meshlog ingest night/*.gz --lake /data/lake
      meshlog ingest s3://logs/mesh/2026-11-22              objects below a prefix, with the usual credentials
      meshlog ingest /var/log/pods --follow                 and what is added, a batch every 5 seconds
      kubectl logs deploy/cart -c istio-proxy | meshlog ingest - --label namespace=shop

    gzip, zstd, bzip2 and xz are told by their content. A line that looks like an access log and cannot be
    read is kept, with the reason: meshlog sql "from quarantine".

    --follow reads through rotation, by renaming or truncating, and new files in a folder. It holds the lake for
    writing all the time; reading goes on. SIGTERM or the end of stdin commits what was read and exits as a
    batch run does; Ctrl-C commits it too, and exits with 130.

    Exit codes: 0 done, 1 failed, or a source could not be read to its end (the others were), 2 usage,
    4 more lines rejected than --max-rejects.
    """
    options: dict[str, Any] = {"mapping": mapping, "labels": _pairs(labels), "memory": _bytes(memory)}
    if follow:
        summary, code = _follow(paths, lake, every, options)
    else:
        from pipeline.cli.progress import progress
        from pipeline.ingest.load import load

        code = 0
        with progress() as show:
            summary = load(paths, lake, progress=show, **options)
        for source, problem in (*summary.problems, *summary.warnings):
            click.echo(visible(problem if problem.startswith(source) else f"{source}: {problem}"), err=True)
    for line in _spoken(summary):
        click.echo(line, err=True)
    raise click.exceptions.Exit(code or _exit_code(summary, max_rejects))


def _bytes(memory: str | None) -> int | None:
    if memory is None:
        return None
    from pipeline.ingest.limits import parse_memory

    return parse_memory(memory)


def _follow(paths: tuple[str, ...], lake: Path, every: float, options: dict[str, Any]) -> "tuple[Summary, int]":
    """Follow until a signal comes; returns what was done and 130 after Ctrl-C."""
    from pipeline.ingest.follow import follow

    received, has_to_stop = _signals()
    summary = follow(
        paths,
        lake,
        every=every,
        has_to_stop=has_to_stop,
        tell=lambda text: click.echo(visible(text), err=True),
        **options,
    )
    return summary, INTERRUPTED if signal.SIGINT in received else 0


def _signals() -> tuple[list[int], Callable[[], bool]]:
    """Note SIGTERM and SIGINT instead of dying of them; a second one ends the process as usual."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, note)
    return received, lambda: bool(received)


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
        yield f"left out, no logs by their names, or no files: {visible(', '.join(summary.skipped))}"
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
