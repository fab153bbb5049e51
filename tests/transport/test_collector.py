"""Real sockets to a collector: framing, TLS, and connections that end without a word."""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Optional

import pytest
import trustme

from tests.channels.samples import EN, MESSAGES, NOW
from tests.fakes.siem import FakeSIEM
from usm.channels.syslog import Syslog
from usm.core.message import Datagram, Sent
from usm.errors import TransportError
from usm.transport import Transport
from usm.transport.collector import Collector

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY = trustme.CA()


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


def send(transport: Transport, siem: FakeSIEM, name: str = "login") -> object:
    """Send a message and return the receipt."""
    channel = Syslog("localhost" if siem.protocol == "tls" else "127.0.0.1", siem.port, siem.protocol)
    return channel.receipt(transport.send(channel.request(MESSAGES[name], NOW, EN)))


def refused(transport: Transport, siem: FakeSIEM) -> str:
    """Return what is said where it could not be sent."""
    with pytest.raises(TransportError) as caught:
        send(transport, siem)
    return str(caught.value)


def tries_until_refused(transport: Transport, siem: FakeSIEM, most: int) -> str:
    """Send until that fails, and return what is said then."""
    with pytest.raises(TransportError) as caught:
        [send(transport, siem) for _ in range(most)]
    return str(caught.value)


def test_a_connection_ends_in_order(ca_file: str) -> None:
    """By TLS's word for it: a connection that just breaks off may have lost something, and a reset loses more."""
    heard: list[object] = []

    def serve(listening: socket.socket) -> None:
        plain, _ = listening.accept()
        with context().wrap_socket(plain, server_side=True, suppress_ragged_eofs=False) as sock:
            heard.append(sock.recv(4096))
            written.set()
            try:
                heard.append(sock.recv(4096))
            except OSError as error:
                heard.append(error)

    written = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        collector = Collector(time.monotonic, ca_file)
        collector.send(Datagram("localhost", listening.getsockname()[1], "tls", b"one record"))
        assert written.wait(10)
        collector.close()
        thread.join()
    assert heard == [b"10 one record", b""]


@pytest.mark.parametrize("protocol", ["udp", "tcp", "tls"])
def test_records_arrive_one_by_one(ca_file: str, protocol: str) -> None:
    """Over one connection, each with its length in front where the protocol has no bounds of its own."""
    with FakeSIEM(protocol, tls=context() if protocol == "tls" else None) as siem:
        transport = Transport(io.StringIO(), ca_file=ca_file)
        for name in MESSAGES:
            assert send(transport, siem, name) == Sent()
        got = siem.wait_for(len(MESSAGES))
        transport.close()
    kinds = [
        "login",
        "logout",
        "failed",
        "privilege",
        "login",
        "login",
        "finding",
        "digest",
        "summary",
        "channel",
        "channel",
    ]
    assert [message.kind for message in got] == kinds
    assert siem.errors == []


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_a_connection_that_ended_is_opened_again(ca_file: str, protocol: str) -> None:
    """Before the record is written: into a closed one it would be lost without an error."""
    with FakeSIEM(protocol, tls=context() if protocol == "tls" else None) as siem:
        transport = Transport(io.StringIO(), ca_file=ca_file)
        for number in range(1, 6):
            assert send(transport, siem) == Sent()
            siem.wait_for(number)
            siem.cut()
            await_end(transport)
        transport.close()
        assert len(siem.messages) == 5


def await_end(transport: Transport) -> None:
    """Wait until the news of the end is here."""
    sock: Optional[socket.socket] = transport._collector._socket
    assert sock is not None
    sock.settimeout(10)
    try:
        while sock.recv(1, socket.MSG_PEEK) if not isinstance(sock, ssl.SSLSocket) else sock.recv(1):
            pass
    except OSError:
        pass


def test_another_collector_is_another_connection() -> None:
    """The old one is closed."""
    with FakeSIEM("tcp") as one, FakeSIEM("tcp") as two:
        transport = Transport(io.StringIO())
        for siem in (one, two, one):
            assert send(transport, siem) == Sent()
        one.wait_for(2)
        two.wait_for(1)
        transport.close()


def test_a_certificate_is_verified(ca_file: str) -> None:
    """Authority and name."""
    with FakeSIEM("tls", tls=context("other.example")) as siem:
        transport = Transport(io.StringIO(), ca_file=ca_file)
        assert refused(transport, siem) == "TLS certificate not accepted: hostname mismatch"
        assert refused(Transport(io.StringIO()), siem).startswith("TLS certificate not accepted")


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_nobody_listens(protocol: str) -> None:
    """Refused, at once."""
    with FakeSIEM(protocol, tls=context() if protocol == "tls" else None) as siem:
        pass
    assert refused(Transport(io.StringIO()), siem) == "connection refused"


def test_a_port_without_a_listener_is_heard_of_over_udp_too() -> None:
    """By the second datagram at the latest, from a machine that answers."""
    with FakeSIEM("udp") as siem:
        pass
    transport = Transport(io.StringIO())
    assert tries_until_refused(transport, siem, 5) == "connection refused"
    transport.close()


def test_a_collector_that_does_not_read_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not fit is sent anew over another connection: half a frame can't be followed by anything."""
    monkeypatch.setattr("usm.transport.collector.TOTAL", 0.05)
    with FakeSIEM("tcp", mode="deaf") as siem:
        transport = Transport(io.StringIO())
        assert tries_until_refused(transport, siem, 20_000).startswith("timed out")
        assert transport._collector._socket is None
        siem.mode = "read"
        assert send(transport, siem) == Sent()
        transport.close()
