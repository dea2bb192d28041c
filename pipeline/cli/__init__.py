"""The command `meshlog`: one file a verb; each reads its flags, calls one function and picks an exit code.

Nothing heavy is imported before a verb runs, so that help and completion answer at once.
"""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from pipeline import __version__
from pipeline.cli.ask import ask
from pipeline.cli.check import check
from pipeline.cli.connect import connect
from pipeline.cli.diagnose import diagnose
from pipeline.cli.export import export
from pipeline.cli.graph import graph
from pipeline.cli.incident import incident
from pipeline.cli.ingest import ingest
from pipeline.cli.inspect import inspect
from pipeline.cli.mesh import mesh
from pipeline.cli.questions import questions
from pipeline.cli.report import report
from pipeline.cli.shell import shell
from pipeline.cli.sql import sql
from pipeline.cli.status import status
from pipeline.cli.trace import trace
from pipeline.command import INTERRUPTED, leave
from pipeline.errors import MeshlogError
from pipeline.text import visible

# no verb uses linear algebra, whose threads, started with NumPy, spin for a tenth of a second before they sleep
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# libraries make many objects when they are loaded, and no garbage: looking for it took a quarter of the start
gc.set_threshold(100_000)


class Meshlog(click.Group):
    """The verbs together; every error becomes one message on stderr and a documented exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb that was typed."""
        pressed: list[int] = []
        try:
            with _interrupts(pressed):
                return super().invoke(ctx)
        except MeshlogError as error:
            lines = (visible(line) for line in str(error).splitlines())
            click.echo("meshlog: " + "\n".join(lines), err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            _interrupted(ctx)
        except OSError as error:
            # what is left of stdout goes nowhere: Python would complain when it flushes it at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                ctx.exit(0)
            click.echo(f"meshlog: {visible(str(error.filename or 'output'))}: {error.strerror}", err=True)
            ctx.exit(1)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception:
            # DuckDB makes errors of its own of an interrupt, while it loads and later
            if not pressed:
                raise
            _interrupted(ctx)


@contextmanager
def _interrupts(pressed: list[int]) -> Iterator[None]:
    """Let Ctrl-C be an exception where it would end the command at once, and keep in mind that it was pressed."""

    def interrupt(number: int, _: object) -> NoReturn:
        pressed.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not leave:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, leave)


def _interrupted(ctx: click.Context) -> NoReturn:
    click.echo("meshlog: interrupted; what was committed before stays", err=True)
    ctx.exit(INTERRUPTED)


@click.group(
    cls=Meshlog,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Pairs the two sides of every call in Istio's Envoy access logs, and says who is to blame and why.

    \b
    Examples:
      meshlog ingest /var/log/pods               read access logs into ./lake
      meshlog diagnose --since 1h                what went wrong, and who has to change what
      meshlog trace 967f8e1a-dbc0-4cce-ad53      one request as a waterfall
      meshlog report --date 2026-11-22 --out .   yesterday as a page
      meshlog check --since 1h --slo 99.9        thresholds, for cron and CI
      meshlog incident --find --since 1d         where was an incident, and the command for its facts
      meshlog sql "from error_rates"             any question, in SQL

    \b
    Exit codes: 0 done, 1 failed, 2 usage, 3 a check failed, 4 more lines rejected than allowed,
    5 no data in the window, 130 interrupted.
    """,
)
@click.version_option(__version__, prog_name="meshlog")
def cli() -> None:
    """Hold the verbs together."""


VERBS = (
    *(ingest, inspect, mesh, status),
    *(diagnose, trace, graph, report, incident, check, export),
    *(sql, shell, questions, ask, connect),
)

for verb in VERBS:
    cli.add_command(verb)
