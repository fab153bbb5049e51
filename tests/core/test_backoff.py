"""usm/core/backoff.py: when to try again, and how fast to go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.backoff import CAP, FAULT, budget_wait, capacity, delay, reserved


def test_the_wait_doubles_up_to_five_minutes() -> None:
    """With jitter at its upper end: 2, 4, 8 ... 300 seconds."""
    assert [round(delay(n, 0.999999)) for n in (1, 2, 3, 8, 9, 100, 10_000)] == [2, 4, 8, 256, 300, 300, 300]


def test_full_jitter_may_come_back_at_once() -> None:
    """The whole span from nothing to the ceiling is used, so that hosts do not come back together."""
    assert delay(5, 0.0) == 0.0


def test_what_the_other_side_demands_is_the_least() -> None:
    """Retry-After wins over a shorter wait of our own, not over a longer one."""
    assert delay(1, 0.5, demanded=30) == 30
    assert delay(9, 0.9999, demanded=30) > 290


def test_a_wrong_setting_is_probed_every_few_minutes() -> None:
    """The first time it may have been a mistake of the moment; then between half of and the whole five minutes."""
    assert delay(1, 0.0, fault=True) <= 2
    assert [delay(n, j, fault=True) for n in (2, 50) for j in (0.0, 0.5)] == [FAULT / 2, FAULT * 0.75] * 2


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True), st.booleans())
def test_no_wait_is_negative_or_endless(attempts: int, jitter: float, fault: bool) -> None:  # noqa: FBT001
    """Whatever the number of tries."""
    assert 0 <= delay(attempts, jitter, fault=fault) <= max(CAP, FAULT)


LIMITS = ((4, 1.0), (10, 60.0))


def test_nothing_sent_means_no_wait() -> None:
    """An empty history, and no limits, hold nothing back."""
    assert budget_wait([], 100.0, LIMITS) == 0
    assert budget_wait([100.0] * 50, 100.0, ()) == 0


def test_the_fifth_in_a_second_waits_for_the_first_to_age() -> None:
    """Four may go at once, the next when the oldest of them is a second old."""
    assert budget_wait([10.0, 10.1, 10.2], 10.3, LIMITS) == 0
    assert round(budget_wait([10.0, 10.1, 10.2, 10.3], 10.4, LIMITS), 6) == 0.6


def test_a_clock_set_back_holds_for_one_span_at_most() -> None:
    """Times in the future are not waited for."""
    assert budget_wait([9000.0] * 4, 10.0, LIMITS) == 1.0
    assert budget_wait([9000.0] * 10, 10.0, LIMITS) == 60.0


@given(st.lists(st.floats(0, 5), max_size=60))
def test_no_window_ever_holds_more_than_its_limit(gaps: list[float]) -> None:
    """However the tries are spread, waiting as told keeps every window within its count."""
    now = 0.0
    sent: list[float] = []
    for gap in gaps:
        now += gap
        now += budget_wait(sent, now, LIMITS)
        sent.append(now)
    for count, seconds in LIMITS:
        for first, last in zip(sent, sent[count:]):
            assert last - first >= seconds - 1e-9


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (((4, 1.0), (80, 60.0)), ((3, 1.0), (60, 60.0))),
        (((1, 1.0), (18, 60.0)), ((1, 1.0), (14, 60.0))),
        (((2, 5.0),), ((1, 5.0),)),
        ((), ()),
    ],
)
def test_a_quarter_is_kept_for_what_is_critical(
    limits: tuple[tuple[int, float], ...], left: tuple[tuple[int, float], ...]
) -> None:
    """At least one, but never the only one."""
    assert reserved(limits) == left


@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([1.0, 3.0, 10.0, 60.0])), min_size=1, max_size=2),
    st.lists(st.floats(0, 60), max_size=8),
)
def test_the_room_that_is_left_can_be_used(limits: list[tuple[int, float]], ages: list[float]) -> None:
    """As many messages as are promised do go out within the horizon, at the pace that the limits allow."""
    now, horizon = 1000.0, 10.0
    sent: list[float] = []
    for time in sorted(now - age for age in ages):  # what was sent kept the limits, too
        if budget_wait(sent, time, limits) <= 0:
            sent.append(time)
    room, at = capacity(sent, now, limits, horizon), now
    for _ in range(room):
        at += max(0.0, budget_wait(sent, at, limits))
        sent.append(at)
    assert at <= now + horizon + 1e-6
