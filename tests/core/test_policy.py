"""Whether a user works at a time, where he may come from, and which network an address is in."""

from __future__ import annotations

import ipaddress
from datetime import date, datetime, timedelta, timezone

import pytest

from usm.core.hours import Hours, parse
from usm.core.policy import Policy, network_of

CST = timezone(timedelta(hours=8))
DAYS = {date(2026, 10, 1): False, date(2026, 10, 10): True}  # a holiday on a Thursday, a Saturday that is worked


def works(text: str, *spans: str, user: str = "alice") -> object:
    """Tell whether alice works at a local time, given her hours."""
    hours = tuple(span for span in map(parse, spans) if isinstance(span, Hours))
    assert len(hours) == len(spans)
    return Policy(hours=(("a*", hours),), days=DAYS).works(user, datetime.fromisoformat(text).replace(tzinfo=CST))


OFFICE = "mon-fri 08:00-18:00"


@pytest.mark.parametrize(
    ("time", "span", "working"),
    [
        ("2026-10-12T09:00", OFFICE, True),
        ("2026-10-12T08:00", OFFICE, True),
        ("2026-10-12T07:59:59", OFFICE, False),
        ("2026-10-12T18:00", OFFICE, False),
        ("2026-10-11T09:00", OFFICE, False),  # a Sunday
        # a holiday, on which only those work who work on all days
        ("2026-10-01T09:00", OFFICE, False),
        ("2026-10-01T09:00", "08:00-18:00", True),
        ("2026-10-01T19:00", "08:00-18:00", False),
        ("2026-10-01T09:00", "thu 08:00-18:00", False),
        # 调休: a Saturday that is worked is as a Wednesday
        ("2026-10-10T09:00", OFFICE, True),
        ("2026-10-10T19:00", OFFICE, False),
        ("2026-10-10T09:00", "wed 08:00-18:00", True),
        ("2026-10-10T09:00", "sat 08:00-18:00", False),
        ("2026-10-10T09:00", "08:00-18:00", True),
        ("2026-10-17T09:00", OFFICE, False),  # a Saturday like others
        # past midnight: the span belongs to the day on which it begins
        ("2026-10-13T23:00", "mon-fri 22:00-06:00", True),
        ("2026-10-17T05:00", "mon-fri 22:00-06:00", True),  # Friday's night
        ("2026-10-17T23:00", "mon-fri 22:00-06:00", False),
        ("2026-10-12T05:00", "mon-fri 22:00-06:00", False),  # Sunday's night
        ("2026-10-10T23:00", "mon-fri 22:00-06:00", True),
        ("2026-10-01T23:00", "22:00-06:00", True),
    ],
)
def test_a_calendar_says_who_works(time: str, span: str, *, working: bool) -> None:
    """By the clock on the wall, on ordinary days, holidays, and days that make up for them."""
    assert works(time, span) is working


def test_a_night_that_began_before_a_holiday_is_worked_to_its_end() -> None:
    """The span belongs to the day on which it begins."""
    assert works("2026-10-01T05:00", "mon-fri 22:00-06:00") is True


def test_a_night_that_began_on_a_make_up_day_is_worked_to_its_end() -> None:
    """On Sunday morning, though neither Saturday nor Sunday is in the hours."""
    assert works("2026-10-11T05:00", "mon-fri 22:00-06:00") is True


def test_several_spans() -> None:
    """Any of them."""
    assert works("2026-10-12T20:00", OFFICE, "mon 20:00-21:00") is True
    assert works("2026-10-13T20:00", OFFICE, "mon 20:00-21:00") is False


def test_of_whom_nobody_said_it_is_not_known() -> None:
    """That is neither yes nor no; the first pattern that fits counts."""
    assert works("2026-10-12T09:00", OFFICE, user="bob") is None
    night, always = parse("22:00-06:00"), parse("00:00-24:00")
    assert night is not None
    assert always is not None
    policy = Policy(hours=(("ops-*", (night,)), ("*", (always,))))
    noon = datetime(2026, 10, 12, 12, tzinfo=CST)
    assert (policy.works("ops-a", noon), policy.works("bob", noon)) == (False, True)


def test_from_where_somebody_may_come() -> None:
    """The first pattern that fits; of whom none fits it is not known."""
    inside = ipaddress.ip_network("10.0.0.0/8")
    policy = Policy(allow=(("ops-*", (inside, None)), ("ops-a", ())))
    assert policy.allows("ops-a") == (inside, None)
    assert policy.allows("bob") is None


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("203.0.113.5", "203.0.113.0/24"),
        ("203.0.113.255", "203.0.113.0/24"),
        ("2001:db8:1:2::7", "2001:db8:1::/48"),
        ("::ffff:203.0.113.5", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::1", "::/48"),
        ("127.0.0.1", "127.0.0.0/24"),
        ("somewhere.example", "somewhere.example"),
        ("", ""),
    ],
)
def test_what_a_provider_gives_one_customer(source: str, network: str) -> None:
    """A /24, a /48; IPv4 that came over IPv6 is IPv4; a name is itself."""
    assert network_of(source) == network
