"""usm/core/pair.py: one connection is opened once and closed once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.model import Event, Session, session_id
from usm.core.pair import NOTHING, end, logout_event, pair

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


# -- hints and details


def hint(
    reason: str,
    uid: Optional[int] = 2001,
    pid: int = 99,
    peer: tuple[Optional[str], Optional[int]] = PEER,
    at: int = 60,
) -> Event:
    """What the user's own process says of its connection."""
    return Event("hint", TIME + timedelta(seconds=at), "h", "sshd", None, *peer, pid=pid, end_reason=reason, uid=uid)


def stopped(at: int = 60, seat: str = "c1") -> Event:
    """What systemd says when it stops a session."""
    return Event("hint", TIME + timedelta(seconds=at), "h", "", end_reason="terminated", seat=seat)


def down(at: int = 60) -> Event:
    """What logind says before the machine goes down."""
    return Event("hint", TIME + timedelta(seconds=at), "h", "", end_reason="shutdown")


def gone(at: int = 61, pid: int = 10) -> Event:
    """What logind says when a session's leader is gone."""
    return Event("logout", TIME + timedelta(seconds=at), "h", "", pid=pid, end_reason="closed")


def pam(at: int = 60, reason: str = "closed", boot: Optional[str] = "b") -> Event:
    """What the leader itself writes, in the journal of this boot."""
    return ended(reason, pid=10, user="alice", at=at)._replace(boot=boot)


KNOWN = opened(login())._replace(uid=2001, seat="c1", boot="b")


def after(session: Session, *events: Event) -> tuple[Session, list[Event]]:
    """Return the session after these events, and what was told of it."""
    told: list[Event] = []
    for event in events:
        result = pair(event, [session] if session.end is None else [])
        told += result.events
        session = result.sessions[-1] if result.sessions else session
    return session, told


@pytest.mark.parametrize("reason", ["disconnected", "timeout", "reset", "terminated"])
@pytest.mark.parametrize(("wait", "explained"), [(0, True), (120, True), (121, False)])
def test_a_hint_explains_an_end_that_follows_within_two_minutes(reason: str, wait: int, *, explained: bool) -> None:
    """Said earlier, it was about something else; the hint itself is not told."""
    session, told = after(KNOWN, hint(reason))
    assert (session.end, session.hint, session.hinted, told) == (None, reason, TIME + timedelta(seconds=60), [])
    session, told = after(session, pam(at=60 + wait), gone(at=60 + wait))
    assert [e.end_reason for e in told] == [reason if explained else "closed"]
    assert (session.hint, session.hinted) == (None, None)


def test_another_user_s_process_explains_nothing() -> None:
    """Mallory knows alice's address and port, and her session ends as it does."""
    assert pair(hint("disconnected", uid=2003), [KNOWN]) == NOTHING
    assert pair(hint("disconnected", uid=2001), [KNOWN]).sessions[0].hint == "disconnected"
    assert pair(hint("disconnected", uid=2003), [KNOWN._replace(uid=None)]).sessions[0].hint == "disconnected"
    assert pair(hint("disconnected", peer=("203.0.113.5", 1)), [KNOWN]) == NOTHING


def test_a_user_s_own_process_ends_no_session_but_its_leader_does() -> None:
    """The leader of dropbear's session runs as the user, and the journal proves its pid."""
    assert pair(hint("disconnected", pid=99), [KNOWN]).events == ()
    leader = Event("hint", TIME, "h", "dropbear", "alice", pid=10, end_reason="disconnected", uid=2001)
    bear = KNOWN._replace(service="dropbear")
    (closed,) = pair(leader, [bear]).sessions
    assert closed.end_reason == "disconnected"
    assert pair(leader._replace(user="bob"), [bear]) == NOTHING


def test_logind_has_the_last_word() -> None:
    """PAM's close without a goodbye waits for it, and what systemd said meanwhile counts."""
    waiting, told = after(KNOWN, pam(at=60))
    assert (waiting.end, waiting.hint, told) == (None, "closed", [])
    session, told = after(waiting, gone(at=61))
    assert [(e.end_reason, e.user, e.time) for e in told] == [("closed", "alice", TIME + timedelta(seconds=61))]
    session, told = after(KNOWN, pam(at=60), stopped(at=60), gone(at=61))
    assert [e.end_reason for e in told] == ["terminated"]
    assert session.end_reason == "terminated"


def test_systemd_s_word_before_pam_s_counts_too() -> None:
    """It comes a few milliseconds before or behind."""
    session, told = after(KNOWN, stopped(at=60), pam(at=60), gone(at=61))
    assert [e.end_reason for e in told] == ["terminated"]
    assert session.end == TIME + timedelta(seconds=60)


