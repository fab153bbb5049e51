"""The daily summary: due once a day, over all that happened since the one before, with the end of the record."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from usm.core.alert import dump, load
from usm.core.chain import head_of
from usm.core.decode import Stamps
from usm.core.message import PENDING, Summary
from usm.core.model import Batch, Host
from usm.core.policy import Policy
from usm.core.route import Route
from usm.daily import summarise
from usm.ingest import Intake, Watch, ingest
from usm.judging import Judge
from usm.ledger import verify
from usm.outbox import Outbox
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

CST = timezone(timedelta(hours=8))
NOON = datetime(2026, 11, 20, 12, tzinfo=CST)
WATCH = Watch(Host("web01", ("192.0.2.10",)), (Route("feishu"),), zone=CST, judge=Judge(Policy(), CST))
HALF_PAST_EIGHT = 8 * 60 + 30
DAY = timedelta(days=1)


@pytest.fixture
def store() -> Iterator[Store]:
    """Return a state file in memory."""
    made = Store(":memory:")
    yield made
    made.close()


def told(store: Store) -> list[Summary]:
    """Return the summaries in the outbox."""
    messages = [delivery.message for delivery in Outbox(store).deliveries((PENDING,))]
    return [message for message in messages if isinstance(message, Summary)]


def take(store: Store, line: str, at: datetime) -> None:
    """Read one line."""
    text = f"{at.isoformat(timespec='microseconds')} web01 {line}\n".encode()
    ingest(store, "file", Batch(text, str(at)), Intake(Stamps(CST, at)), WATCH, at)


def test_it_is_told_once_a_day(store: Store) -> None:
    """From the first one on that has a whole day behind it; late where nobody watched at the time."""
    assert not summarise(store, WATCH, HALF_PAST_EIGHT, NOON)
    assert not summarise(store, WATCH, HALF_PAST_EIGHT, NOON + timedelta(hours=20))
    assert summarise(store, WATCH, HALF_PAST_EIGHT, NOON + timedelta(hours=20, minutes=30))
    assert not summarise(store, WATCH, HALF_PAST_EIGHT, NOON + timedelta(hours=20, minutes=31))
    assert summarise(store, WATCH, HALF_PAST_EIGHT, NOON + 3 * DAY)
    assert not summarise(store, WATCH, HALF_PAST_EIGHT, NOON + 3 * DAY + timedelta(minutes=1))
    assert [(s.since, s.time) for s in told(store)] == [
        (NOON, NOON + timedelta(hours=20, minutes=30)),
        (NOON + timedelta(hours=20, minutes=30), NOON + 3 * DAY),
    ]


def test_not_where_nobody_wants_it(store: Store) -> None:
    """Without a time, or without a channel."""
    assert not summarise(store, WATCH, None, NOON)
    assert not summarise(store, WATCH, None, NOON + DAY)
    alone = WATCH._replace(routes=())
    assert not summarise(store, alone, HALF_PAST_EIGHT, NOON)
    assert not summarise(store, alone, HALF_PAST_EIGHT, NOON + DAY)
    assert told(store) == []


def test_it_adds_up_and_its_head_proves_the_record(store: Store) -> None:
    """Counts of what happened in between only; whoever cuts the record afterwards is found by the head."""
    take(store, "sshd[1]: Accepted password for alice from 203.0.113.5 port 4000 ssh2", NOON - timedelta(hours=1))
    summarise(store, WATCH, HALF_PAST_EIGHT, NOON)
    for n in range(12):
        take(store, f"sshd[{9 + n}]: Failed password for root from 198.51.100.7 port {5000 + n} ssh2", NOON + DAY / 9)
    take(store, "sshd[2]: Accepted password for root from 203.0.113.5 port 4001 ssh2", NOON + DAY / 8)
    take(store, "sshd[1]: pam_unix(sshd:session): session closed for user alice", NOON + DAY / 7)
    assert summarise(store, WATCH, HALF_PAST_EIGHT, NOON + DAY)
    (summary,) = told(store)
    assert dict(summary.kinds) == {"login": 1, "logout": 1, "failed": 12, "finding": 1}
    assert dict(summary.found) == {"failed-source": 1, "root": 1, "abnormal-end": 1}
    assert (summary.on, summary.dead) == (1, 0)
    assert summary.waiting == 4  # two logins, a logout, an attack
    assert load(dump(summary)) == summary
    head = head_of(summary.head)
    assert head is not None
    with store.reading() as db:
        assert verify(db, [head]).fault is None
        db.execute("DELETE FROM record WHERE seq = ?", (head.seq,))
        db.execute("DELETE FROM fact WHERE name = 'head'")
        assert verify(db, [head]).fault is not None
