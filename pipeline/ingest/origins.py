"""Which pod, namespace and node a line comes from: what paths and wrappers know, and how it travels with the line.

What a wrapper knows is written into the record as one more key, as if Envoy had logged it. So every later stage has
one input, a record, and reads many of them at once; a record that names its pod itself keeps its own word.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import orjson


@dataclass(frozen=True)
class Origin:
    """Where a line comes from, as far as its path or its wrapper tells."""

    pod: str | None = None
    namespace: str | None = None
    node: str | None = None

    def or_else(self, outer: "Origin") -> "Origin":
        """Fill what is not known from a wrapper further out."""
        if outer == NOWHERE or self == outer:
            return self
        return Origin(self.pod or outer.pod, self.namespace or outer.namespace, self.node or outer.node)


NOWHERE = Origin()

KEYS = {"pod": "kubernetes_pod_name", "namespace": "kubernetes_namespace_name", "node": "kubernetes_host"}
"""The keys under which a record is told its origin; `fields.SPELLINGS` knows them."""

_OWN = re.compile(
    rb'"(?:kubernetes[._])?(?:(?P<pod>pod(?:[._-]?[Nn]ame)?|hostname)|'
    rb'(?P<namespace>(?:pod_)?namespace(?:_name)?)|(?P<node>node(?:[._-]?[Nn]ame)?|kubernetes[._]host))"\s*:'
)
_OWN_WORDS = (b'"pod', b'"kubernetes', b'"hostname', b'"namespace', b'"node')


def told(text: bytes, origin: Origin) -> bytes:
    """Return a JSON record with its origin as its last keys, so that places in it stay what they were.

    What is no whole object stays as it is.
    """
    if origin == NOWHERE or not text.startswith(b"{") or not text.endswith(b"}") or len(text) < 3:
        return text
    has_own = any(word in text for word in _OWN_WORDS)
    own = frozenset(str(found.lastgroup) for found in _OWN.finditer(text)) if has_own else frozenset()
    ending = _ending(origin, own)
    return text[:-1] + ending if ending else text


@lru_cache(maxsize=4096)
def _ending(origin: Origin, own: frozenset[str]) -> bytes:
    known = {key: value for name, key in KEYS.items() if name not in own and (value := getattr(origin, name))}
    return b"," + orjson.dumps(known)[1:] if known else b""


_POD_FOLDER = re.compile(r"(?P<namespace>[a-z0-9-]+)_(?P<pod>[a-z0-9.-]+)_[0-9a-f-]{16,}")
_CONTAINER_LINK = re.compile(r"(?P<pod>[a-z0-9.-]+)_(?P<namespace>[a-z0-9-]+)_[a-z0-9-]+-[0-9a-f]{64}")
_COLLECTED = re.compile(
    r"(?P<namespace>[a-z0-9-]+)_(?P<pod>[a-z0-9.-]+)_"
    r"(?:(?:istio-proxy|envoy)|(?<=-[a-z0-9]{5}_)[a-z0-9-]+|(?<=-[0-9]_)[a-z0-9-]+)"
)
"""Other names with two underscores say nothing: a pod's name ends as Kubernetes makes them, or a proxy follows it."""


@lru_cache(maxsize=4096)
def origin(path: str) -> Origin:
    """Read pod and namespace from a path of the kubelet's making.

    Knows `.../NS_POD_UID/CONTAINER/0.log`, `.../POD_NS_CONTAINER-ID.log` and `.../NS_POD_CONTAINER.log`.
    """
    for found in _matches(PurePosixPath(path)):
        return Origin(found["pod"], found["namespace"])
    return NOWHERE


def _matches(path: PurePosixPath) -> Iterator[re.Match[str]]:
    folder = path.parent.parent.name
    stem = re.split(r"\.log(?:[.-]|$)", path.name)[0]
    tries = [(_POD_FOLDER, folder), (_CONTAINER_LINK, stem)]
    if stem != path.name:
        tries.append((_COLLECTED, stem))
    for pattern, text in tries:
        if found := pattern.fullmatch(text):
            yield found
