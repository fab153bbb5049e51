"""Which channel is told of an alert, when, and in whose company; and which rule keeps it from one."""

from __future__ import annotations

import ipaddress
import json
import re
from datetime import timedelta, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from usm.core import model
from usm.core.hours import Hours, until
from usm.core.message import PENDING, SUPPRESSED, WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from usm.core.message import Alert

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
GROUP_BY = ("user", "source_ip", "host", "service", "kind", "severity", "method", "key", "person")
FAILURES = 60.0  # seconds; failed logins are counted at least as long before a channel is told of them
QUIET, FAILED = "quiet", "failed"


class Match(NamedTuple):
    """Conditions on an alert: all that are given must hold, and each holds for any of its values.

    Names are patterns (`deploy-*`); `sources`: networks, or None for logins at the machine itself; `rules`: any of
    them found something.
    """

    kinds: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    sources: tuple[Optional[Network], ...] = ()
    services: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()
    rules: tuple[str, ...] = ()

    def holds(self, alert: Alert, local: datetime) -> bool:
        """Tell whether all conditions hold for an alert that is told at this local time."""
        event = alert.event
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.severities or alert.severity in self.severities)
            and _named(event.user, self.users)
            and _named(event.service, self.services)
            and _named(event.host, self.hosts)
            and _named(event.key, self.keys)
            and (not self.sources or _within(event.source_ip, self.sources))
            and (not self.hours or any(span.hold(local) for span in self.hours))
            and (not self.rules or any(finding.rule in self.rules for finding in alert.findings))
        )


class Route(NamedTuple):
    """What one channel wants to be told, and how: the grouping words have Alertmanager's meanings, in seconds.

    `only`, `unless`: any of these must hold, none of these may. `quiet`: hours in which only critical alerts are told,
    the others at their end. `digests`: whether people read it.
    """

    channel: str
    only: tuple[Match, ...] = ()
    unless: tuple[Match, ...] = ()
    quiet: tuple[Hours, ...] = ()
    group_by: tuple[str, ...] = ()
    group_wait: float = 0.0
    group_interval: float = 30.0
    digests: bool = True

    @property
    def wants_failures(self) -> bool:
        """Tell whether failed logins are asked for by name: nobody is told of them unasked."""
        return any(model.FAILED in match.kinds for match in self.only)


class Slot(NamedTuple):
    """The place of an alert in one channel's queue.

    `group`: with whom it waits, until `due` or, where the group was told less than `interval` seconds before, until
    that has passed. `urgent`: its own lane, past what waits and what is held back. `reason`: what suppressed it.
    """

    channel: str
    state: str
    due: datetime
    urgent: bool = False
    group: Optional[str] = None
    interval: float = 0.0
    reason: Optional[str] = None


def route(alert: Alert, routes: Sequence[Route], ignore: Sequence[Match], now: datetime, local: datetime) -> list[Slot]:
    """Return a slot for every channel, also for those that are not told. `local`: `now` by the clock on the wall.

    Of failed logins only those channels know that ask for them: an attack would fill the queue with refusals.
    A critical alert is never ignored as automation, never grouped, and never waits for the end of quiet hours.
    """
    urgent = alert.severity == model.CRITICAL
    ignored = None if urgent else _number("ignore", ignore, alert, local)
    failed = alert.event.kind == model.FAILED
    asked = [r for r in routes if r.wants_failures] if failed else routes
    return [_slot(alert, r, now, local, ignored, urgent=urgent) for r in asked]


def _slot(alert: Alert, r: Route, now: datetime, local: datetime, ignored: Optional[str], *, urgent: bool) -> Slot:
    reason = ignored or _refused(r, alert, local)
    if reason is not None:
        return Slot(r.channel, SUPPRESSED, now, reason=reason)
    if urgent:
        return Slot(r.channel, PENDING, now, urgent=True)
    failed = alert.event.kind == model.FAILED
    quiet = until(r.quiet, local)
    if quiet is not None:
        return Slot(r.channel, WAITING, quiet.astimezone(timezone.utc), group=QUIET)
    if failed:
        due = now + timedelta(seconds=max(r.group_wait, FAILURES))
        return Slot(r.channel, WAITING, due, group=FAILED, interval=max(r.group_interval, FAILURES))
    if r.digests and r.group_wait > 0:
        due = now + timedelta(seconds=r.group_wait)
        return Slot(r.channel, WAITING, due, group=_group(alert, r.group_by), interval=r.group_interval)
    return Slot(r.channel, PENDING, now)


def _refused(r: Route, alert: Alert, local: datetime) -> Optional[str]:
    """Return which rule of the channel keeps the alert from it, None where none does."""
    if r.only and not any(match.holds(alert, local) for match in r.only):
        return "only: no rule holds"
    return _number("except", r.unless, alert, local)


def _number(word: str, matches: Sequence[Match], alert: Alert, local: datetime) -> Optional[str]:
    return next((f"{word}: rule {n}" for n, match in enumerate(matches, 1) if match.holds(alert, local)), None)


def _group(alert: Alert, group_by: Sequence[str]) -> str:
    """Return the name of an alert's group: what is in `group_by`, in a form that no value can imitate."""
    values = [alert.severity if name == "severity" else getattr(alert.event, name) for name in group_by]
    return json.dumps(["by", *values])


def literally(name: str) -> str:
    """Return a name as a pattern that only it fits."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _named(name: Optional[str], patterns: Sequence[str]) -> bool:
    return not patterns or (name is not None and any(fnmatchcase(name, pattern) for pattern in patterns))


def _within(source: Optional[str], networks: Sequence[Optional[Network]]) -> bool:
    """Tell whether an address is in a network; a name that could not be resolved is in none."""
    if source is None:
        return None in networks
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(network is not None and mapped in network for network in networks)
