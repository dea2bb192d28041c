"""A session: one DuckDB over the lake's committed files and a time window, in which every model answers by its name.

Staging models are views; a model above them becomes a table the first time that a query names it, so a second question
in the same session costs only itself. A query can only read: `guard` refuses statements that write, attach or install.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from pipeline.errors import QueryError
from pipeline.lake import layout
from pipeline.lake.columns import ACCESS_LOGS, MESH, QUARANTINE, Column
from pipeline.lake.ledger import read_ledger
from pipeline.query import own
from pipeline.query.guard import CONFIG, lock_down, refuse_writing
from pipeline.query.models import INTERNAL, SLICED, WIDE, Model, in_order, load_comments, load_models, seeds
from pipeline.query.slices import File, slices
from pipeline.query.statements import named_in, quoted, without_semicolon

if TYPE_CHECKING:
    import pyarrow as pa

Result = TypeVar("Result")

MARGIN = timedelta(minutes=5)
"""How far around the window lines are read, so that calls at its edges find their other side."""

MEMORY = 3400 << 20
"""Bytes that DuckDB takes at most before it puts what it works on into temporary files."""

LARGE_BYTES = 16 << 20
"""Bytes of Parquet, some half a million lines, from which on a session's tables are kept in a file."""

_LINE_ID = Column("line_id", "bigint")
_FILE_BITS = 32
_PLACE = f"*, (file_index::bigint << {_FILE_BITS}) + file_row_number as line_id"
"""A line's number in this session: joining by it costs a fraction of joining by source and line number. Files are in
the order of their hours."""

_CATALOG = re.compile(r"(?i)\b(duckdb_|information_schema|pg_)")
"""Where DuckDB keeps the comments on tables and columns: nobody else sees them."""

_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)")


@dataclass(frozen=True)
class Window:
    """A half-open span of time in UTC; None is open."""

    since: datetime | None = None
    until: datetime | None = None


Seek = Callable[[duckdb.DuckDBPyConnection], Window | None]
"""Gives the span of the lines that a session's questions need, where that is not its window."""


@dataclass(frozen=True)
class Texts:
    """A result as text: column names, which of them hold numbers, and rows of strings, None for null."""

    columns: list[str]
    is_number: list[bool]
    rows: list[tuple[str | None, ...]]


