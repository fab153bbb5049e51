"""usm/core/programs/sshd.py, what the journal adds; all other lines of sshd are in tests/core/test_recognize.py."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Optional

import pytest

from usm.core.model import Record
from usm.core.recognize import recognize

if TYPE_CHECKING:
    from usm.core.model import Event

TIME = datetime(2026, 11, 25, 2, 57, 26, tzinfo=timezone.utc)
OPENED = "pam_unix(sshd:session): session opened for user alice(uid=2001) by alice(uid=0)"


def told(message: str, uid: Optional[int] = 0, appname: str = "sshd-session") -> Optional[Event]:
    """What a message in the journal is recognised as; `uid` wrote it, None is a log file's."""
    return recognize(Record(TIME, "web01", appname, 101, message, uid))


@pytest.mark.parametrize("appname", ["sshd", "sshd-session"])
@pytest.mark.parametrize("by", ["alice(uid=0)", "(uid=0)"])
def test_pam_tells_the_account_s_uid(appname: str, by: str) -> None:
    """A detail of the session of this process, in both forms of Linux-PAM since 1.4."""
    event = told(f"pam_unix(sshd:session): session opened for user alice(uid=2001) by {by}", 0, appname)
    assert event is not None
    assert (event.kind, event.pid, event.user, event.uid, event.service) == ("detail", 101, "alice", 2001, "sshd")


@pytest.mark.parametrize(
    ("message", "uid"),
    [
        (OPENED, None),  # a log file does not know who wrote it
        (OPENED, 2001),  # not root's
        ("pam_unix(sshd:session): session opened for user alice by (uid=0)", 0),  # before 1.4 there is no uid
        (OPENED[:-1], 0),
        (OPENED + " ", 0),
        (" " + OPENED, 0),
        (OPENED.replace("2001", "20010000000"), 0),
        (OPENED.replace("sshd:", "sshd-x:"), 0),
    ],
)
def test_what_is_not_root_s_whole_line_tells_no_uid(message: str, uid: Optional[int]) -> None:
    """One byte too many or too few, another writer, another service."""
    assert told(message, uid) is None


def test_a_name_that_holds_the_words_is_read_to_the_uid_that_pam_wrote() -> None:
    """The whole line must fit, so the uid is the one before the last `by`."""
    event = told("pam_unix(sshd:session): session opened for user x(uid=0) by root(uid=2001) by (uid=0)")
    assert event is not None
    assert (event.user, event.uid) == ("x(uid=0) by root", 2001)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Received disconnect from 203.0.113.5 port 40001:11: disconnected by user", "disconnected"),
        ("error: Received disconnect from 203.0.113.5 port 40001:11: x", "disconnected"),
        ("Disconnected from user alice 203.0.113.5 port 40001", "disconnected"),
        ("Connection closed by user alice 203.0.113.5 port 40001", "closed"),
        ("Connection reset by user alice 203.0.113.5 port 40001", "reset"),
        ("Read error from remote host user alice 203.0.113.5 port 40001: Connection reset by peer", "reset"),
        ("Timeout, client not responding from user alice 203.0.113.5 port 40001", "timeout"),
        ("terminating inactive connection from user alice 203.0.113.5 port 40001", "timeout"),
        ("Disconnecting user alice 203.0.113.5 port 40001: bad packet", "terminated"),
    ],
)
def test_what_the_user_s_own_process_says_of_its_connection_only_explains(message: str, reason: str) -> None:
    """In the journal it is a hint with the uid; root's process, and a log file, end the session."""
    hint, root, file = told(message, 2001), told(message, 0), told(message, None)
    assert hint is not None
    assert root is not None
    assert file is not None
    assert (hint.kind, hint.end_reason, hint.uid, hint.source_port) == ("hint", reason, 2001, 40001)
    assert (root.kind, root.end_reason, root.uid) == ("logout", reason, None)
    assert (file.kind, file.end_reason) == ("logout", reason)


@pytest.mark.parametrize(
    "message",
    [
        "Accepted password for root from 203.0.113.5 port 40001 ssh2",
        "Failed password for root from 203.0.113.5 port 40001 ssh2",
        "error: PAM: Authentication failure for root from 203.0.113.5",
        "Exiting on signal 15",
        "error: mm_reap: child terminated by signal 15",
        "pam_unix(sshd:session): session closed for user root",
        "message repeated 9 times: [ Failed password for root from 203.0.113.5 port 40001 ssh2]",
    ],
)
def test_what_only_root_s_process_writes_is_nothing_from_a_user_s(message: str) -> None:
    """Nobody can log in, be refused or end a session by writing to the journal."""
    assert told(message, 2001) is None
    assert told(message, 0) is not None


@pytest.mark.parametrize(
    "message",
    [
        "message repeated 2 times: [ Accepted password for root from 203.0.113.5 port 40001 ssh2]",
        "message repeated 2 times: [ message repeated 2 times: [ Failed none for root from 203.0.113.5 port 1 ssh2]]",
        "message repeated 2 times: [ Failed password for root from 203.0.113.5 port 1 ssh2",
        "message repeated 2 times: [ noise]",
    ],
)
def test_only_refusals_repeat(message: str) -> None:
    """A login's port is its own, and rsyslog folds once."""
    assert told(message) is None
