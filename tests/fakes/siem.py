"""A stand-in for a SIEM: a strict receiver of syslog (RFC 5424) over UDP, TCP and TLS (RFC 6587 and 5425)."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from typing import TYPE_CHECKING, NamedTuple, Optional

from tests.fakes.service import RESET, cut

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

LARGEST = 8192  # what every receiver should take at least is 2048 bytes (RFC 5424, 6.1; RFC 5425, 4.3.1: 8192)
BOM = b"\xef\xbb\xbf"
HEADER = re.compile(
    rb"<(?P<pri>0|[1-9]\d{0,2})>(?P<version>[1-9]\d{0,2}) (?P<time>-|\S{20,32}) (?P<host>[!-~]{1,255}) "
    rb"(?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<msg>[!-~]{1,32}) "
)
TIME = re.compile(
    rb"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
    rb"(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
)
NAME = rb"[!#-<>-\\^-~]{1,32}"  # printable ASCII without " = ]
ELEMENT = re.compile(rb"\[(?P<id>" + NAME + rb")(?P<params>(?: " + NAME + rb'="(?:[^"\\\]]|\\["\\\]])*")*)\]')
PARAM = re.compile(rb" (" + NAME + rb')="((?:[^"\\\]]|\\["\\\]])*)"')
PRIVATE = re.compile(r"[^@]+@\d+(?:\.\d+)*")
REGISTERED = ("timeQuality", "origin", "meta")


class Message(NamedTuple):
    """A parsed message; None where it says "-"."""

    facility: int
    severity: int
    version: int
    time: Optional[str]
    host: Optional[str]
    app: Optional[str]
    process: Optional[str]
    kind: Optional[str]
    data: dict[str, list[tuple[str, str]]]
    text: str
    raw: bytes


def parse(raw: bytes) -> Message:
    """Return the message; ValueError for any deviation from the grammar, a backslash that escapes nothing included.

    Stricter than the grammar: a text must be UTF-8 with a BOM, and hold no control characters; an element's name must
    be registered or private (`name@number`).
    """
    head = HEADER.match(raw)
    if not head:
        raise ValueError(f"not a header: {raw[:80]!r}")
    priority, stamp = int(head["pri"]), head["time"]
    if priority > 191 or head["version"] != b"1":
        raise ValueError(f"no such priority or version: {raw[:8]!r}")
    if stamp != b"-" and not TIME.fullmatch(stamp):
        raise ValueError(f"not a time: {stamp!r}")
    data, end = _structured(raw, head.end())
    rest = raw[end:]
    if rest and not rest.startswith(b" "):
        raise ValueError(f"no space before the text: {rest[:20]!r}")
    text = rest[1:]
    if text and not text.startswith(BOM):
        raise ValueError("a text without BOM")
    decoded = text[len(BOM) :].decode("utf-8")
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in decoded):
        raise ValueError("a control character in the text")
    when, host, app, process, kind = (
        None if head[name] == b"-" else head[name].decode() for name in ("time", "host", "app", "proc", "msg")
    )
    return Message(priority // 8, priority % 8, 1, when, host, app, process, kind, data, decoded, raw)


def _structured(raw: bytes, at: int) -> tuple[dict[str, list[tuple[str, str]]], int]:
    data: dict[str, list[tuple[str, str]]] = {}
    if raw[at : at + 1] == b"-":
        return data, at + 1
    while raw[at : at + 1] == b"[":
        element = ELEMENT.match(raw, at)
        if not element:
            raise ValueError(f"not an element: {raw[at : at + 80]!r}")
        name = element["id"].decode()
        if name in data or not (name in REGISTERED or PRIVATE.fullmatch(name)):
            raise ValueError(f"an element twice, or neither registered nor private: {name}")
        data[name] = [
            (key.decode(), re.sub(r"\\([\"\\\]])", r"\1", value.decode("utf-8")))
            for key, value in PARAM.findall(element["params"])
        ]
        at = element.end()
    if not data:
        raise ValueError(f"no structured data: {raw[at : at + 20]!r}")
    return data, at


class FakeSIEM:
    """A receiver on a free port of 127.0.0.1, until it is closed.

    `protocol`: "udp" (a message a datagram), "tcp" or "tls" (octet counting: `length message`); `tls`: for "tls".
    `messages` are parsed; what deviates is in `errors`, and ends a connection. `largest`: a longer one is an error.
    `mode`: "read"; "deaf": connections are accepted and not read until it is "read" again; "reset", "close": each
    connection is ended at once, so by `cut`, too, are those that are open.
    """

    def __init__(
        self, protocol: str = "tcp", *, tls: Optional[ssl.SSLContext] = None, mode: str = "read", largest: int = LARGEST
    ) -> None:
        if protocol not in ("udp", "tcp", "tls") or (protocol == "tls") != (tls is not None):
            raise ValueError("udp, tcp, or tls with a context")
        self.protocol, self.tls, self.largest = protocol, tls, largest
        self.messages: list[Message] = []
        self.errors: list[str] = []
        self.accepted = 0
        self._mode = mode
        self._closed = False
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        if protocol == "udp":
            self._start(self._datagrams)
        else:
            self._socket.listen(16)
            self._start(self._connections)

    @property
    def mode(self) -> str:
        """What it does with connections."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Message]:
        """Block until that many messages came, and return them; TimeoutError if they do not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, timeout):
                raise TimeoutError(f"{len(self.messages)} messages came, not {count}; errors: {self.errors}")
            return list(self.messages)

    def wait_for_errors(self, count: int, timeout: float = 10.0) -> list[str]:
        """Block until that many deviations were seen, and return them; TimeoutError if they do not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.errors) >= count, timeout):
                raise TimeoutError(f"{len(self.errors)} errors, not {count}")
            return list(self.errors)

    def cut(self) -> None:
        """End the open connections."""
        with self._changed:
            for connection in list(self._open):
                cut(connection)

    def close(self) -> None:
        """Stop listening, cut every connection, wait for the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self.protocol == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", ("127.0.0.1", self.port))
        else:
            cut(self._socket)
        self.cut()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def __enter__(self) -> FakeSIEM:  # noqa: PYI034 - Self is not in Python 3.9
        """Return itself."""
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Close it."""
        self.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _take(self, raw: bytes) -> bool:
        if len(raw) > self.largest:
            self._fail(f"{len(raw)} bytes, more than {self.largest}")
            return False
        try:
            message = parse(raw)
        except ValueError as error:
            self._fail(str(error))
            return False
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
        return True

    def _fail(self, text: str) -> None:
        with self._changed:
            self.errors.append(text)
            self._changed.notify_all()

    def _is_readable(self) -> bool:
        """Wait while it is deaf."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._mode != "deaf")
            return not self._closed

    def _datagrams(self) -> None:
        while self._is_readable():
            raw = self._socket.recv(65536)
            if not self._closed:
                self._take(raw)

    def _connections(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._changed:
                self.accepted += 1
                if self._closed:
                    connection.close()
                    return
                self._changed.notify_all()
            if self._mode in ("reset", "close"):
                if self._mode == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                connection.close()
                continue
            self._start(self._connection, connection)

    def _connection(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.add(connection)
            if self._closed:
                cut(connection)
        try:
            if not self._is_readable():
                return
            if self.tls:
                with self._changed:
                    self._open.discard(connection)
                    connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                    self._open.add(connection)
                    if self._closed:
                        cut(connection)
                if isinstance(connection, ssl.SSLSocket):
                    connection.do_handshake()
            self._frames(connection)
        except OSError as error:
            if not self._closed:
                self._fail(f"the connection failed: {error}")
        finally:
            with self._changed:
                self._open.discard(connection)
            connection.close()

    def _frames(self, connection: socket.socket) -> None:
        """Read messages until the other side ends or deviates."""
        with connection.makefile("rb") as stream:
            while self._is_readable():
                digits = b""
                while len(digits) < 6 and not digits.endswith(b" "):
                    byte = stream.read(1)
                    if not byte:
                        break
                    digits += byte
                if not digits:
                    return
                if not re.fullmatch(rb"[1-9]\d{0,4} ", digits):
                    self._fail(f"not a length: {digits!r}")
                    return
                raw = stream.read(int(digits))
                if len(raw) < int(digits):
                    self._fail(f"{len(raw)} bytes of {int(digits)}")
                    return
                if not self._take(raw):
                    return
