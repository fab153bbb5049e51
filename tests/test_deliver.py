"""The right half: messages of a channel go in order, none is lost, no limit is broken, trouble is told once."""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.support import alert_of, slots
from usm import deliver, outbox
from usm.core.alert import alert_for
from usm.core.look import Look
from usm.core.message import (
    DEAD,
    PENDING,
    SENT,
    WAITING,
    Alert,
    Deferred,
    Digest,
    Message,
    Print,
    Receipt,
    Rejected,
    Reply,
    Request,
    Sent,
    Trouble,
)
from usm.core.model import LOGIN, Event, Host
from usm.core.route import Slot
from usm.deliver import OPEN, TICK, Outlet, Worker, attempt
from usm.errors import StoreError, TransportError
from usm.outbox import Outbox
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UTC = timezone.utc
START = datetime(2026, 11, 23, 2, 0, 0, tzinfo=UTC)
LOOK = Look("zh", UTC)
FEISHU = ((4, 1.0), (80, 60.0))
BUSY = Deferred("11232", "too fast")
FAULT = Deferred("19021", "signature refused", fault=True)


class Clock:
    """A clock that goes on only when told to."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        """Return its time."""
        return self.time

    def advance(self, seconds: float) -> None:
        """Go on, by a microsecond at least."""
        self.time += max(timedelta(seconds=seconds), timedelta(microseconds=1))

    def passed(self) -> float:
        """Return the seconds since the start."""
        return (self.time - START).total_seconds()


@dataclass
class FakeService:
    """A channel and the service behind it: takes every message, unless its script says otherwise."""

    limits: ClassVar[tuple[tuple[int, float], ...]] = ()
    digests: ClassVar[bool] = True
    clock: Clock = field(default_factory=Clock)
    script: deque[object] = field(default_factory=deque)
    otherwise: Receipt = field(default_factory=Sent)
    tries: list[tuple[float, str]] = field(default_factory=list)
    took: float = 0.0

    def endpoint(self) -> str:
        """Return what it shares with nobody."""
        return str(id(self))

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Print:  # noqa: ARG002
        """Return the number of the message, or what else it is, and its dress."""
        if isinstance(message, Digest):
            return Print(f"digest of {message.total}")
        what = (
            message.event.pid
            if isinstance(message, Alert)
            else f"{'mended' if message.mended else 'fault'} {message.channel}"
            if isinstance(message, Trouble)
            else "summary"
        )
        return Print(f"{what}{' plain' if plain else ''}")

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:  # noqa: ARG002
        """Return what the script says next."""
        answer = self.script.popleft() if self.script else self.otherwise
        assert isinstance(answer, (Sent, Deferred, Rejected))
        return answer

    def problems(self) -> list[str]:
        """Nothing is wrong."""
        return []

    def notes(self) -> list[str]:
        """Nothing is notable."""
        return []

    def send(self, request: Request) -> Reply:
        """Note the try; raise what the script holds if that is an exception."""
        assert isinstance(request, Print)
        self.tries.append((self.clock.passed(), request.text))
        self.clock.advance(self.took)
        if self.script and isinstance(self.script[0], Exception):
            raise self.script.popleft()  # type: ignore[misc] # it is one
        return Reply(200)

    def numbers(self) -> list[str]:
        """Return what was tried, in order."""
        return [text for _, text in self.tries]


class Program(FakeService):
    """A service whose readers are programs: it gets every message by itself."""

    digests: ClassVar[bool] = False


def enqueue(store: Store, count: int, *channels: str, first: int = 1) -> None:
    """Put that many messages into the outbox."""
    with store.transaction() as tx:
        for number in range(first, first + count):
            event = Event(LOGIN, START, "web01", "sshd", "alice", "203.0.113.5", 4000, pid=number)
            alert = alert_for(event, Host("web01"))
            assert alert is not None
            tx.enqueue(alert, slots(START, *(channels or ("feishu",))), START)


def worker_for(
    service: FakeService, store: Store, *, limits: Sequence[tuple[int, float]] = (), jitter: float = 0.5
) -> Worker:
    """Return a worker of the channel `feishu` whose jitter is always the same."""
    return Worker([Outlet("feishu", service, limits, LOOK)], store, service.send, service.clock, lambda: jitter)


def work(worker: Worker, clock: Clock, until: float) -> None:
    """Let a worker work until the clock shows so many seconds."""
    while clock.passed() < until:
        wait = worker.step()
        if wait > 0:
            clock.advance(min(wait, until - clock.passed()))


@pytest.fixture
def store() -> Store:
    """Return an empty store."""
    return Store(":memory:")


def left(store: Store) -> list[tuple[str, int, object]]:
    """Return what was not sent: state, tries, code."""
    return [(d.state, d.attempts, d.code) for d in Outbox(store).deliveries()]


# -- order and trouble


def test_messages_go_in_order_one_at_a_step(store: Store) -> None:
    """Each step sends one message, the oldest; an empty outbox means a long wait."""
    service = FakeService()
    enqueue(store, 3)
    worker = worker_for(service, store)
    assert [worker.step() for _ in range(4)] == [0.0, 0.0, 0.0, TICK]
    assert service.numbers() == ["1", "2", "3"]
    assert left(store) == []


def test_trouble_holds_the_whole_channel_and_keeps_the_order(store: Store) -> None:
    """While the first message can't go, the second is not sent ahead of it."""
    service = FakeService(script=deque([BUSY, BUSY]))
    enqueue(store, 2)
    work(worker_for(service, store), service.clock, 120)
    assert service.tries == [
        (0.0, "1"),
        (pytest.approx(1.0), "1"),
        (pytest.approx(3.0), "1"),
        (pytest.approx(3.0), "2"),
    ]


