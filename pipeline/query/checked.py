"""Whether a window keeps to thresholds: the rows of the question `thresholds`, and what they say in words."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from pipeline.errors import NoDataError
from pipeline.query.models import question
from pipeline.query.session import Session
from pipeline.query.spoken import Line, folded
from pipeline.text import visible

Row = dict[str, Any]


def judged(session: Session, parameters: Mapping[str, str]) -> list[Row]:
    """Return the rows of the question `thresholds`. Raises `NoDataError` where the window holds no line."""
    if not session.rows("select 1 from access_logs limit 1"):
        raise NoDataError("the lake holds no access-log line in this window. See what it holds: meshlog status")
    return session.rows(question("thresholds"), parameters)


def is_kept(rows: list[Row]) -> bool:
    """Say whether every threshold that could be judged holds. Raises `NoDataError` where none could be."""
    if any(row["is_met"] is False for row in rows):
        return False
    if not any(row["is_met"] for row in rows):
        raise NoDataError("nothing could be judged: too few requests. Take a longer window, or lower --min-requests")
    return True


def verdict_lines(rows: list[Row], width: int) -> Iterator[Line]:
    """Put the answer into words: each broken threshold, then a line for those that held, then what was not judged."""
    broken = [row for row in rows if row["is_met"] is False]
    for row in broken:
        for line in _told("FAILED", f"{_subject(row)}: {row['reason']}", width):
            yield Line(line.text, is_head=True)
    for measure, group in groupby((row for row in rows if row["is_met"]), lambda row: row["measure"]):
        held = list(group)
        if measure == "cause":
            # one service may be free of a cause that another shows
            shown = {row["cause"] for row in broken}
            absent = dict.fromkeys(row["cause"] for row in held if row["cause"] not in shown)
            if absent:
                yield from _told("held", f"no call shows {', '.join(absent)}", width)
        else:
            others = f"{len(held)} services, the nearest " if len(held) > 1 else ""
            yield from _told("held", f"{others}{_subject(held[0])}: {held[0]['reason']}", width)
    for reason, group in groupby((row for row in rows if row["is_met"] is None), lambda row: row["reason"]):
        yield from _told("open", f"{', '.join(dict.fromkeys(map(_subject, group)))}: {reason}", width)
    yield Line(f"{len(broken)} of {len(rows)} checks failed.")


def _subject(row: Row) -> str:
    return row["service"] or ("outside the mesh" if row["measure"] == "cause" else "the whole mesh")


def _told(word: str, text: str, width: int) -> Iterator[Line]:
    yield from folded(f"{word:<7} ", visible(text), width)
