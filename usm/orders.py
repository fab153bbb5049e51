"""What the running monitor is told from outside: to end, or to read its configuration again.

A signal may come in the midst of anything, also of a lock that its handler would ask for: so nothing here takes one.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import Any, Callable

_NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Orders:
    """Two flags, and a pipe that ends a sleep; `wake` is called too."""

    def __init__(self) -> None:
        self.stopping = self.reloading = False
        self.wake: Callable[[], None] = lambda: None
        self._before: dict[signal.Signals, Any] = {}  # handlers, as Python types them
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def listen(self, *, background: bool = False) -> None:
        """Take SIGTERM and SIGINT as the order to stop, SIGHUP as that to reload, if nohup(1) does not forbid that."""
        self._before = {number: signal.getsignal(number) for number in _NUMBERS}
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        if background or signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._stop_without_terminal if _has_terminal() else self.reload)

    def forget(self) -> None:
        """Let the signals mean again what they meant before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop(self, *_signal: object) -> None:
        """End."""
        self.stopping = True
        self._ring()

    def reload(self, *_signal: object) -> None:
        """Read the configuration again."""
        self.reloading = True
        self._ring()

    def _stop_without_terminal(self, *_signal: object) -> None:
        """SIGHUP in the foreground: the terminal was closed, unless it is still there."""
        if _has_terminal():
            self.reload()
        else:
            self.stop()

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until the next order."""
        if not self.stopping and select.select([self._read], [], [], seconds)[0]:
            os.read(self._read, 4096)

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # it rings already
            os.write(self._write, b"\0")
        self.wake()


def _has_terminal() -> bool:
    try:
        os.tcgetpgrp(0)
    except OSError:
        return False
    return True
