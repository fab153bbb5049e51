"""What makes strangers' text harmless, and messages short enough; everything that reaches a chat goes through here."""

from __future__ import annotations

import re
import unicodedata
from typing import Callable

LIMIT = 128  # code points of one value: ten of the longest values still fit a chat message
# What would steer a terminal or a chat client, hide, or turn the reading order: controls, soft hyphen, Arabic letter
# mark, zero-width and bidirectional controls, line separators, surrogates (bytes that were not UTF-8), tag characters.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_TAGS = str.maketrans("<>", "\uff1c\uff1e")
# What opens markup within a line of Markdown; the dialects of chat services do not say whether they know an escape.
MARKUP = frozenset("\\`*_[]#|~")
_TWINS = str.maketrans({char: chr(ord(char) + 0xFEE0) for char in MARKUP})
# Places in a link, a mention or an entity that fall apart when a zero-width space follows. The dots are all those that
# clients and IDNA take for one; a digit beside it counts, since 163.com is a link too.
_JOINT = re.compile(r":(?=//)|@|&(?=#?\w)|(?<=\w)(?=[.\u3002\uff0e\uff61]\w)")
JOINT = "\u200b"
_MORE = "\u2026"


def clean(value: str, limit: int = LIMIT) -> str:
    """Return a stranger's text as one harmless line of at most `limit` code points, the last an ellipsis if it was cut.

    Each character that could act instead of being shown becomes U+FFFD, so it is seen that something was there.
    """
    near = value[: 4 * limit]  # bounds the work of normalising: it is quadratic in a run of combining marks
    text = _UNSAFE.sub("\ufffd", unicodedata.normalize("NFC", near))
    return text if len(text) <= limit and near == value else text[: limit - 1] + _MORE


def inert(value: str) -> str:
    """Return cleaned text in which no chat client finds a mention, a tag, an entity or a link.

    Angle brackets become their full-width twins, everything else is broken by a zero-width space.
    """
    return _JOINT.sub(f"\\g<0>{JOINT}", value.translate(_TAGS))


def flat(value: str) -> str:
    """Return cleaned text, for a line of Markdown of its own, in which there is neither markup nor what `inert` breaks.

    What opens markup becomes its full-width twin; the zero-width space in front keeps the line from being an item.
    """
    return "\u200b" + inert(value).translate(_TWINS)


def utf8(text: str) -> int:
    """Return the length in bytes."""
    return len(text.encode("utf-8", "backslashreplace"))


def utf16(text: str) -> int:
    """Return the length in UTF-16 code units, the unit of Telegram."""
    return len(text.encode("utf-16-le", "backslashreplace")) // 2


def cut(text: str, limit: int, size: Callable[[str], int] = len) -> str:
    """Return at most `limit` units of a text, the last character an ellipsis if it was cut.

    `size` gives a text's length in the units of the service; it must grow with the text.
    """
    if size(text) <= limit:
        return text
    low, high = 0, len(text)  # how many characters are kept at least, and at most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle] + _MORE) <= limit else (low, middle - 1)
    return text[:low] + _MORE
