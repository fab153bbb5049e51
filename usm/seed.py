"""What is usual here, from what the host has already: the log and its rotated files, the state file, wtmp.

So that the first day is no flood of things that are seen for the first time. It is read beside the monitor's work,
once for a state file, and nobody is told of it.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from usm import wtmp
from usm.core import model
from usm.core.decode import Stamps
from usm.core.model import Event
from usm.core.pair import login_event
from usm.errors import StoreError
from usm.history import known, merge
from usm.ingest import Intake, each
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import tzinfo

    from usm.core.model import Host
    from usm.judging import Judge

log = logging.getLogger(__name__)
SEEDED = "seeded"  # the fact in the store that says that it was done, and when
_OLDEST = datetime(2000, 1, 1, tzinfo=timezone.utc)  # before it a clock was not set


class _StoppedError(Exception):
    """The monitor is to end."""


def _until(lines: Iterable[bytes], stopping: Callable[[], bool]) -> Iterator[bytes]:
    for line in lines:
        if stopping():
            raise _StoppedError
        yield line


def begin(
    path: str,
    judge: Judge,
    lines: Iterable[bytes],
    host: Host,
    now: datetime,
    stopping: Callable[[], bool],
    *,
    journal: bool,
) -> threading.Thread:
    """Learn in a thread of its own; where `stopping` comes first, nothing is, and it is done at the next start."""

    def work() -> None:
        try:
            count = seed(path, judge, _until(lines, stopping), host, judge.zone, now, journal=journal)
            log.info("learned what is usual from %d events of the past", count)
        except _StoppedError:
            log.info("what is usual is learned at the next start")
        except StoreError as error:
            log.warning("%s; what is usual is learned at the next start", error)

    thread = threading.Thread(target=work, name="seed", daemon=True)
    thread.start()
    return thread


def seed(
    path: str, judge: Judge, lines: Iterable[bytes], host: Host, zone: tzinfo, now: datetime, *, journal: bool
) -> int:
    """Learn from what was before `now` and commit it to the state file at `path`; return how many events that were.

    Raises StoreError; then nothing was learned, and it can be done again.
    """
    memory, first, count = Store(":memory:"), now, 0
    for tx, _, event in each(memory, lines, Intake(Stamps(zone, now), journal=journal)):
        if event.time < now and event.kind != model.FAILED:
            judge.learn(tx, event)
            first, count = min(first, event.time), count + 1
    store = Store(path)
    try:
        older = [login_event(session) for session in store.sessions(everything=True) if session.start < first]
        first = min((event.time for event in older), default=first)
        older += [event for event in _of_wtmp(host) if _OLDEST < event.time < first]
        with memory.transaction() as tx:
            for event in older:
                judge.learn(tx, event)
        first = max(min((event.time for event in older), default=first), now - judge.policy.history)
        with memory.reading() as db:
            found = known(db)
        with store.writing() as db:
            merge(db, found, first if count or older else None, {SEEDED: now.isoformat()})
    finally:
        store.close()
        memory.close()
    return count + len(older)


def _of_wtmp(host: Host) -> Iterator[Event]:
    """Whoever came from an address came through sshd, as far as that can be told."""
    for login in wtmp.logins():
        service = "login" if login.source_ip is None else "sshd"
        yield Event(model.LOGIN, login.time, host.name, service, login.user, login.source_ip, tty=login.tty)
