"""The record proves itself: whatever is changed, removed, put in, moved or cut is found, at the right place."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Callable

import pytest

from usm.core.chain import SEAL, START, Entry, Head, head_of
from usm.core.model import LOGIN, Event, Failure, micros
from usm.ledger import Fault, Proof, append, forget, head, verify
from usm.retention import prune
from usm.store import Store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

DAY = timedelta(days=1)
BEGIN = datetime(2026, 11, 1, tzinfo=timezone.utc)
COLUMNS = ("time", "kind", "host", "user", "source_ip", "session", "body", "hash")
TAMPERINGS = 1000


@pytest.fixture
def store() -> Iterator[Store]:
    """Return a state file in memory."""
    made = Store(":memory:")
    yield made
    made.close()


def login(number: int) -> Event:
    """Return one of many logins."""
    return Event(
        LOGIN, BEGIN + number * timedelta(hours=1), "web01", "sshd", f"user{number % 7}", f"192.0.2.{number % 250}"
    )


def fill(store: Store, count: int) -> None:
    """Record so many logins, a few in each transaction."""
    for first in range(0, count, 5):
        with store.transaction() as tx:
            for number in range(first, min(first + 5, count)):
                tx.record(login(number))


def proof(store: Store, *sent: Head) -> Proof:
    """Verify."""
    with store.reading() as db:
        return verify(db, sent)


def test_a_record_is_whole(store: Store) -> None:
    """Empty or not; its head can be written down and read back."""
    assert proof(store) == Proof(0, 1, START)
    fill(store, 23)
    found = proof(store)
    assert (found.entries, found.first, found.head.seq, found.fault) == (23, 1, 23, None)
    assert head_of(str(found.head)) == found.head
    assert proof(store, found.head).fault is None


@pytest.mark.parametrize(
    "text", ["", "12", "12:", "0:" + "a" * 64, "12:" + "g" * 64, "12:" + "a" * 63, "-1:" + "a" * 64]
)
def test_what_is_no_head(text: str) -> None:
    """Is said to be none."""
    assert head_of(text) is None


def flip(db: sqlite3.Connection, rng: random.Random, count: int) -> Fault:
    """Change one field of one entry."""
    seq, column = rng.randint(1, count), rng.choice(COLUMNS)
    (old,) = db.execute(f"SELECT {column} FROM record WHERE seq = ?", (seq,)).fetchone()
    if isinstance(old, bytes):
        at = rng.randrange(len(old))
        new: object = old[:at] + bytes([old[at] ^ (1 << rng.randrange(8))]) + old[at + 1 :]
    elif isinstance(old, int):
        new = old + rng.choice((-1, 1, 1000))
    else:
        new = rng.choice((None, "", f"{old}x")) if column in ("user", "source_ip", "session") else f"{old}x"
        new = "y" if new == old else new
    db.execute(f"UPDATE record SET {column} = ? WHERE seq = ?", (new, seq))
    return Fault("changed", seq)


def delete(db: sqlite3.Connection, rng: random.Random, count: int) -> Fault:
    """Remove a run of entries that is not the end."""
    seq = rng.randint(1, count - 1)
    many = rng.randint(1, min(5, count - seq))
    db.execute("DELETE FROM record WHERE seq >= ? AND seq < ?", (seq, seq + many))
    return Fault("missing", seq, str(many))


def close_up(db: sqlite3.Connection, rng: random.Random, count: int) -> Fault:
    """Remove an entry and give its number, and the others' behind it, to the next."""
    seq = rng.randint(1, count - 1)
    db.execute("DELETE FROM record WHERE seq = ?", (seq,))
    for later in range(seq + 1, count + 1):
        db.execute("UPDATE record SET seq = ? WHERE seq = ?", (later - 1, later))
    return Fault("changed", seq)


def insert(db: sqlite3.Connection, rng: random.Random, count: int) -> Fault:
    """Put an entry in between, a copy of another."""
    seq, copied = rng.randint(1, count), rng.randint(1, count)
    row = db.execute("SELECT * FROM record WHERE seq = ?", (copied,)).fetchone()
    for later in range(count, seq - 1, -1):
        db.execute("UPDATE record SET seq = ? WHERE seq = ?", (later + 1, later))
    db.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (seq, *row[1:]))
    # A copy of the entry that stood there is the same with the same number: the one behind it is not.
    return Fault("changed", seq + 1 if copied == seq else seq)


def swap(db: sqlite3.Connection, rng: random.Random, count: int) -> Fault:
    """Let two entries change places."""
    one, other = sorted(rng.sample(range(1, count + 1), 2))
    db.execute("UPDATE record SET seq = -1 WHERE seq = ?", (one,))
    db.execute("UPDATE record SET seq = ? WHERE seq = ?", (one, other))
    db.execute("UPDATE record SET seq = ? WHERE seq = -1", (other,))
    return Fault("changed", one)


