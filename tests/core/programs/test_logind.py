"""usm/core/programs/logind.py: real words of systemd 252, 257 and 262."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Optional

import pytest

from usm.core.model import Record
from usm.core.recognize import recognize

if TYPE_CHECKING:
    from usm.core.model import Event

TIME = datetime(2026, 11, 25, 2, 0, tzinfo=timezone.utc)


def told(
    message: str,
    appname: str = "systemd-logind",
    leader: Optional[int] = 101,
    seat: Optional[str] = "c1",
    uid: Optional[int] = 0,
) -> Optional[Event]:
    """What a message of logind's is recognised as."""
    return recognize(Record(TIME, "h", appname, 37, message, uid, leader=leader, seat=seat))


@pytest.mark.parametrize(
    "message",
    ["New session 138 of user alice.", "New session 'c243' of user 'alice' with class 'user' and type 'web'."],
)
def test_a_new_session_names_the_seat_of_its_leader(message: str) -> None:
    """It joins another program's session, of whatever service; without the journal's fields it says nothing."""
    event = told(message)
    assert event is not None
    assert (event.kind, event.pid, event.seat, event.service) == ("detail", 101, "c1", "")
    assert told(message, leader=None) is None
    assert told(message, seat=None) is None
    assert told(message, uid=1000) is None


@pytest.mark.parametrize("message", ["Removed session c257.", "Session c9 logged out. Waiting for processes to exit."])
def test_a_session_that_is_gone_ends_with_its_leader(message: str) -> None:
    """It knows no more than that it is over."""
    event = told(message)
    assert event is not None
    assert (event.kind, event.pid, event.end_reason, event.service) == ("logout", 101, "closed", "")
    assert told(message, leader=None) is None
    assert told(message, uid=1000) is None
    assert told(message[:-1]) is None
    assert told(message + " ") is None


@pytest.mark.parametrize(
    "message",
    [
        "The system will reboot now!",
        "The system will power off now!",
        "The system will halt now!",
        "The system will kexec now!",
        "System is rebooting.",
        "System is powering down.",
        "System is halting.",
        "System is rebooting with kexec.",
    ],
)
def test_a_machine_that_goes_down_says_so_in_a_log_file_too(message: str) -> None:
    """All sessions of the machine will have ended with it."""
    event = told(message, leader=None, seat=None, uid=None)
    assert event is not None
    assert (event.kind, event.end_reason, event.pid, event.seat) == ("hint", "shutdown", None, None)
    assert told(message, uid=1000) is None
    assert told(message + "x") is None
    assert told(message, "systemd") is None


def test_systemd_s_stop_explains_the_end_of_a_session() -> None:
    """Only where the record is about a session's scope."""
    event = told("Stopping session-c1.scope - Session c1 of User alice...", "systemd", leader=None)
    assert event is not None
    assert (event.kind, event.end_reason, event.seat, event.pid) == ("hint", "terminated", "c1", None)
    assert told("Stopping ssh.service - OpenBSD Secure Shell server...", "systemd", leader=None, seat=None) is None
    assert told("Stopping session-c1.scope - Session c1 of User alice...", "systemd", uid=1000) is None


@pytest.mark.parametrize(
    "message", ["New seat seat0.", "Watching system buttons on /dev/input/event0 (Power Button)", "New session c1"]
)
def test_noise_is_nothing(message: str) -> None:
    """Seats, buttons, half a line."""
    assert told(message) is None
