"""Text from strangers, made safe to look at."""

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
