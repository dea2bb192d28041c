"""What a question about one request needs: the lines around that request, not all of the window's.

The models are the same; they see fewer lines. What a verdict may rest on beside the request's own calls (a host that
was ejected before, clocks, names) is found up to `MARGIN` before and after it, less in a lake so busy that this would
take long; a window of that length, given with --since and --until, would say the same.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from pipeline.query.session import MARGIN, Seek, Window

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


def of_request(identifier: str, *, is_whole: bool = False) -> Seek:
    """Look for the lines around a request, with which its rows are what they would be with all lines.

    `identifier` is a request id or, unless it `is_whole`, the start of one, or another kind of id. What is returned
    gives None where the request lasts too long for it to pay, or where there may be no such request.
    """
    return lambda connection: _lines_around(connection, identifier, is_whole)


def of_query(sql: str) -> Seek:
    """Look for the lines that a query needs: those around a request where it asks for one."""

    def seek(connection: duckdb.DuckDBPyConnection) -> Window | None:
        request = request_asked_for(connection, sql)
        return None if request is None else _lines_around(connection, request, True)

    return seek


def _lines_around(connection: duckdb.DuckDBPyConnection, identifier: str, is_whole: bool) -> Window | None:
    first, last = _found(connection, identifier, is_whole)
    if first is None:
        # no hop has a request id that no line has; a trace or hop may be named by something else
        return _NOWHERE if is_whole else None
    if last - first > LONGEST:
        return None
    near = {"since": first - MARGIN, "until": last + MARGIN, "most": LINES_AROUND}
    margin = MARGIN * _row(connection, _MARGIN, near)[0]
    return Window(first - margin, last + margin)


def _found(connection: duckdb.DuckDBPyConnection, identifier: str, is_whole: bool) -> tuple[Any, ...]:
    if is_whole or len(identifier) == UUID_LENGTH:
        # the files' Bloom filters find a whole id at once; a UUID is hardly the start of another one
        found = _row(connection, _FOUND, {"id": identifier})
        if is_whole or found[0]:
            return found
    return _row(connection, _FOUND_BY_START, {"id": identifier})


def _row(connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(sql, parameters).fetchall()[0]
    return row


def request_asked_for(connection: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """Return the request id that a query limits itself to: `select ... from hops where request_id = '...' and ...`.

    None for any other query, also for one that names a second table anywhere.
    """
    (serialised,) = _row(connection, "select json_serialize_sql($sql::varchar)::varchar", {"sql": sql})
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
