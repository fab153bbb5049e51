"""Many of the same are one message, and another one only when it has grown, or goes on for long."""

from __future__ import annotations

from usm.core.incident import DAY, HOUR, NAMES, Incident, grow

MINUTE = HOUR // 60


def began(count: int = 10) -> Incident:
    """Return one that began at the hour zero."""
    incident, tell = grow(None, 0, 0, count, ["a"])
    assert tell
    return incident


def test_it_is_told_when_it_begins() -> None:
    """With all there was since the first, and not again with the next."""
    incident, tell = grow(None, 5, 9, 10, ["a", "b", "a"])
    assert (incident, tell) == (Incident(5, 9, 10, 9, 10, HOUR, ("a", "b")), True)
    again, tell = grow(incident, 5, 10, 1, ["b"])
    assert (again.times, again.last, tell) == (11, 10, False)
    assert (again.told, again.told_count, again.since) == (9, 10, 5)


def test_ten_times_as_many_are_told_at_once() -> None:
    """Of what was told, not of what was seen."""
    incident = began(10)
    grown, tell = grow(incident, 0, MINUTE, 89, [])
    assert not tell
    grown, tell = grow(grown, 0, 2 * MINUTE, 1, [])
    assert (tell, grown.told_count) == (True, 100)
    grown, tell = grow(grown, 0, 3 * MINUTE, 899, [])
    assert not tell


def test_the_pauses_grow_up_to_a_day() -> None:
    """One that goes on for a week is told after 1, 2, 4, 8, 16 and 24 hours, and then once a day."""
    incident, told = began(1_000_000), []
    for minute in range(1, 7 * 24 * 60):
        incident, tell = grow(incident, 0, minute * MINUTE, 1, [])
        if tell:
            told.append(minute / 60)
    assert told == [1, 3, 7, 15, 31, 55, 79, 103, 127, 151]


def test_after_a_day_of_quiet_it_is_another_one() -> None:
    """Not before."""
    incident = began(10)
    same, tell = grow(incident, 7, DAY, 1, [])
    assert (same.since, same.times, tell) == (0, 11, True)  # the pause is over
    other, tell = grow(incident, 7, DAY + 1, 3, ["z"])
    assert (other, tell) == (Incident(7, DAY + 1, 3, DAY + 1, 3, HOUR, ("z",)), True)


def test_the_latest_names_are_kept() -> None:
    """A name that comes again is among them."""
    incident = began()
    for name in "bcdefb":
        incident, _ = grow(incident, 0, 1, 1, [name])
    assert incident.names == ("c", "d", "e", "f", "b")
    assert len(incident.names) == NAMES
    incident, _ = grow(None, 0, 0, 1, map(str, range(100)))
    assert incident.names == ("95", "96", "97", "98", "99")


def test_a_line_that_comes_late_does_not_turn_the_clock_back() -> None:
    """The latest moment stays, and a pause is not over before its time."""
    incident, _ = grow(None, 0, 10 * HOUR, 1, [])
    late, tell = grow(incident, 0, 5 * HOUR, 1, [])
    assert (late.last, late.times, tell) == (10 * HOUR, 2, False)
