"""Service level objectives: the share of calls that must succeed, for all services and for single ones, from TOML.

default = 99.9

[services]
"payments.shop" = 99.95
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError


@dataclass(frozen=True)
class Objectives:
    """The objectives as shares of 0 to 1, below 1: without a budget nothing can be measured against it."""

    default: float = 0.999
    services: dict[str, float] = field(default_factory=dict)


NINES = Objectives()
"""The objectives where none are named: 99.9 % of all services' calls."""


def objectives(per_cent: float | None, file: Path | None) -> Objectives:
    """Return the objectives of `--slo` and `--slo-file`; the flag wins over the file's default.

    Raises `UsageError` for a value that is no percentage between 0 and 100, and for a file that cannot be read.
    """
    read = _read(file) if file else {}
    services = read.get("services", {})
    if not isinstance(services, dict):
        raise UsageError(f'{file}: services is no table. Write [services], and below it "cart.shop" = 99.95')
    default = read.get("default", 99.9) if per_cent is None else per_cent
    named = {name: _share(value, f"{file}: services.{name}") for name, value in services.items()}
    return Objectives(_share(default, "--slo" if per_cent is not None else f"{file}: default"), named)


def _read(file: Path) -> dict[str, Any]:
    try:
        read = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--slo-file {file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--slo-file {file}: is no TOML: {error}") from error
    if unknown := read.keys() - {"default", "services"}:
        raise UsageError(f"{file}: {', '.join(sorted(unknown))}: not known. It has a default and a table [services]")
    return read


def _share(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 100:
        raise UsageError(f"{where}: {value!r} is no objective. Write a percentage between 0 and 100, like 99.9")
    return round(value / 100, 12)
