"""The queue: both lanes in order, digests whose sums add up, and nothing that is forgotten unasked."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Optional

import pytest

from tests.support import alert_of, slots
from usm.core.alert import alert_for
from usm.core.message import (
    DEAD,
    FAILING,
    FAULT,
    GROUPED,
    PENDING,
    SENT,
    SUPPRESSED,
    WAITING,
    WORKS,
    Alert,
    Digest,
    Message,
    Trouble,
)
from usm.core.model import CRITICAL, INFO, LOGIN, Event, Host
from usm.core.route import Slot
from usm.outbox import Delivery, Outbox
from usm.store import Store

if TYPE_CHECKING:
    from pathlib import Path

UTC = timezone.utc
NOW = datetime(2026, 11, 23, 2, 5, 7, 123456, UTC)


def login(number: int = 1, user: str = "alice") -> Alert:
    """Return an alert; its number makes it one of a kind."""
    event = Event(LOGIN, NOW, "web01", "sshd", user, "203.0.113.5", 40000 + number, "password", pid=number)
    alert = alert_for(event, Host("web01", ("192.0.2.10",)))
    assert alert is not None
    return alert


def enqueue(store: Store, count: int, *channels: str, first: int = 1, urgent: bool = False) -> None:
    """Put that many alerts into the outbox of the channels."""
    with store.transaction() as tx:
        for number in range(first, first + count):
            tx.enqueue(login(number), slots(NOW, *(channels or ("feishu",)), urgent=urgent), NOW)


def test_messages_of_a_channel_come_in_the_order_they_went_in(tmp_path: Path) -> None:
    """The oldest pending one is first, due or not, and other channels do not matter."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 3, "a", "b")
    first = outbox.first("a")
    assert first is not None
    assert alert_of(first).event.pid == 1
    outbox.settle(first._replace(due=NOW + timedelta(hours=1), attempts=1, code="11232", detail="busy"), NOW)
    again = outbox.first("a")
    assert again == first._replace(due=NOW + timedelta(hours=1), attempts=1, code="11232", detail="busy")
    outbox.settle(first._replace(state=SENT), NOW)
    second, other = outbox.first("a"), outbox.first("b")
    assert second is not None
    assert other is not None
    assert (alert_of(second).event.pid, alert_of(other).event.pid, outbox.first("c")) == (2, 1, None)


def test_a_dead_letter_is_kept_and_listed_but_not_first(tmp_path: Path) -> None:
    """What was given up stays visible with its reason and does not hold up the next."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 2)
    first = outbox.first("feishu")
    assert first is not None
    outbox.settle(first._replace(state=DEAD, attempts=5, code="19002", detail="no"), NOW)
    assert [(d.state, d.code) for d in outbox.deliveries()] == [(DEAD, "19002"), (PENDING, None)]
    assert [d.state for d in outbox.deliveries([PENDING])] == [PENDING]
    following = outbox.first("feishu")
    assert following is not None
    assert alert_of(following).event.pid == 2


def test_retry_makes_dead_and_waiting_messages_due_now(tmp_path: Path) -> None:
    """All of them without ids, else those named; what was sent is never sent again."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 4)
    later = NOW + timedelta(hours=1)
    for delivery, state in zip(outbox.deliveries(), (SENT, DEAD, PENDING, DEAD)):
        outbox.settle(delivery._replace(state=state, attempts=3, due=later), NOW)
    assert outbox.retry(NOW, [1, 2]) == 1
    assert [(d.id, d.state, d.attempts, d.due) for d in outbox.deliveries()] == [
        (2, PENDING, 0, NOW),
        (3, PENDING, 3, later),
        (4, DEAD, 3, later),
    ]
    assert outbox.retry(NOW) == 3
    assert {(d.state, d.attempts, d.due) for d in outbox.deliveries()} == {(PENDING, 0, NOW)}


def test_drop_forgets_only_what_it_is_told(tmp_path: Path) -> None:
    """Waiting and dead messages can be forgotten by id; a number that is no message's does nothing."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 3)
    first = outbox.first("feishu")
    assert first is not None
    outbox.settle(first._replace(state=SENT), NOW)
    assert outbox.drop([]) == 0
    assert outbox.drop([1, 3, 77]) == 1
    assert [d.id for d in outbox.deliveries([PENDING, SENT, DEAD])] == [1, 2]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_an_id_beyond_all_numbers_is_nobodys(tmp_path: Path, number: int) -> None:
    """An id that SQLite can't even hold is the id of no message."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 1)
    assert (outbox.drop([number]), outbox.retry(NOW, [number])) == (0, 0)
    assert outbox.drop([number, 1]) == 1


