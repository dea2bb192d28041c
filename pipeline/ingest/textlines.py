"""Reads Istio's and Envoy's default TEXT lines, one layout a version range, tried in a fixed order.

Values are not escaped, so a quote in a user agent or a blank in a path is part of the value: a layout is matched as a
whole, from the fixed tokens around what strangers control. A readable line becomes a record under Istio's JSON keys
and goes the way of every other record; "-" stays "-" and becomes null there. Layouts: envoy-facts 2.2 and 2.3.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import orjson

from pipeline.ingest.origins import KEYS, NOWHERE, Origin


@dataclass(frozen=True)
class Layout:
    """One order of values; `parts` are patterns in order, each with the words for what should stand there."""

    name: str
    parts: tuple[tuple[str, str], ...]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Return the pattern of a whole line."""
        return re.compile("".join(part for _, part in self.parts) + r"\Z", re.ASCII | re.DOTALL)

    @cached_property
    def ending(self) -> re.Pattern[str]:
        """Return the pattern of what stands behind the user agent, or of all where there is none.

        A line without it fits no way; to try them all takes time by the square of its length.
        """
        return re.compile(self.pattern.pattern.rpartition("(?P<user_agent>.*)")[2], re.ASCII | re.DOTALL)

    def match(self, text: str) -> re.Match[str] | None:
        """Match a whole line."""
        return self.pattern.match(text) if self.ending.search(text) else None

    def reach(self, text: str) -> tuple[int, str]:
        """Say how far a line follows the layout (characters), and what should stand there."""
        at = 0
        for count, (expected, _) in enumerate(self.parts):
            so_far = re.compile("".join(part for _, part in self.parts[: count + 1]), re.ASCII | re.DOTALL)
            found = so_far.match(text)
            if found is None:
                return at, expected
            at = found.end()
        return at, "the end of the line"


_START = ("the start time", r"\[(?P<start_time>\d{4}-\d\d-\d\dT[^\]\s]+)\] ")
_REQUEST = (
    'the request, as "METHOD PATH PROTOCOL"',
    r'"(?P<method>\S+) (?P<path>.*?) (?P<protocol>HTTP/[\d.]+|-)" (?=[\d-])',
)
_GLUED_REQUEST = (
    'the request, as "METHOD PATH PROTOCOL"',
    r'"(?P<method>\S+) (?P<path>.*?) ?(?P<protocol>HTTP/[\d.]+|-)" (?=[\d-])',
)
_CODE = ("the response code", r"(?P<response_code>\d+|-) ")
_FLAGS = ("the response flags", r"(?P<response_flags>[A-Za-z][A-Za-z,_]*|-) ")
_DETAILS = (
    "the response code details and the connection termination details",
    r'(?P<response_code_details>[^\s"]+) (?P<connection_termination_details>[^"]+?) (?=")',
)
_MIXER = ("the policy status in quotes", r'"(?P<istio_policy_status>[^"]*)" ')
_FAILURE = ("the transport failure reason in quotes", r'"(?P<upstream_transport_failure_reason>[^"]*)" ')
_BYTES = (
    ("the bytes received", r"(?P<bytes_received>\d+) "),
    ("the bytes sent", r"(?P<bytes_sent>\d+) "),
    ("the duration", r"(?P<duration>\d+|-) "),
)
_QUOTED = (
    ("the upstream service time", r'(?P<upstream_service_time>\d+|-) (?=")'),
    ("X-Forwarded-For in quotes", r'"(?P<x_forwarded_for>[^"]*)" '),
    (
        "user agent, request id, authority and upstream host in quotes",
        r'"(?P<user_agent>.*)" "(?P<request_id>[^"]*)" "(?P<authority>[^"]*)" "(?P<upstream_host>[^"]*)"',
    ),
)
_ADDRESSES = (
    ("the upstream cluster", r" (?P<upstream_cluster>\S+)"),
    ("the upstream local address", r" (?P<upstream_local_address>\S+)"),
    ("the downstream local address", r" (?P<downstream_local_address>\S+)"),
    ("the downstream remote address", r" (?P<downstream_remote_address>\S+)"),
)
_SNI = ("the requested server name", r" (?P<requested_server_name>\S+)")
_ROUTE = ("the route name", r" (?P<route_name>\S.*)")

