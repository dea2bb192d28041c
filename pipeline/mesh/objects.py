"""Reads Kubernetes and Istio objects, single or in lists, as rows: their fields without secrets, and what is unknown.

A kind that is understood must have the shape that its API documents, else its document is refused, so that a half
written object never passes for one that sets nothing. Fields and versions that are newer than this are kept.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from pipeline.mesh.checks import Path, check, wrong
from pipeline.mesh.kinds import KEPT_GROUPS, MAY_BE_EMPTY, METADATA, ONLY_KNOWN_FIELDS, UNDERSTOOD
from pipeline.mesh.secrets import without_secrets
from pipeline.mesh.shapes import Document, LeftOut, Row

_OWNERS = ("kind", "name")


def is_object(value: Any) -> bool:
    """Say whether a value is an object of Kubernetes, or a list of some, by its keys."""
    return isinstance(value, dict) and ("apiVersion" in value or "kind" in value)


def objects(document: Document, value: Any, path: Path = ()) -> Iterator[Row | LeftOut]:
    """Yield the objects of a value, which may be a list of its own or of Kubernetes' kind.

    Raises `InputError` naming document and line where an object has no kind or name, or not its kind's shape.
    """
    if str(value.get("kind", "")).endswith("List") and "items" in value:
        items = value["items"]
        if not isinstance(items, list | None):
            raise wrong(document, (*path, "items"), "must be a list")
        for number, item in enumerate(items or ()):
            yield from objects(
                document, _typed(item, value, document, (*path, "items", number)), (*path, "items", number)
            )
    else:
        yield _object(document, value, path)


def _typed(item: Any, of: dict[str, Any], document: Document, path: Path) -> dict[str, Any]:
    """Give an item of a list such as VirtualServiceList the kind that only the list names."""
    if not isinstance(item, dict):
        raise wrong(document, path, "must be an object")
    kind = of["kind"].removesuffix("List")
    return item if "kind" in item or not kind else {"apiVersion": of.get("apiVersion"), "kind": kind, **item}


def _object(document: Document, value: dict[str, Any], path: Path) -> Row | LeftOut:
    kind = _text(document, value, path, "kind", "Give whole objects, as kubectl get -o yaml writes them")
    api = _text(document, value, path, "apiVersion", "Give whole objects, as kubectl get -o yaml writes them")
    group, _, version = api.rpartition("/")
    if (group, kind) not in UNDERSTOOD and not group.endswith(KEPT_GROUPS):
        return LeftOut(kind, "secrets are not stored" if kind == "Secret" else "tells nothing about the mesh")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        raise wrong(document, (*path, "metadata"), f"is missing in this {kind}, or no object")
    name = _text(document, metadata, (*path, "metadata"), "name", "The output may be cut short")
    if metadata.get("namespace") is not None:
        _text(document, metadata, (*path, "metadata"), "namespace", "Quote it, where it is a number")
    check(document, metadata, METADATA, (*path, "metadata"))
    shape = UNDERSTOOD.get((group, kind))
    unknown: set[str] = set()
    body = {key: part for key, part in value.items() if key not in ("apiVersion", "kind", "metadata")}
    if shape is not None:
        if "spec" in shape and kind not in MAY_BE_EMPTY and not isinstance(body.get("spec"), dict):
            raise wrong(document, (*path, "spec"), f"is missing in this {kind}, or no object")
        for part in shape.keys() & body.keys():
            unknown |= check(document, body[part], shape[part], (*path, part), (part,))
    if kind in ONLY_KNOWN_FIELDS and shape is not None:
        body = _known(body, shape)
        unknown = set()
    else:
        body.pop("status", None)
    owners = [{key: owner.get(key) for key in _OWNERS} for owner in metadata.get("ownerReferences") or ()]
    body = without_secrets({**body, **({"owners": owners} if owners else {})})
    labels = without_secrets(metadata.get("labels") or {})
    values = {
        "kind": kind,
        "api_group": group,
        "api_version": version,
        "namespace": metadata.get("namespace"),
        "name": name,
        "labels": _json(labels),
        "body": _json(body),
        "is_understood": shape is not None,
        "unknown_fields": sorted(unknown),
    }
    return Row("mesh/objects", kind, values)


def _known(value: Any, shape: Any) -> Any:
    """Return of a value what its shape names."""
    if isinstance(shape, list) and isinstance(value, list):
        return [_known(item, shape[0]) for item in value]
    if isinstance(shape, dict) and isinstance(value, dict):
        named = {key: shape.get(key, shape.get("*")) for key in value}
        return {key: _known(each, named[key]) for key, each in value.items() if named[key] is not None}
    return value


def _text(document: Document, value: dict[str, Any], path: Path, key: str, remedy: str) -> str:
    found = value.get(key)
    if not isinstance(found, str) or not found:
        raise wrong(document, (*path, key), f"is missing, or no text. {remedy}")
    return found


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
