"""The running monitor: one thread reads and commits, one for each channel delivers; signals end it in order.

The reader also holds the open sessions against the system, at the start as soon as the log is read to its end, then
once a minute; a doubt is looked at again a few seconds later.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.decode import Stamps
from usm.core.model import UNOBSERVED, VANISHED
from usm.core.programs import IDENTIFIERS
from usm.core.recognize import recognize
from usm.core.reconcile import first_look
from usm.core.text import Look as Style
from usm.deliver import TICK, Outlet, Worker
from usm.errors import StoreError
from usm.host import identify, local_zone, os_release
from usm.ingest import Intake, Watch, compare, ingest, strangers
from usm.people import People, uid_of
from usm.sources import open_source
from usm.sources.locate import choose
from usm.store import Store
from usm.system import Presence
from usm.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from types import FrameType

    from usm.config import Config, Notify
    from usm.core.model import Batch, Event, Host, Seat
    from usm.core.reconcile import Look

log = logging.getLogger(__name__)
_DISK = 5.0  # seconds between tries to commit a batch while the disk refuses
_LEAVE = 5.0  # seconds that a worker gets to finish the message in hand
_TRIES, _AGAIN = 20, 0.05  # how often, and after how many seconds, the lock is asked for again
_DOUBT = 5.0  # seconds between two looks at what the log does not say; the journal is late by up to half a second
_GAP = timedelta(seconds=90)  # a window without a monitor that is worth a warning; while it runs, TICK proves it


class Monitor:
    """Reads a source into a state file and delivers from it until told to stop.

    Raises SourceError or StoreError, with what to do, before anything was changed.
    """

    def __init__(
        self, config: Config, notify: Sequence[Notify], clock: Callable[[], datetime], jitter: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._stop = threading.Event()
        path, why = choose(config.source, config.log_file, os_release())
        self._store, self._lock = open_store(config.state)
        self._started = clock()
        self._watched = self._store.watched()
        self.name, self._source = open_source(path, self._store.cursor, self._watched, IDENTIFIERS)
        self.why = why
        if self._watched is None or self._watched[0] != self.name:
            with self._store.transaction() as tx:  # from here on what is written is ours to tell
                tx.checkpoint(self.name, self._source.position(), self._started)
        self._intake = Intake(Stamps(local_zone(), self._started), journal=path is None)
        self._presence = Presence()
        self._watch = Watch(
            self._host(),
            [n.route for n in notify],
            People(config.people).owner,
            uid_of,
            None if self._watched is None else self._started,
            config.ignore,
            local_zone(),
        )
        self._transports, self._workers = [], []
        for shared in by_endpoint(notify):
            transport = Transport(sys.stdout, proxy=shared[0].proxy, ca_file=shared[0].ca_file)
            names = {n.name for n in shared}
            worker = Worker(
                [outlet(n, config.language) for n in shared],
                Store(config.state),
                transport.send,
                clock,
                jitter,
                host=self._watch.host,
                others=[n.name for n in notify if n.name not in names],
                wake=self._wake_workers,
            )
            self._transports.append(transport)
            self._workers.append(worker)

    def run(self) -> None:
        """Watch until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        log.info("watching %s (%s), state in %s", self.name, self.why, self._store.path)
        if self._watched is not None:
            log.log(
                logging.WARNING if self._started - self._watched[1] > _GAP else logging.INFO,
                "nobody watched from %s to %s; what the log has of that time is told now, marked as late",
                *(moment.isoformat(timespec="seconds") for moment in (self._watched[1], self._started)),
            )
        threads = [
            threading.Thread(target=_deliver, args=(worker, transport), name=worker.names[0], daemon=True)
            for worker, transport in zip(self._workers, self._transports)
        ]
        for thread in threads:
            thread.start()
        # A batch makes a hundred thousand short-lived tuples and no cycles; looking for those costs a third more.
        gc.freeze()
        gc.set_threshold(100_000, 20, 20)
        self._read()
        for worker in self._workers:
            worker.stop()
        for thread in threads:
            thread.join(_LEAVE)
        self._source.close()
        self._store.close()
        os.close(self._lock)

    def _read(self) -> None:
        """Take in what the source gives, and look at the system whenever that is due and the log is read to its end."""
        look = first_look(self._started if self._watched is None else self._watched[1])
        reason, due = UNOBSERVED, time.monotonic()
        while not self._stop.is_set():
            batch = self._source.read(max(0.0, due - time.monotonic()))
            if batch is not None:
                self._take(batch)
            elif self._stop.is_set():
                return
            if time.monotonic() >= due and (batch is None or not batch.behind):
                before, look = look, self._look(look, reason)
                reason, due = VANISHED, time.monotonic() + (_DOUBT if look.doubts(before) else TICK)

    def _take(self, batch: Batch) -> None:
        self._intake.stamps.advance(self._clock())
        self._commit(lambda now: ingest(self._store, self.name, batch, self._intake, self._watch, now))

    def _host(self) -> Host:
        """Return what the machine is called and when it was booted; both may change, the latter with the clock."""
        boot, booted = self._presence.boot()
        return identify()._replace(boot=boot, booted=booted)

    def _look(self, before: Look, reason: str) -> Look:
        """Compare the open sessions with the system; the look before stands where that could not be written down."""
        after = before
        self._watch = self._watch._replace(host=self._host())

        def work(now: datetime) -> list[Event]:
            nonlocal after
            leaders = [s.leader for s in self._store.sessions() if s.leader is not None]
            system = self._presence.look(leaders)
            if system is None:
                with self._store.transaction() as tx:
                    tx.watched(self.name, now)
                return []
            found = self._inquire(strangers(self._store, system, before))
            told, after = compare(
                self._store,
                self.name,
                system,
                self._watch,
                before,
                now,
                found,
                reason=reason,
                since=self._started,
            )
            return told

        self._commit(work)
        return after

    def _inquire(self, seats: Sequence[Seat]) -> tuple[list[Seat], list[Event]]:
        """Find out who is on without our knowing: what sshd's process is connected to, what the log still has."""
        if not seats:
            return [], []
        intake = Intake(Stamps(local_zone(), self._clock()), journal=self._intake.journal)
        lines = self._source.history([seat.leader for seat in seats], min(seat.start for seat in seats))
        records = (intake.decode(line) for line in lines)
        events = [
            event for event in (recognize(record) for record in records if record is not None) if event is not None
        ]
        found = []
        for seat in seats:
            ip, port = self._presence.peer(seat.leader) if seat.service == "sshd" else (None, None)
            found.append(seat._replace(source_ip=ip or seat.source_ip, source_port=port))
        return found, events

    def _on_signal(self, _number: int, _frame: Optional[FrameType]) -> None:
        self._stop.set()
        self._source.wake()

    def _commit(self, work: Callable[[datetime], list[Event]]) -> None:
        """Do one transaction's work; while the disk refuses, the same again: the log keeps what comes after it."""
        said = ""
        while True:
            try:
                told = work(self._clock())
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
                self._wake_workers()
            return

    def _wake_workers(self) -> None:
        for worker in self._workers:
            worker.notify()


