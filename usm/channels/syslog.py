"""Syslog for a SIEM: RFC 5424 over UDP, TCP (RFC 6587, octet counting) or TLS (RFC 5425)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Optional

from usm.channels.answers import is_loopback
from usm.channels.formats import when
from usm.core import model
from usm.core.alert import message_json
from usm.core.message import Alert, Datagram, Deferred, Message, Receipt, Reply, Sent
from usm.core.tame import clean, cut, utf8
from usm.core.text import lines, title

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look

FACILITIES = {"auth": 4, "authpriv": 10, "daemon": 3, **{f"local{n}": 16 + n for n in range(8)}}
PORTS = {"tls": 6514, "tcp": 514, "udp": 514}
LARGEST = {"tls": 8192, "tcp": 8192, "udp": 1200}  # bytes; a datagram of this size is not cut up on its way
_LEVELS = {model.INFO: 6, model.NOTICE: 5, model.WARNING: 4, model.CRITICAL: 2}
_ID = "usm@32473"  # the enterprise number for examples (RFC 5612): we have none of our own
_NAME = "user-session-monitor"


@dataclass(frozen=True)
class Syslog:
    """A collector of every single event, with its facts as structured data."""

    limits: ClassVar[tuple[tuple[int, float], ...]] = ()
    digests: ClassVar[bool] = False

    host: str = field(metadata={"help": "the collector's name or address"})
    port: Optional[int] = field(default=None, metadata={"help": "the collector's port"})
    protocol: str = field(default="tls", metadata={"help": "how it is sent", "choices": tuple(PORTS)})
    facility: str = field(default="authpriv", metadata={"help": "syslog's", "choices": tuple(FACILITIES)})

    def endpoint(self) -> str:
        """Return what shares one connection: the collector."""
        return f"{self.host}:{self.port} {self.protocol}"

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Datagram:  # noqa: ARG002 - there is one dress
        """Return the message; where it is too long, its text is cut first, then facts are left out."""
        port = PORTS[self.protocol] if self.port is None else self.port
        return Datagram(self.host, port, self.protocol, self._line(message, look, LARGEST[self.protocol]))

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:  # noqa: ARG002 - there is one dress
        """Return Sent once the network took it."""
        if reply.status == 200:  # noqa: PLR2004 - what `transport` answers for what was written
            return Sent()
        return Deferred("unwritten", "the message could not be handed to the network")

    def problems(self) -> list[str]:
        """Return what is wrong with the settings."""
        found = []
        if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", self.host):
            found.append("host: must be the collector's name or address")
        if self.port is not None and not 0 < self.port < 65536:  # noqa: PLR2004 - ports
            found.append("port: must be a port, such as 6514")
        return found

    def notes(self) -> list[str]:
        """Say what the protocol does not give."""
        if self.protocol == "udp":
            return ["protocol: udp loses messages unnoticed" + ("" if is_loopback(self.host) else ", unencrypted")]
        if self.protocol == "tcp" and not is_loopback(self.host):
            return ["protocol: tcp is not encrypted, so who logs in can be read on the way; use tls"]
        return []

    def _line(self, message: Message, look: Look, limit: int) -> bytes:
        kind, facts = _facts(message)
        host = message.event.host if isinstance(message, Alert) else message.host
        priority = FACILITIES[self.facility] * 8 + _LEVELS[message.severity]
        time = when(message).isoformat(timespec="microseconds")
        head = f"<{priority}>1 {time} {_printable(host, 255)} {_NAME} - {kind} "
        text = " ".join((title(message, look), *lines(message, look))).replace("\n", " ")
        data = ""
        for name, value in facts:  # the most important first
            more = f'{data} {name}="{_escaped(clean(value, 1024))}"'
            if utf8(f"{head}[{_ID}{more}] \ufeff") > limit:
                break
            data = more
        line = f"{head}[{_ID}{data}] \ufeff"
        return (line + cut(text, max(1, limit - utf8(line)), utf8)).encode("utf-8", "replace")


def _facts(message: Message) -> tuple[str, list[tuple[str, str]]]:
    """Return the message's kind and its facts, as text."""
    body = message_json(message)
    kind = str(body.pop("kind"))
    body["rules"] = " ".join(finding["rule"] for finding in body.get("findings") or ()) or None
    flat = {name: value for name, value in body.items() if not isinstance(value, (dict, list))}
    return kind, [("kind", kind), *((name, _text(value)) for name, value in flat.items() if value is not None)]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(value: str) -> str:
    """Return a value as RFC 5424 section 6.3.3 wants it."""
    return re.sub(r'(["\\\]])', r"\\\1", value)


def _printable(value: str, limit: int) -> str:
    """Return a header field: printable US-ASCII without spaces, or the nil value."""
    return re.sub(r"[^!-~]", "?", value)[:limit] or "-"
