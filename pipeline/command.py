"""Where the command `meshlog` begins: Ctrl-C ends it without a word while Python still loads what a verb needs.

Once a verb runs, the interrupt is an exception there, so that it can close what it opened. This module imports next to
nothing, not even `signal`, which would take as long as all else before the first line of ours.
"""

import _signal as signal  # type: ignore[import-not-found]  # what `signal` wraps
import os

INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    # a shell may have started it in the background, deaf to Ctrl-C
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
    from pipeline.cli import cli

    cli()


def leave(*_: object) -> None:
    """End at once."""
    os._exit(INTERRUPTED)