def by_endpoint(notify: Sequence[Notify]) -> list[list[Notify]]:
    """Put channels together that share an endpoint, and with it one limit: each such group has one worker."""
    groups: dict[tuple[str, str], list[Notify]] = {}
    for n in notify:
        groups.setdefault((n.type, n.channel.endpoint()), []).append(n)
    return list(groups.values())


def outlet(n: Notify, language: str) -> Outlet:
    """Return a channel as its worker sees it."""
    look = Style(n.language or language, local_zone(), n.title, n.body)
    return Outlet(n.name, n.channel, n.limits, look, n.route.group_interval)


def _deliver(worker: Worker, transport: Transport) -> None:
    """One channel's thread: what sending needs is imported here, so that watching does not wait for it."""
    try:
        transport.prepare()
        worker.run()
    except BrokenPipeError:  # `usm run | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        log.exception(
            "%s: this is a bug; the service stops, is started again, and goes on where it was", ", ".join(worker.names)
        )
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
        _lock(lock)
        return Store(path), lock
    except OSError as error:
        os.close(lock)
        raise StoreError(f"state file {path}: another monitor is running with it; stop that one first") from error
    except StoreError:
        os.close(lock)
        raise


def is_running(path: str) -> bool:
    """Tell whether a monitor holds the state file, for those who may ask: the lock's file is its owner's."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _lock(descriptor: int) -> None:
    """Take the lock; the kernel gives that of a killed process back a moment after its end. Raises OSError."""
    for _ in range(_TRIES):
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_AGAIN)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
