"""The queue between the halves, as the right half sees it: what is due, what became of it, and digests.

A digest is a delivery of its own: what it holds is `grouped` in the transaction that makes it, so that a kill
can't tell an event twice or lose it. Times are stored as whole microseconds since 1970 UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from usm.core.alert import dump, load
from usm.core.digest import digest
from usm.core.message import (
    DEAD,
    FAILING,
    FAULT,
    GROUPED,
    PENDING,
    SENT,
    WAITING,
    WORKS,
    Alert,
    Message,
)
from usm.core.model import micros, time_of
from usm.core.route import Slot
from usm.transaction import Transaction, count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from usm.store import Store

DEFERRED = "deferred"  # counted beside the states: a try that failed, of a message that is kept
LARGEST = 10_000  # alerts in one digest: it is read and made anew in some tenths of a second, and memory stays flat


class Delivery(NamedTuple):
    """One message on its way to one channel; `attempts` were made so far, the next is due at `due`.

    `members`: how many alerts a digest holds, 0 where it is none.
    """

    id: int
    message: Message
    channel: str
    state: str
    attempts: int
    due: datetime
    plain: bool
    code: Optional[str] = None
    detail: Optional[str] = None
    urgent: bool = False
    members: int = 0


class ChannelState(NamedTuple):
    """How a channel does: `works`, `failing` or `fault`, since when, and what the last refusal was."""

    name: str
    state: str
    since: datetime
    code: Optional[str] = None
    detail: Optional[str] = None


class Outbox:
    """Reads and settles the deliveries in a store. Raises StoreError, with what to do, and nothing else."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def close(self) -> None:
        """Let go of the store, for who alone has it."""
        self._store.close()

    def first(self, channel: str) -> Optional[Delivery]:
        """Return the oldest pending delivery of a channel, an urgent one if there is any; due or not."""
        sql = f"{_DELIVERY} WHERE channel = ? AND state = '{PENDING}' ORDER BY urgent DESC, o.id LIMIT 1"
        with self._store.reading() as db:
            row = db.execute(sql, (channel,)).fetchone()
            return None if row is None else _delivery(row)

    def backlog(self, channel: str, most: int) -> int:
        """Return how many alerts wait that were not tried yet and are not urgent; counts no further than `most`."""
        sql = f"SELECT count(*) FROM (SELECT 1 FROM outbox o WHERE {_FRESH} LIMIT ?)"  # noqa: S608 - constants
        with self._store.reading() as db:
            return int(db.execute(sql, (channel, most)).fetchone()[0])

    def next_group(self, channel: str) -> Optional[tuple[str, datetime]]:
        """Return the group whose time comes first, and when that is."""
        sql = f"SELECT grp, due FROM outbox WHERE channel = ? AND state = '{WAITING}' ORDER BY due LIMIT 1"  # noqa: S608 - constants
        with self._store.reading() as db:
            row = db.execute(sql, (channel,)).fetchone()
            return None if row is None else (row[0], time_of(row[1]))

    def gather(self, channel: str, now: datetime, group: Optional[str] = None, *, singly: bool = False) -> int:
        """Make one message of the alerts that are due in a group, or of the whole backlog; return how many they are.

        At most `LARGEST`; a single one stays what it is, and is sent with all its facts, as all are with `singly`.
        """
        which, values = (_FRESH, (channel,)) if group is None else (_DUE, (channel, group, micros(now)))
        chosen = f"WHERE {which} ORDER BY o.id LIMIT {LARGEST}"
        with self._store.writing() as db:
            numbers = [row[0] for row in db.execute(f"SELECT o.id FROM outbox o {chosen}", values)]  # noqa: S608 - constants
            if singly or len(numbers) == 1:
                sql = f"UPDATE outbox SET state = '{PENDING}', due = ? WHERE id = ?"  # noqa: S608 - constants
                db.executemany(sql, ((micros(now), number) for number in numbers))
            elif numbers:
                bodies = db.execute(f"SELECT body FROM outbox o JOIN alert a ON a.id = o.alert {chosen}", values)  # noqa: S608
                made = digest(alert for (body,) in bodies if isinstance(alert := load(body), Alert))
                # The digest takes the place of the first, so that nothing that came later goes before it.
                first = numbers[0]
                copied = "channel, state, attempts, due, plain, urgent, grp, alert, queued"
                sql = f"INSERT INTO outbox ({copied}) SELECT {copied} FROM outbox WHERE id = ?"  # noqa: S608 - constants
                numbers[0] = db.execute(sql, (first,)).lastrowid
                body = db.execute("INSERT INTO alert (body) VALUES (?)", (dump(made),)).lastrowid
                sql = f"UPDATE outbox SET alert = ?, state = '{PENDING}', due = ?, members = ? WHERE id = ?"  # noqa: S608
                db.execute(sql, (body, micros(now), len(numbers), first))
                change = f"UPDATE outbox SET state = '{GROUPED}', digest = ?, settled = ? WHERE id = ?"  # noqa: S608
                db.executemany(change, ((first, micros(now), number) for number in numbers))
                count(db, "deliveries", channel, GROUPED, by=len(numbers))
            return len(numbers)

    def tried_since(self, channels: Sequence[str], since: datetime) -> list[datetime]:
        """Return when these channels were tried, in order: a restart must not reset a rate limit."""
        sql = f"SELECT time FROM attempt WHERE channel IN ({_marks(channels)}) AND time > ? ORDER BY time"  # noqa: S608 - marks
        with self._store.reading() as db:
            return [time_of(row[0]) for row in db.execute(sql, (*channels, micros(since)))]

    def held(self, channels: Sequence[str]) -> Optional[Delivery]:
        """Return the pending delivery whose last try failed and that is due last, if there is one: all wait for it."""
        which = f"channel IN ({_marks(channels)}) AND state = '{PENDING}' AND attempts > 0"
        with self._store.reading() as db:
            row = db.execute(f"{_DELIVERY} WHERE {which} ORDER BY due DESC LIMIT 1", channels).fetchone()
            return None if row is None else _delivery(row)

    def settle(
        self,
        delivery: Delivery,
        now: datetime,
        *,
        fault: bool = False,
        forget: Optional[datetime] = None,
        notice: Optional[Callable[[Delivery, datetime], Message]] = None,
        others: Sequence[str] = (),
    ) -> tuple[str, str]:
        """Write down what became of a try, and what that says of the channel; return its state before and after.

        `now` is also noted as the time of the try; those of the channel before `forget` matter no more.
        A fault stays one until something is sent: a dead network on top of it is no news. `others` are told by a
        `notice` when a fault begins, and when it ends.
        """
        with self._store.writing() as db:
            settled = None if delivery.state == PENDING else micros(now)
            db.execute(
                "UPDATE outbox SET state = ?, attempts = ?, due = ?, plain = ?, code = ?, detail = ?, settled = ? "
                "WHERE id = ?",
                (*delivery[3:5], micros(delivery.due), *delivery[6:9], settled, delivery.id),
            )
            db.execute("INSERT INTO attempt VALUES (?, ?)", (delivery.channel, micros(now)))
            count(db, "deliveries", delivery.channel, DEFERRED if delivery.state == PENDING else delivery.state)
            if forget is not None:
                db.execute("DELETE FROM attempt WHERE channel = ? AND time < ?", (delivery.channel, micros(forget)))
            row = db.execute("SELECT state FROM channel WHERE name = ?", (delivery.channel,)).fetchone()
            before = WORKS if row is None else str(row[0])
            after = WORKS if delivery.state == SENT else before  # refused for its own sake: the other side answers
            if delivery.state == PENDING:
                after = FAULT if fault or before == FAULT else FAILING
            if (before, after) != (WORKS, WORKS):
                db.execute(
                    "INSERT INTO channel (name, state, since, code, detail) VALUES (?1, ?2, ?3, ?4, ?5) "
                    "ON CONFLICT (name) DO UPDATE SET since = CASE state WHEN ?2 THEN since ELSE ?3 END, state = ?2, "
                    "code = ?4, detail = ?5",
                    (delivery.channel, after, micros(now), delivery.code, delivery.detail),
                )
            if before != after and FAULT in (before, after) and notice is not None:
                slots = [Slot(name, PENDING, now, urgent=True) for name in others]
                told = Transaction(db)
                told.enqueue(notice(delivery, now), slots, now)
                told.flush()
            return before, after

    def channels(self) -> dict[str, ChannelState]:
        """Return the channels that ever failed, by name."""
        with self._store.reading() as db:
            rows = db.execute("SELECT name, state, since, code, detail FROM channel ORDER BY name")
            return {row[0]: ChannelState(row[0], row[1], time_of(row[2]), row[3], row[4]) for row in rows}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return for each channel how many deliveries are in which state."""
        found: dict[str, dict[str, int]] = {}
        with self._store.reading() as db:
            for name, state, count in db.execute("SELECT channel, state, count(*) FROM outbox GROUP BY 1, 2"):
                found.setdefault(name, {})[state] = count
        return found

    def queued(self, states: Sequence[str] = (PENDING, WAITING)) -> dict[str, datetime]:
        """Return for each channel since when its oldest message waits."""
        sql = f"SELECT channel, min(queued) FROM outbox WHERE state IN ({_marks(states)}) GROUP BY 1"  # noqa: S608 - constants
        with self._store.reading() as db:
            return {name: time_of(time) for name, time in db.execute(sql, states)}

    def deliveries(self, states: Sequence[str] = (WAITING, PENDING, DEAD)) -> list[Delivery]:
        """Return what waits in the outbox or was given up, oldest first."""
        sql = f"{_DELIVERY} WHERE state IN ({_marks(states)}) ORDER BY o.id"
        with self._store.reading() as db:
            return [_delivery(row) for row in db.execute(sql, states)]

    def retry(self, now: datetime, ids: Sequence[int] = ()) -> int:
        """Make deliveries due now that are dead or to be tried again; return how many.

        Without ids all of them, but for what waits for its group or the end of quiet hours: that is named, or waits.
        """
        change = f"UPDATE outbox SET state = '{PENDING}', attempts = 0, settled = NULL, due = {micros(now)}"  # noqa: S608 - constants and a number
        return self._amend(change, ids, (WAITING, PENDING, DEAD) if ids else (PENDING, DEAD), everything=not ids)

    def drop(self, ids: Sequence[int]) -> int:
        """Give up deliveries for good, a digest with all that it holds: they are forgotten; return how many."""
        count = self._amend("DELETE FROM outbox", ids, (WAITING, PENDING, DEAD), everything=False)
        with self._store.writing() as db:
            gone = "digest IS NOT NULL AND digest NOT IN (SELECT id FROM outbox WHERE members > 0)"
            db.execute(f"DELETE FROM outbox WHERE {gone}")  # noqa: S608 - constants
        return count

    def _amend(self, change: str, ids: Sequence[int], states: Sequence[str], *, everything: bool) -> int:
        possible = [number for number in ids if -(2**63) <= number < 2**63]  # SQLite has no greater ones
        which = "" if everything else f"AND id IN ({_marks(possible)})"
        with self._store.writing() as db:
            return db.execute(f"{change} WHERE state IN ({_marks(states)}) {which}", (*states, *possible)).rowcount


_COLUMNS = "o.id, body, channel, state, attempts, due, plain, code, detail, urgent, members"
_DELIVERY = f"SELECT {_COLUMNS} FROM outbox o JOIN alert a ON a.id = o.alert"  # noqa: S608 - constants
# What a digest may take in: what was tried may have arrived, and what is urgent is never grouped away.
_FRESH = f"channel = ? AND state = '{PENDING}' AND urgent = 0 AND attempts = 0 AND members = 0"
_DUE = f"channel = ? AND state = '{WAITING}' AND grp = ? AND due <= ?"


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _delivery(row: tuple[Any, ...]) -> Delivery:
    number, body, channel, state, attempts, due, plain, *rest, members = row
    code, detail, urgent = rest
    message = load(body)
    return Delivery(
        number, message, channel, state, attempts, time_of(due), bool(plain), code, detail, bool(urgent), members
    )
