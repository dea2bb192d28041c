"""Reads the tables that `istioctl proxy-config` and `proxy-status` print: the header row decides what a table is.

Cells stand below their header's name. Where a paste has squeezed the blanks, so that they do not, a row is taken apart
by what its columns can hold.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAMES = (
    "SERVICE FQDN|DESTINATION RULE|VIRTUAL SERVICE|VIRTUAL HOSTS|VHOST NAME|OUTLIER CHECK|RESOURCE NAME|VALID CERT"
    "|SERIAL NUMBER|NOT AFTER|NOT BEFORE|TRUST DOMAIN|SUBSCRIBED TYPES|ADDRESSES|ADDRESS|DIRECTION|SUBSET|ENDPOINT"
    "|STATUS|CLUSTER|DOMAINS|DESTINATION|MATCH|NAME|PORT|TYPE|CDS|LDS|EDS|RDS|ECDS|SDS|NDS|PCDS|WDS|WADS|ISTIOD|PILOT|VERSION"
)
_NAME = re.compile(rf"\b(?:{_NAMES})(?= |$)")
_HEADER = re.compile(rf"\s*(?:(?:{_NAMES})(?: +|$))+")

_KINDS = {
    "clusters": {"SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE"},
    "listeners": {"PORT", "MATCH", "DESTINATION"},
    "routes": {"NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"},
    "endpoints": {"ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"},
    "secrets": {"RESOURCE NAME", "TYPE", "STATUS"},
    "statuses": {"NAME", "CDS", "LDS", "EDS", "RDS"},
    "subscriptions": {"NAME", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"},
    "short listeners": {"PORT", "TYPE"},
    "short routes": {"NAME", "VIRTUAL HOSTS"},
}
"""Which columns make a table what it is; the first that has all of them is it."""

_SQUEEZED = {
    "clusters": re.compile(
        r"(?P<SERVICE_FQDN>\S+) (?P<PORT>\d+|-) (?P<SUBSET>\S+) (?P<DIRECTION>\S+) (?P<TYPE>\S+)"
        r"(?: (?P<DESTINATION_RULE>\S+))?"
    ),
    "endpoints": re.compile(r"(?P<ENDPOINT>\S+) (?P<STATUS>\S+) (?P<OUTLIER_CHECK>\S+) (?P<CLUSTER>\S+)"),
    "listeners": re.compile(
        r"(?P<ADDRESS>\S+) (?P<PORT>\d+) (?P<MATCH>.+?)"
        r" (?P<DESTINATION>(?:Inline )?Route: .*|Cluster: .*|\S*Cluster\S*|Non-HTTP/Non-TCP)"
    ),
    "subscriptions": re.compile(
        r"(?P<NAME>\S+) (?P<CLUSTER>\S+) (?P<ISTIOD>\S+) (?P<VERSION>\S+) (?P<SUBSCRIBED_TYPES>\d+(?: \(\S+\))?)"
    ),
    "routes": re.compile(
        r"(?:(?P<NAME>\S+) )?(?P<DOMAINS>\S+) (?P<MATCH>/\S*|regex .+?|prefix:\S+)"
        r"(?: (?P<VIRTUAL_SERVICE>[\w-]+\.[\w.-]+))?"
    ),
}


@dataclass(frozen=True)
class PrintedRow:
    """One row: its line in the text, counted from 0, and the cells that are not empty by their column's name."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """One printed table."""

    kind: str
    line: int
    rows: tuple[PrintedRow, ...]
    unread: int | None = None
    """The line of the first row that cannot be taken apart."""


def printed_tables(text: str) -> list[Table]:
    """Return the tables of a text; none where no line of it is a known header."""
    lines = text.splitlines()
    headers = [at for at, line in enumerate(lines) if _kind_of(line)]
    return [_table(lines, at, end) for at, end in itertools.pairwise([*headers, len(lines)])]


def _kind_of(line: str) -> str | None:
    if not _HEADER.fullmatch(line.rstrip()):
        return None
    names = {match[0] for match in _NAME.finditer(line)}
    return next((kind for kind, needed in _KINDS.items() if needed <= names), None)


def _table(lines: list[str], header: int, end: int) -> Table:
    kind = _kind_of(lines[header]) or ""
    body = [(at, line.rstrip()) for at, line in _rows(lines, header + 1, end)]
    columns = [(match[0], match.start()) for match in _NAME.finditer(lines[header])]
    if all(_is_aligned(line, columns) for _, line in body):
        return Table(kind, header, tuple(PrintedRow(at, _cut(line, columns)) for at, line in body))
    rows: list[PrintedRow] = []
    for at, line in body:
        match = _SQUEEZED[kind].fullmatch(" ".join(line.split())) if kind in _SQUEEZED else None
        if not match:
            return Table(kind, header, tuple(rows), unread=at)
        cells = {name.replace("_", " "): cell for name, cell in match.groupdict().items() if cell not in (None, "-")}
        rows.append(PrintedRow(at, cells))
    return Table(kind, header, tuple(rows))


def _rows(lines: list[str], begin: int, end: int) -> Iterator[tuple[int, str]]:
    for at in range(begin, end):
        if not lines[at].strip():
            return
        yield at, lines[at]


def _is_aligned(line: str, columns: list[tuple[str, int]]) -> bool:
    """Say whether every cell that is not empty begins right below its header, behind a blank."""
    starts = [start for _, start in columns] + [len(line)]
    cells = [line[start:end] for start, end in itertools.pairwise(starts)]
    behind_blanks = all(line[start - 1 : start] in (" ", "") for start in starts[1:-1])
    return behind_blanks and all(not cell.strip() or cell[0] != " " for cell in cells)


def _cut(line: str, columns: list[tuple[str, int]]) -> dict[str, str]:
    ends = [start for _, start in columns[1:]] + [len(line)]
    cells = {name: line[start:end].strip() for (name, start), end in zip(columns, ends, strict=True)}
    return {name: cell for name, cell in cells.items() if cell not in ("", "-")}
