"""A stand-in for a mail server: a real one, by aiosmtpd, that keeps what it is sent."""

from __future__ import annotations

import email
import email.policy
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection
    from email.message import EmailMessage
    from types import TracebackType

LARGEST = 256 * 1024


class Mail(NamedTuple):
    """One accepted message with its envelope; `user` is who was logged in."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    raw: bytes
    tls: bool
    user: Optional[str]


class FakeSMTP:
    """A mail server on a free port of 127.0.0.1, until it is closed; the replies are those of RFC 5321, 4954 and 1870.

    `tls` alone: STARTTLS is demanded (530 without it); with `implicit`: TLS from the first byte; without: plain.
    `user` and `password`: a login is demanded (530), a wrong one is refused (535); without TLS it is allowed as well.
    `refused` recipients: 550. `greylisting`: the first try of each sender and recipient: 451. `largest`: 552, SIZE.
    `script`: replies to the next RCPT commands (`"450 4.2.1 busy"`, ...), `data_script`: to the next DATA commands.
    `attempts`: (command, reply) of each RCPT and DATA that was decided, and of each MAIL without login.
    """

    def __init__(
        self,
        *,
        tls: Optional[ssl.SSLContext] = None,
        implicit: bool = False,
        user: Optional[str] = None,
        password: str = "",
        refused: Collection[str] = (),
        greylisting: bool = False,
        largest: int = LARGEST,
    ) -> None:
        self.tls, self.implicit, self.user, self.password = tls, implicit, user, password
        self.refused, self.greylisting = refused, greylisting
        self.messages: list[Mail] = []
        self.attempts: list[tuple[str, str]] = []
        self.script: deque[str] = deque()
        self.data_script: deque[str] = deque()
        self._seen: set[tuple[str, str]] = set()
        self._changed = threading.Condition()
        self._controller = _Controller(
            self,
            hostname="127.0.0.1",
            port=0,
            server_hostname="mail.example",
            ssl_context=tls if implicit else None,
            tls_context=None if implicit else tls,
            require_starttls=tls is not None and not implicit,
            authenticator=self._login,
            auth_require_tls=False,
            auth_exclude_mechanism=[] if user else ["LOGIN", "PLAIN"],
            data_size_limit=largest,
        )
        self._controller.start()

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return self._controller.port

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Mail]:
        """Block until that many messages were accepted, and return them; TimeoutError if they do not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, timeout):
                raise TimeoutError(f"{len(self.messages)} messages came, not {count}")
            return list(self.messages)

    def close(self) -> None:
        """Stop listening, cut the connections, wait for the thread."""
        self._controller.stop(no_assert=True)

    def __enter__(self) -> FakeSMTP:  # noqa: PYI034 - Self is not in Python 3.9
        """Return itself."""
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Close it."""
        self.close()

    # aiosmtpd calls these in the server's thread.

    def _login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: object) -> AuthResult:  # noqa: ANN401, ARG002
        right = isinstance(data, LoginPassword) and self.user is not None
        right = right and data == LoginPassword(str(self.user).encode(), self.password.encode())
        if right:
            session.usm_user = self.user
        return AuthResult(success=right, handled=False)

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: ANN401, ARG002, N802
        """Let in whoever may send; the library warns of demanding a login without TLS, so it is demanded here."""
        if self.user is not None and not session.authenticated:
            self._note("MAIL", "530 5.7.0 Authentication required")
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: ANN401, ARG002, N802
        """Decide about a recipient."""
        pair = (str(envelope.mail_from), address)
        if self.script:
            reply = self.script.popleft()
        elif address in self.refused:
            reply = "550 5.1.1 no such user here"
        elif self.greylisting and pair not in self._seen:
            reply = "451 4.7.1 greylisted, try again later"
        else:
            reply = "250 2.1.5 OK"
        self._seen.add(pair)
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        self._note("RCPT", reply)
        return reply

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ANN401, N802, ARG002
        """Keep a message."""
        reply = self.data_script.popleft() if self.data_script else "250 2.0.0 OK queued"
        if reply.startswith("2"):
            mail = Mail(
                str(envelope.mail_from),
                tuple(envelope.rcpt_tos),
                email.message_from_bytes(envelope.content, policy=email.policy.default),
                envelope.content,
                self.implicit or session.ssl is not None,
                getattr(session, "usm_user", None),
            )
            with self._changed:
                self.messages.append(mail)
        self._note("DATA", reply)
        return reply

    def _note(self, command: str, reply: str) -> None:
        with self._changed:
            self.attempts.append((command, reply))
            self._changed.notify_all()


class _Controller(Controller):  # type: ignore[misc, unused-ignore] # aiosmtpd has no types
    """A controller that may choose a free port."""

    port: int

    def _trigger_server(self) -> None:
        server: Any = self.server
        self.port = int(server.sockets[0].getsockname()[1])
        super()._trigger_server()  # type: ignore[no-untyped-call]
