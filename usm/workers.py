"""The threads of the right half: one worker for each endpoint, replaced as a whole when the configuration changes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Callable, NamedTuple

from usm.core.look import Look
from usm.deliver import Outlet, Worker
from usm.host import local_zone
from usm.store import Store
from usm.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from usm.config import Config
    from usm.core.model import Host
    from usm.notify import Notify

log = logging.getLogger(__name__)


class _Running(NamedTuple):
    worker: Worker
    thread: threading.Thread


class Workers:
    """Delivers for all channels of a configuration, between `start` and `stop`."""

    def __init__(self, clock: Callable[[], datetime], jitter: Callable[[], float]) -> None:
        self._clock, self._jitter = clock, jitter
        self._running: list[_Running] = []

    def start(self, config: Config, host: Host) -> None:
        """Deliver for these channels from now on; those from before finish the message in hand first.

        A new worker waits for them, as they may have one of its messages on the way; nobody else does.
        """
        before = [running.thread for running in self._running]
        prepared = [self._prepare(config, shared, host, before) for shared in by_endpoint(config.notify)]
        self._stop(self._clock())
        self._running = prepared
        for running in self._running:
            running.thread.start()

    def notify(self) -> None:
        """There is something new in the outbox."""
        for running in self._running:
            running.worker.notify()

    def stop(self, until: datetime, patience: float) -> None:
        """Send what is due until then, finish the message in hand, in so many seconds at most, and end."""
        self._stop(until)
        end = time.monotonic() + patience
        for running in self._running:
            running.thread.join(max(0.0, end - time.monotonic()))

    def _stop(self, until: datetime) -> None:
        for running in self._running:
            running.worker.stop(until)

    def _prepare(
        self, config: Config, shared: Sequence[Notify], host: Host, before: Sequence[threading.Thread]
    ) -> _Running:
        names = {n.name for n in shared}
        transport = Transport(sys.stdout, proxy=shared[0].proxy, ca_file=shared[0].ca_file)
        worker = Worker(
            [outlet(n, config.language) for n in shared],
            Store(config.state),
            transport.send,
            self._clock,
            self._jitter,
            host=host,
            others=[n.name for n in config.notify if n.name not in names],
            wake=self.notify,
        )
        thread = threading.Thread(target=deliver, args=(worker, transport, before), name=worker.names[0], daemon=True)
        return _Running(worker, thread)


def by_endpoint(notify: Sequence[Notify]) -> list[list[Notify]]:
    """Put channels together that share an endpoint, and with it one limit: each such group has one worker."""
    groups: dict[tuple[str, str], list[Notify]] = {}
    for n in notify:
        groups.setdefault((n.type, n.channel.endpoint()), []).append(n)
    return list(groups.values())


def outlet(n: Notify, language: str) -> Outlet:
    """Return a channel as its worker sees it."""
    look = Look(n.language or language, local_zone(), n.title, n.body)
    return Outlet(n.name, n.channel, n.limits, look, n.route.group_interval)


def deliver(worker: Worker, transport: Transport, before: Sequence[threading.Thread] = ()) -> None:
    """One endpoint's thread: what sending needs is imported here, so that watching does not wait for it."""
    try:
        for thread in before:
            thread.join()
        transport.prepare()
        worker.run()
        transport.close()
        worker.close()
    except BrokenPipeError:  # `usm run | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        log.exception(
            "%s: this is a bug; the service stops, is started again, and goes on where it was", ", ".join(worker.names)
        )
        os._exit(70)
