"""What the stand-ins for HTTP services share: a threaded server on this machine, its script, its limits, its notes."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import threading
import time
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, NoReturn, Optional, TypeVar, Union
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

HTML = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head></html>"
RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER, 0 seconds: closing sends a reset
Code = Union[int, str]


class Answer(NamedTuple):
    """An HTTP reply."""

    status: int
    body: bytes
    kind: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Attempt(NamedTuple):
    """One request that reached the service: when (by its clock), and the code it was answered, None if scripted."""

    time: float
    code: Optional[Code]


class Request(NamedTuple):
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    address: str

    @property
    def place(self) -> str:
        """Return the path without the query."""
        return urlsplit(self.path).path

    @property
    def query(self) -> dict[str, str]:
        """Return the decoded parameters of the query."""
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    @property
    def kind(self) -> str:
        """Return the content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:  # noqa: ANN401 - whatever is in it
        """Return the decoded body; ValueError where it is no JSON in UTF-8."""
        return json.loads(self.body.decode("utf-8"), parse_constant=_no_constant)


class Refusal(Exception):  # noqa: N818 - the service's word
    """The message is not taken: what the service calls the reason, and what it answers."""

    def __init__(self, code: Code, answer: Answer, text: str = "") -> None:
        super().__init__(text or answer.body.decode("utf-8", "replace"))
        self.code, self.answer = code, answer


Entry = Union[int, str, bytes, Answer]
Self = TypeVar("Self", bound="Service")


