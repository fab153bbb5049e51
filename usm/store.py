"""The state file: the only SQL. Sessions, failures, the outbox, and the place in the log, changed together.

SQLite in WAL mode, `synchronous=NORMAL`: a killed process loses nothing; a power cut may undo the last
transactions, but whole, with the place in the log, so that the lines are read again.
Times are stored as whole microseconds since 1970 UTC. A session's id is stored as a signed 64-bit number.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from usm.core import model
from usm.core.alert import dump, load
from usm.core.model import Alert, Event, Failure, Session, micros
from usm.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

APPLICATION_ID = 0x55534D31  # "USM1", in the file's header: another program's database is never touched
PENDING, SENT, DEAD = "pending", "sent", "dead"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_PRELOAD = 5000  # open sessions that are read at once before a large batch

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE checkpoint (source TEXT PRIMARY KEY, cursor TEXT NOT NULL, time INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE session (
        id INTEGER PRIMARY KEY, host TEXT NOT NULL, service TEXT NOT NULL, user TEXT NOT NULL,
        source_ip TEXT, source_port INTEGER, method TEXT, key TEXT, tty TEXT, leader INTEGER,
        start INTEGER NOT NULL, "end" INTEGER, end_reason TEXT);
    CREATE INDEX session_start ON session (start);
    CREATE INDEX session_leader ON session (leader) WHERE "end" IS NULL;
    CREATE INDEX session_peer ON session (source_ip, source_port) WHERE "end" IS NULL;
    CREATE TABLE failure (
        id INTEGER PRIMARY KEY, host TEXT NOT NULL, service TEXT NOT NULL, source_ip TEXT,
        time INTEGER NOT NULL, until INTEGER NOT NULL, count INTEGER NOT NULL, who TEXT NOT NULL);
    CREATE INDEX failure_time ON failure (time);
    CREATE TABLE alert (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY, alert INTEGER NOT NULL REFERENCES alert (id), channel TEXT NOT NULL,
        state TEXT NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL, plain INTEGER NOT NULL,
        code TEXT, detail TEXT, settled INTEGER);
    CREATE INDEX outbox_pending ON outbox (channel, id) WHERE state = 'pending';
    CREATE INDEX outbox_settled ON outbox (channel, settled);
    """,
    """
    ALTER TABLE session ADD COLUMN until INTEGER;
    ALTER TABLE session ADD COLUMN person TEXT;
    ALTER TABLE session ADD COLUMN comment TEXT;
    ALTER TABLE session ADD COLUMN uid INTEGER;
    ALTER TABLE session ADD COLUMN seat TEXT;
    ALTER TABLE session ADD COLUMN boot TEXT;
    ALTER TABLE session ADD COLUMN begun INTEGER;
    ALTER TABLE session ADD COLUMN hint TEXT;
    ALTER TABLE session ADD COLUMN hinted INTEGER;
    CREATE INDEX session_open ON session (host) WHERE "end" IS NULL;
    CREATE TABLE event (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, time INTEGER NOT NULL, host TEXT NOT NULL, service TEXT NOT NULL,
        user TEXT, tty TEXT, pid INTEGER, count INTEGER NOT NULL, target TEXT, command TEXT);
    CREATE INDEX event_time ON event (time);
    """,
)
# The fields of a Session, in its order.
_COLUMNS = ", ".join(f'"{name}"' for name in Session._fields)
_MARKS = ", ".join("?" * len(Session._fields))
# What may change of a session after its beginning.
_CHANGING = ("tty", "leader", "end", "end_reason", "until", "uid", "seat", "boot", "begun", "hint", "hinted")
_CHANGE = ", ".join(f'"{name}" = excluded."{name}"' for name in _CHANGING)


class Delivery(NamedTuple):
    """One alert on its way to one channel; `attempts` were made so far, the next is due at `due`."""

    id: int
    alert: Alert
    channel: str
    state: str
    attempts: int
    due: datetime
    plain: bool
    code: Optional[str] = None
    detail: Optional[str] = None


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _number(session: str) -> int:
    return int.from_bytes(bytes.fromhex(session), "big", signed=True)


