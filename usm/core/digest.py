"""Many alerts → one message whose sums add up."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Optional

from usm.core import model
from usm.core.message import Alert, Digest, Top

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMED = 5  # values that are named of each fact: the rest is counted, and the host knows it


def digest(alerts: Iterable[Alert]) -> Digest:
    """Fold alerts, at least one, into a digest; a folded failure counts as often as it happened, a finding once.

    The same alerts give the same id.
    """
    identity = blake2b(digest_size=8)
    kinds, users, sources, hosts = (Counter[Optional[str]]() for _ in range(4))
    severity, abnormal, first, last, address = 0, 0, None, None, None
    host = ""
    for alert in alerts:
        event = alert.event
        count = 1 if event.kind == model.FINDING else event.count  # it is told once, of however many
        identity.update(f"{alert.id}\0".encode())
        kinds[event.kind] += count
        users[event.user] += count
        sources[event.source_ip] += count
        hosts[event.host] += count
        rank = model.SEVERITIES.index(alert.severity)
        severity = max(severity, rank)
        abnormal += count if rank >= model.SEVERITIES.index(model.WARNING) else 0
        first = event.time if first is None else min(first, event.time)
        until = event.until or event.time
        last = until if last is None else max(last, until)
        host, address = host or event.host, address or alert.address
    if first is None or last is None:
        raise ValueError("a digest of nothing")
    return Digest(
        identity.hexdigest(),
        model.SEVERITIES[severity],
        host,
        address,
        sum(kinds.values()),
        abnormal,
        tuple((kind, kinds[kind]) for kind in model.TOLD if kinds[kind]),
        _top(users),
        _top(sources),
        _top(hosts),
        first,
        last,
    )


def _top(counter: Counter[Optional[str]]) -> Top:
    ranked = sorted(counter.items(), key=lambda item: (-item[1], item[0] or ""))
    # One value more is named rather than counted as "1 other".
    named = ranked if len(ranked) == _NAMED + 1 else ranked[:_NAMED]
    rest = ranked[len(named) :]
    return Top(tuple(named), len(rest), sum(count for _, count in rest))
