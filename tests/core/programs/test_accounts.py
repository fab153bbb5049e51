"""Accounts that are made: what useradd writes, and that nobody else's text is taken for it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from usm.core.model import ACCOUNT, Record
from usm.core.recognize import recognize

NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)


def record(message: str, appname: str = "useradd", uid: int | None = None) -> Record:
    """Return a line."""
    return Record(NOW, "web01", appname, 4711, message, uid=uid)


@pytest.mark.parametrize(
    "message",
    [
        "new user: name=eve, UID=1009, GID=1009, home=/home/eve, shell=/bin/bash, from=/dev/pts/1",
        "new user: name=eve, UID=1009, GID=1009, home=/home/eve, shell=/bin/bash, from=none",
        "new user: name=eve, UID=1009, GID=100, home=/srv/a, b, shell=/bin/sh",
    ],
)
def test_an_account_was_made(message: str) -> None:
    """With its uid; shadow has written where from since 4.2."""
    event = recognize(record(message))
    assert event is not None
    assert (event.kind, event.service, event.user, event.uid) == (ACCOUNT, "useradd", "eve", 1009)


@pytest.mark.parametrize(
    "message",
    [
        "new group: name=eve, GID=1009",
        "new user: name=eve, UID=x, GID=1009, home=/home/eve, shell=/bin/bash",
        "new user: name=, UID=1009, GID=1009, home=/home/eve, shell=/bin/bash",
        "failed adding user 'eve', exit code: 9",
        "x new user: name=eve, UID=1009, GID=1009, home=/home/eve, shell=/bin/bash",
    ],
)
def test_other_lines(message: str) -> None:
    """They are no account."""
    assert recognize(record(message)) is None


def test_only_root_makes_accounts() -> None:
    """Another program's text, or one that a user's process wrote, is not believed."""
    message = "new user: name=eve, UID=1009, GID=1009, home=/home/eve, shell=/bin/bash"
    assert recognize(record(message, "sshd")) is None
    assert recognize(record(message, uid=1000)) is None
    assert recognize(record(message, uid=0)) is not None
