"""What went wrong on the way out, in words of our own: those of the libraries may hold a URL, and a URL is a secret."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT = 5.0  # seconds for each address of the host; a service that is up answers within its round trip
TOTAL = 15.0  # seconds for the whole reply, however slowly it trickles: what Standard Webhooks advises as the least

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
    "SMTPServerDisconnected": _RESET,
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


def explain(error: BaseException) -> str:
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
    if any("407" in str(cause) for cause in chain if type(cause) is OSError):  # the tunnel was refused
        return "proxy: user name or password not accepted: check `proxy`"
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
