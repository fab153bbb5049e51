"""Syslog: what a record looks like, how it is cut, and what the settings may be. The rest is in test_channels.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.channels.samples import EN, MESSAGES, NOW, QUOTES, WIDEST, ZH
from tests.fakes.siem import parse
from usm.channels.syslog import LARGEST, Syslog
from usm.core.message import Deferred, Reply, Sent


def test_a_login_is_a_record() -> None:
    """Literally."""
    sent = Syslog("siem.example.com").request(MESSAGES["login"], NOW, EN)
    assert (sent.host, sent.port, sent.protocol) == ("siem.example.com", 6514, "tls")
    assert sent.data.decode() == (
        "<86>1 2026-11-25T02:00:00.000000+00:00 web01 user-session-monitor - login "
        '[usm@32473 kind="login" time="2026-11-25T02:00:00+00:00" host="web01" service="sshd" user="alice" '
        'source_ip="203.0.113.5" source_port="43867" method="publickey" '
        'key="SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME" pid="125" session="00c0ffee00c0ffee" '
        'severity="info" id="1111111111111111" test="false"] \ufeffUser login Server: web01 '
        "Server IP: 192.0.2.10 User: alice IP address: 203.0.113.5 Login time: 2026-11-25 02:00:00 Method: publickey "
        "Port: 43867 Key: SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME"
    )


@pytest.mark.parametrize(("name", "severity"), [("logout", 4), ("privilege", 2), ("mended", 5), ("digest", 4)])
def test_severities_and_facilities(name: str, severity: int) -> None:
    """As RFC 5424 counts them."""
    record = parse(Syslog("h", facility="local7").request(MESSAGES[name], NOW, EN).data)
    assert (record.facility, record.severity) == (23, severity)


@pytest.mark.parametrize("protocol", LARGEST)
@pytest.mark.parametrize("message", [WIDEST, QUOTES], ids=["wide", "escaped"])
def test_a_record_is_bounded_and_well_made(protocol: str, message: Any) -> None:  # noqa: ANN401 - any message
    """The text goes first, then whole facts; a host's name that is none is made one."""
    data = Syslog("h", protocol=protocol).request(message, NOW, ZH).data
    assert len(data) <= LARGEST[protocol]
    record = parse(data)
    assert record.host == "?" * 128
    assert record.data["usm@32473"][0] == ("kind", "logout")


def test_what_the_network_took_is_sent() -> None:
    """There is no other answer."""
    assert Syslog("h").receipt(Reply(200)) == Sent()
    assert isinstance(Syslog("h").receipt(Reply(500)), Deferred)


@pytest.mark.parametrize(
    ("settings", "problem"), [({"host": "a b"}, "host: "), ({"port": 0}, "port: "), ({"port": 70000}, "port: ")]
)
def test_what_is_wrong_is_said(settings: dict[str, Any], problem: str) -> None:
    """With the key in front."""
    (found,) = Syslog(**{"host": "siem.example.com", **settings}).problems()
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("host", "protocol", "note"),
    [
        ("siem.example.com", "tls", ""),
        ("siem.example.com", "tcp", "protocol: tcp is not encrypted"),
        ("siem.example.com", "udp", "protocol: udp loses messages unnoticed, unencrypted"),
        ("127.0.0.1", "tcp", ""),
        ("::1", "udp", "protocol: udp loses messages unnoticed"),
    ],
)
def test_what_the_protocol_does_not_give_is_said(host: str, protocol: str, note: str) -> None:
    """It is allowed."""
    channel = Syslog(host, protocol=protocol)
    assert channel.problems() == []
    assert "".join(channel.notes()).startswith(note)
    assert bool(channel.notes()) == bool(note)
