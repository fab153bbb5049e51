"""Syslog to a collector: UDP (RFC 5426), or octet counting over TCP (RFC 6587) and TLS (RFC 5425)."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.message import Reply
from usm.transport.reasons import CONNECT, TOTAL
from usm.transport.web import authority

if TYPE_CHECKING:
    from usm.core.message import Datagram

GOODBYE = 1.0  # seconds for the other side to answer the end of a TLS connection


class Collector:
    """Keeps one connection, and opens another where the collector has closed it."""

    def __init__(self, monotonic: Callable[[], float], ca_file: Optional[str]) -> None:
        self._monotonic, self._ca_file = monotonic, ca_file
        self._socket: Optional[socket.socket] = None
        self._place: Optional[tuple[str, int, str]] = None

    def close(self) -> None:
        """End the connection in order; sending again opens a new one.

        TLS asks for a word at the end (RFC 5425, 4.4), and its answer is waited for: a socket that is closed before all
        was read resets the connection, and the other side may throw away what it has not read yet.
        """
        if isinstance(self._socket, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):  # ended already, or the other side just hangs up
                self._socket.settimeout(GOODBYE)
                self._socket.unwrap()
        self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def reach(self, request: Datagram) -> None:
        """Open a connection and close it again."""
        self._open(request).close()

    def send(self, request: Datagram) -> Reply:
        """Hand the message to the network: syslog has no acknowledgement.

        A collector that has closed the connection meanwhile is noticed before, not after: what is written into a
        closed one would be lost without an error.
        """
        place = (request.host, request.port, request.protocol)
        stream = request.protocol != "udp"  # of a datagram's loss the next one hears, as an error
        if self._socket is None or place != self._place or (stream and _is_closed(self._socket)):
            self.close()
            self._socket, self._place = self._open(request), place
        framed = b"%d %s" % (len(request.data), request.data) if stream else request.data
        try:
            self._socket.settimeout(TOTAL)
            self._socket.sendall(framed)
        except OSError:
            self._drop()  # half a frame may have gone out: nothing can follow it
            raise
        return Reply(200)

    def _open(self, request: Datagram) -> socket.socket:
        if request.protocol == "udp":
            family, kind, number, _, address = socket.getaddrinfo(request.host, request.port, type=socket.SOCK_DGRAM)[0]
            made = socket.socket(family, kind, number)
            made.connect(address)  # so that a port nobody listens on is heard of
            return made
        plain = socket.create_connection((request.host, request.port), CONNECT)
        if request.protocol == "tcp":
            return plain
        try:
            plain.settimeout(TOTAL)
            ca_file = None if self._ca_file is None else authority(self._ca_file)
            return ssl.create_default_context(cafile=ca_file).wrap_socket(plain, server_hostname=request.host)
        except BaseException:
            plain.close()
            raise


def _is_closed(sock: socket.socket) -> bool:
    """Tell whether the other side has ended the connection; a collector has nothing to say, so what it says is read."""
    try:
        while _readable(sock):
            sock.settimeout(0)
            if not sock.recv(4096):
                return True
    except (BlockingIOError, ssl.SSLWantReadError):  # TLS has something to say to itself, such as a new ticket
        return False
    except OSError:
        return True
    return False


def _readable(sock: socket.socket) -> bool:
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