def test_a_goodbye_counts_more_than_that_the_session_was_stopped_or_closed() -> None:
    """What the connection itself said is the reason; a later word of the connection replaces it."""
    _, told = after(KNOWN, hint("disconnected"), stopped(), pam(), gone())
    assert [e.end_reason for e in told] == ["disconnected"]
    assert after(KNOWN, hint("timeout"), hint("closed"))[0].hint == "timeout"
    assert after(KNOWN, hint("timeout"), hint("reset"))[0].hint == "reset"
    assert after(KNOWN, hint("closed"), hint("terminated"))[0].hint == "terminated"
    console = KNOWN._replace(source_ip=None, source_port=None, service="login")
    assert after(console, pam(reason="disconnected")._replace(service="login"), stopped())[0].hint == "terminated"


def test_root_s_word_of_the_connection_counts_more_than_a_hint() -> None:
    """Address and port are in the line: that is the reason."""
    _, told = after(KNOWN, hint("disconnected"), ended("timeout", pid=10, peer=PEER))
    assert [e.end_reason for e in told] == ["timeout"]


def test_without_the_journal_or_a_seat_pam_s_word_is_the_last() -> None:
    """A log file has no word of logind's that could be joined."""
    for session, event in ((KNOWN, pam(boot=None)), (KNOWN._replace(seat=None), pam())):
        assert [e.end_reason for e in after(session, event)[1]] == ["closed"]


def test_a_machine_that_goes_down_explains_every_end() -> None:
    """All that end soon ended with it, and so did what a user's process says to be closed."""
    others = [KNOWN, KNOWN._replace(id="0" * 16, leader=20, seat="c2")]
    assert [s.hint for s in pair(down(), others).sessions] == ["shutdown", "shutdown"]
    _, told = after(KNOWN, down(), stopped(), hint("closed"), pam(), gone())
    assert [e.end_reason for e in told] == ["shutdown"]


def test_a_detail_is_written_into_the_session_of_its_leader() -> None:
    """Terminal, uid and seat; what it does not say stays, and nobody is told."""
    detail = Event("detail", TIME, "h", "", pid=10, seat="c7")
    assert pair(detail, [KNOWN]) == (((KNOWN._replace(seat="c7")),), ())
    uid = Event("detail", TIME, "h", "sshd", "alice", pid=10, uid=2001)
    assert pair(uid, [opened(login())]).sessions[0].uid == 2001
    assert pair(uid._replace(pid=11), [KNOWN]) == NOTHING
    assert pair(uid._replace(service="login", user=None), [KNOWN]) == NOTHING
    assert pair(uid._replace(user="bob"), [KNOWN]) == NOTHING
    assert pair(uid._replace(uid=None, tty="pts/1"), [KNOWN]).sessions == (KNOWN._replace(tty="pts/1"),)


def seated(at: int) -> Event:
    """A login of a program that does not say which process it is."""
    time = TIME + timedelta(seconds=at)
    return Event("login", time, "h", "login", "alice", session=session_id(time, "h", "login", "alice"))


def test_two_sessions_of_one_user_without_a_pid_are_two() -> None:
    """The second ends not the first; an end ends one of them."""
    first = opened(seated(0))
    result = pair(seated(5), [first])
    assert [s.end for s in result.sessions] == [None]
    assert [e.kind for e in result.events] == ["login"]
    assert pair(seated(0), [first]) == NOTHING
    close = Event("logout", TIME + timedelta(seconds=9), "h", "login", "alice", end_reason="disconnected")
    ended_, told = pair(close, [first, *result.sessions])
    assert [s.id for s in ended_] == [first.id]
    assert [e.start for e in told] == [TIME]
    assert pair(close._replace(user="bob"), [first]) == NOTHING


def test_a_reused_pid_ends_a_session_as_it_was_said_to_end() -> None:
    """What was said of its end counts more than that nobody saw it."""
    old, _ = after(KNOWN, hint("timeout", at=60))
    result = pair(login(pid=10, peer=("198.51.100.7", 1), user="bob", at=300), [old])
    assert [(s.user, s.end_reason) for s in result.sessions] == [("alice", "timeout"), ("bob", None)]
    assert result.sessions[0].end == TIME + timedelta(seconds=60)


def test_a_login_hands_on_whose_it_is() -> None:
    """Person, comment, uid and boot are in the session, and person and comment in its logout."""
    session = opened(login()._replace(person="Alice", comment="laptop", uid=2001, boot="b"))
    assert (session.person, session.comment, session.uid, session.boot) == ("Alice", "laptop", 2001, "b")
    assert (logout_event(session).person, logout_event(session).comment) == ("Alice", "laptop")


def test_an_end_between_two_times_tells_both() -> None:
    """A second that is not later is none, and never is the end before the beginning."""
    session = opened(login(at=0))
    late = TIME + timedelta(minutes=1)
    closed, event = end(session, TIME - timedelta(seconds=5), "vanished", until=late)
    assert (closed.end, closed.until, event.until, event.duration) == (TIME, late, late, 0.0)
    assert end(session, late, "vanished", until=TIME)[0].until is None
    assert end(session, late, "vanished", until=late)[0].until is None
