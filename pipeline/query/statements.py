"""The text of SQL statements: where one ends, what it reads, and how a string stands in one."""

import re
from collections.abc import Iterable

import duckdb

_READ = """
    select tree ->> '$..table_name' as tables, tree ->> '$..function_name' as functions
    from (select json_serialize_sql($sql::varchar)::json as tree)
"""

_BY_STRING = {"query", "query_table"}
"""Functions whose arguments name the tables that they read."""


def end_of_statement(sql: str) -> int | None:
    """Return the offset behind the first semicolon that ends a statement, None where none does yet.

    DuckDB's own tokens decide, so a semicolon in a string or a comment ends nothing.
    """
    text = sql.encode()
    for offset, _ in duckdb.tokenize(sql):
        if text[offset : offset + 1] == b";":
            return len(text[: offset + 1].decode())
    return None


def named_in(connection: duckdb.DuckDBPyConnection, sql: str, names: Iterable[str]) -> set[str]:
    """Return those of `names` that `sql` reads as tables; a column of a table's name makes none.

    Where DuckDB does not tell what a statement reads (a pivot, an explain, a table named in a string), those that occur
    as words: every table that it can need, and at worst some too many.
    """
    tables, functions = connection.execute(_READ, {"sql": sql}).fetchall()[0]
    read = {table.lower() for table in tables}
    if not read or not _BY_STRING.isdisjoint(functions):
        read = set(re.findall(r"\w+", re.sub(r"--[^\n]*", "", sql).lower()))
    return {name for name in names if name in read}


def without_semicolon(sql: str) -> str:
    """Return one statement as it can stand in brackets: without its semicolon and what follows it."""
    end = end_of_statement(sql)
    return sql if end is None else sql[: end - 1]


def quoted(text: str) -> str:
    """Return `text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def says_something(sql: str) -> bool:
    """Say whether a text holds more than blanks, comments and semicolons."""
    text = sql.encode()
    return any(
        kind != duckdb.token_type.comment and text[offset : offset + 1] != b";" for offset, kind in duckdb.tokenize(sql)
    )


def split_statements(sql: str) -> tuple[list[str], str]:
    """Return the statements that end in a text, and what follows the last of them."""
    ended = []
    while (end := end_of_statement(sql)) is not None:
        ended.append(sql[:end].strip())
        sql = sql[end:]
    return [each for each in ended if says_something(each)], sql
