"""The last things that happened in one respect, such as failures from one source: exact within a window, and bounded.

An entry is (microseconds since 1970 UTC, how often, tag, flag). Only the newest are kept, so that no attack can make
one grow; a rule whose threshold is no larger than what is kept counts exactly.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT = 64  # entries of one window; a threshold may be no larger


class Entry(NamedTuple):
    """Something that happened `times` times at `time`, to or from whom."""

    time: int
    times: int
    tag: str = ""
    flag: int = 0


def within(entries: Sequence[Entry], after: int, until: int) -> list[Entry]:
    """Return what happened after a moment and no later than another."""
    return [entry for entry in entries if after < entry.time <= until]


class Recent:
    """What happened last, oldest first."""

    __slots__ = ("entries",)

    def __init__(self, text: str = "[]") -> None:
        self.entries = [Entry(*entry) for entry in json.loads(text)]

    def add(self, *entries: Entry) -> None:
        """Add what happened; a log may tell it a little out of order."""
        self.entries = sorted((*self.entries, *entries), key=lambda entry: entry.time)[-KEPT:]

    def within(self, after: int, until: int) -> list[Entry]:
        """Return what happened after a moment and no later than another."""
        return within(self.entries, after, until)

    def dump(self) -> str:
        """Return it as text."""
        return json.dumps(self.entries, ensure_ascii=False, separators=(",", ":"))