def truncate(db: sqlite3.Connection, rng: random.Random, count: int) -> Fault:
    """Cut the end, and put the local note of the head right: only a head that was sent elsewhere knows."""
    many = rng.randint(1, count)
    db.execute("DELETE FROM record WHERE seq > ?", (count - many,))
    db.execute("INSERT OR REPLACE INTO fact VALUES ('head', ?)", (str(head(db)),))
    if count == many:
        db.execute("DELETE FROM fact WHERE name = 'head'")
    return Fault("cut", count - many + 1, str(many))


def rewrite(db: sqlite3.Connection, rng: random.Random, count: int) -> Fault:
    """Change an entry, and make the whole chain behind it anew."""
    seq = rng.randint(1, count)
    rows = db.execute("SELECT * FROM record WHERE seq >= ? ORDER BY seq", (seq,)).fetchall()
    before = db.execute("SELECT seq, hash FROM record WHERE seq = ?", (seq - 1,)).fetchone()
    db.execute("DELETE FROM record WHERE seq >= ?", (seq,))
    entries = [Entry(*row[:-1]) for row in rows]
    entries[0] = entries[0]._replace(user="nobody")
    append(db, START if before is None else Head(*before), entries)
    return Fault("replaced", count)


Tampering = Callable[["sqlite3.Connection", random.Random, int], Fault]
WAYS: tuple[Tampering, ...] = (flip, delete, close_up, insert, swap, truncate, rewrite)


def test_a_thousand_tamperings_are_found(store: Store) -> None:
    """Each at the first entry that is wrong; the record is whole again when it is undone."""
    count = 60
    fill(store, count)
    end = proof(store).head
    rng = random.Random(9)
    for number in range(TAMPERINGS):
        way = WAYS[number % len(WAYS)]
        with store.reading() as db:
            db.execute("SAVEPOINT before")
            expected = way(db, rng, count)
            found = verify(db, [end])
            db.execute("ROLLBACK TO before")
            db.execute("RELEASE before")
        assert found.fault is not None, (number, way.__name__)
        assert found.fault[:2] == expected[:2], (number, way.__name__)
        assert expected.detail in ("", found.fault.detail), (number, way.__name__)
        assert found.entries == min(expected.seq - 1, count), (number, way.__name__)
    assert proof(store, end).fault is None


def test_a_cut_that_the_note_shows(store: Store) -> None:
    """Whoever only deletes the last entries forgot the note of the head."""
    fill(store, 9)
    with store.reading() as db:
        db.execute("DELETE FROM record WHERE seq > 7")
    assert proof(store).fault == Fault("cut", 8, "2")


def test_what_is_old_is_forgotten_and_the_rest_is_whole(store: Store) -> None:
    """A seal says up to which; heads from before and after it are still known."""
    fill(store, 24 * 9)
    early, middle = proof(store).head, None
    for day in range(9, 15):
        now = BEGIN + day * DAY
        prune(store, now, 4 * DAY)
        found = proof(store)
        assert found.fault is None
        middle = middle or found.head
        assert proof(store, found.head, middle).fault is None
    with store.reading() as db:
        kinds = [kind for (kind,) in db.execute("SELECT kind FROM record ORDER BY seq")]
    assert kinds.count(SEAL) >= 1
    assert kinds.count(LOGIN) < 24
    assert proof(store, early).fault is None or proof(store).first > early.seq


def test_what_was_forgotten_without_a_seal_is_missing(store: Store) -> None:
    """Also when older ones were sealed before."""
    fill(store, 24 * 4)
    with store.writing() as db:
        assert forget(db, micros(BEGIN + 2 * DAY), micros(BEGIN + 4 * DAY), 1000) == 48
    assert proof(store).first == 49
    with store.reading() as db:
        db.execute("DELETE FROM record WHERE seq < 52")
    assert proof(store).fault == Fault("missing", 49, "3")


def test_failed_logins_are_one_entry_a_day_and_source(store: Store) -> None:
    """When the day is over; each once, whatever is pruned after."""
    with store.transaction() as tx:
        for minute in range(5):
            time = BEGIN + timedelta(minutes=minute)
            tx.add_failures([Failure("web01", "sshd", "198.51.100.7", time, time, (("root", "password", False, 2),))])
    for _ in range(3):
        prune(store, BEGIN + 4 * DAY, 180 * DAY)
    with store.reading() as db:
        rows = db.execute("SELECT kind, source_ip, body FROM record").fetchall()
    ((kind, source, body),) = rows
    assert (kind, source) == ("failed", "198.51.100.7")
    assert '"count":10,"users":{"root":10},"others":0' in body
    assert proof(store).fault is None
