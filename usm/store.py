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
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from usm.core.model import Event, Failure, Session, micros, time_of
from usm.errors import StoreError
from usm.schema import MIGRATIONS
from usm.transaction import COLUMNS, Transaction, number, session_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_PATIENCE = 30.0  # seconds that a connection waits for another; the reader may have to ask a slow directory service
_INCREMENTAL = 2  # SQLite's number for an auto_vacuum that frees pages when asked to
_LARGEST_LOG = 1 << 24  # bytes that the write-ahead log keeps of the disk after a burst
APPLICATION_ID = 0x55534D31  # "USM1", in the file's header: another program's database is never touched


class Store:
    """One connection; every thread has its own. Raises StoreError, with what to do, and nothing else."""

    def __init__(self, path: str, *, readonly: bool = False) -> None:
        self.path, self._readonly = path, readonly
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
                self._prepare()

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
        if self._readonly and 0 < version < len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by an older version; restart the monitor, which brings it up to date"
            )
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer version (schema {version}, this one knows {len(MIGRATIONS)}); "
                "install that version again, or move the file away to start with empty state"
            )

    def _prepare(self) -> None:
        """Make the file what it should be: the newest tables, and pages that can be given back one by one."""
        shrinks = self._value("PRAGMA auto_vacuum") == _INCREMENTAL
        if not shrinks:
            self._db.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")  # of an empty file; or of the next VACUUM
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA journal_size_limit = {_LARGEST_LOG}")
        older = self._value("PRAGMA user_version")
        self._migrate()
        if older and not shrinks:
            with suppress(sqlite3.OperationalError):  # no room for a copy: the next start tries again
                self._db.execute("VACUUM")

    def _migrate(self) -> None:
        for version in range(self._value("PRAGMA user_version"), len(MIGRATIONS)):
            script = f"BEGIN IMMEDIATE; {MIGRATIONS[version]} PRAGMA user_version = {version + 1};"
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
        """Give the connection for questions; what SQLite refuses becomes a StoreError, and nothing else does."""
        try:
            yield self._db
        except sqlite3.Error as error:  # not an OSError: that is of whoever asks, such as a pipe that was closed
            raise StoreError(f"state file {self.path}: {error}; {_remedy(error)}") from error

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

    def behind(self) -> tuple[int, timedelta]:
        """Return how many bytes were unread behind the last batch, and how old its last record was when it was read."""
        with self._errors():
            row = self._db.execute("SELECT behind, lag FROM checkpoint ORDER BY time DESC LIMIT 1").fetchone()
            return (0, timedelta(0)) if row is None else (row[0], timedelta(microseconds=row[1]))

    def note(self, **facts: str) -> None:
        """Write down what the running monitor says of itself, for `status`."""
        with self.writing() as db:
            db.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", facts.items())

    def facts(self) -> dict[str, str]:
        """Return what the monitor that runs, or ran last, said of itself."""
        with self._errors():
            return dict(self._db.execute("SELECT name, value FROM fact"))

    def counters(self) -> dict[tuple[str, ...], int]:
        """Return all that was ever counted: the name and its labels → how often."""
        with self._errors():
            rows = self._db.execute("SELECT name, label, value FROM counter ORDER BY name, label")
            return {(name, *json.loads(label)): value for name, label, value in rows}

    def open_sessions(self) -> int:
        """Return how many sessions are open."""
        with self._errors():
            return self._value('SELECT count(*) FROM session WHERE "end" IS NULL')

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

    def session(self, identity: str) -> Optional[Session]:
        """Return one session, open or closed."""
        with self._errors():
            row = self._db.execute(f"SELECT {COLUMNS} FROM session WHERE id = ?", (number(identity),)).fetchone()  # noqa: S608 - constants
            return None if row is None else session_of(row)

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
