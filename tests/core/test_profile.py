"""What is usual for a user: counted, bounded, forgotten, and right whatever the order of the log."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from usm.core.model import LOGIN, Event, Place
from usm.core.profile import ADDRESS, ASN, COUNTRY, KEY, METHOD, MOST, NETWORK, SERVICE, Profile, Seen
from usm.core.profile import LOGIN as LOGINS

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def of(time: int) -> datetime:
    """Return a time."""
    return EPOCH + timedelta(microseconds=time)


def test_what_was_never_seen() -> None:
    """It is nothing, and counts nothing."""
    profile = Profile()
    assert (profile.seen(KEY, "a"), profile.count(KEY, "a"), profile.values(KEY)) == (None, 0, {})
    assert profile.latest(KEY, 3) == ()


def test_seen_again_counts() -> None:
    """How often, the first time and the last."""
    profile = Profile()
    for time in (1, 2, 3):
        profile.learn(KEY, time, "a")
    profile.learn(KEY, 4, "a", count=7)
    assert profile.seen(KEY, "a") == Seen(1, 4, 10)
    assert profile.changed == {(KEY, "a")}


def test_an_old_log_is_read_late() -> None:
    """First is the earliest and last the latest, whatever came first."""
    profile = Profile()
    for time in (5, 2, 9, 4):
        profile.learn(KEY, time, "a")
    assert profile.seen(KEY, "a") == Seen(2, 9, 4)


def test_it_is_bounded() -> None:
    """Of each fact the values that were seen last are kept; the store is told what is gone."""
    profile = Profile()
    for n in range(MOST):
        profile.learn(KEY, n, f"k{n}")
    profile.learn(KEY, MOST, "k0")  # the oldest is seen again
    profile.learn(KEY, MOST + 1, "new")
    profile.learn(METHOD, 0, "password")
    assert len(profile.values(KEY)) == MOST == 128
    assert profile.seen(KEY, "k1") is None
    assert profile.count(KEY, "k0") == 2
    assert profile.gone == {(KEY, "k1")}
    assert (KEY, "k1") not in profile.changed
    assert profile.count(METHOD, "password") == 1


def test_what_is_gone_may_come_back() -> None:
    """Then it is written down again, and counted from the beginning."""
    profile = Profile()
    for n in range(MOST + 1):
        profile.learn(KEY, n, f"k{n}")
    assert profile.gone == {(KEY, "k0")}
    profile.learn(KEY, 1000, "k0")
    assert profile.seen(KEY, "k0") == Seen(1000, 1000, 1)
    assert profile.gone == {(KEY, "k1")}
    assert (KEY, "k0") in profile.changed


def test_what_is_too_old_is_forgotten_but_not_that_somebody_was_here() -> None:
    """When the last login was is worth more than from where."""
    rows = [(KEY, "old", 1, 4, 3), (KEY, "new", 1, 5, 3), (LOGINS, "", 1, 1, 9)]
    profile = Profile(rows, since=5)
    assert list(profile.values(KEY)) == ["new"]
    assert profile.count(LOGINS) == 9
    assert (profile.changed, profile.gone) == (set(), set())


def test_the_latest_come_first() -> None:
    """As many as are asked for, with how often and when."""
    profile = Profile()
    for time, value in enumerate("abcb"):
        profile.learn(KEY, time, value)
    assert [(e.value, e.times, e.last) for e in profile.latest(KEY, 2)] == [("b", 2, of(3)), ("c", 1, of(2))]
    assert len(profile.latest(KEY, 9)) == 3


def test_all_that_a_login_shows() -> None:
    """What the line does not say is not learned."""
    profile = Profile()
    event = Event(LOGIN, EPOCH, "web01", "sshd", "alice", "203.0.113.5", 1, "publickey", "SHA256:a")
    profile.learn_login(event, 7, Place("DE", 64496))
    learned = {
        (LOGINS, ""),
        (ADDRESS, "203.0.113.5"),
        (NETWORK, "203.0.113.0/24"),
        (COUNTRY, "DE"),
        (ASN, "64496"),
        (KEY, "SHA256:a"),
        (METHOD, "publickey"),
        (SERVICE, "sshd"),
    }
    assert profile.changed == learned
    bare = Profile()
    bare.learn_login(Event(LOGIN, EPOCH, "web01", "login", "alice"), 7, None)
    assert bare.changed == {(LOGINS, ""), (SERVICE, "login")}
    bare.learn_login(event, 8, Place())
    assert not bare.values(COUNTRY)
    assert not bare.values(ASN)
