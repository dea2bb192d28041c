"""Replaces what a log tells about its mesh by pseudonyms: keyed, the same for the same value wherever it stands.

A pseudonym is an HMAC of the value, in the value's shape: a uuid stays a uuid and keeps the character in which Envoy
notes why it traces, a number a number, a pod's name a pod's name, an address an address of `fd00::/64`; any other word
becomes `n` and 15 digits. What stands between words stays, and so do ports: so a cluster's name keeps its parts, a path
its segments. Pseudonyms are spelt with digits and as few letters as their shapes allow, which no word of a log is: one
that turns up in what was shared is no accident.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from pipeline.errors import MeshlogError

UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
WORD = re.compile(r"(?:[A-Za-z0-9]|[^\x20-\x7e])+(?:-(?:[A-Za-z0-9]|[^\x20-\x7e])+)*")
"""What is replaced as one: letters, digits and whatever is not plain ASCII, inner hyphens included."""

ADDRESS = re.compile(
    r"""(?<!\d)(?<!\d\.)\d{1,3}(?:\.\d{1,3}){3}(?!\d)(?!\.\d)
    |   \[(?=[^]]*:)[0-9A-Fa-f:.]+\]
    |   (?:(?<![0-9A-Za-z.:])|(?<=[^0-9A-Fa-f.:]:))
        (?=[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:)[0-9A-Fa-f:.]*[0-9A-Fa-f:](?![0-9A-Za-z:])(?!\.\w)""",
    re.VERBOSE,
)
"""What may be an address: four numbers, or hex digits with colons, in brackets or bare. Words may stand right beside
it, since Envoy writes `_` for a blank in details."""

COMMON = {"0.0.0.0", "127.0.0.1", "127.0.0.6", "::", "::1", "::6"}  # noqa: S104 (these are not bound to)
"""Addresses that every sidecar has."""

_PORT = re.compile(r"(?<=[:|])\d{1,5}(?![\w.-])|(?<=_\.)\d{1,5}(?=_\.)")
_TUNNEL = re.compile(r"envoy://(?:internal_client_address|(?:inner_|outer_)?connect_originate)/")
_POD = re.compile(r"(?P<workload>.+?)(?P<template>-[a-z0-9]{6,10})?(?P<own>-[a-z0-9]{5}|-\d+)")
_HTTP = re.compile(r"HTTP/[0-9.]{1,3}")
_FOUR_NUMBERS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_SHADOW = "-shadow"
_THING = re.compile(
    r"(?:[+-]?\d[\d.,:_-]*|[a-f]{0,15}\d[0-9a-f]{7,}|[0-9a-f]{7,}\d[0-9a-f]*|[a-z]+[-_:]\d+|[^@]+@[^@]+"
    r"|[a-z_-]*\d[\w=-]{20,}|[\w-]{20,}\d[\w=-]*|.{81,}?)(\.[a-z][a-z0-9]{0,4})?",
    re.ASCII | re.IGNORECASE,
)
"""A segment that names one thing, as `call_dimensions.path_template` knows it: what is one must still look like one."""

SUFFIXES = (".json", ".xml", ".html", ".js", ".css", ".png", ".jpg", ".svg", ".ico", ".txt", ".pdf", ".csv", ".yaml")
"""Suffixes of things that stay."""

NAME_WORDS = frozenset({"outbound", "inbound", "inbound-vip", "svc", "cluster", "local", "http", "tcp"})
"""Words of the mesh's own naming in clusters, hosts and server names."""

NAMES = frozenset(
    {"PassthroughCluster", "BlackHoleCluster", "InboundPassthroughCluster", "InboundPassthroughClusterIpv4"}
    | {"InboundPassthroughClusterIpv6", "connect_originate", "inner_connect_originate", "outer_connect_originate"}
    | {"main_internal", "encap", "default", "allow_any", "block_all"}
)
"""Clusters and routes that every mesh has."""

METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})

