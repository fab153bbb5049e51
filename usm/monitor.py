"""The running monitor: one thread reads and commits, one for each channel delivers; orders from outside end it.

The reader also holds the open sessions against the system, at the start as soon as the log is read to its end, then
once a minute; a doubt is looked at again a few seconds later.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Callable, Optional

import usm
from usm.core.decode import Stamps
from usm.core.model import UNOBSERVED, VANISHED
from usm.core.programs import IDENTIFIERS
from usm.core.reconcile import first_look
from usm.daily import summarise
from usm.deliver import TICK
from usm.errors import ConfigError, StoreError, UsmError
from usm.host import identify, local_zone, os_release
from usm.ingest import Intake, Watch, compare, ingest, remark, strangers
from usm.inquiry import inquire
from usm.instance import hold
from usm.judging import Judge
from usm.people import People, account_here, uid_of
from usm.places import Places
from usm.retention import prune
from usm.seed import SEEDED, begin
from usm.sources import open_source, source_name
from usm.sources.locate import choose
from usm.store import Store
from usm.system import Presence
from usm.weekly import Weekly
from usm.workers import Workers

if TYPE_CHECKING:
    import threading
    from datetime import datetime

    from usm.config import Config
    from usm.core.model import Batch, Event, Host
    from usm.core.reconcile import Look
    from usm.listener import Listener
    from usm.logs import Last
    from usm.orders import Orders
    from usm.supervisor import Supervisor

log = logging.getLogger(__name__)
_DISK = 5.0  # seconds between tries to commit a batch while the disk refuses
_LEAVE = 5.0  # seconds that a worker gets to finish the message in hand
_REST = 1.0  # seconds in which the rest of the log is read at the end
_FAREWELL = timedelta(seconds=2)  # in which what happened last is still told
_DOUBT = 5.0  # seconds between two looks at what the log does not say; the journal is late by up to half a second
_GAP = timedelta(seconds=90)  # a window without a monitor that is worth a warning; while it runs, TICK proves it


class Monitor:
    """Reads a source into a state file and delivers from it until told to stop.

    `load` reads the configuration anew for a reload. Raises SourceError or StoreError, with what to do, before
    anything was changed.
    """

    def __init__(
        self,
        config: Config,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        orders: Orders,
        supervisor: Supervisor,
        *,
        load: Optional[Callable[[], Config]] = None,
        last: Optional[Last] = None,
    ) -> None:
        self._config, self._clock, self._orders, self._supervisor = config, clock, orders, supervisor
        self._load, self._last = load or (lambda: config), last
        self._facts: dict[str, str] = {}  # what is not written down yet
        path, self._why = choose(config.source, config.log_file, os_release())
        self._lock = hold(config.state)
        try:
            self._store = Store(config.state)
            self._started = clock()
            self._watched = self._store.watched()
            self._open(path, self._watched)
        except BaseException:
            os.close(self._lock)
            raise
        try:
            self._presence = Presence()
            self._watch = self._watch_for(config)
        except BaseException:
            self._source.close()
            self._store.close()
            os.close(self._lock)
            raise
        self._workers = Workers(clock, jitter)
        self._weekly = Weekly()
        self._listener: Optional[Listener] = None
        self._note(
            pid=str(os.getpid()),
            version=usm.__version__,
            started=self._started.isoformat(),
            configured=self._started.isoformat(),
            refused="",
            why=self._why,
        )

    @property
    def what(self) -> str:
        """What is watched, and why that."""
        return f"{self.name} ({self._why})"

    def run(self) -> None:
        """Watch until ordered to stop."""
        log.info("watching %s, state in %s", self.what, self._store.path)
        if self._watched is not None:
            log.log(
                logging.WARNING if self._started - self._watched[1] > _GAP else logging.INFO,
                "nobody watched from %s to %s; what the log has of that time is told now, marked as late",
                *(moment.isoformat(timespec="seconds") for moment in (self._watched[1], self._started)),
            )
        self._workers.start(self._config, self._watch.host)
        self._listen()
        self._remark_gap()
        seeding = self._seed()
        # A batch makes a hundred thousand short-lived tuples and no cycles; looking for those costs a third more.
        gc.freeze()
        gc.set_threshold(100_000, 20, 20)
        self._supervisor.ready(f"watching {self.what}")
        self._read()
        self._supervisor.stopping()
        log.info("stopping: what comes now is read after the next start")
        self._weekly.close()
        if self._listener is not None:
            self._listener.close()
        self._workers.stop(self._clock() + _FAREWELL, _LEAVE)
        if seeding is not None:
            seeding.join(_LEAVE)
        self._source.close()
        self._store.close()
        os.close(self._lock)

    def _seed(self) -> Optional[threading.Thread]:
        """Learn what is usual from what the host has already, once, beside the reading; it ends with the process."""
        judge = self._watch.judge
        if judge is None or SEEDED in self._store.facts():
            return None
        until = self._started if self._watched is None else self._watched[1]  # what comes after it is judged, late
        lines = self._source.past(until - judge.policy.history)
        facts = (self._watch.host, until, lambda: self._orders.stopping)
        return begin(self._store.path, judge, lines, *facts, journal=self._intake.journal)

    def _remark_gap(self) -> None:
        """Tell that nobody watched for a while; while the machine was off nobody had to."""
        if self._watched is None:
            return
        booted = self._watch.host.booted
        since = self._watched[1] if booted is None else max(self._watched[1], booted)
        if self._started - since > _GAP:
            self._remark("unobserved", since, self._started, {})

    def _remark(self, rule: str, since: datetime, until: Optional[datetime], facts: dict[str, str]) -> None:
        self._commit(lambda now: remark(self._store, self._watch, rule, since, until, facts, now))

    def _open(self, path: Optional[str], watched: Optional[tuple[str, datetime]]) -> None:
        """Read this source from now on, or from where reading it ended before; where that fails nothing has changed."""
        name, source = open_source(path, self._store.cursor, watched, IDENTIFIERS)
        try:
            if watched is None or watched[0] != name:
                with self._store.transaction() as tx:  # what is written from here on is ours to tell
                    tx.checkpoint(name, source.position(), self._clock())
        except BaseException:
            source.close()
            raise
        self.name, self._source = name, source
        self._intake = Intake(Stamps(local_zone(), self._clock()), journal=path is None)
        self._orders.wake = source.wake

    def _watch_for(self, config: Config) -> Watch:
        return Watch(
            self._host(),
            [n.route for n in config.notify],
            People(config.people).owner,
            uid_of,
            None if self._watched is None else self._started,
            config.ignore,
            local_zone(),
            Judge(config.policy, local_zone(), Places(config.places).of, account_here),
        )

    def _read(self) -> None:
        """Take in what the source gives, and look at the system whenever that is due and the log is read to its end."""
        look = first_look(self._started if self._watched is None else self._watched[1])
        reason, due = UNOBSERVED, time.monotonic()
        while not self._orders.stopping:
            if self._orders.reloading:
                self._reload()
            until = max(0.0, due - time.monotonic())
            batch = self._source.read(min(until, self._supervisor.interval))
            self._supervisor.alive()
            if batch is not None and not self._take(batch):
                return
            for how, what in self._source.alarms():
                self._remark("log-edited", self._clock(), None, {"how": how, "what": what})
            if time.monotonic() >= due and (batch is None or not batch.behind):
                before, look = look, self._look(look, reason)
                reason, due = VANISHED, time.monotonic() + (_DOUBT if look.doubts(before) else TICK)
                self._keep_house()
        until = time.monotonic() + _REST
        while time.monotonic() < until and (batch := self._source.read(0)) is not None:
            if not self._take(batch):
                return
        if (rest := self._source.rest()) is not None:  # what those wrote who were ended just before us
            self._take(rest)

    def _reload(self) -> None:
        """Take the configuration as it is now; one that can't be used changes nothing."""
        self._orders.reloading = False
        self._supervisor.reloading()
        try:
            self._apply(self._load())
        except UsmError as error:
            refused = error.problems if isinstance(error, ConfigError) else [str(error)]
            for problem in refused:
                log.error("not reloaded, everything goes on as it was: %s", problem)
        else:
            refused = []
            log.info(
                "configuration reloaded: watching %s, channels: %s",
                self.what,
                ", ".join(n.name for n in self._config.notify) or "none",
            )
        self._note(configured=self._clock().isoformat(), refused="\n".join(refused), why=self._why)
        self._supervisor.ready(f"watching {self.what}" + ("; the new configuration was refused" if refused else ""))

    def _apply(self, config: Config) -> None:
        """Go on with another configuration. All that can fail comes before the first change."""
        for name in ("state", "pidfile"):
            if getattr(config, name) != getattr(self._config, name):
                raise ConfigError([f"{config.path}: {name}: can't change while the monitor runs; restart it"])
        path, why = choose(config.source, config.log_file, os_release())
        watch = self._watch_for(config)
        if source_name(path) != self.name:
            before = self._source
            self._open(path, self._store.watched())
            before.close()
        self._config, self._why, self._watch = config, why, watch
        self._workers.start(config, watch.host)
        self._listen()

    def _listen(self) -> None:
        if self._listener is None and self._config.metrics is not None:
            from usm.listener import Listener  # noqa: PLC0415 - few ask for it

            self._listener = Listener(self._config.state, self._clock)
        if self._listener is not None:
            self._listener.listen(self._config.metrics, [n.name for n in self._config.notify])

    def _keep_house(self) -> None:
        """What is done once a minute: forget what is old enough, write down what `status` tells."""
        if self._last is not None and (said := self._last.take()) is not None:
            self._note(error=said.text, error_level=said.level, error_time=str(said.time))
        self._commit(self._summarise)
        with suppress(StoreError):  # the next minute asks again
            local = self._clock().astimezone(local_zone())
            self._weekly.look(self._store, self._config.report, self._config.path, local)
        try:
            prune(self._store, self._clock(), self._config.retention)
        except StoreError as error:
            log.warning("what is older than the retention is not forgotten now: %s", error)
        gc.collect()  # what a reload left; with the thresholds above it would lie about for days

    def _summarise(self, now: datetime) -> list[Event]:
        if summarise(self._store, self._watch, self._config.summary, now):
            self._workers.notify()
        return []

    def _note(self, **facts: str) -> None:
        """Write down what `status` tells, now or, where the disk refuses, at the next occasion."""
        self._facts.update(facts)
        with suppress(StoreError):
            self._store.note(**self._facts)
            self._facts.clear()

    def _take(self, batch: Batch) -> bool:
        """Take in a batch; return False where that was given up, and nothing behind it may be taken in."""
        self._intake.stamps.advance(self._clock())
        return self._commit(lambda now: ingest(self._store, self.name, batch, self._intake, self._watch, now))

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
            seats = strangers(self._store, system, before)
            intake = Intake(Stamps(local_zone(), now), journal=self._intake.journal)
            found = inquire(seats, self._source, self._presence, intake)
            facts = (self._store, self.name, system, self._watch, before, now, found)
            told, after = compare(*facts, reason=reason, since=self._started)
            return told

        self._commit(work)
        return after

    def _commit(self, work: Callable[[datetime], list[Event]]) -> bool:
        """Do one transaction's work; while the disk refuses, the same again: the log keeps what comes after it.

        Return False where the order to stop came first: then the next start does it.
        """
        said = ""
        while True:
            try:
                told = work(self._clock())
            except StoreError as error:
                if str(error) != said:
                    said = str(error)
                    log.error("%s", said)
                self._supervisor.alive()
                if self._orders.stopping:
                    return False
                self._orders.wait(_DISK)
                continue
            if said:
                log.info("state file %s: writes again, nothing was lost", self._store.path)
            if told:
                self._workers.notify()
            return True
