"""How the monitor does: from its state file alone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from tests.channels.samples import MESSAGES
from tests.support import slots
from usm.core.message import DEAD, FAILING, FAULT, PENDING, SENT, SUPPRESSED, WORKS
from usm.core.route import Slot
from usm.outbox import Outbox
from usm.report import status_json, status_table
from usm.status import ChannelStatus, Status, status
from usm.store import Store

UTC = timezone.utc
NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)


def filled() -> Store:
    """Return a store with three channels: one works, one is refused, one is configured no more."""
    store = Store(":memory:")
    outbox = Outbox(store)
    with store.transaction() as tx:
        tx.checkpoint("journal", "c", NOW)
        for _ in range(3):
            tx.enqueue(MESSAGES["login"], slots(NOW, "feishu", "ding", "old"), NOW)
        tx.enqueue(MESSAGES["login"], [Slot("feishu", SUPPRESSED, NOW, reason="ignore: rule 1")], NOW)
    for delivery in outbox.deliveries():
        if delivery.channel == "feishu":
            outbox.settle(delivery._replace(state=SENT), NOW)
    first, last = outbox.first("ding"), outbox.first("old")
    assert first is not None
    assert last is not None
    outbox.settle(first._replace(attempts=1, code="310000", detail="signature refused"), NOW, fault=True)
    outbox.settle(last._replace(attempts=1, code="x", detail="y"), NOW)
    outbox.settle(last._replace(state=DEAD, code="x", detail="y"), NOW + timedelta(hours=1))
    return store


def test_every_channel_and_its_deliveries() -> None:
    """Configured ones first, in their order; one without any message is there, too."""
    found = status(filled(), ["new", "feishu", "ding"], running=True)
    assert found == Status(
        True,  # noqa: FBT003 - it runs
        None,
        None,
        None,
        "journal",
        None,
        NOW,
        0,
        0.0,
        None,
        (),
        None,
        0,
        (
            ChannelStatus("new", WORKS, None, None, None, {}),
            ChannelStatus("feishu", WORKS, None, None, None, {SENT: 3, SUPPRESSED: 1}),
            ChannelStatus("ding", FAULT, NOW, "310000", "signature refused", {PENDING: 3}, NOW),
            ChannelStatus("old", FAILING, NOW, "x", "y", {PENDING: 2, DEAD: 1}, NOW),
        ),
        {
            ("alerts", "login", "info"): 4,
            ("deliveries", "feishu", "sent"): 3,
            ("deliveries", "feishu", "suppressed"): 1,
            ("deliveries", "ding", "deferred"): 1,
            ("deliveries", "old", "dead"): 1,
            ("deliveries", "old", "deferred"): 1,
        },
    )


def test_a_new_state_file() -> None:
    """Nothing was watched yet."""
    found = status(Store(":memory:"), [], running=False)
    assert status_table(found, NOW, UTC, "en").splitlines() == [
        "monitor: not running; start it with: systemctl start user-session-monitor, or: usm start",
        "source: none yet, watched until never",
        "sessions open: 0",
        "read so far: 0 lines",
        "channels: none, so nobody is told; add one under `notify:` in the configuration, then: usm reload",
    ]
    assert status_json(found, UTC)["watched"] is None


def test_as_a_table_and_as_json() -> None:
    """The state, the numbers, and the last refusal."""
    found = status(filled(), ["feishu", "ding"], running=True)
    lines = status_table(found, NOW, UTC, "en").splitlines()
    assert lines[:3] == ["monitor: running", "source: journal, watched until 2026-11-25 02:00:00", "sessions open: 0"]
    assert lines[4].split() == [
        "CHANNEL",
        "STATE",
        "WAITING",
        "PENDING",
        "SENT",
        "DEAD",
        "GROUPED",
        "SUPPRESSED",
        "WAITS",
        "FOR",
        "SINCE",
        "LAST",
        "REFUSAL",
    ]
    assert lines[6].split()[:4] == ["ding", "fault", "0", "3"]
    assert lines[6].endswith("2026-11-25 02:00:00  310000: signature refused")
    body = status_json(found, UTC)
    assert (body["running"], body["sessions"], body["watched"]) == (True, 0, "2026-11-25T02:00:00+00:00")
    assert body["channels"][1] == {
        "channel": "ding",
        "state": "fault",
        "since": "2026-11-25T02:00:00+00:00",
        "code": "310000",
        "detail": "signature refused",
        "queued": "2026-11-25T02:00:00+00:00",
        "deliveries": {"pending": 3},
    }
