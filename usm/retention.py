"""Forgetting: what is older than the retention, a little at a time, while the monitor runs.

A slice is some thousand rows in one short transaction, so that the reader is never kept waiting; the pages that become
free are given back to the disk in the same way. Open sessions and messages that still wait are never forgotten.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from usm import ledger
from usm.core.model import micros
from usm.history import bound

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from usm.store import Store

log = logging.getLogger(__name__)
SLICE = 5000  # rows of a kind that are removed at once: some 20 ms
PAGES = 2000  # pages that are given back at once: 8 MB
DELIVERED = timedelta(days=30)  # how long it is kept what became of a message, unless the retention is shorter
DETAILED = timedelta(days=2)  # after which the failed logins of a day from one source become one row
SOURCES = 200  # of which at once
MOST_FAILURES = 500_000  # rows of failed logins, some 60 MB: an attack from everywhere must not fill the disk
_DAY = 86_400_000_000  # microseconds


class Forgotten(NamedTuple):
    """How many rows were removed for their age, folded into others, and removed for there being too many."""

    old: int
    folded: int
    excess: int


def prune(store: Store, now: datetime, retention: timedelta) -> Forgotten:
    """Forget one slice. Raises StoreError; then nothing was forgotten."""
    old, settled, detailed = (micros(now - age) for age in (retention, min(retention, DELIVERED), DETAILED))
    with store.writing() as db:
        removed = _old(db, old) + _settled(db, settled) + _judged(db, old, settled, detailed)
        folded = _fold(db, detailed)
        ledger.record_failures(db, SLICE)
        removed += ledger.forget(db, old, micros(now), SLICE)
        forgotten = Forgotten(removed, folded, _excess(db))
    with store.reading() as db:
        db.executescript(f"PRAGMA incremental_vacuum({PAGES})")  # `execute` would stop after the first page
    if forgotten.excess:
        text = "%d rows of failed logins were forgotten before their time: no more than %d are kept"
        log.warning(text, forgotten.excess, MOST_FAILURES)
    return forgotten


def _old(db: sqlite3.Connection, before: int) -> int:
    count = 0
    for table, column in (("session", '"end"'), ("event", "time"), ("failure", "time")):
        chosen = f"SELECT id FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT {SLICE}"  # noqa: S608 - constants
        count += db.execute(f"DELETE FROM {table} WHERE id IN ({chosen})", (before,)).rowcount  # noqa: S608 - constants
    return count


def _judged(db: sqlite3.Connection, old: int, settled: int, detailed: int) -> int:
    """Forget what judging remembers: windows are over after a day, normal logins are asked about for a month."""
    bound(db)
    count = 0
    for table, key, condition, before in (
        ("seen", "host, user, fact, value", "last < ?", old),
        ("recent", "scope, host, name", "last < ?", detailed),
        ("incident", "rule, host, name", "last < ?", old),
        ("judgement", "id", "found = 0 AND time < ?", settled),
        ("judgement", "id", "found = 1 AND time < ?", old),
    ):
        chosen = f"SELECT {key} FROM {table} WHERE {condition} LIMIT {SLICE}"  # noqa: S608 - constants
        count += db.execute(f"DELETE FROM {table} WHERE ({key}) IN ({chosen})", (before,)).rowcount  # noqa: S608 - constants
    return count


def _settled(db: sqlite3.Connection, before: int) -> int:
    """Forget messages of which it was settled long ago what became of them; a digest may share one with another."""
    sql = "SELECT id, alert FROM outbox WHERE settled < ? ORDER BY settled LIMIT ?"
    rows = db.execute(sql, (before, SLICE)).fetchall()
    db.executemany("DELETE FROM outbox WHERE id = ?", ((number,) for number, _ in rows))
    unused = "DELETE FROM alert WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM outbox WHERE alert = ?1)"
    db.executemany(unused, ((alert,) for alert in {alert for _, alert in rows}))
    return len(rows)


def _fold(db: sqlite3.Connection, before: int) -> int:
    """Make one row of the failed logins that one source made on one day, for the oldest day that is not done."""
    (first,) = db.execute("SELECT min(time) FROM failure").fetchone()
    done = db.execute("SELECT value FROM fact WHERE name = 'folded'").fetchone()
    if first is None:
        return 0
    day = max(first // _DAY, int(done[0]) if done else 0)
    if (day + 1) * _DAY > before:
        return 0
    span = (day * _DAY, (day + 1) * _DAY)
    grouped = "WHERE time >= ? AND time < ? GROUP BY 1, 2, 3 HAVING count(*) > 1 LIMIT ?"
    facts = "host, service, source_ip, min(time), max(until), sum(count), min(id)"
    groups = db.execute(f"SELECT {facts} FROM failure {grouped}", (*span, SOURCES)).fetchall()  # noqa: S608 - constants
    folded = 0
    for *source, time, until, count, kept in groups:
        which = "time >= ? AND time < ? AND host = ? AND service = ? AND source_ip IS ?"
        who: Counter[tuple[object, ...]] = Counter()
        for (text,) in db.execute(f"SELECT who FROM failure WHERE {which}", (*span, *source)):  # noqa: S608 - constants
            for *whom, times in json.loads(text):
                who[tuple(whom)] += times
        merged = json.dumps([(*whom, times) for whom, times in who.items()], ensure_ascii=False)
        folded += db.execute(f"DELETE FROM failure WHERE {which} AND id != ?", (*span, *source, kept)).rowcount  # noqa: S608
        change = "UPDATE failure SET time = ?, until = ?, count = ?, who = ? WHERE id = ?"
        db.execute(change, (time, until, count, merged, kept))
    if len(groups) < SOURCES:
        db.execute("INSERT OR REPLACE INTO fact VALUES ('folded', ?)", (str(day + 1),))
    return folded


def _excess(db: sqlite3.Connection) -> int:
    (span,) = db.execute("SELECT coalesce(max(id) - min(id) + 1, 0) FROM failure").fetchone()
    if span <= MOST_FAILURES:  # there can't be more
        return 0
    (count,) = db.execute("SELECT count(*) FROM failure").fetchone()
    excess: int = min(SLICE, max(0, count - MOST_FAILURES))
    db.execute("DELETE FROM failure WHERE id IN (SELECT id FROM failure ORDER BY time LIMIT ?)", (excess,))
    return excess
