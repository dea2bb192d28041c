"""Writes a lake that can be given away: the same rows under pseudonyms, in one layout, proved to hold no raw value.

The copy has its own ledger: sources under pseudonyms, counts as they were, and none of the hashes by which an ingest
would know a source again, since these tell whether a text was read. Rejected lines are raw text, and stay behind.
"""

import contextlib
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import MeshlogError, NoDataError, UsageError
from pipeline.lake import layout
from pipeline.lake.ledger import Batch, Counts, Ledger, Load, Mark, commit, new_batch_name, read_ledger
from pipeline.lake.schema import ACCESS_LOGS
from pipeline.query.session import Window
from pipeline.share.columns import shared
from pipeline.share.proof import Proof, prove
from pipeline.share.pseudonyms import WORD, Pseudonyms
from pipeline.text import visible

_NO_MARK = Mark(0, "", 0, "", 0, 0)


@dataclass(frozen=True)
class Choices:
    """What of the original a share keeps."""

    window: Window
    keep_services: bool = False
    """Names of Kubernetes services, their namespaces, subsets and workloads stay as they are."""
    shift_times: bool = False
    """Times are set back by a number of whole weeks that the key decides."""
    allowed_keys: tuple[str, ...] = ()
    """Keys of `extra` that stay, with their values as they are."""


@dataclass(frozen=True)
class Shared:
    """What was written, and the proof."""

    rows: int
    sources: int
    proof: Proof


def share(root: Path, out: Path, key: bytes, choices: Choices) -> Shared:
    """Write the shared copy of the lake at `root` to the new folder `out`, which appears proved or not at all.

    Raises `UsageError` where `out` is taken, `NoDataError` where no row lies in the window, `MeshlogError` where the
    disk refuses or a raw value is left, `LakeError` where there is no lake.
    """
    lake = layout.open_lake(root)
    ledger = read_ledger(lake)
    files = [
        name
        for name in ledger.files("access_logs")
        if layout.overlaps(name, choices.window.since, choices.window.until)
    ]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is there already, and not empty. Name a new folder with -o")
    aside = out.with_name(f".{out.name}.tmp")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        done = _write(lake, ledger, files, aside, key, choices)
        if out.exists():
            out.rmdir()
        aside.replace(out)
    except OSError as error:
        raise MeshlogError(f"{out}: cannot be written: {error.strerror}. Name another folder with -o") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return done


def _write(lake: layout.Lake, ledger: Ledger, files: list[str], aside: Path, key: bytes, choices: Choices) -> Shared:
    originals = [lake.root / name for name in files]
    kept = frozenset(_service_words(originals)) if choices.keep_services else frozenset[str]()
    pseudonyms = Pseudonyms(key, kept)
    weeks_back = pseudonyms.weeks() if choices.shift_times else 0
    copy = layout.create_lake(aside)
    batch = new_batch_name(datetime.now(UTC))
    names: list[str] = []
    sources: Counter[str] = Counter()
    for number, name in enumerate(files):
        hour = layout.hour_of(name) - timedelta(weeks=weeks_back)
        target = layout.access_logs_file(hour, f"{batch}-{number}")
        pieces = (
            (original, shared(original, pseudonyms, weeks_back, choices.allowed_keys))
            for original in _rows(lake.root / name, choices.window)
        )
        if found := _write_file(copy.root / target, pieces):
            names.append(target)
            sources += found
    if not sources:
        raise NoDataError(f"{lake.root}: holds no access-log line in this window. See what it holds: meshlog status")
    loads = tuple(_loads(ledger, sources, batch, pseudonyms, weeks_back))
    commit(copy, Batch(batch, _told(datetime.now(UTC), weeks_back), {"access_logs": tuple(names)}, loads))
    proof = prove(originals, copy.root, kept, choices.allowed_keys)
    if proof.found:
        raise MeshlogError(_leak(proof))
    return Shared(sources.total(), len(sources), proof)


def _write_file(path: Path, pieces: Iterator[tuple[pa.Table, pa.Table]]) -> Counter[str]:
    """Write the second of each pair, if there is one, and return how many rows of which source the first ones held."""
    sources: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        writer = None
        for original, piece in pieces:
            if writer is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                writer = stack.enter_context(pq.ParquetWriter(path, ACCESS_LOGS, compression="zstd"))
            writer.write_table(piece)
            counted = pc.value_counts(original["source"].combine_chunks().cast(pa.string()))
            sources.update({each["values"]: each["counts"] for each in counted.to_pylist()})
    return sources


def _rows(path: Path, window: Window) -> Iterator[pa.Table]:
    """Read a file's rows of a window, one row group at a time."""
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group)
        within = pa.scalar(True)
        if window.since:
            within = pc.and_(within, pc.greater_equal(rows["started_at"], pa.scalar(window.since)))
        if window.until:
            within = pc.and_(within, pc.less(rows["started_at"], pa.scalar(window.until)))
        if window.since or window.until:
            rows = rows.filter(within)
        if rows.num_rows:
            yield rows


def _service_words(originals: list[Path]) -> Iterator[str]:
    """Take the words of services, namespaces, subsets and workloads that Kubernetes' own names show."""
    for path in originals:
        columns = ["upstream_cluster", "cluster_host", "cluster_subset", "service", "namespace", "pod"]
        for row in pq.ParquetFile(path).read(columns).group_by(columns).aggregate([]).to_pylist():
            if ".svc" in (row["cluster_host"] or ""):
                for name in ("service", "cluster_subset"):
                    yield from WORD.findall(row[name] or "")
            yield from WORD.findall(row["namespace"] or "")
            if found := Pseudonyms.workload(row["pod"] or ""):
                yield found


def _loads(
    ledger: Ledger, sources: Collection[str], batch: str, pseudonyms: Pseudonyms, weeks_back: int
) -> Iterator[Load]:
    loads = [load for load in ledger.loads().to_pylist() if load["source"] in sources]
    for number, load in enumerate(loads):
        counts = Counts(*(load[name] for name in ("lines", "rows", "rejects", "noise", "blank", "bytes")))
        yield Load(
            load_id=f"{batch}-{number}",
            source=pseudonyms.identifier(load["source"]),
            mark=_NO_MARK,
            counts=counts,
            first_started_at=load["first_started_at"] and _told(load["first_started_at"], weeks_back),
            last_started_at=load["last_started_at"] and _told(load["last_started_at"], weeks_back),
            problem=load["problem"] and pseudonyms.text(load["problem"]),
            loaded_at=_told(load["loaded_at"], weeks_back),
        )


def _told(moment: datetime, weeks_back: int) -> str:
    return (moment - timedelta(weeks=weeks_back)).isoformat()


def _leak(proof: Proof) -> str:
    shown = "\n".join(f"  {place}: {visible(raw)}" for place, raw in proof.found[:10])
    return (
        f"{len(proof.found):,} raw values are left, so nothing was written. Take away what --allow-key lets through, "
        f"or make another key; else this is a mistake of meshlog's, please report it:\n{shown}"
    )
