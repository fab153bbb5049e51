"""Sums over what happened: a person's page, and what went on in a span."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core.model import FAILED, LOGIN, LOGOUT, PRIVILEGE, Session, micros, time_of
from usm.core.route import literally
from usm.history import profiles
from usm.query import Entry, Filter, sessions

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime, tzinfo

DAYS = 30  # of a person's page
TOP = 10  # names that are listed
LATEST = 5  # findings of a person
_SLOT = 900_000_000  # a quarter of an hour in microseconds: every zone's hour begins with one
_FOUND = """instr(body, '"findings":[{')"""  # within a text the quotes are escaped

_OF_USER = f"FROM record WHERE user = ? AND time >= ? AND {_FOUND} ORDER BY time DESC, seq DESC LIMIT {LATEST}"


class Usual(NamedTuple):
    """What was seen of a user, how often, and when last."""

    host: str
    fact: str
    value: str
    times: int
    last: datetime


class Page(NamedTuple):
    """All that is known of a person; what is counted is of the last 30 days.

    `failures`: logins as this user that were refused, from `sources` addresses. `refused`: to act as another.
    """

    user: str
    open: tuple[Session, ...]
    last: Optional[Session]
    usual: tuple[Usual, ...]
    sessions: int
    total: timedelta
    longest: timedelta
    ends: tuple[tuple[str, int], ...]
    failures: int
    sources: int
    last_failure: Optional[datetime]
    privileges: int
    refused: int
    commands: tuple[tuple[str, int], ...]
    findings: tuple[Entry, ...]


class Stats(NamedTuple):
    """What went on in a span; `hours`: logins by the local hour of the day.

    `failed` holds refusals of su and sudo too. Failed logins of days long over are one row for each source and day,
    and count where that row begins.
    """

    since: datetime
    until: datetime
    logins: int
    logouts: int
    failed: int
    privileges: int
    findings: tuple[tuple[tuple[str, str], int], ...]
    users: tuple[tuple[str, int], ...]
    sources: tuple[tuple[str, int], ...]
    hours: tuple[int, ...]


def page(db: sqlite3.Connection, user: str, now: datetime) -> Optional[Page]:
    """Return a person's page, None of somebody of whom nothing is known."""
    since = micros(now - timedelta(days=DAYS))
    recent = [s for s in _of(db, user, since) if s.start >= time_of(since)]
    lengths = [(s.end or now) - s.start for s in recent]
    latest = next(sessions(db, Filter(user=literally(user), limit=1)), None)
    tries, sources, last_failure = _failures(db, user, since)
    kinds, commands = _privileges(db, user, since)
    found = tuple(map(Entry._make, db.execute(f"SELECT seq, time, body {_OF_USER}", (user, since))))
    usual = tuple(
        Usual(host, fact, value, times, time_of(last))
        for host, rows in profiles(db, user).items()
        for fact, value, _, last, times in rows
    )
    if not (usual or latest or tries or kinds or found):
        return None
    return Page(
        user,
        tuple(sessions(db, Filter(user=literally(user), open=True))),
        latest,
        usual,
        len(recent),
        sum(lengths, timedelta(0)),
        max(lengths, default=timedelta(0)),
        tuple(Counter(s.end_reason or "open" for s in recent).most_common()),
        tries,
        sources,
        last_failure,
        kinds[PRIVILEGE],
        kinds[FAILED],
        tuple(commands.most_common(LATEST)),
        found,
    )


def _of(db: sqlite3.Connection, user: str, since: int) -> list[Session]:
    return list(sessions(db, Filter(user=literally(user), since=since)))


def _failures(db: sqlite3.Connection, user: str, since: int) -> tuple[int, int, Optional[datetime]]:
    """Return how often a login as this user was refused, from how many sources, and when last."""
    name = f"[{json.dumps(user, ensure_ascii=False)},"
    sql = "SELECT source_ip, until, who FROM failure WHERE time >= ? AND instr(who, ?)"
    count, sources, last = 0, set(), None
    for source, until, who in db.execute(sql, (since, name)):
        count += sum(times for tried, _, _, times in json.loads(who) if tried == user)
        sources.add(source)
        last = until if last is None else max(last, until)
    return count, len(sources), None if last is None else time_of(last)


def _privileges(db: sqlite3.Connection, user: str, since: int) -> tuple[Counter[str], Counter[str]]:
    """Return how often somebody acted as another and was refused that, and what was run."""
    sql = f"SELECT kind, body FROM record WHERE user = ? AND time >= ? AND kind IN ('{PRIVILEGE}', '{FAILED}')"  # noqa: S608 - constants
    kinds: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    for kind, text in db.execute(sql, (user, since)):
        body = json.loads(text)
        kinds[kind] += body.get("count", 1)
        if kind == PRIVILEGE:
            commands[f"{body['target'] or '-'}: {body['command'] or '-'}"] += 1
    return kinds, commands


def stats(db: sqlite3.Connection, since: datetime, until: datetime, zone: tzinfo) -> Stats:
    """Add up what went on within a span."""
    span = (micros(since), micros(until))
    sums = ", ".join(f"coalesce(sum({what}), 0)" for what in _SUMS)
    within = "FROM record WHERE time BETWEEN ? AND ?"
    logins, logouts, privileges, refused = db.execute(f"SELECT {sums} {within}", span).fetchone()
    (tries,) = db.execute("SELECT coalesce(sum(count), 0) FROM failure WHERE time BETWEEN ? AND ?", span).fetchone()
    of_logins = f"{within} AND kind = '{LOGIN}'"
    hours = [0] * 24
    for slot, count in db.execute(f"SELECT time / {_SLOT}, count(*) {of_logins} GROUP BY 1", span):
        hours[time_of(slot * _SLOT).astimezone(zone).hour] += count
    users, sources = (_top(db, f"SELECT {name}, count(*) {of_logins} AND {name} IS NOT NULL", span) for name in _TOPS)
    counts = (logins, logouts, tries + refused, privileges)
    return Stats(since, until, *counts, _findings(db, span), users, sources, tuple(hours))


# Compared one by one: to group them would sort them.
_SUMS = (*(f"kind = '{kind}'" for kind in (LOGIN, LOGOUT, PRIVILEGE)), f"kind = '{FAILED}' AND user IS NOT NULL")
_TOPS = ("user", "source_ip")


def _top(db: sqlite3.Connection, select: str, span: tuple[int, int]) -> tuple[tuple[str, int], ...]:
    return tuple(db.execute(f"{select} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {TOP}", span))


def _findings(db: sqlite3.Connection, span: tuple[int, int]) -> tuple[tuple[tuple[str, str], int], ...]:
    """Return what was found, by rule and severity, the most frequent first."""
    found: Counter[tuple[str, str]] = Counter()
    for (text,) in db.execute("SELECT findings FROM judgement WHERE found = 1 AND time BETWEEN ? AND ?", span):
        found.update((one["rule"], one["severity"]) for one in json.loads(text))
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))
