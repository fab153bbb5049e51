"""What the state file tells of the monitor and of messages that wait."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from tests.support import slots
from usm.check_state import state
from usm.config import Config
from usm.core.alert import alert_for
from usm.core.message import DEAD
from usm.core.model import LOGIN, Event, Host
from usm.finding import FAIL, OK, WARN
from usm.outbox import Outbox
from usm.store import Store

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a state file that a monitor wrote."""
    made = Store(str(tmp_path / "state.db"))
    with made.transaction() as tx:
        tx.checkpoint("journal", "c", NOW)
    return made


def look(store: Store, now: datetime = NOW, *, running: bool = True) -> list[tuple[str, str]]:
    """Return the findings."""
    return state(Config(state=store.path), now, running=running)


def test_all_is_well(store: Store) -> None:
    """File and monitor."""
    (file, monitor) = look(store, NOW + timedelta(seconds=50))
    assert (file[0], file[1].endswith(" KiB, owner root") or ", owner " in file[1]) == (OK, True)
    assert monitor == (OK, "monitor: running; the log was watched until 2026-11-25T10:00:00+00:00")


def test_a_monitor_that_does_not_run_or_hangs(store: Store) -> None:
    """Each with a command."""
    level, text = look(store, running=False)[1]
    assert (level, "start it: systemctl start user-session-monitor (or usm start)" in text) == (WARN, True)
    level, text = look(store, NOW + timedelta(minutes=10))[1]
    assert (level, "the disk refuses, or the monitor hangs" in text, "journalctl -u" in text) == (WARN, True, True)


def test_a_clock_that_was_set_back(store: Store) -> None:
    """The monitor's last note lies ahead."""
    level, text = look(store, NOW - timedelta(hours=3))[2]
    assert (level, text.startswith("clock: the monitor's last note in the state file is 3 h ahead")) == (WARN, True)


def test_messages_that_wait_or_were_given_up(store: Store) -> None:
    """How many, for whom, how long, and why."""
    made = alert_for(Event(LOGIN, NOW, "web01", "sshd", "alice", session="00c0ffee00c0ffee"), Host("web01"))
    assert made is not None
    outbox = Outbox(store)
    with store.transaction() as tx:
        tx.enqueue(made, slots(NOW, "a", "b"), NOW)
    first, second = outbox.first("a"), outbox.first("b")
    assert first is not None
    assert second is not None
    outbox.settle(first._replace(state=DEAD, code="x", detail="y"), NOW)
    outbox.settle(second._replace(attempts=1, code="timeout", detail="no answer"), NOW)
    with store.transaction() as tx:
        tx.checkpoint("journal", "c", NOW + timedelta(hours=2))
    assert look(store, NOW + timedelta(hours=2))[2:] == [
        (WARN, "outbox: 1 for a given up; see: usm outbox; then usm outbox retry, or usm outbox drop ID"),
        (WARN, "outbox: 1 for b, the oldest waits for 2 h: timeout: no answer; see: usm outbox"),
    ]


def test_a_damaged_file(tmp_path: Path) -> None:
    """With what to do about it, and the monitor is told of all the same."""
    (tmp_path / "state.db").write_bytes(b"nothing" * 1000)
    found = state(Config(state=str(tmp_path / "state.db")), NOW, running=False)
    assert [level for level, _ in found] == [FAIL, WARN]
