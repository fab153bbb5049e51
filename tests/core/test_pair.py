"""usm/core/pair.py: one connection is opened once and closed once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Optional

from hypothesis import given
from hypothesis import strategies as st

from usm.core.model import Event, Session, session_id
from usm.core.pair import NOTHING, logout_event, pair

TIME = datetime(2026, 11, 23, 3, 0, tzinfo=timezone.utc)
PEER = ("203.0.113.5", 50001)


def login(pid: int = 10, peer: tuple[Optional[str], Optional[int]] = PEER, user: str = "alice", at: int = 0) -> Event:
    """A login, `at` seconds after the hour."""
    time = TIME + timedelta(seconds=at)
    session = session_id(time, "h", "sshd", user, *peer, pid)
    return Event("login", time, "h", "sshd", user, *peer, "publickey", "SHA256:k", pid=pid, session=session)


def ended(
    reason: str,
    pid: int = 11,
    peer: tuple[Optional[str], Optional[int]] = (None, None),
    user: Optional[str] = None,
    at: int = 60,
) -> Event:
    """Evidence for an end."""
    return Event("logout", TIME + timedelta(seconds=at), "h", "sshd", user, *peer, pid=pid, end_reason=reason)


def opened(event: Event) -> Session:
    """The session that a login opens."""
    (session,) = pair(event, ()).sessions
    return session


def test_a_login_opens_a_session() -> None:
    """It carries all that the login line said, and an id that the event knows too."""
    result = pair(login(), ())
    assert result.sessions == (
        Session(
            str(login().session),
            "h",
            "sshd",
            "alice",
            *PEER,
            "publickey",
            "SHA256:k",
            None,
            10,
            TIME,
        ),
    )
    assert result.events == (login(),)


def test_the_client_s_goodbye_closes_by_address_and_port() -> None:
    """The user's own process writes it, under a pid that nobody has heard of."""
    session = opened(login())
    result = pair(ended("disconnected", pid=99, peer=PEER), [session])
    assert result.sessions == (session._replace(end=TIME + timedelta(seconds=60), end_reason="disconnected"),)
    (event,) = result.events
    assert (event.kind, event.user, event.source_ip, event.source_port) == ("logout", "alice", *PEER)
    assert (event.start, event.duration, event.end_reason, event.session) == (TIME, 60.0, "disconnected", session.id)
    assert (event.method, event.key, event.pid) == ("publickey", "SHA256:k", 99)


def test_pam_closes_by_leader_and_name() -> None:
    """The leader writes PAM's line itself; another name is another session's."""
    session = opened(login())
    assert pair(ended("closed", pid=10, user="alice"), [session]).sessions[0].end_reason == "closed"
    assert pair(ended("closed", pid=10, user="bob"), [session]) == NOTHING
    assert pair(ended("closed", pid=12, user="alice"), [session]) == NOTHING
    assert pair(ended("terminated", pid=10), [session]).sessions[0].end_reason == "terminated"


def test_what_joins_nothing_is_no_logout() -> None:
    """A scan, a second line of the same end, a line from before the monitor."""
    assert pair(ended("closed", peer=PEER), []) == NOTHING
    assert pair(ended("closed", peer=("203.0.113.5", 50002)), [opened(login())]) == NOTHING


def test_an_end_without_a_port_needs_the_leader_or_a_single_candidate() -> None:
    """OpenSSH before 7.2 wrote no port: with two sessions from one address it stays open what the line meant."""
    first, second = opened(login()), opened(login(pid=20, peer=("203.0.113.5", 50002)))
    portless = ended("disconnected", pid=99, peer=("203.0.113.5", None))
    assert pair(portless, [first]).sessions[0].id == first.id
    assert pair(portless, [first, second]) == NOTHING
    assert pair(portless._replace(pid=20), [first, second]).sessions[0].id == second.id
    assert pair(portless, []) == NOTHING


def test_a_reused_pid_or_port_proves_that_the_old_session_is_gone() -> None:
    """It is closed as vanished, before the new one opens."""
    old = opened(login())
    again = login(pid=10, peer=("198.51.100.7", 1), user="bob", at=30)
    result = pair(again, [old])
    assert [(s.user, s.end_reason) for s in result.sessions] == [("alice", "vanished"), ("bob", None)]
    assert [(e.kind, e.user) for e in result.events] == [("logout", "alice"), ("login", "bob")]


