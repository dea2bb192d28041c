"""Takes a source's text apart into documents: YAML, JSON (also several one after another), or printed tables.

Scalars are read as YAML 1.2's core schema has them, as Kubernetes does in effect: no sexagesimal numbers, no dates, and
`yes` is a word.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import yaml

from pipeline.mesh.shapes import Document, Text, misread
from pipeline.mesh.tables import printed_tables

_MAX_DEPTH = 100
_MAX_VALUES = 10_000_000
"""More is no configuration, but an attempt to fill the memory with a few lines of anchors and aliases."""

_SEPARATOR = re.compile(r"^(?:---|\.\.\.)(?:[ \t].*)?$", re.MULTILINE)


_OBJECT = re.compile(r"^(?:apiVersion|kind):", re.MULTILINE)
_OTHER_TABLE = re.compile(r"\s*[A-Z][A-Z()/-]*(?: +[A-Z()/-]+)+ *$", re.MULTILINE)
"""A header such as kubectl prints: NAME   TYPE   CLUSTER-IP   AGE."""


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - yaml's own class variable


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", "<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


def documents(text: Text) -> Iterator[Document]:
    """Yield the documents of a source in their order.

    Raises `InputError` naming document and line where one is neither YAML nor JSON nor a table of istioctl's.
    """
    number = 0
    for first_line, part in _parts(text.text):
        for offset, value in _values(text.source, number + 1, first_line, part):
            number += 1
            line = first_line + part[:offset].count("\n")
            if not _is_sound(value):
                raise misread(
                    text.source, number, line, "is nested too deeply, or grows too large. Write it out plainly"
                )
            yield Document(text.source, number, line, part, value)


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Split at the lines that begin a YAML document; yield each part with its first line's number."""
    line, begin = 1, 0
    for separator in [*_SEPARATOR.finditer(text), None]:
        part = text[begin : separator.start() if separator else len(text)]
        if any(row.strip() and not row.startswith(("#", "%")) for row in part.splitlines()):
            lead = len(part) - len(part.lstrip("\n"))
            yield line + lead, part[lead:]
        if separator:
            line += text[begin : separator.end()].count("\n")
            begin = separator.end()


def _values(source: str, number: int, first_line: int, part: str) -> Iterator[tuple[int, Any]]:
    """Yield what a part holds, each value with the place where it begins."""
    if part.lstrip()[:1] in ("{", "["):
        yield from _json_values(source, number, first_line, part)
        return
    # a text within an object may show a table
    tables = [] if _OBJECT.search(part) else printed_tables(part)
    if not tables and _OTHER_TABLE.match(part):
        raise misread(
            source,
            number,
            first_line,
            "this table is printed for people, and leaves out what matters. Write it anew with -o yaml or -o json",
        )
    yield 0, tables or _yaml_value(source, number, first_line, part)


def _json_values(source: str, number: int, first_line: int, part: str) -> Iterator[tuple[int, Any]]:
    try:
        yield 0, orjson.loads(part)
        return
    except orjson.JSONDecodeError:
        pass  # several values one after another, or a mistake, whose place json tells
    decoder, place = json.JSONDecoder(), 0
    while place < len(part):
        place += len(part[place:]) - len(part[place:].lstrip())
        if place == len(part):
            return
        try:
            value, end = decoder.raw_decode(part, place)
        except (ValueError, RecursionError) as error:
            at = error.pos if isinstance(error, json.JSONDecodeError) else place
            line = first_line + _lines_before(part, at)
            what = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            is_cut = not part[at:].strip() or what.startswith("Unterminated string")
            cut = ". The output is cut short" if is_cut else ""
            raise misread(source, number, line, f"this is no JSON: {what}{cut}. Write it anew with -o json") from error
        yield place, value
        place, number = end, number + 1


def _lines_before(part: str, at: int) -> int:
    """Count the lines before a place; what is missing at the end is missing in the last line that says anything."""
    return part[: min(at, len(part.rstrip()))].count("\n")


def _yaml_value(source: str, number: int, first_line: int, part: str) -> Any:
    try:
        return yaml.load(part, _Loader)  # noqa: S506 - a safe loader, see above
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        # a control character has a place instead of a mark
        at = mark.index if mark else getattr(error, "position", 0)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        line = first_line + _lines_before(part, at)
        raise misread(source, number, line, f"this is no YAML: {what}. Write it anew with -o yaml") from error


def _is_sound(value: Any) -> bool:
    """Say whether a value is neither nested too deeply nor too large once its aliases are followed."""
    pending, seen = [(value, 0)], 0
    while pending:
        each, depth = pending.pop()
        if isinstance(each, dict | list):
            seen += len(each)
            if depth > _MAX_DEPTH or seen > _MAX_VALUES:
                return False
            pending += [(one, depth + 1) for one in (each.values() if isinstance(each, dict) else each)]
    return True


def line_of(document: Document, path: tuple[str | int, ...]) -> int:
    """Return the line at which a path's value stands; the deepest that can be found of it."""
    try:
        node = yaml.compose(document.text, _Loader)
    except yaml.YAMLError:  # JSON with tabs, or several values in one part
        return document.first_line
    line = 0
    for step in path:
        found = _child(node, step)
        if found is None:
            break
        line, node = found
    return document.first_line + line


def _child(node: Any, step: str | int) -> tuple[int, Any] | None:
    """Return the line and the node of a mapping's key or a sequence's place."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    return None