@dataclass
class Session:
    """Answers SQL over one lake and window. Make one with `open_session`."""

    root: Path
    timezone: str
    connection: duckdb.DuckDBPyConnection
    models: dict[str, Model]
    comments: dict[tuple[str, str], str]
    window: Window
    scratch: tempfile.TemporaryDirectory[str]
    files: list[File]
    is_large: bool
    """Whether the tables are kept in a file."""
    datasets: dict[str, Callable[[], None]]
    """What makes the tables over the lake's files, and the seeds, by name: those that nothing has asked for yet."""
    built: set[str] = field(default_factory=set)
    commented: set[str] = field(default_factory=set)

    @property
    def tables(self) -> list[str]:
        """The names that a user can query, in the order of their layers."""
        return [name for name in self.models if name not in INTERNAL]

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None) -> "pa.Table":
        """Run one query and return its whole result. Raises `QueryError`."""
        with self._reading(sql):
            return self._interruptibly(lambda: self._run(sql, parameters).to_arrow_table())

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run one query and return its rows. Raises `QueryError`."""
        with self._reading(sql):
            return self._interruptibly(lambda: self._rows(sql, parameters))

    def _rows(self, sql: str, parameters: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        relation = self._run(sql, parameters)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]

    def batches(
        self, sql: str, parameters: Mapping[str, Any] | None = None, rows: int = 10_000
    ) -> "Iterator[pa.RecordBatch]":
        """Run one query and yield its result piece by piece; ask nothing else before the last. Raises `QueryError`."""
        with self._reading(sql):
            reader = self._interruptibly(lambda: self._run(sql, parameters).to_arrow_reader(rows))
            while batch := self._interruptibly(lambda: next(reader, None)):
                yield batch

    def texts(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Texts:
        """Run one query and return every value as DuckDB prints it. Raises `QueryError`."""
        with self._reading(sql):
            return self._interruptibly(lambda: self._texts(sql, parameters))

    def _texts(self, sql: str, parameters: Mapping[str, Any] | None) -> Texts:
        relation = self._run(sql, parameters)
        columns = list(relation.columns)
        numbers = [_NUMBER.fullmatch(str(kind)) is not None for kind in relation.dtypes]
        return Texts(columns, numbers, relation.project("columns(*)::varchar").fetchall())

    def copy(self, sql: str, path: Path, options: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Write one query's result to `path`; `options` are those of DuckDB's COPY. Raises `QueryError`."""
        # DuckDB itself can write nowhere else
        with tempfile.TemporaryDirectory(dir=self.scratch.name) as folder:
            written = Path(folder) / "result"
            copying = f"copy (\n{without_semicolon(sql)}\n) to {quoted(str(written))} ({options})"
            with self._reading(sql):
                self._interruptibly(lambda: self.connection.execute(copying, parameters))
            shutil.move(written, path)

    def keep(self, name: str, sql: str) -> None:
        """Make a table of one query's rows, under a name that later queries use. Raises `QueryError`."""
        with self._reading(sql):
            self._interruptibly(lambda: self.connection.execute(f"create or replace table {name} as (\n{sql}\n)"))

    def columns(self, table: str) -> list[tuple[str, str, str]]:
        """Return name, type and meaning of each column of a table."""
        described = self.rows(f"describe {table}")
        return [(row["column_name"], row["column_type"], self.meaning(table, row["column_name"])) for row in described]

    def meaning(self, table: str, column: str) -> str:
        """Return what a column means in a table."""
        return self.comments.get((table, column)) or self.comments.get(("", column), "")

    def parameters(self, sql: str) -> set[str]:
        """Return the names of the parameters that a query takes; builds no model. Raises `QueryError`."""
        try:
            refuse_writing(self.connection, sql)
            return set(self.connection.extract_statements(sql)[0].named_parameters)
        except duckdb.Error as error:
            raise QueryError(str(error)) from error

    def close(self) -> None:
        """Give back the memory and the temporary files."""
        self.connection.close()
        self.scratch.cleanup()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _run(self, sql: str, parameters: Mapping[str, Any] | None) -> duckdb.DuckDBPyRelation:
        relation = self.connection.sql(without_semicolon(sql), params=dict(parameters) if parameters else None)
        if relation is None:
            raise QueryError("the query returns no rows by its nature. Write a select, from, describe or summarize")
        return relation

    @contextmanager
    def _reading(self, sql: str) -> Iterator[None]:
        """Let one reading statement run on built models, and turn DuckDB's errors into ours."""
        try:
            refuse_writing(self.connection, sql)
            self._interruptibly(lambda: self._build(sql))
            yield
        except duckdb.Error as error:
            raise QueryError(str(error)) from error

    def _interruptibly(self, work: Callable[[], Result]) -> Result:
        """Do DuckDB's work in a thread, so that Ctrl-C ends it: in the main thread a long task would not look."""
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            try:
                return working.result()
            except KeyboardInterrupt:
                self.connection.interrupt()
                raise

    def _build(self, sql: str) -> None:
        """Make tables of the models that a query names, and of what they build on."""
        for model in in_order(self.models, named_in(self.connection, sql, self.models)):
            if model.name not in self.built:
                self.lay_open(model.sql)
                create = f"create {model.kind} {model.name} as {without_semicolon(model.sql)}"
                if model.layer == own.LAYER:
                    self._build_own(model, create)
                elif self._is_kept_in_a_file(model):
                    self._write(model)
                else:
                    self.connection.execute(create)
                self.built.add(model.name)
        self.lay_open(sql)
        if _CATALOG.search(sql):
            self._comment()

    def lay_open(self, sql: str) -> None:
        """Make those of `datasets` whose names occur in `sql`."""
        for name in [name for name in self.datasets if name in sql.lower()]:
            self.datasets.pop(name)()

    def _is_kept_in_a_file(self, model: Model) -> bool:
        return self.is_large and model.name in WIDE

    def _write(self, model: Model) -> None:
        """Write a wide model's rows to files that its view reads; a sliced one's a slice at a time."""
        folder = Path(self.scratch.name) / model.name
        folder.mkdir(exist_ok=True)  # a try before may have been interrupted
        select = without_semicolon(model.sql)
        for number, (first, end) in enumerate(slices(self.files) if model.name in SLICED else [(0, len(self.files))]):
            if model.name in SLICED:
                self._look_at(first << _FILE_BITS, end << _FILE_BITS)
            target = (
                f"{quoted(str(folder / f'{number}.parquet'))} (format parquet, parquet_version v2, compression snappy)"
            )
            self.connection.execute(f"copy ({select}) to {target}")
        self.connection.execute(f"create view {model.name} as from read_parquet({quoted(f'{folder}/*.parquet')})")

    def _look_at(self, first: int, end: int) -> None:
        """Have `calls` made of the pairs with these numbers alone, and of the hours in which their lines stand."""
        files = self.connection.execute(
            f"""select
                min(least(client_line_id, server_line_id)) >> {_FILE_BITS},
                max(greatest(client_line_id, server_line_id)) >> {_FILE_BITS},
            from line_pairs where coalesce(client_line_id, server_line_id) between $first and $last""",  # noqa: S608
            {"first": first, "last": end - 1},
        ).fetchall()[0]
        since, until = (self.files[file].hour if file is not None else self.files[0].hour for file in files)
        for name, value in (
            ("first_line_id", first),
            ("last_line_id", end - 1),
            ("lines_since", since),
            ("lines_until", until + timedelta(hours=1)),
        ):
            self.connection.execute(f"set variable {name} = $value", {"value": value})

    def _build_own(self, model: Model, create: str) -> None:
        """Make the table of a user's model. Raises `QueryError`, with its file, where it fails or its key is none."""
        key = ", ".join(model.key)
        try:
            self.connection.execute(create)
            twice = self.connection.execute(
                f"select count(*) from (select {key} from {model.name} group by {key} having count(*) > 1)"  # noqa: S608
            ).fetchall()[0][0]
        except duckdb.Error as error:
            raise QueryError(own.located(model.path, str(error))) from error
        if twice:
            self.connection.execute(f"drop table {model.name}")
            raise QueryError(f"{model.path}:2: the key ({key}) is none: {twice:,} of its values stand in several rows")

    def _comment(self) -> None:
        """Say in DuckDB's catalogue what tables and columns mean: some 40 statements for each that was built."""
        for model in (self.models[name] for name in self.built - self.commented):
            kind = "view" if self._is_kept_in_a_file(model) else model.kind
            self.connection.execute(f"comment on {kind} {model.name} is {quoted(model.grain)}")
            described = self.connection.execute(f"describe {model.name}").fetchall()
            for column, *_ in described:
                meaning = quoted(self.meaning(model.name, column))
                self.connection.execute(f'comment on column {model.name}."{column}" is {meaning}')
        self.commented |= self.built


