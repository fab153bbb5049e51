"""What systemd-logind and systemd say of sessions and of the machine: they explain, nobody logs in by them.

`New session` joins a session of another program by its leader, and so does its end. A session that is stopped by an
administrator, and a machine that goes down, are written down before the sessions end. All but the last needs the
fields of the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from usm.core import model
from usm.core.model import Event
from usm.core.programs.row import Program, row

if TYPE_CHECKING:
    import re

    from usm.core.model import Record


def _new(record: Record, _match: re.Match[str]) -> Optional[Event]:
    if record.leader is None or record.seat is None:
        return None
    return Event(model.DETAIL, record.time, record.host, "", pid=record.leader, seat=record.seat)


def _gone(record: Record, _match: re.Match[str]) -> Optional[Event]:
    """The leader ended, perhaps without a word; where it had one, that came before."""
    if record.leader is None:
        return None
    return Event(model.LOGOUT, record.time, record.host, "", pid=record.leader, end_reason=model.CLOSED)


def _down(record: Record, _match: re.Match[str]) -> Optional[Event]:
    return Event(model.HINT, record.time, record.host, "", end_reason=model.SHUTDOWN)


def _stopping(record: Record, _match: re.Match[str]) -> Optional[Event]:
    if record.seat is None:
        return None
    return Event(model.HINT, record.time, record.host, "", end_reason=model.TERMINATED, seat=record.seat)


LOGIND = Program(
    "logind",
    ("systemd-logind",),
    (
        row(r"New session '?\S+?'? of user .*", _new, b""),
        row(r"Session \S+ logged out\. Waiting for processes to exit\.", _gone, b""),
        row(r"Removed session \S+\.", _gone, b""),
        row(
            r"(?:The system will (?:reboot|power off|halt|kexec) now!"
            r"|System is (?:rebooting|powering down|halting|rebooting with kexec)\.)",
            _down,
            b"The system will |System is ",
            free=True,
        ),
    ),
    frozenset(("systemd-logind",)),
    native=True,
)
SYSTEMD = Program(
    "systemd",
    ("systemd",),
    (row(r"Stopping .*", _stopping, b""),),
    frozenset(("systemd",)),
    native=True,
)
