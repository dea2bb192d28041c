"""Reads lines that a text template made look like JSON: Envoy Gateway 0.6 to 1.3, and JSON as Istio's TEXT format.

Their values are not escaped, so one quote, tab or Latin-1 byte in a user agent spoils the JSON. The keys are fixed, so
such a line can be read by them as long as it can be read in one way only; otherwise it stays a reject.
"""

import re
from collections.abc import Callable

from pipeline.ingest.textlines import decoded

_KEY = re.compile(r'(?:\A\{|",)\s*"(?P<key>[:@]?[A-Za-z][\w.-]*)"\s*:\s*"')


def read(text: bytes, is_known: Callable[[str], bool]) -> dict[str, str] | None:
    """Return the values between the keys; None where the line is of another kind, or could mean two things.

    It means one thing if every key in it `is_known`, stands there once, and all values are quoted, as the templates
    write them. A backslash may or may not be an escape, so a line with one is not read.
    """
    if not text.startswith(b"{") or not text.endswith(b'"}') or b"\\" in text:
        return None
    line = decoded(text)
    found = list(_KEY.finditer(line))
    keys = [match["key"] for match in found]
    if not found or found[0].start() or len(set(keys)) < len(keys) or not all(map(is_known, keys)):
        return None
    ends = [match.start() for match in found[1:]] + [len(line) - 2]
    return {match["key"]: line[match.end() : end] for match, end in zip(found, ends, strict=True)}
