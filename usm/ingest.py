"""The left half: a batch of lines becomes events, sessions and alerts, and all of it is one transaction.

Killed before the commit: nothing happened, the lines are read again. Killed after it: nothing can be lost.
"""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core import model
from usm.core.alert import alert_for
from usm.core.decode import decode_syslog
from usm.core.journal import decode_journal
from usm.core.model import Event
from usm.core.pair import pair
from usm.core.programs import READ
from usm.core.programs.privilege import SERVICES, is_failed_login
from usm.core.recognize import recognize, resembles
from usm.core.reconcile import adopted, ended_with_boot, is_local, reconcile
from usm.core.route import route
from usm.core.rules.case import Verdict
from usm.core.sieve import Sifted, sift
from usm.core.tally import tally, untally
from usm.judging import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from datetime import datetime, tzinfo

    from usm.core.decode import Stamps
    from usm.core.model import Batch, Host, Record, Seat, System
    from usm.core.pair import Pairing
    from usm.core.reconcile import Look
    from usm.core.route import Match, Route
    from usm.judging import Judge
    from usm.store import Store
    from usm.transaction import Transaction

    Owner = Callable[[Optional[str], Optional[str]], tuple[Optional[str], Optional[str]]]

_BULK = 65536  # bytes; from here on a batch asks for so many sessions that reading all open ones is cheaper
_ROUND = 20_000  # lines in one transaction of those that nobody is told of
_SLACK = timedelta(seconds=2)  # the moment of the boot is known by whole seconds
EARLIER = "earlier"  # in place of a boot's id, where a log file tells no more than that


class Watch(NamedTuple):
    """For whom events are recognised and told: the machine, whose key it is, what the channels want to be told.

    `ignore`: what automation does, and nobody is told of; `zone`: that of the hours in the rules.
    `owner` gives the person and the comment that belong to a user's key, `uid_of` a user's uid.
    `late`: what happened before it is told late; None while nothing is. `judge` says what is abnormal.
    """

    host: Host
    routes: Sequence[Route] = ()
    owner: Owner = lambda _user, _key: (None, None)
    uid_of: Callable[[str], Optional[int]] = lambda _user: None
    late: Optional[datetime] = None
    ignore: Sequence[Match] = ()
    zone: tzinfo = timezone.utc
    judge: Optional[Judge] = None


class Intake:
    """Reads the lines of one source: it knows their form, the year of their stamps, and the boot they were of."""

    def __init__(self, stamps: Stamps, *, journal: bool = False) -> None:
        self.stamps = stamps
        self.journal = journal
        self.newest: Optional[datetime] = None  # when the last record was written that was worth reading, of a batch
        self._last: Optional[Record] = None

    def decode(self, line: bytes) -> Optional[Record]:
        """One line → Record, or None."""
        return decode_journal(line, self.stamps.zone) if self.journal else decode_syslog(line, self.stamps)

    def sift(self, data: bytes) -> Sifted:
        """Whole lines → what is worth reading; of the journal only that was asked for in the first place.

        In few lines each failure keeps its own time: a login in between may have come of those before it.
        """
        if self.journal:
            return Sifted([line for line in data.split(b"\n") if line], [])
        return sift(data, fold=len(data) > _BULK)

    def take(self, tx: Transaction, line: bytes, watch: Optional[Watch] = None) -> list[Event]:
        """Take in one line; return what it completed, in the order to be told. A failed login only goes through."""
        record = self.decode(line)
        if record is None:
            return []
        told = self._boot(tx, record, None if watch is None else watch.host.boot) if self.journal else []
        self.newest = record.time
        event = recognize(record)
        if event is None and resembles(record):
            tx.count("unrecognised", record.appname)
        if event is None or (event.service in SERVICES and event.uid and not self._speaks(tx, event, watch)):
            return told
        if event.kind == model.LOGIN and watch is not None:
            person, comment = watch.owner(event.user, event.key)
            uid = watch.uid_of(event.user or "") if event.uid is None and self.journal else event.uid
            event = event._replace(person=person, comment=comment, uid=uid)
            event = event._replace(boot=event.boot or _boot_of(event, watch.host))
        return told + _put(tx, pair(event, tx.related(event)))

    @staticmethod
    def _speaks(tx: Transaction, event: Event, watch: Optional[Watch]) -> bool:
        """Tell whether the user whose process wrote this is the one it speaks of."""
        uid = None if watch is None else watch.uid_of(event.user or "")
        if uid is not None and uid in (event.uid, event.owner):
            return True
        known = (*tx.of_uid(event.host, event.uid), *tx.of_uid(event.host, event.owner))
        return any(session.user == event.user for session in known)

    def _boot(self, tx: Transaction, record: Record, running: Optional[str]) -> list[Event]:
        """A record of another boot: whoever was on before it is not any more."""
        last, self._last = self._last, record
        if last is None or last.boot == record.boot:
            return []
        return _put(tx, ended_with_boot(tx.open(), (record.boot, running), last.time, record.time))


def each(store: Store, lines: Iterable[bytes], intake: Intake) -> Iterator[tuple[Transaction, int, Event]]:
    """Take in lines that nobody is told of; yield what each completed, with its number, and the transaction it is in.

    They are written to the store in rounds: each is a transaction, and so is what is done meanwhile.
    """
    numbered = enumerate(lines, 1)
    while True:
        with store.transaction() as tx:
            for number, line in numbered:
                for event in intake.take(tx, line.rstrip(b"\n")):
                    yield tx, number, event
                if number % _ROUND == 0:
                    break
            else:
                return


