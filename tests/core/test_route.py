"""Who is told what, when, and with whom; and which rule keeps it back."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import pytest

from usm.core.hours import Hours
from usm.core.message import PENDING, SUPPRESSED, WAITING, Alert
from usm.core.model import CRITICAL, FAILED, INFO, LOGIN, LOGOUT, WARNING, Event
from usm.core.route import Match, Route, Slot, route

CST = timezone(timedelta(hours=8))
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=timezone.utc)  # Monday, 23:00 there
LOCAL = NOW.astimezone(CST)
NIGHT = Hours(frozenset(range(7)), 22 * 60, 7 * 60)


def alert(severity: str = INFO, **facts: Any) -> Alert:  # noqa: ANN401 - any fact
    """Return an alert."""
    given = {"kind": LOGIN, "user": "alice", "source_ip": "203.0.113.5", "key": "SHA256:abc", **facts}
    return Alert("id", Event(time=NOW, host="web01", service=given.pop("service", "sshd"), **given), severity)


def slot(of: Alert, ignore: tuple[Match, ...] = (), **rules: Any) -> Optional[Slot]:  # noqa: ANN401 - any rule
    """Return the place in one channel's queue."""
    found = route(of, [Route("c", **rules)], ignore, NOW, LOCAL)
    return found[0] if found else None


def state(of: Alert, ignore: tuple[Match, ...] = (), **rules: Any) -> tuple[str, Optional[str]]:  # noqa: ANN401
    """Return its state and reason."""
    found = slot(of, ignore, **rules)
    assert found is not None
    return found.state, found.reason


def networks(*texts: str) -> tuple[Any, ...]:
    """Return networks."""
    return tuple(ipaddress.ip_network(text) for text in texts)


@pytest.mark.parametrize(
    ("match", "facts", "holds"),
    [
        (Match(), {}, True),
        (Match(kinds=(LOGIN, LOGOUT)), {}, True),
        (Match(kinds=(LOGOUT,)), {}, False),
        (Match(severities=(WARNING,)), {"severity": WARNING}, True),
        (Match(severities=(WARNING,)), {}, False),
        (Match(users=("bob", "ali*")), {}, True),
        (Match(users=("bob",)), {}, False),
        (Match(users=("*",)), {"user": None}, False),
        (Match(users=("[ab]lice",)), {}, True),
        (Match(users=("Alice",)), {}, False),
        (Match(services=("sshd",)), {}, True),
        (Match(services=("su*",)), {"service": "sudo"}, True),
        (Match(hosts=("web*",)), {}, True),
        (Match(hosts=("db*",)), {}, False),
        (Match(keys=("SHA256:abc",)), {}, True),
        (Match(keys=("SHA256:abc",)), {"key": None}, False),
        (Match(sources=networks("203.0.113.0/24")), {}, True),
        (Match(sources=networks("10.0.0.0/8", "2001:db8::/32")), {"source_ip": "2001:db8::7"}, True),
        (Match(sources=networks("10.0.0.0/8")), {"source_ip": "::ffff:10.1.2.3"}, True),
        (Match(sources=networks("fe80::/10")), {"source_ip": "fe80::1%eth0"}, True),
        (Match(sources=networks("10.0.0.0/8")), {}, False),
        (Match(sources=networks("0.0.0.0/0")), {"source_ip": "somewhere.example"}, False),
        (Match(sources=(None,)), {"source_ip": None}, True),
        (Match(sources=(None,)), {}, False),
        (Match(sources=networks("0.0.0.0/0")), {"source_ip": None}, False),
        (Match(hours=(NIGHT,)), {}, True),
        (Match(hours=(Hours(frozenset(range(7)), 480, 1080),)), {}, False),
        (Match(users=("alice",), kinds=(LOGOUT,)), {}, False),
    ],
)
def test_conditions(match: Match, facts: dict[str, Any], *, holds: bool) -> None:
    """All must hold, each for any of its values."""
    assert match.holds(alert(**facts), LOCAL) == holds


def test_without_rules_it_is_sent_now() -> None:
    """To every channel."""
    assert route(alert(), [Route("a"), Route("b")], (), NOW, LOCAL) == [
        Slot("a", PENDING, NOW),
        Slot("b", PENDING, NOW),
    ]


def test_rules_and_the_reasons_that_they_leave() -> None:
    """By their place in the list; `ignore` first, then `only`, then `except`."""
    mine, other = Match(users=("alice",)), Match(users=("bob",))
    assert state(alert(), only=(other, mine)) == (PENDING, None)
    assert state(alert(), only=(other,)) == (SUPPRESSED, "only: no rule holds")
    assert state(alert(), unless=(other, mine)) == (SUPPRESSED, "except: rule 2")
    assert state(alert(), (mine,), only=(other,)) == (SUPPRESSED, "ignore: rule 1")
    assert state(alert(), unless=(other,)) == (PENDING, None)


def test_a_critical_alert_is_urgent_and_nothing_makes_it_wait() -> None:
    """It is not ignored as automation; what its channel does not want it does not get."""
    mine = Match(users=("alice",))
    grave = alert(CRITICAL)
    assert slot(grave, (mine,), quiet=(NIGHT,), group_wait=30.0) == Slot("c", PENDING, NOW, urgent=True)
    assert state(grave, unless=(mine,)) == (SUPPRESSED, "except: rule 1")
    assert state(grave, only=(Match(severities=(INFO,)),)) == (SUPPRESSED, "only: no rule holds")


def test_quiet_hours_end_in_the_morning() -> None:
    """Of the local clock; then all of them are one group."""
    due = datetime(2026, 11, 23, 23, 0, tzinfo=timezone.utc)
    assert slot(alert(), quiet=(NIGHT,)) == Slot("c", WAITING, due, group="quiet")
    assert slot(alert(WARNING), quiet=(Hours(frozenset(range(7)), 0, 60),)) == Slot("c", PENDING, NOW)


def test_groups_have_names_that_no_value_can_imitate() -> None:
    """What is in `group_by` makes the group; a program is never grouped."""
    rules: Any = {"group_by": ("user", "severity"), "group_wait": 5.0, "group_interval": 60.0}
    found = slot(alert(), **rules)
    assert found == Slot("c", WAITING, NOW + timedelta(seconds=5), group='["by", "alice", "info"]', interval=60.0)
    names = {slot(alert(user=user), **rules) for user in ("a", 'a", "info', None, "null", "quiet", "failed")}
    assert len(names) == 6
    assert slot(alert(), digests=False, **rules) == Slot("c", PENDING, NOW)
    assert slot(alert(), group_wait=5.0) == Slot(
        "c", WAITING, NOW + timedelta(seconds=5), group='["by"]', interval=30.0
    )


def test_failed_logins_are_asked_for_by_name_and_never_one_message_each() -> None:
    """At most one a minute, also for programs; who does not ask does not even keep them."""
    failed = alert(kind=FAILED)
    assert slot(failed) is None
    assert slot(failed, only=(Match(users=("alice",)),)) is None
    asked = (Match(kinds=(FAILED,)),)
    minute = Slot("c", WAITING, NOW + timedelta(seconds=60), group="failed", interval=60.0)
    assert slot(failed, only=asked) == minute
    assert slot(failed, only=asked, digests=False) == minute
    assert slot(failed, only=asked, group_wait=300.0, group_interval=600.0) == minute._replace(
        due=NOW + timedelta(seconds=300), interval=600.0
    )
    assert state(failed, (Match(users=("alice",)),), only=asked) == (SUPPRESSED, "ignore: rule 1")
