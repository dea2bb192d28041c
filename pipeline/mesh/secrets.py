"""Drops what nobody but its owner may read: keys, passwords, tokens, and places in which they are kept.

A value goes where its key says what it is, where the value itself looks like a secret, or where it is so long that it
may be anything. Its key stays, so that it shows that something was set. Names of secrets (`credentialName`) stay.
"""

import re
from typing import Any

DROPPED = "(dropped)"

_LONG_TEXT = 2000

_SECRET_KEY = re.compile(
    r"(?:pass(?:word|wd|phrase)|secrets?|tokens?|credentials?|signatures?"
    r"|(?:api|private|access|secret|hmac|encryption)[-_]?keys?|session[-_]?ticket[-_]?keys"
    r"|inline[-_]?(?:string|bytes|code)|certificate[-_]?chain|trusted[-_]?ca|tls[-_]?certificates?|jwks|local[-_]?jwks)$"
    r"|^(?:proxy-)?authorization$|^(?:set-)?cookie$",
    re.IGNORECASE,
)
_SECRET_PLACE = frozenset(
    (
        *("env", "envFrom", "environmentVariables", "args", "command", "data", "stringData", "binaryData"),
        *("pluginConfig", "vmConfig", "httpHeaders", "annotations", "managedFields"),
        *("clientCertificate", "caCertificates", "serverCertificate"),
    )
)
"""Keys of parts that may hold anything, or that hold key material or its place."""

_SECRET_NAME = re.compile(r"authorization|cookie|token|secret|passw|api[-_]?key|auth[-_]?key", re.IGNORECASE)
"""Names of headers, variables and claims whose values are dropped."""

_PATCH = "patch"
"""What an EnvoyFilter puts into a proxy: anything, of which nothing but `_PLAIN` text stays."""

_PLAIN = re.compile(
    r"envoy(?:\.[a-z0-9_]+)+|type\.googleapis\.com/[\w.]+|\d+(?:\.\d+)?(?:ms|s|m|h)"
    r"|MERGE|ADD|REMOVE|REPLACE|INSERT_(?:BEFORE|AFTER|FIRST)"
)

_BUCKET = frozenset({"max_tokens", "tokens_per_fill"})
"""Tokens of a rate limit, which are numbers and no secrets."""

_NAMING = ("key", "name", "header", "headerName")
_VALUES = ("value", "values", "notValues", "rawValue", "exact", "prefix", "regex", "stringMatch")

_SECRET_TEXT = re.compile(
    r"-----BEGIN|\beyJ[\w-]{8,}\.[\w-]{8,}|\b(?:bearer|basic)\s+\S+|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}",
    re.IGNORECASE,
)
_USER_IN_URL = re.compile(r"(://)[^/@\s]+@")
_SECRET_IN_QUERY = re.compile(r"([?&][\w-]*(?:token|key|password|passwd|secret|sig|signature)=)[^&\s]+", re.IGNORECASE)


def without_secrets(value: Any) -> Any:
    """Return a copy of what YAML or JSON holds without its secrets."""
    if isinstance(value, dict):
        hides = any(_SECRET_NAME.search(str(value[name])) for name in _NAMING if isinstance(value.get(name), str))
        return {
            text_without_secrets(str(key)): DROPPED if hides and key in _VALUES else _value_of(str(key), each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(each) for each in value]
    return text_without_secrets(value) if isinstance(value, str) else value


def _value_of(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if key == _PATCH:
        return _plain(value)
    return DROPPED if _is_secret(key) else without_secrets(value)


def _plain(value: Any) -> Any:
    """Return of a patch its names of filters, durations, numbers and operations."""
    if isinstance(value, dict):
        return {
            text_without_secrets(str(key)): DROPPED if _is_secret(str(key)) and key not in _BUCKET else _plain(each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if not isinstance(value, str) or _PLAIN.fullmatch(value) else DROPPED


def _is_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key) or key in _SECRET_PLACE or ("-" in key and _SECRET_NAME.search(key)))


def text_without_secrets(text: str) -> str:
    """Return a text, or what it may show of itself."""
    if len(text) > _LONG_TEXT or _SECRET_TEXT.search(text):
        return DROPPED
    return _SECRET_IN_QUERY.sub(rf"\1{DROPPED}", _USER_IN_URL.sub(rf"\1{DROPPED}@", text))
