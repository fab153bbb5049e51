"""What sshd writes, and what it means.

A user name in `Failed …` ends at the LAST address, the one in `Accepted …` at the FIRST (there it is a real account,
and the key id behind it is free text).

A `login` is an `Accepted` of sshd. Everything that ends a session is evidence only: `pair` joins it to an open
session by leader or by address and port, and drops it where there is none.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core import model
from usm.core.model import Event
from usm.core.programs.row import IP, PORT, Build, Program, address, evidence, login, peer, row

if TYPE_CHECKING:
    from usm.core.model import Record

_PEER = rf"(?:user (?P<user>.*) )?{IP} {PORT}"  # greedy: the address is the last one
_ESCAPE = re.compile(r"\\(\\|[0-7]{3}|[abfnrtvs0])")
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " ", "0": "\0"}
_KEY = re.compile(
    r"(?P<type>[A-Z0-9-]{2,32}) (?P<print>\S{8,128})(?: ID (?P<id>.*) \(serial \d+\) CA \S+ \S+)?.*", re.DOTALL
)


def unvis(text: str) -> str:
    r"""Undo sshd's escaping of user names (vis(3): `\\`, `\n`, `\303`): PAM writes the same names raw."""
    if "\\" not in text:
        return text
    out = bytearray()
    at = 0
    for match in _ESCAPE.finditer(text):
        out += text[at : match.start()].encode("utf-8", "surrogatepass")
        code = match[1]
        if code == "\\":
            out += b"\\"
        elif len(code) > 1:
            out.append(int(code, 8) & 0xFF)
        else:
            out += _CONTROL[code].encode()
        at = match.end()
    return (out + text[at:].encode("utf-8", "surrogatepass")).decode("utf-8", "backslashreplace")


def _key(extra: Optional[str]) -> Optional[str]:
    """`ED25519 SHA256:…` → the fingerprint; of a certificate its id, as the certificate's key is a throw-away."""
    match = _KEY.fullmatch(extra) if extra else None
    if match is None:
        return None
    return unvis(match["id"]) if match["id"] is not None else match["print"]


def _accepted(record: Record, match: re.Match[str]) -> Optional[Event]:
    where = peer(match["ip"], match["port"])
    if where is None:
        return None
    ip, port = where
    facts = {"source_ip": ip, "source_port": port, "method": match["method"], "key": _key(match["extra"])}
    return login(record, "sshd", unvis(match["user"]), **facts)


class Refused(NamedTuple):
    """Whose login failed, and by which method."""

    user: str
    method: str
    invalid_user: bool


def _failed(record: Record, match: re.Match[str]) -> Optional[Event]:
    where = peer(match["ip"], match["port"])
    who = refused(match["who"])
    if where is None or who is None:
        return None
    return Event(
        model.FAILED,
        record.time,
        record.host,
        "sshd",
        who.user,
        *where,
        who.method,
        _key(match["extra"]),
        pid=record.pid,
        invalid_user=who.invalid_user,
    )


def _pam_refused(record: Record, match: re.Match[str]) -> Optional[Event]:
    """Keyboard-interactive: PAM's own line comes once for each refused answer, and names no port.

    `Failed keyboard-interactive/pam` follows it only sometimes (from the fourth failure of a connection on, for
    invalid users, at LogLevel VERBOSE), so that line is never counted.
    """
    return Event(
        model.FAILED,
        record.time,
        record.host,
        "sshd",
        unvis(match["user"]),
        address(match["host"]),  # a host name where sshd is told to use DNS: then who knows
        method=_PAM_METHOD,
        pid=record.pid,
        invalid_user=match["invalid"] is not None,
    )


@lru_cache(maxsize=4096)
def refused(who: str) -> Optional[Refused]:
    """`password for invalid user admin`, what stands between `Failed` and the address → its parts."""
    match = _REFUSED.fullmatch(who)
    return (
        None
        if match is None or match["method"] == _PAM_METHOD
        else Refused(unvis(match["user"]), match["method"], match["invalid"] is not None)
    )


def _ended(reason: str) -> Build:
    """Evidence for the end of the session with this leader, or with this address and port."""

    def build(record: Record, match: re.Match[str]) -> Optional[Event]:
        groups = match.re.groupindex
        ip = address(match["ip"]) if "ip" in groups else None
        if ip is None and "ip" in groups:
            return None
        port = int(match["port"]) if "port" in groups else None
        user = match["user"] if "user" in groups else None
        return evidence(
            record, "sshd", reason, user=None if user is None else unvis(user), source_ip=ip, source_port=port
        )

    return build


def _pam_opened(record: Record, match: re.Match[str]) -> Optional[Event]:
    """The uid of the account tells whose processes may speak of the session, where it is known who wrote a line."""
    if record.uid is None:
        return None
    uid = int(match["uid"])
    return Event(model.DETAIL, record.time, record.host, "sshd", match["user"], pid=record.pid, uid=uid)


