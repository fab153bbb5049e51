"""`usm check --online`: real sockets, TLS and proxies, to which nothing is ever said."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Optional

import pytest
import trustme

from tests.channels.samples import EN, MESSAGES, NOW
from tests.fakes.feishu import FakeFeishu
from tests.fakes.proxy import FakeProxy
from tests.fakes.siem import FakeSIEM
from tests.fakes.smtp import FakeSMTP
from usm.channels.apprise import Apprise
from usm.channels.console import Console
from usm.channels.email import Email
from usm.channels.feishu import Feishu
from usm.channels.syslog import Syslog
from usm.core.model import Secret
from usm.errors import TransportError
from usm.transport.reach import reach

if TYPE_CHECKING:
    from pathlib import Path

    from usm.channels import Channel

AUTHORITY = trustme.CA()
TOKEN = "6f1a2b3c-token"


def context(name: str = "localhost") -> ssl.SSLContext:
    """Return a server's side of TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(made)
    return made


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    """Return the throw-away authority's certificate."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def ask(channel: Channel, ca_file: Optional[str] = None, proxy: Optional[str] = None) -> Optional[str]:
    """Return what was reached."""
    request = channel.request(MESSAGES["login"], NOW, EN)
    return reach(request, None if proxy is None else Secret(proxy), ca_file, time.monotonic)


def feishu(url: str) -> Feishu:
    """Return a channel with this address."""
    return Feishu(Secret(url))


def refused(channel: Channel, ca_file: Optional[str] = None, proxy: Optional[str] = None) -> str:
    """Return why it was not reached; no secret is in it."""
    with pytest.raises(TransportError) as caught:
        ask(channel, ca_file, proxy)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def closed() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_webhook_over_tls(ca_file: str) -> None:
    """Its certificate is verified, and no request is made."""
    with FakeFeishu(tls=context(), token=TOKEN) as service:
        url = f"https://localhost:{service.port}/open-apis/bot/v2/hook/{TOKEN}"
        assert ask(feishu(url), ca_file) == f"localhost:{service.port} answers, its certificate is accepted"
        assert "TLS certificate not accepted: unable to get local issuer" in refused(feishu(url))
        assert not service.attempts


def test_a_certificate_of_another_name(ca_file: str) -> None:
    """Is no proof."""
    with FakeFeishu(tls=context("other.example"), token=TOKEN) as service:
        url = f"https://localhost:{service.port}/open-apis/bot/v2/hook/{TOKEN}"
        assert refused(feishu(url), ca_file) == "TLS certificate not accepted: hostname mismatch"


def test_through_a_proxy(ca_file: str) -> None:
    """To the service itself: its certificate is verified, the proxy's password is shown to nobody."""
    with FakeFeishu(tls=context("hooks.example"), token=TOKEN) as service:
        url = f"https://hooks.example/open-apis/bot/v2/hook/{TOKEN}"
        route = {"hooks.example:443": ("127.0.0.1", service.port)}
        with FakeProxy(user="usm", password=TOKEN, routes=route) as proxy:
            way = f"http://usm:{TOKEN}@127.0.0.1:{proxy.port}"
            said = "hooks.example:443 answers through the proxy, its certificate is accepted"
            assert ask(feishu(url), ca_file, way) == said
            text = refused(feishu(url), ca_file, f"http://usm:wrong@127.0.0.1:{proxy.port}")
            assert text == "proxy: user name or password not accepted: check `proxy`"
        assert not service.attempts


def test_a_mail_server(ca_file: str) -> None:
    """STARTTLS or TLS from the first byte; neither a password nor a mail is sent."""
    for security in ("starttls", "tls"):
        with FakeSMTP(tls=context(), implicit=security == "tls", user="usm", password=TOKEN) as server:
            mail = Email(
                "localhost",
                "usm@example.com",
                ("root@example.com",),
                smtp_port=server.port,
                security=security,
                username="usm",
                password=Secret(TOKEN),
            )
            assert ask(mail, ca_file) == f"localhost:{server.port} answers, its certificate is accepted"
            assert "TLS certificate not accepted" in refused(mail)
            assert (server.attempts, server.messages) == ([], [])
    with FakeSMTP() as server:
        mail = Email("127.0.0.1", "usm@example.com", ("root@example.com",), smtp_port=server.port)
        assert "the mail server offers no STARTTLS" in refused(mail)


def test_without_tls_on_this_machine() -> None:
    """A relay of one's own."""
    with FakeFeishu() as service:
        assert ask(feishu(service.url)) == f"127.0.0.1:{service.port} answers"
        assert not service.attempts


def test_nobody_there(ca_file: str) -> None:
    """Refused, or no such name."""
    assert (
        refused(feishu(f"https://localhost:{closed()}/open-apis/bot/v2/hook/{TOKEN}"), ca_file) == "connection refused"
    )
    text = refused(feishu(f"https://nowhere.invalid/open-apis/bot/v2/hook/{TOKEN}"), ca_file)
    assert text == "the host name was not resolved (DNS)"
    assert "can't be read, or holds no certificates" in refused(feishu(f"https://localhost/{TOKEN}"), "/absent.pem")


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ("udp", "127.0.0.1:{} resolves; syslog over UDP has no answers"),
        ("tcp", "127.0.0.1:{} answers"),
        ("tls", "localhost:{} answers, its certificate is accepted"),
    ],
)
def test_a_collector(ca_file: str, protocol: str, said: str) -> None:
    """As it is sent to."""
    with FakeSIEM(protocol, tls=context() if protocol == "tls" else None) as siem:
        channel = Syslog("localhost" if protocol == "tls" else "127.0.0.1", siem.port, protocol)
        assert ask(channel, ca_file) == said.format(siem.port)
        assert siem.messages == []


def test_what_has_nothing_to_reach() -> None:
    """The terminal; and what only Apprise knows."""
    assert ask(Console()) is None
    assert ask(Apprise((Secret("json://localhost"),))) == (
        "not verified: Apprise alone knows where it sends; try it with a message"
    )


def test_a_proxy_that_is_none(ca_file: str) -> None:
    """What can't be verified is said to be so; what is not there is an error."""
    url = f"https://localhost:{closed()}/open-apis/bot/v2/hook/{TOKEN}"
    assert ask(feishu(url), ca_file, "https://proxy.example:3128") == (
        "not verified: the proxy is no plain HTTP proxy; try it with a message"
    )
    assert refused(feishu(url), ca_file, f"http://user:{TOKEN}@127.0.0.1:{closed()}") == "connection refused"


def test_a_mail_server_that_is_not_there() -> None:
    """Refused."""
    mail = Email("127.0.0.1", "usm@example.com", ("root@example.com",), smtp_port=closed(), security="none")
    assert refused(mail) == "connection refused"
