"""Hours of the week: what is written, when they hold, and when they are over."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.hours import Hours, parse, until

WEEK = frozenset(range(7))
MONDAY = datetime(2026, 11, 23, tzinfo=timezone.utc)


def at(text: str) -> datetime:
    """Return a time of the week that begins on 23 November 2026: `tue 07:30`."""
    day, clock = text.split()
    hour, minute = map(int, clock.split(":"))
    return MONDAY + timedelta(days="mon tue wed thu fri sat sun".split().index(day), hours=hour, minutes=minute)  # noqa: SIM905


def spans(*texts: str) -> list[Hours]:
    """Return what was written, parsed."""
    found = [parse(text) for text in texts]
    assert None not in found
    return [span for span in found if span is not None]


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("22:00-06:00", Hours(WEEK, 1320, 360)),
        ("mon-fri 08:00-18:00", Hours(frozenset(range(5)), 480, 1080)),
        ("Sat,Sun", Hours(frozenset((5, 6)), 0, 1440)),
        ("fri-mon, wed 00:00-24:00", Hours(frozenset((4, 5, 6, 0, 2)), 0, 1440)),
        ("  sun 9:00-10:00", None),
        ("", None),
        ("25:00-26:00", None),
        ("08:00-24:30", None),
        ("08:00-08:00", None),
        ("funday 08:00-09:00", None),
        ("mon-", None),
        ("22-6", None),
    ],
)
def test_what_may_be_written(text: str, hours: object) -> None:
    """Days, a span of the clock, or both; anything else is none."""
    assert parse(text) == hours


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("08:00-18:00", ["mon 08:00", "sun 17:59"], ["mon 07:59", "mon 18:00"]),
        ("fri 22:00-06:00", ["fri 22:00", "sat 05:59"], ["fri 05:00", "sat 06:00", "sat 22:00"]),
        ("sun 22:00-06:00", ["mon 05:59"], ["sun 05:59", "tue 05:59"]),
        ("sat,sun", ["sat 00:00", "sun 23:59"], ["fri 23:59", "mon 00:00"]),
    ],
)
def test_when_they_hold(text: str, inside: list[str], outside: list[str]) -> None:
    """The end does not belong to them; past midnight they belong to the day on which they began."""
    (span,) = spans(text)
    assert all(span.hold(at(moment)) for moment in inside)
    assert not any(span.hold(at(moment)) for moment in outside)


@pytest.mark.parametrize(
    ("texts", "now", "end"),
    [
        (["22:00-07:00"], "mon 23:30", "tue 07:00"),
        (["22:00-07:00"], "tue 06:59", "tue 07:00"),
        (["22:00-07:00"], "tue 07:00", None),
        (["sat,sun", "22:00-07:00"], "fri 23:00", "mon 00:00"),
        (["18:00-22:00", "22:00-24:00"], "mon 19:00", "tue 00:00"),
    ],
)
def test_when_they_are_over(texts: list[str], now: str, end: object) -> None:
    """Spans that touch or overlap are one."""
    moment = until(spans(*texts), at(now))
    if texts == ["sat,sun", "22:00-07:00"]:
        assert moment == MONDAY + timedelta(days=7, hours=7)
    else:
        assert moment == (None if end is None else at(str(end)))


def test_a_whole_week_is_over_within_a_week() -> None:
    """Nothing waits for ever."""
    assert until(spans("00:00-24:00"), at("wed 12:00")) == at("wed 00:00") + timedelta(days=7)


def test_the_night_on_which_the_clock_is_set_back_is_longer() -> None:
    """The wall clock counts: it is over at seven, an hour later than usual."""
    zone = ZoneInfo("Europe/Berlin")
    end = until(spans("22:00-07:00"), datetime(2026, 10, 24, 23, 0, tzinfo=zone))
    assert end == datetime(2026, 10, 25, 7, 0, tzinfo=zone)
    assert end.astimezone(timezone.utc).hour == 6


@given(
    st.lists(
        st.builds(
            Hours, st.frozensets(st.integers(0, 6), min_size=1), st.integers(0, 1439), st.integers(1, 1440)
        ).filter(lambda h: h.start != h.end),
        max_size=3,
    ),
    st.integers(0, 7 * 1440 - 1),
)
def test_the_end_is_the_first_minute_in_which_none_holds(some: list[Hours], minute: int) -> None:
    """Compared with a look at every minute."""
    now = MONDAY + timedelta(minutes=minute)
    end = until(some, now)
    if end is None:
        assert not any(span.hold(now) for span in some)
        return
    step = now
    while step < end:
        assert any(span.hold(step) for span in some)
        step += timedelta(minutes=7)
    if end - now < timedelta(days=6):
        assert not any(span.hold(end) for span in some)
