"""`meshlog shell`: the same questions, interactively."""

from pathlib import Path

import click

from pipeline.cli.options import open_window, window_options


@click.command(short_help="Ask questions in SQL, one after the other.")
@window_options
def shell(lake: Path, since: str | None, until: str | None, timezone: str) -> None:
    """Open an SQL prompt over the lake's tables, with completion, history and timing.

    \b
    Examples:
      meshlog shell --since 1d
      echo "from traces where is_error;" | meshlog shell

    A statement ends with a semicolon. `.tables` lists the tables, `.describe TABLE` its columns, `.quit` leaves.
    Without a terminal the statements are read from stdin, without a prompt.
    """
    from pipeline.cli.prompt import run_prompt

    with open_window(lake, since, until, timezone) as session:
        run_prompt(session)
