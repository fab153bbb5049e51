"""What the store holds → tables for people and JSON Lines for programs."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any, Optional

from usm.core.text import clean, duration, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, tzinfo

    from usm.core.model import Session
    from usm.store import Delivery


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
        "start": _iso(session.start, zone),
        "end": _iso(end, zone),
        "until": _iso(session.until, zone),
        "duration": None if end is None else (end - session.start).total_seconds(),
        "end_reason": session.end_reason,
    }


def delivery_json(delivery: Delivery, zone: tzinfo) -> dict[str, Any]:
    """One message in the outbox: for whom, about what, how often it was tried and what was the answer."""
    event = delivery.alert.event
    return {
        "id": delivery.id,
        "channel": delivery.channel,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "due": _iso(delivery.due, zone),
        "code": delivery.code,
        "detail": delivery.detail,
        "kind": event.kind,
        "user": event.user,
        "source_ip": event.source_ip,
        "time": _iso(event.time, zone),
        "session": event.session,
    }


def sessions_table(sessions: Iterable[Session], now: datetime, zone: tzinfo, language: str) -> str:
    """Who is on (or was), since when, from where, and how they left."""
    rows = [
        (
            clean(s.user),
            s.source_ip or s.tty or "-",
            s.method or s.service,
            _short(s.start, zone),
            duration(((s.end or now) - s.start).total_seconds(), language),
            s.end_reason or "open",
            clean(s.person or s.comment or s.key or "-", 60),
        )
        for s in sessions
    ]
    return table(("USER", "FROM", "METHOD", "SINCE", "FOR", "END", "KEY"), rows)


def outbox_table(deliveries: Iterable[Delivery], zone: tzinfo, language: str) -> str:
    """What waits to be sent or was given up, and why."""
    rows = [
        (
            str(d.id),
            d.state,
            d.channel,
            f"{title(d.alert, language)} {clean(d.alert.event.user or '-', 32)}",
            _short(d.alert.event.time, zone),
            str(d.attempts),
            _short(d.due, zone) if d.state == "pending" else "-",
            clean(f"{d.code}: {d.detail}" if d.code else "-", 200),
        )
        for d in deliveries
    ]
    return table(("ID", "STATE", "CHANNEL", "MESSAGE", "EVENT AT", "TRIES", "DUE", "LAST ANSWER"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of the width that the terminal shows, where a Chinese character takes two cells."""
    widths = [max(_cells(cell) for cell in column) for column in zip(head, *rows)]
    lines = [
        "  ".join(cell + " " * (width - _cells(cell)) for cell, width in zip(row, widths)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines)


def json_lines(objects: Iterable[dict[str, Any]]) -> str:
    """One object a line, names as they are."""
    return "\n".join(json.dumps(o, ensure_ascii=False) for o in objects)


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _iso(time: Optional[datetime], zone: tzinfo) -> Optional[str]:
    return None if time is None else time.astimezone(zone).isoformat()


def _short(time: datetime, zone: tzinfo) -> str:
    return time.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
