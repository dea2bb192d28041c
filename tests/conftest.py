"""What several tests share: the samples' lake, an empty lake, and a way to run the command."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.ingest.load import load
from pipeline.lake.layout import create_lake

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_logs"


@pytest.fixture(scope="session")
def samples_lake(tmp_path_factory) -> Path:
    """The lake of every sample, read once."""
    lake = tmp_path_factory.mktemp("samples") / "lake"
    load([str(SAMPLES)], lake)
    return lake


@pytest.fixture
def empty_lake(tmp_path) -> Path:
    """A lake without a row."""
    create_lake(tmp_path / "empty")
    return tmp_path / "empty"


def missing(what: str, how: str) -> None:
    """Skip where a developer lacks something, fail where CI does."""
    advice = f"{what} is missing, so this was not tested. Get it with: {how}"
    if os.environ.get("CI"):
        pytest.fail(advice)
    pytest.skip(advice)


@dataclass(frozen=True)
class Ran:
    """What a run of the command left."""

    code: int
    out: str
    err: str


@pytest.fixture
def meshlog(monkeypatch):
    """Run the command in this process, with its real error handling; returns exit code, stdout and stderr."""

    def run(*arguments: object, stdin: str | bytes | None = None) -> Ran:
        monkeypatch.delenv("MESHLOG_LAKE", raising=False)
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run
