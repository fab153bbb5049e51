"""A real SMTP server on this machine: encryption, passwords, refusals, and servers that break off."""

from __future__ import annotations

import io
import json
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Optional

import pytest
import trustme

from tests.channels.samples import EN, MESSAGES, NOW
from tests.fakes.smtp import FakeSMTP
from usm.channels.email import Email
from usm.core.message import Deferred, Mail, Rejected, Reply, Sent
from usm.core.model import Secret
from usm.errors import TransportError
from usm.transport import Transport, mail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUTHORITY = trustme.CA()
PASSWORD = "correct horse"


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    """Return the throw-away authority's certificate."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def context(name: str = "localhost") -> ssl.SSLContext:
    """Return a server's side of TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(made)
    return made


def channel(port: int, security: str = "none", **settings: Any) -> Email:  # noqa: ANN401 - any field
    """Return a channel to the server."""
    fields = {"sender": "usm@example.com", "to": ("a@example.com", "b@example.com")}
    return Email(**{"smtp_host": "localhost", "smtp_port": port, "security": security, **fields, **settings})


def send(email: Email, ca_file: Optional[str] = None) -> object:
    """Send a mail and return the receipt."""
    transport = Transport(io.StringIO(), ca_file=ca_file)
    return email.receipt(transport.send(email.request(MESSAGES["login"], NOW, EN)))


def refused(email: Email, ca_file: Optional[str] = None) -> str:
    """Return what is said where there was no answer."""
    with pytest.raises(TransportError) as caught:
        send(email, ca_file)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize(("security", "implicit"), [("starttls", False), ("tls", True)])
def test_both_ways_of_encryption(ca_file: str, security: str, *, implicit: bool) -> None:
    """With a password, which only goes out encrypted."""
    with FakeSMTP(tls=context(), implicit=implicit, user="usm", password=PASSWORD) as server:
        assert send(channel(server.port, security, username="usm", password=Secret(PASSWORD)), ca_file) == Sent()
        (got,) = server.wait_for(1)
    assert (got.tls, got.user, got.sender, got.recipients) == (
        True,
        "usm",
        "usm@example.com",
        ("a@example.com", "b@example.com"),
    )
    assert got.message["Message-ID"] == "<1111111111111111@example.com>"


def test_a_relay_on_this_machine_needs_none() -> None:
    """Neither encryption nor password."""
    with FakeSMTP() as server:
        assert send(channel(server.port)) == Sent()
        assert server.wait_for(1)[0].tls is False


@pytest.mark.parametrize(("security", "implicit"), [("starttls", False), ("tls", True)])
def test_a_certificate_is_verified(ca_file: str, security: str, *, implicit: bool) -> None:
    """Authority and name; without them no password goes out."""
    with FakeSMTP(tls=context("mail.example"), implicit=implicit, user="usm", password=PASSWORD) as server:
        email = channel(server.port, security, username="usm", password=Secret(PASSWORD))
        assert refused(email, ca_file) == "TLS certificate not accepted: hostname mismatch"
        assert refused(email).startswith("TLS certificate not accepted: ")
        assert server.messages == []


def test_a_wrong_password_is_a_setting(ca_file: str) -> None:
    """It waits for somebody to mend it."""
    with FakeSMTP(tls=context(), user="usm", password="another") as server:
        receipt = send(channel(server.port, "starttls", username="usm", password=Secret(PASSWORD)), ca_file)
    assert isinstance(receipt, Deferred)
    assert (receipt.code, receipt.fault) == ("535", True)


def test_a_server_that_wants_a_login_first(ca_file: str) -> None:
    """And was not told one."""
    with FakeSMTP(tls=context(), user="usm", password=PASSWORD) as server:
        receipt = send(channel(server.port, "starttls"), ca_file)
    assert isinstance(receipt, Deferred)
    assert receipt.code == "530"


