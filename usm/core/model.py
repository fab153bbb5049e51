"""The nouns that flow through the pipeline, and their closed vocabularies.

All are immutable. They are named tuples rather than frozen dataclasses because a million log lines make
some hundred thousand of them, and a frozen dataclass takes three times as long to build.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOGIN, LOGOUT, FAILED, PRIVILEGE = "login", "logout", "failed", "privilege"
KINDS = (LOGIN, LOGOUT, FAILED, PRIVILEGE)
# Evidence that is never told itself: it explains how a session ends that ends soon, or says more of an open one; or an
# account was made.
HINT, DETAIL, ACCOUNT = "hint", "detail", "account"
# What was judged abnormal and is no event of these kinds itself: many failures, a long session, a log that was cut.
FINDING = "finding"
TOLD = (*KINDS, FINDING)

# How a session ended; only what the evidence supports (the texts are in core/text.py).
DISCONNECTED = "disconnected"  # the client said goodbye
TIMEOUT = "timeout"  # the server gave up on a silent client
RESET = "reset"  # sshd logged a broken or reset connection
CLOSED = "closed"  # closed with no goodbye: client killed, network gone, process signalled
TERMINATED = "terminated"  # evidence of an administrator or the system ending it
SHUTDOWN = "shutdown"  # the host went down in order
CRASH = "crash"  # the host came back with a new boot id and no shutdown
VANISHED = "vanished"  # the leader is gone, nothing was logged
UNOBSERVED = "unobserved"  # ended while the monitor was not running
END_REASONS = (DISCONNECTED, TIMEOUT, RESET, CLOSED, TERMINATED, SHUTDOWN, CRASH, VANISHED, UNOBSERVED)
NORMAL_ENDS = frozenset((DISCONNECTED, SHUTDOWN))

INFO, NOTICE, WARNING, CRITICAL = "info", "notice", "warning", "critical"
SEVERITIES = (INFO, NOTICE, WARNING, CRITICAL)


def gravest(severities: Iterable[str]) -> str:
    """Return the highest of severities; without any it is `info`."""
    return max(severities, key=SEVERITIES.index, default=INFO)


class Secret:
    """A string that never shows itself: not in `repr`, `str`, a format or a traceback's locals."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself, for the one place that must send it."""
        return self._value

    def __repr__(self) -> str:
        """Hide the value."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare by value, so that configurations can be compared."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """Hash by value, as equality does."""
        return hash(self._value)


class Batch(NamedTuple):
    """Whole log lines, and the place after them.

    `data`: bytes, every line ended by LF. `cursor`: opaque to all but its source, which resumes behind
    `data` when given it; it is committed with what `data` led to. `behind`: bytes still unread, as far as known.
    """

    data: bytes
    cursor: str
    behind: int = 0


class Record(NamedTuple):
    """The header fields of one log line (words of RFC 5424); `time` is aware, `message` one line of text.

    What follows only the journal knows, and its writer could not choose it. `uid`: who wrote it; `owner`: the uid that
    had logged in, where the writer belongs to a login. `boot`: the boot it is of. `leader` and `seat`: the process and
    the session that logind or systemd speaks of.
    """

    time: datetime
    host: str
    appname: str
    pid: Optional[int]
    message: str
    uid: Optional[int] = None
    boot: Optional[str] = None
    leader: Optional[int] = None
    seat: Optional[str] = None
    owner: Optional[int] = None


class Event(NamedTuple):
    """Something that happened to an account; absent facts are None.

    A `logout` as recognised is only evidence that a session ended; `pair` completes it
    (session, start, duration in seconds) or finds that no session was open and drops it.
    `until`: the latest that it can have happened, where `time` is only the earliest. `person`: who the configuration
    says the key belongs to; `comment`: what the account's owner wrote beside it. `uid`: in evidence, of the user whose
    process wrote it (`owner`: who had logged in); in a login, of the account. `seat`: the session's id in logind.
    """

    kind: str
    time: datetime
    host: str
    service: str
    user: Optional[str] = None
    source_ip: Optional[str] = None
    source_port: Optional[int] = None
    method: Optional[str] = None
    key: Optional[str] = None
    tty: Optional[str] = None
    pid: Optional[int] = None
    session: Optional[str] = None
    start: Optional[datetime] = None
    duration: Optional[float] = None
    end_reason: Optional[str] = None
    invalid_user: bool = False
    count: int = 1  # type: ignore[assignment] # hides tuple.count, which nobody wants of an event
    until: Optional[datetime] = None
    target: Optional[str] = None
    command: Optional[str] = None
    line: Optional[int] = None
    person: Optional[str] = None
    comment: Optional[str] = None
    uid: Optional[int] = None
    seat: Optional[str] = None
    boot: Optional[str] = None
    owner: Optional[int] = None


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    """Whole microseconds since 1970 UTC."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(micros: int) -> datetime:
    """Microseconds since 1970 UTC → time, aware."""
    return _EPOCH + timedelta(microseconds=micros)


