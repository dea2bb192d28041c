"""Proves that what was shared holds no raw value: reads it again, all of it, and searches it for every one.

A raw value is what stood in a sensitive column: the whole of it, its words, the parts of its names, its addresses.
Those with letters and at least four characters are searched anywhere, inside longer words too; shorter ones and numbers
as whole words. Not searched are numbers of up to five digits, since ports and codes stay, and the words that every mesh
has, since these stay as well. What a finding is never depends on how a value was treated.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ahocorasick_rs
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.share.columns import KEPT_KEYS, SENSITIVE
from pipeline.share.pseudonyms import ADDRESS, AGENTS, COMMON, METHODS, NAME_WORDS, NAMES, TEXT_WORDS, UUID, WORD

AT_ONCE = 300_000
"""How many raw values are searched in one pass over what was shared: what bounds the memory."""

_OWN_WORDS = (
    "inbound outbound unknown sidecar gateway waypoint access_logs quarantine parquet ledger lake.json date hour "
    "HTTP/1.0 HTTP/1.1 HTTP/2 HTTP/3 TCP fd00 envoy:// 0.0.0.0 format"
)
_PSEUDONYM = re.compile(rf"{UUID.pattern}|fd00(?::\d{{0,4}}){{5}}")
_SCHEMA = b"ARROW:schema"
_PLAIN = re.compile(r"n?[0-9]+")


@dataclass
class Proof:
    """What was searched, and what was found: places and the raw values that stood there."""

    values: int = 0
    texts: int = 0
    files: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)


class Exempt:
    """Says which raw values are not searched for: those that are part of a word that every mesh has."""

    def __init__(self, kept: Iterable[str]) -> None:
        own = (_OWN_WORDS.split(), COMMON, NAMES, NAME_WORDS, METHODS, AGENTS, TEXT_WORDS, KEPT_KEYS, kept)
        self._words = "\n".join(word for words in own for word in words).lower()

    def __contains__(self, text: str) -> bool:
        return re.fullmatch(r"[0-9]{0,5}", text) is not None or text.lower() in self._words


def prove(originals: Iterable[Path], out: Path, kept: Iterable[str], allowed: Iterable[str]) -> Proof:
    """Search everything below `out` for every raw value of the original files; `kept` names and `allowed` keys stay."""
    proof = Proof(files=sum(path.is_file() for path in out.rglob("*")))
    exempt = Exempt(kept)
    gathered: set[str] = set()
    for raw in _raw_values(originals, exempt, frozenset(allowed)):
        gathered |= raw
        if len(gathered) >= AT_ONCE:
            _search(gathered, out, proof)
            gathered = set()
    _search(gathered, out, proof)
    return proof


# ---------- what is searched for


def _raw_values(originals: Iterable[Path], exempt: Exempt, allowed: frozenset[str]) -> Iterator[set[str]]:
    for path in originals:
        for batch in pq.ParquetFile(path).iter_batches(columns=list(SENSITIVE)):
            for name in SENSITIVE:
                texts = pc.unique(batch.column(name).cast(pa.string())).drop_null().to_pylist()
                yield {raw for text in texts for raw in _parts(name, text, allowed) if _is_raw(raw, exempt)}


def _parts(column: str, text: str, allowed: frozenset[str]) -> Iterator[str]:
    """Take a value apart: itself, its words, the parts of words with hyphens, its addresses."""
    if column == "extra":
        found: dict[str, Any] = orjson.loads(text)
        for key, value in found.items():
            if key not in KEPT_KEYS | allowed:
                yield from _parts("", orjson.dumps(value).decode(), allowed)
        return
    yield text
    for word in WORD.findall(text):
        yield word
        if not UUID.fullmatch(word):
            yield from word.split("-")
    yield from (found[0].strip("[]") for found in ADDRESS.finditer(text))


def _is_raw(text: str, exempt: Exempt) -> bool:
    """Say whether a text tells something: an address, or a text with a word that does."""
    if ADDRESS.fullmatch(text):
        return text not in exempt
    return text not in exempt and any(word not in exempt for word in WORD.findall(text))


# ---------- the search


def _search(raw: set[str], out: Path, proof: Proof) -> None:
    words = {text for text in raw if len(text) < 4 or _PLAIN.fullmatch(text)}
    anywhere = ahocorasick_rs.AhoCorasick(sorted(raw - words))
    proof.values += len(raw)
    proof.texts = 0
    for place, texts in _shared_texts(out):
        proof.texts += len(texts)
        text = "\n".join(texts)
        left = set(anywhere.find_matches_as_strings(text))
        spoken = WORD.findall(_PSEUDONYM.sub(" ", text))
        left |= words.intersection(spoken) | words.intersection(part for word in spoken for part in word.split("-"))
        proof.found += [(place, each) for each in sorted(left)]


def _shared_texts(out: Path) -> Iterator[tuple[str, list[str]]]:
    """Read every text below a folder: names of files, values of columns and of JSON, metadata."""
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        place = path.relative_to(out).as_posix()
        yield f"the name {place}", [place]
        if path.suffix == ".json":
            yield place, list(_strings(orjson.loads(path.read_bytes())))
        elif path.suffix != ".parquet":
            yield place, [path.read_text(encoding="utf-8")]
        else:
            yield from _parquet_texts(path, place)


def _parquet_texts(path: Path, place: str) -> Iterator[tuple[str, list[str]]]:
    file = pq.ParquetFile(path)
    metadata = file.metadata.metadata or {}
    yield f"{place}, metadata", [value.decode("latin-1") for key, value in metadata.items() if key != _SCHEMA]
    for batch in file.iter_batches():
        for column in batch.schema.names:
            values = batch.column(column)
            if pa.types.is_dictionary(values.type) or pa.types.is_string(values.type):
                yield f"{place}, column {column}", pc.unique(values.cast(pa.string())).drop_null().to_pylist()


def _strings(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from _strings(each)
