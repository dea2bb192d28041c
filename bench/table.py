"""Prints figures as text in columns, or as Markdown."""

from collections.abc import Iterable, Sequence

from bench.goals import Goal
from bench.measure import Contender

FIGURES = ("lines", "program", "wall s", "CPU s", "MB/s", "peak MB", "Parquet MB", "rows", "its time / ours")

GOALS = ("goal", "target", "measured", "")


def figures(style: str, contenders: Iterable[Contender], megabytes: float) -> list[Sequence[str]]:
    """A row a contender; MB/s are of text, however it is compressed."""
    contenders = list(contenders)
    ours = contenders[0]
    return [_figures(style, contender, ours, megabytes) for contender in contenders]


def _figures(style: str, contender: Contender, ours: Contender, megabytes: float) -> Sequence[str]:
    if contender.failure:
        return (style, contender.name, f"failed: {contender.failure[:100]}", *[""] * 6)
    return (
        style,
        contender.name,
        f"{contender.wall:.2f}",
        f"{contender.cpu:.2f}",
        f"{megabytes / contender.wall:.0f}",
        f"{contender.peak:.0f}",
        f"{contender.parquet_bytes / 1e6:.1f}" if contender.rows else "",
        f"{contender.rows:,}" if contender.rows else "",
        f"{contender.wall / ours.wall:.2f}" if ours.runs and not ours.failure else "",
    )


def goals(reached: Iterable[Goal]) -> list[Sequence[str]]:
    """A row a goal, the word at its end."""
    return [(goal.what, goal.target, goal.measured, "ok" if goal.is_met else "MISSED") for goal in reached]


def show(header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> None:
    """Print a table; the first two columns stand left."""
    if markdown:
        print(f"| {' | '.join(header)} |")
        print(f"|{'|'.join('---' if place < 2 else '---:' for place in range(len(header)))}|")
        for row in rows:
            print(f"| {' | '.join(row)} |")
    else:
        widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
        for row in (header, *rows):
            cells = (
                cell.ljust(width) if place < 2 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            print("  ".join(cells).rstrip())
    print(flush=True)
