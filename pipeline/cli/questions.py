"""`meshlog questions`: the questions that `meshlog ask` answers."""

from pathlib import Path

import click

from pipeline.cli.options import models_option, terminal_width


@click.command(short_help="List the questions that have a name.")
@models_option
def questions(models: Path | None) -> None:
    """List the named questions, what each answers, and its parameters with their types and defaults.

    \b
    Examples:
      meshlog questions
      meshlog ask slowest_routes --since 1h
      meshlog questions --models ./ours          with those of your own folder

    Every question is one SQL file; your own go into DIR/questions/NAME.sql.
    """
    from pipeline.query.questions import load_questions, question_lines

    for line in question_lines(load_questions(models), terminal_width()):
        click.echo(line)
