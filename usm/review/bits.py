"""What the sections of the page of a review are made of; every stranger's text goes through `text`."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from usm.core.look import duration
from usm.core.tame import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAMED = 3  # values in a cell
_HOUR, _DAY, _MINUTE = 3600, 86400, 60


def text(value: str, limit: int = 64) -> str:
    """Return a stranger's text as HTML that shows it, and does nothing else."""
    return escape(clean(value, limit))


def own(value: str, limit: int = 64) -> str:
    """Return it so that its direction does not touch what stands beside it."""
    return f"<bdi>{text(value, limit)}</bdi>"


def some(values: Sequence[str], words: dict[str, str], between: str = "<br>", *, code: bool = False) -> str:
    """Return the first of several values, one a line, and how many more there are."""
    shown = [f"<code>{text(value, 60)}</code>" if code else own(value) for value in values[:NAMED]]
    others = [words["others"].format(count=len(values) - NAMED)] if len(values) > NAMED else []
    return between.join([*shown, *others]) or "-"


def table(
    name: str,
    caption: str,
    heads: Sequence[tuple[str, str]],
    rows: Iterable[Sequence[str]],
    *,
    said: bool = False,
) -> str:
    """Return a table whose first column names the row. `heads`: (class, text); a keyboard can scroll it sideways.

    `said`: the heading above says what the caption does, which then is for screen readers only.
    """
    top = "".join(f'<th scope="col"{_style(style)}>{head}</th>' for style, head in heads)
    out = []
    for first, *rest in rows:
        cells = "".join(f"<td{_style(style)}>{cell}</td>" for (style, _), cell in zip(heads[1:], rest))
        out.append(f'<tr><th scope="row"{_style(heads[0][0])}>{first}</th>{cells}</tr>')
    return (
        f'<div class="wide" role="group" aria-labelledby="{name}-c" tabindex="0">'
        f'<table><caption id="{name}-c"{_style("vh" if said else "")}>{caption}'
        f"</caption><thead><tr>{top}</tr></thead><tbody>\n{chr(10).join(out)}\n</tbody></table></div>"
    )


def _style(name: str) -> str:
    return f' class="{name}"' if name else ""


def more(count: int, most: int, words: dict[str, str]) -> str:
    """Say how many rows were left out, if any."""
    return f'<p class="soft">{words["more"].format(count=count - most)}</p>' if count > most else ""


def roughly(seconds: float, language: str) -> str:
    """Return a length of time; of a long one nobody needs the seconds, of a very long one not the minutes."""
    unit = _HOUR if seconds >= 10 * _DAY else _MINUTE if seconds >= _HOUR else 1
    return duration(seconds // unit * unit, language)
