"""Failed logins → one `Failure` for each source in a batch: who was tried, how often, from when to when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from usm.core.decode import Stamps, decode_syslog
from usm.core.model import FAILED, Event, Failure
from usm.core.programs.row import address
from usm.core.programs.sshd import refused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from usm.core.sieve import Fold

_Who = tuple[str, Optional[str], bool]


class _Source:
    """What is known of one source so far."""

    def __init__(self, time: datetime) -> None:
        self.time = self.until = time
        self.who: dict[_Who, int] = {}

    def add(self, who: _Who, count: int, time: datetime, until: datetime) -> None:
        self.who[who] = self.who.get(who, 0) + count
        self.time = min(self.time, time)
        self.until = max(self.until, until)


def tally(events: Iterable[Event], folds: Iterable[Fold], stamps: Stamps) -> list[Failure]:
    """Merge failures that came one by one with those that the sieve folded."""
    sources: dict[tuple[str, str, Optional[str]], _Source] = {}
    for event in events:
        entry = sources.setdefault((event.host, event.service, event.source_ip), _Source(event.time))
        entry.add((event.user or "", event.method, event.invalid_user), event.count, event.time, event.time)
    for fold in folds:
        ip = address(fold.source.decode("utf-8", "backslashreplace"))
        begin = decode_syslog(fold.first, stamps) or decode_syslog(fold.last, stamps)
        if ip is None or begin is None:
            continue  # not a line of sshd's
        until = stamps.of(fold.last) or begin.time
        entry = sources.setdefault((begin.host, "sshd", ip), _Source(begin.time))
        for text, count in fold.who.items():
            who = refused(text.decode("utf-8", "backslashreplace"))
            if who is not None:
                entry.add((who.user, who.method, who.invalid_user), count, begin.time, until)
    return [
        Failure(host, service, ip, entry.time, entry.until, tuple((*who, count) for who, count in entry.who.items()))
        for (host, service, ip), entry in sources.items()
        if entry.who
    ]


def untally(failure: Failure) -> list[Event]:
    """Return an event for each account that was tried from the source, with how often."""
    until = failure.until if failure.until > failure.time else None
    return [
        Event(
            FAILED,
            failure.time,
            failure.host,
            failure.service,
            user or None,
            failure.source_ip,
            method=method,
            invalid_user=invalid_user,
            count=count,
            until=until,
        )
        for user, method, invalid_user, count in failure.who
    ]
