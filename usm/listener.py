"""`/metrics` and `/healthz` on a loopback address, for a Prometheus on this machine; off unless configured.

Each answer is read from the state file, on one thread of its own: whoever keeps it busy keeps other readers waiting,
and never the monitor.
"""

from __future__ import annotations

import http.server
import logging
import socket
import threading
from typing import TYPE_CHECKING, Callable, Optional

from usm import metrics
from usm.errors import StoreError
from usm.status import status, unhealthy
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

log = logging.getLogger(__name__)
_PATIENCE = 2.0  # seconds for a client to ask


class Listener:
    """Answers on the address that it was told last."""

    def __init__(self, state: str, clock: Callable[[], datetime]) -> None:
        self._state, self._clock = state, clock
        self._address: Optional[tuple[str, int]] = None
        self._channels: Sequence[str] = ()
        self._server: Optional[http.server.HTTPServer] = None

    def listen(self, address: Optional[tuple[str, int]], channels: Sequence[str]) -> None:
        """Answer here from now on, or nowhere. A port that is taken is said, and no reason to watch no logins."""
        self._channels = channels
        if address == self._address and (address is None or self._server is not None):
            return
        self.close()
        self._address = address
        if address is None:
            return
        try:
            self._server = _Server(address, self._answer)
        except OSError as error:
            text = "metrics: can't listen on %s port %d: %s; set `metrics.listen` to a free port, then: usm reload"
            log.error(text, *address, error.strerror)
            return
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, path: str) -> tuple[int, str]:
        if path not in ("/metrics", "/healthz"):
            return 404, "there are /metrics and /healthz\n"
        try:
            found = status(Store(self._state, readonly=True), self._channels, running=True)
        except StoreError as error:
            return 503, f"{error}\n"
        if path == "/metrics":
            return 200, metrics.prometheus(found, self._clock())
        problem = unhealthy(found, self._clock())
        return (200, "ok\n") if problem is None else (503, f"{problem}\n")


class _Server(http.server.HTTPServer):
    """One request after the other."""

    def __init__(self, address: tuple[str, int], answer: Callable[[str], tuple[int, str]]) -> None:
        self.answer = answer
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def handle_error(self, _request: object, _client: object) -> None:
        """A client that went away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE
    server_version, sys_version = "user-session-monitor", ""

    def do_GET(self) -> None:
        code, text = self.server.answer(self.path.partition("?")[0])
        body = text.encode("utf-8", "backslashreplace")
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """A question every few seconds is no news."""
