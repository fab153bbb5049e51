"""usm/core/decode.py: whose line is it, and from when."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.decode import MAX_LINE, Stamps, decode_syslog
from usm.core.model import Record

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    """Read an ISO time."""
    return datetime.fromisoformat(text)


def stamps(now: str = "2026-11-23T12:00:00+00:00", zone: ZoneInfo = SHANGHAI) -> Stamps:
    """Stamps as a monitor in `zone` would make them at `now`."""
    return Stamps(zone, at(now))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            b"Nov 23 10:05:07 web01 sshd[125]: Accepted x",
            Record(at("2026-11-23T10:05:07+08:00"), "web01", "sshd", 125, "Accepted x"),
        ),
        (
            b"<86>Nov  3 10:05:07 web01 sudo:    alice : TTY=pts/0",
            Record(at("2026-11-03T10:05:07+08:00"), "web01", "sudo", None, "   alice : TTY=pts/0"),
        ),
        (
            b"2026-11-23T03:06:49.070000+00:00 web01 sshd-session[7]: x",
            Record(at("2026-11-23T03:06:49.070000+00:00"), "web01", "sshd-session", 7, "x"),
        ),
        (
            b"2026-11-23T03:06:49Z web01 sshd[7]: x",
            Record(at("2026-11-23T03:06:49+00:00"), "web01", "sshd", 7, "x"),
        ),
        (
            b"2026-11-23T03:06:49.5+0530 web01 sshd[7]: x",
            Record(at("2026-11-23T03:06:49.500000+05:30"), "web01", "sshd", 7, "x"),
        ),
        (
            b"2026-11-23T03:06:49.123456789-03:00 web01 sshd[7]: x",
            Record(at("2026-11-23T03:06:49.123456-03:00"), "web01", "sshd", 7, "x"),
        ),
        (
            b"<38>1 2026-11-23T03:06:49.1+00:00 web01 sshd 125 - -  Accepted x",
            Record(at("2026-11-23T03:06:49.100000+00:00"), "web01", "sshd", 125, "Accepted x"),
        ),
        (
            rb'<38>1 2026-11-23T03:06:49Z web01 sshd - ID1 [a@1 k="v\"\]\\"][b] one message',
            Record(at("2026-11-23T03:06:49+00:00"), "web01", "sshd", None, "one message"),
        ),
        (
            b"<38>1 2026-11-23T03:06:49Z web01 sshd 1 - -",
            Record(at("2026-11-23T03:06:49+00:00"), "web01", "sshd", 1, ""),
        ),
        (
            b"Nov 23 10:05:07 alpine auth.info sshd[125]: busybox",
            Record(at("2026-11-23T10:05:07+08:00"), "alpine", "sshd", 125, "busybox"),
        ),
        (
            b"\0\0\0Nov 23 10:05:07 web01 sshd[125]: after a power cut",
            Record(at("2026-11-23T10:05:07+08:00"), "web01", "sshd", 125, "after a power cut"),
        ),
        (
            b"\xef\xbb\xbfNov 23 10:05:07 web01 sshd[125]: after an editor\r",
            Record(at("2026-11-23T10:05:07+08:00"), "web01", "sshd", 125, "after an editor"),
        ),
        (
            b"Nov 23 10:05:07 web01 sshd[125]: \xff\xe7\x94\xa8",
            Record(at("2026-11-23T10:05:07+08:00"), "web01", "sshd", 125, r"\xff用"),
        ),
        (
            b"Nov 23 10:05:07 web01 sshd[1]:",
            Record(at("2026-11-23T10:05:07+08:00"), "web01", "sshd", 1, ""),
        ),
    ],
)
def test_every_dress_gives_the_same_fields(line: bytes, expected: Record) -> None:
    """Time, host, program, pid and message come out of RFC 3164, 3339, 5424 and busybox alike."""
    assert decode_syslog(line, stamps()) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0\0",
        b"-- Journal begins --",
        b"Nov 23 10:05:07 web01 no tag here",
        b"Nov 23 10:05:07 web01 two words: x",
        b"Nov 33 10:05:07 web01 sshd[1]: no such day",
        b"Nov 23 10:65:07 web01 sshd[1]: no such minute",
        b"Nov 23 25:05:07 web01 sshd[1]: no such hour",
        b"Foo 23 10:05:07 web01 sshd[1]: no such month",
        b"2026-13-23T03:06:49Z web01 sshd[7]: no such month",
        b"2026-11-23T03:06:49+29:00 web01 sshd[7]: no such zone",
        b"9999-12-31T23:59:59-14:00 web01 sshd[7]: beyond UTC",
        b"0001-01-01T00:00:00+14:00 web01 sshd[7]: before UTC",
        b"<38>1 2026-13-23T03:06:49Z web01 sshd 1 - - no such month",
        b"<38>1 - web01 sshd 1 - - no time",
        b"Nov 23 10:05:07 web01 sshd[1]: " + b"x" * MAX_LINE,
    ],
)
def test_what_is_no_syslog_line_is_no_record(line: bytes) -> None:
    """Such a line is passed over, it is not an error."""
    assert decode_syslog(line, stamps()) is None


@pytest.mark.parametrize(
    ("now", "stamp", "expected"),
    [
        ("2026-01-01T00:00:05+08:00", b"Dec 31 23:59:59", "2025-12-31T23:59:59+08:00"),
        ("2025-12-31T23:59:59+08:00", b"Jan  1 00:00:01", "2026-01-01T00:00:01+08:00"),  # the sender's clock is ahead
        ("2026-11-23T12:00:00+08:00", b"Nov 25 00:00:00", "2025-11-25T00:00:00+08:00"),
        ("2026-03-01T12:00:00+08:00", b"Feb 29 10:00:00", "2024-02-29T10:00:00+08:00"),
        ("2028-02-29T12:00:00+08:00", b"Feb 29 10:00:00", "2028-02-29T10:00:00+08:00"),
        ("2016-12-31T23:59:59+00:00", b"Dec 31 23:59:60", "2016-12-31T23:59:59+08:00"),  # a leap second
    ],
)
def test_a_year_less_stamp_is_the_latest_that_can_be(now: str, stamp: bytes, expected: str) -> None:
    """The year is that of the last such date that is not a day ahead of the clock."""
    assert stamps(now).local(stamp) == at(expected)


def test_a_day_that_no_year_has_is_no_time() -> None:
    """30 February never was."""
    assert stamps().local(b"Feb 30 10:00:00") is None


def test_a_leap_second_is_the_one_before_it() -> None:
    """Python knows no second 60."""
    assert Stamps.absolute(b"2016-12-31T23:59:60.5Z") == at("2016-12-31T23:59:59.500000+00:00")


def test_a_calendar_that_is_too_young_has_no_leap_day() -> None:
    """There is an end to looking back."""
    assert stamps("0003-01-01T00:00:00+00:00").local(b"Feb 29 10:00:00") is None


def test_an_hour_that_comes_twice_is_told_apart_by_the_order_of_lines() -> None:
    """When summer time ends, 02:30 after 02:50 is the second 02:30; without a hint the first is taken."""
    clock = stamps("2026-10-25T12:00:00+00:00", BERLIN)
    assert clock.local(b"Oct 25 02:30:00") == at("2026-10-25T02:30:00+02:00")
    assert clock.local(b"Oct 25 02:50:00") == at("2026-10-25T02:50:00+02:00")
    assert clock.local(b"Oct 25 02:30:00") == at("2026-10-25T02:30:00+01:00")
    assert clock.local(b"Oct 25 02:31:00") == at("2026-10-25T02:31:00+01:00")
    assert clock.local(b"Oct 25 03:00:00") == at("2026-10-25T03:00:00+01:00")


def test_an_hour_that_is_left_out_does_no_harm() -> None:
    """When summer time begins, a stamp in the missing hour still becomes a time, and the next hour is right."""
    clock = stamps("2026-03-29T12:00:00+00:00", BERLIN)
    assert clock.local(b"Mar 29 01:59:59") == at("2026-03-29T01:59:59+01:00")
    assert clock.local(b"Mar 29 02:30:00") == at("2026-03-29T02:30:00+01:00")
    assert clock.local(b"Mar 29 03:00:00") == at("2026-03-29T03:00:00+02:00")


def test_times_across_a_clock_change_subtract_in_utc() -> None:
    """A session over the change lasts as long as it lasted, not as long as the wall clock says."""
    clock = stamps("2026-03-29T12:00:00+00:00", BERLIN)
    start, end = clock.local(b"Mar 29 01:30:00"), clock.local(b"Mar 29 03:30:00")
    assert start is not None
    assert end is not None
    assert end - start == timedelta(hours=1)


def test_the_year_moves_on_while_the_monitor_runs() -> None:
    """What was inferred in December is not held on to in January."""
    clock = stamps("2025-12-31T23:30:00+08:00")
    assert clock.local(b"Jan  2 10:00:00") == at("2025-01-02T10:00:00+08:00")
    clock.advance(at("2026-01-02T10:00:01+08:00"))
    assert clock.local(b"Jan  2 10:00:00") == at("2026-01-02T10:00:00+08:00")


def test_a_clock_that_is_set_back_is_believed() -> None:
    """`advance` takes an earlier time too."""
    clock = stamps("2026-11-23T12:00:00+08:00")
    clock.advance(at("2025-11-23T12:00:00+08:00"))
    assert clock.local(b"Nov 23 10:00:00") == at("2025-11-23T10:00:00+08:00")


def test_the_time_of_a_line_is_read_without_its_rest() -> None:
    """`of` knows all dresses, and what has none."""
    clock = stamps()
    assert clock.of(b"<38>1 2026-11-23T03:06:49Z what ever") == at("2026-11-23T03:06:49+00:00")
    assert clock.of(b"Nov 23 10:05:07 what ever") == at("2026-11-23T10:05:07+08:00")
    assert clock.of(b"what ever") is None


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(line: bytes) -> None:
    """Any bytes are a record or none."""
    decode_syslog(line, stamps())


@given(
    st.sampled_from(
        [b"Nov 23 10:05:07 ", b"2026-11-23T03:06:49Z ", b"<3>1 2026-11-23T03:06:49Z ", b"Feb 29 99:99:99 "]
    ),
    st.binary(max_size=200),
)
def test_no_bytes_behind_a_good_stamp_make_it_raise(stamp: bytes, rest: bytes) -> None:
    """Any bytes behind the stamp are a record or none."""
    decode_syslog(stamp + rest, stamps())


@given(st.datetimes(datetime(1980, 1, 1), datetime(2040, 1, 1)), st.sampled_from(["+00:00", "-09:30", "Z"]))
def test_an_absolute_stamp_is_read_as_python_reads_it(time: datetime, offset: str) -> None:
    """RFC 3339 stamps mean what datetime.fromisoformat says they mean."""
    expected = at(time.isoformat() + offset.replace("Z", "+00:00"))
    assert Stamps(timezone.utc, expected).absolute((time.isoformat() + offset).encode()) == expected
