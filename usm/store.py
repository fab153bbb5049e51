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
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from usm.core.model import Event, Failure, Session, micros
from usm.errors import StoreError
from usm.transaction import COLUMNS, Transaction, session_of, time_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_PATIENCE = 30.0  # seconds that a connection waits for another; the reader may have to ask a slow directory service
APPLICATION_ID = 0x55534D31  # "USM1", in the file's header: another program's database is never touched

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
    """
    ALTER TABLE outbox ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN grp TEXT;
    ALTER TABLE outbox ADD COLUMN digest INTEGER;
    ALTER TABLE outbox ADD COLUMN members INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE attempt (channel TEXT NOT NULL, time INTEGER NOT NULL);
    CREATE INDEX attempt_time ON attempt (channel, time);
    INSERT INTO attempt SELECT channel, settled FROM outbox
        WHERE settled > (SELECT max(settled) FROM outbox) - 3600000000;
    DROP INDEX outbox_pending;
    DROP INDEX outbox_settled;
    CREATE INDEX outbox_pending ON outbox (channel, urgent DESC, id) WHERE state = 'pending';
    CREATE INDEX outbox_held ON outbox (channel, due) WHERE state = 'pending' AND attempts > 0;
    CREATE INDEX outbox_waiting ON outbox (channel, due) WHERE state = 'waiting';
    CREATE INDEX outbox_group ON outbox (channel, grp, due) WHERE grp IS NOT NULL;
    CREATE INDEX outbox_digest ON outbox (digest) WHERE digest IS NOT NULL;
    CREATE TABLE channel (
        name TEXT PRIMARY KEY, state TEXT NOT NULL, since INTEGER NOT NULL, code TEXT, detail TEXT) WITHOUT ROWID;
    """,
)


class Store:
    """One connection; every thread has its own. Raises StoreError, with what to do, and nothing else."""

    def __init__(self, path: str, *, readonly: bool = False) -> None:
        self.path = path
        with self._errors():
            if readonly:
                uri = f"{Path(path).absolute().as_uri()}?mode=ro"
                # Of another thread too: the garbage collector may close it in any.
                self._db = sqlite3.connect(
                    uri, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
                )
            else:
                if path != ":memory:":
                    # Who was on is nobody else's business: no moment in which others could open the file.
                    # Never opened where it is there: closing it would drop the locks that this process' other
                    # connections hold (POSIX), and another process could then delete the log they write to.
                    with suppress(FileExistsError):
                        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640))
                self._db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
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
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for questions; what SQLite refuses becomes a StoreError."""
        with self._errors():
            yield self._db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: what is done within is there after it, or none of it is."""
        with self._errors():
            if self._db.in_transaction:  # a disk may refuse even the rollback
                self._db.execute("ROLLBACK")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk may have rolled it back already
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing, for the left half."""
        with self.writing() as db:
            transaction = Transaction(db)
            yield transaction
            transaction.flush()

    def cursor(self, source: str) -> Optional[str]:
        """Return where reading this source goes on, or None where it never began."""
        with self._errors():
            row = self._db.execute("SELECT cursor FROM checkpoint WHERE source = ?", (source,)).fetchone()
            return None if row is None else str(row[0])

    def watched(self) -> Optional[tuple[str, datetime]]:
        """Return the source that was read last, and until when it is known to have been watched."""
        with self._errors():
            row = self._db.execute("SELECT source, time FROM checkpoint ORDER BY time DESC LIMIT 1").fetchone()
            return None if row is None else (row[0], time_of(row[1]))

    def was_led(self, leader: int, since: datetime) -> bool:
        """Tell whether a session of this leader began since then, also one that has ended."""
        with self._errors():
            sql = "SELECT EXISTS (SELECT 1 FROM session WHERE start >= ? AND leader = ?)"
            return bool(self._db.execute(sql, (micros(since), leader)).fetchone()[0])

    def sessions(self, *, everything: bool = False) -> list[Session]:
        """Return the open sessions, or all, oldest first."""
        where = "" if everything else 'WHERE "end" IS NULL'
        with self._errors():
            rows = self._db.execute(f"SELECT {COLUMNS} FROM session {where} ORDER BY start, id")  # noqa: S608 - constants
            return [session_of(row) for row in rows]

    def events(self) -> list[Event]:
        """Return who acted as whom, and who was refused that, oldest first."""
        names = "kind, time, host, service, user, tty, pid, count, target, command"
        with self._errors():
            rows = self._db.execute(f"SELECT {names} FROM event ORDER BY time, id")  # noqa: S608 - constants
            return [Event(**{**dict(zip(names.split(", "), row)), "time": time_of(row[1])}) for row in rows]

    def failures(self) -> list[Failure]:
        """Return the failed logins as they were folded, oldest first."""
        with self._errors():
            rows = self._db.execute("SELECT host, service, source_ip, time, until, who FROM failure ORDER BY time, id")
            return [
                Failure(
                    host,
                    service,
                    ip,
                    time_of(time),
                    time_of(until),
                    tuple((u, m, bool(i), n) for u, m, i, n in json.loads(who)),
                )
                for host, service, ip, time, until, who in rows
            ]


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
