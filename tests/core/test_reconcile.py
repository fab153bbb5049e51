"""usm/core/reconcile.py: what no line told follows from two looks at the system, with honest times."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.model import Event, Host, Seat, Session, System
from usm.core.pair import Pairing
from usm.core.reconcile import Look, Missing, adopted, ended_with_boot, first_look, is_local, reconcile

T = datetime(2026, 11, 25, 3, 0, tzinfo=timezone.utc)
BOOTED = T - timedelta(hours=1)
HOST = Host("web01.example.org", ("192.0.2.10",), "b1", BOOTED)
ALICE = Session("00" * 8, "web01", "sshd", "alice", "203.0.113.5", 40001, "password", None, None, 101, T, boot="b1")
SEAT = Seat(101, 500, T, "alice", "sshd", "203.0.113.5", tty="pts/1", id="c1")


def at(seconds: float) -> datetime:
    """Some seconds after the login."""
    return T + timedelta(seconds=seconds)


def here(*seats: Seat, pids: tuple[int, ...] = ()) -> System:
    """A system with these seats, and these processes, which were started at the login."""
    return System(seats, {**dict.fromkeys(pids, (500, T)), **{s.leader: (s.begun, s.start) for s in seats}})


def looked(
    session: Session, *systems: System, host: Host = HOST, reason: str = "vanished"
) -> tuple[list[Pairing], Look]:
    """What each of several looks, a minute apart, finds of one session."""
    look, found = first_look(at(10)), []
    for number, system in enumerate(systems, 1):
        pairing, look = reconcile(
            [session] if session.end is None else [], system, host, look, at(60 * number), reason=reason
        )
        session = pairing.sessions[0] if pairing.sessions else session
        found.append(pairing)
    return found, look


def test_a_session_whose_leader_is_there_goes_on_and_is_described() -> None:
    """The start in ticks, the terminal and the seat are written into it, once."""
    (first, second), look = looked(ALICE, here(SEAT), here(SEAT))
    assert first == Pairing((ALICE._replace(begun=500, tty="pts/1", seat="c1"),), ())
    assert second == Pairing()
    assert (look.doubts(first_look(at(0))), look.time) == (False, at(120))


def test_what_a_line_told_is_not_replaced_by_what_the_system_says() -> None:
    """Cockpit's lines have no address, sshd's have."""
    told = ALICE._replace(tty="pts/9", seat="c9", begun=500)
    assert looked(told, here(SEAT))[0] == [Pairing()]
    cockpit = ALICE._replace(source_ip=None, source_port=None, service="cockpit", begun=500)
    (found,), _ = looked(cockpit, here(SEAT._replace(source_ip="198.51.100.7")))
    assert found.sessions[0].source_ip == "198.51.100.7"


def test_a_session_without_its_leader_ends_at_the_second_look() -> None:
    """Between the last look at which it was there and the first at which it was not."""
    (first, second, third), look = looked(ALICE._replace(begun=500), here(SEAT), here(), here())
    assert [len(p.events) for p in (first, second, third)] == [0, 0, 1]
    (event,) = third.events
    assert (event.end_reason, event.time, event.until) == ("vanished", at(60), at(120))
    assert (event.kind, event.user, event.session) == ("logout", "alice", ALICE.id)
    assert look.missing == {}


def test_one_look_decides_nothing() -> None:
    """The log may tell it in a moment: it is looked again soon, and who is back is forgotten."""
    found, look = looked(ALICE, here())
    assert found == [Pairing()]
    assert look.doubts(first_look(at(0)))
    assert look.missing == {ALICE.id: Missing("vanished", at(10), at(60))}
    _, look = looked(ALICE, here(), here(SEAT))
    assert not look.doubts(first_look(at(0)))


def test_before_the_start_nobody_looked() -> None:
    """The reason of the first look stays, also where the second comes later with another."""
    _, look = reconcile([ALICE], here(), HOST, first_look(at(10)), at(60), reason="unobserved")
    pairing, _ = reconcile([ALICE], here(), HOST, look, at(65), reason="vanished")
    assert [(e.end_reason, e.time, e.until) for e in pairing.events] == [("unobserved", at(10), at(60))]


def test_an_end_is_never_before_the_beginning() -> None:
    """A login behind the last look bounds it."""
    young = ALICE._replace(start=at(30))
    (_, second), _ = looked(young, here(), here())
    assert [(e.time, e.until, e.duration) for e in second.events] == [(at(30), at(60), 0.0)]


@pytest.mark.parametrize(("hinted", "reason"), [(0, "timeout"), (-1, "vanished")])
def test_what_was_said_of_the_end_counts_more(hinted: int, reason: str) -> None:
    """If it was said within ten seconds of the last moment at which the session was there, or later."""
    session = ALICE._replace(hint="timeout", hinted=at(hinted))
    (_, second), _ = looked(session, here(), here())
    (event,) = second.events
    assert event.end_reason == reason
    assert event.time == (at(hinted) if reason == "timeout" else at(10))


# -- which process it is


def test_a_later_process_of_the_same_pid_is_not_the_leader() -> None:
    """By the ticks, and where they were never seen by the start, with two seconds' grace."""
    other = System((), {101: (900, at(300))})
    (_, second), _ = looked(ALICE._replace(begun=500), other, other)
    assert [e.end_reason for e in second.events] == ["vanished"]
    (_, second), _ = looked(ALICE, other, other)
    assert [e.end_reason for e in second.events] == ["vanished"]
    near = System((), {101: (700, at(2))})
    assert looked(ALICE, near)[0][0].sessions == (ALICE._replace(begun=700),)