def test_what_was_tried_lately_is_remembered(tmp_path: Path) -> None:
    """A restart knows how many messages were tried within the span of a limit."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 4)
    for seconds, delivery in enumerate(outbox.deliveries()):
        state = PENDING if seconds == 3 else SENT
        outbox.settle(delivery._replace(state=state), NOW + timedelta(seconds=seconds))
    assert outbox.tried_since(["feishu"], NOW) == [NOW + timedelta(seconds=s) for s in (1, 2, 3)]
    assert outbox.tried_since(["other"], NOW) == []


def seconds(number: float) -> timedelta:
    """Return a time span."""
    return timedelta(seconds=number)


# -- digests


def digest_of(outbox: Outbox) -> Digest:
    """Return the digest that is first."""
    first = outbox.first("feishu")
    assert first is not None
    assert isinstance(first.message, Digest)
    return first.message


def test_a_backlog_becomes_one_message_and_nothing_is_in_two(tmp_path: Path) -> None:
    """What was tried may have arrived, what is urgent is never grouped away, other channels are their own."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 10, "feishu", "other")
    tried = outbox.first("feishu")
    enqueue(store, 1, first=11, urgent=True)
    assert tried is not None
    outbox.settle(tried._replace(attempts=1, code="11232", detail="busy"), NOW)
    assert outbox.backlog("feishu", 100) == 9
    assert outbox.backlog("feishu", 5) == 5
    assert outbox.gather("feishu", NOW) == 9
    assert outbox.counts() == {"feishu": {GROUPED: 9, PENDING: 3}, "other": {PENDING: 10}}
    outbox.settle(tried._replace(state=SENT, attempts=2), NOW)
    urgent = outbox.first("feishu")
    assert urgent is not None
    assert alert_of(urgent).event.pid == 11
    outbox.settle(urgent._replace(state=SENT), NOW)
    made = digest_of(outbox)
    assert (made.total, made.users.named, made.kinds) == (9, (("alice", 9),), ((LOGIN, 9),))
    assert outbox.gather("feishu", NOW) == 0  # a digest is in no digest


def test_one_alone_is_no_digest(tmp_path: Path) -> None:
    """It is sent with all its facts."""
    store = Store(str(tmp_path / "state.db"))
    enqueue(store, 1)
    outbox = Outbox(store)
    assert outbox.gather("feishu", NOW) == 1
    assert [(d.state, d.members) for d in outbox.deliveries()] == [(PENDING, 0)]


def test_a_digest_is_dropped_with_what_it_holds_and_retried_as_one(tmp_path: Path) -> None:
    """A dead digest is one letter."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 5)
    outbox.gather("feishu", NOW)
    whole = outbox.first("feishu")
    assert whole is not None
    outbox.settle(whole._replace(state=DEAD, attempts=5, code="x", detail="y"), NOW)
    assert outbox.retry(NOW) == 1
    again = outbox.first("feishu")
    assert again is not None
    assert (again.id, again.members) == (whole.id, 5)
    assert outbox.drop([whole.id]) == 1
    assert outbox.counts() == {}


def test_the_same_alerts_make_the_same_digest(tmp_path: Path) -> None:
    """A retry of a digest carries the same id, whoever made it."""
    made = []
    for name in "ab":
        store = Store(str(tmp_path / f"{name}.db"))
        enqueue(store, 3)
        Outbox(store).gather("feishu", NOW)
        made.append(digest_of(Outbox(store)))
    assert made[0] == made[1]


# -- groups


def grouped(
    store: Store, at: float, *, wait: float = 5, interval: float = 60, group: str = "g", number: int = 1
) -> None:
    """Put an alert into a group at so many seconds."""
    now = NOW + seconds(at)
    with store.transaction() as tx:
        tx.enqueue(login(number), [Slot("feishu", WAITING, now + seconds(wait), group=group, interval=interval)], now)


def due(outbox: Outbox) -> list[float]:
    """Return when each message is due, in seconds."""
    return [(d.due - NOW).total_seconds() for d in outbox.deliveries()]


def test_a_group_is_told_after_its_wait_and_then_after_its_interval(tmp_path: Path) -> None:
    """Alertmanager's words: who comes while the group waits goes with it, who comes soon after waits for the next."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    grouped(store, 0)
    grouped(store, 3)
    grouped(store, 4, group="another", wait=7)
    assert due(outbox) == [5, 5, 11]
    assert outbox.next_group("feishu") == ("g", NOW + seconds(5))
    assert outbox.gather("feishu", NOW + seconds(4), "g") == 0
    assert outbox.gather("feishu", NOW + seconds(5), "g") == 2
    assert digest_of(outbox).total == 2
    grouped(store, 6)
    grouped(store, 64)
    grouped(store, 140)
    assert [d for d in due(outbox) if d > 11] == [65, 65, 145]


