"""Messages for programs, in the vocabularies that SIEMs know: ECS, OCSF, CloudEvents.

Sources: the Elastic Common Schema 9 (field reference), OCSF 1.8 (class 3002 Authentication, and the base event),
CloudEvents 1.0 (JSON format). What a vocabulary has no field for goes to `labels` (ECS) and `unmapped` (OCSF).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote

import usm
from usm.core import model
from usm.core.alert import message_json
from usm.core.message import Alert, Digest, Summary
from usm.core.phrasing import sentence
from usm.core.text import title

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look
    from usm.core.message import Message

_PRODUCT = "user-session-monitor"
_ACTIONS = {
    model.LOGIN: "user_login",
    model.LOGOUT: "user_logout",
    model.FAILED: "user_login",
    model.PRIVILEGE: "user_elevate",
    model.FINDING: "user_finding",
}
_TYPES = {model.LOGIN: "start", model.LOGOUT: "end"}
_CLOUD = {
    model.LOGIN: "usm.session.start",
    model.LOGOUT: "usm.session.end",
    model.FAILED: "usm.session.failed",
    model.PRIVILEGE: "usm.session.elevate",
    model.FINDING: "usm.finding",
}
_SEVERITY = {model.INFO: 1, model.NOTICE: 2, model.WARNING: 4, model.CRITICAL: 5}  # OCSF's severity_id
# OCSF's activity_id and its caption.
_ACTIVITY = {
    model.LOGIN: (1, "Logon"),
    model.LOGOUT: (2, "Logoff"),
    model.FAILED: (1, "Logon"),
    model.PRIVILEGE: (7, "Account Switch"),
    model.FINDING: (99, "Finding"),
}
_REMOTE, _INTERACTIVE = (10, "Remote Interactive"), (2, "Interactive")


def when(message: Message) -> datetime:
    """Return when it happened, or began."""
    if isinstance(message, Alert):
        return message.event.time
    return message.first if isinstance(message, Digest) else message.time


def cloudevents(message: Message, look: Look) -> dict[str, Any]:  # noqa: ARG001 - one shape for all formats
    """Return the event in its envelope (structured mode)."""
    host = message.event.host if isinstance(message, Alert) else message.host
    kind = _CLOUD[message.event.kind] if isinstance(message, Alert) else f"usm.{message_json(message)['kind']}"
    inner = message.event.session if isinstance(message, Alert) else None
    return {
        "specversion": "1.0",
        "id": message.id,
        "source": f"urn:usm:host:{quote(host)}",
        "type": kind,
        "subject": f"{host}/{inner or message.id}",
        "time": when(message).isoformat(),
        "datacontenttype": "application/json",
        "data": message_json(message),
    }


def ecs(message: Message, look: Look) -> dict[str, Any]:
    """Return a document of the Elastic Common Schema."""
    host = message.event.host if isinstance(message, Alert) else message.host
    document: dict[str, Any] = {
        "@timestamp": when(message).isoformat(),
        "ecs": {"version": "9.0.0"},
        "message": title(message, look),
        "event": {
            "kind": "event",
            "id": message.id,
            "provider": _PRODUCT,
            "module": "usm",
            "dataset": "usm.session",
            "severity": _SEVERITY[message.severity],
        },
        "host": {"name": host, **_known(ip=_listed(message.address))},
        "observer": {"product": _PRODUCT, "version": usm.__version__, "type": "agent"},
        "labels": {"severity": message.severity},
    }
    if isinstance(message, Alert):
        _ecs_event(document, message, look)
    elif isinstance(message, Digest):
        names = [name for name, _ in message.users.named if name]
        document["event"].update(category=["authentication"], type=["info"], outcome="unknown")
        document["labels"].update(events=str(message.total), abnormal=str(message.abnormal))
        document["related"] = {"user": names, "ip": [ip for ip, _ in message.sources.named if ip]}
    elif isinstance(message, Summary):
        document["event"].update(category=["authentication"], type=["info"])
        document["labels"].update(head=message.head, open=str(message.on))
    else:
        document["event"].update(kind="alert", category=["configuration"], type=["info"], reason=message.detail)
        document["labels"].update(channel=message.channel, code=message.code, mended=str(message.mended).lower())
    return document


def _ecs_event(document: dict[str, Any], alert: Alert, look: Look) -> None:
    event = alert.event
    failed = event.kind == model.FAILED
    document["event"].update(
        category=["authentication", "session"],
        type=[_TYPES.get(event.kind, "info")],
        action=_ACTIONS[event.kind],
        outcome="failure" if failed else "success",
        **_known(
            reason=event.end_reason,
            start=None if event.start is None else event.start.isoformat(),
            end=event.time.isoformat() if event.kind == model.LOGOUT else None,
            duration=None if event.duration is None else round(event.duration * 1e9),
        ),
    )
    document["user"] = _known(
        name=event.user, full_name=event.person, effective=None if event.target is None else {"name": event.target}
    )
    document["process"] = _known(pid=event.pid, command_line=event.command, name=event.service)
    if event.source_ip is not None:
        document["source"] = _known(ip=event.source_ip, address=event.source_ip, port=event.source_port)
    document["related"] = _known(user=_listed(event.user, event.target), ip=_listed(event.source_ip, alert.address))
    document["labels"].update(
        _known(session=event.session, method=event.method, key=event.key, terminal=event.tty, comment=event.comment)
    )
    document["labels"].update(count=str(event.count), test=str(alert.test).lower())
    if alert.findings:
        document["rule"] = {"id": [finding.rule for finding in alert.findings]}
        said = "; ".join(sentence(finding, look) for finding in alert.findings)
        document["event"].update(kind="alert", reason=event.end_reason or said)
        document["labels"].update(findings=said)


def ocsf(message: Message, look: Look) -> dict[str, Any]:
    """Return an event of the Open Cybersecurity Schema Framework."""
    event: dict[str, Any] = {
        "time": round(when(message).timestamp() * 1000),
        "severity_id": _SEVERITY[message.severity],
        "message": title(message, look),
        "metadata": {
            "version": "1.8.0",
            "uid": message.id,
            "product": {"name": _PRODUCT, "vendor_name": _PRODUCT, "version": usm.__version__},
        },
        "unmapped": message_json(message),
    }
    if not isinstance(message, Alert):
        base = {"category_uid": 0, "class_uid": 0, "activity_id": 99, "activity_name": message_json(message)["kind"]}
        return {**event, **base, "type_uid": 99}
    e = message.event
    activity, caption = _ACTIVITY[e.kind]
    logon, kind = _REMOTE if e.source_ip else _INTERACTIVE
    event.update(
        category_uid=3,
        class_uid=3002,
        activity_id=activity,
        activity_name=caption,
        type_uid=300200 + activity,
        status_id=2 if e.kind == model.FAILED else 1,
        status="Failure" if e.kind == model.FAILED else "Success",
        count=e.count,
        user=_known(name=e.user or "", full_name=e.person),
        service={"name": e.service},
        dst_endpoint={"hostname": e.host, **_known(ip=message.address)},
        session=_known(
            uid=e.session,
            terminal=e.tty,
            created_time=None if e.start is None else round(e.start.timestamp() * 1000),
            is_remote=e.source_ip is not None,
        ),
        is_remote=e.source_ip is not None,
        logon_type_id=logon,
        logon_type=kind,
    )
    if e.source_ip is not None:
        event["src_endpoint"] = _known(ip=e.source_ip, port=e.source_port)
    if e.method is not None:
        event.update(auth_protocol_id=99, auth_protocol=e.method)
    if e.kind == model.PRIVILEGE:
        event.update(account_switch_type_id=1, account_switch_type="Substitute User")
    if e.kind == model.LOGOUT:
        event.update(
            _known(status_detail=e.end_reason, duration=None if e.duration is None else round(e.duration * 1e3))
        )
    return event


def _known(**facts: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the facts that are known; absent ones are left out, as both vocabularies want it."""
    return {name: value for name, value in facts.items() if value is not None}


def _listed(*values: Optional[str]) -> Optional[list[str]]:
    """Return the values that are known, without repetition; None where there are none."""
    return list(dict.fromkeys(value for value in values if value)) or None


FORMATS = {"ecs": ecs, "ocsf": ocsf, "cloudevents": cloudevents}
