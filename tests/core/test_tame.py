"""Whatever strangers write stays text, and whatever is too long is cut in the service's own unit."""

from __future__ import annotations

import re
import unicodedata
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from usm.core.tame import clean, cut, flat, inert, utf8, utf16

MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})
UNSAFE = set("\x00\t\n\r\x1b\x7f\x85\x9b\u2028\u2029\xad\u061c\ufeff\udc80")
UNSAFE |= {chr(n) for a, b in ((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2069)) for n in range(a, b + 1)}


@pytest.mark.parametrize("char", sorted(UNSAFE), ids=lambda char: f"U+{ord(char):04X}")
def test_characters_that_act_become_visible(char: str) -> None:
    """They are replaced, not dropped: two names do not become one."""
    assert clean(f"a{char}b") == "a\ufffdb"


def test_cleaning_composes_and_cuts() -> None:
    """The limit counts what is shown, and long input costs no more than short."""
    assert clean("e\u0301") == "é"
    assert clean("x" * 128) == "x" * 128
    assert clean("x" * 129) == "x" * 127 + "…"
    assert clean("abcdef", 4) == "abc…"
    assert clean("e" + "\u0301" * 100_000) == "é" + "\u0301" * 126 + "…"
    assert clean("\u1112\u1161\u11ab" * 200) == "한" * 127 + "…"


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_is_cleaned_is_one_short_printable_line(value: str) -> None:
    """For any text at all, and it can be sent as UTF-8."""
    cleaned = clean(value)
    assert len(cleaned) <= 128
    assert not UNSAFE & set(cleaned)
    assert len(cleaned.splitlines()) <= 1
    assert not {unicodedata.category(char) for char in cleaned} & {"Cc", "Cs", "Zl", "Zp"}
    cleaned.encode()


@pytest.mark.parametrize(
    ("value", "tame"),
    [
        ('<at user_id="all">x</at>', '＜at user_id="all"＞x＜/at＞'),
        ("https://evil.example/a", "https:\u200b//evil\u200b.example/a"),
        ("www.evil.com", "www\u200b.evil\u200b.com"),
        ("163.com", "163\u200b.com"),
        ("evil\u3002com \uff0e", "evil\u200b\u3002com \uff0e"),
        ("me@evil.com", "me@\u200bevil\u200b.com"),
        ("&lt;at&gt; a && b", "&\u200blt;at&\u200bgt; a && b"),
        ("alice-2", "alice-2"),
        ("/usr/bin/id .", "/usr/bin/id ."),
        ("SHA256:abc+/d", "SHA256:abc+/d"),
    ],
)
def test_inert_text_holds_no_link_mention_or_tag(value: str, tame: str) -> None:
    """What is harmless stays as it is."""
    assert inert(value) == tame


@given(st.text("ab.:/@<>&;w", max_size=40))
def test_no_way_around_inert(value: str) -> None:
    """No overlapping pieces form a link."""
    assert not re.search(r"[<>]|://|\w\.\w|www\.\w|@\w|&\w", inert(value))


@given(st.text("ab.:/@<>&;w*_`[]()#~|\\\\-+1! ", max_size=40))
def test_no_markdown_is_left_in_flat_text(value: str) -> None:
    """A real parser finds nothing but text in it, as a line and as an item of a list."""
    for prefix in ("", "- ", "> ", "### "):
        (line,) = [token for token in MARKDOWN.parse(prefix + flat(value)) if token.type == "inline"]
        assert [child.type for child in line.children or ()] in (["text"], []), value


@pytest.mark.parametrize("size", [len, utf8, utf16])
@given(value=st.text(max_size=60), limit=st.integers(4, 80))
def test_a_cut_text_fits_and_shows_that_it_was_cut(value: str, limit: int, size: Callable[[str], int]) -> None:
    """As much is kept as fits, in whole characters."""
    shown = cut(value, limit, size)
    assert size(shown) <= limit
    if shown != value:
        assert shown.endswith("…")
        assert size(value) > limit
        assert size(value[: len(shown)] + "…") > limit


def test_units() -> None:
    """A character outside of the basic plane has four bytes, and two units of UTF-16."""
    assert (utf8("é"), utf8("\U0001f480"), utf16("é"), utf16("\U0001f480")) == (2, 4, 1, 2)
