"""Every format in `dialects/`: its lines in, and the rows, counts and reasons that come out."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from ingesting import Lake

CASES = sorted((Path(__file__).parent / "dialects").glob("*.toml"))


def shown(value: Any) -> Any:
    """Write a value as the cases do: a time as text."""
    return value.isoformat() if hasattr(value, "isoformat") else value


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_format_reads_as_its_case_says(case: Path, tmp_path: Path) -> None:
    """The named columns have the named values, those listed as absent are null, and every line is counted."""
    told = tomllib.loads(case.read_text(encoding="utf-8"))
    log = tmp_path / "case.log"
    log.write_text(told["lines"], encoding="utf-8")
    lake = Lake(tmp_path / "lake")
    counts = lake.take(log).counts

    reasons = [reject["reason"] for reject in lake.rejects()]
    rows = sorted(lake.rows(), key=lambda row: row["line_number"])
    assert {name: getattr(counts, name) for name in told["counts"]} == told["counts"], reasons
    assert counts.lines == sum(told["counts"].get(name, 0) for name in ("rows", "rejects", "noise", "blank"))
    for reason, expected in zip(reasons, told.get("reasons", []), strict=True):
        assert expected in reason
    for row, expected in zip(rows, told.get("rows", []), strict=True):
        absent = expected.pop("absent", [])
        assert {name: shown(row[name]) for name in [*expected, *absent]} == {**expected, **dict.fromkeys(absent)}


def test_every_case_says_where_its_format_comes_from() -> None:
    """A case opens with a note, and there are as many as there are formats."""
    notes = [tomllib.loads(case.read_text(encoding="utf-8"))["note"] for case in CASES]

    assert all(notes)
    assert len(set(notes)) == len(notes) > 30
