"""What the store holds, as tables for people and objects for programs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from usm.columns import table
from usm.core.alert import alert_for
from usm.core.message import DEAD, PENDING
from usm.core.model import LOGIN, LOGOUT, Event, Host, Session
from usm.outbox import Delivery
from usm.report import delivery_json, json_lines, outbox_table, session_json, sessions_table

UTC = timezone.utc
CST = timezone(timedelta(hours=8))
NOW = datetime(2026, 11, 23, 4, 5, 7, tzinfo=UTC)
ALICE = Session(
    "00c0ffee00c0ffee",
    "web01",
    "sshd",
    "alice",
    "203.0.113.5",
    43867,
    "publickey",
    "SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME",
    None,
    125,
    NOW - timedelta(hours=2, microseconds=5),
)
WANG = Session(
    "00c0ffee00c0ffef", "web01", "sshd", "王\n小", None, None, None, None, None, None, NOW, NOW, "disconnected"
)


def delivery(state: str, code: str | None, detail: str | None, kind: str = LOGIN) -> Delivery:
    """Return a message to Feishu in this state."""
    event = Event(kind, NOW, "web01", "sshd", "alice", "203.0.113.5", session="00c0ffee00c0ffee", end_reason="reset")
    alert = alert_for(event, Host("web01"))
    assert alert is not None
    return Delivery(7, alert, "feishu", state, 3, NOW + timedelta(minutes=1), plain=False, code=code, detail=detail)


def test_an_open_session_has_no_end() -> None:
    """The names of the fields are those of an event; what is absent is null; times have the local offset."""
    assert session_json(ALICE, CST) == {
        "session": "00c0ffee00c0ffee",
        "user": "alice",
        "source_ip": "203.0.113.5",
        "source_port": 43867,
        "method": "publickey",
        "key": "SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME",
        "person": None,
        "comment": None,
        "tty": None,
        "service": "sshd",
        "host": "web01",
        "pid": 125,
        "start": "2026-11-23T10:05:06.999995+08:00",
        "end": None,
        "until": None,
        "duration": None,
        "end_reason": None,
    }


def test_a_closed_session_says_when_and_how_it_ended() -> None:
    """The duration is in seconds."""
    closed = session_json(ALICE._replace(end=NOW, end_reason="timeout"), UTC)
    assert (closed["end"], closed["duration"], closed["end_reason"]) == (
        "2026-11-23T04:05:07+00:00",
        7200.000005,
        "timeout",
    )


def test_a_message_in_the_outbox_says_for_whom_about_what_and_why_it_waits() -> None:
    """One flat object."""
    assert delivery_json(delivery(PENDING, "11232", "busy"), CST) == {
        "id": 7,
        "channel": "feishu",
        "state": "pending",
        "attempts": 3,
        "due": "2026-11-23T12:06:07+08:00",
        "code": "11232",
        "detail": "busy",
        "severity": "info",
        "kind": "login",
        "events": 1,
        "user": "alice",
        "source_ip": "203.0.113.5",
        "time": "2026-11-23T12:05:07+08:00",
        "session": "00c0ffee00c0ffee",
    }


def test_sessions_are_a_table() -> None:
    """Literally; a stranger's name can't break a line, and an absent fact is a dash."""
    assert sessions_table([ALICE, WANG], NOW, CST, "en").splitlines() == [
        "USER   FROM         METHOD     SINCE                FOR  END           KEY",
        "alice  203.0.113.5  publickey  2026-11-23 10:05:06  2h   open          "
        "SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME",
        "王\ufffd小  -            sshd       2026-11-23 12:05:07  0s   disconnected  -",
    ]


def test_whose_key_it_is_takes_the_place_of_the_key() -> None:
    """The person before the comment before the fingerprint; who sits at a console is from its terminal."""
    shown = [ALICE._replace(person="Alice Liddell", comment="laptop"), ALICE._replace(comment="laptop"), ALICE]
    ends = [line.rsplit("  ", 1)[1] for line in sessions_table(shown, NOW, CST, "en").splitlines()[1:]]
    assert ends == ["Alice Liddell", "laptop", ALICE.key]
    console = ALICE._replace(service="login", source_ip=None, source_port=None, method=None, key=None, tty="tty1")
    assert sessions_table([console], NOW, CST, "en").splitlines()[1].split()[:3] == ["alice", "tty1", "login"]


def test_the_outbox_is_a_table() -> None:
    """A dead letter is due no more; what was never tried has no answer."""
    rows = [
        delivery(PENDING, None, None),
        delivery(DEAD, "19002", "not\nunderstood", LOGOUT)._replace(id=8),
    ]
    assert outbox_table(rows, UTC, "en").splitlines() == [
        "ID  STATE    CHANNEL  MESSAGE                       EVENT AT             TRIES  DUE                  "
        "LAST ANSWER",
        "7   pending  feishu   User login alice              2026-11-23 04:05:07  3      2026-11-23 04:06:07  -",
        "8   dead     feishu   User logout (abnormal) alice  2026-11-23 04:05:07  3      -                    "
        "19002: not\ufffdunderstood",
    ]


def test_chinese_letters_take_two_cells() -> None:
    """Columns stay straight on a terminal."""
    assert table(("A", "B"), [("王", "x"), ("abc", "y"), ("（", "z")]).splitlines() == [
        "A    B",
        "王   x",
        "abc  y",
        "（   z",
    ]


def test_json_lines_are_one_object_a_line() -> None:
    """Names are written as they are; a line end in a name can't end the line."""
    text = json_lines([{"user": "王\n小"}, {"user": None}])
    assert text == '{"user": "王\\n小"}\n{"user": null}'
    assert [json.loads(line)["user"] for line in text.splitlines()] == ["王\n小", None]
    assert json_lines([]) == ""


def test_what_a_rule_kept_back_names_the_rule() -> None:
    """And nothing else: there was no answer."""
    kept = delivery("suppressed", "ignore: rule 1", None)
    assert outbox_table([kept], UTC, "en").splitlines()[1].endswith("  ignore: rule 1")