def test_a_clock_that_is_set_ends_nothing() -> None:
    """The start by the wall clock moves, the ticks stay."""
    moved = System((), {101: (500, T + timedelta(days=400))})
    assert looked(ALICE._replace(begun=500), moved, moved)[0] == [Pairing(), Pairing()]


# -- boots


def test_another_boot_ended_all_that_was_on_before() -> None:
    """A crash, between the last look and the boot; the host's new boot needs no pid."""
    host = Host("web01", (), "b2", at(40))
    for session in (ALICE, ALICE._replace(leader=None)):
        (_, second), _ = looked(session, here(), here(), host=host)
        assert [(e.end_reason, e.time, e.until) for e in second.events] == [("crash", at(10), at(40))]


@pytest.mark.parametrize(
    ("hint", "hinted", "reason"),
    [("shutdown", -3000, "shutdown"), ("timeout", 5, "timeout"), ("timeout", -3000, "crash")],
)
def test_a_machine_that_went_down_in_order_said_so(hint: str, hinted: int, reason: str) -> None:
    """However long ago; what else was said counts if it was the last thing."""
    session = ALICE._replace(start=T - timedelta(hours=2), hint=hint, hinted=at(hinted))
    (_, second), _ = looked(session, here(), here(), host=Host("web01", (), "b2", at(40)))
    assert [e.end_reason for e in second.events] == [reason]


def test_a_container_keeps_the_boot_id_of_its_host() -> None:
    """Its first process tells when it was started."""
    restarted = Host("web01", (), "b1", at(40))
    (_, second), _ = looked(ALICE, here(), here(), host=restarted)
    assert [(e.end_reason, e.until) for e in second.events] == [("crash", at(40))]
    (_, second), _ = looked(ALICE, here(), here(), host=Host("web01", (), "b1", at(2)))
    assert [e.end_reason for e in second.events] == ["vanished"]


def test_a_machine_whose_boot_is_not_known_still_notices_the_gone() -> None:
    """Without /proc's word on it nothing is a crash for its time; another id is, until now."""
    (_, second), _ = looked(ALICE, here(), here(), host=Host("web01"))
    assert [e.end_reason for e in second.events] == ["vanished"]
    (_, second), _ = looked(ALICE, here(), here(), host=Host("web01", (), "b2"))
    assert [(e.end_reason, e.until) for e in second.events] == [("crash", at(120))]


