"""The only outgoing sockets. Whatever goes wrong is told in words of our own: a URL is a secret."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Callable, Optional
from urllib.parse import urlsplit

import usm
from usm.core.model import Post, Print, Reply, Request
from usm.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    import requests

CONNECT = 5.0  # seconds for each address of the host; a service that is up answers within its round trip
TOTAL = 15.0  # seconds for the whole reply, however slowly it trickles: what Standard Webhooks advises as the least
LARGEST = 65536  # bytes of a reply that are read; a real one has some hundred
IDLE = 30.0  # seconds after which a kept connection is not trusted: servers and address translators forget from 60 s
PATIENCE = 3600.0  # seconds of Retry-After that are believed: a mistaken one must not silence a channel for days

_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": f"user-session-monitor/{usm.__version__}",
    "Accept-Encoding": "identity",  # a small compressed reply could unpack to gigabytes
}
# The first row that names a class of any of the errors in the chain decides. Names, because the classes are in
# packages that are imported late, and differ between versions.
_REASONS = (
    ("gaierror", "the host name was not resolved (DNS)"),
    ("NameResolutionError", "the host name was not resolved (DNS)"),
    ("CertificateError", "TLS certificate not accepted: it is for another host name"),
    ("ConnectionRefusedError", "connection refused"),
    ("ConnectTimeoutError", f"timed out: no connection within {CONNECT:.0f} s"),
    ("ConnectionResetError", "connection reset: whether the message arrived is not known"),
    ("BrokenPipeError", "connection reset: whether the message arrived is not known"),
    ("timeout", f"timed out: no answer within {TOTAL:.0f} s, whether the message arrived is not known"),
    ("TimeoutError", f"timed out: no answer within {TOTAL:.0f} s, whether the message arrived is not known"),
    ("ReadTimeoutError", f"timed out: no answer within {TOTAL:.0f} s, whether the message arrived is not known"),
    ("InvalidURL", "the URL is not valid"),
    ("ValueError", "the URL is not valid"),
    ("HTTPException", "the answer is not HTTP, or broke off: whether the message arrived is not known"),
)


class Transport:
    """Sends requests and returns the replies. For one thread: each worker has its own.

    Connections are kept and used again. Proxies come from the environment (`HTTPS_PROXY`, `NO_PROXY`), and so may
    the certificate authorities (`REQUESTS_CA_BUNDLE`). Redirects are never followed, `~/.netrc` is never read.
    """

    def __init__(self, stream: TextIO, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._monotonic = monotonic
        self._session: Optional[requests.Session] = None
        self._used = 0.0

    def send(self, request: Request) -> Reply:
        """Return the reply; raise TransportError if there was none. It never holds the URL, not in its context either.

        Takes at most 5 s for each address of the host and 15 s for the reply, beyond what the resolver takes.
        """
        # The error is raised outside of the except block: within, Python would attach the original as its context.
        try:
            return self._post(request) if isinstance(request, Post) else self._print(request)
        except Exception as error:  # noqa: BLE001 - libraries raise what they like; each is told, by its class at least
            problem = _explain(error)
        raise TransportError(problem)

    def prepare(self) -> None:
        """Import what sending needs (some 100 ms, 15 MB): in the worker's thread, so that start does not wait."""
        if self._session is None:
            self._session = _session(self._monotonic)

    def close(self) -> None:
        """Close the kept connections; sending again opens new ones."""
        if self._session is not None:
            self._session.close()

    def _print(self, request: Print) -> Reply:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"  # a terminal may lack the letters
        self._stream.write(request.text.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()
        return Reply(200)

    def _post(self, request: Post) -> Reply:
        self.prepare()
        session = self._session
        assert session is not None  # noqa: S101 - for the type checker
        if self._monotonic() - self._used > IDLE:
            session.close()
        try:
            with session.post(
                request.url.reveal(),
                data=request.body,
                headers=_HEADERS,
                auth=_no_auth,
                proxies=_proxies(request.url.reveal()),
                timeout=(CONNECT, TOTAL),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = response.raw.read(LARGEST, decode_content=False)
                return Reply(response.status_code, body, _seconds(response.headers.get("Retry-After")))
        finally:
            self._used = self._monotonic()