@contextmanager
def _opening() -> Iterator[None]:
    """Turn DuckDB's errors into ours, and into `KeyboardInterrupt` where it took the signal for itself and says so."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" in str(error):
            raise KeyboardInterrupt from error
        raise
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


@_opening()
def open_session(
    root: Path,
    window: Window = Window(),
    timezone: str = "UTC",
    own_folder: Path | None = None,
    seek: Seek | None = None,
) -> Session:
    """Open the lake at `root` for reading, with every answer limited to `window` and printed in `timezone`.

    The models of `own_folder` join those of the product. `seek` looks at the lake's lines for the span of those that
    are enough, few that are held, as each model would read them anew; where it finds none, all of the window's count.

    Raises `LakeError` where there is no lake, or a newer meshlog wrote it, `QueryError` where a file of it cannot be
    read, and `UsageError` or `QueryError` for a file of `own_folder` that is no model.
    """
    lake = layout.open_lake(root)
    ledger = read_ledger(lake)
    span = Window(window.since and window.since - MARGIN, window.until and window.until + MARGIN)
    names = [name for name in ledger.files("access_logs") if layout.overlaps(name, span.since, span.until)]
    names.sort(key=layout.hour_of)
    files = [File(layout.hour_of(name), (lake.root / name).stat().st_size) for name in names]
    is_large = sum(file.size_bytes for file in files) > LARGE_BYTES
    with ExitStack() as opened:
        scratch = tempfile.TemporaryDirectory(prefix="meshlog-")
        opened.callback(scratch.cleanup)
        connect = partial(_connect, opened, Path(scratch.name), lake.root, names)
        connection = connect(has_file=is_large and not seek)
        if lines := seek(connection) if seek and names else None:
            is_large = False
            _keep_lines(connection, lines)
        elif seek and is_large:  # all lines are needed after all, and the tables of so many stand in a file
            connection.close()
            connection = connect(has_file=True)
        connection.execute(f"set timezone = {quoted(timezone)}")
        datasets: dict[str, Callable[[], None]] = {
            name: partial(_create_lines, connection, name, lake.root, ledger.files(dataset), columns)
            for dataset, columns in {"quarantine": QUARANTINE, **MESH}.items()
            for name in [f"lake_{dataset.replace('/', '_')}"]
        }
        datasets["lake_loads"] = lambda: connection.from_arrow(ledger.loads()).create("lake_loads")
        connection.execute(
            "create table session_window as select $since::timestamptz as since, $until::timestamptz as until",
            {"since": window.since, "until": window.until},
        )
        for name, path in seeds().items():
            datasets[name] = partial(_create_seed, connection, name, path, Path(scratch.name))
        linked = layout.linked_folders(lake.root, chain(names, *map(ledger.files, ("quarantine", *MESH))))
        lock_down(connection, [lake.root, *linked, Path(scratch.name)])
        models, comments = load_models(), load_comments()
        session = Session(root, timezone, connection, models, comments, window, scratch, files, is_large, datasets)
        if own_folder:
            _add_own(session, own_folder)
        opened.pop_all()
    return session


def _add_own(session: Session, folder: Path) -> None:
    """Let the models of a user's folder join; they are looked at now, and built when a query names them."""
    made = session.connection.execute("show tables").fetchall()
    taken = {*session.models, *session.datasets, *(name for (name,) in made)}
    models = own.own_models(folder, taken)
    for model in models.values():
        try:
            refuse_writing(session.connection, model.sql)
        except (duckdb.Error, QueryError) as error:
            raise QueryError(own.located(model.path, str(error))) from error
    session.models |= models
    session.comments |= own.own_comments(folder)
    in_order(session.models, models)