def test_the_first_record_of_another_boot_ends_what_was_on() -> None:
    """Of the sessions that are of a boot, and not of this one."""
    others = [ALICE._replace(boot=None), ALICE._replace(boot="b2")]
    pairing = ended_with_boot([ALICE, *others], ("b2",), at(50), at(90))
    assert [(e.end_reason, e.time, e.until) for e in pairing.events] == [("crash", at(50), at(90))]
    assert [s.end for s in pairing.sessions] == [at(50)]
    down = ALICE._replace(hint="shutdown", hinted=at(45))
    assert [e.end_reason for e in ended_with_boot([down], ("b2",), at(50), at(90)).events] == ["shutdown"]
    early = ended_with_boot([ALICE], ("b2",), at(200), at(90)).events
    assert [(e.time, e.until) for e in early] == [(at(90), None)]


# -- whose machine


def test_other_machines_sessions_are_not_ours_to_end() -> None:
    """A log server's own processes say nothing of them; the domain makes no difference."""
    foreign = ALICE._replace(host="db01", boot=None)
    assert not is_local(foreign, HOST)
    found, look = looked(foreign, here(), here(), here())
    assert found == [Pairing()] * 3
    assert not look.doubts(first_look(at(0)))
    assert is_local(ALICE._replace(boot=None), HOST)


def test_a_machine_that_was_renamed_knows_its_sessions_by_their_boot() -> None:
    """They end like others."""
    renamed = Host("web02", (), "b1", BOOTED)
    (_, second), _ = looked(ALICE, here(), here(), host=renamed)
    assert [e.end_reason for e in second.events] == ["vanished"]


# -- sessions without a process


@pytest.mark.parametrize(("start", "joined"), [(10, True), (-10, True), (11, False)])
def test_a_session_without_a_pid_is_joined_to_logind_s(start: int, *, joined: bool) -> None:
    """Of the same user and service, and of nearly the same time."""
    session = ALICE._replace(leader=None, service="login")
    seat = SEAT._replace(service="login", start=at(start))
    (found,), look = looked(session, here(seat))
    assert found.sessions == ((session._replace(leader=101, begun=500),) if joined else ())
    assert (101 in look.unknown) is not joined
    for other in (seat._replace(user="bob"), seat._replace(service="gdm")):
        assert looked(session, here(other))[0] == [Pairing()]


def test_a_session_without_a_pid_that_is_nowhere_stays_open() -> None:
    """Nobody can tell that it is over."""
    found, look = looked(ALICE._replace(leader=None), here(), here(), here())
    assert found == [Pairing()] * 3
    assert not look.doubts(first_look(at(0)))


# -- who is on without a line


def test_who_is_on_unknown_is_in_every_look_until_somebody_knows_him() -> None:
    """Twice unknown is adopted by the caller."""
    _, first = reconcile([], here(SEAT), HOST, first_look(at(0)), at(60), reason="vanished")
    _, second = reconcile([], here(SEAT), HOST, first, at(65), reason="vanished")
    assert first.unknown & second.unknown == {101}
    assert first.doubts(first_look(at(0)))
    assert not second.doubts(first)  # one whose session has ended is not looked for every few seconds
    _, third = reconcile([ALICE], here(SEAT), HOST, second, at(70), reason="vanished")
    assert third.unknown == frozenset()


def line(**facts: Any) -> Event:  # noqa: ANN401 - any field
    """The login line of the seat."""
    event = Event("login", T, "web01", "sshd", "alice", "203.0.113.5", 40001, "publickey", "SHA256:k", pid=101)
    return event._replace(**{"session": "11" * 8, "person": "Alice", **facts})


