"""The rules of a channel, as they are configured: who is told, when, and in whose company."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Optional

from usm.core import hours
from usm.core.model import SEVERITIES, TOLD
from usm.core.route import GROUP_BY, Match, Network, Route
from usm.core.rules import RULES
from usm.core.text import FACTS, unknown_facts
from usm.settings import join, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usm.core.hours import Hours
    from usm.settings import Settings

KEYS = ("only", "except", "quiet_hours", "group_by", "group_wait", "group_interval")
_CONDITIONS = ("kind", "severity", "user", "source", "service", "host", "key", "hours", "rule")
_LOCAL = "local"  # in place of a network: a login at the machine itself
_TIMES = "22:00-06:00, mon-fri 08:00-18:00 or sat,sun"


def route(settings: Settings, section: Mapping[str, Any], where: str, name: str, *, digests: bool) -> Route:
    """Read the routing of one channel."""
    wait = settings.seconds(section, "group_wait", where)
    interval = settings.seconds(section, "group_interval", where)
    default = Route(name)
    return Route(
        name,
        matches(settings, section.get("only"), join(where, "only")),
        matches(settings, section.get("except"), join(where, "except")),
        hours_of(settings, section, "quiet_hours", where),
        settings.words(section, "group_by", where, GROUP_BY),
        default.group_wait if wait is None else wait,
        default.group_interval if interval is None else interval,
        digests,
    )


def matches(settings: Settings, value: Any, where: str) -> tuple[Match, ...]:  # noqa: ANN401 - from YAML
    """Read rules, of which any may hold: conditions, or words for a kind or a severity, or a list of these."""
    if value is None:
        return ()
    if not value:
        settings.problem(where, "is empty; leave it out, or write conditions such as `kind: [login]`")
        return ()
    return tuple(_match(settings, item, where) for item in (value if isinstance(value, list) else [value]))


def _match(settings: Settings, item: Any, where: str) -> Match:  # noqa: ANN401 - from YAML
    if isinstance(item, str):
        if item in TOLD:
            return Match(kinds=(item,))
        if item in SEVERITIES:
            return Match(severities=(item,))
        if item in RULES:
            return Match(rules=(item,))
        known = (*TOLD, *SEVERITIES, *RULES)
        settings.problem(where, f"holds a word that is no kind, no severity and no rule{nearest(item, known)}")
        return Match()
    if not isinstance(item, dict) or not item:
        settings.problem(where, f"must hold conditions ({', '.join(_CONDITIONS)}), or a list of them")
        return Match()
    settings.unknown(item, where, _CONDITIONS)
    return Match(
        settings.words(item, "kind", where, TOLD),
        settings.words(item, "severity", where, SEVERITIES),
        settings.words(item, "user", where),
        sources(settings, item, "source", where),
        settings.words(item, "service", where),
        settings.words(item, "host", where),
        settings.words(item, "key", where),
        hours_of(settings, item, "hours", where),
        _rules(settings, item, where),
    )


def _rules(settings: Settings, item: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Read ids of rules: a list, or words with spaces between, in which no chat sees markup."""
    value = item.get("rule")
    listed = {**item, "rule": value.split()} if isinstance(value, str) and value.split() else item
    return settings.words(listed, "rule", where, tuple(RULES))


def sources(settings: Settings, item: Mapping[str, Any], key: str, where: str) -> tuple[Optional[Network], ...]:
    """Read networks; None stands for logins at the machine itself."""
    texts = settings.words(item, key, where)
    found = [(text == _LOCAL, _network(text)) for text in texts]
    if any(network is None and not local for local, network in found):
        settings.problem(
            join(where, key), "must be networks such as 10.0.0.0/8 or 2001:db8::/32, addresses, or `local`"
        )
    return tuple(network for local, network in found if local or network is not None)


def _network(text: str) -> Optional[Network]:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def hours_of(settings: Settings, item: Mapping[str, Any], key: str, where: str) -> tuple[Hours, ...]:
    """Read hours of the week."""
    spans = [hours.parse(text) for text in settings.words(item, key, where)]
    if None in spans:
        settings.problem(join(where, key), f"must be times such as {_TIMES}; put them in quotes")
    return tuple(span for span in spans if span is not None)


def template(settings: Settings, section: Mapping[str, Any], key: str, where: str) -> Optional[str]:
    """Read a template over the documented facts."""
    value = section.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        settings.problem(join(where, key), "must be text, such as `$user from $source_ip`")
        return None
    for name in unknown_facts(value):
        what = (
            "has a `$` that begins no name; write `$$` for the sign"
            if name == "$"
            else f"names `${name}`, which is no fact"
        )
        settings.problem(join(where, key), what + ("" if name == "$" else nearest(name, FACTS)))
    return value
