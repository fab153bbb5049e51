"""Event → Alert: what people are told, how grave it is; and the form of messages in the store and for programs."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Optional

from usm.core import model
from usm.core.message import Alert, Digest, Top, Trouble
from usm.core.model import Event, Host

if TYPE_CHECKING:
    from usm.core.message import Message

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

    Of su and sudo only what was done on a terminal is told: the rest is automation's, and it is kept. Failed logins
    are told to channels that ask for them, many at once (`route`). `late`: it happened while nobody watched.
    """
    if event.kind == model.PRIVILEGE and event.tty is None:
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


def message_json(message: Message) -> dict[str, Any]:
    """Return a message as promised to programs: an event as it is, everything else under a kind of its own."""
    if isinstance(message, Alert):
        return {**event_json(message.event), "severity": message.severity, "id": message.id, "test": message.test}
    body = {name: _plain(value) for name, value in message._asdict().items()}
    if isinstance(message, Digest):
        tops = {name: _top_json(getattr(message, name)) for name in ("users", "sources", "hosts")}
        return {"kind": "digest", **body, "kinds": dict(message.kinds), **tops}
    return {"kind": "channel", **body}


def _top_json(top: Top) -> dict[str, Any]:
    named = [{"value": name, "count": count} for name, count in top.named]
    return {"named": named, "others": top.others, "rest": top.rest}


def dump(message: Message) -> str:
    """Message → JSON text for the outbox."""
    body = {name: _plain(value) for name, value in message._asdict().items()}
    if isinstance(message, Alert):
        body["event"] = {name: _plain(value) for name, value in message.event._asdict().items() if value is not None}
    return json.dumps(body, ensure_ascii=False)


def load(text: str) -> Message:
    """JSON text from the outbox → message."""
    body = json.loads(text)
    if "event" in body:
        return Alert(**{**body, "event": Event(**_timed(body["event"], _TIMES))})
    if "channel" in body:
        return Trouble(**_timed(body, ("time",)))
    tops = {name: Top(_pairs(body[name][0]), *body[name][1:]) for name in ("users", "sources", "hosts")}
    return Digest(**{**_timed(body, ("first", "last")), "kinds": _pairs(body["kinds"]), **tops})


def _pairs(value: Any) -> Any:  # noqa: ANN401 - lists where tuples were
    return tuple(map(tuple, value))


def _timed(body: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {**body, **{name: datetime.fromisoformat(body[name]) for name in names if name in body}}
