"""Storms and outages, in virtual time, against a service that keeps Feishu's limits: every event is accounted for."""

from __future__ import annotations

import io
import random
import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Callable, ClassVar, Optional

import pytest

from tests.fakes.feishu import LIMITS, FakeFeishu
from tests.support import routes, slots
from usm.channels.feishu import Feishu
from usm.core.alert import alert_for
from usm.core.decode import Stamps
from usm.core.hours import parse
from usm.core.look import Look
from usm.core.message import (
    DEAD,
    GROUPED,
    PENDING,
    SENT,
    SUPPRESSED,
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
)
from usm.core.model import CRITICAL, FAILED, INFO, KINDS, LOGIN, WARNING, Batch, Event, Host, Secret
from usm.core.route import Match, Route, route
from usm.deliver import Outlet, Worker
from usm.errors import TransportError
from usm.ingest import Intake, Watch, ingest
from usm.outbox import Outbox
from usm.store import Store
from usm.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UTC = timezone.utc
START = datetime(2026, 11, 23, 2, 0, 0, tzinfo=UTC)
HOST = Host("web01", ("192.0.2.10",))
LOOK = Look("en", UTC)


class Clock:
    """A clock for the monitor and for the service, that goes on only when told to."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> datetime:
        """Return the monitor's time."""
        return START + timedelta(seconds=self.passed)

    def seconds(self) -> float:
        """Return the service's time."""
        return START.timestamp() + self.passed

    def advance(self, seconds: float) -> None:
        """Go on, by a microsecond at least."""
        self.passed += max(seconds, 1e-6)


@pytest.fixture
def clock() -> Clock:
    """A clock at its start."""
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[FakeFeishu]:
    """Give the service, with a clock that can be turned."""
    with FakeFeishu(clock=clock.seconds) as fake:
        yield fake


class Noting(Feishu):
    """The channel, which remembers what it was asked to write."""

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False):  # type: ignore[no-untyped-def] # noqa: ANN201, D102
        LATEST.append(message)
        return super().request(message, now, look, plain=plain)


LATEST: list[Message] = []


def login(number: int) -> bytes:
    """Return a real-shaped line; one in ten thousand users is somebody else."""
    stamp = (START + timedelta(milliseconds=number)).isoformat()
    return (
        f"{stamp} web01 sshd[{number + 10}]: Accepted publickey for user{number % 700} from 198.51.{number % 250}.7 "
        f"port {1024 + number % 60000} ssh2: ED25519 SHA256:abc{number % 50}\n"
    ).encode()


def burst(store: Store, count: int, clock: Clock, per_batch: int = 500) -> Iterator[None]:
    """Take in so many logins in batches, as the log is read."""
    intake, watch = Intake(Stamps(UTC, START)), Watch(HOST, routes("feishu"))
    for begin in range(0, count, per_batch):
        data = b"".join(map(login, range(begin, min(count, begin + per_batch))))
        ingest(store, "s", Batch(data, str(begin)), intake, watch, clock())
        yield


def critical(store: Store, clock: Clock) -> None:
    """Put a critical login into the queue."""
    event = Event(LOGIN, clock(), "web01", "sshd", "root", "203.0.113.66", 4711, "password", pid=99)
    alert = alert_for(event, HOST)
    assert alert is not None
    with store.transaction() as tx:
        tx.enqueue(alert._replace(severity=CRITICAL), slots(clock(), "feishu", urgent=True), clock())


def told(text: str) -> int:
    """Return how many events a message tells of, by its own words; a digest's parts add up to it."""
    whole = re.search(r"^Events: (\d+)$", text, re.MULTILINE)
    if whole is None:
        return 1
    total = int(whole[1])
    for label in ("Kinds", "Users", "From"):
        line = re.search(rf"^{label}: (.*)$", text, re.MULTILINE)
        assert line is not None
        assert sum(map(int, re.findall(r"×(\d+)", line[1]))) == total
    return total


