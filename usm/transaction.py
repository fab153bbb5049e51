"""The writing side of the state file: all that a batch leads to, in one SQLite transaction."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Optional

from usm import ledger
from usm.core import model
from usm.core.alert import counted_as, dump
from usm.core.message import SUPPRESSED, WAITING
from usm.core.model import Session, micros, time_of
from usm.history import History

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from usm.core.message import Message
    from usm.core.model import Event, Failure, Finding
    from usm.core.route import Slot

_PRELOAD = 5000  # open sessions that are read at once before a large batch
# The fields of a Session, in its order.
COLUMNS = ", ".join(f'"{name}"' for name in Session._fields)
_MARKS = ", ".join("?" * len(Session._fields))
# What may change of a session after its beginning.
_CHANGING = (
    "source_ip",
    "tty",
    "leader",
    "end",
    "end_reason",
    "until",
    "uid",
    "seat",
    "boot",
    "begun",
    "hint",
    "hinted",
)
_CHANGE = ", ".join(f'"{name}" = excluded."{name}"' for name in _CHANGING)


def number(session: str) -> int:
    """A session's id → the number that it is stored as."""
    return int.from_bytes(bytes.fromhex(session), "big", signed=True)


def session_of(row: tuple[Any, ...]) -> Session:
    """Row of the table → session."""
    identity = row[0].to_bytes(8, "big", signed=True).hex()
    start, end = row[10], None if row[11] is None else time_of(row[11])
    until, hinted = (None if value is None else time_of(value) for value in (row[13], row[21]))
    return Session._make((identity, *row[1:10], time_of(start), end, row[12], until, *row[14:21], hinted))


def _row(s: Session) -> tuple[Any, ...]:
    end, until, hinted = (None if time is None else micros(time) for time in (s.end, s.until, s.hinted))
    return (number(s.id), *s[1:10], micros(s.start), end, s.end_reason, until, *s[14:21], hinted)


def count(db: sqlite3.Connection, name: str, *labels: str, by: int = 1) -> None:
    """Add to a counter, within whatever transaction is open; counters live as long as the state file."""
    add = "INSERT INTO counter VALUES (?, ?, ?) ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value"
    db.execute(add, (name, json.dumps(labels, ensure_ascii=False), by))


