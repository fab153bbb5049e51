"""One entry of the journal (`journalctl -o json`) → Record, if the fields that its writer can't choose agree.

Anybody may write anything to the journal, under any name: `SYSLOG_IDENTIFIER`, `SYSLOG_PID` and `MESSAGE` are the
writer's word. Fields that begin with `_` are journald's own (systemd.journal-fields(7)): the pid and uid come from the
kernel with the message, `_COMM` and `_EXE` from /proc a moment later, so they may be missing where a process was
quick to end. Nothing here asks for the unit: a login moves its process into the session's scope. So:

- the message came the way on which the program sends, and the pid it gave itself is its pid;
- what is known of the process fits the program, and a program file lies where only root may write;
- root wrote it; what any other user's process writes keeps its uid and speaks for that user at most. Of sshd it is the
  part that serves a session, and explains how its own session will have ended. su, sudo and doas have the uid of who
  started them; a program's file is no proof, since a forger may write first and then become that program.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Optional

from usm.core.decode import MAX_LINE
from usm.core.model import Record, time_of
from usm.core.recognize import BY_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from usm.core.programs import Program

_NOBODY = 2**32 - 1  # the kernel's login uid of a process that no login led to
_MOST = 2**53  # µs; 200 years
_COMM = 15  # characters that the kernel keeps of a process' name
_PLACES = re.compile(r"/(?:usr/(?!local/)|s?bin/|lib(?:32|64|x32)?/|nix/store/).*/?", re.ASCII)
_SCOPE = re.compile(r"session-([A-Za-z0-9]{1,32})\.scope", re.ASCII)


def decode_journal(line: bytes, zone: tzinfo) -> Optional[Record]:
    """Return the record of an entry, its time in `zone`; or None where it is not one of a program that we know."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    tag, message = fields.get("SYSLOG_IDENTIFIER"), _message(fields.get("MESSAGE"))
    program = BY_TAG.get(tag.rstrip("]")) if isinstance(tag, str) else None  # gdm's workers have a stray one
    if program is None or message is None or len(message) > MAX_LINE:
        return None
    pid, uid, time = (_number(fields, name) for name in ("_PID", "_UID", "__REALTIME_TIMESTAMP"))
    if pid is None or uid is None or time is None or not _is_by(program, fields, pid):
        return None
    sent = _number(fields, "_SOURCE_REALTIME_TIMESTAMP")
    return Record(
        time_of(time if sent is None else sent).astimezone(zone),
        _text(fields, "_HOSTNAME") or "",
        program.tags[0] if tag != program.tags[0] and "]" in str(tag) else str(tag),
        pid,
        message,
        uid,
        _text(fields, "_BOOT_ID"),
        _number(fields, "LEADER"),
        _seat(fields),
        _owner(fields),
    )


def _is_by(program: Program, fields: Mapping[str, Any], pid: int) -> bool:
    """Tell whether the entry can be the program's: nothing that is known of its writer speaks against it."""
    transport = fields.get("_TRANSPORT")
    if transport != ("journal" if program.native else "syslog"):
        return False
    if "SYSLOG_PID" in fields:
        if _number(fields, "SYSLOG_PID") != pid:
            return False
    elif not (program.unnumbered or program.native):
        return False
    if program.setuid and fields["_UID"] == "0":  # root's word, and it may already be what it was to start
        return True
    if "_COMM" in fields and _text(fields, "_COMM") not in {name[:_COMM] for name in program.executables}:
        return False
    if "_EXE" not in fields:
        return True
    exe = str(fields["_EXE"])
    exe = exe.partition(" (deleted)")[0]  # an upgrade replaced it
    return exe.rpartition("/")[2] in program.executables and _PLACES.fullmatch(exe) is not None


def _message(value: object) -> Optional[str]:
    """Return the text; journalctl prints what is not clean UTF-8 as a list of bytes."""
    if isinstance(value, str):
        return _sound(value)
    if isinstance(value, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):  # noqa: PLR2004
        return bytes(value).decode("utf-8", "backslashreplace")
    return None


def _text(fields: Mapping[str, Any], name: str) -> Optional[str]:
    value = fields.get(name)
    return _sound(value) if isinstance(value, str) else None


def _sound(text: str) -> str:
    """Return text that can be written: JSON can hold halves of characters, which journalctl never writes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _number(fields: Mapping[str, Any], name: str) -> Optional[int]:
    """Return a field's number; a field that came twice is a list, and nobody's."""
    value = fields.get(name)
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 17:  # noqa: PLR2004
        return None
    return min(int(value), _MOST)


def _owner(fields: Mapping[str, Any]) -> Optional[int]:
    """Return whose login the writer belongs to: logind put it into that session, and the kernel keeps it there."""
    owner, audit = (_number(fields, name) for name in ("_SYSTEMD_OWNER_UID", "_AUDIT_LOGINUID"))
    return owner if owner is not None else audit if audit != _NOBODY else None


def _seat(fields: Mapping[str, Any]) -> Optional[str]:
    match = _SCOPE.fullmatch(str(fields.get("UNIT")))
    return match[1] if match else _text(fields, "SESSION_ID")