def _pam_closed(record: Record, match: re.Match[str]) -> Optional[Event]:
    """PAM writes names as they are, unescaped."""
    return evidence(record, "sshd", model.CLOSED, user=match["user"])


# A hint for lines whose twin of an unauthenticated connection ends in ` [preauth]`, and is most of an attack.
_WHO = rb"(?:user |[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,32})?(?: port \d{1,5})?\r?(?=\n))"
_GOODBYE = rb"Received disconnect from (?!.*\[preauth\]\r?\n)"
_PAM_METHOD = "keyboard-interactive/pam"
_METHOD = r"(?P<method>[a-z][a-z0-9-]{1,40}(?:/[\w.@-]{1,40})?)"
_REFUSED = re.compile(rf"{_METHOD} for (?P<invalid>invalid user |illegal user )?(?P<user>.*)", re.ASCII | re.DOTALL)
ROWS = (
    row(
        rf"Accepted {_METHOD} for (?!invalid user )(?P<user>.{{1,400}}?) from "
        rf"(?P<ip>[0-9A-Fa-f:.]{{2,45}}(?:%[\w.-]{{1,32}})?|UNKNOWN) {PORT} ssh2(?:: (?P<extra>.*))?",
        _accepted,
    ),
    row(
        rf"Failed (?P<who>.*) from {IP} {PORT} ssh2(?:: (?P<extra>[A-Z0-9-]{{2,32}} [\w:+/=]{{8,128}}))?",
        _failed,
        rb"Failed (?!keyboard-interactive/pam )",
    ),
    row(
        r"error: PAM: [A-Z][A-Za-z ]{3,80}? for (?P<invalid>illegal user )?(?P<user>.*) from (?P<host>\S{1,255})",
        _pam_refused,
        b"error: PAM: ",
    ),
    # The text is the client's; if long, it pushes ` [preauth]` off the line: only the join counts.
    row(
        rf"Received disconnect from {IP} {PORT}:\d{{1,10}}: .*(?<! \[preauth\])",
        _ended(model.DISCONNECTED),
        _GOODBYE,
        anyone=True,
        of="since 7.2",
    ),
    row(
        rf"error: Received disconnect from {IP} {PORT}:\d{{1,10}}: .*(?<! \[preauth\])",
        _ended(model.DISCONNECTED),
        b"error: " + _GOODBYE,
        anyone=True,
        of="since 7.2",
    ),
    row(
        rf"Disconnected from {_PEER}",
        _ended(model.DISCONNECTED),
        rb"Disconnected from " + _WHO,
        anyone=True,
        of="since 7.2",
    ),
    row(rf"Disconnected from {IP}", _ended(model.DISCONNECTED), b"", anyone=True, of="6.8 to 7.1"),
    row(rf"Connection closed by {_PEER}", _ended(model.CLOSED), rb"Connection closed by " + _WHO, anyone=True),
    row(rf"Connection reset by {_PEER}", _ended(model.RESET), rb"Connection reset by " + _WHO, anyone=True),
    row(rf"Read error from remote host {_PEER}: .*", _ended(model.RESET), anyone=True),
    row(rf"Timeout, client not responding from {_PEER}", _ended(model.TIMEOUT), anyone=True, of="since 7.7"),
    row(r"Timeout, client not responding\.", _ended(model.TIMEOUT), b"", anyone=True, of="4.5 to 7.6"),
    row(rf"terminating inactive connection from {_PEER}", _ended(model.TIMEOUT), anyone=True, of="since 9.2"),
    row(
        rf"Disconnecting user (?P<user>.*) {IP} {PORT}: .*",
        _ended(model.TERMINATED),
        b"Disconnecting user ",
        anyone=True,
        of="since 7.5",
    ),
    row(r"Exiting on signal \d{1,3}", _ended(model.TERMINATED)),
    row(
        r"error: mm_reap: (?:preauth )?child terminated by signal \d{1,3}",
        _ended(model.TERMINATED),
        b"error: mm_reap",
        of="since 9.8",
    ),
    row(
        r"pam_unix\(sshd:session\): session opened for user (?P<user>.*?)\(uid=(?P<uid>\d{1,10})\) by \S*\(uid=\d+\)",
        _pam_opened,
        b"",
        of="Linux-PAM since 1.4",
    ),
    row(
        r"pam_unix\(sshd:session\): session closed for user (?P<user>.*)",
        _pam_closed,
        rb"pam_unix\(sshd:session\): session closed",
    ),
)
# Since OpenSSH 9.8 a connection is served by a program of its own, which signs as sshd-session; sshd-auth,
# since 10.0, logs through it, and is listed for the day on which it does not.
TAGS = ("sshd", "sshd-session", "sshd-auth")
SSHD = Program("sshd", TAGS, ROWS, frozenset(TAGS))
