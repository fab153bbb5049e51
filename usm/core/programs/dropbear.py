"""What dropbear writes: no PAM session lines, one process for each connection, the address joined to its port.

Since 2025.89 the process that serves a user writes `Exit` as that user; it is the session's leader, and the journal
proves its pid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from usm.core import model
from usm.core.model import Event
from usm.core.programs.row import Program, evidence, login, peer, row

if TYPE_CHECKING:
    import re

    from usm.core.model import Record

# IPv6 is bracketed since 2026.94 only; the port is behind the last colon.
_PEER = r"(?P<peer>(?:\[[0-9A-Fa-f:.%\w-]{2,80}\]|[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,32})?):\d{1,5})"
_STAMP = r"(?:\[\d{1,10}\] [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?"  # its own, where standard error goes to the journal
_METHODS = {"Pubkey": "publickey", "PAM password": "password", "Password": "password", "password": "password"}
_ENDS = (
    (("Disconnect received",), model.DISCONNECTED),  # `Exited normally` is what it says of a client that is just gone
    (("Keepalive timeout", "Idle timeout"), model.TIMEOUT),
    (("Error reading", "Error writing", "Connection reset"), model.RESET),
    (("Terminated by signal", "Killed by signal"), model.TERMINATED),
)


def _peer(text: str) -> Optional[tuple[Optional[str], Optional[int]]]:
    ip, _, port = text.rpartition(":")
    where = peer(ip.strip("[]"), port)
    # 2026.94, the first that writes brackets, cuts the last two digits of the port off.
    return (where[0], None) if where is not None and ip.startswith("[") else where


def _accepted(record: Record, match: re.Match[str]) -> Optional[Event]:
    where = _peer(match["peer"])
    if where is None:
        return None
    ip, port = where
    method, key = _METHODS[match["method"]], match.groupdict().get("key")
    return login(record, "dropbear", match["user"], source_ip=ip, source_port=port, method=method, key=key)


def _failed(record: Record, match: re.Match[str]) -> Optional[Event]:
    where = _peer(match["peer"]) if match["peer"] is not None else (None, None)
    if where is None:
        return None
    user = match.groupdict().get("user")
    return Event(
        model.FAILED,
        record.time,
        record.host,
        "dropbear",
        user,
        *where,
        "password" if user is not None else None,
        pid=record.pid,
        invalid_user=user is None,
    )


def _exited(record: Record, match: re.Match[str]) -> Optional[Event]:
    reason = next((end for begins, end in _ENDS if match["why"].startswith(begins)), model.CLOSED)
    return evidence(record, "dropbear", reason, user=match["user"])


DROPBEAR = Program(
    "dropbear",
    ("dropbear",),
    (
        row(
            rf"{_STAMP}(?P<method>Password|password|PAM password) auth succeeded for '(?P<user>.*?)' from {_PEER}",
            _accepted,
            free=True,
            hint=rb"(?:\[\d+\] .{15} )?(?:Pubkey|Password|password|PAM password) auth succeeded ",
        ),
        row(
            rf"{_STAMP}(?P<method>Pubkey) auth succeeded for '(?P<user>.*?)' with \S+ key (?:md5 )?"
            rf"(?P<key>\S{{8,128}}) from {_PEER}",
            _accepted,
            b"",
            free=True,
        ),
        row(
            rf"{_STAMP}Bad (?:PAM )?password attempt for '(?P<user>.*)' from {_PEER}",
            _failed,
            rb"(?:\[\d+\] .{15} )?(?:Bad |Login attempt )",
            free=True,
        ),
        row(rf"{_STAMP}Login attempt for nonexistent user(?: from {_PEER})?", _failed, b"", free=True),
        row(
            rf"{_STAMP}Exit \((?P<user>.*?)\)(?: from <[^>]{{2,100}}>)?: (?P<why>.*)",
            _exited,
            rb"(?:\[\d+\] .{15} )?Exit \(",
            free=True,
            anyone=True,
        ),
    ),
    frozenset(("dropbear", "dropbearmulti")),
)