LAYOUTS = (
    Layout(
        "Istio text, 1.9 and later",
        (_START, _REQUEST, _CODE, _FLAGS, _DETAILS, _FAILURE, *_BYTES, *_QUOTED, *_ADDRESSES, _SNI, _ROUTE),
    ),
    Layout(
        "Istio text, 1.8",
        (_START, _REQUEST, _CODE, _FLAGS, _FAILURE, *_BYTES, *_QUOTED, *_ADDRESSES, _SNI, _ROUTE),
    ),
    Layout(
        "Istio text, 1.3 to 1.7",
        (_START, _REQUEST, _CODE, _FLAGS, _MIXER, _FAILURE, *_BYTES, *_QUOTED, *_ADDRESSES, _SNI, _ROUTE),
    ),
    Layout(
        "Istio text, 1.2",
        (_START, _REQUEST, _CODE, _FLAGS, _MIXER, _FAILURE, *_BYTES, *_QUOTED, *_ADDRESSES, _SNI),
    ),
    Layout("Istio text, 1.1", (_START, _REQUEST, _CODE, _FLAGS, _MIXER, *_BYTES, *_QUOTED, *_ADDRESSES, _SNI)),
    Layout("Envoy text", (_START, _REQUEST, _CODE, _FLAGS, *_BYTES, *_QUOTED)),
    Layout("Istio text, 1.0.3 to 1.0.9", (_START, _GLUED_REQUEST, _CODE, _FLAGS, *_BYTES, *_QUOTED, *_ADDRESSES)),
    Layout(
        "Istio text for TCP, 1.0.3 to 1.0.9",
        (_START, _FLAGS, *_BYTES, ("the upstream host in quotes", r'"(?P<upstream_host>[^"]*)"'), *_ADDRESSES),
    ),
)
"""All layouts in the order in which they are tried; no line of one reads as an earlier one with other values."""

_LOOKS = re.compile(rb'\[\d{4}-\d\d-\d\dT[^\]\s]*\] "')


def read(text: bytes) -> tuple[Layout, dict[str, str]] | None:
    """Return a text line's layout and its values under Istio's JSON keys; None where no layout fits."""
    if not is_text(text):
        return None
    line = decoded(text)
    for layout in LAYOUTS:
        if found := layout.match(line):
            return layout, _values(found)
    return None


def is_text(text: bytes) -> bool:
    """Say, cheaply, whether a line may be a text access log: it begins with such a time in brackets."""
    return text[:1] == b"[" and text[5:6] == b"-" and text[11:12] == b"T"


def _values(found: re.Match[str]) -> dict[str, str]:
    values: dict[str, str] = found.groupdict()
    if "response_code" not in values:
        values["response_code"] = "0"
    return values


def decoded(text: bytes) -> str:
    """Decode a line that strangers' headers stand in: UTF-8, else Latin-1, as Envoy's JSON formatter does it."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def as_json(text: bytes, origin: Origin = NOWHERE) -> bytes | None:
    """Return a text line as a JSON record that is told its origin; None where no layout fits."""
    found = read(text)
    if found is None:
        return None
    values = found[1]
    for name, key in KEYS.items():
        if value := getattr(origin, name):
            values[key] = value
    return orjson.dumps(values)


def trouble(text: bytes) -> str | None:
    """Say why a line that begins as a text access log cannot be read, with the place; None for any other line."""
    if _LOOKS.match(text) is None:
        return None
    line = decoded(text)
    at, expected = max(
        (layout.reach(line) for layout in LAYOUTS if _REQUEST in layout.parts), key=lambda reached: reached[0]
    )
    is_utf8 = len(line) != len(text) or line.isascii()
    byte = len(line[:at].encode()) + 1 if is_utf8 else at + 1
    return f"begins as a text access log, but {expected} should stand at byte {byte}"
