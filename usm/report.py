"""What the store holds → tables for people and JSON Lines for programs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Optional

from usm.columns import lines, table
from usm.core.alert import message_json
from usm.core.look import Look, duration
from usm.core.message import PENDING, STATES, WAITING, Alert, Digest
from usm.core.tame import clean
from usm.core.text import title

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, tzinfo

    from usm.core.message import Message
    from usm.core.model import Session
    from usm.outbox import Delivery
    from usm.status import Status


_STEERS = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")


def session_json(session: Session, zone: tzinfo) -> dict[str, Any]:
    """One session with the field names of an event; an open one has no end."""
    end = session.end
    return {
        "session": session.id,
        "user": session.user,
        "source_ip": session.source_ip,
        "source_port": session.source_port,
        "method": session.method,
        "key": session.key,
        "person": session.person,
        "comment": session.comment,
        "tty": session.tty,
        "service": session.service,
        "host": session.host,
        "pid": session.leader,
        "start": iso(session.start, zone),
        "end": iso(end, zone),
        "until": iso(session.until, zone),
        "duration": None if end is None else (end - session.start).total_seconds(),
        "end_reason": session.end_reason,
    }


def delivery_json(delivery: Delivery, zone: tzinfo) -> dict[str, Any]:
    """One message in the outbox: for whom, about what, how often it was tried and what was the answer.

    `events`: how many it tells of, more than one for a digest.
    """
    message = delivery.message
    event = message.event if isinstance(message, Alert) else None
    return {
        "id": delivery.id,
        "channel": delivery.channel,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "due": iso(delivery.due, zone),
        "code": delivery.code,
        "detail": delivery.detail,
        "severity": message.severity,
        "kind": event.kind if event else str(message_json(message)["kind"]),
        "events": message.total if isinstance(message, Digest) else event.count if event else 0,
        "user": event.user if event else None,
        "source_ip": event.source_ip if event else None,
        "time": iso(_time(message), zone),
        "session": event.session if event else None,
    }


def _time(message: Message) -> datetime:
    """Return when what a message tells of began."""
    if isinstance(message, Digest):
        return message.first
    return message.event.time if isinstance(message, Alert) else message.time


_NOBODY_TOLD = "channels: none, so nobody is told; add one under `notify:` in the configuration, then: usm reload"


def status_json(status: Status, zone: tzinfo) -> dict[str, Any]:
    """The whole state of the monitor as one object."""
    counters: dict[str, Any] = {}
    for (name, *labels), value in status.counters.items():
        if labels:
            counters.setdefault(name, {})[" ".join(labels)] = value
        else:
            counters[name] = value
    return {
        "running": status.running,
        "pid": status.pid,
        "version": status.version,
        "started": iso(status.started, zone),
        "source": status.source,
        "why": status.why,
        "watched": iso(status.watched, zone),
        "behind": status.behind,
        "lag": status.lag,
        "configured": iso(status.configured, zone),
        "refused": list(status.refused),
        "problem": None
        if status.problem is None
        else {
            "level": status.problem.level,
            "time": iso(status.problem.time, zone),
            "text": status.problem.text,
        },
        "sessions": status.sessions,
        "channels": [
            {
                "channel": c.name,
                "state": c.state,
                "since": iso(c.since, zone),
                "code": c.code,
                "detail": c.detail,
                "queued": iso(c.queued, zone),
                "deliveries": dict(c.deliveries),
            }
            for c in status.channels
        ],
        "counters": counters,
    }


def status_table(status: Status, now: datetime, zone: tzinfo, language: str) -> str:
    """How the monitor does, and what waits for whom and why."""
    rows = [
        (
            c.name,
            c.state,
            *(str(c.deliveries.get(state, 0)) for state in STATES),
            "-" if c.queued is None else duration((now - c.queued).total_seconds(), language),
            "-" if c.since is None else short(c.since, zone),
            clean(f"{c.code}: {c.detail}" if c.code else "-", 200),
        )
        for c in status.channels
    ]
    head = ("CHANNEL", "STATE", *(state.upper() for state in STATES), "WAITS FOR", "SINCE", "LAST REFUSAL")
    return "\n".join((*_monitor(status, now, zone, language), *((table(head, rows),) if rows else (_NOBODY_TOLD,))))


def _monitor(status: Status, now: datetime, zone: tzinfo, language: str) -> Iterator[str]:
    """What is told of the monitor itself, a line each; of what is as it should be only what one wants to know."""
    if status.running:
        version = "" if status.version is None else f", version {status.version}"
        yield f"monitor: running{'' if status.pid is None else f' (process {status.pid}{version})'}"
        if status.started is not None:
            age = duration((now - status.started).total_seconds(), language)
            yield f"since: {short(status.started, zone)} ({age})"
    else:
        yield "monitor: not running; start it with: systemctl start user-session-monitor, or: usm start"
    watched = "never" if status.watched is None else short(status.watched, zone)
    why = "" if status.why is None else f" ({status.why})"
    yield f"source: {status.source or 'none yet'}{why}, watched until {watched}"
    if status.behind:
        yield f"behind: {status.behind} bytes of it are unread; the last record was {status.lag:.0f} s old"
    yield f"sessions open: {status.sessions}"
    events = {labels[0]: value for (name, *labels), value in status.counters.items() if name == "events"}
    counted = "".join(f", {value} {kind}" for kind, value in events.items())
    yield f"read so far: {status.counters.get(('lines',), 0)} lines{counted}"
    unrecognised = sum(value for (name, *_), value in status.counters.items() if name == "unrecognised")
    if unrecognised:
        yield f"not understood: {unrecognised} lines that begin like known ones; please report them"
    for problem in status.refused:
        yield f"configuration refused, the one before is in use: {clean(problem, 300)}"
    if status.problem is not None:
        yield f"last {status.problem.level}: {short(status.problem.time, zone)} {clean(status.problem.text, 300)}"


def sessions_table(sessions: Iterable[Session], now: datetime, zone: tzinfo, language: str) -> str:
    """Who is on (or was), since when, from where, and how they left."""
    return "\n".join(session_lines(sessions, now, zone, language))


def session_lines(
    sessions: Iterable[Session], now: datetime, zone: tzinfo, language: str, width: Optional[int] = None
) -> Iterator[str]:
    """Yield the same line by line, however many there are, no wider than `width`."""
    rows = (
        (
            clean(s.user),
            clean(s.source_ip or s.tty or "-"),
            clean(s.method or s.service),
            short(s.start, zone),
            duration(((s.end or now) - s.start).total_seconds(), language),
            s.end_reason or "open",
            clean(s.person or s.comment or s.key or "-", 60),
        )
        for s in sessions
    )
    return lines(("USER", "FROM", "METHOD", "SINCE", "FOR", "END", "KEY"), rows, width)


def outbox_table(deliveries: Iterable[Delivery], zone: tzinfo, language: str) -> str:
    """What waits to be sent or was given up, and why."""
    look = Look(language, zone)
    rows = [
        (
            str(d.id),
            d.state,
            d.channel,
            _headline(d.message, look),
            short(_time(d.message), zone),
            str(d.attempts),
            short(d.due, zone) if d.state in (PENDING, WAITING) else "-",
            clean(": ".join(part for part in (d.code, d.detail) if part) or "-", 200),
        )
        for d in deliveries
    ]
    return table(("ID", "STATE", "CHANNEL", "MESSAGE", "EVENT AT", "TRIES", "DUE", "LAST ANSWER"), rows)


def _headline(message: Message, look: Look) -> str:
    name = f" {clean(message.event.user or '-', 32)}" if isinstance(message, Alert) else ""
    return title(message, look) + name


def json_lines(objects: Iterable[dict[str, Any]]) -> str:
    """One object a line, names as they are; what would steer a terminal is escaped, which means the same."""
    return "\n".join(_STEERS.sub(_escaped, json.dumps(o, ensure_ascii=False)) for o in objects)


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def iso(time: Optional[datetime], zone: tzinfo) -> Optional[str]:
    """ISO 8601 with the local offset."""
    return None if time is None else time.astimezone(zone).isoformat()


def short(time: datetime, zone: tzinfo) -> str:
    """As people read it."""
    return time.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
