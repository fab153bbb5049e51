"""Judges what shows only in many: failed logins, refused privileges, ends of sessions. One alert with counts each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core import model
from usm.core.incident import DAY, grow
from usm.core.judge import find
from usm.core.model import Event, Finding, micros, time_of
from usm.core.recent import KEPT, Entry, within
from usm.core.rules.case import Verdict
from usm.core.rules.others import burst, counts_as_mass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

    from usm.core.model import Failure
    from usm.core.policy import Policy
    from usm.core.rules.others import Burst
    from usm.transaction import Transaction

SOURCE, USER, PRIVILEGE, ENDS = "source", "user", "privilege", "ends"  # what windows are kept of
# The rules for sources: what of is counted, and whether names that exist (0) or not (1).
_OF_SOURCES = (("failed-source", "failures", None), ("enumeration", "users", 1), ("spraying", "users", 0))
_BRIEF = 1_000_000  # microseconds; what is folded of so short a time is taken as one moment
_PIECES = 8  # entries that a folded row is spread over
_EXAMPLES = 5  # users or sources that a message names


class Found(NamedTuple):
    """What a rule found beside the events of the log."""

    event: Event
    verdict: Verdict


class Bursts:
    """Counts in windows that the store keeps; what was told is told again only when it has grown, or goes on."""

    def __init__(self, policy: Policy, zone: tzinfo) -> None:
        self._policy, self._zone = policy, zone

    def failures(self, tx: Transaction, failures: Sequence[Failure]) -> list[Found]:
        """Return what the failed logins of a batch show, together with those before."""
        found: list[Found] = []
        for failure in failures:
            found += self._from_source(tx, failure)
            for user, count in _tried(failure).items():
                found += self._of_user(tx, failure, user, count)
        return found

    def refused(self, tx: Transaction, event: Event) -> list[Found]:
        """Return what it shows that su or sudo refused somebody, together with the times before."""
        rule, time, user = "privilege-failed", micros(event.time), event.user or ""
        before, entries = self._add(tx, PRIVILEGE, event.host, user, [Entry(time, event.count, event.target or "")])
        found = self._burst(rule, "failures", before, entries, time)
        told = event._replace(kind=model.FINDING, source_ip=None, method=None, target=None, command=None)
        return self._many(tx, rule, user, told, found, event.count, {"user": user})

    def ended(self, tx: Transaction, event: Event) -> list[Found]:
        """Return whether the end of a session is one of many."""
        span = self._policy.number("mass-end", "within")
        if not counts_as_mass(event) or (event.duration or 0.0) < span:  # those that came one after the other
            return []
        rule, time = "mass-end", micros(event.time)
        before, entries = self._add(tx, ENDS, event.host, "", [Entry(time, 1, event.user or "")])
        found = self._burst(rule, "sessions", before, entries, time)
        told = Event(model.FINDING, event.time, event.host, event.service)
        return self._many(tx, rule, "", told, found, 1, {})

    def _from_source(self, tx: Transaction, failure: Failure) -> list[Found]:
        name, time = failure.source_ip or "", micros(failure.until)
        before, entries = self._add(tx, SOURCE, failure.host, name, _of_all(failure))
        event = Event(model.FINDING, failure.time, failure.host, failure.service, source_ip=failure.source_ip)
        tried = sum(times for *_, times in failure.who)
        found: list[Found] = []
        for rule, limit, flag in (
            ("failed-source", "failures", None),
            ("enumeration", "users", 1),
            ("spraying", "users", 0),
        ):
            many = self._burst(rule, limit, before, entries, time, flag=flag)
            users = "" if many is None else ", ".join(many.tags[-_EXAMPLES:])
            found += self._many(tx, rule, "", event, many, tried, {"users": users}, name or "local")
        return found

    def _of_user(self, tx: Transaction, failure: Failure, user: str, count: int) -> list[Found]:
        rule, time = "failed-user", micros(failure.until)
        new = _entries(failure, count, failure.source_ip or "local")
        before, entries = self._add(tx, USER, failure.host, user, new)
        many = self._burst(rule, "failures", before, entries, time)
        sources = () if many is None else many.tags
        event = Event(model.FINDING, failure.time, failure.host, failure.service, user)
        facts = {"user": user, "sources": str(len(sources)), "examples": ", ".join(sources[-_EXAMPLES:])}
        return self._many(tx, rule, user, event, many, count, facts)

    def _many(
        self,
        tx: Transaction,
        rule: str,
        key: str,
        event: Event,
        many: Optional[Burst],
        new: int,
        facts: Mapping[str, str],
        name: str = "",
    ) -> list[Found]:
        """Add to what goes on, or begin it; `new` of them are new, from `name`, or whoever the window names."""
        if many is None or rule not in self._policy.rules:
            return []
        # What is silenced must not count as told: somebody else's may come behind it.
        if not isinstance(find(Verdict(rule, None), event, self._policy, event.time.astimezone(self._zone)), Finding):
            return []
        before, time = tx.history.incident(rule, event.host, key), max(many.first, micros(event.time))
        goes_on = before is not None and time - before.last <= DAY and not many.fresh
        names = (name,) if name else many.tags
        incident, tell = grow(before, many.first, time, new if goes_on else many.times, names)
        tx.history.put(rule, event.host, key, incident)
        if not tell:
            return []
        whole = {
            **facts,
            "count": str(incident.times),
            "since": time_of(incident.since).isoformat(),
            "names": ", ".join(incident.names),
        }
        first, last = min(event.time, time_of(many.first)), time_of(max(time, incident.last))
        zone = event.time.tzinfo
        told = event._replace(
            time=first.astimezone(zone), until=last.astimezone(zone) if last > first else None, count=incident.times
        )
        return [Found(told, Verdict(rule, None, whole))]

    def _add(
        self, tx: Transaction, scope: str, host: str, name: str, entries: Sequence[Entry]
    ) -> tuple[list[Entry], list[Entry]]:
        """Add to a window; return what was in it, and what is."""
        recent = tx.history.recent(scope, host, name)
        before = recent.entries
        recent.add(*entries)
        tx.history.touch(scope, host, name, recent.entries[-1].time)
        return before, recent.entries

    def _burst(
        self,
        rule: str,
        limit: str,
        before: Sequence[Entry],
        entries: Sequence[Entry],
        time: int,
        flag: Optional[int] = None,
    ) -> Optional[Burst]:
        """Return what a window holds if that is so many as to be told; `fresh` if it was not when the last one came."""
        most, distinct = self._policy.number(rule, limit), limit == "users"
        found = burst(self._within(entries, rule, time), most, distinct=distinct, flag=flag)
        if found is None:
            return None
        last = before[-1].time if before else 0
        was = burst(self._within(before, rule, last), most, distinct=distinct, flag=flag)
        return found._replace(fresh=was is None or last <= time - self._span(rule))

    def _within(self, entries: Sequence[Entry], rule: str, until: int) -> list[Entry]:
        return within(entries, until - self._span(rule), until)

    def _span(self, rule: str) -> int:
        return round(self._policy.number(rule, "within") * 1e6)


def _tried(failure: Failure) -> dict[str, int]:
    """Return the accounts that were tried, as far as they exist: an attacker invents a million others."""
    tried: dict[str, int] = {}
    for user, _, invalid, times in failure.who:
        if user and not invalid:
            tried[user] = tried.get(user, 0) + times
    return tried


def _of_all(failure: Failure) -> list[Entry]:
    who = failure.who[-KEPT:]
    return [entry for user, _, invalid, times in who for entry in _entries(failure, times, user, int(invalid))]


def _entries(failure: Failure, times: int, tag: str, flag: int = 0) -> list[Entry]:
    """Return a folded row's failures of one user as entries, as if they were spread evenly over its time."""
    first, last = micros(failure.time), micros(failure.until)
    pieces = 1 if last - first < _BRIEF else min(times, _PIECES)
    step = (last - first) / max(1, pieces - 1)
    counts = [times * (n + 1) // pieces - times * n // pieces for n in range(pieces)]
    return [Entry(last - round(step * (pieces - 1 - n)), count, tag, flag) for n, count in enumerate(counts)]
