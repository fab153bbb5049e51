"""What judging remembers, in the state file: profiles of users, latest failures, incidents, and what was judged.

Read when asked for and written once, at the end, in the transaction of the batch. What is kept is bounded, so that an
attack from a million addresses makes neither the file nor the process grow.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from usm.core.incident import Incident
from usm.core.model import micros
from usm.core.profile import Profile
from usm.core.recent import Recent

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from datetime import datetime

MOST_RECENT = 20_000  # windows of sources and users that are kept, some 10 MB at the very most
_MANY = 64  # windows written at once: then their number is looked at
_MORE = 2000  # windows that may be too many until they are removed at once: removing is the dearer part
_SINCE = "learning_since"


class Judgement(NamedTuple):
    """One event as it was judged; findings and facts as `core.alert` writes them, verdicts as [rule, reason, facts].

    `event`: its id. `facts`: the event, where the session does not say all of it, as it does of a normal login.
    """

    event: Optional[str]
    session: Optional[str]
    facts: Optional[dict[str, Any]]
    findings: list[dict[str, Any]]
    verdicts: list[Any]


class History:
    """The memory of judging, within one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._profiles: dict[tuple[str, str], Profile] = {}
        self._recent: dict[tuple[str, str, str], Recent] = {}
        self._touched: dict[tuple[str, str, str], int] = {}
        self._incidents: dict[tuple[str, str, str], Optional[Incident]] = {}
        self._changed: set[tuple[str, str, str]] = set()
        self._judged: list[tuple[Any, ...]] = []
        self._since: Optional[int] = None

    def profile(self, host: str, user: str, since: int) -> Profile:
        """Return what is usual for a user; what was not seen since then is forgotten."""
        key = (host, user)
        if key not in self._profiles:
            sql = "SELECT fact, value, first, last, count FROM seen WHERE host = ? AND user = ? ORDER BY last"
            self._profiles[key] = Profile(self._db.execute(sql, key), since)
        return self._profiles[key]

    def recent(self, scope: str, host: str, name: str) -> Recent:
        """Return what happened last in one respect."""
        key = (scope, host, name)
        if key not in self._recent:
            sql = "SELECT body FROM recent WHERE scope = ? AND host = ? AND name = ?"
            row = self._db.execute(sql, key).fetchone()
            self._recent[key] = Recent() if row is None else Recent(row[0])
        return self._recent[key]

    def touch(self, scope: str, host: str, name: str, last: int) -> None:
        """Have what happened last written down."""
        self._touched[scope, host, name] = last

    def incident(self, rule: str, host: str, name: str) -> Optional[Incident]:
        """Return what goes on."""
        key = (rule, host, name)
        if key not in self._incidents:
            names = "since, last, count, told, told_count, pause, names"
            sql = f"SELECT {names} FROM incident WHERE rule = ? AND host = ? AND name = ?"  # noqa: S608 - constants
            row = self._db.execute(sql, key).fetchone()
            self._incidents[key] = None if row is None else Incident._make((*row[:6], tuple(json.loads(row[6]))))
        return self._incidents[key]

    def put(self, rule: str, host: str, name: str, incident: Incident) -> None:
        """Have written down what goes on."""
        self._incidents[rule, host, name] = incident
        self._changed.add((rule, host, name))

    def judged(self, judgement: Judgement, time: int) -> None:
        """Note how an event was judged."""
        found = bool(judgement.findings)
        facts = None if judgement.facts is None else _text(judgement.facts)
        texts = (facts, _text(judgement.findings), _text(judgement.verdicts))
        self._judged.append((judgement.event, judgement.session, time, found, *texts))

    def since(self, time: int) -> int:
        """Return when what is known of users begins; where nothing is known yet, it begins now."""
        if self._since is None:
            self._since = learned_since(self._db)
        if self._since is None:
            begin(self._db, time)
            self._since = time
        return self._since

    def flush(self) -> None:
        """Write down what has changed."""
        for (host, user), profile in self._profiles.items():
            self._write(host, user, profile)
        rows = [(*key, last, self._recent[key].dump()) for key, last in self._touched.items()]
        self._db.executemany("INSERT OR REPLACE INTO recent VALUES (?, ?, ?, ?, ?)", rows)
        if len(rows) > _MANY:
            bound(self._db)  # a lone one is looked at once a minute (`retention`): counting takes longer than writing
        self._touched.clear()
        self._db.executemany(
            "INSERT OR REPLACE INTO incident VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (*key, *one[:6], json.dumps(one.names, ensure_ascii=False))
                for key in self._changed
                if (one := self._incidents[key]) is not None
            ],
        )
        self._changed.clear()
        names = "event, session, time, found, facts, findings, verdicts"
        self._db.executemany(f"INSERT INTO judgement ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)", self._judged)  # noqa: S608 - constants
        self._judged.clear()

    def _write(self, host: str, user: str, profile: Profile) -> None:
        if profile.gone:
            sql = "DELETE FROM seen WHERE host = ? AND user = ? AND fact = ? AND value = ?"
            self._db.executemany(sql, [(host, user, *key) for key in profile.gone])
            profile.gone.clear()
        if profile.changed:
            rows = [(host, user, *key, *seen) for key in profile.changed if (seen := profile.seen(*key)) is not None]
            self._db.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            profile.changed.clear()


