"""CSV, ECS and OCSF of sessions and events: every event a document, no name a formula."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta, timezone

import pytest

from usm.core.alert import event_json
from usm.core.look import Look
from usm.core.model import FAILED, FINDING, KINDS, LOGIN, LOGOUT, Event, Session
from usm.export import EVENT, SESSION, csv_lines, entry_json, event_documents, event_in, session_documents
from usm.query import Entry
from usm.report import session_json

UTC = timezone.utc
EN = Look("en", UTC)
NOW = datetime(2026, 11, 23, 4, 5, 7, tzinfo=UTC)
OPEN = Session("00c0ffee00c0ffee", "web01", "sshd", "alice", "203.0.113.5", 43867, "publickey", "k", None, 125, NOW)
ENDED = OPEN._replace(end=NOW + timedelta(minutes=1), end_reason="reset")
FOLDED = {
    "kind": FAILED,
    "time": NOW.isoformat(),
    "until": NOW.isoformat(),
    "host": "web01",
    "service": "sshd",
    "source_ip": "203.0.113.9",
    "count": 7,
    "users": {"root": 5, "王": 2},
    "others": 0,
}


def entry(kind: str, findings: tuple[dict[str, str], ...] = (), **facts: str) -> Entry:
    """Return an event as the record holds it."""
    event = Event(kind, NOW, "web01", "sshd", "alice", "203.0.113.5")
    event = event._replace(start=NOW, duration=1.5, target="root", command=facts.get("command"))
    return Entry(3, 0, json.dumps({**event_json(event), "findings": findings}))


@pytest.mark.parametrize("kind", [*KINDS, FINDING])
def test_an_event_is_read_back_from_its_entry(kind: str) -> None:
    """All that a kind holds."""
    one = entry(kind, command="/bin/id")
    body = entry_json(one)
    assert next(iter(body)) == "seq"
    assert event_json(event_in(body)) == {
        name: value for name, value in body.items() if name not in ("seq", "findings")
    }
    assert set(body) <= set(EVENT)


@pytest.mark.parametrize("name", ["ecs", "ocsf"])
def test_every_kind_is_a_document(name: str) -> None:
    """Also what was folded, and what was found abnormal of it."""
    found = ({"rule": "new-source", "severity": "warning"}, {"rule": "new-key", "severity": "info"})
    entries = [entry(kind, found) for kind in (*KINDS, FINDING)] + [Entry(9, 0, json.dumps(FOLDED))]
    documents = list(event_documents(entries, name, EN))
    assert len(documents) == 6
    if name == "ecs":
        assert documents[0]["rule"] == {"id": ["new-source", "new-key"]}
        assert {d["event"]["kind"] for d in documents[:5]} == {"alert"}
        assert documents[5]["event"]["outcome"] == "failure"
        assert documents[5]["labels"]["count"] == "7"
        assert documents[0]["labels"]["severity"] == "warning"
    else:
        assert {d["severity_id"] for d in documents[:5]} == {4}
        assert documents[0]["unmapped"]["findings"] == found
        assert (documents[5]["count"], documents[5]["status"]) == (7, "Failure")


def test_a_session_is_its_login_or_its_logout() -> None:
    """As it stands now."""
    login, logout = session_documents([OPEN, ENDED], "ocsf", EN)
    assert (login["activity_name"], logout["activity_name"]) == ("Logon", "Logoff")
    assert logout["unmapped"]["end_reason"] == "reset"
    assert [d["unmapped"]["kind"] for d in (login, logout)] == [LOGIN, LOGOUT]


def test_the_columns_of_a_session_are_its_fields() -> None:
    """In their order."""
    assert tuple(session_json(OPEN, UTC)) == SESSION


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x","y")'])
def test_no_name_is_a_formula(name: str) -> None:
    """An apostrophe stands in front; the rest of the text is there."""
    head, line = csv_lines(SESSION, [session_json(OPEN._replace(user=name, comment=name), UTC)])
    row = dict(zip(*csv.reader([head, line])))
    assert row["user"] == row["comment"] == "'" + name.replace("\t", "\ufffd")
    assert row["source_port"] == "43867"


def test_csv_is_one_line_each_and_harmless() -> None:
    """Line ends, commas, quotes, escapes and bidirectional controls in a name change nothing."""
    evil = 'a,"b"\r\n=c\x1b[2J\u202e\x9b'
    lines = list(csv_lines(SESSION, [session_json(OPEN._replace(user=evil), UTC)] * 2))
    assert len(lines) == 3
    assert not any(c in "".join(lines) for c in "\r\n\x1b\u202e\x9b")
    assert all(len(row) == len(SESSION) for row in csv.reader(lines))


def test_csv_of_events_says_lists_in_words() -> None:
    """Findings and the users of folded failures."""
    found = ({"rule": "new-source", "severity": "warning"},)
    bodies = [entry_json(entry(LOGIN, found)), {"seq": 9, **FOLDED}, entry_json(entry(FAILED))]
    head, *rows = csv.reader(csv_lines(EVENT, bodies))
    shown = [dict(zip(head, row)) for row in rows]
    assert shown[0]["findings"] == "new-source:warning"
    assert (shown[1]["users"], shown[1]["count"]) == ("root=5; 王=2", "7")
    assert shown[2]["invalid_user"] == "false"