def test_a_retry_of_everything_leaves_groups_their_time(tmp_path: Path) -> None:
    """Whoever wants them now names them: quiet hours are not over because something else was mended."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    grouped(store, 0)
    assert outbox.retry(NOW) == 0
    assert outbox.retry(NOW, [1]) == 1
    assert [d.state for d in outbox.deliveries()] == [PENDING]


def test_a_clock_set_back_does_not_hold_a_group_for_hours(tmp_path: Path) -> None:
    """An interval is the longest that a new alert waits beyond its own time."""
    store = Store(str(tmp_path / "state.db"))
    grouped(store, 7200)
    grouped(store, 0, number=2)
    assert due(Outbox(store))[1] == 60


def test_what_a_rule_suppressed_is_kept_with_the_rule_and_never_sent(tmp_path: Path) -> None:
    """It can be listed and counted; a retry does not send it."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    with store.transaction() as tx:
        tx.enqueue(login(), [Slot("feishu", SUPPRESSED, NOW, reason="ignore: rule 1")], NOW)
    assert outbox.first("feishu") is None
    assert outbox.deliveries() == []
    assert (outbox.retry(NOW), outbox.retry(NOW, [1]), outbox.drop([1])) == (0, 0, 0)
    assert [d.code for d in outbox.deliveries([SUPPRESSED])] == ["ignore: rule 1"]


# -- how a channel does


def tell(delivery: Delivery, now: datetime) -> Message:
    """Return what others are told."""
    mended = delivery.state == SENT
    return Trouble("t", INFO if mended else CRITICAL, "web01", None, delivery.channel, "c", "d", now, mended)


@pytest.mark.parametrize(
    ("steps", "states", "told"),
    [
        ([(SENT, False)], [], []),
        ([(PENDING, False), (SENT, False)], [FAILING, WORKS], []),
        ([(PENDING, True), (PENDING, True), (SENT, False)], [FAULT, FAULT, WORKS], [False, True]),
        ([(PENDING, True), (PENDING, False), (PENDING, True)], [FAULT, FAULT, FAULT], [False]),
        ([(PENDING, False), (PENDING, True)], [FAILING, FAULT], [False]),
        ([(PENDING, False), (DEAD, False)], [FAILING, FAILING], []),
        ([(DEAD, False)], [], []),
    ],
)
def test_others_are_told_when_a_fault_begins_and_when_it_ends(
    tmp_path: Path, steps: list[tuple[str, bool]], states: list[str], told: list[bool]
) -> None:
    """Once each; a dead network in between is no news, and neither is what was wrong with a message itself."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 1)
    delivery: Optional[Delivery] = outbox.first("feishu")
    assert delivery is not None
    seen = []
    for number, (state, fault) in enumerate(steps):
        settled = delivery._replace(state=state, attempts=1, code="c", detail="d")
        outbox.settle(settled, NOW + seconds(number), fault=fault, notice=tell, others=["ding"])
        seen += [channel.state for channel in outbox.channels().values()]
    assert seen == states
    troubles = [d.message for d in outbox.deliveries() if d.channel == "ding"]
    assert [t.mended for t in troubles if isinstance(t, Trouble)] == told
    assert all(d.urgent for d in outbox.deliveries() if d.channel == "ding")


def test_a_state_has_lasted_since_it_began(tmp_path: Path) -> None:
    """The reason is always the latest one."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 1)
    delivery = outbox.first("feishu")
    assert delivery is not None
    for number, code in enumerate(("a", "b")):
        outbox.settle(delivery._replace(attempts=1, code=code, detail="d"), NOW + seconds(number), fault=True)
    assert outbox.channels()["feishu"] == ("feishu", FAULT, NOW, "b", "d")


def test_what_holds_a_channel_is_what_failed_and_is_due_last(tmp_path: Path) -> None:
    """It is in the file, so a restart forgets no pause that the service demanded, and `retry` ends it."""
    store = Store(str(tmp_path / "state.db"))
    outbox = Outbox(store)
    enqueue(store, 2, "a", "b")
    assert outbox.held(["a", "b"]) is None
    for channel, wait in (("a", 600), ("b", 30)):
        delivery = outbox.first(channel)
        assert delivery is not None
        outbox.settle(delivery._replace(attempts=1, due=NOW + seconds(wait), code="x", detail="y"), NOW)
    held = outbox.held(["a", "b"])
    assert held is not None
    assert (held.channel, held.due) == ("a", NOW + seconds(600))
    assert outbox.held(["b"]) != held
    outbox.retry(NOW)
    assert outbox.held(["a", "b"]) is None
