"""Hours of the week, by the clock on the wall: `22:00-06:00`, `mon-fri 08:00-18:00`, `sat,sun`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60
_WEEK = 7
_SPAN = re.compile(
    r"(?P<days>[a-z, -]+?)??\s*(?:(?P<h>[01]\d|2[0-3]):(?P<m>[0-5]\d)-(?P<h2>[01]\d|2[0-4]):(?P<m2>[0-5]\d))?"
)


class Hours(NamedTuple):
    """A span of the clock on some days (0 is Monday), in minutes; one that ends before it begins goes past midnight.

    A span past midnight belongs to the day on which it begins.
    """

    days: frozenset[int]
    start: int
    end: int

    def hold(self, local: datetime) -> bool:
        """Tell whether a local time is within."""
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        yesterday = (day - 1) % _WEEK
        return (day in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


def parse(text: str) -> Optional[Hours]:
    """Read one span; None where it is none. Without days it is every day, without a clock the whole day."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or not text.strip():
        return None
    days = frozenset(range(_WEEK)) if match["days"] is None else _days(match["days"])
    if not days:
        return None
    if match["h"] is None:
        return Hours(days, 0, _DAY)
    start, end = int(match["h"]) * 60 + int(match["m"]), int(match["h2"]) * 60 + int(match["m2"])
    return None if end > _DAY or start == end else Hours(days, start, end)


def _days(text: str) -> frozenset[int]:
    """Return the days of `mon-fri, sun`; none at all where one of them is no day."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            return frozenset()
        begin, end = DAYS.index(first), DAYS.index(last)
        found.update((begin + step) % _WEEK for step in range((end - begin) % _WEEK + 1))
    return frozenset(found)


def until(spans: Sequence[Hours], local: datetime) -> Optional[datetime]:
    """Return when the spans that hold now are over, None where none holds; within a week at most."""
    if not any(span.hold(local) for span in spans):
        return None
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    edges = sorted({minute % _DAY for span in spans for minute in (span.start, span.end)})
    for day in range(_WEEK + 1):  # only where a span begins or ends can it be over
        for minute in edges:
            end = midnight + timedelta(days=day, minutes=minute)  # by the wall clock, also where the day has 23 hours
            if end > local and not any(span.hold(end) for span in spans):
                return end
    return midnight + timedelta(days=_WEEK)  # the spans are the whole week
