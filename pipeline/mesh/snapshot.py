"""Reads the mesh's own configuration into the lake: the only module that knows the order of the stages.

All that one call names is one snapshot, and it appears at once: its files are named by one ledger record, as a batch of
access logs is. One wrong document and nothing is stored. The same content again changes nothing.
"""

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError, LakeError
from pipeline.lake import layout, ledger
from pipeline.lake.schema import MESH
from pipeline.mesh.documents import documents
from pipeline.mesh.dumps import dumped, is_dump
from pipeline.mesh.objects import is_object, objects
from pipeline.mesh.printed import printed
from pipeline.mesh.shapes import Document, LeftOut, Row
from pipeline.mesh.sources import expand, newest, read
from pipeline.mesh.tables import Table

_WRONG_TYPE = (pa.ArrowException, TypeError, OverflowError)


@dataclass(frozen=True)
class Part:
    """What became of one kind: how many there were, and whether it was understood, kept as it is, or left out."""

    kind: str
    count: int
    treatment: str
    """`read`, `kept` or `left out`."""
    detail: str = ""
    """The fields that are not known, or why it was left out."""


@dataclass(frozen=True)
class Summary:
    """What a call read."""

    at: datetime
    documents: int
    parts: tuple[Part, ...]
    is_new: bool
    """False where the lake holds the same configuration already."""
    is_unnamed: bool
    """Whether some of it is a proxy's state, and nothing told whose."""


def read_snapshot(paths: Sequence[str], root: Path, at: datetime | None = None, proxy: str | None = None) -> Summary:
    """Read configuration from files, folders, globs and `-` into the lake at `root`, as it stood at `at`.

    Without `at` it is the time of the newest file. `proxy` (pod.namespace) names whose proxy-config it is, where the
    output does not. Raises `InputError` naming document and line, and `LakeError`.
    """
    files = expand(paths)
    found = [(document, row) for path in files for document in documents(read(path)) for row in _rows(document, proxy)]
    rows = [(document, row) for document, row in found if isinstance(row, Row)]
    parts = tuple(_parts(each for _, each in found))
    if not rows:
        left = ", ".join(f"{part.count} {part.kind}" for part in parts) or "no object at all"
        raise InputError(f"{', '.join(paths)}: nothing here describes a mesh (found {left}). See meshlog mesh --help")
    at = at or newest(files)
    tables = _tables(rows, at)
    kinds = tuple(sorted({row.kind for _, row in rows}))
    digest = hashlib.blake2b(
        b"\n".join(sorted(orjson.dumps([row.dataset, row.values]) for _, row in rows)), digest_size=16
    ).hexdigest()
    snapshot = ledger.Snapshot(at.astimezone(UTC).isoformat(), kinds, digest)
    is_new = _store(layout.create_lake(root), snapshot, tables)
    is_unnamed = any("proxy" in row.values and row.values["proxy"] is None for _, row in rows)
    return Summary(at, len({(document.source, document.number) for document, _ in found}), parts, is_new, is_unnamed)


def _rows(document: Document, proxy: str | None) -> Iterator[Row | LeftOut]:
    """Yield what a document holds, whatever it is."""
    value = document.value
    if isinstance(value, list) and value and all(isinstance(each, Table) for each in value):
        for table in value:
            yield from printed(document, table, proxy)
    elif is_object(value):
        yield from objects(document, value)
    elif isinstance(value, list) and value and is_object(value[0]):
        for number, each in enumerate(value):
            if not is_object(each):
                raise document.error(f"item {number + 1} is no object of Kubernetes, as those before it are")
            yield from objects(document, each, (number,))
    elif isinstance(value, list) or is_dump(value):
        yield from dumped(document, value, proxy)
    elif value is not None:
        raise document.error(
            "this is neither an object of Kubernetes nor a part of a proxy's configuration. "
            "Give what kubectl get -o yaml or istioctl proxy-config wrote, with its first lines"
        )


def _parts(found: Iterator[Row | LeftOut]) -> Iterator[Part]:
    counts: Counter[tuple[str, str]] = Counter()
    details: dict[tuple[str, str], dict[str, None]] = {}
    for each in found:
        if isinstance(each, LeftOut):
            key, said = (each.kind, "left out"), [each.reason]
        else:
            key = (each.kind, "read" if each.values.get("is_understood", True) else "kept")
            said = each.values.get("unknown_fields") or []
        counts[key] += 1
        details.setdefault(key, {}).update(dict.fromkeys(said))
    for (kind, treatment), count in sorted(counts.items()):
        yield Part(kind, count, treatment, ", ".join(details[kind, treatment]))


def _tables(rows: Sequence[tuple[Document, Row]], at: datetime) -> dict[str, pa.Table]:
    """Put rows into one table a dataset."""
    common = {"snapshot_at": at, "read_at": datetime.now(UTC)}
    by_dataset: dict[str, list[dict[str, Any]]] = {}
    for document, row in rows:
        place = {"source": document.source, "document": document.number}
        by_dataset.setdefault(row.dataset, []).append({**common, **place, **row.values})
    try:
        return {dataset: pa.Table.from_pylist(values, schema=MESH[dataset]) for dataset, values in by_dataset.items()}
    except _WRONG_TYPE as error:
        raise _misfit(rows) from error


def _misfit(rows: Sequence[tuple[Document, Row]]) -> InputError:
    """Find the row that does not fit its dataset, and make an error that names its document."""
    for document, row in rows:
        try:
            pa.Table.from_pylist([row.values], schema=MESH[row.dataset])
        except _WRONG_TYPE as error:
            return document.error(f"a value of this {row.kind} has not the type that it must have: {error}. Correct it")
    return InputError("the values of a snapshot do not fit one another. Read its files one by one")


def _store(lake: layout.Lake, snapshot: ledger.Snapshot, tables: dict[str, pa.Table]) -> bool:
    """Write and commit a snapshot, unless the lake holds the same; says whether it did."""
    with ledger.write_lock(lake):
        held = ledger.read_ledger(lake)
        if _is_held(held, snapshot):
            return False
        ledger.remove_leftovers(lake, held)
        now = datetime.now(UTC)
        name = ledger.new_batch_name(now)
        files = {dataset: (layout.mesh_file(dataset, name),) for dataset in tables}
        try:
            for dataset, table in tables.items():
                _write(lake.root / files[dataset][0], table)
            ledger.commit(lake, ledger.Batch(name, now.isoformat(), files, (), snapshot=snapshot))
        except (OSError, pa.ArrowException, LakeError) as error:
            for (file,) in files.values():
                with contextlib.suppress(OSError):
                    (lake.root / file).unlink(missing_ok=True)
            if isinstance(error, LakeError):
                raise
            raise LakeError(f"{lake.root}: the snapshot cannot be written: {error}. Make room, then again") from error
    return True


def _is_held(held: ledger.Ledger, snapshot: ledger.Snapshot) -> bool:
    """Say whether the snapshot before this one, of any of its kinds, has the same content."""
    before = [
        batch.snapshot
        for batch in held.batches
        if batch.snapshot and batch.snapshot.at <= snapshot.at and set(batch.snapshot.kinds) & set(snapshot.kinds)
    ]
    return any(each.digest == snapshot.digest for each in before if each.at == max(one.at for one in before))


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    ledger.sync_folder(path.parent)
