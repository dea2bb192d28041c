"""A session written down as SQL, so that any DuckDB client sees the same tables without meshlog.

What a session holds before a model is built (views over the lake's files, the window, the ledger, Envoy's flags) is
written as DuckDB itself describes it, so names and paths are quoted by the engine that reads them. Models above the
staging layer become tables, as in a session: as views over views they take a minute to define alone.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline import __version__
from pipeline.query.models import INTERNAL, in_order, reads
from pipeline.query.questions import Question
from pipeline.query.session import Session
from pipeline.query.statements import named, named_in, quoted, without_semicolon

HEADER = f"""\
-- The tables of meshlog {__version__} for any DuckDB client, over the lake's files as they are now: write this anew
-- after an ingest.
--   duckdb      duckdb -init meshlog.sql
--   Harlequin   harlequin --init-path meshlog.sql
--   notebook    connection.execute(open("meshlog.sql").read())
--   DBeaver     a DuckDB connection's settings, Initialization, bootstrap queries
-- A question is a macro whose parameters begin with _: from slowest_routes(_limit := 5)
"""


def connecting_sql(
    session: Session, tables: Iterable[str], questions: Iterable[Question], folder: Path | None
) -> Iterator[str]:
    """Yield the statements that make `tables`, what they build on, and those of `questions` that need no more.

    Where `folder` is given, the tables are computed now, into one Parquet file each there, and become views of these;
    else the client computes them. The session has built nothing yet. Raises `QueryError` and `OSError`.
    """
    yield HEADER
    # what sum_no_overflow does faster, which DuckDB kept to itself before 2.0
    yield "create or replace macro sum_bigint(number) as sum(number)::bigint;"
    yield from _base(session)
    wanted = set(tables)
    models = in_order(session.models, wanted)
    if folder:
        staging = [model.name for model in models if model.layer == "staging"]
        needed = wanted | {model.name for model in in_order(session.models, staging)}
        for model in models:
            if model.name in INTERNAL and reads(model, session.models) <= needed:
                needed.add(model.name)
        models = [model for model in models if model.name in needed]
    for model in models:
        kind, select = "table", without_semicolon(model.sql).strip().replace("sum_no_overflow(", "sum_bigint(")
        if model.layer == "staging" or model.name in INTERNAL:
            kind = "view"
        elif folder:
            file = folder.resolve() / f"{model.name}.parquet"
            session.copy(f"from {model.name} order by {', '.join(model.key)}", file, "format parquet, compression zstd")
            kind, select = "view", f"from read_parquet({quoted(str(file))})"
        yield f"create or replace {kind} {model.name} as\n{select}\n;"
        yield f"comment on {kind} {model.name} is {quoted(model.grain)};"
    made = {model.name for model in models}
    for question in questions:
        if named_in(session.connection, question.sql, session.models) <= made:
            yield _macro(question)


def _base(session: Session) -> Iterator[str]:
    """Write down the views and tables that stand before the models."""
    session.lay_open(" ".join(session.datasets))
    zone = session.rows("select current_setting('TimeZone') as zone")[0]["zone"]
    yield f"set timezone = {quoted(zone)};"
    for view in session.rows("select sql from duckdb_views() where not internal order by view_name"):
        yield re.sub("^CREATE VIEW", "create or replace view", view["sql"])
    for table in session.rows("select table_name, sql from duckdb_tables() where not internal order by table_name"):
        yield re.sub("^CREATE TABLE", "create or replace table", table["sql"])
        name = named(table["table_name"])
        if rows := session.texts(f"from {name}").rows:
            lines = ",\n".join(f"({', '.join(map(_literal, row))})" for row in rows)
            yield f"insert into {name} values\n{lines};"


def _macro(question: Question) -> str:
    """Write a question as a table macro."""
    kinds = {each.name: each.kind for each in question.parameters}
    declared = [
        f"_{each.name}" + ("" if each.is_required else f" := {_literal(each.default)}") for each in question.parameters
    ]
    body = re.sub(
        r"(?m)^(?!--).*$",
        lambda line: re.sub(r"\$(\w+)", lambda found: f"cast(_{found[1]} as {kinds[found[1]]})", line[0]),
        without_semicolon(question.sql).strip(),
    )
    return f"create or replace macro {question.name}({', '.join(declared)}) as table\n{body}\n;"


def _literal(text: str | None) -> str:
    return "null" if text is None else quoted(text)
