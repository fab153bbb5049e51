"""The threads of the right half: one for each endpoint, and what a new configuration makes of them."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from tests.fakes.feishu import FakeFeishu
from tests.support import slots
from usm import config
from usm.core.alert import alert_for
from usm.core.message import PENDING, SENT
from usm.core.model import LOGIN, Event, Host
from usm.outbox import Outbox
from usm.store import Store
from usm.workers import Workers, by_endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.service import Request


NOW = datetime(2026, 11, 23, 2, 5, 7, tzinfo=timezone.utc)
PATIENCE = 60.0


def configured(place: Path, **urls: str) -> config.Config:
    """Return a configuration with these Feishu channels."""
    text = f"state: {place}/state.db\nlanguage: en\nnotify:\n"
    text += "".join(f"  {name}: {{type: feishu, webhook_url: '{url}', rate: []}}\n" for name, url in urls.items())
    (place / "config.yaml").write_text(text)
    return config.load(str(place / "config.yaml"))


def enqueue(store: Store, number: int, *channels: str) -> None:
    """Put a message into the outbox."""
    made = alert_for(Event(LOGIN, NOW, "web01", "sshd", f"u{number}", session=f"{number:016x}"), Host("web01"))
    assert made is not None
    with store.transaction() as tx:
        tx.enqueue(made, slots(NOW, *channels), NOW)


class Slow(FakeFeishu):
    """A service that answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()
        super().__init__(limits=())

    def check(self, request: Request) -> dict[str, Any]:
        """Wait."""
        self.asked.set()
        assert self.go.wait(PATIENCE)
        return super().check(request)


def test_one_endpoint_has_one_worker(tmp_path: Path) -> None:
    """Its limit is shared by all channels that send there."""
    same, other = "http://127.0.0.1:9/open-apis/bot/v2/hook/x", "http://127.0.0.1:9/open-apis/bot/v2/hook/y"
    found = by_endpoint(configured(tmp_path, a=same, b=other, c=same).notify)
    assert [[n.name for n in shared] for shared in found] == [["a", "c"], ["b"]]


def test_a_new_configuration_waits_for_the_message_in_hand(tmp_path: Path) -> None:
    """It is sent once, however long it takes; the caller waits for nothing, and other channels neither."""
    store = Store(str(tmp_path / "state.db"))
    workers = Workers(lambda: NOW, lambda: 0.0)
    with Slow() as slow, FakeFeishu(limits=()) as fast:
        workers.start(configured(tmp_path, slow=slow.url), Host("web01"))
        enqueue(store, 1, "slow")
        workers.notify()
        assert slow.asked.wait(PATIENCE)
        workers.start(configured(tmp_path, slow=slow.url, fast=fast.url), Host("web01"))
        enqueue(store, 2, "slow", "fast")
        workers.notify()
        slow.go.set()
        fast.wait_for(1, PATIENCE)
        slow.wait_for(2, PATIENCE)
        workers.stop(NOW, PATIENCE)
        assert [text.count("u1") > 0 for text in slow.texts()] == [True, False]
    assert [d.state for d in Outbox(store).deliveries((PENDING, SENT))] == [SENT] * 3


def test_at_the_end_what_is_due_is_still_sent(tmp_path: Path) -> None:
    """Up to the time that is given; then the rest waits for the next start."""
    store = Store(str(tmp_path / "state.db"))
    with FakeFeishu(limits=()) as service:
        workers = Workers(lambda: NOW, lambda: 0.0)
        workers.start(configured(tmp_path, a=service.url), Host("web01"))
        for number in range(5):
            enqueue(store, number, "a")
        workers.stop(NOW + timedelta(seconds=1), PATIENCE)
        assert len(service.texts()) == 5
        workers.start(configured(tmp_path, a=service.url), Host("web01"))
        workers.stop(NOW, PATIENCE)
        enqueue(store, 6, "a")
        assert len(service.texts()) == 5
    assert [d.state for d in Outbox(store).deliveries()] == [PENDING]
