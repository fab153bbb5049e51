"""Event × open sessions → sessions opened and closed. One connection is opened once and closed once.

A session has two names in the log: the pid of its leader (sshd's monitor process, which writes `Accepted` and
PAM's lines) and the client's address and port (which the user's own process writes, under another pid). The
first line that ends it by either name decides when and how; the ones behind it find no open session and say nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core import model
from usm.core.model import Event, Session

if TYPE_CHECKING:
    from collections.abc import Sequence


class Pairing(NamedTuple):
    """What an event did: sessions as they now are, and the completed events, in the order to be told."""

    sessions: tuple[Session, ...] = ()
    events: tuple[Event, ...] = ()


NOTHING = Pairing()


def pair(event: Event, related: Sequence[Session]) -> Pairing:
    """Open or close. `related`: the open sessions of the event's host that share its leader, or its address and port.

    For a login also the session with its very id, open or closed. For evidence that names an address without a
    port (OpenSSH before 7.2): all open sessions from that address.
    """
    if event.kind == model.LOGIN:
        return _open(event, related)
    if event.kind == model.LOGOUT:
        return _close(event, related)
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
    )
    if not related:
        return Pairing((session,), (event,))
    if any(old.id == session.id for old in related):  # the very same line again
        return NOTHING
    # A pid, or an address and port, serves one connection at a time: the older session ended and nobody wrote it down.
    gone = [_ended(old, event, model.VANISHED) for old in related]
    return Pairing((*(s for s, _ in gone), session), (*(e for _, e in gone), event))


def _close(event: Event, related: Sequence[Session]) -> Pairing:
    session = _joined(event, related)
    if session is None:
        return NOTHING
    closed, logout = _ended(session, event, event.end_reason or model.CLOSED)
    return Pairing((closed,), (logout,))


def _joined(event: Event, related: Sequence[Session]) -> Optional[Session]:
    """Return the one session that this evidence ends, or None where it is nobody's or could be several's."""
    if event.source_ip is None:  # PAM, signals: the leader writes them itself
        led = [s for s in related if s.leader == event.pid]
        named = [s for s in led if event.user is None or s.user == event.user]
        return named[0] if named else None
    if event.source_port is None:
        led = [s for s in related if s.leader == event.pid]
        return led[0] if led else related[0] if len(related) == 1 else None
    # The name is not compared: an account may be written in several ways, its connection only in one.
    return next((s for s in related if (s.source_ip, s.source_port) == (event.source_ip, event.source_port)), None)


def _ended(session: Session, event: Event, reason: str) -> tuple[Session, Event]:
    """Close `session` at the event's time; a clock that was set back can't make it end before it began."""
    end = max(event.time, session.start)
    closed = session._replace(end=end, end_reason=reason)
    return closed, logout_event(closed, event.pid)


def logout_event(session: Session, pid: Optional[int] = None) -> Event:
    """Return the complete logout of a closed session: nobody has to look up where it came from."""
    end = session.end or session.start
    return Event(
        model.LOGOUT,
        end,
        session.host,
        session.service,
        session.user,
        session.source_ip,
        session.source_port,
        session.method,
        session.key,
        session.tty,
        session.leader if pid is None else pid,
        session.id,
        session.start.astimezone(end.tzinfo),  # one offset within one event, also after a restart
        (end - session.start).total_seconds(),
        session.end_reason,
    )
