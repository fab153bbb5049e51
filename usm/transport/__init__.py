"""The only outgoing sockets. Whatever goes wrong is told in words of our own: a URL is a secret."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.message import Datagram, Handover, Mail, Print, Reply, Request
from usm.errors import TransportError
from usm.transport import handover, mail
from usm.transport.collector import Collector
from usm.transport.reasons import explain
from usm.transport.web import Web

if TYPE_CHECKING:
    from typing import TextIO

    from usm.core.model import Secret


class Transport:
    """Sends requests and returns the replies. For one thread: each worker has its own.

    Connections are kept and used again where the protocol allows. `proxy` (HTTP only) and `ca_file` win over what the
    environment says.
    """

    def __init__(
        self,
        stream: TextIO,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        proxy: Optional[Secret] = None,
        ca_file: Optional[str] = None,
    ) -> None:
        self._stream, self._monotonic, self._ca_file = stream, monotonic, ca_file
        self._web = Web(monotonic, proxy, ca_file)
        self._collector = Collector(monotonic, ca_file)

    def send(self, request: Request) -> Reply:
        """Return the reply; raise TransportError if there was none. It never holds the URL, not in its context either.

        Takes at most 5 s for each address of the host and 15 s for the reply (a mail 60 s), beyond what the resolver
        takes.
        """
        if isinstance(request, Print):
            return self._print(request)
        try:
            return self._send(request)
        except TransportError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - libraries raise what they like, and all of it may hold the URL
            problem = explain(error)
        # Outside of the except block: within it, Python would attach the original, `from None` or not.
        raise TransportError(problem)

    def prepare(self) -> None:
        """Import what HTTP needs (some 100 ms, 15 MB): not before it is needed, so that start does not wait."""
        self._web.prepare()

    def close(self) -> None:
        """Close the kept connections; sending again opens new ones."""
        self._web.close()
        self._collector.close()

    def _send(self, request: Request) -> Reply:
        if isinstance(request, Mail):
            return mail.send(request, self._monotonic, self._ca_file)
        if isinstance(request, Datagram):
            return self._collector.send(request)
        if isinstance(request, Handover):
            return handover.send(request)
        if isinstance(request, Print):
            return self._print(request)
        return self._web.send(request)

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
