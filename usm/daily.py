"""Once a day: what happened, what is abnormal, what still waits, and where the record ends, told to every channel.

The end of the record (the chain's head) is what later proves that nobody cut or replaced it: `usm verify --head`.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Optional

from usm import ledger
from usm.core.message import DEAD, PENDING, WAITING, Summary
from usm.core.model import FAILED, INFO, TOLD, micros
from usm.core.route import Slot
from usm.history import found_since

if TYPE_CHECKING:
    import sqlite3

    from usm.ingest import Watch
    from usm.store import Store

_LAST = "summary"  # the fact in the store that says up to when it was told
_DAY = timedelta(days=1)


def summarise(store: Store, watch: Watch, at: Optional[int], now: datetime) -> bool:
    """Tell the summary if it is due, `at` so many minutes after midnight; return whether it was told."""
    if at is None or not watch.routes:
        return False
    local = now.astimezone(watch.zone)
    today = local.replace(hour=at // 60, minute=at % 60, second=0, microsecond=0)
    due = today if today <= local else today - _DAY
    said = store.facts().get(_LAST)
    last = None if said is None else datetime.fromisoformat(said)
    if last is not None and last >= due:
        return False
    with store.transaction() as tx:
        tx.note(_LAST, now.isoformat())
        if last is None:  # it was not configured before: there is a whole day of it tomorrow
            return False
        message = _made(tx.connection, watch, last, now)
        tx.enqueue(message, [Slot(r.channel, PENDING, now, urgent=True) for r in watch.routes], now)
    return True


def _made(db: sqlite3.Connection, watch: Watch, since: datetime, now: datetime) -> Summary:
    span = (micros(since), micros(now))
    kinds = dict(db.execute("SELECT kind, count(*) FROM record WHERE time >= ? AND time < ? GROUP BY kind", span))
    failed = "SELECT coalesce(sum(count), 0) FROM failure WHERE time >= ? AND time < ?"
    kinds[FAILED] = db.execute(failed, span).fetchone()[0]
    found: Counter[str] = Counter()
    for finding in found_since(db, *span):
        found[finding["rule"]] += finding["severity"] != INFO
    (on,) = db.execute('SELECT count(*) FROM session WHERE "end" IS NULL').fetchone()
    states = dict(db.execute("SELECT state, count(*) FROM outbox GROUP BY state"))
    head = ledger.head(db)
    identity = blake2b(f"summary\0{watch.host.name}\0{since.isoformat()}\0{head}".encode(), digest_size=8).hexdigest()
    return Summary(
        identity,
        INFO,
        watch.host.name,
        watch.host.addresses[0] if watch.host.addresses else None,
        since,
        now,
        tuple((kind, kinds[kind]) for kind in TOLD if kinds.get(kind)),
        tuple((rule, count) for rule, count in found.most_common() if count),
        on,
        states.get(PENDING, 0) + states.get(WAITING, 0),
        states.get(DEAD, 0),
        str(head),
    )