def test_the_wait_doubles_up_to_five_minutes(store: Store) -> None:
    """With a jitter of one half: 1, 2, 4 ... 128 seconds, then 150 for good."""
    service = FakeService(otherwise=BUSY)
    enqueue(store, 1)
    work(worker_for(service, store), service.clock, 900)
    times = [time for time, _ in service.tries]
    assert [round(b - a) for a, b in zip(times, times[1:])] == [1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150, 150]
    assert left(store) == [(PENDING, 13, "11232")]


def test_a_wait_that_the_service_demands_is_kept(store: Store) -> None:
    """Retry-After is a minimum; the worker sleeps through it in ticks and does not try in between."""
    service = FakeService(script=deque([BUSY._replace(wait=200.0)]))
    enqueue(store, 1)
    work(worker_for(service, store), service.clock, 300)
    assert [round(time) for time, _ in service.tries] == [0, 200]


def test_a_demanded_wait_of_days_is_cut_to_an_hour(store: Store) -> None:
    """A mistaken Retry-After does not silence the channel for longer."""
    service = FakeService(script=deque([BUSY._replace(wait=864000.0)]))
    enqueue(store, 1)
    work(worker_for(service, store), service.clock, 3700)
    assert [round(time) for time, _ in service.tries] == [0, 3600]


def test_a_wrong_setting_is_probed_every_few_minutes_and_loses_nothing(store: Store) -> None:
    """Every message is kept until somebody mends the setting; then all go, in order."""
    service = FakeService(otherwise=FAULT)
    enqueue(store, 3)
    worker = worker_for(service, store, jitter=0.999)
    work(worker, service.clock, 3600)
    assert [round(time) for time, _ in service.tries][:4] == [0, 2, 302, 602]
    assert len(service.tries) == 13
    assert left(store) == [(PENDING, 13, "19021"), (PENDING, 0, None), (PENDING, 0, None)]
    service.otherwise = Sent()
    service.tries.clear()
    work(worker, service.clock, 4000)
    assert service.numbers() == ["1", "2", "3"]


def test_an_unreachable_service_is_tried_for_good(store: Store) -> None:
    """No number of failures makes a dead letter of a message that only the network held up."""
    service = FakeService(script=deque([TransportError("connection refused")] * 40))
    enqueue(store, 1)
    worker = worker_for(service, store)
    work(worker, service.clock, 100)
    (delivery,) = Outbox(store).deliveries()
    assert (delivery.state, delivery.code, delivery.detail) == (PENDING, "unreachable", "connection refused")
    work(worker, service.clock, 40 * 300)
    assert left(store) == []
    assert len(service.tries) == 41


