"""The only outgoing sockets. Whatever goes wrong is told in words of our own: a URL is a secret."""
# ruff: noqa: PLC0415, ANN401 - importing requests takes 100 ms; what is passed through to it is its own affair

from __future__ import annotations

import io
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any, Callable, Optional
from urllib.parse import urlsplit

import usm
from usm.core.model import Post, Print, Reply, Request
from usm.errors import TransportError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from typing import TextIO

    import requests
    from _typeshed import WriteableBuffer

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
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
_UNKNOWN = "whether the message arrived is not known"
_SLOW = f"timed out: no complete answer within {TOTAL:.0f} s, {_UNKNOWN}"
_RESET = f"connection reset: {_UNKNOWN}"
_WRONG_NAME = "TLS certificate not accepted: hostname mismatch"
_INVALID = "the URL, or that of the proxy, is not valid"
# By the class's name, because the classes are in packages that are imported late. The first row found decides: one
# error is wrapped into several, and what lies deepest says most.
_REASONS = {
    "gaierror": "the host name was not resolved (DNS)",
    "CertificateError": _WRONG_NAME,
    "SSLCertVerificationError": _WRONG_NAME,  # as urllib3 1.26 raises it, without OpenSSL's verdict
    "ConnectionRefusedError": "connection refused",
    "ConnectTimeoutError": f"timed out: no connection within {CONNECT:.0f} s",
    "RemoteDisconnected": _RESET,
    "ConnectionResetError": _RESET,
    "BrokenPipeError": _RESET,
    "timeout": _SLOW,  # socket.timeout until Python 3.9
    "TimeoutError": _SLOW,
    "ReadTimeoutError": _SLOW,
    "MissingSchema": _INVALID,
    "InvalidSchema": _INVALID,
    "InvalidURL": _INVALID,
    "InvalidProxyURL": _INVALID,
    "LocationParseError": _INVALID,
    "ProtocolError": f"the answer is not HTTP, or broke off: {_UNKNOWN}",
    "ProxyError": "it refused to connect",
    "UnicodeError": _INVALID,
    "ValueError": _INVALID,
}


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
        if isinstance(request, Print):
            return self._print(request)
        try:
            return self._post(request)
        except BrokenPipeError:
            if isinstance(request, Print):
                raise
            problem = _explain(BrokenPipeError())
        except Exception as error:  # noqa: BLE001 - libraries raise what they like, and all of it may hold the URL
            problem = _explain(error)
        # Outside of the except block: within it, Python would attach the original, `from None` or not.
        raise TransportError(problem)

    def prepare(self) -> requests.Session:
        """Import what sending needs (some 100 ms, 15 MB): not before it is needed, so that start does not wait."""
        if self._session is None:
            self._session = _open_session(self._monotonic)
        return self._session

    def close(self) -> None:
        """Close the kept connections; sending again opens new ones."""
        if self._session is not None:
            self._session.close()

    def _print(self, request: Print) -> Reply:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"  # a terminal may lack the letters
        try:
            self._stream.write(request.text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except BrokenPipeError:  # nobody reads any more (`usm run | head`): that is for the command to end
            raise
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            raise TransportError("the text could not be written: the terminal is gone") from error
        return Reply(200)

    def _post(self, request: Post) -> Reply:
        session = self.prepare()
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
                response.raw.enforce_content_length = True  # the default only of urllib3 2
                body = b""
                while len(body) < LARGEST and (more := response.raw.read(LARGEST - len(body), decode_content=False)):
                    body += more
                return Reply(response.status_code, body, _seconds(response.headers.get("Retry-After")))
        finally:
            self._used = self._monotonic()


class _Until(io.RawIOBase):
    """Reads a socket until a deadline for all of the reply; a socket's own timeout begins anew with every byte."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, monotonic: Callable[[], float]) -> None:
        self._sock, self._raw, self._monotonic = sock, raw, monotonic
        self._deadline = monotonic() + TOTAL

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> Optional[int]:
        left = self._deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _open_session(monotonic: Callable[[], float]) -> requests.Session:
    """Return a session whose replies have a deadline, and that keeps no cookies and writes no log."""
    from http.client import HTTPResponse
    from http.cookiejar import DefaultCookiePolicy

    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Response(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            self.fp = io.BufferedReader(_Until(sock, self.fp.detach(), monotonic))

    def timed(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
        connection = type("Connection", (pool.ConnectionCls,), {"response_class": Response})
        return type("Pool", (pool,), {"ConnectionCls": connection})

    pools = {"http": timed(HTTPConnectionPool), "https": timed(HTTPSConnectionPool)}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            start: Any = super().init_poolmanager  # untyped in older stubs
            start(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manage: Any = super().proxy_manager_for
            manager = manage(proxy, **kwargs)
            if not proxy.lower().startswith("socks"):  # has connections of its own
                manager.pool_classes_by_scheme = pools
            return manager

    logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # its debug lines and header warnings hold the URL
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in pools:
        session.mount(f"{scheme}://", Adapter())
    return session


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add nothing; being there, it keeps requests from looking into ~/.netrc."""
    return request


def _proxies(url: str) -> Optional[dict[str, str]]:
    """Return requests' way to say that this machine itself is not reached through a proxy."""
    host = urlsplit(url).hostname or ""
    return {"no_proxy": host} if _LOOPBACK.fullmatch(host) else None


def _seconds(retry_after: Optional[str]) -> Optional[float]:
    """Return the seconds of a Retry-After header, at most an hour; a date in it is ignored, clocks differ."""
    if retry_after is None or not re.fullmatch(r"\d{1,12}(\.\d{1,6})?", retry_after, re.ASCII):
        return None
    return min(float(retry_after), PATIENCE)


def _explain(error: BaseException) -> str:
    """Return what went wrong, in words that can't hold a URL."""
    chain = list(_chain(error))
    names = {type(cause).__name__ for cause in chain}
    by = "proxy: " if "ProxyError" in names else ""
    for cause in chain:
        verdict, reason = getattr(cause, "verify_message", None), getattr(cause, "reason", None)
        if verdict:  # "hostname mismatch, certificate is not valid for ..."
            return f"{by}TLS certificate not accepted: {verdict.partition(',')[0].lower()}"
        if isinstance(reason, str) and type(cause).__name__.startswith("SSL"):
            return f"{by}TLS failed: {reason.replace('_', ' ').lower()}"
    known = next((text for name, text in _REASONS.items() if name in names), None)
    number = next((cause.errno for cause in chain if isinstance(cause, OSError) and cause.errno), None)
    if number is not None and known in (None, _REASONS["ProxyError"]):
        return by + os.strerror(number).lower()
    return by + (known or f"failed ({type(error).__name__})")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it came from, whichever way the libraries noted that."""
    todo = [error]
    seen: list[BaseException] = []
    while todo:
        cause = todo.pop(0)
        if any(cause is known for known in seen):
            continue
        seen.append(cause)
        yield cause
        origins = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        todo += [origin for origin in origins if isinstance(origin, BaseException)]
