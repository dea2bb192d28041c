"""Traces as other tools want them: for each side of a hop that was logged one span, with attributes by convention.

What a span is, when it was and which attributes it has, the question `exported_spans` says; here its rows only become
objects, trace by trace, so that a window of any size passes through a bounded memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from pipeline.errors import NoDataError
from pipeline.query.models import question
from pipeline.query.session import Session
from pipeline.text import visible

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Span:
    """One side of a hop. Ids are hex, times microseconds since 1970; `side` is client or server."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    hop_id: str
    side: str
    service: str
    name: str
    started_us: int
    ended_us: int
    failed: bool
    status_message: str | None
    attributes: dict[str, Any]
    """Strings, integers and lists of strings, by their names in OpenTelemetry's conventions."""


_FIXED = (
    "trace_started_at", "trace_id", "span_id", "parent_span_id", "hop_id", "side", "service", "name", "started_at",
    "ended_at", "failed", "status_message",
)  # fmt: skip


def exported_traces(session: Session, ids: Sequence[str]) -> Iterator[list[Span]]:
    """Yield the traces that ids name (request ids or their starts, trace ids, hop ids), or all of the window's.

    Raises `NoDataError` where an id names none, and where the window has none at all.
    """
    for identifier in ids:
        _refuse_unknown(session, identifier)
    spans = _spans(session, ids)
    first = next(spans, None)
    if first is None:
        raise NoDataError("no request began in this window. See what the lake holds: meshlog status")
    yield from _by_trace(first, spans)


def _by_trace(first: Span, others: Iterator[Span]) -> Iterator[list[Span]]:
    def all_spans() -> Iterator[Span]:
        yield first
        yield from others

    for _, spans in groupby(all_spans(), attrgetter("trace_id")):
        yield list(spans)


def _spans(session: Session, ids: Sequence[str]) -> Iterator[Span]:
    for batch in session.batches(question("exported_spans"), {"ids": list(ids)}):
        for row in batch.to_pylist():
            yield _span(row)


def _span(row: dict[str, Any]) -> Span:
    own = {name: row.pop(name) for name in _FIXED}
    return Span(
        trace_id=own["trace_id"],
        span_id=own["span_id"],
        parent_span_id=own["parent_span_id"],
        hop_id=own["hop_id"],
        side=own["side"],
        service=own["service"],
        name=own["name"],
        started_us=_microseconds(own["started_at"]),
        ended_us=_microseconds(own["ended_at"]),
        failed=own["failed"],
        status_message=own["status_message"],
        attributes={name: value for name, value in row.items() if value is not None},
    )


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _refuse_unknown(session: Session, identifier: str) -> None:
    found = session.rows(
        "select 1 from trace_spans where starts_with(request_id, $id) or $id in (trace_id, hop_id) limit 1",
        {"id": identifier},
    )
    if not found:
        raise NoDataError(f"no request with the id {visible(identifier)} began in this window. Try without --since")