def test_a_refused_message_becomes_a_dead_letter_and_the_next_one_goes(store: Store) -> None:
    """What will never be taken does not hold up the rest."""
    service = FakeService(script=deque([Rejected("19002", "not understood")]))
    enqueue(store, 2)
    work(worker_for(service, store), service.clock, 10)
    assert service.numbers() == ["1", "2"]
    assert left(store) == [(DEAD, 1, "19002")]


def test_a_message_with_a_last_try_is_given_up_after_it(store: Store) -> None:
    """Unknown answers are believed after so many tries, and then the next message goes."""
    odd = Deferred("777", "odd", last=5)
    service = FakeService(script=deque([odd] * 5))
    enqueue(store, 2)
    work(worker_for(service, store), service.clock, 120)
    assert service.numbers() == ["1", "1", "1", "1", "1", "2"]
    assert left(store) == [(DEAD, 5, "777")]


def test_a_refused_card_is_sent_again_at_once_as_plain_text(store: Store) -> None:
    """The fallback needs no wait, and only this message gets it."""
    service = FakeService(script=deque([Deferred("11246", "card", plain=True)]))
    enqueue(store, 2)
    worker = worker_for(service, store)
    assert [worker.step(), worker.step(), worker.step()] == [0.0, 0.0, 0.0]
    assert service.numbers() == ["1", "1 plain", "2"]
    assert left(store) == []


def test_the_plain_dress_survives_trouble_and_a_restart(store: Store) -> None:
    """Once the card was refused, the message stays plain, whoever sends it."""
    service = FakeService(script=deque([Deferred("11246", "card", plain=True), BUSY]))
    enqueue(store, 1)
    worker = worker_for(service, store)
    worker.step()
    worker.step()
    work(worker_for(service, store), service.clock, 60)
    assert service.numbers() == ["1", "1 plain", "1 plain"]


# -- what is told


def test_the_same_trouble_is_told_once_and_its_end_too(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that is down for an hour fills no log."""
    caplog.set_level(logging.INFO)
    service = FakeService(script=deque([BUSY] * 20 + [FAULT] * 3 + [Sent()] * 2))
    enqueue(store, 2)
    work(worker_for(service, store), service.clock, 4 * 3600)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "feishu: 11232: too fast; kept, tried again"),
        ("ERROR", "feishu: 19021: signature refused; kept, tried again"),
        ("INFO", "feishu: delivers again"),
    ]


def test_a_dead_letter_is_told_as_an_error(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A message that was given up is named with its reason, each one."""
    service = FakeService(otherwise=Rejected("19002", "not understood"))
    enqueue(store, 2)
    work(worker_for(service, store), service.clock, 10)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("ERROR", "feishu: 19002: not understood; given up")
    ] * 2


def test_an_attempt_is_a_receipt_also_when_nobody_answers() -> None:
    """A peer that is not reached is a deferral like any other."""
    service = FakeService(script=deque([TransportError("no route to host")]))
    event = Event(LOGIN, START, "web01", "sshd", "alice")
    receipt = attempt(service, Alert("", event, "info"), START, LOOK, service.send)
    assert receipt == Deferred("unreachable", "no route to host")


