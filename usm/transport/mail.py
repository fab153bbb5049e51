"""SMTP: one conversation for each mail, with TLS that is verified and a deadline for the whole."""

from __future__ import annotations

import io
import json
import smtplib
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.message import Reply
from usm.errors import TransportError
from usm.transport.deadline import Until
from usm.transport.reasons import CONNECT
from usm.transport.web import authority

if TYPE_CHECKING:
    from usm.core.message import Mail

TOTAL = 60.0  # seconds for a whole conversation: servers that slow strangers down wait some seconds at each step
_NO_STARTTLS = "the mail server offers no STARTTLS: set `security: tls` (port 465), or another port"
_NO_AUTH = "the mail server does not ask for a password here: leave `username` out, or check port and security"

_REFUSED = 400  # SMTP's codes from here on are refusals: RFC 5321, section 4.2.1


class _Conversation(smtplib.SMTP):
    """A conversation that is over after `TOTAL` seconds, however slowly the server talks."""

    def __init__(self, mail: Mail, monotonic: Callable[[], float], context: ssl.SSLContext) -> None:
        self._mail, self._monotonic, self._tls = mail, monotonic, context
        self._deadline = monotonic() + TOTAL
        # The name is that of the sender's domain: asking for our own may take as long as the resolver likes.
        super().__init__(mail.host, mail.port, mail.sender.rpartition("@")[2] or "localhost", timeout=CONNECT)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((host, port), timeout)
        plain.settimeout(TOTAL)
        if self._mail.security != "tls":
            return plain
        return self._tls.wrap_socket(plain, server_hostname=host)

    def getreply(self) -> tuple[int, bytes]:
        """Read an answer before the deadline."""
        if self.file is None and self.sock is not None:  # also after STARTTLS: the old one is forgotten then
            left = self._deadline - self._monotonic()
            raw = socket.SocketIO(self.sock, "r")
            self.file = io.BufferedReader(Until(self.sock, raw, self._monotonic, left))
        return super().getreply()


def send(mail: Mail, monotonic: Callable[[], float], ca_file: Optional[str]) -> Reply:
    """Return what the server answered to the mail, or to the step at which it refused.

    Where it took the mail but refused recipients, the body is JSON: `{"refused": {"550": 1}, "of": 2}`.
    """

    def say(smtp: smtplib.SMTP) -> Reply:
        if mail.user is not None and mail.password is not None:
            smtp.login(mail.user, mail.password.reveal())
        refused = smtp.sendmail(mail.sender, list(mail.recipients), mail.message)
        with suppress(OSError, smtplib.SMTPException):  # whatever becomes of the goodbye, the mail was taken
            smtp.putcmd("quit")
        return Reply(250, _partial(refused, len(mail.recipients)))

    return _converse(mail, monotonic, ca_file, say)


def greet(mail: Mail, monotonic: Callable[[], float], ca_file: Optional[str]) -> None:
    """Connect, secure the connection, and take leave; raise TransportError where the server refuses even that."""

    def leave(smtp: smtplib.SMTP) -> Reply:
        return _reply(*smtp.quit())

    reply = _converse(mail, monotonic, ca_file, leave)
    if reply.status >= _REFUSED:
        raise TransportError(f"the mail server refuses to talk to us: {reply.status}")


def _converse(
    mail: Mail, monotonic: Callable[[], float], ca_file: Optional[str], what: Callable[[smtplib.SMTP], Reply]
) -> Reply:
    """Say something over a connection that is as secure as it should be."""
    context = ssl.create_default_context(cafile=None if ca_file is None else authority(ca_file))
    smtp: Optional[_Conversation] = None
    try:
        smtp = _Conversation(mail, monotonic, context)
        smtp.ehlo_or_helo_if_needed()
        if mail.security == "starttls":
            smtp.starttls(context=context)
            smtp.ehlo()
        return what(smtp)
    except smtplib.SMTPRecipientsRefused as error:
        return _reply(*next(iter(error.recipients.values())))
    except smtplib.SMTPResponseException as error:
        return _reply(error.smtp_code, error.smtp_error)
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException as error:  # it lacks what we need
        problem = _NO_STARTTLS if "STARTTLS" in str(error) else _NO_AUTH
    finally:
        if smtp is not None:
            smtp.close()
    raise TransportError(problem)


def _partial(refused: dict[str, tuple[int, bytes]], count: int) -> bytes:
    codes = [str(code) for code, _ in refused.values()]
    summary = {"refused": {code: codes.count(code) for code in codes}, "of": count}
    return json.dumps(summary).encode() if refused else b""


def _reply(code: int, said: object) -> Reply:
    return Reply(code, said if isinstance(said, bytes) else str(said).encode("utf-8", "backslashreplace"))
