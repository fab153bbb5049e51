"""usm/core/alert.py: what is told, and that it survives the store."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.channels.samples import MESSAGES
from usm.core.alert import alert_for, dump, event_json, load, message_json
from usm.core.model import END_REASONS, Event, Host

TIME = datetime(2026, 11, 23, 10, 5, 7, 123456, tzinfo=timezone(timedelta(hours=8)))
LOGIN = Event("login", TIME, "web01", "sshd", "alice", "203.0.113.5", 43867, "publickey", "SHA256:k", pid=125)
HOST = Host("web01", ("192.0.2.10", "2001:db8::10"))


def test_the_json_of_a_login_is_the_promised_one() -> None:
    """One flat object, absent facts null, times with their offset."""
    assert event_json(LOGIN._replace(session="00ff")) == {
        "kind": "login",
        "time": "2026-11-23T10:05:07.123456+08:00",
        "host": "web01",
        "service": "sshd",
        "user": "alice",
        "source_ip": "203.0.113.5",
        "source_port": 43867,
        "method": "publickey",
        "key": "SHA256:k",
        "tty": None,
        "pid": 125,
        "session": "00ff",
        "person": None,
        "comment": None,
    }


@pytest.mark.parametrize(
    ("event", "more"),
    [
        (
            LOGIN._replace(kind="logout", start=TIME, duration=312.4, end_reason="disconnected"),
            {
                "start": "2026-11-23T10:05:07.123456+08:00",
                "duration": 312.4,
                "end_reason": "disconnected",
                "until": None,
                "person": None,
                "comment": None,
            },
        ),
        (
            LOGIN._replace(kind="failed", invalid_user=True),
            {"invalid_user": True, "count": 1, "target": None, "command": None},
        ),
        (
            LOGIN._replace(kind="privilege", target="root", command="/usr/bin/id"),
            {"target": "root", "command": "/usr/bin/id"},
        ),
    ],
)
def test_each_kind_adds_its_own_facts(event: Event, more: dict[str, object]) -> None:
    """The other kinds say more than a login does, and nothing of each other."""
    shared = {name: value for name, value in event_json(LOGIN).items() if name not in ("person", "comment")}
    assert event_json(event) == {**shared, "kind": event.kind, **more}


def test_a_login_is_told_with_the_host_s_address() -> None:
    """The first address is the one that is shown."""
    alert = alert_for(LOGIN, HOST)
    assert alert is not None
    assert (alert.event, alert.severity, alert.address, alert.test) == (LOGIN, "info", "192.0.2.10", False)


def test_a_host_without_an_address_tells_too() -> None:
    """A machine on IPv6 only, or without any network, is monitored like others."""
    alert = alert_for(LOGIN, Host("web01"))
    assert alert is not None
    assert alert.address is None


@pytest.mark.parametrize("reason", END_REASONS)
def test_every_end_but_an_orderly_one_is_a_warning(reason: str) -> None:
    """Goodbye and shutdown are normal."""
    alert = alert_for(LOGIN._replace(kind="logout", start=TIME, duration=1.0, end_reason=reason), HOST)
    assert alert is not None
    assert alert.severity == ("info" if reason in ("disconnected", "shutdown") else "warning")


def test_the_same_event_is_the_same_alert() -> None:
    """Its id comes from what it says."""
    first, again, other = (alert_for(e, HOST) for e in (LOGIN, LOGIN, LOGIN._replace(user="bob")))
    assert first is not None
    assert other is not None
    assert first == again
    assert first.id != other.id


def test_an_alert_survives_the_store() -> None:
    """All facts, hostile and Chinese names included, come back as they were."""
    event = LOGIN._replace(
        kind="logout",
        user='用户\n<at user_id="all">',
        start=TIME,
        until=TIME,
        duration=0.5,
        end_reason="closed",
        line=3,
    )
    alert = alert_for(event, HOST)
    assert alert is not None
    assert load(dump(alert)) == alert


def test_whose_key_it_was_and_until_when_are_in_the_json() -> None:
    """A login and a logout name the person and the comment; an end that nobody saw has two times."""
    known = LOGIN._replace(person="Alice", comment="alice@laptop")
    assert [event_json(known)[name] for name in ("person", "comment")] == ["Alice", "alice@laptop"]
    logout = known._replace(kind="logout", start=TIME, until=TIME + timedelta(minutes=1), end_reason="vanished")
    assert [event_json(logout)[n] for n in ("until", "person")] == ["2026-11-23T10:06:07.123456+08:00", "Alice"]


def test_of_su_and_sudo_only_what_has_a_terminal_is_told() -> None:
    """Automation's is kept, and nobody is told of it."""
    acted = LOGIN._replace(kind="privilege", service="sudo", target="root", command="/usr/bin/id")
    assert alert_for(acted, HOST) is None
    told = alert_for(acted._replace(tty="pts/1"), HOST)
    assert told is not None
    assert told.severity == "info"


def test_what_happened_while_nobody_watched_is_marked() -> None:
    """And the mark comes back from the store."""
    alert = alert_for(LOGIN, HOST, late=True)
    assert alert is not None
    assert alert.late
    assert load(dump(alert)) == alert


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_comes_back_from_the_outbox(name: str) -> None:
    """As it was, whatever kind it is."""
    assert load(dump(MESSAGES[name])) == MESSAGES[name]


def test_messages_that_are_not_about_one_event_have_kinds_of_their_own() -> None:
    """For programs: sums as numbers, what is not known as null."""
    digest, fault = message_json(MESSAGES["digest"]), message_json(MESSAGES["fault"])
    assert (digest["kind"], digest["total"], digest["kinds"]) == ("digest", 314, {"login": 158, "logout": 156})
    assert digest["users"] == {
        "named": [{"value": "deploy", "count": 300}, {"value": None, "count": 4}],
        "others": 3,
        "rest": 10,
    }
    assert (fault["kind"], fault["channel"], fault["code"], fault["mended"]) == ("channel", "feishu", "19021", False)
    assert fault["time"] == "2026-11-25T02:00:00+00:00"
