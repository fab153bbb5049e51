"""The nouns of the right half: what people are told, how it is sent, and what became of it.

All are immutable, and closed: `Message`, `Request` and `Receipt` list all that there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional, Union

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.model import Event, Finding, Secret

# What becomes of a delivery. `waiting`: for its group's time, or the end of quiet hours. `grouped`: it is part of a
# digest, which is a delivery of its own. `suppressed`: a rule of the configuration keeps it from the channel.
WAITING, PENDING, SENT, DEAD, GROUPED, SUPPRESSED = "waiting", "pending", "sent", "dead", "grouped", "suppressed"
STATES = (WAITING, PENDING, SENT, DEAD, GROUPED, SUPPRESSED)
# The state of a channel; `fault`: a setting is wrong, and somebody must mend it.
WORKS, FAILING, FAULT = "works", "failing", "fault"


class Alert(NamedTuple):
    """One event, how grave it is, what was found abnormal about it, and the host's address.

    `test` marks a trial message, `late` one of something that happened while the monitor was not watching. `learning`:
    until when it is learned what is usual.
    """

    id: str
    event: Event
    severity: str
    address: Optional[str] = None
    test: bool = False
    late: bool = False
    findings: tuple[Finding, ...] = ()
    learning: Optional[datetime] = None


class Top(NamedTuple):
    """The most frequent values of one fact: `named` holds (value, events), most first; None where it is not known.

    `others` more values have `rest` events together, so that the sum is always that of the whole digest.
    """

    named: tuple[tuple[Optional[str], int], ...]
    others: int = 0
    rest: int = 0


class Digest(NamedTuple):
    """Many alerts in one message: how many events of which kind, who, from where, the first and the last.

    `kinds` holds (kind, events) and sums up to `total`, as `users`, `sources` and `hosts` do; `abnormal` of them were
    warnings or worse. `host` and `address` are those of the machine that tells it.
    """

    id: str
    severity: str
    host: str
    address: Optional[str]
    total: int
    abnormal: int
    kinds: tuple[tuple[str, int], ...]
    users: Top
    sources: Top
    hosts: Top
    first: datetime
    last: datetime


class Trouble(NamedTuple):
    """Another channel's setting is wrong (or was, where `mended`): told on those that work."""

    id: str
    severity: str
    host: str
    address: Optional[str]
    channel: str
    code: str
    detail: str
    time: datetime
    mended: bool = False


class Summary(NamedTuple):
    """What happened between `since` and `time`: events by kind, findings by rule, who is on, what is not delivered.

    `head`: where the record ends, as `core.chain` writes it.
    """

    id: str
    severity: str
    host: str
    address: Optional[str]
    since: datetime
    time: datetime
    kinds: tuple[tuple[str, int], ...]
    found: tuple[tuple[str, int], ...]
    on: int
    waiting: int
    dead: int
    head: str


Message = Union[Alert, Digest, Trouble, Summary]


class Post(NamedTuple):
    """An HTTP POST to be made: the URL is a secret, the body is JSON in UTF-8 where `headers` do not say otherwise."""

    url: Secret
    body: bytes
    headers: tuple[tuple[str, Union[str, Secret]], ...] = ()


class Print(NamedTuple):
    """Text for the terminal."""

    text: str


class Mail(NamedTuple):
    """A mail to hand to an SMTP server. `security`: `tls` from the first byte on, `starttls`, or `none`."""

    host: str
    port: int
    security: str
    user: Optional[str]
    password: Optional[Secret]
    sender: str
    recipients: tuple[str, ...]
    message: bytes


class Datagram(NamedTuple):
    """One syslog message for a collector. `protocol`: `tls` or `tcp` (then framed by its length), or `udp`."""

    host: str
    port: int
    protocol: str
    data: bytes


class Handover(NamedTuple):
    """A title and a text for the services of these Apprise URLs, which a child process hands on."""

    urls: tuple[Secret, ...]
    title: str
    body: str


Request = Union[Post, Print, Mail, Datagram, Handover]


class Reply(NamedTuple):
    """What came back: HTTP or SMTP status, the beginning of the body, Retry-After in seconds if it was given."""

    status: int
    body: bytes = b""
    retry_after: Optional[float] = None


class Sent(NamedTuple):
    """The other side took the message; `note` says what should be known of that, such as a recipient it refused."""

    note: Optional[str] = None


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
