"""The nouns of an access review; all are immutable, and the same for every form that it is shown in."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usm.core.model import Finding, Session
    from usm.ledger import Proof

OPEN = "open"  # beside the reasons of an end: still on at the end of the span
SILENT = ("unobserved", "log-edited", "log-silent", "ended-unobserved")  # rules that say that something was not seen


class Frame(NamedTuple):
    """What a review is of: its span (the end does not belong to it), when, by whom and for whom it was made."""

    since: datetime
    until: datetime
    made: datetime
    zone: tzinfo
    pattern: str
    host: str
    version: str


class Stay(NamedTuple):
    """A session, as far as it lies within the span; `reason` is OPEN where its end does not."""

    session: Session
    begin: datetime
    end: datetime
    reason: str

    @property
    def seconds(self) -> float:
        """Return how long it lasted within the span."""
        return (self.end - self.begin).total_seconds()


class Person(NamedTuple):
    """One account on all hosts; `acted`: (as whom, how often)."""

    user: str
    sessions: int
    seconds: float
    sources: tuple[str, ...]
    methods: tuple[str, ...]
    keys: tuple[str, ...]
    people: tuple[str, ...]
    last: Optional[datetime]
    found: int
    refused: int
    acted: tuple[tuple[str, int], ...]


class Origin(NamedTuple):
    """One address: sessions and failed logins, of which `invalid` named a user that there is not; and whose."""

    source_ip: Optional[str]
    sessions: int
    refused: int
    invalid: int
    users: tuple[str, ...]


class Found(NamedTuple):
    """One finding."""

    id: Optional[str]
    time: datetime
    host: str
    user: Optional[str]
    finding: Finding


class Gap(NamedTuple):
    """When nobody watched; `until` is None where that is not known."""

    since: datetime
    until: Optional[datetime]


class Told(NamedTuple):
    """What became of the messages of one channel."""

    channel: str
    sent: int
    pending: int
    dead: int
    grouped: int
    suppressed: int


class Point(NamedTuple):
    """Something to be signed: what one rule found of one user, or what a user may do (`rule` is None)."""

    user: Optional[str]
    rule: Optional[str]
    severity: str
    times: int
    first: Optional[datetime]
    last: Optional[datetime]


class Review(NamedTuple):
    """All of it. `hours`: logins by day of the week (Monday first) and hour. `minor`: findings that are no alarm."""

    frame: Frame
    hosts: tuple[str, ...]
    stays: tuple[Stay, ...]
    people: tuple[Person, ...]
    origins: tuple[Origin, ...]
    hours: tuple[tuple[int, ...], ...]
    ends: tuple[tuple[str, int], ...]
    found: tuple[Found, ...]
    minor: int
    gaps: tuple[Gap, ...]
    told: tuple[Told, ...]
    proof: Proof
    began: Optional[datetime]
    points: tuple[Point, ...]

    @property
    def seconds(self) -> float:
        """Return how long all sessions lasted together within the span."""
        return sum(stay.seconds for stay in self.stays)

    @property
    def refused(self) -> int:
        """Return how many logins failed."""
        return sum(origin.refused for origin in self.origins)

    @property
    def unobserved(self) -> float:
        """Return for how many seconds of the span nobody watched."""
        return _together(self.gaps, self.frame)

    @property
    def unseen(self) -> tuple[Found, ...]:
        """Return what says that something was not seen."""
        return tuple(one for one in self.found if one.finding.rule in SILENT)


def _together(gaps: Sequence[Gap], frame: Frame) -> float:
    """Return the length of windows that may overlap, as far as they lie within the span."""
    total, reached = timedelta(0), frame.since.astimezone(timezone.utc)
    for gap in sorted(gaps, key=lambda one: one.since):
        end = min(gap.until or gap.since, frame.until).astimezone(timezone.utc)
        begin = max(gap.since.astimezone(timezone.utc), reached)
        if end > begin:
            total += end - begin
            reached = end
    return total.total_seconds()
