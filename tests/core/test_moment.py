"""Times as people write them: dates, clocks that jump, spans ago, and nonsense."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.moment import EXAMPLES, joined, moment

UTC = timezone.utc
BERLIN, SHANGHAI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 25, 22, 30, 1, 5, tzinfo=UTC)  # in Shanghai it is the 26th already

CASES = [
    ("now", SHANGHAI, "2026-11-25T22:30:01.000005+00:00"),
    ("2h", SHANGHAI, "2026-11-25T20:30:01.000005+00:00"),
    ("-3d", SHANGHAI, "2026-11-22T22:30:01.000005+00:00"),
    ("90s", UTC, "2026-11-25T22:28:31.000005+00:00"),
    ("15m", UTC, "2026-11-25T22:15:01.000005+00:00"),
    ("1w", UTC, "2026-11-18T22:30:01.000005+00:00"),
    ("today", SHANGHAI, "2026-11-25T16:00:00+00:00"),
    ("yesterday", SHANGHAI, "2026-11-24T16:00:00+00:00"),
    ("today", UTC, "2026-11-25T00:00:00+00:00"),
    ("2026-11-20", SHANGHAI, "2026-11-19T16:00:00+00:00"),
    ("2026-11-20 08:30", SHANGHAI, "2026-11-20T00:30:00+00:00"),
    ("2026-11-20T08:30:15.25", SHANGHAI, "2026-11-20T00:30:15.250000+00:00"),
    ("2026-11-20T08:30:15,1234567", UTC, "2026-11-20T08:30:15.123456+00:00"),
    ("2026-11-20T08:30Z", SHANGHAI, "2026-11-20T08:30:00+00:00"),
    ("2026-11-20T08:30:00-0530", SHANGHAI, "2026-11-20T14:00:00+00:00"),
    (" 2026-11-20 08:30 +08:00 ", UTC, "2026-11-20T00:30:00+00:00"),
    # the clock showed 02:00 to 03:00 twice on 25 October: the first
    ("2026-10-25 02:30", BERLIN, "2026-10-25T00:30:00+00:00"),
    ("2026-10-25T02:30+01:00", BERLIN, "2026-10-25T01:30:00+00:00"),
    # and left it out on 29 March: moved forward, 03:30
    ("2026-03-29 02:30", BERLIN, "2026-03-29T01:30:00+00:00"),
    # New Year is at another time in each zone
    ("2027-01-01", SHANGHAI, "2026-12-31T16:00:00+00:00"),
    ("2026-12-31 23:59:59.999999", BERLIN, "2026-12-31T22:59:59.999999+00:00"),
    ("2024-02-29", UTC, "2024-02-29T00:00:00+00:00"),
]
ENDS = [
    ("2026-12-31", BERLIN, "2026-12-31T22:59:59.999999+00:00"),
    ("2026-10-25", BERLIN, "2026-10-25T22:59:59.999999+00:00"),  # a day of 25 hours
    ("2026-03-29", BERLIN, "2026-03-29T21:59:59.999999+00:00"),  # and one of 23
    ("yesterday", UTC, "2026-11-24T23:59:59.999999+00:00"),
    ("now", UTC, "2026-11-25T22:30:01.000005+00:00"),
    ("2026-11-20 08:30", UTC, "2026-11-20T08:30:00+00:00"),
]
WRONG = [
    "",
    "tomorrow",
    "2026-11-31",
    "2026-13-01",
    "2026-1-1",
    "25.11.2026",
    "2026-11-25 24:00",
    "8:30",
    "3",
    "3y",
    "--3d",
]
FAR = ["9999999999999d", "999999999w", "0001-01-01T00:00+08:00", "9999-12-31T23:59-08:00", "2026-11-25T08:30+99:00"]


@pytest.mark.parametrize(("text", "zone", "expected"), CASES)
def test_a_time_is_understood(text: str, zone: ZoneInfo, expected: str) -> None:
    """Its first moment, in UTC."""
    assert moment(text, NOW, zone).isoformat() == expected


@pytest.mark.parametrize(("text", "zone", "expected"), ENDS)
def test_a_day_has_an_end(text: str, zone: ZoneInfo, expected: str) -> None:
    """Its last microsecond, however long the day is; a time is its own end."""
    assert moment(text, NOW, zone, last=True).isoformat() == expected


@pytest.mark.parametrize("text", [*WRONG, *FAR, "\x1b[31mred", "２０２６-11-25"])
def test_what_is_no_time_is_told_with_examples(text: str) -> None:
    """And shown harmless."""
    with pytest.raises(ValueError, match="is no time; write it like one of") as caught:
        moment(text, NOW, SHANGHAI)
    assert EXAMPLES in str(caught.value)
    assert "\x1b" not in str(caught.value)


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.sampled_from([UTC, BERLIN, SHANGHAI]))
def test_what_we_print_is_read_again(time: datetime, zone: ZoneInfo) -> None:
    """With its offset exactly; without it, where the clock showed it once."""
    local = time.replace(tzinfo=UTC).astimezone(zone)
    assert moment(local.isoformat(), NOW, zone) == local
    back = moment(local.replace(tzinfo=None).isoformat(), NOW, zone)
    assert back == local or (local.fold == 1 and local.astimezone(UTC) - back == timedelta(hours=1))


def test_a_minus_in_front_of_a_span_is_no_option() -> None:
    """Only behind the options that take a time."""
    words = ["sessions", "--since", "-3d", "--user", "-x", "--until", "2h", "-3d", "--at=-1h"]
    assert joined(words) == ["sessions", "--since=-3d", "--user", "-x", "--until=2h", "-3d", "--at=-1h"]
    assert joined(["-3d"]) == ["-3d"]