class Transaction:
    """The writing side of one batch. Sessions are read when asked for and written once, at the end."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._led: dict[tuple[str, Optional[int]], Optional[Session]] = {}
        self._peers: dict[tuple[str, Optional[str], Optional[int]], Optional[Session]] = {}
        self._changed: dict[str, Session] = {}
        self._latest: Optional[int] = None  # start of the newest session before this transaction
        self._complete = False
        self._counts: Counter[tuple[str, ...]] = Counter()
        self.history = History(db)
        self._record: list[tuple[Event, Sequence[Finding]]] = []

    def preload(self) -> None:
        """Read the open sessions at once: cheaper before a batch that asks for most of them."""
        rows = self._db.execute(f'SELECT {COLUMNS} FROM session WHERE "end" IS NULL LIMIT {_PRELOAD}').fetchall()  # noqa: S608
        for session in map(session_of, rows):
            self._remember(session, session)
        self._complete = len(rows) < _PRELOAD

    def related(self, event: Event) -> list[Session]:
        """Return the open sessions that `pair` must know of for this event."""
        if event.kind in (model.FAILED, model.PRIVILEGE, model.ACCOUNT):  # these open and close nothing
            return []
        if event.kind == model.LOGIN:
            session = self._known(event)
            if session is not None:
                return [session]
        elif event.source_port is None and event.source_ip is not None:  # OpenSSH before 7.2
            return self._select("host = ? AND (source_ip = ? OR leader = ?)", event.host, event.source_ip, event.pid)
        elif event.seat is not None and event.pid is None:
            return self._select("host = ? AND seat = ?", event.host, event.seat)
        elif event.kind == model.HINT and event.pid is None:  # the whole machine
            return self._select("host = ?", event.host)
        if event.pid is None and event.source_ip is None:  # a program that does not say which process it is
            return self._select("host = ? AND service = ? AND user = ?", event.host, event.service, event.user)
        return self._named(event)

    def _named(self, event: Event) -> list[Session]:
        """Return the open sessions with this leader, and with this address and port; evidence names one of them."""
        found: dict[str, Session] = {}
        if event.kind == model.LOGIN or event.source_ip is None:
            session = self._by_leader(event.host, event.pid)
            if session is not None:
                found[session.id] = session
        if event.source_ip is not None:
            session = self._by_peer(event.host, event.source_ip, event.source_port)
            if session is not None:
                found[session.id] = session
        return list(found.values())

    def open(self) -> list[Session]:
        """Return all open sessions, oldest first."""
        return self._select("TRUE")

    def of_uid(self, host: str, uid: Optional[int]) -> list[Session]:
        """Return the open sessions of a uid."""
        return self._select("host = ? AND uid = ?", host, uid)

    def sources_of(self, host: str, user: str) -> set[str]:
        """Return the addresses from which a user is on."""
        if self._complete:
            known = (session for session in self._peers.values() if session is not None)
            return {s.source_ip for s in known if s.source_ip is not None and (s.host, s.user) == (host, user)}
        self._flush_sessions()
        sql = 'SELECT source_ip FROM session WHERE "end" IS NULL AND host = ? AND user = ? AND source_ip IS NOT NULL'
        return {source for (source,) in self._db.execute(sql, (host, user))}

    def _select(self, where: str, *values: object) -> list[Session]:
        self._flush_sessions()
        sql = f'SELECT {COLUMNS} FROM session WHERE "end" IS NULL AND {where} ORDER BY start, id'  # noqa: S608 - constants
        return [session_of(row) for row in self._db.execute(sql, values)]

    def _known(self, event: Event) -> Optional[Session]:
        """Return the session with the login's very id, open or closed: a log that says it twice opens nothing twice."""
        if event.session in self._changed:
            return self._changed[event.session]
        if self._latest is None:
            (latest,) = self._db.execute("SELECT max(start) FROM session").fetchone()
            self._latest = -1 if latest is None else latest
        if event.session is None or micros(event.time) > self._latest:
            return None  # the id holds the start: what is newer than all that is stored can't be among it
        sql = f"SELECT {COLUMNS} FROM session WHERE id = ?"  # noqa: S608 - constants
        row = self._db.execute(sql, (number(event.session),)).fetchone()
        return None if row is None else session_of(row)

    def _by_leader(self, host: str, leader: Optional[int]) -> Optional[Session]:
        key = (host, leader)
        if key not in self._led and not self._complete:
            self._led[key] = self._find("leader = ?", host, leader)
        return self._led.get(key)

    def _by_peer(self, host: str, ip: Optional[str], port: Optional[int]) -> Optional[Session]:
        key = (host, ip, port)
        if key not in self._peers and not self._complete:
            self._peers[key] = self._find("source_ip = ? AND source_port = ?", host, ip, port)
        return self._peers.get(key)

    def _find(self, where: str, host: str, *key: object) -> Optional[Session]:
        sql = f'SELECT {COLUMNS} FROM session WHERE "end" IS NULL AND {where} AND host = ?'  # noqa: S608 - constants
        row = self._db.execute(sql, (*key, host)).fetchone()
        return None if row is None else session_of(row)

    def _remember(self, session: Session, state: Optional[Session]) -> None:
        self._led[session.host, session.leader] = state
        if session.source_ip is not None:
            self._peers[session.host, session.source_ip, session.source_port] = state

    def put(self, session: Session) -> None:
        """Open or close a session."""
        self._remember(session, session if session.end is None else None)
        self._changed[session.id] = session

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for questions within; what was put into the transaction is written down first."""
        self.flush()
        return self._db

    def note(self, name: str, value: str) -> None:
        """Write down a fact."""
        self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    def record(self, event: Event, findings: Sequence[Finding] = ()) -> None:
        """Append an event to the record."""
        self._record.append((event, findings))

    def add_failures(self, failures: Sequence[Failure]) -> None:
        """Append failed logins."""
        self._db.executemany(
            "INSERT INTO failure (host, service, source_ip, time, until, count, who) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *f[:3],
                    micros(f.time),
                    micros(f.until),
                    sum(w[3] for w in f.who),
                    json.dumps(f.who, ensure_ascii=False),
                )
                for f in failures
            ],
        )

    def add_event(self, event: Event) -> None:
        """Append who acted as whom, and who was refused that."""
        facts = (event.user, event.tty, event.pid, event.count, event.target, event.command)
        self._db.execute(
            "INSERT INTO event (kind, time, host, service, user, tty, pid, count, target, command) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (event.kind, micros(event.time), event.host, event.service, *facts),
        )

    def enqueue(self, message: Message, slots: Sequence[Slot], now: datetime) -> None:
        """Put a message into the outbox, once for each slot."""
        body, queued = self._db.execute("INSERT INTO alert (body) VALUES (?)", (dump(message),)).lastrowid, micros(now)
        self._db.executemany(
            "INSERT INTO outbox (alert, channel, state, attempts, due, plain, urgent, grp, code, queued) "
            "VALUES (?, ?, ?, 0, ?, 0, ?, ?, ?, ?)",
            [(body, s.channel, s.state, self._due(s, micros(now)), s.urgent, s.group, s.reason, queued) for s in slots],
        )
        self.count("alerts", counted_as(message), message.severity)
        for slot in slots:
            if slot.state == SUPPRESSED:
                self.count("deliveries", slot.channel, SUPPRESSED)

    def _due(self, slot: Slot, now: int) -> int:
        """Return when a slot is due: with its group where that waits already, and not too soon after the last time."""
        due, interval = micros(slot.due), round(slot.interval * 1e6)
        if slot.state != WAITING:
            return due
        sql = "SELECT max(due) FROM outbox WHERE channel = ? AND grp = ?"
        last: Optional[int] = self._db.execute(sql, (slot.channel, slot.group)).fetchone()[0]
        if last is None or max(last, last + interval) <= now:
            return due
        # No later than a new group would be: the clock may have been set back since the last time.
        return min(last if last > now else last + interval, max(due, now + interval))

    def checkpoint(
        self, source: str, cursor: str, now: datetime, behind: int = 0, lag: timedelta = timedelta(0)
    ) -> None:
        """Move the place in the log on, together with all that was read before it.

        `behind`: bytes that are still unread; `lag`: how old the last record was.
        """
        sql = (
            "INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (source) DO UPDATE SET cursor = ?2, time = ?3, behind = ?4, lag = ?5"
        )
        self._db.execute(sql, (source, cursor, micros(now), behind, lag // timedelta(microseconds=1)))

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Count something, in this transaction."""
        self._counts[(name, *labels)] += by

    def watched(self, source: str, now: datetime) -> None:
        """Note that the source is still watched."""
        self._db.execute("UPDATE checkpoint SET time = ? WHERE source = ?", (micros(now), source))

    def flush(self) -> None:
        """Write the changed sessions, and what was counted."""
        for key, by in self._counts.items():
            count(self._db, *key, by=by)
        self._counts.clear()
        self.history.flush()
        self._flush_sessions()
        if self._record:
            before = ledger.head(self._db)
            entries = (ledger.entry(before.seq + n, *one) for n, one in enumerate(self._record, 1))
            ledger.append(self._db, before, entries)
            self._record.clear()

    def _flush_sessions(self) -> None:
        self._db.executemany(
            f"INSERT INTO session ({COLUMNS}) VALUES ({_MARKS}) ON CONFLICT (id) DO UPDATE SET {_CHANGE}",  # noqa: S608 - constants
            map(_row, self._changed.values()),
        )
        self._changed.clear()
        self._latest = None
