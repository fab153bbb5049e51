"""What systemd is told of the service: sd_notify(3), the protocol of a datagram, and its watchdog.

Without `NOTIFY_SOCKET` nothing is said. The protocol: https://www.freedesktop.org/software/systemd/man/sd_notify.html
"""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)


class Supervisor:
    """Tells systemd how the service does; `interval` is how many seconds apart it wants to hear that it lives.

    `process`: for whom systemd set the variables. `forked`: that is the command that forks this daemon; its end is
    what tells systemd that the service is ready, and a daemon that it does not know yet must not speak.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        process: int,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        forked: bool = False,
    ) -> None:
        self._monotonic, self._forked = monotonic, forked
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        demanded = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(process)) == str(process)
        limit = int(demanded) / 1e6 if self._address and meant and demanded.isdigit() else float("inf")
        self.interval = limit / 3  # two may be late
        self._last = monotonic()

    def ready(self, status: str) -> None:
        """The source is watched, for the first time or again."""
        if not self._forked:
            self._say("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is read again."""
        if not self._forked:
            self._say("RELOADING=1", f"MONOTONIC_USEC={int(self._monotonic() * 1e6)}")

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1")

    def alive(self) -> None:
        """Say so if it is time for it."""
        if self._monotonic() - self._last >= self.interval:
            self._last = self._monotonic()
            self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("systemd can't be told how the service does: %s", error.strerror)
