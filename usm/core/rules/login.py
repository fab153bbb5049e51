"""The rules for logins: each says what it found, or why it found nothing."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from math import asin, cos, radians, sin, sqrt
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.model import WARNING, Evidence, time_of
from usm.core.profile import ADDRESS, ASN, COUNTRY, CREATED, KEY, LOGIN, METHOD, NETWORK, SERVICE
from usm.core.rules.case import ALLOWED, BELOW, EVIDENCE, KNOWN, NO_HISTORY, NOT_CONCERNED, UNSET, USUAL, Case, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usm.core.model import Place
    from usm.core.route import Network

_EARTH = 6371.0  # km, mean radius
_SYSTEM = 1000  # the first uid of people on every distribution that we know
_NO_SHELLS = ("nologin", "false", "sync", "halt", "shutdown")


def _new_user(case: Case) -> Verdict:
    seen, user = case.profile.seen(LOGIN), case.event.user or ""
    return Verdict("new-user", None if seen is None else KNOWN, {} if seen is None else case.shown(user, seen))


def _new_source(case: Case) -> Verdict:
    """Known is the address, its /24 or /48, or, where that can be looked up, its provider in a known country."""
    rule, profile, place = "new-source", case.profile, case.place
    if case.event.source_ip is None or _is_loopback(case.event.source_ip):
        return Verdict(rule, NOT_CONCERNED)
    verdict = case.unseen(rule, NETWORK, case.network)
    if verdict.reason is not None or place is None:
        return verdict
    country, asn = place.country or "?", "?" if place.asn is None else str(place.asn)
    abroad = place.country is not None and profile.values(COUNTRY) and profile.seen(COUNTRY, country) is None
    provider = None if abroad else profile.seen(ASN, asn)
    if provider is not None:
        return Verdict(rule, USUAL, case.shown(f"AS{asn}", provider))
    facts = {**verdict.facts, "place": f"{country}, AS{asn}"}
    return verdict._replace(facts=facts, severity=WARNING if abroad else None)


def _new_key(case: Case) -> Verdict:
    return case.unseen("new-key", KEY, case.event.key, by=METHOD)


def _new_method(case: Case) -> Verdict:
    return case.unseen("new-method", METHOD, case.event.method, case.numbers["logins"], by=METHOD)


def _unusual_service(case: Case) -> Verdict:
    return case.unseen("unusual-service", SERVICE, case.event.service, case.numbers["logins"])


def _root(case: Case) -> Verdict:
    if case.event.user != "root":
        return Verdict("root", NOT_CONCERNED)
    return case.usual("root") or Verdict("root", None, {}, case.profile.latest(NETWORK, EVIDENCE))


def _service_account(case: Case) -> Verdict:
    rule, account = "service-account", case.account
    if account is None or account.uid == 0:
        return Verdict(rule, NOT_CONCERNED)
    if account.uid >= _SYSTEM and account.shell.rpartition("/")[2] not in _NO_SHELLS:
        return Verdict(rule, NOT_CONCERNED)
    facts = {"uid": str(account.uid), "shell": account.shell or "-"}
    return case.usual(rule) or Verdict(rule, None, facts)


def _young_account(case: Case) -> Verdict:
    rule, created = "young-account", case.profile.seen(CREATED)
    if created is None or created.last < case.since("age"):
        return Verdict(rule, NOT_CONCERNED)
    return Verdict(rule, None, {"created": time_of(created.last).isoformat()})


def _dormant(case: Case) -> Verdict:
    rule, seen = "dormant", case.profile.seen(LOGIN)
    if seen is None:
        return Verdict(rule, NO_HISTORY, {"count": "0"})
    facts = case.shown("", seen)
    days = str((case.time - seen.last) // 86_400_000_000)
    facts = {"last": facts["last"], "days": days, "limit": f"{case.numbers['after'] / 86400:g}"}
    return Verdict(rule, BELOW if seen.last >= case.since("after") else None, facts)


def _off_hours(case: Case) -> Verdict:
    works = case.policy.works(case.event.user or "", case.local)
    if works is None:
        return Verdict("off-hours", UNSET)
    return Verdict("off-hours", ALLOWED if works else None, {"time": case.event.time.isoformat()})


def _impossible_travel(case: Case) -> Verdict:
    rule, here, there = "impossible-travel", case.place, case.before
    before = previous(case)
    if here is None or there is None or before is None or _trusted(case, (case.event.source_ip or "", before.value)):
        return Verdict(rule, NOT_CONCERNED if before is not None else NO_HISTORY, {"count": str(case.logins())})
    kilometres = distance(here, there)
    if kilometres is None:
        return Verdict(rule, UNSET)
    hours = max(1 / 3600, abs(case.event.time - before.last).total_seconds() / 3600)
    facts = {
        "distance": f"{kilometres:.0f}",
        "speed": f"{kilometres / hours:.0f}",
        "from": f"{before.value} ({there.country or '?'})",
        "to": f"{case.event.source_ip} ({here.country or '?'})",
    }
    if kilometres < case.numbers["distance"] or kilometres / hours < case.numbers["speed"]:
        return Verdict(rule, BELOW, facts)
    return case.usual(rule) or Verdict(rule, None, facts, (before,))


def previous(case: Case) -> Optional[Evidence]:
    """Return the address of the login before this one."""
    found = case.profile.latest(ADDRESS, 1)
    return found[0] if found else None


def distance(here: Place, there: Place) -> Optional[float]:
    """Return the kilometres between two places (the haversine formula), None where one is not known so exactly."""
    if None in (here.latitude, here.longitude, there.latitude, there.longitude):
        return None
    degrees = (here.latitude, here.longitude, there.latitude, there.longitude)
    one, along, other, beside = (radians(degree or 0.0) for degree in degrees)
    chord = sin((other - one) / 2) ** 2 + cos(one) * cos(other) * sin((beside - along) / 2) ** 2
    return 2 * _EARTH * asin(min(1.0, sqrt(chord)))


def _success_after_failures(case: Case) -> Verdict:
    rule = "success-after-failures"
    if case.event.source_ip is None:
        return Verdict(rule, NOT_CONCERNED)
    failures = case.source.within(case.since(), case.time)
    count = sum(entry.times for entry in failures)
    facts = {"count": str(count), "limit": _number(case.numbers["failures"]), "source": case.event.source_ip}
    if not count:
        return Verdict(rule, NOT_CONCERNED)
    facts["users"] = ", ".join(dict.fromkeys(entry.tag for entry in failures if entry.tag))
    return Verdict(rule, None if count >= case.numbers["failures"] else BELOW, facts)


def _slow_guessing(case: Case) -> Verdict:
    """Whoever mistypes a password does so where he always is; who guesses slowly comes from elsewhere."""
    rule = "slow-guessing"
    if case.event.source_ip is None:
        return Verdict(rule, NOT_CONCERNED)
    failures = case.user.within(case.since(), case.time)
    if not failures:
        return Verdict(rule, NOT_CONCERNED)
    count, sources = sum(entry.times for entry in failures), {entry.tag for entry in failures}
    facts = {"count": str(count), "limit": _number(case.numbers["failures"]), "sources": str(len(sources))}
    if count < case.numbers["failures"] or len(sources) < case.numbers["sources"]:
        return Verdict(rule, BELOW, facts)
    return case.known(rule, NETWORK, case.network) or Verdict(rule, None, facts)


def _many_sources(case: Case) -> Verdict:
    rule = "many-sources"
    if case.event.source_ip is None or _trusted(case, (case.event.source_ip,)):
        return Verdict(rule, NOT_CONCERNED)
    networks = {case.network, *(n for n in case.elsewhere if not _within(n, case.policy.trusted))}
    if len(networks) == 1:
        return Verdict(rule, NOT_CONCERNED)
    facts = {"count": str(len(networks)), "limit": _number(case.numbers["sources"])}
    if len(networks) < case.numbers["sources"]:
        return Verdict(rule, BELOW, facts)
    return Verdict(rule, None, {**facts, "networks": ", ".join(sorted(networks)[:EVIDENCE])})


def _not_allowed(case: Case) -> Verdict:
    rule, networks = "not-allowed", case.policy.allows(case.event.user or "")
    if networks is None:
        return Verdict(rule, UNSET)
    source = case.event.source_ip
    fine = None in networks if source is None else _within(source, [n for n in networks if n is not None])
    return Verdict(rule, ALLOWED if fine else None, {"source": source or "local"})


def _forwarded(case: Case) -> Verdict:
    if case.event.source_ip is None or not _is_loopback(case.event.source_ip):
        return Verdict("forwarded", NOT_CONCERNED)
    return case.usual("forwarded") or Verdict("forwarded", None, {"source": case.event.source_ip})


@lru_cache(maxsize=4096)
def _is_loopback(source: str) -> bool:
    try:
        return ipaddress.ip_address(source.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _trusted(case: Case, sources: Iterable[str]) -> bool:
    return any(_within(source, case.policy.trusted) for source in sources)


def _within(source: str, networks: Iterable[Network]) -> bool:
    """Tell whether an address, or a /24 or /48 as a whole, is in one of these networks."""
    networks = tuple(networks)
    if not networks:
        return False
    try:
        address = ipaddress.ip_address(source.partition("/")[0].partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in networks)


def _number(value: float) -> str:
    return f"{value:g}"


JUDGES: dict[str, Callable[[Case], Verdict]] = {
    "new-user": _new_user,
    "new-source": _new_source,
    "new-key": _new_key,
    "new-method": _new_method,
    "unusual-service": _unusual_service,
    "root": _root,
    "service-account": _service_account,
    "young-account": _young_account,
    "dormant": _dormant,
    "off-hours": _off_hours,
    "impossible-travel": _impossible_travel,
    "success-after-failures": _success_after_failures,
    "slow-guessing": _slow_guessing,
    "many-sources": _many_sources,
    "not-allowed": _not_allowed,
    "forwarded": _forwarded,
}