def test_the_same_login_line_opens_one_session() -> None:
    """Read twice, it is still one, also when it was closed in between."""
    session = opened(login())
    assert pair(login(), [session]) == NOTHING
    assert pair(login(), [session._replace(end=TIME, end_reason="closed")]) == NOTHING


def test_a_clock_set_back_ends_no_session_before_it_began() -> None:
    """The duration is never negative."""
    (event,) = pair(ended("closed", pid=10, at=-30), [opened(login())]).events
    assert event.duration == 0.0
    assert event.time == TIME


def test_other_events_pass_unchanged() -> None:
    """A failure belongs to no session."""
    failed = Event("failed", TIME, "h", "sshd", "x")
    assert pair(failed, ()).events == (failed,)


def test_an_end_of_unknown_kind_is_only_closed() -> None:
    """Evidence without a reason proves nothing more."""
    bare = ended("closed", pid=10)._replace(end_reason=None)
    assert pair(bare, [opened(login())]).sessions[0].end_reason == "closed"


def test_a_session_that_is_still_open_can_be_told_too() -> None:
    """logout_event of an open session lasts no time."""
    assert logout_event(opened(login())).duration == 0.0


def test_ids_are_the_same_in_every_zone_and_differ_for_every_connection() -> None:
    """The id comes from what the line says, not from who reads it."""
    assert session_id(TIME, "h") == session_id(TIME.astimezone(timezone(timedelta(hours=8))), "h")
    others = [login(pid=11), login(user="bob"), login(at=1), login(peer=("203.0.113.5", 2))]
    assert len({e.session for e in (*others, login())}) == 5
    assert len(str(login().session)) == 16


@dataclass
class Sessions:
    """A store as small as can be: a list, searched."""

    all: dict[str, Session] = field(default_factory=dict)
    told: list[Event] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Pair an event with what is open."""
        peer = (event.source_ip, event.source_port)
        related = [
            s
            for s in self.all.values()
            if s.id == event.session
            or (
                s.end is None
                and (
                    (event.kind == "login" and s.leader == event.pid)
                    or (event.source_ip is None and s.leader == event.pid)
                    or (event.source_ip is not None and (s.source_ip, s.source_port) == peer)
                )
            )
        ]
        result = pair(event, related)
        for session in result.sessions:
            self.all[session.id] = session
        self.told += result.events


EVENTS = st.one_of(
    st.builds(
        login,
        pid=st.integers(1, 4),
        peer=st.tuples(st.sampled_from(["203.0.113.5", "2001:db8::7", None]), st.integers(1, 3)),
        user=st.sampled_from(["alice", "bob"]),
        at=st.integers(-5, 100),
    ),
    st.builds(
        ended,
        st.sampled_from(["disconnected", "closed", "timeout"]),
        pid=st.integers(1, 4),
        peer=st.tuples(st.sampled_from(["203.0.113.5", "2001:db8::7", None]), st.integers(1, 3)),
        user=st.sampled_from(["alice", "bob", None]),
        at=st.integers(-5, 100),
    ),
)


@given(st.lists(EVENTS, max_size=40))
def test_any_interleaving_keeps_the_books_straight(events: list[Event]) -> None:
    """Start is never after end, a leader and a peer have one open session, each is told once open and once closed."""
    books = Sessions()
    for event in events:
        books.take(event)
        open_ = [s for s in books.all.values() if s.end is None]
        assert len({s.leader for s in open_}) == len(open_)
        peers = [(s.source_ip, s.source_port) for s in open_ if s.source_ip is not None]
        assert len(set(peers)) == len(peers)
    assert all(s.start <= s.end for s in books.all.values() if s.end is not None)
    for kind in ("login", "logout"):
        told = [e.session for e in books.told if e.kind == kind]
        assert len(told) == len(set(told))
    assert {e.session for e in books.told if e.kind == "logout"} == {s.id for s in books.all.values() if s.end}
