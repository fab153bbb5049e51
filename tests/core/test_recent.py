"""The last things that happened: in their order, bounded, and the same when read back."""

from __future__ import annotations

from usm.core.recent import KEPT, Entry, Recent


def test_only_the_newest_are_kept() -> None:
    """No attack makes it grow."""
    recent = Recent()
    for n in range(1000):
        recent.add(Entry(n, 1))
    recent.add(*(Entry(n, 1) for n in range(1000, 1100)))
    assert [entry.time for entry in recent.entries] == list(range(1100 - KEPT, 1100))
    assert KEPT == 64


def test_a_log_that_is_out_of_order() -> None:
    """The oldest come first, and the very old make no room for themselves."""
    recent = Recent()
    recent.add(Entry(5, 1), Entry(3, 1), Entry(4, 1))
    assert [entry.time for entry in recent.entries] == [3, 4, 5]
    recent.add(*(Entry(100 + n, 1) for n in range(KEPT)))
    recent.add(Entry(1, 1))
    assert recent.entries[0].time == 100


def test_a_window_has_a_beginning_that_is_out_and_an_end_that_is_in() -> None:
    """So that two windows side by side count nothing twice."""
    recent = Recent()
    recent.add(*(Entry(n, n) for n in range(1, 6)))
    assert [entry.time for entry in recent.within(2, 4)] == [3, 4]
    assert recent.within(5, 9) == []


def test_it_is_the_same_when_it_is_read_back() -> None:
    """With whatever name a stranger gave."""
    recent = Recent()
    recent.add(Entry(1, 2, 'a"\\\n\udce9张', 1), Entry(3, 4))
    assert Recent(recent.dump()).entries == recent.entries
    assert Recent().entries == []
    assert Recent().dump() == "[]"
