"""What is usual for a user: which addresses, keys, methods and so on were seen, how often, and when.

Bounded: of each fact the most recent values are kept. Times are microseconds since 1970 UTC, as in the store.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core.model import Evidence, time_of
from usm.core.policy import network_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from usm.core.model import Event, Place

MOST = 128  # values of one fact that are remembered of one user
# The facts. `login`, `created` and `short` (sessions that were) are seen with the value "".
LOGIN, ADDRESS, NETWORK, COUNTRY, ASN = "login", "address", "network", "country", "asn"
KEY, METHOD, SERVICE, TARGET, SHELL, SHORT, CREATED = "key", "method", "service", "target", "shell", "short", "created"
FACTS = (LOGIN, ADDRESS, NETWORK, COUNTRY, ASN, KEY, METHOD, SERVICE, TARGET, SHELL, SHORT, CREATED)


class Seen(NamedTuple):
    """How often, and when."""

    first: int
    last: int
    times: int


class Profile:
    """What was seen of one user on one host: rows in the order in which they were seen last.

    `changed` and `gone` are what the store does not know yet.
    """

    __slots__ = ("_seen", "changed", "gone")

    def __init__(self, rows: Iterable[tuple[str, str, int, int, int]] = (), since: int = 0) -> None:
        self._seen: dict[str, dict[str, Seen]] = {}
        self.changed: set[tuple[str, str]] = set()
        self.gone: set[tuple[str, str]] = set()
        for fact, value, first, last, count in rows:
            if last >= since or fact == LOGIN:  # when somebody was here last is worth more than where from
                self._seen.setdefault(fact, {})[value] = Seen(first, last, count)

    def seen(self, fact: str, value: str = "") -> Optional[Seen]:
        """Return how often a value was seen, None where it never was."""
        return self._seen.get(fact, {}).get(value)

    def count(self, fact: str, value: str = "") -> int:
        """Return how often a value was seen."""
        seen = self.seen(fact, value)
        return 0 if seen is None else seen.times

    def values(self, fact: str) -> dict[str, Seen]:
        """Return all values of a fact."""
        return self._seen.get(fact, {})

    def latest(self, fact: str, most: int) -> tuple[Evidence, ...]:
        """Return the values that were seen last."""
        newest = islice(reversed(self.values(fact).items()), most)
        return tuple(Evidence(value, seen.times, time_of(seen.last)) for value, seen in newest)

    def learn(self, fact: str, time: int, value: str = "", count: int = 1) -> None:
        """Note that a value was seen; the one that was not seen for the longest time makes room."""
        known = self._seen.setdefault(fact, {})
        old = known.pop(value, None)  # what was seen last stands last
        if old is None:
            known[value] = Seen(time, time, count)
            if len(known) > MOST:
                oldest = min(known, key=lambda one: known[one].last)
                del known[oldest]
                self.changed.discard((fact, oldest))
                self.gone.add((fact, oldest))
        else:
            known[value] = Seen(min(old.first, time), max(old.last, time), old.times + count)
        self.changed.add((fact, value))
        self.gone.discard((fact, value))

    def learn_login(self, event: Event, time: int, place: Optional[Place]) -> None:
        """Note all that a login shows."""
        self.learn(LOGIN, time)
        for fact, value in _facts(event, place):
            self.learn(fact, time, value)


def _facts(event: Event, place: Optional[Place]) -> Iterator[tuple[str, str]]:
    if event.source_ip is not None:
        yield ADDRESS, event.source_ip
        yield NETWORK, network_of(event.source_ip)
    if place is not None and place.country is not None:
        yield COUNTRY, place.country
    if place is not None and place.asn is not None:
        yield ASN, str(place.asn)
    for fact, value in ((KEY, event.key), (METHOD, event.method), (SERVICE, event.service)):
        if value is not None:
            yield fact, value
