"""What is judged, and how, as it is configured: `judge:` and `silence:`."""

from __future__ import annotations

import os
import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Optional

from usm import routing
from usm.core.model import SEVERITIES
from usm.core.policy import Policy, Setting
from usm.core.recent import KEPT
from usm.core.rules import DAY, RULES, SPANS
from usm.settings import join, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usm.core.hours import Hours
    from usm.core.route import Network
    from usm.settings import Settings

OWN = ("judge", "silence")
KEYS = ("rules", "learning", "history", "allow", "trusted", "hours", "holidays", "places")
_DAY = re.compile(r"(?P<day>\d{4}-\d\d-\d\d)\s+(?P<what>off|work)\s*(?:#.*)?", re.ASCII)
_LARGEST = 1 << 18  # bytes of a file of holidays
_FARTHEST = 100_000  # km, or km/h


def policy(settings: Settings, data: Mapping[str, Any]) -> tuple[Policy, tuple[str, ...]]:
    """Read what is judged, and the paths of the files that tell where an address is."""
    section = settings.section(data, "judge", "")
    settings.unknown(section, "judge", KEYS)
    default = Policy()
    learning, history = (settings.seconds(section, key, "judge") for key in ("learning", "history"))
    places = settings.words(section, "places", "judge")
    if any(not os.path.isabs(path) for path in places):
        settings.problem(
            "judge.places", "must be absolute paths of files in MaxMind's format, such as GeoLite2-City.mmdb"
        )
    made = Policy(
        _rules(settings, section),
        routing.matches(settings, data.get("silence"), "silence"),
        tuple(_allow(settings, section)),
        tuple(n for n in routing.sources(settings, section, "trusted", "judge") if n is not None),
        tuple(_hours(settings, section)),
        _days(settings, section),
        default.learning if learning is None else timedelta(seconds=learning),
        default.history if history is None else timedelta(seconds=history),
    )
    return made, places


def _rules(settings: Settings, section: Mapping[str, Any]) -> dict[str, Setting]:
    rules = dict(Policy().rules)
    for name, value in settings.section(section, "rules", "judge").items():
        where = join("judge.rules", shown(name))
        if name not in RULES:
            settings.problem(where, f"is no rule that is known here{nearest(name, tuple(RULES))}")
        elif value is False or value == "off":  # not 0, which equals it
            del rules[name]
        elif isinstance(value, str) and value in SEVERITIES:
            rules[name] = rules[name]._replace(severity=value)
        elif isinstance(value, dict):
            rules[name] = _setting(settings, name, value, where)
        else:
            settings.problem(where, f"must be off, a severity ({', '.join(SEVERITIES)}), or keys such as `severity:`")
    return rules


def _setting(settings: Settings, name: str, value: Mapping[str, Any], where: str) -> Setting:
    rule = RULES[name]
    settings.unknown(value, where, ("severity", *rule.numbers))
    severity = settings.choice(value, "severity", where, SEVERITIES) or rule.severity
    numbers = dict(rule.numbers)
    for key in rule.numbers:
        if key in SPANS:
            seconds = settings.seconds(value, key, where)
            if key == "within" and seconds is not None and not 0 < seconds <= DAY:
                settings.problem(join(where, key), "must be a day (1d) at most: no more is remembered of it")
            numbers[key] = numbers[key] if seconds is None else seconds
        elif key in value:
            given, most = value[key], _FARTHEST if key in ("speed", "distance") else KEPT
            least = 0 if key == "usual" else 1
            if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
                settings.problem(join(where, key), f"must be a whole number from {least} to {most}")
            else:
                numbers[key] = given
    return Setting(severity, numbers)


def _allow(settings: Settings, section: Mapping[str, Any]) -> list[tuple[str, tuple[Optional[Network], ...]]]:
    """Read from where users may log in: a list for all, or name patterns with a list each."""
    value = section.get("allow")
    if value is None:
        return []
    if not isinstance(value, dict):
        return [("*", routing.sources(settings, section, "allow", "judge"))]
    return [(name, routing.sources(settings, value, name, "judge.allow")) for name in _names(settings, value, "allow")]


def _hours(settings: Settings, section: Mapping[str, Any]) -> list[tuple[str, tuple[Hours, ...]]]:
    """Read when users work: hours for all, or name patterns with hours each."""
    value = section.get("hours")
    if value is None:
        return []
    if not isinstance(value, dict):
        return [("*", routing.hours_of(settings, section, "hours", "judge"))]
    return [(name, routing.hours_of(settings, value, name, "judge.hours")) for name in _names(settings, value, "hours")]


def _names(settings: Settings, value: Mapping[Any, Any], key: str) -> list[str]:
    if not all(isinstance(name, str) and name for name in value):
        settings.problem(f"judge.{key}", "must have names of users as keys, such as `ops-*`; put numbers in quotes")
    return [name for name in value if isinstance(name, str) and name]


def _days(settings: Settings, section: Mapping[str, Any]) -> dict[date, bool]:
    """Read holidays and make-up working days from a file: `2026-10-01 off`, `2026-10-10 work`, one a line."""
    path = settings.text(section, "holidays", "judge")
    if path is None:
        return {}
    try:
        with open(os.path.join(os.path.dirname(os.path.abspath(settings.path)), path), encoding="utf-8") as file:
            text = file.read(_LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        settings.problem("judge.holidays", f"{path}: {reason}; it must hold lines such as `2026-10-01 off`")
        return {}
    days, wrong = days_of(text)
    if wrong is not None:
        what = "must be a date and `off` or `work`, such as `2026-10-01 off`"
        settings.problem("judge.holidays", f"{path}, line {wrong}: {what}")
    return days


def days_of(text: str) -> tuple[dict[date, bool], Optional[int]]:
    """Return which days are worked (True) and which are not, and the number of the first line that says neither."""
    days: dict[date, bool] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _DAY.fullmatch(line.strip())
        try:
            day = None if match is None else date.fromisoformat(match["day"])
        except ValueError:
            day = None
        if match is None or day is None:
            return days, number
        days[day] = match["what"] == "work"
    return days, None
