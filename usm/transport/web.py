"""HTTP: posts, over connections that are kept."""
# ruff: noqa: PLC0415, ANN401 - importing requests takes 100 ms; what is passed through to it is its own affair

from __future__ import annotations

import io
import logging
import re
import ssl
from typing import TYPE_CHECKING, Any, Callable, Optional
from urllib.parse import urlsplit

import usm
from usm.core.message import Reply
from usm.errors import TransportError
from usm.transport.deadline import Until
from usm.transport.reasons import CONNECT, TOTAL

if TYPE_CHECKING:
    import socket

    import requests

    from usm.core.message import Post
    from usm.core.model import Secret

LARGEST = 65536  # bytes of a reply that are read; a real one has some hundred
IDLE = 30.0  # seconds after which a kept connection is not trusted: servers and address translators forget from 60 s
PATIENCE = 3600.0  # seconds of Retry-After that are believed: a mistaken one must not silence a channel for days

_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": f"user-session-monitor/{usm.__version__}",
    "Accept-Encoding": "identity",  # a small compressed reply could unpack to gigabytes
}
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")


class Web:
    """Posts through one session. Redirects are never followed, `~/.netrc` is never read.

    `proxy` and `ca_file` win over the environment's (`HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE`).
    """

    def __init__(self, monotonic: Callable[[], float], proxy: Optional[Secret], ca_file: Optional[str]) -> None:
        self._monotonic, self._proxy, self._ca_file = monotonic, proxy, ca_file
        self._session: Optional[requests.Session] = None
        self._used = 0.0

    def prepare(self) -> requests.Session:
        """Import what sending needs (some 100 ms, 15 MB): not before it is needed, so that start does not wait."""
        if self._session is None:
            self._session = _open_session(self._monotonic)
        return self._session

    def close(self) -> None:
        """Close the kept connections; sending again opens new ones."""
        if self._session is not None:
            self._session.close()

    def send(self, request: Post) -> Reply:
        """Return the reply; whatever the libraries raise may hold the URL."""
        session = self.prepare()
        if self._monotonic() - self._used > IDLE:
            session.close()
        url = request.url.reveal()
        try:
            with session.post(
                url,
                data=request.body,
                headers={**_HEADERS, **{n: v if isinstance(v, str) else v.reveal() for n, v in request.headers}},
                auth=_no_auth,
                proxies=self._proxies(url),
                verify=None if self._ca_file is None else authority(self._ca_file),
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

    def _proxies(self, url: str) -> Optional[dict[str, str]]:
        """Return requests' way to name the proxy, or to say that this machine is not reached through the usual one."""
        if self._proxy is not None:
            return dict.fromkeys(("http", "https"), self._proxy.reveal())
        host = urlsplit(url).hostname or ""
        return {"no_proxy": host} if is_loopback(host) else None


def is_loopback(host: str) -> bool:
    """Tell whether this machine itself is meant, which no proxy reaches."""
    return _LOOPBACK.fullmatch(host) is not None


def authority(ca_file: str) -> str:
    """Return the path if there are certificates in it, else say what is wrong."""
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError:  # ssl.SSLError is one
        pass
    else:
        return ca_file
    raise TransportError(f"ca_file: {ca_file} can't be read, or holds no certificates in PEM")


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
            self.fp = io.BufferedReader(Until(sock, self.fp.detach(), monotonic, TOTAL))

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


def _seconds(retry_after: Optional[str]) -> Optional[float]:
    """Return the seconds of a Retry-After header, at most an hour; a date in it is ignored, clocks differ."""
    if retry_after is None or not re.fullmatch(r"\d{1,12}(\.\d{1,6})?", retry_after, re.ASCII):
        return None
    return min(float(retry_after), PATIENCE)
