"""A digest's sums always add up."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.digest import digest
from usm.core.message import Alert, Top
from usm.core.model import FAILED, FINDING, INFO, KINDS, LOGIN, LOGOUT, NOTICE, SEVERITIES, WARNING, Event

START = datetime(2026, 11, 23, 2, 0, tzinfo=timezone.utc)


def alert(
    number: int,
    user: Optional[str] = "alice",
    source: Optional[str] = "203.0.113.5",
    kind: str = LOGIN,
    severity: str = INFO,
    count: int = 1,
) -> Alert:
    """Return an alert of so many seconds after the start."""
    time = START + timedelta(seconds=number)
    return Alert(str(number), Event(kind, time, "web01", "sshd", user, source, count=count), severity, "192.0.2.10")


def total(top: Top) -> int:
    """Return the sum of a fact's counts."""
    return sum(count for _, count in top.named) + top.rest


@given(
    st.lists(
        st.builds(
            alert,
            st.integers(0, 9),
            st.sampled_from([None, *"abcdefghijk"]),
            st.sampled_from([None, "10.0.0.1", "10.0.0.2"]),
            st.sampled_from(KINDS),
            st.sampled_from(SEVERITIES),
            st.integers(1, 5),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_every_sum_is_the_total(alerts: list[Alert]) -> None:
    """Of the kinds, the users, the sources and the hosts; named or not."""
    made = digest(iter(alerts))
    assert made.total == sum(a.event.count for a in alerts)
    assert {sum(n for _, n in made.kinds), total(made.users), total(made.sources), total(made.hosts)} == {made.total}
    assert made.users.others + len(made.users.named) == len({a.event.user for a in alerts})
    assert made.severity == max((a.severity for a in alerts), key=SEVERITIES.index)
    assert made.abnormal == sum(a.event.count for a in alerts if a.severity in SEVERITIES[2:])
    assert (made.first, made.last) == (min(a.event.time for a in alerts), max(a.event.time for a in alerts))
    counts = [count for _, count in made.users.named]
    assert counts == sorted(counts, reverse=True)


def test_the_most_frequent_are_named() -> None:
    """Five, and six where there are six: "1 more" would take as much room as its name."""
    alerts = [alert(n, user) for n, user in enumerate("aaabbccdefg")]
    assert digest(alerts).users == Top((("a", 3), ("b", 2), ("c", 2), ("d", 1), ("e", 1)), 2, 2)
    assert digest(alerts[:-1]).users == Top((("a", 3), ("b", 2), ("c", 2), ("d", 1), ("e", 1), ("f", 1)))


def test_a_range_reaches_to_its_end() -> None:
    """A folded failure has a first and a last moment."""
    folded = alert(0, kind=FAILED, count=7)
    folded = folded._replace(event=folded.event._replace(until=START + timedelta(hours=1)))
    made = digest([folded, alert(5, kind=LOGOUT, severity=WARNING)])
    assert (made.total, made.last, made.kinds) == (8, START + timedelta(hours=1), ((LOGOUT, 1), (FAILED, 7)))


def test_the_id_is_that_of_its_alerts() -> None:
    """The same alerts give the same, others another."""
    one, two = [alert(1), alert(2)], [alert(1), alert(3)]
    assert digest(one) == digest(iter(one))
    assert digest(one).id != digest(two).id


def test_nothing_is_no_digest() -> None:
    """Who asks for that has a bug."""
    with pytest.raises(ValueError, match="nothing"):
        digest([])


def test_a_finding_counts_once() -> None:
    """However many failures it tells of: they are counted as such, where somebody asks for them."""
    event = Event(FINDING, START, "web01", "sshd", source_ip="203.0.113.5", count=50)
    made = digest([Alert("1" * 16, event, NOTICE), Alert("2" * 16, event, NOTICE)])
    assert (made.total, made.kinds) == (2, ((FINDING, 2),))
