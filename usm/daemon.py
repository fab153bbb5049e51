"""The running monitor: one thread reads and commits, one for each channel delivers; signals end it in order."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.decode import Stamps
from usm.core.text import Look
from usm.deliver import TICK, Worker
from usm.errors import StoreError
from usm.host import identify, local_zone, os_release
from usm.ingest import ingest
from usm.sources import SOURCES
from usm.sources.locate import find_log
from usm.store import Store
from usm.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from types import FrameType

    from usm.config import Config, Notify
    from usm.core.model import Batch, Host

log = logging.getLogger(__name__)
_DISK = 5.0  # seconds between tries to commit a batch while the disk refuses
_LEAVE = 5.0  # seconds that a worker gets to finish the message in hand


class Monitor:
    """Reads a source into a state file and delivers from it until told to stop.

    Raises SourceError or StoreError, with what to do, before anything was changed.
    """

    def __init__(
        self, config: Config, notify: Sequence[Notify], clock: Callable[[], datetime], jitter: Callable[[], float]
    ) -> None:
        self.path = config.log_file or find_log(os_release())
        self._store, self._lock = open_store(config.state)
        self._clock = clock
        self._stop = threading.Event()
        self._name = f"file:{self.path}"
        cursor = self._store.cursor(self._name)
        self._source = SOURCES["file"](self.path, cursor)
        if cursor is None:
            with self._store.transaction() as tx:  # from here on what is written is ours to tell
                tx.checkpoint(self._name, self._source.position(), clock())
        look = Look(config.language, local_zone())
        self._channels = [n.name for n in notify]
        self._transports = [Transport(sys.stdout) for _ in notify]
        self._workers = [
            Worker(n.name, n.channel, n.limits, look, Store(config.state), transport.send, clock, jitter)
            for n, transport in zip(notify, self._transports)
        ]

    def run(self) -> None:
        """Watch until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        log.info("watching %s, state in %s", self.path, self._store.path)
        threads = [
            threading.Thread(target=_deliver, args=(worker, transport), name=worker.name, daemon=True)
            for worker, transport in zip(self._workers, self._transports)
        ]
        for thread in threads:
            thread.start()
        # A batch makes a hundred thousand short-lived tuples and no cycles; looking for those costs a third more.
        gc.freeze()
        gc.set_threshold(100_000, 20, 20)
        host, stamps = identify(), Stamps(local_zone(), self._clock())
        while not self._stop.is_set():
            batch = self._source.read(TICK)
            if batch is not None:
                stamps.advance(self._clock())
                self._commit(batch, stamps, host)
        for worker in self._workers:
            worker.stop()
        for thread in threads:
            thread.join(_LEAVE)
        self._source.close()
        self._store.close()
        os.close(self._lock)

    def _on_signal(self, _number: int, _frame: Optional[FrameType]) -> None:
        self._stop.set()
        self._source.wake()

    def _commit(self, batch: Batch, stamps: Stamps, host: Host) -> None:
        """Take a batch in; while the disk refuses, the same batch again: the log keeps what comes after it."""
        said = ""
        while True:
            now = self._clock()
            try:
                told = ingest(
                    self._store, self._name, batch, stamps=stamps, host=host, channels=self._channels, now=now
                )
            except StoreError as error:
                if str(error) != said:
                    said = str(error)
                    log.error("%s", said)
                if self._stop.wait(_DISK):
                    return
                continue
            if said:
                log.info("state file %s: writes again, nothing was lost", self._store.path)
            if told:
                for worker in self._workers:
                    worker.notify()
            return


def _deliver(worker: Worker, transport: Transport) -> None:
    """One channel's thread: what sending needs is imported here, so that watching does not wait for it."""
    try:
        transport.prepare()
        worker.run()
    except BrokenPipeError:  # `usm run | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        log.exception("%s: this is a bug; the service stops, is started again, and goes on where it was", worker.name)
        os._exit(70)


def open_store(path: str) -> tuple[Store, int]:
    """Open the state file for the one monitor that may; return it and the descriptor that holds the lock."""
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o750, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StoreError(
            f"state file {path}: {error.strerror}; run as root, or set `state:` to a place of this user's"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Store(path), lock
    except OSError as error:
        os.close(lock)
        raise StoreError(f"state file {path}: another monitor is running with it; stop that one first") from error
    except StoreError:
        os.close(lock)
        raise
