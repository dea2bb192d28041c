"""Holds values against the shapes of `kinds` and `parts`, and names the field and the line where one does not fit."""

from typing import Any

from pipeline.errors import InputError
from pipeline.mesh.documents import line_of
from pipeline.mesh.kinds import ANY, NUMBER, TEXT
from pipeline.mesh.shapes import Document

Path = tuple[str | int, ...]


def check(document: Document, value: Any, shape: Any, path: Path = (), field: Path = ()) -> set[str]:
    """Hold what stands at a path of a document against its shape, and return the fields that the shape has not.

    Null fits every shape, but is no item of a list. Raises `InputError` naming document, line and field where an
    object, a list, a number or a single value is something else. `field` is the path as it is told of unknown fields,
    `[]` for any item of a list.
    """
    if shape == ANY or value is None:
        return set()
    if shape in (TEXT, NUMBER):
        if isinstance(value, dict | list):
            raise wrong(document, path, "must be a single value")
        if shape == NUMBER and not str(value).isdecimal():
            raise wrong(document, path, "must be a number")
        return set()
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise wrong(document, path, "must be a list")
        if None in value:
            raise wrong(document, (*path, value.index(None)), "must not be null")
        items = (check(document, item, shape[0], (*path, n), (*field, "[]")) for n, item in enumerate(value))
        return set().union(*items)
    if not isinstance(value, dict):
        raise wrong(document, path, "must be an object")
    unknown: set[str] = set()
    for key, each in value.items():
        inner = shape.get(key, shape.get("*"))
        unknown |= (
            {spoken((*field, key))} if inner is None else check(document, each, inner, (*path, key), (*field, key))
        )
    return unknown


def wrong(document: Document, path: Path, what: str) -> InputError:
    """Make an error that names document, line and field."""
    return document.error(f"{spoken(path) or 'the object'} {what}", line_of(document, path))


def spoken(path: Path) -> str:
    """Write a path as people do: spec.http[0].route."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else step if step == "[]" else f".{step}"
    return text.removeprefix(".")
