"""Event × open sessions → sessions opened and closed. One connection is opened once and closed once.

A session has up to three names in the log: the pid of its leader (sshd's monitor process, which writes `Accepted` and
PAM's lines), the client's address and port (which the user's own process writes, under another pid), and its id in
logind. The first line that ends it decides when; the ones behind it find no open session and say nothing.

In the journal it is known who wrote a record. There a user's own process only explains an end (a hint), which root's
process then makes: nobody can log out somebody else by writing a line.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core import model
from usm.core.model import Event, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOON = timedelta(minutes=2)  # how long a hint explains an end; systemd gives a stopping session 90 s


class Pairing(NamedTuple):
    """What an event did: sessions as they now are, and the completed events, in the order to be told."""

    sessions: tuple[Session, ...] = ()
    events: tuple[Event, ...] = ()


NOTHING = Pairing()


def pair(event: Event, related: Sequence[Session]) -> Pairing:
    """Open or close. `related`: the open sessions of the event's host that share its leader, or its address and port.

    For a login also the session with its very id, open or closed. For evidence that names an address without a
    port (OpenSSH before 7.2): all open sessions from that address. For evidence without a pid: those of its service
    and user. For a hint that names a session of logind: that one; for one that names nobody: all.
    """
    if event.kind == model.LOGIN:
        return _open(event, related)
    if event.kind == model.LOGOUT:
        return _close(event, related)
    if event.kind == model.HINT:
        # What the leader itself writes is no hint, whoever it runs as (dropbear's runs as the user).
        if event.pid is not None and any(s.leader == event.pid and s.uid in (None, event.uid) for s in related):
            return _close(event, related)
        return Pairing(tuple(_hint(session, event) for session in _explained(event, related)))
    if event.kind == model.DETAIL:
        return _describe(event, related)
    return Pairing(events=(event,))


def _open(event: Event, related: Sequence[Session]) -> Pairing:
    session = Session(
        event.session or "",
        event.host,
        event.service,
        event.user or "",
        event.source_ip,
        event.source_port,
        event.method,
        event.key,
        event.tty,
        event.pid,
        event.time,
        person=event.person,
        comment=event.comment,
        uid=event.uid,
        boot=event.boot,
    )
    if event.pid is None and event.source_ip is None:  # the log can't tell it from another of the same user
        related = [old for old in related if old.id == session.id]
    if not related:
        return Pairing((session,), (event,))
    if any(old.id == session.id for old in related):  # the very same line again
        return NOTHING
    # A pid, or an address and port, serves one connection at a time: the older session ended and nobody wrote it down.
    gone = [_replaced(old, event.time) for old in related]
    return Pairing((*(s for s, _ in gone), session), (*(e for _, e in gone), event))


def _replaced(session: Session, time: datetime) -> tuple[Session, Event]:
    """End a session whose place another has taken; what was said of its end counts more than that nobody saw it."""
    if session.hint is not None and session.hinted is not None:
        return end(session, session.hinted, session.hint)
    return end(session, time, model.VANISHED)


def _close(event: Event, related: Sequence[Session]) -> Pairing:
    session = _joined(event, related)
    if session is None:
        return NOTHING
    reason, hint = event.end_reason or model.CLOSED, _hinted(session, event.time)
    # In the journal systemd's word that it stops a session comes a few milliseconds before or behind PAM's that it is
    # closed; logind's that it is over comes last. Where nobody said goodbye, that one is waited for.
    pam = event.source_ip is None and event.service != "" and reason in (model.CLOSED, model.DISCONNECTED)
    if pam and hint is None and event.boot is not None and session.seat is not None:
        return Pairing((session._replace(hint=reason, hinted=event.time),))
    # What sshd says of the connection itself is the reason; what PAM or a signal says is only that there is one.
    if event.source_ip is None and hint not in (None, model.CLOSED):
        reason = hint or reason
    closed, logout = end(session, event.time, reason, pid=event.pid)
    return Pairing((closed,), (logout,))


def _describe(event: Event, related: Sequence[Session]) -> Pairing:
    session = _joined(event, related)
    if session is None:
        return NOTHING
    more = {name: getattr(event, name) for name in ("uid", "seat", "tty") if getattr(event, name) is not None}
    return Pairing((session._replace(**more),))


def _hint(session: Session, event: Event) -> Session:
    """Note how a session will have ended; that it will be closed or stopped says less than what was said before.

    Who has no client, but sat at a console, said no goodbye: there PAM's word is no more than that it is closed.
    """
    said = _hinted(session, event.time)
    known = said not in (None, model.CLOSED) and (said, session.source_port) != (model.DISCONNECTED, None)
    if known and event.end_reason in (model.CLOSED, model.TERMINATED):
        return session
    return session._replace(hint=event.end_reason, hinted=event.time)


def _hinted(session: Session, time: datetime) -> Optional[str]:
    """Return how the session was said to end, if that was said not long ago."""
    near = session.hinted is not None and abs(time - session.hinted) <= _SOON
    return session.hint if near else None


def _explained(event: Event, related: Sequence[Session]) -> list[Session]:
    """Return the sessions that a hint is about; a user's process speaks of the user's own sessions only."""
    if event.source_ip is None and event.uid is None:  # from root: one session of logind, or the whole machine
        return list(related)
    session = _joined(event, related)
    own = session is not None and (event.uid is None or session.uid in (None, event.uid))
    return [session] if session is not None and own else []


def _joined(event: Event, related: Sequence[Session]) -> Optional[Session]:
    """Return the one session that this evidence is about, or None where it is nobody's or could be several's."""
    related = [s for s in related if event.service in ("", s.service)]
    if event.source_ip is None:  # PAM, signals: the leader writes them itself
        led = [s for s in related if event.pid in (None, s.leader)]
        named = [s for s in led if event.user is None or s.user == event.user]
        return named[0] if named else None
    if event.source_port is None:
        led = [s for s in related if s.leader == event.pid]
        return led[0] if led else related[0] if len(related) == 1 else None
    # The name is not compared: an account may be written in several ways, its connection only in one.
    return next((s for s in related if (s.source_ip, s.source_port) == (event.source_ip, event.source_port)), None)


def end(
    session: Session, time: datetime, reason: str, *, until: Optional[datetime] = None, pid: Optional[int] = None
) -> tuple[Session, Event]:
    """Close `session` at `time`, or between `time` and `until`; return it and its logout.

    A clock that was set back can't make it end before it began.
    """
    earliest = max(time, session.start)
    latest = None if until is None or until <= earliest else until
    closed = session._replace(end=earliest, end_reason=reason, until=latest, hint=None, hinted=None)
    return closed, logout_event(closed, pid)


def event_of(kind: str, time: datetime, session: Session) -> Event:
    """Return an event of this kind and time with all that is known of a session."""
    return Event(
        kind,
        time,
        session.host,
        session.service,
        session.user,
        session.source_ip,
        session.source_port,
        session.method,
        session.key,
        session.tty,
        session.leader,
        session.id,
        person=session.person,
        comment=session.comment,
    )


def login_event(session: Session) -> Event:
    """Return the login of a session, with what became known of it since."""
    return event_of(model.LOGIN, session.start, session)


def logout_event(session: Session, pid: Optional[int] = None) -> Event:
    """Return the complete logout of a closed session: nobody has to look up where it came from."""
    moment = session.end or session.start
    return event_of(model.LOGOUT, moment, session)._replace(
        pid=session.leader if pid is None else pid,
        start=session.start.astimezone(moment.tzinfo),  # one offset within one event, also after a restart
        duration=(moment - session.start).total_seconds(),
        end_reason=session.end_reason,
        until=session.until,
    )
