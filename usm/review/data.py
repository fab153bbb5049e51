"""What a review is made of, read from the state file in one consistent look."""

from __future__ import annotations

import json
from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from usm import ledger
from usm.core.alert import event_of, finding_of
from usm.core.model import PRIVILEGE, micros, time_of
from usm.transaction import COLUMNS, session_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from datetime import datetime

    from usm.core.model import Event, Finding, Session
    from usm.store import Store

_GAP_RULE = "unobserved"


class Refused(NamedTuple):
    """Failed logins: from where, as whom, whether there is no such user, how often; and by when the last was."""

    source_ip: Optional[str]
    user: str
    invalid: bool
    times: int


class Judged(NamedTuple):
    """An event of which something was found."""

    id: Optional[str]
    event: Event
    findings: tuple[Finding, ...]


class Material(NamedTuple):
    """All that was read. `acted`: (host, user, target) → how often somebody acted as somebody else.

    `deliveries`: (channel, state) → messages. `began`: the first thing that the record still has.
    """

    sessions: list[Session]
    refused: list[Refused]
    acted: Counter[tuple[str, str, str]]
    judged: list[Judged]
    gaps: list[Judged]
    deliveries: Counter[tuple[str, str]]
    proof: ledger.Proof
    began: Optional[datetime]


def read(store: Store, since: datetime, until: datetime, pattern: str = "*") -> Material:
    """Read a span: its end does not belong to it. `pattern`: only these users, as the shell matches names.

    A session belongs to the span if any part of it lies within; a failed login by when it was, a day's failures of one
    source that were folded by the first of them. Raises StoreError.
    """
    start, end = micros(since), micros(until)
    with store.reading() as db:
        db.execute("BEGIN")  # one look: what is written meanwhile is not half in it
        try:
            return Material(
                [one for one in _sessions(db, start, end) if fnmatchcase(one.user, pattern)],
                [one for one in _refused(db, start, end) if fnmatchcase(one.user, pattern)],
                _acted(db, start, end, pattern),
                [one for one in _judged(db, start, end) if _meant(one, pattern)],
                list(_gaps(db, end, since)),
                _deliveries(db, start, end),
                ledger.verify(db),
                _began(db),
            )
        finally:
            db.execute("ROLLBACK")


def _meant(judged: Judged, pattern: str) -> bool:
    """What nobody in particular did belongs to a review of everybody."""
    user = judged.event.user
    return pattern == "*" if user is None else fnmatchcase(user, pattern)


def _sessions(db: sqlite3.Connection, start: int, end: int) -> Iterator[Session]:
    which = 'start < ? AND ("end" IS NULL OR coalesce(until, "end") >= ?) ORDER BY start, id'
    for row in db.execute(f"SELECT {COLUMNS} FROM session WHERE {which}", (end, start)):  # noqa: S608 - constants
        yield session_of(row)


def _refused(db: sqlite3.Connection, start: int, end: int) -> Iterator[Refused]:
    sql = "SELECT source_ip, who FROM failure WHERE time >= ? AND time < ?"
    for source, who in db.execute(sql, (start, end)):
        for user, _, invalid, times in json.loads(who):
            yield Refused(source, user, bool(invalid), times)


def _acted(db: sqlite3.Connection, start: int, end: int, pattern: str) -> Counter[tuple[str, str, str]]:
    sql = "SELECT host, user, target, sum(count) FROM event WHERE kind = ? AND time >= ? AND time < ? GROUP BY 1, 2, 3"
    rows = db.execute(sql, (PRIVILEGE, start, end))
    return Counter({(h, u or "", t or ""): n for h, u, t, n in rows if fnmatchcase(u or "", pattern)})


def _judged(db: sqlite3.Connection, start: int, end: int) -> Iterator[Judged]:
    which = "found = 1 AND time >= ? AND time < ? ORDER BY time, id"
    return _read(db.execute(f"SELECT event, facts, findings FROM judgement WHERE {which}", (start, end)))  # noqa: S608 - constants


def _gaps(db: sqlite3.Connection, end: int, since: datetime) -> Iterator[Judged]:
    """Return when nobody watched; what began before the span may reach into it."""
    which = "found = 1 AND session IS NULL AND time < ? AND instr(findings, ?) ORDER BY time, id"
    rows = db.execute(f"SELECT event, facts, findings FROM judgement WHERE {which}", (end, f'"{_GAP_RULE}"'))  # noqa: S608 - constants
    for one in _read(rows):
        if any(f.rule == _GAP_RULE for f in one.findings) and (one.event.until or one.event.time) >= since:
            yield one


def _read(rows: Any) -> Iterator[Judged]:  # noqa: ANN401 - a cursor
    for event, facts, findings in rows:
        if facts is not None:
            yield Judged(event, event_of(json.loads(facts)), tuple(map(finding_of, json.loads(findings))))


def _deliveries(db: sqlite3.Connection, start: int, end: int) -> Counter[tuple[str, str]]:
    sql = "SELECT channel, state, count(*) FROM outbox WHERE queued >= ? AND queued < ? GROUP BY 1, 2"
    return Counter({(channel, state): count for channel, state, count in db.execute(sql, (start, end))})


def _began(db: sqlite3.Connection) -> Optional[datetime]:
    first = db.execute("SELECT min(time) FROM record").fetchone()[0]
    session = db.execute("SELECT min(start) FROM session").fetchone()[0]
    times = [time for time in (first, session) if time is not None]
    return time_of(min(times)) if times else None
