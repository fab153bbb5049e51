"""The nouns that flow through the pipeline, and their closed vocabularies.

All are immutable. They are named tuples rather than frozen dataclasses because a million log lines make
some hundred thousand of them, and a frozen dataclass takes three times as long to build.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from typing import NamedTuple, Optional, Union

LOGIN, LOGOUT, FAILED, PRIVILEGE = "login", "logout", "failed", "privilege"
KINDS = (LOGIN, LOGOUT, FAILED, PRIVILEGE)

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
    """The header fields of one log line (words of RFC 5424); `time` is aware, `message` one line of text."""

    time: datetime
    host: str
    appname: str
    pid: Optional[int]
    message: str


class Event(NamedTuple):
    """Something that happened to an account; absent facts are None.

    A `logout` as recognised is only evidence that a session ended; `pair` completes it
    (session, start, duration in seconds) or finds that no session was open and drops it.
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


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    """Whole microseconds since 1970 UTC."""
    return (time - _EPOCH) // _MICROSECOND


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
    """One connection or one seat, opened once and closed once; `leader` is the pid that owns it."""

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


class Host(NamedTuple):
    """The machine the monitor runs on: its name and its addresses (the first is the one shown)."""

    name: str
    addresses: tuple[str, ...] = ()


class Alert(NamedTuple):
    """What people are told: one event, how grave it is, and the host's address; `test` marks a trial message."""

    id: str
    event: Event
    severity: str
    address: Optional[str] = None
    test: bool = False


class Post(NamedTuple):
    """An HTTP POST to be made: the URL is a secret, the body is JSON in UTF-8."""

    url: Secret
    body: bytes


class Print(NamedTuple):
    """Text for the terminal."""

    text: str


Request = Union[Post, Print]


class Reply(NamedTuple):
    """What came back: HTTP status, the beginning of the body, and Retry-After in seconds if it was given."""

    status: int
    body: bytes = b""
    retry_after: Optional[float] = None


class Sent(NamedTuple):
    """The other side took the message."""


class Deferred(NamedTuple):
    """Not now. The whole channel waits, so that messages stay in order.

    `code`: short and countable, such as `11232` or `timeout`. `detail`: what it means and what to change.
    `wait`: seconds that the other side demands at least, or None. `fault`: True where a setting is wrong
    (secret, keyword, address list, robot): kept and probed until somebody mends it. `plain`: True where the
    same message should be tried again at once in its simplest dress.
    `last`: the number of tries after which to give up; None never gives up.
    """

    code: str
    detail: str
    wait: Optional[float] = None
    fault: bool = False
    plain: bool = False
    last: Optional[int] = None


class Rejected(NamedTuple):
    """This message will never be taken: it is kept as a dead letter, and the next one is sent."""

    code: str
    detail: str


Receipt = Union[Sent, Deferred, Rejected]