class Service:
    """A service on a free port of 127.0.0.1, in threads of its own, until it is closed.

    `script` holds what to do with the next requests instead of serving them, one entry each:
    a number from 100 to 999 that is no code of the service: that HTTP status, with an HTML page · another number or a
    name: that code of the service · bytes: that body, with HTTP status 200 · an `Answer` · `"empty"` · `"redirect"` ·
    `"hang"`: no answer until the service is closed · `"reset"`: the connection is reset · `"lost"`: the message is
    taken, its answer is not sent.

    A subclass says how a request is checked (`check`), what success looks like (`accepted`), how a code of the service
    becomes an answer (`coded`), and what readers see (`flat`).
    """

    path = "/"

    def __init__(
        self,
        *,
        limits: Sequence[tuple[int, float]] = (),
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the service has a clock of its own
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.limits, self.clock, self.tls, self.watch = limits, clock, tls, watch
        self.messages: list[dict[str, Any]] = []
        self.attempts: list[Attempt] = []
        self.requests: list[Request] = []
        self.script: deque[Entry] = deque()
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._counted: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=1000))
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.service = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    # What a subclass says.

    def check(self, request: Request) -> dict[str, Any]:
        """Return the message if the service takes it, raise Refusal if not."""
        raise NotImplementedError

    def accepted(self, message: dict[str, Any]) -> Answer:
        """Return the answer to a message that was taken."""
        raise NotImplementedError

    def coded(self, code: Code) -> Optional[Answer]:
        """Return the answer with one of the service's codes; None if it has no such code."""
        raise NotImplementedError

    def flat(self, message: dict[str, Any]) -> str:
        """Return the texts of an accepted message, one a line."""
        raise NotImplementedError

    def take(self, message: dict[str, Any]) -> None:
        """Keep an accepted message."""
        self.messages.append(message)

    # What tests use.

    @property
    def origin(self) -> str:
        """Return the address without a path."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Return the address to send to."""
        return self.origin + self.path

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self._server.server_address[1])

    def texts(self) -> list[str]:
        """Return the accepted messages as their readers see them: the title first, a line for each text."""
        return [self.flat(message) for message in list(self.messages)]

    def wait_for(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Block until that many messages were accepted, and return them; TimeoutError if they do not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, timeout):
                raise TimeoutError(f"{len(self.messages)} messages came, not {count}")
            return list(self.messages)

    def wait_for_attempts(self, count: int, timeout: float = 10.0) -> list[Attempt]:
        """Block until that many requests came, accepted or not, and return them; TimeoutError if they do not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.attempts) >= count, timeout):
                raise TimeoutError(f"{len(self.attempts)} attempts came, not {count}")
            return list(self.attempts)

    def close(self) -> None:
        """Stop listening, cut every connection, wait for the threads."""
        self.closing.set()
        self._server.shutdown()
        for connection in list(self.connections):
            cut(connection)
        self._server.server_close()
        self._thread.join()

    def __enter__(self: Self) -> Self:  # noqa: PYI019 - typing.Self is not in Python 3.9
        """Return itself."""
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Close it."""
        self.close()

    # What happens inside.

    def throttle(self, *rules: tuple[str, Sequence[tuple[int, float]]]) -> float:
        """Count a message under each name and return 0; where a limit is reached, count nothing and return the wait."""
        now = self.clock()
        wait = 0.0
        for name, limits in rules:
            counted = self._counted[name]
            for count, seconds in limits:
                if len(counted) >= count and now - counted[-count] < seconds:
                    wait = max(wait, seconds - (now - counted[-count]))
        if not wait:
            for name, _ in rules:
                self._counted[name].append(now)
        return wait

    def answer(self, method: str, path: str, kind: str, address: str, body: bytes) -> Union[Answer, str]:
        """Serve a request that did not come over the network; return what it would have been answered."""
        return self.serve(Request(method, path, {"content-type": kind}, body, address))

    def serve(self, request: Request) -> Union[Answer, str]:
        """Return what to answer, or the name of what to do instead."""
        with self._changed:
            self.requests.append(request)
            scripted = self.script.popleft() if self.script else None
            if scripted is not None and scripted != "lost":
                self.attempts.append(Attempt(self.clock(), None))
                self._changed.notify_all()
                return self._scripted(scripted)
            code: Code = 0
            try:
                message = self.check(request)
            except Refusal as refusal:
                code, answer = refusal.code, refusal.answer
                self.watch(f"refused: {code} {refusal}")
            else:
                self.take(message)
                answer = self.accepted(message)
                self.watch(self.flat(message))
            self.attempts.append(Attempt(self.clock(), code))
            self._changed.notify_all()
        return "reset" if scripted else answer

    def _scripted(self, entry: Entry) -> Union[Answer, str]:
        if isinstance(entry, bytes):
            return Answer(200, entry)
        if isinstance(entry, Answer):
            return entry
        if entry in ("hang", "reset"):
            return str(entry)
        if entry == "empty":
            return Answer(200, b"")
        if entry == "redirect":
            return Answer(302, b"", headers=(("Location", "/elsewhere"),))
        coded = self.coded(entry)
        if coded is not None:
            return coded
        if isinstance(entry, int) and 100 <= entry <= 999:
            return Answer(entry, HTML, "text/html")
        raise ValueError(f"not a scripted behaviour: {entry!r}")


def encoded(body: object) -> bytes:
    """Return a body of JSON."""
    return json.dumps(body, ensure_ascii=False).encode()


def units(text: str) -> int:
    """Return the length in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(connection: socket.socket) -> None:
    """End a connection in both directions, whoever reads or writes it: also under TLS, without a farewell."""
    with contextlib.suppress(OSError):  # the other side was quicker
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them
    request_queue_size = 128
    service: Service

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; the handshake is left to its own thread."""
        connection, address = super().get_request()
        tls = self.service.tls
        if tls:
            connection = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing of clients that went away; a real error is a bug here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.service.connections.add(self.connection)
        if self.server.service.closing.is_set():  # too late to be cut by `close`
            cut(self.connection)

    def handle(self) -> None:
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()
        super().handle()

    def finish(self) -> None:
        self.server.service.connections.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        service = self.server.service
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = service.serve(Request(self.command, self.path, headers, body, self.client_address[0]))
        if isinstance(answer, Answer):
            self.send_response(answer.status)
            if answer.status != 204:
                self.send_header("Content-Type", answer.kind)
                self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            return
        self.close_connection = True
        if answer == "hang":
            service.closing.wait()
        else:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.connection.close()

    do_GET = do_PUT = do_POST  # noqa: N815 - named by http.server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Say nothing."""