def test_who_is_adopted_with_a_line_has_all_that_it_says() -> None:
    """Method, key and id are the line's; what it lacks is the system's."""
    session, event, logged = adopted(SEAT, [line()], HOST)
    assert logged
    assert (session.id, session.key, session.method, session.person) == ("11" * 8, "SHA256:k", "publickey", "Alice")
    assert (session.tty, session.seat, session.boot, session.begun, session.leader) == ("pts/1", "c1", "b1", 500, 101)
    assert event == line(tty="pts/1")
    assert adopted(SEAT, [line(tty="pts/2")], HOST)[0].tty == "pts/2"


def test_the_last_line_that_fits_counts() -> None:
    """A pid is used again: another name, another time, another kind are of others."""
    later = line(time=at(1), session="22" * 8)
    others = [line(user="bob"), line(pid=102), line(kind="logout"), line(time=at(-3))]
    assert adopted(SEAT, [line(), later, *others], HOST)[0].id == "22" * 8
    assert adopted(SEAT, [line(time=at(-2))], HOST)[0].start == at(-2)
    for other in others:
        assert adopted(SEAT, [other], HOST)[0].method is None


def test_who_is_adopted_without_a_line_is_what_the_system_says() -> None:
    """The same id whenever he is found."""
    session, event, logged = adopted(SEAT, [], HOST)
    assert not logged
    assert (event.kind, event.host, event.time, event.user) == ("login", "web01.example.org", T, "alice")
    assert (event.source_ip, event.source_port, event.tty, event.method, event.key) == (
        "203.0.113.5",
        None,
        "pts/1",
        None,
        None,
    )
    assert session.id == event.session == adopted(SEAT, [], HOST)[0].id
    assert session.id != adopted(SEAT._replace(leader=102), [], HOST)[0].id
    assert (session.end, session.boot, session.begun) == (None, "b1", 500)


# -- always


SESSIONS = st.builds(
    ALICE._replace,
    leader=st.none() | st.integers(1, 3),
    start=st.integers(-100, 400).map(at),
    boot=st.sampled_from(["b1", "b0", None]),
    begun=st.none() | st.integers(1, 2),
    hint=st.none() | st.sampled_from(["timeout", "shutdown"]),
    hinted=st.none() | st.integers(-100, 400).map(at),
    host=st.sampled_from(["web01", "db01"]),
)
SYSTEMS = st.dictionaries(
    st.integers(1, 3), st.tuples(st.integers(1, 2), st.integers(-100, 400).map(at)), max_size=3
).map(lambda begun: System((), begun))


def is_alive(session: Session, system: System) -> Optional[bool]:
    """Whether the very process that led a session is there."""
    begun = system.begun.get(session.leader or 0)
    return session.begun is not None and begun is not None and begun[0] == session.begun


@given(st.lists(SESSIONS, max_size=4), st.lists(SYSTEMS, max_size=6))
def test_whatever_the_system_says(sessions: list[Session], systems: list[System]) -> None:
    """A session ends once at most, never before it began, and never while its leader lives."""
    open_ = {f"{n:016x}": s._replace(id=f"{n:016x}") for n, s in enumerate(sessions)}
    told: list[Optional[str]] = []
    look = first_look(at(0))
    for number, system in enumerate(systems):
        now = at(500 + number)
        pairing, look = reconcile(list(open_.values()), system, HOST, look, now, reason="vanished")
        alive = {s.id for s in open_.values() if is_alive(s, system)}
        for session in pairing.sessions:
            if session.end is None:
                open_[session.id] = session
                continue
            assert session.id not in alive
            assert session.start <= session.end
            assert session.until is None or session.until > session.end
            assert is_local(open_.pop(session.id), HOST)
        told += [event.session for event in pairing.events]
    assert len(told) == len(set(told))
    assert set(told) == {f"{n:016x}" for n in range(len(sessions))} - set(open_)