AGENTS = (
    "grpc-go", "grpc-java", "grpc-python", "grpc-c++", "grpc-c", "grpc-node", "grpc-dotnet", "grpc-ruby", "curl",
    "Wget", "Go-http-client", "python-requests", "okhttp", "kube-probe", "Prometheus", "Envoy", "axios",
    "Java", "Apache-HttpClient", "PostmanRuntime", "ELB-HealthChecker", "GoogleHC", "k6", "Fortio",
)  # fmt: skip
"""User agents that are everybody's; their versions and comments go."""

BROWSERS = {
    "bot": r"(?i)bot\b|crawler|spider",
    "Mozilla/5.0 Edg/0": r"\b(?:Edg|EdgA|EdgiOS)/",
    "Mozilla/5.0 OPR/0": r"\bOPR/",
    "Mozilla/5.0 Firefox/0": r"\b(?:Firefox|FxiOS)/",
    "Mozilla/5.0 Chrome/0": r"\b(?:Chrome|CriOS)/",
    "Mozilla/5.0 Version/0 Safari/0": r"\bVersion/.*\bSafari/",
    "Mozilla/5.0 (iPhone)": r"\((?:iPhone|iPad)",
    "Mozilla/5.0 (Android)": r"Android",
}
"""What is shared of a browser, by what tells it, the first that fits."""

TEXT_WORDS = frozenset(
    word
    for line in (Path(__file__).parent / "words.txt").read_text().splitlines()
    if not line.startswith("#")
    for word in line.split()
)
"""Words of Envoy in details and failure reasons, in lower case."""


