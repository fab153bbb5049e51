"""The left half: a batch of lines becomes events, sessions and alerts, and all of it is one transaction.

Killed before the commit: nothing happened, the lines are read again. Killed after it: nothing can be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usm.core import model
from usm.core.alert import alert_for
from usm.core.decode import Stamps, decode_syslog
from usm.core.pair import pair
from usm.core.recognize import recognize
from usm.core.sieve import sift
from usm.core.tally import tally

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from usm.core.model import Batch, Event, Host
    from usm.store import Store

_BULK = 65536  # bytes; from here on a batch asks for so many sessions that reading all open ones is cheaper


def ingest(
    store: Store, source: str, batch: Batch, *, stamps: Stamps, host: Host, channels: Sequence[str], now: datetime
) -> list[Event]:
    """Take in a batch and commit it; return the events that were told to `channels`.

    Raises StoreError; then nothing of the batch happened, and it can be taken in again.
    """
    sifted = sift(batch.data)
    told: list[Event] = []
    failed: list[Event] = []
    with store.transaction() as tx:
        if len(batch.data) > _BULK:
            tx.preload()
        for line in sifted.lines:
            record = decode_syslog(line, stamps)
            event = None if record is None else recognize(record)
            if event is None:
                continue
            if event.kind == model.FAILED:
                failed.append(event)
                continue
            pairing = pair(event, tx.related(event))
            for session in pairing.sessions:
                tx.put(session)
            if channels:
                told += pairing.events
        tx.add_failures(tally(failed, sifted.folds, stamps))
        for event in told:
            alert = alert_for(event, host)
            if alert is not None:
                tx.enqueue(alert, channels, now)
        tx.checkpoint(source, batch.cursor, now)
    return told
