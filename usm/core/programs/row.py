"""What a table of a program's lines is made of: rows, and the parts that many patterns share.

Who chooses the text between the fixed words is a stranger, so a pattern matches the whole message and takes each
free field from the side on which the program itself wrote what follows.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Callable, NamedTuple, Optional

from usm.core import model
from usm.core.model import Event, Record

Build = Callable[[Record, "re.Match[str]"], Optional[Event]]
IP = r"(?P<ip>[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,32})?)"
PORT = r"port (?P<port>\d{1,5})"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_HIGHEST_PORT = 65535


class Row(NamedTuple):
    """One line of a program: the pattern of the whole message, and what makes the event of it.

    `word`: the message's first word, or None where that is free. `hint`: how such a message begins, for
    `core/sieve.py`; empty where another row's hint covers it or where a log file can't use the row. `anyone`: also
    a process of the session's own user writes it; the others are root's. `versions`: who writes it, for the docs.
    """

    word: Optional[str]
    pattern: re.Pattern[str]
    build: Build
    hint: bytes
    anyone: bool = False
    versions: str = ""


class Program(NamedTuple):
    """A program and its lines. `tags`: the names that it signs with. `executables`: what the journal says of it.

    `setuid`: it may be started by anybody, who then is the writer of its records.
    `native`: it writes to the journal directly, not through syslog(3). `unnumbered`: it writes no pid into its tag.
    """

    service: str
    tags: tuple[str, ...]
    rows: tuple[Row, ...]
    executables: frozenset[str]
    setuid: bool = False
    native: bool = False
    unnumbered: bool = False


def row(
    pattern: str, build: Build, hint: Optional[bytes] = None, *, free: bool = False, anyone: bool = False, of: str = ""
) -> Row:
    """Make a row; the first word is the pattern's, unless it is `free`."""
    word = None if free else pattern.split(" ", 1)[0].replace("\\", "")
    begin = hint if hint is not None else re.escape((word or "").encode() + b" ")
    return Row(word, re.compile(pattern, re.ASCII | re.DOTALL), build, begin, anyone, of)


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


def peer(ip: str, port: str) -> Optional[tuple[Optional[str], Optional[int]]]:
    """Address and port of a line; None where they are impossible, and then the line is not the program's."""
    number = int(port)
    if number > _HIGHEST_PORT:
        return None
    if ip == "UNKNOWN":  # sshd's word where standard input is no socket
        return None, None
    found = address(ip)
    return None if found is None else (found, number)


def login(record: Record, service: str, user: str, **facts: object) -> Event:
    """Make a login; its session's id is a digest of what the line says, so that reading it again opens nothing."""
    event = Event(model.LOGIN, record.time, record.host, service, user, pid=record.pid, **facts)  # type: ignore[arg-type]
    where = (event.source_ip, event.source_port)
    return event._replace(
        session=model.session_id(record.time, record.host, service, user, *where, record.pid), boot=record.boot
    )


def evidence(record: Record, service: str, reason: str, **facts: object) -> Event:
    """Make evidence for an end; what a user's own process wrote (only the journal knows) is no more than a hint."""
    kind = model.HINT if record.uid else model.LOGOUT
    who = {"pid": record.pid, "uid": record.uid or None, "boot": record.boot}
    return Event(kind, record.time, record.host, service, end_reason=reason, **who, **facts)  # type: ignore[arg-type]
