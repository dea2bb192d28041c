"""Where everything lies in a lake; the one place that builds or reads such a path.

    LAKE/lake.json                                        format version
    LAKE/ledger/<batch>.json                              one record a committed batch: its files and sources
    LAKE/access_logs/date=YYYY-MM-DD/hour=HH/<batch>.parquet
    LAKE/quarantine/date=YYYY-MM-DD/<batch>.parquet       by the day of the ingest
    LAKE/mesh/TABLE/<batch>.parquet                       the mesh's own configuration, see columns.MESH

A file counts only when a ledger record names it: so a batch of many files appears at once, and what a killed ingest
left behind is never read.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from pipeline.errors import LakeError

FORMAT_VERSION = 1
"""Raised when a lake of this version could not be read by the meshlog before it."""


@dataclass(frozen=True)
class Lake:
    """The paths of one lake."""

    root: Path

    @property
    def marker(self) -> Path:
        """The file whose presence makes a folder a lake."""
        return self.root / "lake.json"

    @property
    def ledger(self) -> Path:
        """The folder of committed batches."""
        return self.root / "ledger"

    @property
    def lock(self) -> Path:
        """The file that a writer holds."""
        return self.root / "write.lock"


def access_logs_file(started_hour: datetime, batch: str) -> str:
    """Name the file, relative to the lake, for the rows of `batch` that started in this UTC hour."""
    return f"access_logs/date={started_hour:%Y-%m-%d}/hour={started_hour:%H}/{batch}.parquet"


def quarantine_file(ingested_at: datetime, batch: str) -> str:
    """Name the file, relative to the lake, for the rejects of `batch`."""
    return f"quarantine/date={ingested_at:%Y-%m-%d}/{batch}.parquet"


def mesh_file(dataset: str, batch: str) -> str:
    """Name the file, relative to the lake, for a snapshot's rows of one of the datasets of `columns.MESH`."""
    return f"{dataset}/{batch}.parquet"


def hour_of(relative: str) -> datetime:
    """Return the UTC hour whose rows an `access_logs` file holds."""
    parts = dict(part.split("=", 1) for part in PurePosixPath(relative).parts if "=" in part)
    return datetime.fromisoformat(f"{parts['date']}T{parts['hour']}:00:00").replace(tzinfo=UTC)


def overlaps(relative: str, since: datetime | None, until: datetime | None) -> bool:
    """Say whether an `access_logs` file can hold rows that started in [since, until)."""
    hour = hour_of(relative)
    return (since is None or hour + timedelta(hours=1) > since) and (until is None or hour < until)


def linked_folders(root: Path, relative: Iterable[str]) -> list[Path]:
    """Return where the links lead that stand on the way to these files: a part of a lake may lie on another disk."""
    folders = {name.rpartition("/")[0] for name in relative}
    while above := {folder.rpartition("/")[0] for folder in folders} - folders:
        folders |= above
    return [(root / folder).resolve() for folder in sorted(folders) if (root / folder).is_symlink()]


def open_lake(root: Path) -> Lake:
    """Return the lake at `root` for reading.

    Raises `LakeError` where there is none, and where a newer meshlog wrote it.
    """
    lake = Lake(root)
    if not lake.marker.is_file():
        raise LakeError(f"{root}: there is no lake here. Make one with: meshlog ingest PATH --lake {root}")
    _check_version(lake)
    return lake


def create_lake(root: Path) -> Lake:
    """Return the lake at `root` for writing, and make it where there is none.

    Raises `LakeError` where the folder holds something else, cannot be made, or a newer meshlog wrote it.
    """
    lake = Lake(root)
    try:
        if not lake.marker.is_file():
            _initialise(lake)
        _check_version(lake)
        lake.ledger.mkdir(exist_ok=True)
    except OSError as error:
        raise LakeError(f"{root}: cannot be made a lake: {error.strerror}. Choose another with --lake") from error
    return lake


def _initialise(lake: Lake) -> None:
    temporary = lake.marker.with_suffix(".tmp")
    if lake.root.exists() and (not lake.root.is_dir() or set(lake.root.iterdir()) - {temporary}):
        raise LakeError(f"{lake.root}: is not empty and is no lake. Choose an empty or a new folder with --lake")
    lake.root.mkdir(parents=True, exist_ok=True)
    temporary.write_text(json.dumps({"format": FORMAT_VERSION}) + "\n")
    temporary.replace(lake.marker)


def _check_version(lake: Lake) -> None:
    try:
        found = json.loads(lake.marker.read_text())["format"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise LakeError(f"{lake.marker}: cannot be read as a lake's marker; restore it or ingest anew") from error
    if not isinstance(found, int) or found > FORMAT_VERSION:
        raise LakeError(
            f"{lake.root}: written by a newer meshlog (lake format {found}; this one reads up to {FORMAT_VERSION}). "
            "Upgrade with: pip install --upgrade meshlog"
        )