class Pseudonyms:
    """The pseudonyms of one key. `kept` are words of names that stay: service names, where the user shares them."""

    def __init__(self, key: bytes, kept: Iterable[str] = ()) -> None:
        self._key = key
        self.kept = frozenset(kept)
        self.word = lru_cache(1 << 18)(self._word)
        self._pods: dict[str, str] = {}

    # ---------- the treatments of columns: each takes a value and returns what is shared of it

    def name(self, text: str) -> str:
        """Treat a host, cluster, server name or address, alone or in a list."""
        if text in NAMES:
            return text
        tunnel = _TUNNEL.match(text)
        lead = tunnel[0] if tunnel else ""
        return lead + self._around_addresses(text[len(lead) :], self._names)

    def text(self, text: str) -> str:
        """Treat details and reasons: words of Envoy stay, and numbers of up to five digits, which are codes."""
        return self._around_addresses(text, lambda part: WORD.sub(lambda word: self._text_word(word[0]), part))

    def path(self, text: str) -> str:
        """Treat a path: the query goes, each segment is replaced, one that names a thing by a number or a uuid."""
        before = re.split(r"[?#;]", text, maxsplit=1)[0]
        return "/".join(map(self._segment, before.split("/")))

    def identifier(self, text: str) -> str:
        """Treat a request id, a source or another value whose parts mean nothing."""
        return self.word(text)

    def code(self, text: str) -> str:
        """Treat a protocol or response flags: what is none of Envoy's is replaced."""
        if _HTTP.fullmatch(text):
            return text
        codes = text.split(",")
        return ",".join(code if code.isupper() and code.lower() in TEXT_WORDS else self.word(code) for code in codes)

    def pod(self, text: str) -> str:
        """Treat a pod's name: workload, template hash and the pod's own part each for themselves.

        Raises `MeshlogError` where that would give two pods one name.
        """
        parts = _POD.fullmatch(text)
        if parts is None:
            return self._name_word(text)
        workload = self._name_word(parts["workload"])
        template = parts["template"] and f"-x{self._digits('template', text[: parts.end('template')], 9)}"
        own = parts["own"] if parts["own"][1:].isdigit() and not template else "-" + self._suffix(text)
        made = workload + (template or "") + own
        if self._pods.setdefault(made, text) != text:
            raise MeshlogError("two pods would get one pseudonym under this key. Make another key with --key-file")
        return made

    def agent(self, text: str) -> str:
        """Treat a user agent: a browser or library that is everybody's keeps its name, any other is replaced."""
        if text.startswith("Mozilla/"):
            return next((told for told, by in BROWSERS.items() if re.search(by, text)), "Mozilla/5.0")
        return next((agent for agent in AGENTS if text.startswith(agent)), self.word(text))

    def method(self, text: str) -> str:
        """Treat a method: one that HTTP does not define is replaced."""
        return text if text in METHODS else self.word(text)

    @staticmethod
    def workload(pod: str) -> str | None:
        """Return the workload that a pod's name tells."""
        parts = _POD.fullmatch(pod)
        return parts and parts["workload"]

    # ---------- words

    def _names(self, text: str) -> str:
        made, end = [], 0
        for port in _PORT.finditer(text):
            made += [WORD.sub(lambda word: self._name_word(word[0]), text[end : port.start()]), port[0]]
            end = port.end()
        made.append(WORD.sub(lambda word: self._name_word(word[0]), text[end:]))
        return "".join(made)

    def _segment(self, segment: str) -> str:
        if not segment or UUID.fullmatch(segment):
            return segment and self._uuid(segment)
        if found := _THING.fullmatch(segment):
            suffix = found[1] or ""
            short = suffix if suffix in ("", *SUFFIXES) else f".x{self._digits('suffix', suffix, 4)}"
            return "9" + self._digits("number", segment.removesuffix(suffix), 15) + short
        return ".".join(piece and ("n" + self._digits("word", piece, 15)) for piece in segment.split("."))

    def _name_word(self, word: str) -> str:
        if word in NAME_WORDS or word in self.kept:
            return word
        if word.endswith(_SHADOW):  # Istio names mirrored traffic so
            return self._name_word(word.removesuffix(_SHADOW)) + _SHADOW
        return self.word(word)

    def _text_word(self, word: str) -> str:
        return word if word.lower() in TEXT_WORDS or re.fullmatch(r"[0-9]{1,5}", word) else self.word(word)

    def _word(self, text: str) -> str:
        if UUID.fullmatch(text):
            return self._uuid(text)
        if re.fullmatch(r"[0-9]+", text):
            return "9" + self._digits("number", text, 15)
        return "n" + self._digits("word", text, 15)

    def _uuid(self, text: str) -> str:
        digits = self._digits("uuid", text.lower(), 32)
        parts = (digits[:8], digits[8:12], text[14].lower() + digits[13:16], digits[16:20], digits[20:])
        return "-".join(parts)

    def _suffix(self, text: str) -> str:
        """Spell five characters that Kubernetes never would: it uses no vowel."""
        number = int(self._digits("pod", text, 18))
        made = ""
        for alphabet in ("aeiou", _LETTERS, _LETTERS, "0123456789", _LETTERS):
            number, place = divmod(number, len(alphabet))
            made += alphabet[place]
        return made

    # ---------- addresses

    def _around_addresses(self, text: str, treat: Callable[[str], str]) -> str:
        made, end = [], 0
        for found in ADDRESS.finditer(text):
            if replaced := self._address(found[0], text[found.end() : found.end() + 1] == ":"):
                made += [treat(text[end : found.start()]), replaced]
                end = found.end()
        # a port right behind an address has lost what told it from a number
        rest = re.sub(r"^:\d{1,5}(?!\w)", "", text[end:]) if made else text[end:]
        port = text[end : len(text) - len(rest)]
        return "".join(made) + port + treat(rest)

    def _address(self, text: str, has_port: bool) -> str | None:
        try:
            address = str(ipaddress.ip_address(text.strip("[]")))
        except ValueError:
            if not _FOUR_NUMBERS.fullmatch(text):
                return None
            address = text  # numbers with leading zeros, or too large ones
        if address in COMMON:
            return text
        digits = self._digits("address", address, 16)
        made = f"fd00::{digits[:4]}:{digits[4:8]}:{digits[8:12]}:{digits[12:]}"
        return f"[{made}]" if has_port or text.startswith("[") else made

    def _digits(self, kind: str, text: str, count: int) -> str:
        """Return `count` digits, up to 36, that the key, the kind and the text decide."""
        hashed = hmac.digest(self._key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"{int.from_bytes(hashed[:24]) % 10**count:0{count}d}"

    def weeks(self) -> int:
        """Return by how many weeks the key sets times back: 1 to 520."""
        return 1 + int(self._digits("weeks", "", 18)) % 520


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
