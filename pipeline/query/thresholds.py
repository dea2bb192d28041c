"""The thresholds that `meshlog check` knows, and how flags and a TOML file say them.

    min_requests = 200
    max_error_rate = 0.01
    no_cause = ["app_down"]

    [services."payments.shop"]
    max_error_rate = 0.001

A service's own table holds what differs there. Nothing heavy is imported here: the flags are made of `THRESHOLDS`.
"""

import csv
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, UsageError
from pipeline.query.models import seeds

MIN_REQUESTS = 100
"""Fewer requests than these are not judged, unless a user says otherwise."""

Values = Mapping[str, Any]
"""Thresholds by their names, and slo, min_requests and no_cause."""


@dataclass(frozen=True)
class Threshold:
    """The most that a measure of `sql/questions/thresholds.sql` may be."""

    measure: str
    least: float
    most: float
    is_of_services: bool
    says: str

    @property
    def name(self) -> str:
        """As written in TOML; the flag has dashes instead."""
        return f"max_{self.measure}"


THRESHOLDS = (
    Threshold("error_rate", 0, 1, True, "Failed calls per call of each service, 0 to 1."),
    Threshold("p95_ms", 0, 1e9, True, "95th percentile of each service's calls, in ms."),
    Threshold("p99_ms", 0, 1e9, True, "99th percentile of each service's calls, in ms."),
    Threshold(
        "retry_amplification", 1, 1e9, True, "Attempts per call of each service, retries of all callers above too."
    ),
    Threshold(
        "burn_rate", 0, 1e9, True, "How fast each service may burn its error budget; 1 where only --slo is given."
    ),
    Threshold("unpaired_rate", 0, 1, False, "Lines of the window whose other side was not found, per line."),
    Threshold("rejected_rate", 0, 1, False, "Lines that could not be typed, per line that the window's ingests read."),
)

Check = Callable[[Any], bool]


def _is_number(least: float, most: float) -> Check:
    return lambda value: (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and least <= value <= most
    )


def _known_causes() -> list[str]:
    with seeds()["causes"].open(newline="") as file:
        return [row["cause"] for row in csv.DictReader(file)]


def _are_causes(value: Any) -> bool:
    return (
        isinstance(value, list) and all(isinstance(cause, str) for cause in value) and not {*value} - {*_known_causes()}
    )


def _allowed() -> dict[str, tuple[Check, str]]:
    """Return what may be said: by name, whether a value is right, and what a right one looks like."""
    numbers = {
        one.name: (_is_number(one.least, one.most), f"a number from {one.least:g} to {one.most:g}")
        for one in THRESHOLDS
    }
    return numbers | {
        "slo": (_is_number(0, 99.9999999), "a percentage below 100, such as 99.9"),
        "min_requests": (
            lambda value: isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**63,
            "a whole number from 1 on",
        ),
        "no_cause": (_are_causes, f"a list of causes: {', '.join(_known_causes())}"),
    }


def limits(flags: Values, config: Path | None) -> list[dict[str, Any]]:
    """Return the thresholds of flags and of a TOML file, flags first, as rows for `sql/questions/thresholds.sql`.

    Raises `UsageError` where there is none or one is wrong, `InputError` where the file cannot be read.
    """
    _check(flags, lambda name: f"--{name.replace('_', '-')}")
    found, services = _read(config) if config else ({}, {})
    general = {**found, **flags}
    rows = list(_rows(general, None, [*services]))
    for service, own in services.items():
        rows += _rows({**general, **own}, service, [])
    if not rows:
        raise UsageError(
            "there is nothing to check. Name a threshold, such as --max-error-rate 0.01, or a file with --config"
        )
    return rows


def _rows(values: Values, service: str | None, except_for: list[str]) -> Iterator[dict[str, Any]]:
    values = {"max_burn_rate": 1, **values} if "slo" in values else values
    if "max_burn_rate" in values and "slo" not in values:
        raise UsageError(
            "a burn rate is of an error budget: name the objective, too, such as --slo 99.9, or slo = 99.9"
        )
    shared = {
        "service": service,
        "except_for": except_for,
        "slo": values.get("slo"),
        "min_requests": values.get("min_requests", MIN_REQUESTS),
    }
    for one in THRESHOLDS:
        if one.name in values and (one.is_of_services or service is None):
            yield {"measure": one.measure, "cause": None, "threshold": values[one.name], **shared}
    for cause in dict.fromkeys(values.get("no_cause", ())):
        yield {"measure": "cause", "cause": cause, "threshold": 0, **shared}


def _read(path: Path) -> tuple[Values, Mapping[str, Values]]:
    """Return the general values of a TOML file, and those of its services."""
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text)
    except OSError as error:
        raise InputError(
            f"{path}: the thresholds cannot be read: {error.strerror}. Check the path and its rights"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: the thresholds are not UTF-8 text: {error.reason}. Save the file as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        number = at[1] if at else len(text.splitlines())
        raise UsageError(
            f"{path}:{number}: the thresholds are not TOML: {error}. Write lines like max_error_rate = 0.01"
        ) from error
    services = found.pop("services", {})
    tables = services.values() if isinstance(services, dict) else [None]
    if not all(isinstance(table, dict) for table in tables):
        raise UsageError(
            f'{_place(path, text, "services")}: is no table of tables. Write a header like [services."payments.shop"]'
        )
    _check(found, partial(_place, path, text))
    for service, own in services.items():
        where = partial(_place, path, text, "services", service)
        _check(own, where)
        for one in THRESHOLDS:
            if one.name in own and not one.is_of_services:
                raise UsageError(f"{where(one.name)}: is of the whole mesh. Write it above the services")
    return found, services


def _check(values: Values, where: Callable[[str], str]) -> None:
    """Raise `UsageError` for a name or a value that is not allowed; `where` says where a name stands."""
    allowed = _allowed()
    for name, value in values.items():
        if name not in allowed:
            near = get_close_matches(name, allowed, 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise UsageError(f"{where(name)}: there is no such threshold.{meant} Known are {', '.join(allowed)}")
        is_right, example = allowed[name]
        if not is_right(value):
            raise UsageError(f"{where(name)}: {value!r} is not {example}")


def _place(path: Path, text: str, *keys: str) -> str:
    """Name a key and the line that says it: the first one up to which the text is TOML that holds it."""
    return f"{path}:{_line_of(text, *keys)}: {keys[-1]}"


def _line_of(text: str, *keys: str) -> int:
    lines = text.splitlines(keepends=True)
    for number in range(1, len(lines)):
        try:
            found: Any = tomllib.loads("".join(lines[:number]))
            for key in keys:
                found = found[key]
        except (tomllib.TOMLDecodeError, KeyError, TypeError):
            continue
        return number
    return len(lines)
