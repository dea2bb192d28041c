"""The flags that several verbs share, each defined once, and where their answers go."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.query.session import Seek, Session, Window
    from pipeline.query.spoken import Line

Verb = TypeVar("Verb", bound=Callable[..., Any])

FORMATS = ("table", "csv", "json", "jsonl", "md", "parquet")
"""As `pipeline.query.render.FORMATS`, which must not be imported for help; a test holds the two together."""

lake_option = click.option(
    "--lake",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="MESHLOG_LAKE",
    default=Path("lake"),
    show_default="./lake",
    help="The folder of Parquet files to use. [env: MESHLOG_LAKE]",
)

timezone_option = click.option("--tz", "timezone", default="UTC", show_default=True, help="Time zone of all times.")

models_option = click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="MESHLOG_MODELS",
    help="A folder of your own models (*.sql) and questions (questions/*.sql). [env: MESHLOG_MODELS]",
)

_since = click.option("--since", metavar="TIME", help="From this time on: 1h (ago), 2026-11-23, 2026-11-23T03:00Z.")
_until = click.option("--until", metavar="TIME", help="Up to, and without, this time.")
_format = click.option("--format", "format", type=click.Choice(FORMATS), help="How to write the answer.")
_output = click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of stdout."
)


def window_options(verb: Verb) -> Verb:
    """Add `--lake`, `--since`, `--until` and `--tz`."""
    return lake_option(_since(_until(timezone_option(verb))))


def output_options(verb: Verb) -> Verb:
    """Add `--format` and `-o`."""
    return _format(_output(verb))


def open_window(
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    models: Path | None = None,
    seek: "Seek | None" = None,
) -> "Session":
    """Open a session on the window that was typed, and say on stderr what that is; see `open_session`."""
    from pipeline.query.session import open_session
    from pipeline.query.window import window, zone

    zone(timezone)
    chosen = window(since, until, timezone)
    if chosen.since or chosen.until:
        click.echo(f"window: {_spoken(chosen, timezone)}", err=True)
    return open_session(lake, chosen, timezone, models, seek)


def answer(
    session: "Session",
    query: str,
    format: str | None,
    output: Path | None,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Write a query's answer to the file or to stdout."""
    from pipeline.query.render import format_of, write_answer, write_file

    kind = format_of(format, output)
    if output:
        write_file(session, query, output, kind, parameters)
        return
    if sys.stdout.isatty():
        click.echo(as_seen(session, query, kind, parameters), nl=False, color=has_colour())
    else:
        write_answer(session, query, sys.stdout.buffer, kind, parameters=parameters)
        sys.stdout.flush()


def as_seen(session: "Session", query: str, kind: str, parameters: Mapping[str, Any] | None = None) -> str:
    """Return an answer as a person sees it in the terminal: no wider than that, and nothing in it steers it."""
    import io

    from pipeline.query.render import write_answer
    from pipeline.text import visible

    if kind == "parquet":
        raise UsageError("Parquet is not for a terminal. Write it to a file with -o FILE")
    written = io.BytesIO()
    write_answer(session, query, written, kind, width=terminal_width(), colour=has_colour(), parameters=parameters)
    text = written.getvalue().decode()
    return text if kind in ("table", "md") else "\n".join(visible(line) for line in text.split("\n"))


def tell(lines: "Iterable[Line]") -> None:
    """Print lines of text, those that head others in bold where stdout takes colour."""
    for line in lines:
        click.echo(click.style(line.text, bold=True) if line.is_head and has_colour() else line.text)


def terminal_width() -> int:
    """Return the columns of the terminal, 100 where there is none."""
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def has_colour() -> bool:
    """Say whether stdout takes colour: a terminal, and NO_COLOR is not set."""
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _spoken(window: "Window", timezone: str) -> str:
    from pipeline.query.window import zone

    def spoken(moment: Any) -> str:
        return moment.astimezone(zone(timezone)).isoformat(timespec="seconds") if moment else "open"

    return f"[{spoken(window.since)}, {spoken(window.until)})"
