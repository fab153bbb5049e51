"""A small HTTP proxy: tunnels by CONNECT, and requests with an absolute address."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Optional
from urllib.parse import urlsplit

from tests.fakes.service import cut

if TYPE_CHECKING:
    from types import TracebackType

HOP_BY_HOP = ("connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "upgrade")


class Passage(NamedTuple):
    """One request to the proxy, and the status it gave itself: 200 let through, 407, 502, or as scripted."""

    method: str
    target: str
    status: int


class FakeProxy:
    """A proxy on a free port of 127.0.0.1, until it is closed.

    `user` and `password`: Basic Proxy-Authorization is demanded, 407 without. `refuse`: a status for every request
    (403: the proxy's rules forbid it). `passages`: what was asked for, in order. What goes to `routes` (host and port
    as they are written) is sent to another place of this machine: a public name can be reached through the proxy.
    """

    def __init__(
        self,
        *,
        user: Optional[str] = None,
        password: str = "",
        refuse: int = 0,
        routes: Optional[dict[str, tuple[str, int]]] = None,
    ) -> None:
        self.expected = user and "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.user, self.password, self.refuse, self.routes = user, password, refuse, routes or {}
        self.passages: list[Passage] = []
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Return its address, with the user and the password."""
        return f"http://{f'{self.user}:{self.password}@' if self.user else ''}127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening, cut every connection, wait for the threads."""
        self.closing.set()
        self._server.shutdown()
        with self._lock:
            for connection in self.connections:
                cut(connection)
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FakeProxy:  # noqa: PYI034 - Self is not in Python 3.9
        """Return itself."""
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Close it."""
        self.close()

    def hold(self, connection: socket.socket) -> None:
        """Remember a connection, to cut it at the end; cut it if this is the end."""
        with self._lock:
            self.connections.add(connection)
            if self.closing.is_set():
                cut(connection)

    def drop(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self.connections.discard(connection)

    def note(self, passage: Passage) -> None:
        """Note what was asked for."""
        with self._lock:
            self.passages.append(passage)

    def place(self, host: str, port: int) -> tuple[str, int]:
        """Return where to connect to."""
        return self.routes.get(f"{host}:{port}", (host, port))


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them
    request_queue_size = 128
    proxy: FakeProxy

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing of clients that went away; a real error is a bug here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    rbufsize = 0  # what follows CONNECT belongs to the tunnel
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.proxy.hold(self.connection)

    def finish(self) -> None:
        self.server.proxy.drop(self.connection)
        super().finish()

    def do_CONNECT(self) -> None:
        self.close_connection = True
        if not self._may_pass():
            return
        host, _, port = self.path.rpartition(":")
        there = self._connected(host.strip("[]"), int(port))
        if there is None:
            return
        self._status(200, "Connection established", close=False)
        self.wfile.flush()
        back = threading.Thread(target=_relay, args=(there, self.connection))
        back.start()
        _relay(self.connection, there)
        back.join()
        self.server.proxy.drop(there)
        there.close()

    def do_GET(self) -> None:
        self.close_connection = True
        body = self._body()
        if not self._may_pass():
            return
        target = urlsplit(self.path)
        if target.scheme != "http" or not target.hostname:
            self._status(400, "Bad Request")
            return
        there = self._connected(target.hostname, target.port or 80)
        if there is None:
            return
        client = http.client.HTTPConnection("proxied.invalid")
        client.sock = there
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        try:
            path = target.path or "/"
            client.request(self.command, path + ("?" + target.query if target.query else ""), body, headers)
            reply = client.getresponse()
            content = reply.read()
            self.send_response_only(reply.status, reply.reason)
            for name, value in reply.getheaders():
                if name.lower() not in (*HOP_BY_HOP, "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)
        finally:
            self.server.proxy.drop(there)
            client.close()

    do_POST = do_PUT = do_GET  # noqa: N815 - named by http.server

    def _body(self) -> bytes:
        rest, body = int(self.headers.get("Content-Length", "0")), b""
        while rest > len(body):  # unbuffered, so a read may give less
            part = self.rfile.read(rest - len(body))
            if not part:
                raise ConnectionResetError
            body += part
        return body

    def _may_pass(self) -> bool:
        proxy = self.server.proxy
        status = proxy.refuse
        if proxy.expected and self.headers.get("Proxy-Authorization") != proxy.expected:
            status = 407
        proxy.note(Passage(self.command, self.path, status or 200))
        if status:
            self._status(status, "Proxy Authentication Required" if status == 407 else "Refused")
        return not status

    def _connected(self, host: str, port: int) -> Optional[socket.socket]:
        try:
            there = socket.create_connection(self.server.proxy.place(host, port), timeout=10)
        except OSError:
            self.server.proxy.note(self.server.proxy.passages.pop()._replace(status=502))
            self._status(502, "Bad Gateway")
            return None
        there.settimeout(None)
        self.server.proxy.hold(there)
        return there

    def _status(self, status: int, text: str, *, close: bool = True) -> None:
        self.send_response_only(status, text)
        if status == 407:
            self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
        if close:
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Say nothing."""


def _relay(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, until the end or an error of one side; the other is told."""
    with contextlib.suppress(OSError):
        while True:
            part = source.recv(65536)
            if not part:
                break
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
        return
    cut(source)
    cut(target)
