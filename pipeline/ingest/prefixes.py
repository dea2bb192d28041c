"""Strips what a tool wrote in front of a line: kubectl, docker compose, stern, cf, grep, syslog, the AWS CLI.

A prefix counts only where a record, or another wrapper, follows it. So text that merely resembles one stays whole, and
whether a line has a prefix depends on the line alone.
"""

import re
from dataclasses import dataclass

from pipeline.ingest.origins import NOWHERE, Origin, origin


@dataclass(frozen=True)
class Prefix:
    """A tool's name and what it writes; groups `pod`, `namespace`, `node` and `file` say where a line is from."""

    name: str
    pattern: re.Pattern[bytes]


_TIME = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_NAME = rb"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"

PREFIXES = tuple(
    Prefix(name, re.compile(pattern))
    for name, pattern in (
        ("CRI", _TIME + rb"(?:Z|[+-]\d\d:?\d\d) (?:stdout|stderr) F(?::\S*)? "),
        ("kubectl logs --prefix", rb"\[pod/(?P<pod>" + _NAME + rb")/[^\]\s]+\] "),
        ("cf logs", rb"\s*" + _TIME + rb"[+-]\d{4} \[[^\]]+\]\s+(?:OUT|ERR) "),
        ("timestamps", _TIME + rb"(?:Z|[+-]\d\d:?\d\d)? "),
        ("aws logs tail", _TIME + rb"(?:Z|[+-]\d\d:?\d\d)? [^\s{\"]+ "),
        ("docker compose", rb"(?P<pod>[A-Za-z0-9][\w.-]*)(?:@(?P<node>[^\s|]+))?\s*\| "),
        ("Fluentd", _TIME + rb"(?:Z| ?[+-]\d\d:?\d\d)(?:\t[^\s{]+\t| [^\s{]+: )"),
        ("syslog", rb"(?:<\d{1,3}>)?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?P<node>\S+) [^\s:{]+: "),
        (
            "syslog",
            rb"<\d{1,3}>1 " + _TIME + rb"(?:Z|[+-]\d\d:\d\d) (?P<node>\S+) \S+ \S+ \S+ (?:-|\[.*?\]) (?:\xef\xbb\xbf)?",
        ),
        ("grep -n", rb"\d+[:-]"),
        ("grep -H", rb"(?P<file>[^\s:{\"]+)(?::(?:\d+:)?|-\d+-)"),
        ("stern", rb"(?P<pod>" + _NAME + rb") [a-z0-9][a-z0-9-]* "),
        ("stern", rb"(?P<namespace>" + _NAME + rb") (?P<pod>" + _NAME + rb") [a-z0-9][a-z0-9-]* "),
    )
)
"""All prefixes in the order in which they are tried: what is more distinct comes first."""

_RECORD = re.compile(rb"\{|\[\d{4}-\d\d-\d\dT|\[\{|" + _TIME + rb"(?:Z|[+-]\d\d:?\d\d)? (?:stdout|stderr) [PF]")
"""How a record begins, or a line of CRI, whose pieces `wrappers.py` joins."""

MOST = 4
"""Prefixes before one another that are taken off."""

_COLOURS = re.compile(rb"\x1b\[[0-9;]*[mK]")
_HEAD = 256


def strip(line: bytes, most: int = MOST) -> tuple[str, bytes, Origin] | None:
    """Take one prefix off: the tool, the rest of the line, and what the prefix knew; None where there is none.

    A record follows a prefix, `most` others at most between them.
    """
    if most == 0 or (line.startswith(b"[") and not line.startswith(b"[pod/")):
        return None
    if b"\x1b" in line[:_HEAD]:
        plain = _COLOURS.sub(b"", line)
        return ("colours", plain, NOWHERE) if plain != line else None
    # most of what a proxy says besides holds no record anywhere: one look instead of a hundred
    if _RECORD.search(line) is None and b"\x1b" not in line:
        return None
    for prefix in PREFIXES:
        if found := prefix.pattern.match(line):
            rest = line[found.end() :]
            if _RECORD.match(rest) or strip(rest, most - 1):
                return prefix.name, rest, _origin(found.groupdict())
    return None


def bare(text: bytes) -> tuple[bytes, Origin]:
    """Take all prefixes off."""
    where = NOWHERE
    for _ in range(MOST):
        if text.startswith(b"{") or (stripped := strip(text)) is None:
            break
        _, text, known = stripped
        where = known.or_else(where)
    return text, where


def _origin(known: dict[str, bytes | None]) -> Origin:
    texts = {name: value.decode("utf-8", "replace") for name, value in known.items() if value}
    if file := texts.pop("file", None):
        return origin(file)
    return Origin(**texts) if texts else NOWHERE