def ingest(store: Store, source: str, batch: Batch, intake: Intake, watch: Watch, now: datetime) -> list[Event]:
    """Take in a batch and commit it; return the events that were told to the channels.

    Raises StoreError; then nothing of the batch happened, and it can be taken in again.
    """
    sifted = intake.sift(batch.data)
    taken: list[Event] = []
    intake.newest = None
    with store.transaction() as tx:
        if len(batch.data) > _BULK:
            tx.preload()
        for line in sifted.lines:
            for event in intake.take(tx, line, watch):
                if event.kind != model.ACCOUNT:
                    taken.append(event)
                elif watch.judge is not None:
                    watch.judge.learn(tx, event)
        failed = [event for event in taken if is_failed_login(event)]
        folded = tally([], sifted.folds, intake.stamps)
        failures = [*folded, *tally(failed, [], intake.stamps)]
        tx.add_failures(failures)
        asked = any(r.wants_failures for r in watch.routes)
        tx.count("lines", by=batch.data.count(b"\n"))
        _count(tx, (event for event in taken if not is_failed_login(event)))
        failed_times = sum(times for failure in failures for *_, times in failure.who)
        if failed_times:
            tx.count("events", model.FAILED, by=failed_times)
        found = [] if watch.judge is None else watch.judge.failures(tx, folded)
        sent = _tell(tx, taken, watch, now)
        sent += _send(tx, found, watch, now)
        if asked:
            sent += _tell(tx, (e for failure in failures for e in untally(failure)), watch, now, known=True)
        lag = timedelta(0) if intake.newest is None else max(timedelta(0), now - intake.newest)
        tx.checkpoint(source, batch.cursor, now, batch.behind, lag)
    return sent


def strangers(store: Store, system: System, before: Look) -> list[Seat]:
    """Return who is on and was unknown before too, and is not known as one whose session has ended already."""
    unknown = (seat for seat in system.seats if seat.leader in before.unknown)
    return [seat for seat in unknown if not store.was_led(seat.leader, seat.start - _SLACK)]


def compare(
    store: Store,
    source: str,
    system: System,
    watch: Watch,
    before: Look,
    now: datetime,
    found: tuple[Sequence[Seat], Sequence[Event]],
    *,
    reason: str,
    since: datetime,
) -> tuple[list[Event], Look]:
    """Hold the open sessions against the system and commit what follows; return the events told, and this look.

    `found`: the strangers, and what lines the log still has of them; who came before `since` is not told.
    """
    with store.transaction() as tx:
        pairing, look = reconcile(tx.open(), system, watch.host, before, now, reason=reason)
        told = _put(tx, pairing)
        silent: set[str] = set()
        seats, lines = found
        for seat in seats:
            if seat.leader not in look.unknown:
                continue
            session, login, logged = adopted(seat, lines, watch.host)
            person, comment = watch.owner(login.user, login.key)
            tx.put(session._replace(person=person, comment=comment))
            if login.time < since:
                tx.record(login)
            else:
                told.append(login._replace(person=person, comment=comment))
                silent.update([] if logged or seat.service not in READ else [session.id])
        _count(tx, told)
        tx.watched(source, now)
        sent = _tell(tx, told, watch, now, silent)
        if watch.judge is not None:
            local = [session for session in tx.open() if is_local(session, watch.host)]
            sent += _send(tx, watch.judge.look(tx, local, system, now), watch, now)
        return sent, look


def remark(
    store: Store,
    watch: Watch,
    rule: str,
    since: datetime,
    until: Optional[datetime],
    facts: dict[str, str],
    now: datetime,
) -> list[Event]:
    """Commit what the monitor itself found, beside the log; return what was told."""
    if watch.judge is None:
        return []
    event = Event(model.FINDING, since, watch.host.name, "user-session-monitor", until=until)
    with store.transaction() as tx:
        return _send(tx, watch.judge.note(tx, event, Verdict(rule, None, facts)), watch, now)


def _count(tx: Transaction, events: Iterable[Event]) -> None:
    for event in events:
        tx.count("events", event.kind, by=event.count)


def _boot_of(event: Event, host: Host) -> Optional[str]:
    """Return the boot of a line that does not say it, or None where it is another machine's."""
    if not host.is_called(event.host):
        return None
    return host.boot if host.booted is None or event.time >= host.booted - _SLACK else EARLIER


def _put(tx: Transaction, pairing: Pairing) -> list[Event]:
    for session in pairing.sessions:
        tx.put(session)
    return list(pairing.events)


def _tell(
    tx: Transaction,
    events: Iterable[Event],
    watch: Watch,
    now: datetime,
    silent: Collection[str] = (),
    *,
    known: bool = False,
) -> list[Event]:
    """Judge events, record what is no session, and put into the outbox what is told, or would be but for a rule.

    `silent`: the sessions of which the log says nothing. `known`: they are judged already, and only asked for.
    """
    sent: list[Event] = []
    for event in events:
        if event.service in SERVICES:
            tx.add_event(event)
        told = [] if is_failed_login(event) and not known else [Told(event)]  # many at once, where asked for
        if watch.judge is not None and not known:
            told = watch.judge.take(tx, event, silent=event.session in silent)
        sent += _send(tx, told, watch, now)
    return sent


def _send(tx: Transaction, told: Iterable[Told], watch: Watch, now: datetime) -> list[Event]:
    sent = []
    local = now.astimezone(watch.zone)
    for event, findings, learning in told:
        if not is_failed_login(event):  # those of a day are one entry, later
            tx.record(event, findings)
        if not watch.routes:
            continue
        late = watch.late is not None and event.time < watch.late and watch.host.is_called(event.host)
        known = None if watch.judge is None else findings
        alert = alert_for(event, watch.host, known, late=late, learning=learning)
        slots = [] if alert is None else route(alert, watch.routes, watch.ignore, now, local)
        if alert is not None and slots:
            tx.enqueue(alert, slots, now)
            sent.append(event)
    return sent
