"""Open sessions × what the system itself says → the ends and beginnings that no line of the log told.

A session is over when its leader's process is gone, or is a later one of the same pid, or when the machine was booted
since. What is found missing once may only be told late by the log; so a session ends, and an unknown one begins, when
a second look finds the same. Times are honest: an end that nobody saw lies between the last moment at which the
session was there and the first at which it was not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core import model
from usm.core.model import Event, Seat, Session, session_id
from usm.core.pair import Pairing, end

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from usm.core.model import Host, System

_SLACK = timedelta(seconds=2)  # /proc tells starts and the boot by whole seconds
_NEAR = timedelta(seconds=10)  # between PAM's line and logind's session


class Missing(NamedTuple):
    """A session whose leader is gone: why it is thought to have ended, and between which times."""

    reason: str
    after: datetime
    before: datetime


class Look(NamedTuple):
    """One comparison: when, which sessions were missing, and which leaders of the system's were unknown."""

    time: datetime
    missing: Mapping[str, Missing]
    unknown: frozenset[int]

    def doubts(self, before: Look) -> bool:
        """Tell whether a second look is due soon; a leader that stays unknown (its session has ended) is no doubt."""
        return bool(self.missing or self.unknown - before.unknown)


def first_look(watched: datetime) -> Look:
    """Return the look before the first: `watched` is when a monitor last watched."""
    return Look(watched, {}, frozenset())


def is_local(session: Session, host: Host) -> bool:
    """Tell whether a session is of this machine, whose processes can be asked."""
    return session.boot is not None or host.is_called(session.host)


def reconcile(
    sessions: Sequence[Session], system: System, host: Host, before: Look, now: datetime, *, reason: str
) -> tuple[Pairing, Look]:
    """Return what ended or became known, and this look. `reason` is why a session newly found missing has ended.

    Leaders unknown twice are in both looks' `unknown`: the caller adopts them.
    """
    changed: list[Session] = []
    told: list[Event] = []
    missing: dict[str, Missing] = {}
    local = [session for session in sessions if is_local(session, host)]
    seats = {seat.leader: seat for seat in system.seats}
    for session in local:
        known = _known(session, seats.get(session.leader or 0), system)
        if known is not None:
            changed += [known] if known != session else []
            continue
        over = _is_of_earlier_boot(session, host)
        if session.leader is None and not over:
            seat = _seat_of(session, system.seats)
            changed += [session._replace(leader=seat.leader, begun=seat.begun)] if seat else []
            continue
        found = before.missing.get(session.id)
        if found is None:
            missing[session.id] = Missing(reason, max(before.time, session.start), now)
            continue
        closed, event = _ended_with_boot(session, found.after, host.booted or now) if over else _ended(session, found)
        changed.append(closed)
        told.append(event)
    leaders = {session.leader or 0 for session in (*local, *changed)}
    unknown = frozenset(seats) - leaders
    return Pairing(tuple(changed), tuple(told)), Look(now, missing, unknown)


def adopted(seat: Seat, lines: Iterable[Event], host: Host) -> tuple[Session, Event, bool]:
    """Return the session of somebody who is on, its login, and whether that is from a line that the log still has."""
    mine = [
        e
        for e in lines
        if e.kind == model.LOGIN and e.pid == seat.leader and e.user == seat.user and e.time >= seat.start - _SLACK
    ]
    event = mine[-1] if mine else None
    if event is None:
        identity = session_id(seat.start, host.name, seat.service, seat.user, seat.leader)
        where = (seat.source_ip, seat.source_port)
        event = Event(model.LOGIN, seat.start, host.name, seat.service, seat.user, *where, pid=seat.leader)
        event = event._replace(session=identity)
    event = event._replace(tty=event.tty or seat.tty)
    facts = (event.source_ip, event.source_port, event.method, event.key, event.tty, seat.leader, event.time)
    session = Session(event.session or "", event.host, event.service, seat.user, *facts)
    session = session._replace(person=event.person, comment=event.comment, uid=event.uid)
    return session._replace(seat=seat.id, boot=host.boot, begun=seat.begun), event, bool(mine)


def ended_with_boot(
    sessions: Iterable[Session], boots: tuple[Optional[str], ...], seen: datetime, now: datetime
) -> Pairing:
    """Close what is of none of these boots; the first record of a new one is of `now`, the last before it of `seen`."""
    over = [_ended_with_boot(s, seen, now) for s in sessions if s.boot is not None and s.boot not in boots]
    return Pairing(tuple(session for session, _ in over), tuple(event for _, event in over))


def _known(session: Session, seat: Optional[Seat], system: System) -> Optional[Session]:
    """Return the session, with what the system says of it, if its leader is there; None if not."""
    begun = system.begun.get(session.leader or 0)
    if begun is None:
        return None
    ticks, start = begun
    if session.begun is None:
        mine = seat is not None and seat.user == session.user  # also where the clock was set since the login
        if start > session.start + _SLACK and not mine:  # a later process of the same pid
            return None
        session = session._replace(begun=ticks)
    elif session.begun != ticks:
        return None
    if seat is not None:
        session = session._replace(tty=session.tty or seat.tty, seat=session.seat or seat.id)
        session = session._replace(source_ip=session.source_ip or seat.source_ip)  # cockpit's lines have none
    return session


def _is_of_earlier_boot(session: Session, host: Host) -> bool:
    if session.boot is not None and host.boot is not None and session.boot != host.boot:
        return True
    # A container keeps the boot id of its host; its first process tells when it was started.
    return host.booted is not None and session.start < host.booted - _SLACK


def _ended_with_boot(session: Session, seen: datetime, booted: datetime) -> tuple[Session, Event]:
    hint, hinted = session.hint, session.hinted
    if hint is not None and hinted is not None and (hint == model.SHUTDOWN or hinted >= seen - _NEAR):
        return end(session, hinted, hint)
    return end(session, min(max(seen, session.start), booted), model.CRASH, until=booted)


def _ended(session: Session, found: Missing) -> tuple[Session, Event]:
    """What was said of the end before counts more than that nobody saw it."""
    if session.hint is not None and session.hinted is not None and session.hinted >= found.after - _NEAR:
        return end(session, session.hinted, session.hint)
    return end(session, found.after, found.reason, until=found.before)


def _seat_of(session: Session, seats: Iterable[Seat]) -> Optional[Seat]:
    """Find the seat of a session whose program does not say which process it is."""
    same = (s for s in seats if (s.user, s.service) == (session.user, session.service))
    return next((s for s in same if abs(s.start - session.start) <= _NEAR), None)
