"""What is old is forgotten while the monitor runs; what is open, waits or is young stays."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from tests.support import slots
from usm import retention
from usm.core.alert import alert_for
from usm.core.message import DEAD, PENDING, SENT, Alert
from usm.core.model import LOGIN, PRIVILEGE, Event, Failure, Host, Session
from usm.outbox import Outbox
from usm.retention import prune
from usm.store import Store

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 23, 2, 5, 7, tzinfo=timezone.utc)
KEEP = timedelta(days=180)
DAY = timedelta(days=1)
HOST = Host("web01")


def session(number: int, start: datetime, end: datetime | None) -> Session:
    """Return a session."""
    reason = None if end is None else "disconnected"
    plain = (f"{number:016x}", "web01", "sshd", f"u{number}", "203.0.113.5", number, "password", None, None, number)
    return Session(*plain, start, end, reason)


def failure(time: datetime, source: str = "203.0.113.9", *who: tuple[str, int]) -> Failure:
    """Return folded failures."""
    return Failure("web01", "sshd", source, time, time, tuple((u, "password", True, n) for u, n in who or (("x", 1),)))


def alert(number: int, time: datetime) -> Alert:
    """Return an alert."""
    made = alert_for(Event(LOGIN, time, "web01", "sshd", f"u{number}", session=f"{number:016x}"), HOST)
    assert made is not None
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store(str(tmp_path / "state.db"))


def test_old_sessions_events_and_failures_are_forgotten(store: Store) -> None:
    """By their end; a session that is open since a year is still open."""
    with store.transaction() as tx:
        tx.put(session(1, NOW - 400 * DAY, None))
        tx.put(session(2, NOW - 400 * DAY, NOW - 179 * DAY))
        tx.put(session(3, NOW - 400 * DAY, NOW - 181 * DAY))
        for age in (181, 179):
            tx.add_event(Event(PRIVILEGE, NOW - age * DAY, "web01", "sudo", "alice", target="root", command="id"))
            tx.add_failures([failure(NOW - age * DAY)])
    assert prune(store, NOW, KEEP).old == 3
    assert [s.user for s in store.sessions(everything=True)] == ["u1", "u2"]
    assert [e.time for e in store.events()] == [NOW - 179 * DAY]
    assert [f.time for f in store.failures()] == [NOW - 179 * DAY]
    assert prune(store, NOW, KEEP).old == 0


def test_what_became_of_messages_is_forgotten_after_a_month(store: Store) -> None:
    """Sent or dead; what waits stays for ever. The alert goes with its last delivery."""
    outbox = Outbox(store)
    with store.transaction() as tx:
        for number in range(4):
            tx.enqueue(alert(number, NOW - 40 * DAY), slots(NOW, "a", "b"), NOW - 40 * DAY)
    for delivery in outbox.deliveries():
        number = int(delivery.message.id[-1], 16) if isinstance(delivery.message, Alert) else 9
        if delivery.id <= 4:  # the first two alerts, on both channels
            outbox.settle(delivery._replace(state=DEAD if number else SENT), NOW - 31 * DAY)
        elif delivery.channel == "a":
            outbox.settle(delivery._replace(state=SENT), NOW - (31 if delivery.id == 5 else 29) * DAY)
    assert prune(store, NOW, KEEP).old == 5
    assert [(d.id, d.channel, d.state) for d in outbox.deliveries((PENDING, SENT, DEAD))] == [
        (6, "b", PENDING),
        (7, "a", SENT),
        (8, "b", PENDING),
    ]
    with store.reading() as db:
        assert db.execute("SELECT count(*) FROM alert").fetchone() == (2,)
    assert prune(store, NOW, DAY * 7).old == 1  # a shorter retention is meant


def test_a_days_failures_of_a_source_become_one_row(store: Store) -> None:
    """With every account and how often; the last two days stay as they were."""
    day = datetime(2026, 11, 19, tzinfo=timezone.utc)
    with store.transaction() as tx:
        for hour in range(24):
            tx.add_failures([failure(day + timedelta(hours=hour), "203.0.113.9", ("root", 2), (f"u{hour % 2}", 1))])
        tx.add_failures([failure(day, "203.0.113.10"), failure(day + 25 * timedelta(hours=1), "203.0.113.9")])
        tx.add_failures([failure(NOW - DAY), failure(NOW - DAY)])
    while prune(store, NOW, KEEP).folded:
        pass
    found = store.failures()
    assert [(f.source_ip, f.time, f.until) for f in found][:2] == [
        ("203.0.113.9", day, day + timedelta(hours=23)),
        ("203.0.113.10", day, day),
    ]
    assert sorted(found[0].who) == [
        ("root", "password", True, 48),
        ("u0", "password", True, 12),
        ("u1", "password", True, 12),
    ]
    assert len(found) == 5
    for _ in range(9):
        prune(store, NOW, KEEP)
    assert store.failures() == found  # done is done


def test_very_many_sources_are_folded_over_several_slices(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is forgotten between two of them."""
    monkeypatch.setattr(retention, "SOURCES", 3)
    day = datetime(2026, 11, 19, tzinfo=timezone.utc)
    with store.transaction() as tx:
        for n in range(40):
            tx.add_failures([failure(day + timedelta(minutes=n), f"203.0.113.{n % 10}")])
    slices = 0
    while prune(store, NOW, KEEP).folded:
        slices += 1
    assert slices == 4
    assert {f.source_ip: sum(w[3] for w in f.who) for f in store.failures()} == {f"203.0.113.{n}": 4 for n in range(10)}


def test_an_attack_from_everywhere_does_not_fill_the_disk(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest are forgotten before their time, and that is said."""
    monkeypatch.setattr(retention, "MOST_FAILURES", 100)
    caplog.set_level(logging.WARNING)
    with store.transaction() as tx:
        tx.add_failures([failure(NOW - timedelta(seconds=n), f"203.0.{n // 250}.{n % 250}") for n in range(130)])
    assert prune(store, NOW, KEEP).excess == 30
    assert min(f.time for f in store.failures()) == NOW - timedelta(seconds=99)
    assert "30 rows of failed logins were forgotten before their time: no more than 100 are kept" in caplog.text
    assert prune(store, NOW, KEEP).excess == 0


def test_the_file_shrinks_while_it_is_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slice by slice, beside a reader and a writer that never wait; the log beside it does not grow either."""
    monkeypatch.setattr(retention, "SLICE", 2000)
    with store.transaction() as tx:
        for number in range(10_000):
            tx.put(session(number, NOW - 200 * DAY, NOW - 190 * DAY))
    reader = Store(store.path, readonly=True)
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before, slices = os.path.getsize(store.path), 0
    while prune(store, NOW, KEEP).old:
        slices += 1
        assert len(reader.sessions(everything=True)) == 10_000 - 2000 * slices
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (slices, os.path.getsize(store.path) < before / 3) == (5, True)
