"""`meshlog ask`: a question by its name; its parameters are flags of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import answer, models_option, open_window, output_options, window_options

if TYPE_CHECKING:
    from pipeline.query.questions import Question


class Questions(click.Group):
    """A group whose verbs are the question files, the user's own among them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find --models wherever it stands: it says which names there are."""
        finder = models_option(click.Command("ask", callback=lambda: None, help=None))
        finder.context_settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
        ctx.obj = finder.make_context("ask", list(args), resilient_parsing=True).params["models"]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the questions."""
        from pipeline.query.questions import load_questions

        return list(load_questions(ctx.obj))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Make a command of a question. Raises `UsageError` with near names where there is none."""
        from pipeline.query.questions import load_questions, question_named

        return _command(question_named(cmd_name.replace("-", "_"), load_questions(ctx.obj)))


def _command(question: "Question") -> click.Command:
    """Make the command that answers a question, with a flag for each of its parameters."""

    def run(
        lake: Path,
        since: str | None,
        until: str | None,
        timezone: str,
        format: str | None,
        output: Path | None,
        models: Path | None,
        **typed: str | None,
    ) -> None:
        from pipeline.query.questions import refuse_emptiness, values

        own = models or click.get_current_context().obj
        with open_window(lake, since, until, timezone, own) as session:
            parameters = values(session, question, typed)
            refuse_emptiness(session, question)
            answer(session, question.sql, format, output, parameters)

    shared: Callable[..., Any] = window_options(output_options(models_option(run)))
    command = click.command(question.name, help=f"{question.meaning[:1].upper()}{question.meaning[1:]}.")(shared)
    flags: list[click.Parameter] = [
        click.Option(
            (f"--{parameter.name.replace('_', '-')}", parameter.name),
            metavar=parameter.kind,
            help=parameter.meaning + (f" [default: {parameter.default}]" if parameter.default else ""),
            required=parameter.is_required,
        )
        for parameter in question.parameters
    ]
    command.params = flags + command.params
    return command


@click.command(
    cls=Questions, short_help="Answer a question by its name.", subcommand_metavar="NAME [--PARAMETER VALUE]..."
)
@models_option
def ask(models: Path | None) -> None:
    """Answer one of the named questions.

    \b
    Examples:
      meshlog questions                                  what there is to ask
      meshlog ask slowest_routes --since 1h
      meshlog ask who_calls --service payments.shop --format csv
      meshlog ask slowest_routes --help                  its parameters
    """
