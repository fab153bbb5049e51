"""The record: all that happened, appended in the transaction that told it, and never changed; a hash chain proves it.

What is older than the retention is forgotten in whole runs from the beginning; an entry of its own (a seal) says up to
which, so that the rest can still be verified.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from usm.core.alert import event_json
from usm.core.chain import SEAL, START, Entry, Head, head_of, link
from usm.core.model import FAILED, micros, time_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from usm.core.model import Event, Finding

_COLUMNS = "seq, time, kind, host, user, source_ip, session, body"
_HEAD = "head"  # the fact in the store that says where the chain ends
_NAMED = 20  # users of a source that an entry names
_DAY = 86_400_000_000  # microseconds
_PIECE = 10_000  # entries that are read at once


class Fault(NamedTuple):
    """What is wrong with the record: `kind` is changed, missing, cut or replaced; `seq` the first entry that is.

    `missing`: so many (`detail`) from `seq` on. `cut`: the same of the end. `replaced`: the chain is sound, but it is
    not the one that a head was sent of.
    """

    kind: str
    seq: int
    detail: str = ""


class Proof(NamedTuple):
    """What a verification found: how many entries, from which to which, and the first fault, if any."""

    entries: int
    first: int
    head: Head
    fault: Optional[Fault] = None


def head(db: sqlite3.Connection) -> Head:
    """Return the end of the chain."""
    row = db.execute("SELECT seq, hash FROM record ORDER BY seq DESC LIMIT 1").fetchone()
    return START if row is None else Head(*row)


def append(db: sqlite3.Connection, before: Head, entries: Iterable[Entry]) -> Head:
    """Append entries, whose numbers follow the head; return the new one."""
    last, rows = before, []
    for one in entries:
        last = Head(one.seq, link(last.hash, one))
        rows.append((*one, last.hash))
    db.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    if rows:
        db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (_HEAD, str(last)))
    return last


def entry(seq: int, event: Event, findings: Sequence[Finding]) -> Entry:
    """Return an event as it stands in the record."""
    found = [{"rule": finding.rule, "severity": finding.severity} for finding in findings]
    body = json.dumps({**event_json(event), "findings": found}, ensure_ascii=False, separators=(",", ":"))
    return Entry(seq, micros(event.time), event.kind, event.host, event.user, event.source_ip, event.session, body)


def record_failures(db: sqlite3.Connection, most: int) -> int:
    """Append the failed logins of days that are over and folded, one entry for each source and day; return how many."""
    done = db.execute("SELECT value FROM fact WHERE name = 'folded'").fetchone()
    if done is None:
        return 0
    names = "id, time, until, host, service, source_ip, count, who"
    sql = f"SELECT {names} FROM failure WHERE recorded = 0 AND time < ? ORDER BY time LIMIT ?"  # noqa: S608 - constants
    rows = db.execute(sql, (int(done[0]) * _DAY, most)).fetchall()
    before = head(db)
    append(db, before, (_failed(before.seq + n, *row[1:]) for n, row in enumerate(rows, 1)))
    db.executemany("UPDATE failure SET recorded = 1 WHERE id = ?", ((row[0],) for row in rows))
    return len(rows)


def _failed(
    seq: int, time: int, until: int, host: str, service: str, source_ip: Optional[str], count: int, who: str
) -> Entry:
    """Return the failed logins of one source on one day; of the users the most tried are named."""
    tried: Counter[str] = Counter()
    for user, _, _, times in json.loads(who):
        tried[user] += times
    named = dict(tried.most_common(_NAMED))
    body = {
        "kind": FAILED,
        "time": time_of(time).isoformat(),
        "until": time_of(until).isoformat(),
        "host": host,
        "service": service,
        "source_ip": source_ip,
        "count": count,
        "users": named,
        "others": len(tried) - len(named),
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Entry(seq, time, FAILED, host, None, source_ip, None, text)


def forget(db: sqlite3.Connection, before: int, now: int, most: int) -> int:
    """Forget the oldest entries, up to `most` that happened before a time, and seal what is left; once a day or so."""
    (oldest,) = db.execute("SELECT min(time) FROM (SELECT time FROM record ORDER BY seq LIMIT 1)").fetchone()
    if oldest is None or oldest >= before - _DAY:
        return 0
    # Only a run from the beginning: an entry that happened earlier may have been told later.
    row = db.execute("SELECT min(seq) FROM record WHERE time >= ?", (before,)).fetchone()
    end = head(db)
    keep = end.seq if row[0] is None else row[0]
    chosen = "SELECT seq, hash FROM record WHERE seq < ? ORDER BY seq LIMIT ?"
    gone = db.execute(chosen, (keep, most)).fetchall()
    if not gone:
        return 0
    last = Head(*gone[-1])
    db.execute("DELETE FROM record WHERE seq <= ?", (last.seq,))
    body = json.dumps({"kind": SEAL, "through": str(last), "entries": len(gone)}, separators=(",", ":"))
    append(db, end, [Entry(end.seq + 1, now, SEAL, "", None, None, None, body)])
    return len(gone)


def verify(db: sqlite3.Connection, sent: Iterable[Head] = ()) -> Proof:
    """Read the whole record; return the first fault. `sent`: heads that were told elsewhere, which must be in it."""
    heads = {one.seq: one.hash for one in sent}
    before = _sealed(db)
    first, entries = before.seq + 1, 0
    for row in _rows(db):
        one, stored = Entry(*row[:-1]), row[-1]
        if one.seq != before.seq + 1:
            count = one.seq - before.seq - 1
            kind = "missing" if count > 0 else "changed"
            return Proof(entries, first, before, Fault(kind, before.seq + 1 if count > 0 else one.seq, str(count)))
        expected = link(before.hash, one)
        if expected != stored:
            return Proof(entries, first, before, Fault("changed", one.seq, one.kind))
        if heads.pop(one.seq, expected) != expected:
            return Proof(entries, first, before, Fault("replaced", one.seq))
        before, entries = Head(one.seq, expected), entries + 1
    row = db.execute("SELECT value FROM fact WHERE name = ?", (_HEAD,)).fetchone()
    noted = START if row is None else head_of(row[0])
    if noted is None:
        return Proof(entries, first, before, Fault("replaced", before.seq))
    later = [one for one in (noted, *(Head(*item) for item in heads.items())) if one.seq > before.seq]
    if later:
        last = max(later)
        return Proof(entries, first, before, Fault("cut", before.seq + 1, str(last.seq - before.seq)))
    if noted != before:
        return Proof(entries, first, before, Fault("replaced", before.seq))
    return Proof(entries, first, before)


def _sealed(db: sqlite3.Connection) -> Head:
    """Return the last entry that was forgotten: the newest seal says it; a wrong one shows by what follows."""
    row = db.execute("SELECT body FROM record WHERE kind = ? ORDER BY seq DESC LIMIT 1", (SEAL,)).fetchone()
    if row is None:
        return START
    try:
        return head_of(json.loads(row[0])["through"]) or START
    except (ValueError, TypeError, KeyError, AttributeError):
        return START


def _rows(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    last = -1 << 62
    while True:
        sql = f"SELECT {_COLUMNS}, hash FROM record WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - constants
        rows = db.execute(sql, (last, _PIECE)).fetchall()
        yield from rows
        if len(rows) < _PIECE:
            return
        last = rows[-1][0]
