"""What a question about one request needs: the lines around that request, not all of the window's.

The models are the same; they see fewer lines. What a verdict may rest on beside the request's own calls (a host that
was ejected before, clocks, names) is found up to `MARGIN` before and after it, less in a lake so busy that this would
take long; a window of that length, given with --since and --until, would say the same.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.query.session import MARGIN, Session, Window, open_session

LINES_AROUND = 12_000
"""About so many lines are read around a request at most: what the models deal with in a fraction of a second."""

LONGEST = timedelta(minutes=10)
"""A request that lasts longer, or an id that a client repeats for longer, is looked for in the whole window."""

UUID_LENGTH = 36

_NOWHERE = Window(datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))

BY_REQUEST = {"hops", "trace_spans", "traces"}
"""Tables of which a row belongs to one request."""

_FOUND = """
    select
        min(started_at) as first_at,
        max(started_at + to_milliseconds(coalesce(duration_ms, 0))) as last_at,
    from lake_access_logs
    where request_id = $id
"""

_FOUND_BY_START = _FOUND.replace("request_id = $id", "starts_with(request_id, $id)")

_MARGIN = """
    select least(1, $most / greatest(1, count(*))) as share
    from lake_access_logs
    where started_at between $since and $until
"""


@contextmanager
def around(session: Session, identifier: str, *, is_whole: bool = False) -> Iterator[Session]:
    """Give a session in which a request's rows are those of `session`, but that sees only the lines around it.

    `identifier` is a request id or, unless it `is_whole`, the start of one, or another kind of id. Where the request
    lasts too long for it to pay, and where the models have their tables already, that is `session` itself.
    """
    lines = None if "hops" in session.built else _lines_around(session, identifier, is_whole)
    if lines is None:
        yield session
        return
    with open_session(session.root, session.window, session.timezone, lines=lines) as narrow:
        yield narrow


@contextmanager
def for_query(session: Session, sql: str) -> Iterator[Session]:
    """Give the session that answers a query soonest: one around a request where it asks for one, else `session`."""
    request = request_asked_for(session, sql)
    if request is None:
        yield session
        return
    with around(session, request, is_whole=True) as narrow:
        yield narrow


def _lines_around(session: Session, identifier: str, is_whole: bool) -> Window | None:
    found = _found(session, identifier, is_whole)
    first, last = found["first_at"], found["last_at"]
    if first is None:
        # no hop has a request id that no line has; a trace or hop may be named by something else
        return _NOWHERE if is_whole else None
    if last - first > LONGEST:
        return None
    near = {"since": first - MARGIN, "until": last + MARGIN, "most": LINES_AROUND}
    margin = MARGIN * session.rows(_MARGIN, near)[0]["share"]
    return Window(first - margin, last + margin)


def _found(session: Session, identifier: str, is_whole: bool) -> dict[str, Any]:
    if is_whole or len(identifier) == UUID_LENGTH:
        # the files' Bloom filters find a whole id at once; a UUID is hardly the start of another one
        found = session.rows(_FOUND, {"id": identifier})[0]
        if is_whole or found["first_at"]:
            return found
    return session.rows(_FOUND_BY_START, {"id": identifier})[0]


def request_asked_for(session: Session, sql: str) -> str | None:
    """Return the request id that a query limits itself to: `select ... from hops where request_id = '...' and ...`.

    None for any other query, also for one that names a second table anywhere.
    """
    # as text, as it would load Arrow for nothing
    serialised = session.texts("select json_serialize_sql($sql::varchar) as tree", {"sql": sql}).rows[0][0]
    tree = json.loads(serialised or "{}")
    if tree.get("error") or len(tree["statements"]) != 1 or len(list(_tables(tree))) != 1:
        return None
    node = tree["statements"][0]["node"]
    if node["type"] != "SELECT_NODE" or (node["from_table"] or {}).get("table_name") not in BY_REQUEST:
        return None
    return _request_in(node["where_clause"])


def _tables(tree: Any) -> Iterator[str]:
    """Every place in which a query reads rows from something."""
    if isinstance(tree, dict):
        if "table_name" in tree or tree.get("type") in ("TABLE_FUNCTION", "SUBQUERY"):
            yield tree.get("table_name", "")
        for part in tree.values():
            yield from _tables(part)
    elif isinstance(tree, list):
        for part in tree:
            yield from _tables(part)


def _request_in(condition: dict[str, Any] | None) -> str | None:
    if condition is None:
        return None
    if condition["type"] == "CONJUNCTION_AND":
        return next(filter(None, map(_request_in, condition["children"])), None)
    if condition["type"] != "COMPARE_EQUAL":
        return None
    column, value = condition["left"], condition["right"]
    if column["type"] == "VALUE_CONSTANT":
        column, value = value, column
    if column.get("column_names", [""])[-1] == "request_id" and value.get("literal", {}).get("kind") == "STRING":
        return str(value["literal"]["text"])
    return None