def test_what_the_server_does_not_offer_is_named() -> None:
    """No encryption: nothing is sent in the clear instead. No login: nothing to give the password to."""
    with FakeSMTP() as server:
        assert refused(channel(server.port, "starttls")).startswith("the mail server offers no STARTTLS")
        login = channel(server.port, username="usm", password=Secret(PASSWORD))
        assert refused(login).startswith("the mail server does not ask for a password")
        assert server.messages == []


def test_refused_recipients() -> None:
    """One of two: it was taken, and said. Both: a setting is wrong."""
    with FakeSMTP(refused=("b@example.com",)) as server:
        assert send(channel(server.port)) == Sent("taken, but the mail server refused recipients (550 ×1): check `to`")
        receipt = send(channel(server.port, to=("b@example.com",)))
    assert isinstance(receipt, Deferred)
    assert (receipt.code, receipt.fault) == ("550", True)


def test_greylisting_asks_to_come_again() -> None:
    """And then takes it."""
    with FakeSMTP(greylisting=True) as server:
        first = send(channel(server.port, to=("a@example.com",)))
        assert isinstance(first, Deferred)
        assert first.code == "smtp-4xx"
        assert send(channel(server.port, to=("a@example.com",))) == Sent()


def test_too_big_and_refused_mails() -> None:
    """Given up; a refusal without a reason is tried five times."""
    with FakeSMTP(largest=600) as server:
        receipt = send(channel(server.port))
        assert isinstance(receipt, Rejected)
        assert receipt.code == "552"
    with FakeSMTP() as server:
        server.data_script.append("554 5.7.1 no")
        receipt = send(channel(server.port))
        assert isinstance(receipt, Deferred)
        assert (receipt.code, receipt.last) == ("554", 5)


@pytest.fixture
def talker() -> Iterator[tuple[int, list[bytes]]]:
    """Give the port of a server that says one line of a script at each step, then breaks off."""
    script: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):  # the client may be gone before
            for line in script:
                connection.sendall(line)
                connection.recv(65536)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], script
    listener.close()
    thread.join(10)


@pytest.mark.parametrize("steps", range(5))
def test_a_server_that_breaks_off(talker: tuple[int, list[bytes]], steps: int) -> None:
    """Wherever: whether the mail arrived is not known."""
    port, script = talker
    script += [b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n"][:steps]
    said = refused(channel(port, smtp_host="127.0.0.1"))
    assert said == "connection reset: whether the message arrived is not known"


def test_a_server_that_refuses_to_talk(talker: tuple[int, list[bytes]]) -> None:
    """Its greeting is an answer too."""
    port, script = talker
    script.append(b"421 4.3.2 closing\r\n")
    receipt = send(channel(port, smtp_host="127.0.0.1"))
    assert isinstance(receipt, Deferred)
    assert receipt.code == "smtp-4xx"


def test_nobody_listens() -> None:
    """Refused, at once."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert refused(channel(port, smtp_host="127.0.0.1")) == "connection refused"


def test_a_slow_server_does_not_hold_the_channel(
    talker: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is for the whole conversation, not for each of its bytes."""
    monkeypatch.setattr(mail, "TOTAL", 0.0)
    port, script = talker
    script.append(b"220 hel")
    assert refused(channel(port, smtp_host="127.0.0.1")).startswith("timed out")


def test_a_missing_authority_is_named(tmp_path: Path) -> None:
    """Before anything is sent."""
    with FakeSMTP() as server:
        said = refused(channel(server.port), str(tmp_path / "none.pem"))
        assert said == f"ca_file: {tmp_path}/none.pem can't be read, or holds no certificates in PEM"
        assert server.attempts == []


def test_the_reply_of_a_taken_mail_is_empty() -> None:
    """JSON only where there is something to say."""
    with FakeSMTP(refused=("b@example.com",)) as server:
        request = Mail("127.0.0.1", server.port, "none", None, None, "a@x", ("a@example.com",), b"Subject: x\r\n\r\nx")
        transport = Transport(io.StringIO())
        assert transport.send(request) == Reply(250)
        both = transport.send(request._replace(recipients=("a@example.com", "b@example.com")))
        assert json.loads(both.body) == {"refused": {"550": 1}, "of": 2}