def run(worker: Worker, clock: Clock, until: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Let a worker work until the clock shows so many seconds."""
    while clock.passed < until:
        meanwhile()
        clock.advance(min(worker.step() or 0.01, until - clock.passed))


def broken(service: FakeFeishu) -> list[object]:
    """Return the codes of refusals: a limit that was broken is among them."""
    return [attempt.code for attempt in service.attempts if attempt.code]


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_logins_in_a_burst(tmp_path: Path, service: FakeFeishu, clock: Clock, seed: int) -> None:
    """All are accounted for, no limit is broken, and a critical one in the middle is there within three seconds."""
    store = Store(str(tmp_path / "state.db"))
    channel = Feishu(Secret(service.url))
    transport = Transport(io.StringIO())
    worker = Worker(
        [Outlet("feishu", channel, channel.limits, LOOK)],
        Store(store.path),
        transport.send,
        clock,
        random.Random(seed).random,
    )
    seen_after: Optional[float] = None
    came = 0.0
    for number, _ in enumerate(burst(store, 10_000, clock)):
        if number == 10:
            came = clock.passed
            critical(store, clock)
        run(worker, clock, clock.passed + 0.1)
        if seen_after is None and any("User: root" in text for text in service.texts()):
            seen_after = clock.passed - came
    run(worker, clock, clock.passed + 300)
    texts = service.texts()
    assert sum(map(told, texts)) == 10_001
    assert broken(service) == []
    assert seen_after is not None
    assert seen_after <= 3
    assert sum("User: root" in text for text in texts) == 1
    assert len(texts) < 50  # nobody is flooded
    counts = Outbox(store).counts()["feishu"]
    assert set(counts) == {SENT, GROUPED}
    transport.close()


def test_a_critical_alert_finds_room_in_a_spent_budget(tmp_path: Path, service: FakeFeishu, clock: Clock) -> None:
    """Ordinary messages leave a quarter of it; a minute full of them does not delay it."""
    store = Store(str(tmp_path / "state.db"))
    channel = Feishu(Secret(service.url))
    transport = Transport(io.StringIO())
    worker = Worker(
        [Outlet("feishu", channel, channel.limits, LOOK)], Store(store.path), transport.send, clock, lambda: 0.5
    )
    bursts = burst(store, 60, clock, per_batch=2)
    for _ in bursts:
        run(worker, clock, clock.passed + 1)
    next(burst(store, 5, clock), None)
    before = clock.passed
    critical(store, clock)
    run(worker, clock, before + 2.9)
    assert "User: root" in service.texts()[-1]
    assert broken(service) == []
    transport.close()


class Killed(BaseException):
    """The process is gone."""


def members(store: Store) -> dict[str, list[str]]:
    """Return for each digest's id the ids of what it holds."""
    import json  # noqa: PLC0415

    with store.reading() as db:
        rows = db.execute(
            "SELECT w.body, a.body FROM outbox o JOIN alert a ON a.id = o.alert "
            "JOIN outbox d ON d.id = o.digest JOIN alert w ON w.id = d.alert"
        ).fetchall()
    found: dict[str, list[str]] = {}
    for whole, part in rows:
        found.setdefault(json.loads(whole)["id"], []).append(json.loads(part)["id"])
    return found


@pytest.mark.parametrize("seed", range(4))
def test_two_hours_of_outage_with_kills(  # noqa: C901, PLR0915 - one story
    tmp_path: Path, service: FakeFeishu, clock: Clock, seed: int
) -> None:
    """Refused, reset, timed out, refused with HTTP 200, killed in between: afterwards everything is there, in order."""
    dice = random.Random(seed)
    store = Store(str(tmp_path / "state.db"))
    channel = Noting(Secret(service.url))
    transport = Transport(io.StringIO())
    accepted: list[str] = []
    lost = kills = 0
    LATEST.clear()
    outage = 7200.0

    def deliver(request: Request) -> Reply:
        """Send, and note what the service took."""
        before = len(service.messages)
        try:
            return transport.send(request)
        finally:
            service.script.clear()
            accepted.extend([LATEST[-1].id] * (len(service.messages) - before))

    def broken_network(request: Request) -> Reply:
        """Go through what can go wrong, each with what it costs in time."""
        nonlocal lost
        fate = dice.choice(("refused", "reset", "timeout", 11232, 19021, 503, "empty", "lost", "redirect"))
        if fate == "refused":
            raise TransportError("connection refused")
        if fate == "timeout":
            clock.advance(15)
            if dice.random() < 0.3:  # it arrived, and the answer did not
                deliver(request)
                lost += 1
            raise TransportError("timed out")
        if fate == "lost":
            lost += 1
        service.script.append(fate)
        return deliver(request)

    def send(request: Request) -> Reply:
        """Send while the process may be killed at any moment."""
        nonlocal kills
        if dice.random() < 0.03:
            kills += 1
            raise Killed
        reply = (broken_network if clock.passed < outage else deliver)(request)
        if dice.random() < 0.05:
            kills += 1
            raise Killed
        return reply

    def fresh() -> Worker:
        return Worker([Outlet("feishu", channel, channel.limits, LOOK)], Store(store.path), send, clock, dice.random)

    number = 0
    intake, watch = Intake(Stamps(UTC, START)), Watch(HOST, routes("feishu"))
    worker = fresh()
    while clock.passed < outage + 1800:
        if clock.passed < outage and dice.random() < 0.3:
            more = dice.randrange(1, 40)
            batch = b"".join(map(login, range(number, number + more)))
            number += more
            ingest(store, "s", Batch(batch, str(number)), intake, watch, clock())
        try:
            wait = worker.step()
        except Killed:
            worker, wait = fresh(), 0.5  # systemd starts it again
        clock.advance(min(wait, 20.0))
    transport.close()
    counts = Outbox(store).counts()["feishu"]
    assert set(counts) <= {SENT, GROUPED}, counts
    contents = members(store)
    holding: dict[str, set[str]] = {}
    for identity in accepted:
        for alert in contents.get(identity, [identity]):
            holding.setdefault(alert, set()).add(identity)
    assert len(holding) == number  # nothing is missing
    assert {len(messages) for messages in holding.values()} == {1}  # nothing is in two messages
    doubled = len(accepted) - len(set(accepted))
    assert kills > 0
    assert doubled <= kills + lost
    assert not [a for a in service.attempts if a.code == 11232 and a.time > START.timestamp() + outage]
    assert PENDING not in counts
    assert DEAD not in counts


def test_the_service_here_keeps_the_real_limits() -> None:
    """Otherwise nothing above would mean anything."""
    assert LIMITS == ((5, 1.0), (100, 60.0))


class Recorder:
    """A channel that notes what it was asked to send and answers by chance."""

    limits: ClassVar[tuple[tuple[int, float], ...]] = ((4, 1.0), (30, 60.0))
    digests: ClassVar[bool] = True

    def __init__(self, dice: random.Random, clock: Clock) -> None:
        self.dice, self.clock = dice, clock
        self.tries: list[float] = []
        self.taken: list[Message] = []

    def endpoint(self) -> str:
        """Return what it shares with nobody."""
        return str(id(self))

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Print:  # noqa: ARG002
        """Note the message."""
        self.tries.append(self.clock.passed)
        self.latest = message
        return Print("")

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:  # noqa: ARG002
        """Take it, or not."""
        chance = self.dice.random()
        if chance < 0.1:
            return Deferred("busy", "later", wait=self.dice.choice((None, 2.0)))
        if chance < 0.13:
            return Deferred("fault", "mend it", fault=True)
        if chance < 0.15 and not plain:
            return Deferred("form", "as text", plain=True)
        if chance < 0.17:
            return Rejected("no", "never")
        self.taken.append(self.latest)
        return Sent()

    def problems(self) -> list[str]:
        """Nothing is wrong."""
        return []

    def notes(self) -> list[str]:
        """Nothing is notable."""
        return []


class Program(Recorder):
    """The same, read by a program."""

    digests: ClassVar[bool] = False


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_configured_every_event_is_accounted_for(tmp_path: Path, clock: Clock, seed: int) -> None:
    """Groups, quiet hours, rules, failures, critical ones, restarts: sent once, alone or in one digest, or kept back.

    Nothing critical is in a digest, and no limit is broken.
    """
    dice = random.Random(seed)
    store = Store(str(tmp_path / "state.db"))
    channel = dice.choice((Recorder, Recorder, Program))(dice, clock)
    rule = Route(
        "feishu",
        dice.choice(((), (Match(kinds=KINDS),), (Match(severities=(INFO, CRITICAL)), Match(kinds=(FAILED,))))),
        dice.choice(((), (Match(users=("user1*",)),))),
        dice.choice(((), tuple(filter(None, [parse("03:00-04:00")])))),
        dice.choice(((), ("user",), ("source_ip", "kind"))),
        dice.choice((0.0, 0.0, 5.0, 90.0)),
        dice.choice((0.0, 30.0, 300.0)),
        digests=channel.digests,
    )
    ignore = dice.choice(((), (Match(users=("user7",)),)))

    def fresh() -> Worker:
        outlet = Outlet("feishu", channel, channel.limits, LOOK, rule.group_interval)
        return Worker([outlet], Store(store.path), lambda _: Reply(200), clock, dice.random)

    worker, number, outbox = fresh(), 0, Outbox(store)
    while clock.passed < 3 * 3600 or (clock.passed < 48 * 3600 and {PENDING, WAITING} & set(outbox.counts()["feishu"])):
        if clock.passed < 3 * 3600 and dice.random() < 0.03:
            with store.transaction() as tx:
                for _ in range(dice.choice((1, 3, 60))):
                    kind, severity = dice.choice(KINDS), dice.choice((INFO, INFO, INFO, WARNING, CRITICAL))
                    event = Event(
                        kind, clock(), "web01", "sshd", f"user{dice.randrange(20)}", "203.0.113.5", pid=number
                    )
                    alert = Alert(f"{number:016x}", event, severity)
                    tx.enqueue(alert, route(alert, [rule], ignore, clock(), clock()), clock())
                    number += 1
        if dice.random() < 0.01:
            worker = fresh()
        clock.advance(min(worker.step() or 0.001, 15.0))
    assert set(outbox.counts()["feishu"]) <= {SENT, GROUPED, SUPPRESSED, DEAD}
    singles = [m for m in channel.taken if isinstance(m, Alert)]
    whole = [m for m in channel.taken if isinstance(m, Digest)]
    assert len({m.id for m in channel.taken}) == len(channel.taken)  # nothing twice
    inside = members(store)
    dead = [d.message for d in outbox.deliveries([DEAD])]
    held = [a for m in (*whole, *(d for d in dead if isinstance(d, Digest))) for a in inside[m.id]]
    kept = [d.message.id for d in outbox.deliveries([SUPPRESSED])]
    everything = [*(m.id for m in singles), *held, *kept, *(d.id for d in dead if isinstance(d, Alert))]
    unasked = number - len(everything)
    assert len(set(everything)) == len(everything)
    assert unasked == 0 or not rule.wants_failures
    assert sum(m.total for m in whole) == sum(len(inside[m.id]) for m in whole)
    assert all(m.severity != CRITICAL for m in whole)
    for count, seconds in channel.limits:
        times = [*channel.tries, float("inf")]
        assert all(times[at + count] - times[at] >= seconds - 1e-6 for at in range(len(times) - count))
