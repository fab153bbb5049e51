"""Mail, over SMTP (RFC 5321), as plain text (RFC 5322)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar, Optional

from usm.channels.answers import OK, Answer, Row, fault, is_loopback, json_object, judge
from usm.core import model  # noqa: TC001 - the fields' types are read at run time
from usm.core.message import Alert, Deferred, Mail, Message, Receipt, Rejected, Reply, Sent
from usm.core.tame import clean, cut, inert
from usm.core.text import lines, title

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look

PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LARGEST = 60_000  # characters of text
_SUBJECT = 180  # characters
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
_LOGIN = "the mail server refused user name or password: check `username` and `password`"
_WHO = "the mail server refused an address, or us: check `from` and `to`, and whether it relays for this server"

REPLIES = (  # the first row that holds decides; the status is SMTP's
    Row(Sent(), status=OK),
    *(Row(fault(str(code), _LOGIN), status=range(code, code + 1)) for code in (530, 534, 535, 538)),
    *(Row(fault(str(code), _WHO), status=range(code, code + 1)) for code in (550, 551, 553)),
    Row(Rejected("552", "the mail server finds the message too big, or the mailbox is full"), status=range(552, 553)),
    Row(Deferred("554", "the mail server refused the message", last=5), status=range(554, 555)),
    Row(Deferred("smtp-4xx", "the mail server asks to try again later"), status=range(400, 500)),
    Row(Rejected("smtp-5xx", "the mail server refused the message"), status=range(500, 600)),
    Row(Deferred("other", "the answer is not a mail server's: check `smtp_host` and `smtp_port`", last=5)),
)


@dataclass(frozen=True)
class Email:
    """Mails to a list of recipients. Plain text: nothing is markup."""

    limits: ClassVar[tuple[tuple[int, float], ...]] = ((1, 1.0), (20, 60.0))  # servers of any size take these
    digests: ClassVar[bool] = True

    smtp_host: str = field(metadata={"help": "the mail server's name"})
    sender: str = field(metadata={"help": "the sender's address", "key": "from"})
    to: tuple[str, ...] = field(metadata={"help": "one address, or a list"})
    smtp_port: Optional[int] = field(default=None, metadata={"help": "the mail server's port"})
    security: str = field(default="starttls", metadata={"help": "how it is encrypted", "choices": tuple(PORTS)})
    username: Optional[str] = field(default=None, metadata={"help": "for the mail server, if it asks"})
    password: Optional[model.Secret] = field(default=None, metadata={"help": "for the mail server, if it asks"})

    def endpoint(self) -> str:
        """Return what shares one limit: the account at the server."""
        return f"{self.smtp_host}:{self.smtp_port} {self.username} {self.sender}"

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Mail:  # noqa: ARG002 - there is one dress
        """Return the mail. Its id is the same at each try; the mails about one session refer to one another."""
        mail = self._mail(_subject(message, look), now.astimezone(look.zone), message.id)
        if isinstance(message, Alert) and message.event.session is not None:
            mail["References"] = f"<session-{message.event.session}@{self._domain()}>"
        rows = (title(message, look, tame=inert), "", *lines(message, look, tame=inert))
        mail.set_content(cut("\n".join(rows), _LARGEST) + "\n", charset="utf-8")
        return self._sent(mail)

    def page(self, subject: str, text: str, name: str, page: str, now: datetime) -> Mail:
        """Return a mail with an HTML page attached; `name` is the page's file name."""
        identity = blake2b(page.encode("utf-8", "replace"), digest_size=8).hexdigest()
        mail = self._mail(clean(subject), now, f"report-{identity}")
        mail.set_content(text + "\n", charset="utf-8")
        mail.add_attachment(page, subtype="html", filename=name)
        return self._sent(mail)

    def _mail(self, subject: str, date: datetime, identity: str) -> EmailMessage:
        """Return a mail without text."""
        mail = EmailMessage(policy=SMTP)
        mail["From"] = Address("user-session-monitor", addr_spec=self.sender)
        mail["To"] = [Address(addr_spec=address) for address in self._recipients()]
        mail["Subject"] = subject
        mail["Date"] = format_datetime(date)
        mail["Message-ID"] = f"<{identity}@{self._domain()}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Auto-Response-Suppress"] = "All"
        return mail

    def _domain(self) -> str:
        return self.sender.rpartition("@")[2]

    def _sent(self, mail: EmailMessage) -> Mail:
        port = PORTS[self.security] if self.smtp_port is None else self.smtp_port
        return Mail(
            self.smtp_host,
            port,
            self.security,
            self.username,
            self.password,
            self.sender,
            self._recipients(),
            mail.as_bytes(),
        )

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:  # noqa: ARG002 - there is one dress
        """Return what the server's code means; of refused recipients how many and why."""
        receipt = judge(REPLIES, reply, Answer(None), ())
        refused = json_object(reply.body).get("refused") if isinstance(receipt, Sent) else None
        if refused:
            codes = ", ".join(f"{clean(str(code), 8)} ×{clean(str(count), 8)}" for code, count in dict(refused).items())
            return Sent(f"taken, but the mail server refused recipients ({codes}): check `to`")
        return receipt

    def problems(self) -> list[str]:
        """Return what is wrong with the settings."""
        found = []
        if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", self.smtp_host):
            found.append("smtp_host: must be the mail server's name or address")
        if self.smtp_port is not None and not 0 < self.smtp_port < 65536:  # noqa: PLR2004 - ports
            found.append("smtp_port: must be a port, such as 587")
        if self.security == "none" and not is_loopback(self.smtp_host):
            found.append("security: none is accepted to this machine itself only; use starttls or tls")
        if not _is_address(self.sender):
            found.append("from: must be a mail address, such as usm@example.com")
        if not all(map(_is_address, self._recipients())):
            found.append("to: must be mail addresses, such as admin@example.com")
        if (self.username is None) != (self.password is None):
            found.append("username: needs a password, and a password needs it; leave out both, or none")
        return found

    def notes(self) -> list[str]:
        """Nothing needs to be said."""
        return []

    def _recipients(self) -> tuple[str, ...]:
        """Return the addresses; one text may hold several, with commas between, as mail programs write them."""
        return tuple(address.strip() for text in self.to for address in text.split(","))


def _is_address(text: str) -> bool:
    """Tell whether both the server and Python's own rules take it for an address."""
    try:
        Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        return False
    return _ADDRESS.fullmatch(text) is not None


def _subject(message: Message, look: Look) -> str:
    """Return title, host and user: what is seen in a list of mails."""
    host = message.event.host if isinstance(message, Alert) else message.host
    user = message.event.user if isinstance(message, Alert) else None
    parts = (title(message, look, tame=inert), clean(host), inert(clean(user or "", 60)))
    return cut(" ".join(part for part in parts if part), _SUBJECT)
