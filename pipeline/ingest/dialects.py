"""Names the format of a record, for `inspect.py`: a guess in words that decides nothing about how lines are read."""

from collections.abc import Mapping
from typing import Any

import orjson

from pipeline.ingest import unescaped
from pipeline.ingest.fields import CODE, FieldMap
from pipeline.ingest.origins import KEYS
from pipeline.ingest.textlines import LAYOUTS

_ISTIO_KEYS = """
start_time method path protocol response_code response_flags response_code_details connection_termination_details
upstream_transport_failure_reason bytes_received bytes_sent duration upstream_service_time x_forwarded_for user_agent
request_id authority upstream_host upstream_cluster upstream_local_address downstream_local_address
downstream_remote_address requested_server_name route_name istio_policy_status
"""
ISTIO_KEYS = frozenset(_ISTIO_KEYS.split())
"""Keys of Istio's default JSON in all versions (envoy-facts 2.1)."""

_TOLD = frozenset(KEYS.values())
_TEXT_KEYS = {frozenset((*layout.pattern.groupindex, CODE)): layout.name for layout in LAYOUTS}
_TEXT_FIRST = ("start_time", "method", "path", "protocol")
_MOST_OF_THEM = 18


def read_keys(text: bytes, fields: FieldMap) -> Mapping[str, Any] | None:
    """Return a record's values by its keys, without those that a wrapper told it; None for what is no record."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = unescaped.read(text, lambda key: fields.column(key) is not None)
    if not isinstance(found, dict):
        return None
    return {key: value for key, value in found.items() if key not in _TOLD}


def dialect(text: bytes, found: Mapping[str, Any]) -> str:
    """Name the format that writes such a record."""
    keys = frozenset(found)
    in_text = _TEXT_KEYS.get(keys)
    if in_text and (tuple(found)[:4] == _TEXT_FIRST or in_text.endswith("1.0.9")):
        return in_text
    return f"{_family(keys)}, {_style(text, found)}"


def _family(keys: frozenset[str]) -> str:
    if "x-envoy-origin-path" in keys:
        return "Envoy Gateway JSON"
    if "@timestamp" in keys and "upstream_cluster" in keys:
        return "Contour JSON"
    if keys <= ISTIO_KEYS and len(keys) >= _MOST_OF_THEM:
        return "Istio default JSON"
    if len(keys & ISTIO_KEYS) >= _MOST_OF_THEM:
        return "Istio JSON with keys of its own"
    return "JSON of another format"


def _style(text: bytes, found: Mapping[str, Any]) -> str:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return "written by a text template, unescaped"
    kinds = {type(value) for value in found.values()}
    if kinds == {str}:
        return "all values strings"
    return "numbers as floats" if float in kinds and int not in kinds else "typed values"
