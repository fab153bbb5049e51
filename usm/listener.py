"""`/metrics` and `/healthz` on a loopback address, for a Prometheus on this machine; off unless configured.

Each answer is read from the state file, on one thread of its own: whoever keeps it busy keeps other readers waiting,
for some seconds, and never the monitor. It sleeps until it is asked. Python's own `http.server` is not used: it
costs 15 ms and 3.5 MiB, wakes up twice a second, and a client that sends a byte now and then holds it for hours.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Callable, Optional

from usm import metrics
from usm.errors import StoreError
from usm.status import status, unhealthy
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

log = logging.getLogger(__name__)
_PATIENCE = 2.0  # seconds for a client to ask and to take the answer
_LONGEST = 8192  # bytes of a request
_REQUEST = re.compile(rb"(?P<method>GET|HEAD) (?P<path>/[^ ?\r\n]*)(?:\?[^ \r\n]*)? HTTP/1\.[01]\r?\n")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}


class Listener:
    """Answers on the address that it was told last."""

    def __init__(self, state: str, clock: Callable[[], datetime]) -> None:
        self._state, self._clock = state, clock
        self._address: Optional[tuple[str, int]] = None
        self._channels: Sequence[str] = ()
        self._open: Optional[tuple[socket.socket, threading.Thread]] = None

    def listen(self, address: Optional[tuple[str, int]], channels: Sequence[str]) -> None:
        """Answer here from now on, or nowhere. A port that is taken is said, and no reason to watch no logins."""
        self._channels = channels
        if address == self._address and (address is None or self._open is not None):
            return
        self.close()
        self._address = address
        if address is None:
            return
        try:
            server = socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        except OSError as error:
            text = "metrics: can't listen on %s port %d: %s; set `metrics.listen` to a free port, then: usm reload"
            log.error(text, *address, os.strerror(error.errno or 0))
            return
        thread = threading.Thread(target=self._serve, args=(server,), name="metrics", daemon=True)
        self._open = server, thread
        thread.start()

    def close(self) -> None:
        """Answer no more; who is being answered is answered still."""
        if self._open is not None:
            server, thread = self._open
            self._open = None
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes the thread; the port is free at once
            thread.join(2 * _PATIENCE)

    def _serve(self, server: socket.socket) -> None:
        """Answer one after the other until the socket is shut down."""
        with server:
            while True:
                try:
                    client, _ = server.accept()
                except OSError as error:
                    if error.errno == errno.EINVAL:  # shut down
                        return
                    time.sleep(_PATIENCE)  # too many open files, or a client that went away
                    continue
                with client, suppress(OSError):  # a client that went away is no news
                    self._serve_one(client, time.monotonic() + _PATIENCE)

    def _serve_one(self, client: socket.socket, until: float) -> None:
        head = _head(client, until)
        if not head:
            return
        match = _REQUEST.match(head)
        code, text = (400, "ask like this: GET /metrics\n") if match is None else self._answer(match["path"])
        body = text.encode("utf-8", "backslashreplace")
        lines = (
            f"HTTP/1.1 {code} {_REASONS[code]}",
            "Content-Type: text/plain; version=0.0.4; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        answer = "\r\n".join((*lines, "", "")).encode()
        client.settimeout(_PATIENCE)
        client.sendall(answer if match is not None and match["method"] == b"HEAD" else answer + body)

    def _answer(self, path: bytes) -> tuple[int, str]:
        if path not in (b"/metrics", b"/healthz"):
            return 404, "there are /metrics and /healthz\n"
        try:
            with closing(Store(self._state, readonly=True)) as store:
                found = status(store, self._channels, running=True)
            if path == b"/metrics":
                return 200, metrics.prometheus(found, self._clock())
            problem = unhealthy(found, self._clock())
        except StoreError as error:
            return 503, f"{error}\n"
        except Exception:
            log.exception("metrics: this is a bug; the monitor watches on")
            return 500, "this is a bug; the monitor's log says more\n"
        return (200, "ok\n") if problem is None else (503, f"{problem}\n")


def _head(client: socket.socket, until: float) -> bytes:
    """Return a request up to its empty line, or what there is of it. Raises OSError where that takes too long."""
    head = b""
    while b"\n\r\n" not in head and b"\n\n" not in head:
        if len(head) > _LONGEST:
            return b"too long"
        client.settimeout(max(0.0, until - time.monotonic()))
        part = client.recv(_LONGEST)
        if not part:
            break
        head += part
    return head