def session_id(time: datetime, *facts: object) -> str:
    """16 hexadecimal digits, the same for the same login line wherever and however often it is read."""
    text = f"{micros(time)}\0" + "\0".join(map(str, facts))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class Failure(NamedTuple):
    """Refused logins from one source, folded: `who` holds (user, method, invalid user, how often)."""

    host: str
    service: str
    source_ip: Optional[str]
    time: datetime
    until: datetime
    who: tuple[tuple[str, Optional[str], bool, int], ...]


class Session(NamedTuple):
    """One connection or one seat, opened once and closed once; `leader` is the pid that owns it.

    `until`: the latest that it can have ended, where `end` is only the earliest. `hint`, `hinted`: how it will have
    ended if it ends soon, and when that was said. `boot`: the boot it belongs to, where it is one of this machine;
    `begun`: when the leader was started, in clock ticks since that boot: it tells the process from a later one of the
    same pid. `uid`: of the account, where PAM told; `seat`: its id in logind.
    """

    id: str
    host: str
    service: str
    user: str
    source_ip: Optional[str]
    source_port: Optional[int]
    method: Optional[str]
    key: Optional[str]
    tty: Optional[str]
    leader: Optional[int]
    start: datetime
    end: Optional[datetime] = None
    end_reason: Optional[str] = None
    until: Optional[datetime] = None
    person: Optional[str] = None
    comment: Optional[str] = None
    uid: Optional[int] = None
    seat: Optional[str] = None
    boot: Optional[str] = None
    begun: Optional[int] = None
    hint: Optional[str] = None
    hinted: Optional[datetime] = None


class Seat(NamedTuple):
    """Somebody who is on according to the system itself; `begun` as in a session, `start` by the wall clock."""

    leader: int
    begun: int
    start: datetime
    user: str
    service: str
    source_ip: Optional[str] = None
    source_port: Optional[int] = None
    tty: Optional[str] = None
    id: Optional[str] = None


class System(NamedTuple):
    """Who is on, and when each process that was asked for and is there was started, in clock ticks and in time.

    `typed`: when something was last typed on a terminal.
    """

    seats: tuple[Seat, ...]
    begun: Mapping[int, tuple[int, datetime]]
    typed: Mapping[str, datetime] = {}


class Place(NamedTuple):
    """Where an address is, as far as known: ISO 3166 country, number of the autonomous system, degrees."""

    country: Optional[str] = None
    asn: Optional[int] = None
    latitude: Optional[float] = None
    longitude: Optional[float] = None


class Account(NamedTuple):
    """What the system knows of a user."""

    uid: int
    shell: str


class Evidence(NamedTuple):
    """What a finding was compared with: `value` was seen `times` times, the last time at `last`."""

    value: str
    times: int
    last: datetime


class Finding(NamedTuple):
    """What was judged abnormal, by which rule, and why.

    `facts` fill the rule's text; `silence`: the condition that keeps the rule from finding the same again, a line of
    the configuration.
    """

    rule: str
    severity: str
    facts: Mapping[str, str]
    evidence: tuple[Evidence, ...] = ()
    silence: str = ""


class Host(NamedTuple):
    """The machine the monitor runs on: its name, its addresses (the first is the one shown), and its boot."""

    name: str
    addresses: tuple[str, ...] = ()
    boot: Optional[str] = None
    booted: Optional[datetime] = None

    def is_called(self, name: str) -> bool:
        """Tell whether a log means this machine by `name`; rsyslog leaves the domain out, or we do not know ours."""
        theirs, ours = name.lower().partition("."), self.name.lower().partition(".")
        return theirs[0] == ours[0] and (theirs[2] == ours[2] or not theirs[2] or not ours[2])
