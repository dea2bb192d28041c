"""Text from strangers, made safe to look at, and what stands for a name that nobody knows."""

import unicodedata

_INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")
"""Unicode categories that steer a terminal or the direction of text: control, format, line and paragraph ends."""


def visible(text: str) -> str:
    r"""Return `text` with every control and direction character as an escape such as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _INVISIBLE else char for char in text
    )


def whom(culprit: str | None, cause: str | None, service: str | None) -> str:
    """Return the service that has to change something, or why none is named.

    Where the called service has no name either, the lines do not tell whether the culprit is a part of the mesh.
    """
    if culprit:
        return culprit
    return "not known" if cause == "unknown" or service is None else "outside the mesh"
