"""Proposes windows that look like incidents, from how many calls failed or were slow on the edges of the whole mesh."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import NoDataError
from pipeline.query.session import Session
from pipeline.query.spoken import Line, folded
from pipeline.report import text
from pipeline.report.evidence import Evidence
from pipeline.report.incident import find_phases
from pipeline.text import visible

Row = dict[str, Any]

EDGES = 40
"""How many edges, those with the most bad calls, are searched beside the requests."""

LEAST_EXCESS = 5
"""How many more bad calls than usual a run has to have to be proposed."""


def propose(session: Session, root: Path, service: str | None = None) -> str:
    """Prepare the session and return the query whose rows are the proposed windows, in the order of time.

    Raises `NoDataError` where the session's window holds no call, or none of the service.
    """
    held = session.rows("select min(started_at) as since, max(started_at) as until from hops")[0]
    if held["since"] is None:
        raise NoDataError("the lake holds no call in this window. See what it holds: meshlog status")
    evidence = Evidence(session)
    window = {"since": held["since"].isoformat(), "until": held["until"].isoformat()}
    no_baseline = {"baseline_since": None, "baseline_until": None}
    # the last call belongs to it
    evidence.keep("calls", service=service, since=window["since"], until="infinity", **no_baseline)
    if not session.rows("select 1 from incident_calls limit 1"):
        raise NoDataError(f"no call in this window in which {service} took part")
    find_phases(evidence, EDGES, window, no_baseline)
    flags = ["--lake", str(root.resolve()), *(["--service", service] if service else [])]
    return evidence.query("windows", least=LEAST_EXCESS, flags=f" {shlex.join(flags)}")


def window_lines(session: Session, query: str, width: int) -> Iterator[Line]:
    """Put the proposed windows into words, each with the command that looks into it, folded to `width` columns."""
    windows = session.rows(query)
    if not windows:
        calls = session.rows("select count(*) as calls from incident_calls")[0]["calls"]
        yield Line(f"No incident found in {calls:,} calls: no share of failed or slow calls changed for the worse.")
    for number, window in enumerate(windows, 1):
        yield from _window(number, window, width)


def _window(number: int, row: Row, width: int) -> Iterator[Line]:
    zone = row["onset_at"].tzinfo
    until = text.clock(row["recovered_at"], zone) if row["recovered_at"] else "the end of the lines"
    yield Line(f"{number}. {text.clock(row['onset_at'], zone, True)} to {until}", is_head=True)
    edge = f"{row['client_service'] or 'outside'} -> {row['service'] or 'no service'}"
    told = {
        "began at": edge,
        "requests": f"{row['failed_requests']:,} failed and {row['slow_requests']:,} slow of {row['requests']:,}",
        "calls": f"{row['bad_calls']:,} bad calls began in the mesh",
    }
    for name, value in told.items():
        yield from folded(f"   {name:<9}", visible(value), width)
    yield Line(f"   {visible(row['command'])}")
    yield Line("")