def _connect(
    opened: ExitStack, scratch: Path, root: Path, files: list[str], *, has_file: bool
) -> duckdb.DuckDBPyConnection:
    """Open a database over these files' lines, for a session's tables, that takes no more memory than `MEMORY`.

    In a file DuckDB compresses tables as it writes them, to a tenth; few lines are answered sooner without one.
    """
    database = scratch / "session.duckdb" if has_file else ":memory:"
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    config = CONFIG | {
        "temp_directory": str(scratch),
        "memory_limit": f"{min(MEMORY, int(machine * 0.8))}B",
        "preserve_insertion_order": False,
    }
    connection = duckdb.connect(database, config=config)
    opened.callback(connection.close)
    # Python reckons with a zone's wall clock: until the user's is set, what looks for lines needs one without jumps
    connection.execute("set timezone = 'UTC'")
    # every model that looks at lines would read again what each file says of itself
    connection.execute("set parquet_metadata_cache = true")
    # DuckDB would draw it on stdout, in the midst of the answer, whenever a query takes some seconds
    connection.execute("set enable_progress_bar = false")
    _create_lines(connection, "lake_access_logs", root, files, (*ACCESS_LOGS, _LINE_ID), _PLACE)
    return connection


def _create_lines(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    root: Path,
    files: list[str],
    columns: Iterable[Column],
    selected: str = "*",
) -> None:
    """Create a view over Parquet files; over none, an empty table with the same columns."""
    if files:
        paths = [str(root.resolve() / file) for file in files]
        connection.read_parquet(paths, hive_partitioning=False).project(selected).create_view(name)
    else:
        connection.execute(f"create table {name} ({', '.join(column.sql for column in columns)})")


def _create_seed(connection: duckdb.DuckDBPyConnection, name: str, path: Path, scratch: Path) -> None:
    """Create a table of a CSV file, by a copy of it where the connection may read."""
    copied = shutil.copy(path, scratch)
    connection.execute(f"create table {name} as from read_csv({quoted(str(copied))})")


def _keep_lines(connection: duckdb.DuckDBPyConnection, span: Window) -> None:
    """Put the few lines of a span in place of the view over all."""
    connection.execute(
        "create table lines_of_span as from lake_access_logs where started_at between $since and $until",
        {"since": span.since, "until": span.until},
    )
    connection.execute("create or replace view lake_access_logs as from lines_of_span")
