"""State files and reviews for the tests of `usm report`."""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo
from typing import TYPE_CHECKING, Any, Optional

from tests.life import ZONE
from usm.core.model import DISCONNECTED, Session
from usm.review.count import review
from usm.review.data import read
from usm.review.model import Frame, Review
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

UTC = timezone.utc


def frame(
    since: datetime, until: datetime, *, zone: tzinfo = ZONE, pattern: str = "*", now: Optional[datetime] = None
) -> Frame:
    """Return a frame, of a review made at the end of its span."""
    return Frame(since, until, now or until, zone, pattern, "box", "0.0")


_made = 0


def session(user: str, start: datetime, end: Optional[datetime], **facts: object) -> Session:
    """Return a session with an id of its own."""
    global _made  # noqa: PLW0603 - ids must differ, and nothing else of them matters
    _made += 1
    known: dict[str, Any] = {
        "source_ip": "203.0.113.7",
        "source_port": 0,
        "method": "publickey",
        "key": "SHA256:abc",
        **facts,
    }
    reason = None if end is None else facts.get("end_reason", DISCONNECTED)
    base = Session(f"{_made:016x}", "box", "sshd", user, None, None, None, None, "pts/1", _made, start, end)
    return base._replace(**{**known, "end_reason": reason})


def made(place: Path, sessions: Iterable[Session]) -> Store:
    """Return a state file with these sessions."""
    store = Store(str(place / "state.db"))
    with store.transaction() as tx:
        for one in sessions:
            tx.put(one)
    return store


def whole(store: Store, since: datetime, until: datetime, *, now: Optional[datetime] = None) -> Review:
    """Return the review of a span."""
    return review(read(store, since, until), frame(since, until, now=now))