def bound(db: sqlite3.Connection) -> None:
    """Forget the windows that were quiet for longest where there are too many."""
    (count,) = db.execute("SELECT count(*) FROM recent").fetchone()
    if count > MOST_RECENT + _MORE:
        chosen = "SELECT scope, host, name FROM recent ORDER BY last LIMIT ?"
        db.execute(f"DELETE FROM recent WHERE (scope, host, name) IN ({chosen})", (count - MOST_RECENT,))  # noqa: S608 - constants


def begin(db: sqlite3.Connection, time: int) -> None:
    """Note since when users are known; an earlier time counts more."""
    sql = "INSERT INTO fact VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = min(CAST(value AS INTEGER), ?2)"
    db.execute(sql, (_SINCE, time))


def judgements(db: sqlite3.Connection, identity: str, start: Optional[int]) -> list[Judgement]:
    """Return how the events of a session, which began at `start`, or the event of a message were judged."""
    which = "event = ?1 OR (found = 1 AND session = ?1) OR (found = 0 AND time = ?2 AND session = ?1)"
    return _read(db, f"WHERE {which} ORDER BY time, id", identity, start)


def latest(db: sqlite3.Connection, most: int) -> list[Judgement]:
    """Return the latest events of which something was found, the newest first."""
    return _read(db, "WHERE found = 1 ORDER BY time DESC, id DESC LIMIT ?", most)


def found_since(db: sqlite3.Connection, since: int, until: int) -> Iterator[dict[str, Any]]:
    """Yield the findings of a span, as `core.alert` writes them."""
    sql = "SELECT findings FROM judgement WHERE found = 1 AND time >= ? AND time < ? ORDER BY time, id"
    for (text,) in db.execute(sql, (since, until)):
        yield from json.loads(text)


def _read(db: sqlite3.Connection, which: str, *values: object) -> list[Judgement]:
    rows = db.execute(f"SELECT event, session, facts, findings, verdicts FROM judgement {which}", values)  # noqa: S608 - constants
    return [Judgement(*row[:2], *(None if text is None else json.loads(text) for text in row[2:])) for row in rows]


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def profiles(db: sqlite3.Connection, user: str) -> dict[str, list[tuple[str, str, int, int, int]]]:
    """Return what is known of a user: host → rows of fact, value, first, last, count; the latest first."""
    sql = "SELECT host, fact, value, first, last, count FROM seen WHERE user = ? ORDER BY host, fact, last DESC"
    found: dict[str, list[tuple[str, str, int, int, int]]] = {}
    for host, *row in db.execute(sql, (user,)):
        found.setdefault(host, []).append(tuple(row))
    return found


def learned_since(db: sqlite3.Connection) -> Optional[int]:
    """Return when what is known of users begins, None where nothing is known."""
    row = db.execute("SELECT value FROM fact WHERE name = ?", (_SINCE,)).fetchone()
    return None if row is None else int(row[0])


Rows = list[tuple[str, str, str, str, int, int, int]]


def known(db: sqlite3.Connection) -> Rows:
    """Return all that is known of all users."""
    return db.execute("SELECT host, user, fact, value, first, last, count FROM seen").fetchall()


def merge(db: sqlite3.Connection, found: Rows, since: Optional[datetime], facts: dict[str, str]) -> None:
    """Add what was found of users to what is known of them, with the facts that say that it was done."""
    add = (
        "INSERT INTO seen VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (host, user, fact, value) DO UPDATE SET first = min(first, excluded.first), "
        "last = max(last, excluded.last), count = count + excluded.count"
    )
    db.executemany(add, found)
    db.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", facts.items())
    if since is not None:
        begin(db, micros(since))
