"""A stand-in for Feishu's custom bot on this machine: the same checks, limits, codes and answers.

By hand: `python tests/fakes/feishu.py [--port N] [--secret S] [--token T] [--keyword K]` prints what it is sent.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import ipaddress
import json
import socket
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

PATH = "/open-apis/bot/v2/hook/"
LARGEST = 20 * 1024
LIMITS = ((5, 1.0), (100, 60.0))
COLOURS = "blue wathet turquoise green yellow orange red carmine violet purple indigo grey default".split()  # noqa: SIM905
TEXTS = ("plain_text", "lark_md")
MESSAGES = {
    0: "success",
    9499: "Bad Request",
    11232: "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]",
    11246: "ErrCode: 200621; ErrMsg: parse card json err",
    19001: "param invalid: incoming webhook access token invalid",
    19002: "params error, msg_type need",
    19021: "sign match fail or timestamp is not within one hour from current time",
    19022: "Ip Not Allowed",
    19024: "Key Words Not Found",
}
HTML = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head></html>"


class Answer(NamedTuple):
    """An HTTP reply."""

    status: int
    body: bytes
    kind: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Attempt(NamedTuple):
    """One request that reached the service: when (by its clock), and the code it was answered, None if scripted."""

    time: float
    code: Optional[int]


class Refusal(Exception):  # noqa: N818 - the service's word
    """The message is not taken."""

    def __init__(self, code: int, status: int = 200) -> None:
        super().__init__(MESSAGES[code])
        self.code, self.status = code, status


class FakeFeishu:
    """The service, on a free port of 127.0.0.1, in threads of its own, until it is closed.

    `script` holds what to do with the next requests instead of serving them, one entry each:
    a number from 1000 on: that code, with HTTP status 200 · a smaller one: that HTTP status, with an HTML page ·
    bytes: that body, with HTTP status 200 · an `Answer` · `"empty"` · `"redirect"` · `"hang"`: no answer until the
    service is closed · `"reset"`: the connection is reset · `"lost"`: the message is taken, its answer is not sent.
    """

    def __init__(
        self,
        *,
        token: str = "6f1a2b3c-token",
        secret: Optional[str] = None,
        keywords: Sequence[str] = (),
        addresses: Sequence[str] = (),
        limits: Sequence[tuple[int, float]] = LIMITS,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the service has a clock of its own
        port: int = 0,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.token, self.secret, self.keywords, self.addresses = token, secret, keywords, addresses
        self.limits, self.clock, self.watch = limits, clock, watch
        self.messages: list[dict[str, Any]] = []
        self.attempts: list[Attempt] = []
        self.script: deque[Union[int, str, bytes, Answer]] = deque()
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._counted: deque[float] = deque(maxlen=max((count for count, _ in limits), default=0))
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.service = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the robot's webhook address."""
        return f"http://127.0.0.1:{self.port}{PATH}{self.token}"

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self._server.server_address[1])

    def texts(self) -> list[str]:
        """Return the accepted messages as their readers see them: the title first, a line for each text."""
        return [flat(message) for message in list(self.messages)]

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
            _cut(connection)
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FakeFeishu:  # noqa: PYI034 - Self is not in Python 3.9
        """Return itself."""
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Close it."""
        self.close()

    def answer(self, method: str, path: str, kind: str, address: str, body: bytes) -> Union[Answer, str]:
        """Return what to answer, or the name of what to do instead."""
        with self._changed:
            scripted = self.script.popleft() if self.script else None
            if scripted is not None and scripted != "lost":
                self.attempts.append(Attempt(self.clock(), None))
                self._changed.notify_all()
                return _scripted(scripted)
            try:
                message = self._checked(method, path, kind, address, body)
            except Refusal as refusal:
                code, status = refusal.code, refusal.status
                self.watch(f"refused: {code} {refusal}")
            else:
                code, status = 0, 200
                self.messages.append(message)
                self.watch(flat(message))
            self.attempts.append(Attempt(self.clock(), code))
            self._changed.notify_all()
        return "reset" if scripted else Answer(status, _json(code))

    def _checked(self, method: str, path: str, kind: str, address: str, body: bytes) -> dict[str, Any]:
        """Return the message if the service takes it, raise Refusal if not."""
        if path != PATH + self.token:
            raise Refusal(19001)
        if method != "POST" or kind.partition(";")[0].strip().lower() != "application/json":
            raise Refusal(9499)
        self._count()
        if self.addresses and not any(ipaddress.ip_address(address) in ipaddress.ip_network(a) for a in self.addresses):
            raise Refusal(19022)
        if len(body) > LARGEST:
            raise Refusal(9499, 400)
        try:
            message = json.loads(body)
        except ValueError:
            raise Refusal(9499) from None
        if not isinstance(message, dict):
            raise Refusal(9499)
        if self.secret is not None and not self._is_signed(message):
            raise Refusal(19021)
        texts = _texts(message)
        if self.keywords and not any(keyword in text for keyword in self.keywords for text in texts):
            raise Refusal(19024)
        return message

    def _count(self) -> None:
        now = self.clock()
        for count, seconds in self.limits:
            if len(self._counted) >= count and now - self._counted[-count] < seconds:
                raise Refusal(11232)
        self._counted.append(now)

    def _is_signed(self, message: dict[str, Any]) -> bool:
        stamp, signature = message.get("timestamp"), message.get("sign")
        if not (isinstance(stamp, str) and isinstance(signature, str) and stamp.isdecimal()):
            return False
        key = f"{stamp}\n{self.secret}".encode()
        expected = base64.b64encode(hmac.new(key, digestmod=hashlib.sha256).digest()).decode()
        return hmac.compare_digest(expected.encode(), signature.encode()) and abs(self.clock() - int(stamp)) <= 3600


def flat(message: dict[str, Any]) -> str:
    """Return the texts of an accepted message, one a line."""
    return "\n".join(_texts(message))


def _texts(message: dict[str, Any]) -> list[str]:
    """Return all visible texts of a message; raise Refusal where its shape is not the documented one."""
    kind = message.get("msg_type")
    if kind == "text":
        content = message.get("content")
        text = content.get("text") if isinstance(content, dict) else None
        if not isinstance(text, str) or not text:
            raise Refusal(9499)
        return [text]
    if kind == "interactive":
        try:
            return list(_card(message["card"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Refusal(11246) from None
    raise Refusal(19002)


def _card(card: dict[str, Any]) -> Iterator[str]:
    """Yield the texts of a card of version 1.0 or 2.0; any of several errors where it is none."""
    header = card["header"]
    if header.get("template", "default") not in COLOURS:
        raise ValueError
    yield _node(header["title"])
    elements = card["body"]["elements"] if card.get("schema") == "2.0" else card["elements"]
    if not isinstance(elements, list) or not elements:
        raise ValueError
    for element in elements:
        yield from _element(element)


def _element(element: dict[str, Any]) -> Iterator[str]:
    if element["tag"] == "hr":
        return
    if element["tag"] == "markdown":
        yield str(element["content"])
        return
    if element["tag"] == "note":
        yield from (_node(node) for node in element["elements"])
        return
    if element["tag"] != "div" or not ("text" in element or element.get("fields")):
        raise ValueError
    if "text" in element:
        yield _node(element["text"])
    for field in element.get("fields", ()):
        if not isinstance(field["is_short"], bool):
            raise TypeError
        yield _node(field["text"])


def _node(node: dict[str, Any]) -> str:
    if node["tag"] not in TEXTS or not isinstance(node["content"], str):
        raise ValueError
    return str(node["content"])


def _json(code: int) -> bytes:
    message = MESSAGES.get(code, "something else")
    body: dict[str, Any] = {"code": code, "msg": message, "data": {}}
    if code == 0:
        body.update(StatusCode=0, StatusMessage="success")
    return json.dumps(body).encode()


def _scripted(entry: Union[int, str, bytes, Answer]) -> Union[Answer, str]:
    if isinstance(entry, int):
        return Answer(200, _json(entry)) if entry >= 1000 else Answer(entry, HTML, "text/html")
    if isinstance(entry, bytes):
        return Answer(200, entry)
    if entry == "empty":
        return Answer(200, b"")
    if entry == "redirect":
        return Answer(302, b"", headers=(("Location", "/elsewhere"),))
    if entry in ("hang", "reset") or isinstance(entry, Answer):
        return entry
    raise ValueError(f"not a scripted behaviour: {entry!r}")


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was quicker
        connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them
    request_queue_size = 128
    service: FakeFeishu

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
            _cut(self.connection)

    def finish(self) -> None:
        self.server.service.connections.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        service = self.server.service
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        kind = self.headers.get("Content-Type", "")
        answer = service.answer(self.command, self.path, kind, self.client_address[0], body)
        if isinstance(answer, Answer):
            self.send_response(answer.status)
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
        else:  # closing with this option sends a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()

    do_GET = do_PUT = do_POST  # noqa: N815 - named by http.server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Say nothing."""


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Serve until interrupted, and print each message."""
    parser = argparse.ArgumentParser(description="A stand-in for Feishu's custom bot, for trying the monitor.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--secret", help="demand messages signed with it")
    parser.add_argument("--token", default="try-me", help="the last part of the webhook address")
    parser.add_argument("--keyword", action="append", default=[], help="demand one of these in every message")
    options = parser.parse_args(arguments)

    def show(text: str) -> None:
        sys.stdout.write(f"--- {time.strftime('%H:%M:%S')}\n{text}\n")
        sys.stdout.flush()

    with FakeFeishu(
        port=options.port, secret=options.secret, token=options.token, keywords=options.keyword, watch=show
    ) as service:
        show(f"webhook_url: {service.url}\nEnd with Ctrl-C.")
        try:
            service.closing.wait()
        except KeyboardInterrupt:
            show("ended")


if __name__ == "__main__":
    main()
