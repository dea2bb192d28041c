"""`meshlog shell`: the same questions, interactively."""

from pathlib import Path

import click

from pipeline.cli.options import models_option, open_window, window_options


@click.command(short_help="Ask questions in SQL, one after the other.")
@window_options
@models_option
def shell(lake: Path, since: str | None, until: str | None, timezone: str, models: Path | None) -> None:
    """Open an SQL prompt over the lake's tables, with completion, history and timing.

    \b
    Examples:
      meshlog shell --since 1d
      echo "from traces where is_error;" | meshlog shell

    A statement ends with a semicolon, on as many lines as it needs. `.tables` lists the tables, `.describe TABLE` its
    columns, `.ask NAME` answers a named question, `.format csv` changes how answers are written, `.help` tells more.
    Tab completes. Long answers go through $PAGER. The history is kept in $XDG_STATE_HOME/meshlog.

    Without a terminal the statements are read from stdin, without a prompt; the first that fails ends the run.
    """
    from pipeline.cli.prompt import run_prompt

    with open_window(lake, since, until, timezone, models) as session:
        run_prompt(session, models)
