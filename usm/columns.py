"""Rows → columns by the cells of a terminal, of which a Chinese character takes two; cut where they must fit."""

from __future__ import annotations

import unicodedata
from itertools import islice
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_GAP, _MORE = "  ", "\u2026"
_NARROWEST = 4  # cells of a column that was shrunk
_PIECE = 1000  # rows that are laid out together: more are not held


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: Optional[int] = None) -> str:
    """Return the rows below their head, no wider than `width` cells, if it is given and there is room at all."""
    return "\n".join(_laid((head, *rows), _shrunk(_widths((head, *rows)), width)))


def lines(head: Sequence[str], rows: Iterable[Sequence[str]], width: Optional[int] = None) -> Iterator[str]:
    """Yield the lines of a table of any length; columns become wider where later rows need it."""
    left = iter(rows)
    piece = [head, *islice(left, _PIECE)]
    widths = [0] * len(head)
    while piece:
        widths = [max(pair) for pair in zip(widths, _widths(piece))]
        yield from _laid(piece, _shrunk(widths, width))
        piece = list(islice(left, _PIECE))


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes; marks that stand above a letter take none."""
    return len(text) if text.isascii() else sum(map(_cell, text))


def cut(text: str, most: int) -> str:
    """Return at most so many cells of a text, the last an ellipsis if it was cut."""
    if cells(text) <= most:
        return text
    room, kept = most - 1, ""
    for char in text:
        room -= _cell(char)
        if room < 0:
            break
        kept += char
    return kept + _MORE


def _cell(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cells, column)) for column in zip(*rows)]


def _shrunk(widths: Sequence[int], width: Optional[int]) -> list[int]:
    """Take what is too much from the widest column, again and again."""
    left = list(widths)
    while width is not None and sum(left) + len(_GAP) * (len(left) - 1) > width and max(left) > _NARROWEST:
        left[left.index(max(left))] -= 1
    return left


def _laid(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for row in rows:
        shown = [cut(cell, width) for cell, width in zip(row, widths)]
        yield _GAP.join(cell + " " * (width - cells(cell)) for cell, width in zip(shown, widths)).rstrip()
