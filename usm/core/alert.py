"""Event → Alert: what people are told, how grave it is; and the form of messages in the store and for programs."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Optional

from usm.core import model
from usm.core.message import Alert, Digest, Summary, Top, Trouble
from usm.core.model import Event, Evidence, Finding, Host

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    model.FINDING: ("start", "duration", "until", "count", *_WHOSE),
}


def alert_for(
    event: Event,
    host: Host,
    findings: Optional[tuple[Finding, ...]] = None,
    *,
    late: bool = False,
    learning: Optional[datetime] = None,
) -> Optional[Alert]:
    """Return what to tell of a completed event, or None.

    Of su and sudo what was done on a terminal is told, and what is abnormal: the rest is automation's, and it is kept.
    Failed logins are told to channels that ask for them, many at once (`route`). `findings`: None where nobody judged:
    then only an abnormal end is a warning. `late`: it happened while nobody watched.
    """
    grave = any(finding.severity != model.INFO for finding in findings or ())
    if event.kind == model.PRIVILEGE and event.tty is None and not grave:
        return None
    if findings is not None:
        severity = model.gravest(finding.severity for finding in findings)
    else:
        abnormal = event.kind == model.LOGOUT and event.end_reason not in model.NORMAL_ENDS
        severity = model.WARNING if abnormal else model.INFO
    address = host.addresses[0] if host.addresses else None
    identity = identify(event, [finding.rule for finding in findings or ()])
    return Alert(identity, event, severity, address, late=late, findings=findings or (), learning=learning)


def identify(event: Event, rules: Sequence[str] = ()) -> str:
    """Return the id of an event: 16 hexadecimal digits, the same for the same facts.

    `rules`: which found something. Of what was found by itself they belong to the facts: two may find the same.
    """
    facts = json.dumps(event_json(event), sort_keys=True)
    if event.kind == model.FINDING:
        facts += " ".join(rules)
    return blake2b(facts.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def event_json(event: Event) -> dict[str, Any]:
    """Return the event as promised to programs: one shape for a kind, absent facts null, times with their offset."""
    fields = (*_SHARED, *_MORE[event.kind])
    return {name: _plain(getattr(event, name)) for name in fields}


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as promised to programs."""
    evidence = [{**one._asdict(), "last": one.last.isoformat()} for one in finding.evidence]
    return {**finding._asdict(), "facts": dict(finding.facts), "evidence": evidence}


def finding_of(body: dict[str, Any]) -> Finding:
    """Read what `finding_json` made."""
    evidence = tuple(Evidence(**_timed(one, ("last",))) for one in body["evidence"])
    return Finding(**{**body, "evidence": evidence})


def _plain(value: Any) -> Any:  # noqa: ANN401 - any field of an event
    return value.isoformat() if isinstance(value, datetime) else value


def message_json(message: Message) -> dict[str, Any]:
    """Return a message as promised to programs: an event as it is, everything else under a kind of its own."""
    if isinstance(message, Alert):
        findings = [finding_json(finding) for finding in message.findings]
        body = {**event_json(message.event), "severity": message.severity, "id": message.id, "test": message.test}
        return {**body, "findings": findings, "learning": _plain(message.learning)}
    body = {name: _plain(value) for name, value in message._asdict().items()}
    if isinstance(message, Digest):
        tops = {name: _top_json(getattr(message, name)) for name in ("users", "sources", "hosts")}
        return {"kind": "digest", **body, "kinds": dict(message.kinds), **tops}
    if isinstance(message, Summary):
        return {"kind": "summary", **body, "kinds": dict(message.kinds), "found": dict(message.found)}
    return {"kind": "channel", **body}


def _top_json(top: Top) -> dict[str, Any]:
    named = [{"value": name, "count": count} for name, count in top.named]
    return {"named": named, "others": top.others, "rest": top.rest}


def counted_as(message: Message) -> str:
    """Return the label under which a message is counted: its gravest finding's rule, or what it is about."""
    if not isinstance(message, Alert):
        return type(message).__name__.lower()
    found = [finding.rule for finding in message.findings if finding.severity == message.severity]
    return found[0] if found else message.event.kind


def dump(message: Message) -> str:
    """Message → JSON text for the outbox."""
    body = {name: _plain(value) for name, value in message._asdict().items()}
    if isinstance(message, Alert):
        body["event"] = stored(message.event)
        body["findings"] = [finding_json(finding) for finding in message.findings]
    return json.dumps(body, ensure_ascii=False)


def stored(event: Event) -> dict[str, Any]:
    """Return all that is known of an event, for the store."""
    return {name: _plain(value) for name, value in event._asdict().items() if value is not None}


def event_of(body: dict[str, Any]) -> Event:
    """Read what `stored` made."""
    return Event(**_timed(body, _TIMES))


def load(text: str) -> Message:
    """JSON text from the outbox → message."""
    body = json.loads(text)
    if "event" in body:
        findings = tuple(finding_of(finding) for finding in body.get("findings", ()))  # older ones have none
        return Alert(**_timed({**body, "event": event_of(body["event"]), "findings": findings}, ("learning",)))
    if "channel" in body:
        return Trouble(**_timed(body, ("time",)))
    if "head" in body:
        return Summary(
            **{**_timed(body, ("since", "time")), "kinds": _pairs(body["kinds"]), "found": _pairs(body["found"])}
        )
    tops = {name: Top(_pairs(body[name][0]), *body[name][1:]) for name in ("users", "sources", "hosts")}
    return Digest(**{**_timed(body, ("first", "last")), "kinds": _pairs(body["kinds"]), **tops})


def _pairs(value: Any) -> Any:  # noqa: ANN401 - lists where tuples were
    return tuple(map(tuple, value))


def _timed(body: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {**body, **{name: datetime.fromisoformat(body[name]) for name in names if body.get(name) is not None}}
