"""What SIEMs get: only fields that the vocabularies have, with the values that they allow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.channels.samples import EN, MESSAGES
from usm.channels.formats import FORMATS, ecs, ocsf
from usm.core.message import Alert

# Field → type. From the field reference of the Elastic Common Schema 9.
ECS = {
    "@timestamp": str,
    "ecs.version": str,
    "message": str,
    "labels": dict,
    "event.kind": str,
    "event.id": str,
    "event.provider": str,
    "event.module": str,
    "event.dataset": str,
    "event.severity": int,
    "event.category": list,
    "event.type": list,
    "event.action": str,
    "event.outcome": str,
    "event.reason": str,
    "event.start": str,
    "event.end": str,
    "event.duration": int,
    "host.name": str,
    "host.ip": list,
    "observer.product": str,
    "observer.version": str,
    "observer.type": str,
    "user.name": str,
    "user.full_name": str,
    "user.effective.name": str,
    "process.pid": int,
    "rule.id": list,
    "process.name": str,
    "process.command_line": str,
    "source.ip": str,
    "source.address": str,
    "source.port": int,
    "related.user": list,
    "related.ip": list,
}
# Attribute → type. From OCSF 1.8: the class Authentication, its base event, and the objects that it holds.
OCSF = {
    "time": int,
    "severity_id": int,
    "message": str,
    "category_uid": int,
    "class_uid": int,
    "activity_id": int,
    "activity_name": str,
    "type_uid": int,
    "status_id": int,
    "status": str,
    "status_detail": str,
    "count": int,
    "duration": int,
    "unmapped": dict,
    "metadata.version": str,
    "metadata.uid": str,
    "metadata.product.name": str,
    "metadata.product.vendor_name": str,
    "metadata.product.version": str,
    "user.name": str,
    "user.full_name": str,
    "service.name": str,
    "session.uid": str,
    "session.terminal": str,
    "session.created_time": int,
    "session.is_remote": bool,
    "src_endpoint.ip": str,
    "src_endpoint.port": int,
    "dst_endpoint.hostname": str,
    "dst_endpoint.ip": str,
    "is_remote": bool,
    "logon_type_id": int,
    "logon_type": str,
    "auth_protocol_id": int,
    "auth_protocol": str,
    "account_switch_type_id": int,
    "account_switch_type": str,
}


def fields(document: dict[str, Any], free: str, prefix: str = "") -> dict[str, type]:
    """Return the type of each field, by its path; what is below the field `free` has no rules."""
    found: dict[str, type] = {}
    for name, value in document.items():
        if isinstance(value, dict) and name != free:
            found.update(fields(value, free, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = type(value)
    return found


@pytest.mark.parametrize("message", MESSAGES.values(), ids=list(MESSAGES))
def test_ecs_has_these_fields(message: Any) -> None:  # noqa: ANN401 - any message
    """And allows these values."""
    document = ecs(message, EN)
    found = fields(document, "labels")
    assert found.items() <= ECS.items()
    assert document["event"]["kind"] in ("event", "alert")
    assert set(document["event"]["category"]) <= {"authentication", "session", "configuration"}
    assert set(document["event"]["type"]) <= {"start", "end", "info"}
    assert document["event"].get("outcome", "unknown") in ("success", "failure", "unknown")
    assert all(isinstance(value, str) for value in document["labels"].values())


@pytest.mark.parametrize("message", MESSAGES.values(), ids=list(MESSAGES))
def test_ocsf_has_these_attributes(message: Any) -> None:  # noqa: ANN401 - any message
    """And wants these: a user, and the service or the endpoint."""
    event = ocsf(message, EN)
    assert fields(event, "unmapped").items() <= OCSF.items()
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["severity_id"] in range(1, 7)
    if isinstance(message, Alert):
        assert {"user", "service", "dst_endpoint", "status_id"} <= set(event)


def test_a_login_in_ecs() -> None:
    """Literally, but for the version."""
    document = ecs(MESSAGES["login"], EN)
    del document["observer"]["version"]
    assert document == {
        "@timestamp": "2026-11-25T02:00:00+00:00",
        "ecs": {"version": "9.0.0"},
        "message": "User login",
        "event": {
            "kind": "event",
            "id": "1111111111111111",
            "provider": "user-session-monitor",
            "module": "usm",
            "dataset": "usm.session",
            "severity": 1,
            "category": ["authentication", "session"],
            "type": ["start"],
            "action": "user_login",
            "outcome": "success",
        },
        "host": {"name": "web01", "ip": ["192.0.2.10"]},
        "observer": {"product": "user-session-monitor", "type": "agent"},
        "labels": {
            "severity": "info",
            "session": "00c0ffee00c0ffee",
            "method": "publickey",
            "key": "SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME",
            "count": "1",
            "test": "false",
        },
        "user": {"name": "alice"},
        "process": {"pid": 125, "name": "sshd"},
        "source": {"ip": "203.0.113.5", "address": "203.0.113.5", "port": 43867},
        "related": {"user": ["alice"], "ip": ["203.0.113.5", "192.0.2.10"]},
    }


def test_a_logout_and_an_elevation_in_ocsf() -> None:
    """The numbers that say what it is."""
    out, acted, failed = (ocsf(MESSAGES[name], EN) for name in ("logout", "privilege", "failed"))
    assert (out["class_uid"], out["type_uid"], out["activity_name"]) == (3002, 300202, "Logoff")
    assert (out["status_detail"], out["duration"], out["logon_type_id"]) == ("closed", 3600500, 10)
    assert (acted["type_uid"], acted["account_switch_type_id"], acted["is_remote"]) == (300207, 1, False)
    assert acted["unmapped"]["target"] == "root"
    assert (failed["type_uid"], failed["status_id"], failed["count"]) == (300201, 2, 7)


def test_a_cloud_event() -> None:
    """The envelope; the event itself is that of `format: json`."""
    kinds = {name: FORMATS["cloudevents"](message, EN)["type"] for name, message in MESSAGES.items()}
    assert kinds == {
        "login": "usm.session.start",
        "logout": "usm.session.end",
        "failed": "usm.session.failed",
        "privilege": "usm.session.elevate",
        "test": "usm.session.start",
        "judged": "usm.session.start",
        "finding": "usm.finding",
        "digest": "usm.digest",
        "summary": "usm.summary",
        "fault": "usm.channel",
        "mended": "usm.channel",
    }
    event = FORMATS["cloudevents"](MESSAGES["login"], EN)
    assert (event["source"], event["subject"]) == ("urn:usm:host:web01", "web01/00c0ffee00c0ffee")
    assert event["data"]["user"] == "alice"


@pytest.mark.parametrize("form", FORMATS)
def test_every_message_is_json(form: str) -> None:
    """No value is of a type that JSON lacks."""
    for message in MESSAGES.values():
        document = FORMATS[form](message, EN)
        assert json.loads(json.dumps(document, allow_nan=False)) == document
