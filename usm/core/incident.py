"""Many of the same → one message, and another one only when it has grown, or goes on for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR, DAY = 3_600_000_000, 86_400_000_000  # microseconds
NAMES = 5  # sources or users that are named
_GROWN = 10  # times what was told: then it is told at once


class Incident(NamedTuple):
    """What goes on since when, how often it was seen, and what people were told of it. Times are microseconds.

    `pause`: after which it is told again if it goes on. `names`: whose or from where, the latest ones.
    """

    since: int
    last: int
    times: int
    told: int
    told_count: int
    pause: int = HOUR
    names: tuple[str, ...] = ()


def grow(before: Optional[Incident], first: int, time: int, count: int, names: Iterable[str]) -> tuple[Incident, bool]:
    """Add to an incident, or begin one; tell whether people should hear of it now.

    `count`: of what is new; for one that begins, all there was since `first`. After a day of quiet it is another one.
    A pause is an hour, then twice as long each time, up to a day.
    """
    if before is None or time - before.last > DAY:
        return Incident(first, time, count, time, count, HOUR, tuple(dict.fromkeys(names))[-NAMES:]), True
    total = before.times + count
    # The latest come last: a name that is there already moves to the end.
    new = tuple(dict.fromkeys(names))
    known = (*(name for name in before.names if name not in new), *new)[-NAMES:]
    grown = before._replace(last=max(before.last, time), times=total, names=known)
    if total < _GROWN * before.told_count and time - before.told < before.pause:
        return grown, False
    return grown._replace(told=time, told_count=total, pause=min(2 * before.pause, DAY)), True
