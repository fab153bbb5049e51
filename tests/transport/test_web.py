"""Real sockets on this machine: what goes out, what comes back, and what is said when nothing does."""

from __future__ import annotations

import io
import os
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Callable, Optional

import pytest
import requests
import trustme

import usm
from tests.fakes.feishu import FakeFeishu
from tests.fakes.proxy import FakeProxy
from usm.core.message import Post, Print, Reply
from usm.core.model import Secret
from usm.errors import TransportError
from usm.transport import Transport, web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "5f0c2b1e-6d3a-4c1b"
PATH = f"/open-apis/bot/v2/hook/{TOKEN}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b'{"code":0}'
Serve = Callable[[socket.socket], None]


class Clock:
    """A monotonic clock that goes on by `step` seconds at each look."""

    def __init__(self) -> None:
        self.now, self.step = 1000.0, 0.0

    def __call__(self) -> float:
        """Return the time."""
        self.now += self.step
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def sender(clock: Clock) -> Iterator[Transport]:
    """Give a transport, and close its connections."""
    made = Transport(io.StringIO(), clock)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies or authorities but those a test sets."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
            monkeypatch.delenv(name)


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """Run `serve` for each connection, one after the other, on a free port; errors of the socket end a connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_connections: list[socket.socket] = []

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_connections.append(connection)
            with connection, suppress(OSError):
                serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        for cut in (listener, *open_connections):
            with suppress(OSError):
                cut.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Return one request, b"" where the client closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next((int(x[15:]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
    while len(rest) < length:
        rest += connection.recv(65536)
    return head + b"\r\n\r\n" + rest


def answering(reply: bytes, seen: Optional[list[bytes]] = None) -> Serve:
    """Answer every request of a connection with the same bytes."""

    def serve(connection: socket.socket) -> None:
        while True:
            request = read_request(connection)
            if not request:
                return
            if seen is not None:
                seen.append(request)
            connection.sendall(reply)

    return serve


def post(where: object, scheme: str = "http", host: str = "127.0.0.1") -> Post:
    """Return a message to that port, with a token in its path."""
    return Post(Secret(f"{scheme}://{host}:{where}{PATH}"), b'{"msg_type":"text"}')


def failure(sender: Transport, request: Post) -> str:
    """Return what is said when it fails; nothing that belongs to it holds the token or knows the original error."""
    with pytest.raises(TransportError) as caught:
        sender.send(request)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert TOKEN not in told.replace(f"TOKEN = '{TOKEN}'", "")
    assert "127.0.0.1" not in str(error)
    return str(error)


def test_what_goes_out(sender: Transport) -> None:
    """The body as it is, our name, and no compressed replies."""
    seen: list[bytes] = []
    with serving(answering(OK, seen)) as port:
        assert sender.send(post(port)) == Reply(200, b'{"code":0}')
    head, _, body = seen[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first == f"POST {PATH} HTTP/1.1"
    assert body == b'{"msg_type":"text"}'
    assert headers["User-Agent"] == f"user-session-monitor/{usm.__version__}"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in headers


def test_no_password_from_netrc_and_no_cookie_is_ever_sent(
    sender: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL is the only credential."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[bytes] = []
    with serving(answering(OK.replace(b"OK\r\n", b"OK\r\nSet-Cookie: a=b\r\n"), seen)) as port:
        assert requests.utils.get_netrc_auth(f"http://127.0.0.1:{port}/") == ("me", "secret")
        sender.send(post(port))
        sender.send(post(port))
    assert not any(word in request.lower() for request in seen for word in (b"authorization", b"cookie"))


def test_a_connection_is_kept_but_not_for_long(sender: Transport, clock: Clock) -> None:
    """Whether a server still knows a connection that was idle is not left to chance."""
    ports: list[int] = []
    answer = answering(OK)

    def serve(connection: socket.socket) -> None:
        ports.append(connection.getpeername()[1])
        answer(connection)

    with serving(serve) as port:
        for pause in (0.0, 29.0, 30.0):
            clock.now += pause
            sender.send(post(port))
        assert len(ports) == 1
        clock.now += 30.1
        sender.send(post(port))
        assert len(ports) == 2


def test_a_connection_that_the_server_closed_is_not_used_again(sender: Transport) -> None:
    """It closed without notice, right after its answer."""
    closed = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(OK)
        connection.close()
        closed.set()

    with serving(serve) as port:
        for _ in range(3):
            closed.clear()
            assert sender.send(post(port)).status == 200
            assert closed.wait(10)


def test_redirects_are_answers(sender: Transport) -> None:
    """The message never goes where the reply points."""
    with FakeFeishu(token=TOKEN) as fake:
        fake.script.append("redirect")
        assert sender.send(post(fake.port)).status == 302
        assert len(fake.attempts) == 1


def test_every_status_is_an_answer(sender: Transport) -> None:
    """What it means is the channel's affair."""
    with FakeFeishu(token=TOKEN) as fake:
        fake.script.extend([429, 502, "empty"])
        assert [sender.send(post(fake.port)).status for _ in range(3)] == [429, 502, 200]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("86400", 3600.0),
        ("999999999999", 3600.0),
        ("-1", None),
        ("1e9", None),
        ("nan", None),
        ("٣", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after(header: Optional[str], seconds: Optional[float]) -> None:
    """Seconds are believed, up to an hour."""
    assert web._seconds(header) == seconds


def test_retry_after_is_read_from_the_reply(sender: Transport) -> None:
    """With whatever status it comes."""
    reply = b"HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    with serving(answering(reply)) as port:
        assert sender.send(post(port)) == Reply(429, b"", 7.0)


@pytest.mark.parametrize("length", [b"Content-Length: 1073741824", b"X: y", b"Transfer-Encoding: chunked"])
def test_of_a_gigabyte_64_kib_are_read(sender: Transport, length: bytes) -> None:
    """The rest is not waited for, and the connection is not used again."""
    refused = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        try:
            for _ in range(1024):
                connection.sendall((b"100000\r\n" if b"chunked" in length else b"") + b"x" * 1048576 + b"\r\n")
        except OSError:
            refused.set()

    with serving(serve) as port:
        reply = sender.send(post(port))
        assert refused.wait(10)
    assert (reply.status, len(reply.body)) == (200, 65536)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["head", "body"])
