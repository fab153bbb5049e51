"""Event → Alert: what people are told, how grave it is; and its form in the store."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import blake2b
from typing import Any, Optional

from usm.core import model
from usm.core.model import Alert, Event, Host

_TIMES = ("time", "start", "until")
_SHARED = (
    "kind",
    "time",
    "host",
    "service",
    "user",
    "source_ip",
    "source_port",
    "method",
    "key",
    "tty",
    "pid",
    "session",
)
_WHOSE = ("person", "comment")
_MORE = {
    model.LOGIN: _WHOSE,
    model.LOGOUT: ("start", "duration", "end_reason", "until", *_WHOSE),
    model.FAILED: ("invalid_user", "count", "target", "command"),
    model.PRIVILEGE: ("target", "command"),
}


def alert_for(event: Event, host: Host, *, late: bool = False) -> Optional[Alert]:
    """Return what to tell of a completed event, or None.

    Failed logins are counted, not told one by one. Of su and sudo only what was done on a terminal is told: the
    rest is automation's, and it is kept. `late`: it happened while nobody watched.
    """
    if event.kind == model.FAILED or (event.kind == model.PRIVILEGE and event.tty is None):
        return None
    abnormal = event.kind == model.LOGOUT and event.end_reason not in model.NORMAL_ENDS
    address = host.addresses[0] if host.addresses else None
    facts = json.dumps(event_json(event), sort_keys=True)
    identity = blake2b(facts.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
    return Alert(identity, event, model.WARNING if abnormal else model.INFO, address, late=late)


def event_json(event: Event) -> dict[str, Any]:
    """Return the event as promised to programs: one shape for a kind, absent facts null, times with their offset."""
    fields = (*_SHARED, *_MORE[event.kind])
    return {name: _plain(getattr(event, name)) for name in fields}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any field of an event
    return value.isoformat() if isinstance(value, datetime) else value


def dump(alert: Alert) -> str:
    """Alert → JSON text for the outbox."""
    event = {name: _plain(value) for name, value in alert.event._asdict().items() if value is not None}
    return json.dumps({**alert._asdict(), "event": event}, ensure_ascii=False)


def load(text: str) -> Alert:
    """JSON text from the outbox → Alert."""
    body = json.loads(text)
    event = body["event"]
    for name in _TIMES:
        if name in event:
            event[name] = datetime.fromisoformat(event[name])
    return Alert(**{**body, "event": Event(**event)})