def test_a_message_that_cannot_be_written_is_a_dead_letter(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """It is a bug, with its traceback in the log; the next message goes."""

    class Broken(FakeService):
        def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Print:
            """Fail at the first."""
            assert isinstance(message, Alert)
            if message.event.pid == 1:
                raise KeyError(message.event.pid)
            return super().request(message, now, look, plain=plain)

    service = Broken()
    enqueue(store, 2)
    work(worker_for(service, store), service.clock, 10)
    assert service.numbers() == ["2"]
    assert left(store) == [(DEAD, 1, "bug")]
    assert "KeyError" in caplog.text


# -- limits


def most_within(times: Sequence[float], seconds: float) -> int:
    """Return the largest number of tries within any span."""
    most = begin = 0
    for end, time in enumerate(times):
        while time - times[begin] >= seconds - 1e-6:
            begin += 1
        most = max(most, end - begin + 1)
    return most


@pytest.mark.parametrize("restart_every", [100_000, 37])
def test_no_limit_is_broken_in_an_hour(store: Store, restart_every: int) -> None:
    """Also when the worker is started anew over and over; all are sent, and a quarter is left for what is critical."""
    service = Program(took=0.013)
    enqueue(store, 3500)
    worker, at = worker_for(service, store, limits=FEISHU), 0
    while service.clock.passed() < 3600:
        wait = worker.step()
        at += 1
        if at % restart_every == 0:
            worker = worker_for(service, store, limits=FEISHU)
        if wait > 0:
            service.clock.advance(wait)
    times = [time for time, _ in service.tries]
    assert service.numbers() == [str(number) for number in range(1, 3501)]
    assert (most_within(times, 1.0), most_within(times, 60.0)) == (3, 60)


def test_tries_that_failed_count_too(store: Store) -> None:
    """A service counts what it refuses: so do we."""
    service = Program(script=deque([Deferred("11246", "card", plain=True), Sent()] * 10))
    enqueue(store, 10)
    work(worker_for(service, store, limits=((3, 10.0),)), service.clock, 100)
    assert most_within([time for time, _ in service.tries], 10.0) == 2
    assert len(service.tries) == 20


def test_without_limits_everything_goes_at_once(store: Store) -> None:
    """`rate: []` means no limit of our own."""
    service = FakeService()
    enqueue(store, 200)
    worker = worker_for(service, store)
    assert {worker.step() for _ in range(200)} == {0.0}
    assert len(service.tries) == 200


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_set_back_by_hours_holds_a_spent_budget_for_one_span(store: Store, *, restarted: bool) -> None:
    """The tries then lie in the future; they count as made now, and not until the clock has caught up."""
    service = Program()
    enqueue(store, 61)
    worker = worker_for(service, store, limits=((80, 60.0),))
    for _ in range(60):
        worker.step()
    service.clock.time -= timedelta(hours=3)
    if restarted:
        worker = worker_for(service, store, limits=((80, 60.0),))
    work(worker, service.clock, -3 * 3600 + 61)
    assert service.numbers()[-1] == "61"
    assert service.tries[-1][0] == pytest.approx(-3 * 3600 + 60, abs=0.1)


@pytest.mark.parametrize(("back", "waits"), [(timedelta(hours=3), 0), (timedelta(minutes=50), 3200)])
def test_a_clock_set_back_delays_a_waiting_message_by_an_hour_at_most(
    store: Store, back: timedelta, waits: float
) -> None:
    """A due time that lies further ahead than any real wait is not believed."""
    service = FakeService(script=deque([BUSY._replace(wait=200.0)]))
    enqueue(store, 1)
    worker = worker_for(service, store)
    worker.step()
    service.clock.time -= back
    before = service.clock.passed()
    work(worker, service.clock, before + 3700)
    assert service.tries[-1][0] - before == pytest.approx(waits, abs=1)
    assert len(service.tries) == 2


def test_a_clock_set_forward_only_hastens(store: Store) -> None:
    """A jump ahead makes waiting messages due; nothing is lost or doubled."""
    service = FakeService(script=deque([BUSY]))
    enqueue(store, 3)
    worker = worker_for(service, store, limits=FEISHU)
    worker.step()
    service.clock.time += timedelta(days=400)
    work(worker, service.clock, service.clock.passed() + 10)
    assert service.numbers() == ["1", "1", "2", "3"]


# -- the state file


def test_a_result_that_cannot_be_written_is_not_sent_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """On a full disk nothing goes out until the last result is written down; then the rest follows."""
    service = FakeService()
    enqueue(store, 2)
    worker = worker_for(service, store)
    store._db.execute("PRAGMA query_only = ON")
    assert [worker._step_safely() for _ in range(3)] == [5.0, 5.0, 5.0]
    assert service.numbers() == ["1"]
    assert "feishu: state file :memory:" in caplog.text
    store._db.execute("PRAGMA query_only = OFF")
    work(worker, service.clock, 10)
    assert service.numbers() == ["1", "2"]
    assert left(store) == []


def test_a_full_disk_is_told_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The same words are not logged every five seconds."""
    service = FakeService()
    enqueue(store, 1)
    worker = worker_for(service, store)
    store._db.execute("PRAGMA query_only = ON")
    for _ in range(5):
        worker._step_safely()
    assert len(caplog.records) == 1
    store._db.execute("PRAGMA query_only = OFF")
    worker._step_safely()
    enqueue(store, 1, first=2)
    store._db.execute("PRAGMA query_only = ON")
    worker._step_safely()
    assert len(caplog.records) == 2


def test_a_step_raises_what_the_store_says(store: Store) -> None:
    """`step` hides nothing from its caller."""
    enqueue(store, 1)
    worker = worker_for(FakeService(), store)
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="readonly"):
        worker.step()


def test_what_another_process_makes_due_is_sent_again(store: Store) -> None:
    """`usm outbox retry` revives a dead letter: the worker finds it at its next look."""
    service = FakeService(script=deque([Rejected("19002", "no")]))
    enqueue(store, 1)
    worker = worker_for(service, store)
    assert [worker.step(), worker.step()] == [0.0, TICK]
    assert Outbox(store).retry(service.clock()) == 1
    assert [worker.step(), worker.step()] == [0.0, TICK]
    assert service.numbers() == ["1", "1"]


# -- threads


class Hanging(FakeService):
    """A service that answers nobody until it is let go."""

    def __init__(self, let_go: threading.Event) -> None:
        super().__init__()
        self.let_go = let_go
        self.reached = threading.Event()

    def send(self, request: Request) -> Reply:
        """Wait, then take the message."""
        self.reached.set()
        assert self.let_go.wait(20)
        return super().send(request)


class Counting(FakeService):
    """A service that says when it has taken so many messages."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.done = threading.Event()

    def send(self, request: Request) -> Reply:
        """Take the message."""
        reply = super().send(request)
        if len(self.tries) == self.count:
            self.done.set()
        return reply


def start(worker: Worker) -> threading.Thread:
    """Run a worker in a thread of its own."""
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    return thread


def test_a_dead_channel_does_not_hinder_another(tmp_path: Path) -> None:
    """While one service hangs, everything reaches the other; afterwards the first gets all of it too."""
    path = str(tmp_path / "state.db")
    left_half = Store(path)
    enqueue(left_half, 20, "dead", "alive")
    let_go = threading.Event()
    dead, alive = Hanging(let_go), Counting(20)
    workers = [
        Worker([Outlet(name, service, (), LOOK)], Store(path), service.send, service.clock, lambda: 0.0)
        for name, service in (("dead", dead), ("alive", alive))
    ]
    threads = [start(worker) for worker in workers]
    assert dead.reached.wait(20)
    assert alive.done.wait(20)
    assert dead.tries == []
    workers[0].stop()  # returns after the message in hand
    workers[1].stop()
    let_go.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert dead.numbers() == ["1"]
    assert [(d.channel, alert_of(d).event.pid) for d in Outbox(left_half).deliveries()] == [
        ("dead", n) for n in range(2, 21)
    ]


class Unlucky(threading.Event):
    """An event that is cleared just after the worker was told to stop."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.worker = worker

    def clear(self) -> None:
        """Let the stop come in between."""
        self.worker.stop()
        super().clear()


def test_a_stop_is_never_slept_through(store: Store) -> None:
    """Not in the moment either in which the worker makes ready to wait."""
    service = FakeService()
    worker = worker_for(service, store)
    worker._wake = Unlucky(worker)
    worker.run()
    assert service.tries == []


def test_a_notice_wakes_the_worker(tmp_path: Path) -> None:
    """A worker with nothing to do sleeps until the left half has something new."""
    path = str(tmp_path / "state.db")
    left_half, service = Store(path), Counting(1)
    worker = Worker([Outlet("feishu", service, (), LOOK)], Store(path), service.send, service.clock, lambda: 0.0)
    thread = start(worker)
    enqueue(left_half, 1)
    worker.notify()
    assert service.done.wait(20)
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert [d.state for d in Outbox(left_half).deliveries([SENT])] == ["sent"]


# -- when there is too much, or too little goes through


def urgent(store: Store, number: int, *channels: str) -> None:
    """Put a critical alert into the outbox."""
    event = Event(LOGIN, START, "web01", "sshd", "root", "203.0.113.5", 4000, pid=number)
    alert = alert_for(event, Host("web01"))
    assert alert is not None
    with store.transaction() as tx:
        tx.enqueue(alert, slots(START, *(channels or ("feishu",)), urgent=True), START)


def test_more_than_can_be_sent_soon_becomes_a_digest_and_then_it_is_quiet(store: Store) -> None:
    """Thirty messages in ten seconds fit; with one more, all of them are one message, and the next waits a while."""
    service = FakeService()
    worker = worker_for(service, store, limits=FEISHU)
    enqueue(store, 30)
    work(worker, service.clock, 20)
    assert service.numbers() == [str(number) for number in range(1, 31)]
    service.clock.time = START + timedelta(seconds=100)
    enqueue(store, 31, first=31)
    work(worker, service.clock, 110)
    enqueue(store, 1, first=62)
    work(worker, service.clock, 200)
    assert service.tries[30:] == [(100.0, "digest of 31"), (pytest.approx(130.0), "62")]


def test_who_is_a_program_gets_every_message_by_itself(store: Store) -> None:
    """It may be slow, and none is folded."""
    service = Program()
    enqueue(store, 100)
    work(worker_for(service, store, limits=((2, 1.0),)), service.clock, 200)
    assert service.numbers() == [str(number) for number in range(1, 101)]


def test_without_limits_there_is_no_digest(store: Store) -> None:
    """`rate: []` says that the other side takes everything."""
    service = FakeService()
    enqueue(store, 500)
    work(worker_for(service, store), service.clock, 1)
    assert len(service.tries) == 500


def test_what_is_critical_goes_first_and_alone(store: Store) -> None:
    """Past a backlog, past the quiet after a digest, and in its own order."""
    service = FakeService()
    worker = worker_for(service, store, limits=FEISHU)
    enqueue(store, 200)
    urgent(store, 900)
    urgent(store, 901)
    work(worker, service.clock, 1)
    urgent(store, 902)
    work(worker, service.clock, 10)
    assert service.numbers() == ["900", "901", "digest of 200", "902"]


def test_a_critical_alert_does_not_wait_for_a_moments_trouble(store: Store) -> None:
    """The network failed a message a moment ago: the next try is for what is critical, which then waits as the rest."""
    service = FakeService(script=deque([TransportError("refused"), TransportError("refused")]))
    worker = worker_for(service, store)
    enqueue(store, 1)
    assert worker.step() == 0.0
    urgent(store, 900)
    work(worker, service.clock, 10)
    assert service.numbers() == ["1", "900", "900", "1"]
    assert service.tries[2][0] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("refusal", "tries"), [(BUSY, 1), (FAULT, 1), (Deferred("unreachable", "x"), OPEN), (Deferred("http-5xx", "x"), 1)]
)
def test_an_open_breaker_lets_nothing_pass_but_its_probe(store: Store, refusal: Deferred, tries: int) -> None:
    """What the service itself said holds for all; a network that failed five times is not asked by every alert."""
    service = FakeService(otherwise=refusal)
    worker = worker_for(service, store)
    enqueue(store, 1)
    while len(service.tries) < tries:
        service.clock.advance(worker.step())
    urgent(store, 900)
    assert worker.step() > 0
    assert len(service.tries) == tries


def test_a_probe_is_one_message_and_success_lets_the_rest_go(store: Store) -> None:
    """After an hour of silence one message is risked, not a hundred; then the backlog comes as a digest."""
    service = FakeService(otherwise=Deferred("unreachable", "x"))
    worker = worker_for(service, store, limits=FEISHU)
    enqueue(store, 1)
    work(worker, service.clock, 60)
    enqueue(store, 99, first=2)
    work(worker, service.clock, 3600)
    assert set(service.numbers()) == {"1"}
    service.otherwise = Sent()
    before = len(service.tries)
    work(worker, service.clock, 4000)
    assert service.numbers()[before:] == ["1", "digest of 99"]


def test_a_pause_that_the_service_demands_outlives_a_restart(store: Store) -> None:
    """Also for messages that came after it, and for critical ones."""
    service = FakeService(script=deque([BUSY._replace(wait=600.0)]))
    enqueue(store, 1)
    worker_for(service, store).step()
    urgent(store, 900)
    work(worker_for(service, store), service.clock, 700)
    assert [time for time, _ in service.tries] == [0.0, pytest.approx(600.0), pytest.approx(600.0)]


def test_two_channels_of_one_endpoint_share_its_limit_and_its_breaker(store: Store) -> None:
    """The robot counts what comes from both; a busy answer to one is meant for the other too."""
    service = Program()
    outlets = [Outlet(name, service, ((3, 1.0),), LOOK) for name in ("a", "b")]
    worker = Worker(outlets, store, service.send, service.clock, lambda: 0.5)
    enqueue(store, 10, "a", "b")
    work(worker, service.clock, 30)
    assert len(service.tries) == 20
    assert most_within([time for time, _ in service.tries], 1.0) == 2
    service.script.append(BUSY)
    enqueue(store, 1, "a", "b", first=50)
    before = service.clock.passed()
    work(worker, service.clock, 40)
    assert [round(time - before) for time, _ in service.tries[20:]] == [0, 1, 1]


def test_a_fault_is_told_on_the_other_channels_and_so_is_its_end(store: Store) -> None:
    """Once each; what had to wait arrives by itself."""
    service, other = FakeService(script=deque([FAULT, FAULT, Sent()])), FakeService()
    woken: list[str] = []
    worker = Worker(
        [Outlet("feishu", service, (), LOOK)],
        store,
        service.send,
        service.clock,
        lambda: 0.5,
        host=Host("web01", ("192.0.2.10",)),
        others=["ding"],
        wake=lambda: woken.append("x"),
    )
    second = Worker([Outlet("ding", other, (), LOOK)], store, other.send, other.clock, lambda: 0.5)
    enqueue(store, 2)
    work(worker, service.clock, 3600)
    other.clock.time = service.clock.time
    work(second, other.clock, 3700)
    assert service.numbers() == ["1", "1", "1", "2"]
    assert other.numbers() == ["fault feishu", "mended feishu"]
    identities = [d.message.id for d in Outbox(store).deliveries(["sent"]) if d.channel == "ding"]
    assert all(re.fullmatch("[0-9a-f]{16}", identity) for identity in identities)  # a header takes it
    assert len(woken) == 2


def test_groups_are_let_go_when_their_time_has_come(store: Store) -> None:
    """The worker sleeps until then, a minute at most."""
    service = FakeService()
    worker = worker_for(service, store)
    with store.transaction() as tx:
        for number, wait in ((1, 5), (2, 5), (3, 90)):
            event = Event(LOGIN, START, "web01", "sshd", "alice", pid=number)
            alert = Alert(str(number), event, "info")
            slot = Slot("feishu", WAITING, START + timedelta(seconds=wait), group=f"g{wait}")
            tx.enqueue(alert, [slot], START)
    assert worker.step() == 5.0
    work(worker, service.clock, 6)
    assert worker.step() == TICK
    work(worker, service.clock, 91)
    assert service.tries == [(5.0, "digest of 2"), (pytest.approx(90.0), "3")]


def test_a_program_gets_its_groups_singly_but_for_failures(store: Store) -> None:
    """After quiet hours every event by itself; failed logins are never one message each."""
    service = Program()
    with store.transaction() as tx:
        for number, group in enumerate(("quiet", "quiet", "failed", "failed"), 1):
            alert = Alert(str(number), Event(LOGIN, START, "web01", "sshd", "alice", pid=number), "info")
            tx.enqueue(alert, [Slot("feishu", WAITING, START + timedelta(seconds=5), group=group)], START)
    work(worker_for(service, store), service.clock, 6)
    assert sorted(service.numbers()) == ["1", "2", "digest of 2"]


def test_what_should_be_known_of_a_sent_message_is_told_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Such as a recipient that was refused."""
    service = FakeService(otherwise=Sent("one of two recipients was refused"))
    enqueue(store, 3)
    work(worker_for(service, store), service.clock, 10)
    assert [r.getMessage() for r in caplog.records] == ["feishu: one of two recipients was refused"]
    assert left(store) == []


def test_a_flood_beyond_one_digest_is_several_in_their_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the budget allows; what came later does not go before them, after a failure either."""
    monkeypatch.setattr(outbox, "LARGEST", 100)
    monkeypatch.setattr(deliver, "LARGEST", 100)
    service = FakeService(script=deque([Sent(), TransportError("reset")]))
    enqueue(store, 250)
    worker = worker_for(service, store, limits=FEISHU)
    work(worker, service.clock, 20)
    enqueue(store, 1, first=251)
    work(worker, service.clock, 100)
    assert service.numbers() == ["digest of 100", "digest of 100", "digest of 100", "digest of 50", "251"]
    assert Outbox(store).counts() == {"feishu": {"grouped": 250, "sent": 4}}