def test_a_trickling_reply_has_15_seconds_in_all(sender: Transport, clock: Clock, head: bytes) -> None:
    """However little time passes before each piece."""
    clock.step = 4.0

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(b"x")

    with serving(serve) as port:
        assert failure(sender, post(port)).startswith("timed out: no complete answer within 15 s")


def test_silence_times_out(sender: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message may have arrived, and this is said."""
    monkeypatch.setattr(web, "TOTAL", 0.05)
    with FakeFeishu(token=TOKEN) as fake:
        fake.script.append("hang")
        assert failure(sender, post(fake.port)) == (
            "timed out: no complete answer within 15 s, whether the message arrived is not known"
        )


def test_a_reset_connection(sender: Transport) -> None:
    """Before or behind the message: nobody knows."""
    with FakeFeishu(token=TOKEN) as fake:
        fake.script.append("reset")
        assert failure(sender, post(fake.port)) == "connection reset: whether the message arrived is not known"


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
    ids=["another protocol", "cut", "bad chunk", "endless head"],
)
def test_what_is_no_whole_answer(sender: Transport, reply: bytes) -> None:
    """Half a reply could be taken for another one."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(reply)

    with serving(serve) as port:
        said = failure(sender, post(port))
    assert said == "the answer is not HTTP, or broke off: whether the message arrived is not known"


def test_a_closed_port(sender: Transport) -> None:
    """Nobody listens."""
    with serving(answering(OK)) as port:
        pass
    assert failure(sender, post(port)) == "connection refused"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no"), "the host name was not resolved (DNS)"),
        (socket.timeout("timed out"), "timed out: no connection within 5 s"),
        (OSError(113, "No route to host"), "no route to host"),
        (OSError("odd"), "failed (ConnectionError)"),
    ],
    ids=lambda x: str(x),
)
def test_hosts_that_are_not_reached(
    sender: Transport, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    """The system's own errors, which a test can't bring about."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setattr("urllib3.util.connection.create_connection", fail)
    assert failure(sender, post(1)) == said


@pytest.mark.parametrize("host", ["ftp://h", "http://[::1", "http://h:port", f"http://{'a' * 70}.b", "h", ""])
def test_what_is_no_url(sender: Transport, host: str) -> None:
    """The channel finds these first; here they do no harm."""
    assert failure(sender, Post(Secret(host + PATH), b"")) == "the URL, or that of the proxy, is not valid"


def test_a_bug_in_a_library_is_told_by_its_class(sender: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text could hold the URL."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise AttributeError(PATH)

    monkeypatch.setattr("requests.Session.post", fail)
    assert failure(sender, post(1)) == "failed (AttributeError)"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority that nobody trusts yet."""
    return trustme.CA()


def tls(authority: trustme.CA, name: str, until: Optional[datetime] = None) -> Serve:
    """Answer over TLS as `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    begin = datetime(2020, 1, 1, tzinfo=timezone.utc)
    authority.issue_cert(name, not_before=begin, not_after=until).configure_cert(context)
    answer = answering(OK)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            answer(wrapped)

    return serve


def trust(authority: trustme.CA, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests believe the authority."""
    authority.cert_pem.write_to_path(str(path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path / "ca.pem"))


def test_tls_with_a_trusted_certificate(
    sender: Transport, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is kept here, too."""
    trust(authority, tmp_path, monkeypatch)
    with serving(tls(authority, "localhost")) as port:
        for _ in range(2):
            assert sender.send(post(port, "https", "localhost")) == Reply(200, b'{"code":0}')
        sender.close()


def test_tls_with_an_unknown_authority(sender: Transport, authority: trustme.CA) -> None:
    """What the system says of it is passed on."""
    with serving(tls(authority, "localhost")) as port:
        said = failure(sender, post(port, "https", "localhost"))
    assert said.startswith("TLS certificate not accepted: ")
    assert "certificate" in said.partition(": ")[2]


def test_tls_with_another_hosts_certificate(
    sender: Transport, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever library finds out."""
    trust(authority, tmp_path, monkeypatch)
    with serving(tls(authority, "other.example")) as port:
        said = failure(sender, post(port, "https", "localhost"))
    assert said == "TLS certificate not accepted: hostname mismatch"


def test_tls_with_an_expired_certificate(
    sender: Transport, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or with this server's clock set wrong."""
    trust(authority, tmp_path, monkeypatch)
    with serving(tls(authority, "localhost", datetime(2021, 1, 1, tzinfo=timezone.utc))) as port:
        said = failure(sender, post(port, "https", "localhost"))
    assert said == "TLS certificate not accepted: certificate has expired"


def test_tls_to_a_server_that_does_not_speak_it(sender: Transport) -> None:
    """A wrong port, or a captive portal."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with serving(serve) as port:
        assert failure(sender, post(port, "https", "localhost")).startswith("TLS failed: ")


def test_a_proxy_from_the_environment_is_used(sender: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Except for this machine itself: a local relay is not the proxy's business."""
    seen: list[bytes] = []
    with serving(answering(OK, seen)) as proxy, FakeFeishu(token=TOKEN) as fake:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        assert sender.send(post(80, host="relay.example")).status == 200
        assert sender.send(post(fake.port)).status == 200
        assert sender.send(post(fake.port, host="localhost")).status == 200
        assert len(fake.attempts) == 2
    assert [request.split(b"\r\n")[0] for request in seen] == [f"POST http://relay.example:80{PATH} HTTP/1.1".encode()]


def test_a_proxy_that_refuses(sender: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said that it was the proxy; whether it runs at all is a case of its own."""
    with serving(answering(b"HTTP/1.1 407 Who are you\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy}")
        assert failure(sender, post(443, "https", "relay.example")) == (
            "proxy: user name or password not accepted: check `proxy`"
        )
    assert failure(sender, post(443, "https", "relay.example")) == "proxy: connection refused"


def test_a_proxy_that_listens_in(sender: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers behind it can't prove to be the host."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with serving(serve) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy}")
        assert "TLS failed: " in failure(sender, post(443, "https", "relay.example"))


def test_a_proxy_that_is_not_supported(sender: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """SOCKS needs a package that is not there."""
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    assert failure(sender, post(443, "https", "relay.example")) == "the URL, or that of the proxy, is not valid"


def test_no_log_line_holds_the_url(sender: Transport, caplog: pytest.LogCaptureFixture) -> None:
    """Libraries write it at level debug, and into a warning where headers are malformed."""
    caplog.set_level("DEBUG")
    with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nbad header\r\n\r\n")) as port:
        sender.send(post(port))
    assert TOKEN not in caplog.text


def test_importing_it_does_not_import_requests() -> None:
    """Start must not wait for what only sending needs."""
    code = "import sys, usm.transport; sys.exit('requests' in sys.modules or 'http.client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_closing_before_anything_was_sent() -> None:
    """Nothing was opened."""
    Transport(io.StringIO()).close()


def test_text_is_printed() -> None:
    """At once: the stream is flushed."""
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, "utf-8")
    assert Transport(terminal).send(Print("用户\n")) == Reply(200)
    assert raw.getvalue().decode() == "用户\n"
    stream = io.StringIO()
    Transport(stream).send(Print("用户"))
    assert stream.getvalue() == "用户"


def test_letters_that_a_terminal_lacks_are_escaped() -> None:
    """LANG=C is no reason to show nothing."""
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, "ascii")
    Transport(terminal).send(Print("用户"))
    assert raw.getvalue() == rb"\u7528\u6237"


def test_a_terminal_that_is_gone() -> None:
    """Closed here, it is an error like others; a pipe that nobody reads ends the command."""
    stream = io.StringIO()
    stream.close()
    with pytest.raises(TransportError, match="could not be written"):
        Transport(stream).send(Print("x"))
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", closefd=False) as pipe:
        with pytest.raises(BrokenPipeError):
            Transport(pipe).send(Print("x"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # what is still buffered must go somewhere
    os.close(writing)


@pytest.mark.parametrize("password", [None, "p%40ss"])
def test_a_configured_proxy_is_used_for_every_host(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: Optional[str]
) -> None:
    """A real one, with and without a password, whatever the environment says; TLS goes through it to the other end."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with serving(tls(authority, "hooks.example")) as port, FakeFeishu(token=TOKEN) as fake:
        routes = {f"hooks.example:{port}": ("127.0.0.1", port)}
        with FakeProxy(user=password and "usm", password="p@ss", routes=routes) as proxy:
            address = f"http://{f'usm:{password}@' if password else ''}127.0.0.1:{proxy.port}"
            sender = Transport(io.StringIO(), proxy=Secret(address), ca_file=str(tmp_path / "ca.pem"))
            assert sender.send(post(port, "https", "hooks.example")) == Reply(200, b'{"code":0}')
            assert sender.send(post(fake.port)).status == 200  # plain HTTP to this machine, too
            sender.close()
            assert [passage.status for passage in proxy.passages] == [200, 200]


def test_a_proxy_that_does_not_accept_the_password(authority: trustme.CA) -> None:
    """It is said, without the password."""
    with serving(tls(authority, "hooks.example")) as port, FakeProxy(user="usm", password="p@ss") as proxy:
        sender = Transport(io.StringIO(), proxy=Secret(f"http://usm:wr0ng@127.0.0.1:{proxy.port}"))
        assert failure(sender, post(port, "https", "hooks.example")) == (
            "proxy: user name or password not accepted: check `proxy`"
        )
        sender.close()


def test_a_ca_file_wins_over_the_environment(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one without certificates is named."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    (tmp_path / "empty.pem").write_text("nothing\n")
    with serving(tls(authority, "localhost")) as port:
        sender = Transport(io.StringIO(), ca_file=str(tmp_path / "ca.pem"))
        assert sender.send(post(port, "https", "localhost")).status == 200
        sender.close()
        for name in ("empty.pem", "none.pem"):
            wrong = Transport(io.StringIO(), ca_file=str(tmp_path / name))
            assert failure(wrong, post(port, "https", "localhost")) == (
                f"ca_file: {tmp_path}/{name} can't be read, or holds no certificates in PEM"
            )
