"""Is the other side there, and is it who it should be? Names are resolved, connections opened, certificates verified.

Nothing is sent: no message, no request, no password.
"""
# ruff: noqa: PLC0415 - importing requests takes 100 ms

from __future__ import annotations

import base64
import os
import ssl
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING, Callable, Optional
from urllib.parse import unquote, urlsplit

from usm.core.message import Datagram, Handover, Mail, Post
from usm.errors import TransportError
from usm.transport import mail
from usm.transport.collector import Collector
from usm.transport.reasons import CONNECT, explain
from usm.transport.web import authority, is_loopback

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from usm.core.message import Request
    from usm.core.model import Secret


def reach(
    request: Request, proxy: Optional[Secret], ca_file: Optional[str], monotonic: Callable[[], float]
) -> Optional[str]:
    """Return what was reached and how, None where there is nothing to reach; raise TransportError where it is not.

    Neither holds an address beyond the host and its port.
    """
    if isinstance(request, Handover):
        return "not verified: Apprise alone knows where it sends; try it with a message"
    try:
        if isinstance(request, Mail):
            mail.greet(request, monotonic, ca_file)
            return f"{request.host}:{request.port} answers{_tls(secure=request.security != 'none')}"
        if isinstance(request, Datagram):
            Collector(monotonic, ca_file).reach(request)
            how = "resolves; syslog over UDP has no answers" if request.protocol == "udp" else "answers"
            return f"{request.host}:{request.port} {how}{_tls(secure=request.protocol == 'tls')}"
        if isinstance(request, Post):
            return _web(request.url.reveal(), None if proxy is None else proxy.reveal(), ca_file)
    except TransportError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - libraries raise what they like, and all of it may hold the URL
        problem = explain(error)
    else:
        return None
    # Outside of the except block: within it, Python would attach the original, `from None` or not.
    raise TransportError(problem)


def _web(url: str, proxy: Optional[str], ca_file: Optional[str]) -> str:
    from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

    target = urlsplit(url)
    host, secure = target.hostname or "", target.scheme == "https"
    port = target.port or (443 if secure else 80)
    if proxy is None and not is_loopback(host):
        proxy = select_proxy(url, get_environ_proxies(url, no_proxy=None))
    through = urlsplit(proxy) if proxy else None
    if through is not None and through.scheme != "http":
        return "not verified: the proxy is no plain HTTP proxy; try it with a message"
    # As requests chooses them.
    trusted = (
        ca_file or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    )
    place = (host, port) if through is None else (through.hostname or "", through.port or 80)
    connection: HTTPConnection
    if secure:
        context = (
            ssl.create_default_context(capath=trusted)
            if os.path.isdir(trusted)
            else ssl.create_default_context(cafile=authority(trusted))
        )
        connection = HTTPSConnection(*place, timeout=CONNECT, context=context)
        if through is not None:
            connection.set_tunnel(host, port, _credentials(through))
    else:
        connection = HTTPConnection(*place, timeout=CONNECT)
    try:
        connection.connect()
    finally:
        connection.close()
    way = "" if through is None else " through the proxy"
    return f"{host}:{port} answers{way}{_tls(secure=secure)}"


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _tls(*, secure: bool) -> str:
    return ", its certificate is accepted" if secure else ""
