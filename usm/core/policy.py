"""What the operator wants to be judged, and how: the rules as configured, calendars, networks, what is silenced."""

from __future__ import annotations

import ipaddress
from datetime import date, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from usm.core.hours import Hours
    from usm.core.route import Match, Network

_WEEK, _WEDNESDAY, _DAY = 7, 2, 24 * 60  # days; number of the day; minutes


class Setting(NamedTuple):
    """A rule as it is configured."""

    severity: str
    numbers: Mapping[str, float]


DEFAULTS: Mapping[str, Setting] = {name: Setting(rule.severity, rule.numbers) for name, rule in RULES.items()}


class Policy(NamedTuple):
    """What is judged, and how; a rule that is off is not in `rules`.

    `allow`, `hours`: name pattern → networks, hours; the first that fits counts. `days`: holidays (False) and make-up
    working days (True). `trusted`: networks that say nothing of where somebody is. `history`: how long what was seen
    is remembered; `learning`: how much of it is wanted before comparing with it gives an alarm.
    """

    rules: Mapping[str, Setting] = DEFAULTS
    silence: tuple[Match, ...] = ()
    allow: tuple[tuple[str, tuple[Optional[Network], ...]], ...] = ()
    trusted: tuple[Network, ...] = ()
    hours: tuple[tuple[str, tuple[Hours, ...]], ...] = ()
    days: Mapping[date, bool] = {}
    learning: timedelta = timedelta(days=7)
    history: timedelta = timedelta(days=90)

    def number(self, rule: str, name: str) -> float:
        """Return a parameter of a rule; 0 where the rule is off."""
        setting = self.rules.get(rule)
        return 0.0 if setting is None else setting.numbers[name]

    def works(self, user: str, local: datetime) -> Optional[bool]:
        """Tell whether a user works at this local time; None where nobody said when."""
        spans = next((spans for pattern, spans in self.hours if fnmatchcase(user, pattern)), None)
        if spans is None:
            return None
        minute, today = local.hour * 60 + local.minute, local.date()
        yesterday = today - timedelta(days=1)
        return any(
            (self._worked(span, today) and span.start <= minute < (span.end if span.start < span.end else _DAY))
            or (self._worked(span, yesterday) and minute < span.end <= span.start)
            for span in spans
        )

    def _worked(self, span: Hours, day: date) -> bool:
        """Tell whether a span of the clock is worked that begins on this day.

        A make-up day is as good as a Wednesday; whoever works every day of the week works on holidays too.
        """
        kind = self.days.get(day)
        if kind is None:
            return day.weekday() in span.days
        return _WEDNESDAY in span.days if kind else len(span.days) == _WEEK

    def allows(self, user: str) -> Optional[tuple[Optional[Network], ...]]:
        """Return from where a user may log in; None where nobody said."""
        return next((networks for pattern, networks in self.allow if fnmatchcase(user, pattern)), None)


@lru_cache(maxsize=4096)
def network_of(source: str) -> str:
    """Return the /24 or /48 that an address is in: what a provider gives one customer; a host name is itself."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))  # noqa: PLR2004 - IPv4
