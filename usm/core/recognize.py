"""Record → Event: what the line says happened to an account, or None.

One table. A row is (program, first word, pattern, builder, hint): the program and the first word choose
the row without a search, the pattern must match the whole message, the builder makes the event. `hint` is how
such a message begins, as bytes for `core/sieve.py`. A new log message is one row here and one golden in tests/data.

Who chooses the text between the fixed words is a stranger, so a pattern takes each free field from the side on
which sshd itself wrote what follows: a user name in `Failed …` ends at the LAST address, the one in
`Accepted …` at the FIRST (there it is a real account, and the key id behind it is free text).

A `login` is an `Accepted` of sshd. Everything that ends a session is evidence only: `pair` joins it to an open
session by leader or by address and port, and drops it where there is none.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Callable, NamedTuple, Optional

from usm.core import model
from usm.core.model import Event, Record

_IP = r"(?P<ip>[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,32})?)"
_PORT = r"port (?P<port>\d{1,5})"
_PEER = rf"(?:(?:user )?(?P<user>.*) )?{_IP} {_PORT}"  # greedy: the address is the last one
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_ESCAPE = re.compile(r"\\(\\|[0-7]{3}|[abfnrtvs0])")
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " ", "0": "\0"}
_KEY = re.compile(
    r"(?P<type>[A-Z0-9-]{2,32}) (?P<print>\S{8,128})(?: ID (?P<id>.*) \(serial \d+\) CA \S+ \S+)?.*", re.DOTALL
)


class Row(NamedTuple):
    """One line of one program."""

    program: str
    word: str
    pattern: re.Pattern[str]
    build: Callable[[Record, re.Match[str]], Optional[Event]]
    hint: bytes


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


@lru_cache(maxsize=4096)
def address(text: str) -> Optional[str]:
    """One spelling for each address, or None where it is none; IPv4 that came over IPv6 is written as IPv4."""
    if _IPV4.fullmatch(text):
        return text
    bare, percent, zone = text.partition("%")
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped) if mapped is not None else f"{parsed}{percent}{zone}"


def _key(extra: Optional[str]) -> Optional[str]:
    """`ED25519 SHA256:…` → the fingerprint; of a certificate its id, as the certificate's key is a throw-away."""
    match = _KEY.fullmatch(extra) if extra else None
    if match is None:
        return None
    return unvis(match["id"]) if match["id"] is not None else match["print"]


def _peer(match: re.Match[str]) -> Optional[tuple[Optional[str], Optional[int]]]:
    """Address and port of the line; None where they are impossible, and then the line is not sshd's."""
    port = int(match["port"])
    if port > 65535:  # noqa: PLR2004 - the highest port there is
        return None
    if match["ip"] == "UNKNOWN":  # sshd's word where standard input is no socket
        return None, None
    ip = address(match["ip"])
    return None if ip is None else (ip, port)


def _accepted(record: Record, match: re.Match[str]) -> Optional[Event]:
    peer = _peer(match)
    if peer is None or record.pid is None:
        return None
    user = unvis(match["user"])
    return Event(
        model.LOGIN,
        record.time,
        record.host,
        "sshd",
        user,
        *peer,
        match["method"],
        _key(match["extra"]),
        pid=record.pid,
        session=model.session_id(record.time, record.host, "sshd", user, *peer, record.pid),
    )


class Refused(NamedTuple):
    """Whose login failed, and by which method."""

    user: str
    method: str
    invalid_user: bool


