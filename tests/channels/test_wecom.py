"""WeCom: what is sent, and what the settings may be. The rest is in test_channels.py."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.channels.hostile import NAMES, hostile
from tests.channels.samples import EN, MESSAGES, NOW, WIDEST, ZH
from usm.channels.wecom import WeCom
from usm.core.message import Deferred, Reply
from usm.core.model import Secret

if TYPE_CHECKING:
    from usm.core.look import Look
    from usm.core.message import Message

URL = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=made-up-key"


def body(message: Message, look: Look, form: str = "text", *, plain: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Return what is sent."""
    return json.loads(WeCom(Secret(URL), form).request(message, NOW, look, plain=plain).body)


def test_an_abnormal_logout_is_a_text() -> None:
    """Literally."""
    assert body(MESSAGES["logout"], EN)["text"]["content"].splitlines() == [
        "User logout (abnormal)",
        "Server: web01",
        "Server IP: 192.0.2.10",
        "User: alice",
        "IP address: 203.0.113.5",
        "Login time: 2026-11-25 02:00:00",
        "Logout time: 2026-11-25 03:00:00",
        "Duration: 1h",
        "Reason: connection lost without a logout (client killed, network down or process ended; "
        "the log cannot tell which)",
        "Method: publickey",
        "Port: 43867",
        "Key: SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME",
    ]


def test_a_digest_in_markdown_and_as_text_where_that_is_refused() -> None:
    """Rows are quotes."""
    sent = body(MESSAGES["digest"], ZH, "markdown")
    assert sent["msgtype"] == "markdown"
    assert sent["markdown"]["content"].replace("\u200b", "").splitlines()[:4] == [
        "### 用户会话汇总（共314条）",
        "> 服务器：web01",
        "> 服务器IP：192.0.2.10",
        "> 事件总数：314",
    ]
    assert body(MESSAGES["digest"], ZH, "markdown", plain=True)["msgtype"] == "text"


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_nobody_is_ever_mentioned(form: str) -> None:
    """Neither by a list of WeCom's, nor by what a stranger wrote: `<@user>` works in both forms."""
    for name in NAMES:
        (part,) = (value for key, value in body(hostile(name), ZH, form).items() if key != "msgtype")
        assert set(part) == {"content"}
        assert not re.search(r"[<>]|@(?!\u200b)", re.sub(r"(?m)^> ", "", part["content"])), name


def test_the_key_is_not_repeated() -> None:
    """Should WeCom say it."""
    receipt = WeCom(Secret(URL)).receipt(Reply(200, b'{"errcode": 1, "errmsg": "made-up-key?"}'))
    assert isinstance(receipt, Deferred)
    assert receipt.detail == "WeCom refused the message: ***?"


def test_what_does_not_fit_is_cut_from_the_end() -> None:
    """2,048 bytes: server, user and the beginning of the rest stay."""
    content = body(WIDEST, ZH)["text"]["content"]
    assert 2040 < len(content.encode()) <= 2048
    assert content.endswith("…")
    assert "\n用户名：" in content


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (URL.partition("?")[0], "webhook_url: is not that of such a robot"),
        (URL.replace("webhook", "hook"), "webhook_url: is not that of such a robot"),
        ("http://relay.example.com/x", "webhook_url: must begin with https://"),
    ],
)
def test_what_is_wrong_is_said(url: str, problem: str) -> None:
    """Without the address."""
    (found,) = WeCom(Secret(url)).problems()
    assert found.startswith(problem)
    assert "made-up-key" not in found


def test_what_is_right_is_not_said() -> None:
    """Another host is named."""
    assert (WeCom(Secret(URL)).problems(), WeCom(Secret(URL)).notes()) == ([], [])
    assert WeCom(Secret("https://relay.example.com/")).notes() == [
        "webhook_url: sends to relay.example.com, which is not WeCom's own host"
    ]
