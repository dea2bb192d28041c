"""Where the SQL models, page templates and samples lie: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def assets(name: str) -> Path:
    """Return the folder `sql`, `reports` or `sample_logs`."""
    in_wheel = _PACKAGE / "_assets" / name
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / name