def _failed(record: Record, match: re.Match[str]) -> Optional[Event]:
    peer = _peer(match)
    who = refused(match["who"])
    if peer is None or who is None or record.pid is None:
        return None
    return Event(
        model.FAILED,
        record.time,
        record.host,
        "sshd",
        who.user,
        *peer,
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
    if record.pid is None:
        return None
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


def _ended(reason: str) -> Callable[[Record, re.Match[str]], Optional[Event]]:
    """Evidence for the end of the session with this leader, or with this address and port."""

    def build(record: Record, match: re.Match[str]) -> Optional[Event]:
        if record.pid is None:
            return None
        groups = match.re.groupindex
        ip = address(match["ip"]) if "ip" in groups else None
        if ip is None and "ip" in groups:
            return None
        port = int(match["port"]) if "port" in groups else None
        user = match["user"] if "user" in groups else None
        return Event(
            model.LOGOUT,
            record.time,
            record.host,
            "sshd",
            None if user is None else unvis(user),
            ip,
            port,
            pid=record.pid,
            end_reason=reason,
        )

    return build


def _pam_closed(record: Record, match: re.Match[str]) -> Optional[Event]:
    """PAM writes names as they are, unescaped."""
    if record.pid is None:
        return None
    return Event(model.LOGOUT, record.time, record.host, "sshd", match["user"], pid=record.pid, end_reason=model.CLOSED)


def _repeated(record: Record, match: re.Match[str]) -> Optional[Event]:
    """Rsyslog's folding: the same message N times more. Only failures can repeat, a login's port is its own."""
    event = recognize(record._replace(message=match["message"]))
    if event is None or event.kind != model.FAILED:
        return None
    return event._replace(count=event.count * int(match["times"]))


def _row(
    program: str, pattern: str, build: Callable[[Record, re.Match[str]], Optional[Event]], hint: Optional[bytes] = None
) -> Row:
    word = pattern.split(" ", 1)[0].replace("\\", "")
    begin = hint if hint is not None else re.escape(word.encode() + b" ")
    return Row(program, word, re.compile(pattern, re.ASCII | re.DOTALL), build, begin)


# A hint for lines whose twin of an unauthenticated connection ends in ` [preauth]`, and is most of an attack.
_WHO = rb"(?:user |[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,32})?(?: port \d{1,5})?\r?(?=\n))"
_GOODBYE = rb"Received disconnect from (?!.*\[preauth\]\r?\n)"
_PAM_METHOD = "keyboard-interactive/pam"
_METHOD = r"(?P<method>[a-z][a-z0-9-]{1,40}(?:/[\w.@-]{1,40})?)"
_REFUSED = re.compile(rf"{_METHOD} for (?P<invalid>invalid user |illegal user )?(?P<user>.*)", re.ASCII | re.DOTALL)
ROWS: tuple[Row, ...] = (
    _row(
        "sshd",
        rf"Accepted {_METHOD} for (?!invalid user )(?P<user>.{{1,400}}?) from "
        rf"(?P<ip>[0-9A-Fa-f:.]{{2,45}}(?:%[\w.-]{{1,32}})?|UNKNOWN) {_PORT} ssh2(?:: (?P<extra>.*))?",
        _accepted,
    ),
    _row(
        "sshd",
        rf"Failed (?P<who>.*) from {_IP} {_PORT} ssh2"
        r"(?:: (?P<extra>[A-Z0-9-]{2,32} [\w:+/=]{8,128}))?",
        _failed,
        rb"Failed (?!keyboard-interactive/pam )",
    ),
    _row(
        "sshd",
        r"error: PAM: [A-Z][A-Za-z ]{3,80}? for (?P<invalid>illegal user )?(?P<user>.*) from (?P<host>\S{1,255})",
        _pam_refused,
        b"error: PAM: ",
    ),
    # The text is the client's; if long, it pushes ` [preauth]` off the line: only the join counts.
    _row(
        "sshd",
        rf"Received disconnect from {_IP} {_PORT}:\d{{1,10}}: .*(?<! \[preauth\])",
        _ended(model.DISCONNECTED),
        _GOODBYE,
    ),
    _row(
        "sshd",
        rf"error: Received disconnect from {_IP} {_PORT}:\d{{1,10}}: .*(?<! \[preauth\])",
        _ended(model.DISCONNECTED),
        b"error: " + _GOODBYE,
    ),
    _row("sshd", rf"Disconnected from {_PEER}", _ended(model.DISCONNECTED), rb"Disconnected from " + _WHO),
    _row("sshd", rf"Disconnected from {_IP}", _ended(model.DISCONNECTED), b""),  # OpenSSH 6.8 to 7.1
    _row("sshd", rf"Connection closed by {_PEER}", _ended(model.CLOSED), rb"Connection closed by " + _WHO),
    _row("sshd", rf"Connection reset by {_PEER}", _ended(model.RESET), rb"Connection reset by " + _WHO),
    _row("sshd", rf"Read error from remote host {_PEER}: .*", _ended(model.RESET)),
    _row("sshd", rf"Timeout, client not responding from {_PEER}", _ended(model.TIMEOUT)),
    _row("sshd", r"Timeout, client not responding\.", _ended(model.TIMEOUT), b""),  # OpenSSH 4.5 to 7.6
    _row("sshd", rf"terminating inactive connection from {_PEER}", _ended(model.TIMEOUT)),
    _row("sshd", rf"Disconnecting {_PEER}: .*", _ended(model.TERMINATED), b"Disconnecting user "),
    _row("sshd", r"Exiting on signal \d{1,3}", _ended(model.TERMINATED)),
    _row(
        "sshd",
        r"error: mm_reap: (?:preauth )?child terminated by signal \d{1,3}",
        _ended(model.TERMINATED),
        b"error: mm_reap",
    ),
    _row(
        "sshd",
        r"pam_unix\(sshd:session\): session closed for user (?P<user>.*)",
        _pam_closed,
        rb"pam_unix\(sshd:session\): session closed",
    ),
    _row("sshd", r"message repeated (?P<times>\d{1,6}) times: \[ (?P<message>.*)\]", _repeated),
)
# Since OpenSSH 9.8 a connection is served by a program of its own, which signs as sshd-session; sshd-auth,
# since 10.0, logs through it, and is listed for the day on which it does not.
PROGRAMS = {"sshd": "sshd", "sshd-session": "sshd", "sshd-auth": "sshd"}
_TABLE: dict[str, dict[str, tuple[Row, ...]]] = {
    program: {word: tuple(r for r in ROWS if (r.program, r.word) == (program, word)) for word in {r.word for r in ROWS}}
    for program in {r.program for r in ROWS}
}


def recognize(record: Record) -> Optional[Event]:
    """Return the event that this record tells of, or None: an unknown line is not an error."""
    program = PROGRAMS.get(record.appname)
    if program is None:
        return None
    message = record.message
    for row in _TABLE[program].get(message.partition(" ")[0], ()):
        match = row.pattern.fullmatch(message)
        if match is not None:
            return row.build(record, match)
    return None