def _session(row: tuple[Any, ...]) -> Session:
    identity = row[0].to_bytes(8, "big", signed=True).hex()
    start, end = row[10], None if row[11] is None else _time(row[11])
    until, hinted = (None if value is None else _time(value) for value in (row[13], row[21]))
    return Session._make((identity, *row[1:10], _time(start), end, row[12], until, *row[14:21], hinted))


def _row(s: Session) -> tuple[Any, ...]:
    end, until, hinted = (None if time is None else micros(time) for time in (s.end, s.until, s.hinted))
    return (_number(s.id), *s[1:10], micros(s.start), end, s.end_reason, until, *s[14:21], hinted)


class Store:
    """One connection; every thread has its own. Raises StoreError, with what to do, and nothing else."""

    def __init__(self, path: str, *, readonly: bool = False) -> None:
        self.path = path
        with self._errors():
            if readonly:
                uri = f"{Path(path).absolute().as_uri()}?mode=ro"
                self._db = sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None)
            else:
                if path != ":memory:":
                    # Who was on is nobody else's business: no moment in which others could open the file.
                    # Never opened where it is there: closing it would drop the locks that this process' other
                    # connections hold (POSIX), and another process could then delete the log they write to.
                    with suppress(FileExistsError):
                        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640))
                self._db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
            self._identify()
            if not readonly:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._migrate()

    def _identify(self) -> None:
        """Refuse what is not ours before the first write."""
        application = self._value("PRAGMA application_id")
        version = self._value("PRAGMA user_version")
        if application != APPLICATION_ID and (
            application or version or self._value("SELECT count(*) FROM sqlite_master")
        ):
            raise StoreError(
                f"{self.path} is another program's database; set `state:` in the configuration to a path of our own"
            )
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer version (schema {version}, this one knows {len(MIGRATIONS)}); "
                "install that version again, or move the file away to start with empty state"
            )

    def _migrate(self) -> None:
        for number in range(self._value("PRAGMA user_version"), len(MIGRATIONS)):
            script = f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1};"
            self._db.executescript(f"{script} PRAGMA application_id = {APPLICATION_ID}; COMMIT;")

    def _value(self, sql: str) -> int:
        return int(self._db.execute(sql).fetchone()[0])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreError(f"state file {self.path}: {reason}; {_remedy(error)}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __del__(self) -> None:
        """A store that nobody holds any more lets go too, also one that was refused while it opened."""
        if hasattr(self, "_db"):
            self._db.close()

    def check(self) -> None:
        """Read the whole file and raise StoreError where it is damaged."""
        with self._errors():
            (result,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if result != "ok":
                raise sqlite3.DatabaseError(f"malformed: {' '.join(result.split())}")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing: what is done within is there after it, or none of it is."""
        with self._errors():
            if self._db.in_transaction:  # a disk may refuse even the rollback
                self._db.execute("ROLLBACK")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                transaction = Transaction(self._db)
                yield transaction
                transaction.flush()
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk may have rolled it back already
                    self._db.execute("ROLLBACK")
                raise

    def cursor(self, source: str) -> Optional[str]:
        """Return where reading this source goes on, or None where it never began."""
        with self._errors():
            row = self._db.execute("SELECT cursor FROM checkpoint WHERE source = ?", (source,)).fetchone()
            return None if row is None else str(row[0])

    def watched(self) -> Optional[tuple[str, datetime]]:
        """Return the source that was read last, and until when it is known to have been watched."""
        with self._errors():
            row = self._db.execute("SELECT source, time FROM checkpoint ORDER BY time DESC LIMIT 1").fetchone()
            return None if row is None else (row[0], _time(row[1]))

    def sessions(self, *, everything: bool = False) -> list[Session]:
        """Return the open sessions, or all, oldest first."""
        where = "" if everything else 'WHERE "end" IS NULL'
        with self._errors():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM session {where} ORDER BY start, id")  # noqa: S608 - constants
            return [_session(row) for row in rows]

    def events(self) -> list[Event]:
        """Return who acted as whom, and who was refused that, oldest first."""
        names = "kind, time, host, service, user, tty, pid, count, target, command"
        with self._errors():
            rows = self._db.execute(f"SELECT {names} FROM event ORDER BY time, id")  # noqa: S608 - constants
            return [Event(**{**dict(zip(names.split(", "), row)), "time": _time(row[1])}) for row in rows]

    def failures(self) -> list[Failure]:
        """Return the failed logins as they were folded, oldest first."""
        with self._errors():
            rows = self._db.execute("SELECT host, service, source_ip, time, until, who FROM failure ORDER BY time, id")
            return [
                Failure(
                    host,
                    service,
                    ip,
                    _time(time),
                    _time(until),
                    tuple((u, m, bool(i), n) for u, m, i, n in json.loads(who)),
                )
                for host, service, ip, time, until, who in rows
            ]

    def deliveries(self, states: Sequence[str] = (PENDING, DEAD)) -> list[Delivery]:
        """Return what waits in the outbox or was given up, oldest first."""
        marks = ", ".join("?" * len(states))
        with self._errors():
            return [
                _delivery(row)
                for row in self._db.execute(f"{_DELIVERY} WHERE state IN ({marks}) ORDER BY o.id", states)
            ]

    def first(self, channel: str) -> Optional[Delivery]:
        """Return the oldest pending delivery of a channel, due or not: messages stay in order."""
        with self._errors():
            sql = f"{_DELIVERY} WHERE channel = ? AND state = '{PENDING}' ORDER BY o.id LIMIT 1"
            row = self._db.execute(sql, (channel,)).fetchone()
            return None if row is None else _delivery(row)

    def settled_since(self, channel: str, since: datetime) -> list[datetime]:
        """Return when messages of this channel were settled lately: a restart must not reset a rate limit."""
        with self._errors():
            sql = "SELECT settled FROM outbox WHERE channel = ? AND settled > ? ORDER BY settled"
            return [_time(row[0]) for row in self._db.execute(sql, (channel, micros(since)))]

    def settle(self, delivery: Delivery, now: datetime) -> None:
        """Write down what became of a delivery: its state, tries, when it is due again, and why."""
        with self._errors():
            settled = None if delivery.state == PENDING else micros(now)
            self._db.execute(
                "UPDATE outbox SET state = ?, attempts = ?, due = ?, plain = ?, code = ?, detail = ?, settled = ? "
                "WHERE id = ?",
                (*delivery[3:5], micros(delivery.due), delivery.plain, *delivery[7:9], settled, delivery.id),
            )

    def retry(self, now: datetime, ids: Sequence[int] = ()) -> int:
        """Make dead and waiting deliveries due now (all of them without ids); return how many."""
        change = f"UPDATE outbox SET state = '{PENDING}', attempts = 0, settled = NULL, due = {micros(now)}"  # noqa: S608 - constants and a number
        return self._amend(change, ids, everything=not ids)

    def drop(self, ids: Sequence[int]) -> int:
        """Give up deliveries for good: they are forgotten; return how many."""
        return self._amend("DELETE FROM outbox", ids, everything=False)

    def _amend(self, change: str, ids: Sequence[int], *, everything: bool) -> int:
        possible = [number for number in ids if -(2**63) <= number < 2**63]  # SQLite has no greater ones
        which = "" if everything else f"AND id IN ({', '.join('?' * len(possible))})"
        with self._errors():
            return self._db.execute(f"{change} WHERE state != '{SENT}' {which}", possible).rowcount


_DELIVERY = (
    "SELECT o.id, body, channel, state, attempts, due, plain, code, detail FROM outbox o JOIN alert a ON a.id = o.alert"
)


def _delivery(row: tuple[Any, ...]) -> Delivery:
    return Delivery(row[0], load(row[1]), row[2], row[3], row[4], _time(row[5]), bool(row[6]), row[7], row[8])


class Transaction:
    """The writing side of one batch. Sessions are read when asked for and written once, at the end."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._led: dict[tuple[str, Optional[int]], Optional[Session]] = {}
        self._peers: dict[tuple[str, Optional[str], Optional[int]], Optional[Session]] = {}
        self._changed: dict[str, Session] = {}
        self._latest: Optional[int] = None  # start of the newest session before this transaction
        self._complete = False

    def preload(self) -> None:
        """Read the open sessions at once: cheaper before a batch that asks for most of them."""
        rows = self._db.execute(f'SELECT {_COLUMNS} FROM session WHERE "end" IS NULL LIMIT {_PRELOAD}').fetchall()  # noqa: S608
        for session in map(_session, rows):
            self._remember(session, session)
        self._complete = len(rows) < _PRELOAD

    def related(self, event: Event) -> list[Session]:
        """Return the open sessions that `pair` must know of for this event."""
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
            where = "host = ? AND service = ? AND user = ? AND leader IS NULL"
            return self._select(where, event.host, event.service, event.user)
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

    def was_led(self, leader: int, since: datetime) -> bool:
        """Tell whether a session of this leader began since then, also one that has ended."""
        sql = "SELECT EXISTS (SELECT 1 FROM session WHERE start >= ? AND leader = ?)"
        self.flush()
        return bool(self._db.execute(sql, (micros(since), leader)).fetchone()[0])

    def of_uid(self, host: str, uid: Optional[int]) -> list[Session]:
        """Return the open sessions of a uid."""
        return self._select("host = ? AND uid = ?", host, uid)

    def _select(self, where: str, *values: object) -> list[Session]:
        self.flush()
        sql = f'SELECT {_COLUMNS} FROM session WHERE "end" IS NULL AND {where} ORDER BY start, id'  # noqa: S608 - constants
        return [_session(row) for row in self._db.execute(sql, values)]

    def _known(self, event: Event) -> Optional[Session]:
        """Return the session with the login's very id, open or closed: a log that says it twice opens nothing twice."""
        if event.session in self._changed:
            return self._changed[event.session]
        if self._latest is None:
            (latest,) = self._db.execute("SELECT max(start) FROM session").fetchone()
            self._latest = -1 if latest is None else latest
        if event.session is None or micros(event.time) > self._latest:
            return None  # the id holds the start: what is newer than all that is stored can't be among it
        sql = f"SELECT {_COLUMNS} FROM session WHERE id = ?"  # noqa: S608 - constants
        row = self._db.execute(sql, (_number(event.session),)).fetchone()
        return None if row is None else _session(row)

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
        sql = f'SELECT {_COLUMNS} FROM session WHERE "end" IS NULL AND {where} AND host = ?'  # noqa: S608 - constants
        row = self._db.execute(sql, (*key, host)).fetchone()
        return None if row is None else _session(row)

    def _remember(self, session: Session, state: Optional[Session]) -> None:
        self._led[session.host, session.leader] = state
        if session.source_ip is not None:
            self._peers[session.host, session.source_ip, session.source_port] = state

    def put(self, session: Session) -> None:
        """Open or close a session."""
        self._remember(session, session if session.end is None else None)
        self._changed[session.id] = session

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

    def enqueue(self, alert: Alert, channels: Sequence[str], due: datetime) -> None:
        """Put an alert into the outbox, once for each channel."""
        row = self._db.execute("INSERT INTO alert (body) VALUES (?)", (dump(alert),)).lastrowid
        self._db.executemany(
            "INSERT INTO outbox (alert, channel, state, attempts, due, plain) VALUES (?, ?, ?, 0, ?, 0)",
            [(row, channel, PENDING, micros(due)) for channel in channels],
        )

    def checkpoint(self, source: str, cursor: str, now: datetime) -> None:
        """Move the place in the log on, together with all that was read before it."""
        sql = "INSERT INTO checkpoint VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE SET cursor = ?2, time = ?3"
        self._db.execute(sql, (source, cursor, micros(now)))

    def watched(self, source: str, now: datetime) -> None:
        """Note that the source is still watched."""
        self._db.execute("UPDATE checkpoint SET time = ? WHERE source = ?", (micros(now), source))

    def flush(self) -> None:
        """Write the changed sessions."""
        self._db.executemany(
            f"INSERT INTO session ({_COLUMNS}) VALUES ({_MARKS}) ON CONFLICT (id) DO UPDATE SET {_CHANGE}",  # noqa: S608 - constants
            map(_row, self._changed.values()),
        )
        self._changed.clear()
        self._latest = None


def _remedy(error: Exception) -> str:
    text = str(error)
    if "full" in text:
        return "free space on its disk: nothing is lost, reading goes on where it stopped"
    if "locked" in text:
        return "another process holds it: is a second monitor running?"
    if "malformed" in text or "not a database" in text:
        return "it is damaged: restore it from a backup, or move it away to start with empty state"
    if isinstance(error, (PermissionError, FileNotFoundError)) or "readonly" in text or "unable to open" in text:
        return "check that its directory exists and that this user may write there"
    return "check the disk and the file"
