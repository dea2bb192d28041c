"""What a query may do: read the session's tables, and nothing else.

Two layers, for neither is enough alone. DuckDB's own settings close the file system but for the session's folders, the
network, extensions, Python's variables and the settings themselves; but what is open for reading is open for writing.
So a statement has to be one that only reads, to its last part: DuckDB calls `with x as (copy ...) select` a select.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipeline.errors import QueryError
from pipeline.query.statements import quoted

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
"""Settings that a session's connection begins with."""

_READING = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
"""What the parts of a query are called that only read; DuckDB's others write tables or files."""

_NODES = "select json_serialize_sql($sql::varchar)::json ->> '$..type'"

_EXPLAIN = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/)*explain\b\s*(analyze\b|\([^)]*\))?", re.IGNORECASE | re.DOTALL)

_WRITING_WORD = re.compile(r"(?i)\b(copy|insert|update|delete|truncate|merge)\b")


def lock_down(connection: duckdb.DuckDBPyConnection, folders: Iterable[Path]) -> None:
    """Let the connection open files in `folders` alone, and no statement change that."""
    allowed = ", ".join(quoted(str(folder.resolve())) for folder in folders)
    connection.execute(f"set allowed_directories = [{allowed}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def refuse_writing(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise `QueryError` unless `sql` is one statement that only reads."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"one statement at a time: found {len(statements)}")
    kind, text = statements[0].type, statements[0].query
    if kind == duckdb.StatementType.EXPLAIN:
        refuse_writing(connection, _EXPLAIN.sub("", text, count=1))
    elif kind == duckdb.StatementType.SELECT:
        _refuse_writing_parts(connection, text)
    elif kind == duckdb.StatementType.MULTI:
        # a pivot: DuckDB does not tell the parts of one
        if word := _WRITING_WORD.search(text):
            raise QueryError(f"a pivot with the word {word[0]!r} in it is refused: nothing tells whether it writes")
    else:
        raise _refusal(kind.name)


def _refuse_writing_parts(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    types = connection.execute(_NODES, {"sql": sql}).fetchall()[0][0]
    nodes = [name for name in types if name and name.endswith("_NODE")]
    for name in nodes:
        if name not in _READING:
            raise _refusal(name.removesuffix("_NODE").removesuffix("_QUERY"))
    if not nodes:
        raise QueryError("the query cannot be told to be one that only reads. Write a select")


def _refusal(kind: str) -> QueryError:
    article = "an" if kind[0] in "AEIOU" else "a"
    return QueryError(f"{article} {kind.lower()} statement is refused: queries only read. Write results with -o FILE")
