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

_EVERY_DAY = 7
_WEDNESDAY = date(2026, 11, 25)  # what a Saturday is that is worked


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

    def works(self, user: str, local: datetime) -> Optional[bool]:
        """Tell whether a user works at this local time; None where nobody said when."""
        spans = next((spans for pattern, spans in self.hours if fnmatchcase(user, pattern)), None)
        if spans is None:
            return None
        day = self.days.get(local.date())
        if day is False:  # whoever works every day of the week works on holidays too
            spans = tuple(span for span in spans if len(span.days) == _EVERY_DAY)
        if day is True:
            local = local.replace(year=_WEDNESDAY.year, month=_WEDNESDAY.month, day=_WEDNESDAY.day)
        return any(span.hold(local) for span in spans)

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
