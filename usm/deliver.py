"""The right half: one worker for each endpoint takes what is due from the outbox, sends it, and writes down the result.

A channel has two lanes, each in order: critical alerts and faults of other channels, and everything else. What fails
for the channel's sake (network, rate, settings) holds the whole endpoint back and stays visible as pending; what fails
for its own sake becomes a dead letter, kept and listed. More than can be sent soon becomes a digest.
Retry is a `due` time in the store: a worker sleeps until then, or until the left half has something new.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from usm.core.backoff import budget_wait, capacity, delay, reserved
from usm.core.message import (
    DEAD,
    FAULT,
    PENDING,
    SENT,
    WORKS,
    Deferred,
    Message,
    Receipt,
    Rejected,
    Reply,
    Request,
    Sent,
    Trouble,
)
from usm.core.model import CRITICAL, NOTICE, Host
from usm.core.route import FAILED
from usm.errors import StoreError, TransportError
from usm.outbox import LARGEST, Outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usm.channels import Channel
    from usm.core.look import Look
    from usm.outbox import Delivery
    from usm.store import Store

log = logging.getLogger(__name__)
TICK = 60.0  # seconds; the outbox may also be changed by another process (`usm outbox retry`)
SOON = 10.0  # seconds; what can't be sent one by one within them becomes a digest
OPEN = 5  # failed tries in a row that open the breaker: not even a critical alert is tried before the next probe
UNREACHABLE = "unreachable"
_LONGEST = 3600.0  # seconds; no wait is longer, whatever the other side demands or a clock set back pretends
_DISK = 5.0  # seconds between tries to write a result down


class Outlet(NamedTuple):
    """One configured channel, as its worker sees it; after a digest for a flood it is quiet for `interval` seconds."""

    name: str
    channel: Channel
    limits: Sequence[tuple[int, float]]
    look: Look
    interval: float = 30.0


def attempt(
    channel: Channel,
    message: Message,
    now: datetime,
    look: Look,
    send: Callable[[Request], Reply],
    *,
    plain: bool = False,
) -> Receipt:
    """Send one message now and say what became of it; a peer that is not reached is a `Deferred` like any other.

    A message that the channel fails to write is a bug, and a dead letter: crashing would meet it again for ever.
    """
    try:
        request = channel.request(message, now, look, plain=plain)
    except Exception:
        log.exception("a message of type %s could not be written", type(message).__name__)
        return Rejected("bug", "the message could not be written: please report it, with the log")
    try:
        return channel.receipt(send(request), plain=plain)
    except TransportError as error:
        return Deferred(UNREACHABLE, str(error))


class Worker:
    """Delivers for the channels that share one endpoint; `step` does one thing, `run` goes on until `stop`.

    `others`: the channels that are told when a setting of one of these is wrong; `wake` is called when they were.
    """

    def __init__(
        self,
        outlets: Sequence[Outlet],
        store: Store,
        send: Callable[[Request], Reply],
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        *,
        host: Optional[Host] = None,
        others: Sequence[str] = (),
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.names = [outlet.name for outlet in outlets]
        self._outlets, self._outbox, self._send = outlets, Outbox(store), send
        self._clock, self._jitter = clock, jitter
        self._host, self._others, self._tell_others = host or Host(""), others, wake
        self._wake = threading.Event()
        self._stopped: Optional[datetime] = None
        limits = [limit for outlet in outlets for limit in outlet.limits]
        longest = max((seconds for _, seconds in limits), default=0.0)
        recent = self._outbox.tried_since(self.names, clock() - timedelta(seconds=longest))
        self._tries = deque((t.timestamp() for t in recent), maxlen=max((count for count, _ in limits), default=1))
        self._calm: dict[str, datetime] = {}  # until when a channel that was flooded is left in peace
        self._unwritten: Optional[tuple[Delivery, bool]] = None
        self._said = ""
        self._trouble: dict[str, tuple[Optional[str], Optional[str]]] = {}

    def notify(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    def stop(self, until: Optional[datetime] = None) -> None:
        """Let `run` return after the message in hand, or when nothing is due any more, but not later than `until`."""
        self._stopped = until or self._clock()
        self._wake.set()

    def close(self) -> None:
        """Let go of the store."""
        self._outbox.close()

    def run(self) -> None:
        """Deliver until stopped."""
        while True:
            self._wake.clear()
            # Asked behind the clearing: a stop between the two would be slept through.
            if self._stopped is not None and self._clock() >= self._stopped:
                return
            wait = self._step_safely()
            if wait > 0 and self._stopped is not None:
                return
            if wait > 0:
                self._wake.wait(wait)

    def _step_safely(self) -> float:
        try:
            wait = self.step()
        except StoreError as error:
            if str(error) != self._said:  # the same words are said once, not every five seconds
                self._said = str(error)
                log.error("%s: %s", ", ".join(self.names), error)
            return _DISK
        self._said = ""
        return wait

    def step(self) -> float:
        """Deliver one message if one is due; return how many seconds there is nothing to do."""
        self._write_down()
        now = self._clock()
        if self._tries and self._tries[-1] > now.timestamp():  # the clock was set back: a span is waited for once
            self._tries = deque((min(t, now.timestamp()) for t in self._tries), maxlen=self._tries.maxlen)
        wait = min(self._gather(outlet, now) for outlet in self._outlets)
        held = self._outbox.held(self.names)
        # What is urgent goes first; where even that has to wait, nothing else may go.
        heads = [(outlet, self._outbox.first(outlet.name)) for outlet in self._outlets]
        for outlet, delivery in sorted(heads, key=lambda head: head[1] is None or not head[1].urgent):
            if delivery is None:
                continue
            pause = self._pause(outlet, delivery, held, now)
            if pause <= 0:
                self._deliver(outlet, self._digested(outlet, delivery, now), now)
                return 0.0
            wait = min(wait, pause)
        return wait

    def _gather(self, outlet: Outlet, now: datetime) -> float:
        """Let go the groups whose time has come; return the seconds until the next one's, a minute at most."""
        while (group := self._outbox.next_group(outlet.name)) is not None:
            name, due = group
            if due > now:
                return min(TICK, (due - now).total_seconds())
            self._outbox.gather(outlet.name, now, name, singly=not outlet.channel.digests and name != FAILED)
        return TICK

    def _pause(self, outlet: Outlet, delivery: Delivery, held: Optional[Delivery], now: datetime) -> float:
        """Return how many seconds this delivery has to wait: for what failed, for the budget, for a flood to ebb."""
        limits = outlet.limits if delivery.urgent else reserved(outlet.limits)
        pause = budget_wait(self._tries, now.timestamp(), limits)
        if held is not None and not self._may_pass(delivery, held):
            until = (held.due - now).total_seconds()
            pause = max(pause, until if until <= _LONGEST else 0.0)
        if not delivery.urgent and delivery.attempts == 0 and outlet.name in self._calm:
            until = (self._calm[outlet.name] - now).total_seconds()
            pause = max(pause, until if until <= outlet.interval else 0.0)
        return min(pause, TICK)

    @staticmethod
    def _may_pass(delivery: Delivery, held: Delivery) -> bool:
        """Tell whether a new critical alert may be tried though the last try failed: a moment's trouble only."""
        fresh = delivery.urgent and delivery.attempts == 0
        return fresh and held.code == UNREACHABLE and held.attempts < OPEN

    def _digested(self, outlet: Outlet, delivery: Delivery, now: datetime) -> Delivery:
        """Return what to send now: a digest of the backlog, where that can't be sent soon one by one."""
        as_it_is = delivery.urgent or delivery.attempts or delivery.members
        if as_it_is or not outlet.channel.digests or not outlet.limits:
            return delivery
        room = capacity(self._tries, now.timestamp(), reserved(outlet.limits), SOON)
        if self._outbox.backlog(outlet.name, room + 1) <= room:
            return delivery
        if self._outbox.gather(outlet.name, now) < LARGEST:  # else there is more of it, for another digest
            self._calm[outlet.name] = now + timedelta(seconds=outlet.interval)
        return self._outbox.first(outlet.name) or delivery

    def _deliver(self, outlet: Outlet, delivery: Delivery, now: datetime) -> None:
        self._tries.append(now.timestamp())
        receipt = attempt(outlet.channel, delivery.message, now, outlet.look, self._send, plain=delivery.plain)
        fault = isinstance(receipt, Deferred) and receipt.fault
        self._unwritten = self._settled(delivery, receipt, self._clock()), fault
        self._write_down()

    def _settled(self, delivery: Delivery, receipt: Receipt, now: datetime) -> Delivery:
        """Say what the receipt makes of the delivery."""
        attempts, name = delivery.attempts + 1, delivery.channel
        if isinstance(receipt, Sent):
            if receipt.note is not None and self._trouble.get(name) != (None, receipt.note):
                log.warning("%s: %s", name, receipt.note)
            self._trouble[name] = (None, receipt.note)
            return delivery._replace(state=SENT, attempts=attempts, code=None, detail=None)
        gone = isinstance(receipt, Rejected) or (receipt.last is not None and attempts >= receipt.last)
        grave = gone or (isinstance(receipt, Deferred) and receipt.fault)
        known = self._trouble.get(name) == (receipt.code, receipt.detail)
        self._trouble[name] = (receipt.code, receipt.detail)
        if gone or not known:  # the same trouble is said once, not at every try
            level = logging.ERROR if grave else logging.WARNING
            what = "given up" if gone else "kept, tried again"
            log.log(level, "%s: %s: %s; %s", name, receipt.code, receipt.detail, what)
        failed = delivery._replace(attempts=attempts, code=receipt.code, detail=receipt.detail)
        if isinstance(receipt, Rejected) or gone:
            return failed._replace(state=DEAD)
        if receipt.plain:
            return failed._replace(plain=True, due=now)
        wait = delay(attempts, self._jitter(), demanded=receipt.wait or 0.0, fault=receipt.fault)
        return failed._replace(state=PENDING, due=now + timedelta(seconds=min(wait, _LONGEST)))

    def _write_down(self) -> None:
        """Settle before anything else is sent: on a full disk a message must not go out again and again."""
        if self._unwritten is None:
            return
        (delivery, fault), now = self._unwritten, self._clock()
        forget = datetime.fromtimestamp(self._tries[0], timezone.utc) if self._tries else now
        before, after = self._outbox.settle(
            delivery, now, fault=fault, forget=forget, notice=self._notice, others=self._others
        )
        self._unwritten = None
        if after == WORKS and before != WORKS:
            log.info("%s: delivers again", delivery.channel)
        if FAULT in (before, after) and before != after:
            self._tell_others()

    def _notice(self, delivery: Delivery, now: datetime) -> Trouble:
        """Return what the other channels are told of a fault, or, once something was sent, of its end."""
        mended = delivery.state == SENT
        address = self._host.addresses[0] if self._host.addresses else None
        name = f"{delivery.channel}\0{now.timestamp()}\0{mended}"  # a header must take the id, so not as it is
        identity = blake2b(name.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
        severity = NOTICE if mended else CRITICAL
        what = (delivery.channel, delivery.code or "", delivery.detail or "")
        return Trouble(identity, severity, self._host.name, address, *what, now, mended)
