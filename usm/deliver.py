"""The right half: one worker for each channel takes what is due from the outbox, sends it, and writes down the result.

Messages of a channel go in order. What fails for the channel's sake (network, rate, settings) holds the whole
channel back and stays visible as pending; what fails for its own sake becomes a dead letter, kept and listed.
Retry is a `due` time in the store: a worker sleeps until then, or until the left half has something new.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.backoff import budget_wait, delay
from usm.core.model import DEAD, PENDING, SENT, Alert, Deferred, Receipt, Rejected, Reply, Request, Sent
from usm.errors import StoreError, TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usm.channels import Channel
    from usm.core.text import Look
    from usm.store import Delivery, Store

log = logging.getLogger(__name__)
TICK = 60.0  # seconds; the outbox may also be changed by another process (`usm outbox retry`)
_LONGEST = 3600.0  # seconds; no wait is longer, whatever the other side demands or a clock set back pretends
_DISK = 5.0  # seconds between tries to write a result down


def attempt(
    channel: Channel, alert: Alert, now: datetime, look: Look, send: Callable[[Request], Reply], *, plain: bool = False
) -> Receipt:
    """Send one alert now and say what became of it; a peer that is not reached is a `Deferred` like any other."""
    try:
        return channel.receipt(send(channel.request(alert, now, look, plain=plain)), plain=plain)
    except TransportError as error:
        return Deferred("unreachable", str(error))


class Worker:
    """Delivers one channel's messages; `step` does one thing, `run` goes on until `stop`."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        limits: Sequence[tuple[int, float]],
        look: Look,
        store: Store,
        send: Callable[[Request], Reply],
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self.name = name
        self._channel, self._limits, self._look, self._store, self._send = channel, limits, look, store, send
        self._clock, self._jitter = clock, jitter
        self._wake = threading.Event()
        self._stopped = False
        longest = max((seconds for _, seconds in limits), default=0.0)
        recent = store.settled_since(name, clock() - timedelta(seconds=longest))
        self._tries = deque((t.timestamp() for t in recent), maxlen=max((count for count, _ in limits), default=1))
        self._unwritten: Optional[Delivery] = None
        self._said = ""

    def notify(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return after the message in hand."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Deliver until stopped."""
        while True:
            self._wake.clear()
            if self._stopped:  # asked behind the clearing: a stop between the two would be slept through
                return
            wait = self._step_safely()
            if wait > 0:
                self._wake.wait(wait)

    def _step_safely(self) -> float:
        try:
            wait = self.step()
        except StoreError as error:
            if str(error) != self._said:  # the same words are said once, not every five seconds
                self._said = str(error)
                log.error("%s: %s", self.name, error)
            return _DISK
        self._said = ""
        return wait

    def step(self) -> float:
        """Deliver one message if one is due; return how many seconds there is nothing to do."""
        self._write_down()
        delivery = self._store.first(self.name)
        if delivery is None:
            return TICK
        now = self._clock()
        if self._tries and self._tries[-1] > now.timestamp():  # the clock was set back: a span is waited for once
            self._tries = deque((min(t, now.timestamp()) for t in self._tries), maxlen=self._tries.maxlen)
        until_due = (delivery.due - now).total_seconds()
        wait = max(until_due if until_due <= _LONGEST else 0.0, budget_wait(self._tries, now.timestamp(), self._limits))
        if wait > 0:
            return min(wait, TICK)
        self._tries.append(now.timestamp())
        receipt = attempt(self._channel, delivery.alert, now, self._look, self._send, plain=delivery.plain)
        self._unwritten = self._settled(delivery, receipt, self._clock())
        self._write_down()
        return 0.0

    def _settled(self, delivery: Delivery, receipt: Receipt, now: datetime) -> Delivery:
        """Say what the receipt makes of the delivery."""
        attempts = delivery.attempts + 1
        if isinstance(receipt, Sent):
            if delivery.code is not None:
                log.info("%s: delivers again", self.name)
            return delivery._replace(state=SENT, attempts=attempts, code=None, detail=None)
        known = (delivery.code, delivery.detail) == (
            receipt.code,
            receipt.detail,
        )  # the same trouble is said once, not at every try
        gone = isinstance(receipt, Rejected) or (receipt.last is not None and attempts >= receipt.last)
        level = logging.ERROR if gone or (isinstance(receipt, Deferred) and receipt.fault) else logging.WARNING
        if gone or not known:
            log.log(
                level,
                "%s: %s: %s%s",
                self.name,
                receipt.code,
                receipt.detail,
                "; given up" if gone else "; kept, tried again",
            )
        failed = delivery._replace(attempts=attempts, code=receipt.code, detail=receipt.detail)
        if isinstance(receipt, Rejected) or gone:
            return failed._replace(state=DEAD)
        if receipt.plain:
            return failed._replace(plain=True, due=now)
        wait = delay(attempts, self._jitter(), demanded=receipt.wait or 0.0, fault=receipt.fault)
        return failed._replace(state=PENDING, due=now + timedelta(seconds=min(wait, _LONGEST)))

    def _write_down(self) -> None:
        """Settle before anything else is sent: on a full disk a message must not go out again and again."""
        if self._unwritten is not None:
            self._store.settle(self._unwritten, self._clock())
            self._unwritten = None
