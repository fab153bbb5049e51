"""How messages are written: language, zone, templates; times and lengths of time in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core.words import UNITS

if TYPE_CHECKING:
    from datetime import datetime, tzinfo


class Look(NamedTuple):
    """How messages are written: `zh` or `en`, the zone their times are told in.

    `title`, `body`: templates for the messages about one event, over `FACTS`; None for our own words.
    """

    language: str
    zone: tzinfo
    title: Optional[str] = None
    body: Optional[str] = None


def duration(seconds: float, language: str) -> str:
    """Return whole seconds in words, `1小时2分3秒` or `1h 2m 3s`; a clock that was set back gives zero."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in UNITS[language]:
        amount, left = divmod(left, size)
        if amount or (size == 1 and not parts):
            parts.append(f"{amount}{unit}")
    return "".join(parts).rstrip()


def when(moment: datetime, zone: tzinfo) -> str:
    """Return `YYYY-MM-DD HH:mm:ss` in `zone`; a time at the edge of the calendar stays in its own."""
    try:
        local = moment.astimezone(zone)
    except OverflowError:  # a log may claim to be written in the last hour of the year 9999
        local = moment
    return local.isoformat(" ", "seconds")[:19]
