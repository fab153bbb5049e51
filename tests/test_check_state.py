"""Is the state file sound and this user's, does the monitor run, what waits: each finding says what to do."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from tests.channels.samples import MESSAGES
from tests.support import nobody, open_place, slots
from usm.check_state import state
from usm.config import Config
from usm.core.message import DEAD, PENDING, WAITING
from usm.core.route import Slot
from usm.finding import FAIL, OK, WARN
from usm.outbox import Outbox
from usm.sources import rights
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
ROOT = os.geteuid() == 0
STOPPED = (WARN, "monitor: not running; start it: systemctl start user-session-monitor (or usm start)")
ME = rights.user(os.geteuid())


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that everybody may enter."""
    with open_place() as path:
        yield path


def at(place: Path, *, running: bool = False, name: str = "state.db") -> list[tuple[str, str]]:
    """Return the findings about a state file."""
    return state(Config(state=str(place / name)), NOW, running=running)


def test_a_state_of_ours_is_fine(place: Path) -> None:
    """It is read from end to end, and stays as it is."""
    path = place / "state.db"
    Store(str(path)).close()
    before = path.read_bytes()
    (level, text), second = at(place)
    assert (level, second) == (OK, STOPPED)
    assert text.startswith(f"state: {path}, ")
    assert text.endswith(f" KiB, owner {ME}")
    assert path.read_bytes() == before


def test_a_state_that_is_not_ours_is_refused(place: Path) -> None:
    """With the remedy that a start would tell."""
    (place / "state.db").write_text("This is not a database at all. " * 100)
    (level, text), second = at(place)
    assert (level, second) == (FAIL, STOPPED)
    assert "it is damaged: restore it from a backup, or move it away" in text


def test_a_state_in_directories_to_be_made_is_fine(place: Path) -> None:
    """The first start makes them."""
    assert at(place, name="a/b/state.db")[0] == (OK, f"state: {place}/a/b/state.db will be made at the first start")


def test_a_file_on_the_way_to_the_state_is_no_directory(place: Path) -> None:
    """It can't be made below a file."""
    (place / "file").touch()
    level, text = at(place, name="file/state.db")[0]
    assert level == FAIL
    assert "can't be made" in text


@pytest.mark.skipif(not ROOT, reason="needs to become another user")
def test_a_user_without_rights_is_told_which(place: Path) -> None:
    """It can't be made, or it can't be written."""
    refused = f"state: {place}/state.db can't be made: this user may not write to {place}"
    with nobody():
        assert at(place)[0] == (FAIL, f"{refused}; run as root or set `state:`")
    store = Store(str(place / "state.db"))  # open, so that a reader needs not make the files beside it
    for name in ("state.db", "state.db-shm", "state.db-wal"):
        (place / name).chmod(0o644)
    with nobody():
        found = at(place)[0]
    store.close()
    text = f"state: {place}/state.db can't be written by this user; run as the user that owns it: root"
    assert found == (FAIL, text)


def watched(place: Path, ago: timedelta) -> None:
    """Leave a note that the log was watched until then."""
    store = Store(str(place / "state.db"))
    with store.transaction() as tx:
        tx.checkpoint("journal", "c", NOW - ago)
    store.close()


def test_a_monitor_that_runs_says_until_when_it_watched(place: Path) -> None:
    """Within the last minute or two."""
    watched(place, timedelta(seconds=30))
    assert at(place, running=True)[1] == (
        OK,
        "monitor: running; the log was watched until 2026-11-23T11:59:30+00:00",
    )


def test_a_monitor_that_hangs_is_warned_of(place: Path) -> None:
    """It runs and writes nothing down."""
    watched(place, timedelta(minutes=10))
    level, text = at(place, running=True)[1]
    assert level == WARN
    assert text.startswith("monitor: running, but nothing was written down since 2026-11-23T11:50:00+00:00")
    assert text.endswith("read: journalctl -u user-session-monitor")


def test_a_monitor_that_does_not_run_is_warned_of(place: Path) -> None:
    """Since when, and how to start it."""
    watched(place, timedelta(hours=2))
    assert at(place)[1] == (
        WARN,
        "monitor: not running; the log was watched until 2026-11-23T10:00:00+00:00; "
        "start it: systemctl start user-session-monitor (or usm start)",
    )


def test_a_note_from_the_future_is_the_clocks_fault(place: Path) -> None:
    """More than a moment ahead."""
    watched(place, -timedelta(minutes=5))
    assert len(at(place, running=True)) == 2
    watched(place, -timedelta(hours=3))
    level, text = at(place, running=True)[2]
    assert level == WARN
    assert text.startswith("clock: the monitor's last note in the state file is 3 h ahead of this machine's clock; ")


def queue(place: Path, ago: timedelta, *names: str, what: str = PENDING) -> Outbox:
    """Put a message for these channels into the outbox, so long ago."""
    then = NOW - ago
    store = Store(str(place / "state.db"))
    with store.transaction() as tx:
        placed = slots(then, *names) if what == PENDING else [Slot(n, what, NOW + timedelta(hours=9)) for n in names]
        tx.enqueue(MESSAGES["login"]._replace(id=f"{len(names):016x}"), placed, then)
    return Outbox(store)


def test_messages_that_wait_too_long_are_warned_of(place: Path) -> None:
    """After an hour, with what the service said; those of quiet hours are meant to wait."""
    queue(place, timedelta(minutes=59), "new")
    queue(place, timedelta(hours=5), "quiet", "hours", what=WAITING)
    assert len(at(place)) == 2
    outbox = queue(place, timedelta(hours=3), "feishu", "slack", "a")
    first = next(d for d in outbox.deliveries() if d.channel == "feishu")
    outbox.settle(first._replace(attempts=1, code="19021", detail="signature refused"), NOW)
    found = at(place)[2:]
    assert (WARN, "outbox: 1 for slack not delivered yet, the oldest for 3 h; see them: usm outbox") in found
    assert (
        WARN,
        "outbox: 1 for feishu not delivered yet, the oldest for 3 h: 19021: signature refused; see them: usm outbox",
    ) in found
    assert len(found) == 3


def test_messages_that_were_given_up_are_warned_of(place: Path) -> None:
    """With both things that can be done."""
    outbox = queue(place, timedelta(0), "feishu")
    (first,) = outbox.deliveries()
    outbox.settle(first._replace(state=DEAD, attempts=5, code="19002", detail="not understood"), NOW)
    assert at(place)[2:] == [
        (WARN, "outbox: 1 for feishu given up; see them: usm outbox; then usm outbox retry ID, or usm outbox drop ID")
    ]
