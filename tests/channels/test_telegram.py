"""Telegram: what is sent, what its answers mean, and what the settings may be. The rest is in test_channels.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.channels.samples import EN, MESSAGES, NOW, ZH
from usm.channels.telegram import Telegram, lame
from usm.core.message import Deferred, Reply, Sent
from usm.core.model import Secret

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeof-made-up"


def telegram(**settings: Any) -> Telegram:  # noqa: ANN401 - any field
    """Return a channel."""
    return Telegram(**{"bot_token": Secret(TOKEN), "chat_id": "-1001234567890", **settings})


def test_a_message_has_a_bold_title_by_its_place() -> None:
    """Literally; nothing is parsed, no link gets a preview."""
    request = telegram(topic=3).request(MESSAGES["mended"], NOW, ZH)
    assert request.url == Secret(f"https://api.telegram.org/bot{TOKEN}/sendMessage")
    assert json.loads(request.body) == {
        "chat_id": "-1001234567890",
        "text": "通知渠道已恢复：feishu\n服务器：web01\n服务器IP：192.0.2.10\n通知渠道：feishu\n"
        "时间：2026-11-25 10:00:00\n处理：积压的消息现在继续发送",
        "link_preview_options": {"is_disabled": True},
        "message_thread_id": 3,
        "entities": [{"type": "bold", "offset": 0, "length": 14}],
    }
    plain = json.loads(telegram().request(MESSAGES["mended"], NOW, ZH, plain=True).body)
    assert not {"entities", "message_thread_id", "parse_mode"} & set(plain)


def test_a_title_is_measured_in_utf16() -> None:
    """A character outside of the basic plane counts as two."""
    sent = json.loads(telegram().request(MESSAGES["login"], NOW, EN._replace(title="\U0001f480 $user")).body)
    assert sent["entities"][0]["length"] == 8


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("#tag a#b #", "#_tag a#_b #"),
        ("$USD 5$", "$_USD 5$"),
        ("/start (/stop) /usr/bin/id a/b", "/_start (/_stop) /_usr/bin/id a/b"),
        ("@bot", "@_bot"),
        ("alice-2", "alice-2"),
    ],
)
def test_what_telegram_finds_by_itself_is_broken(value: str, shown: str) -> None:
    """By a zero-width space; a path stays readable."""
    assert lame(value).replace("\u200b", "_") == shown


def test_a_group_that_moved_says_where_to() -> None:
    """Its new number is no secret."""
    said = {"ok": False, "error_code": 400, "description": "x", "parameters": {"migrate_to_chat_id": -1009}}
    receipt = telegram().receipt(Reply(400, json.dumps(said).encode()))
    assert isinstance(receipt, Deferred)
    assert receipt.fault
    assert '"-1009"' in receipt.detail


@pytest.mark.parametrize("body", [b'{"ok":1}', b'{"ok":true', b'{"ok":false,"error_code":"400"}', b'{"parameters":[]}'])
def test_only_ok_is_ok(body: bytes) -> None:
    """Whatever else comes with status 200 is not Telegram's."""
    assert not isinstance(telegram().receipt(Reply(200, body)), Sent)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"bot_token": Secret("x")}, "bot_token: must look like"),
        ({"chat_id": "my group"}, "chat_id: must be the chat's number"),
        ({"api": "http://relay.example.com"}, "api: must begin with https://"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, Any], problem: str) -> None:
    """With the key in front."""
    (found,) = telegram(**settings).problems()
    assert found.startswith(problem)


def test_what_is_right_is_not_said() -> None:
    """A server of one's own is named."""
    assert (telegram().problems(), telegram().notes(), telegram(chat_id="@channel").problems()) == ([], [], [])
    assert telegram(api="https://bots.example.com/").notes() == [
        "api: sends to bots.example.com, which is not Telegram's own host"
    ]
    assert "sendMessage" in telegram(api="https://bots.example.com/").request(MESSAGES["login"], NOW, ZH).url.reveal()
