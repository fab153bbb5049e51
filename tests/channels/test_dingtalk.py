"""DingTalk: what is sent, its signature, and what the settings may be. The rest is in test_channels.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.channels.samples import EN, MESSAGES, NOW, WIDEST, ZH
from tests.fakes import dingtalk
from usm.channels.dingtalk import DingTalk, sign
from usm.core.message import Deferred, Receipt, Rejected, Reply
from usm.core.model import Secret

if TYPE_CHECKING:
    from usm.core.look import Look
    from usm.core.message import Message

URL = "https://oapi.dingtalk.com/robot/send?access_token=made-up-token"


def ding(**settings: Any) -> DingTalk:  # noqa: ANN401 - any field
    """Return a channel."""
    return DingTalk(**{"webhook_url": Secret(URL), **settings})


def body(channel: DingTalk, message: Message, look: Look, *, plain: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Return what is sent."""
    return json.loads(channel.request(message, NOW, look, plain=plain).body)


def test_a_login_is_a_text() -> None:
    """Literally; nobody is mentioned."""
    assert body(ding(), MESSAGES["login"], ZH) == {
        "msgtype": "text",
        "text": {
            "content": "用户登录通知\n服务器：web01\n服务器IP：192.0.2.10\n用户名：alice\nIP地址：203.0.113.5\n"
            "登录时间：2026-11-25 10:00:00\n登录方式：公钥（publickey）\n端口：43867\n"
            "密钥：SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME"
        },
        "at": {"isAtAll": False},
    }


def test_a_fault_in_markdown() -> None:
    """Only the title's signs and the rows' are ours; where Markdown was refused the same goes as text."""
    channel = ding(format="markdown")
    sent = body(channel, MESSAGES["fault"], EN)
    assert sent["markdown"]["title"] == "Notification channel fails: feishu"
    assert sent["markdown"]["text"].replace("\u200b", "").splitlines()[:3] == [
        "### Notification channel fails: feishu",
        "- Server: web01",
        "- Server IP: 192.0.2.10",
    ]
    assert body(channel, MESSAGES["fault"], EN, plain=True)["msgtype"] == "text"


def test_the_signature_of_the_vendors_example() -> None:
    """Key and text are the other way round than Feishu's."""
    assert sign("1599360473000", Secret("SECdemo")) == "tGWkA5eQOQNCNPDgphtxIoNLO%2B%2FgD8Lcb705KQoRzeY%3D"
    request = ding(secret=Secret("SECdemo")).request(MESSAGES["login"], NOW, ZH)
    assert f"&timestamp={int(NOW.timestamp())}000&sign=" in request.url.reveal()
    assert ding().request(MESSAGES["login"], NOW, ZH).url == Secret(URL)


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://relay.example.com/x", "https://relay.example.com/x?timestamp="),
        ("https://relay.example.com/x?y=1#z", "https://relay.example.com/x?y=1&timestamp="),
    ],
)
def test_the_signature_is_a_parameter_whatever_the_address(url: str, signed: str) -> None:
    """A relay's may have none before it, or a fragment behind."""
    request = ding(webhook_url=Secret(url), secret=Secret("SECdemo")).request(MESSAGES["login"], NOW, ZH)
    assert request.url.reveal().startswith(signed)


def test_a_login_in_markdown() -> None:
    """Literally, but for the zero-width spaces that keep what is not ours from being markup or a link."""
    sent = body(ding(format="markdown"), MESSAGES["login"], ZH)
    assert (sent["msgtype"], sent["at"], sent["markdown"]["title"]) == ("markdown", {"isAtAll": False}, "用户登录通知")
    assert sent["markdown"]["text"].startswith("### \u200b用户登录通知\n- \u200b服务器：web01\n- \u200b")
    assert sent["markdown"]["text"].replace("\u200b", "").splitlines() == [
        "### 用户登录通知",
        "- 服务器：web01",
        "- 服务器IP：192.0.2.10",
        "- 用户名：alice",
        "- IP地址：203.0.113.5",
        "- 登录时间：2026-11-25 10:00:00",
        "- 登录方式：公钥（publickey）",
        "- 端口：43867",
        "- 密钥：SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME",
    ]


@pytest.mark.parametrize("form", ["text", "markdown"])
@pytest.mark.parametrize("keyword", ["[USM]", "a.b", "#usm", "user_session", "@ops", "<usm>", "https://x"])
def test_a_keyword_arrives_as_it_is(form: str, keyword: str) -> None:
    """Also one that would be made inert in a stranger's text, and of a message that is cut."""
    long = ZH._replace(body=f"{'$user ' * 2000}\n{keyword}")
    for message, look in ((MESSAGES["login"], ZH), (WIDEST, ZH), (WIDEST, long)):
        part = body(ding(keyword=keyword, format=form), message, look)[form]
        assert keyword in part["content" if form == "text" else "text"]
        assert keyword in part.get("title", keyword)


def said(errmsg: str, code: int = 310000, *, form: str = "text", plain: bool = False) -> Receipt:
    """Return what an answer means."""
    reply = Reply(200, json.dumps({"errcode": code, "errmsg": errmsg}).encode())
    return ding(format=form).receipt(reply, plain=plain)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        (dingtalk.SIGN, "signature refused: check `secret`"),
        (dingtalk.STALE, "signature refused: this server's clock"),
        (dingtalk.KEYWORD, "keyword missing"),
        (dingtalk.ADDRESS, "address refused"),
    ],
)
def test_which_security_setting_refuses_is_told(reason: str, meaning: str, *, old: bool) -> None:
    """310000 stands for all of them: the text tells, in today's words and in those of before 2022."""
    receipt = said(dingtalk.REASONS[reason][old])
    assert isinstance(receipt, Deferred)
    assert (receipt.fault, receipt.detail.startswith(meaning)) == (True, True)


def test_an_unknown_reason_is_not_guessed() -> None:
    """It may be any of the settings."""
    receipt = said("something new")
    assert isinstance(receipt, Deferred)
    assert (receipt.fault, "keyword, address list or signature" in receipt.detail) == (True, True)


@pytest.mark.parametrize("code", [430101, 430102, 430103, 430104])
def test_words_that_are_refused_even_as_text_are_said_to_be_the_reason(code: int) -> None:
    """Not that the message was malformed: somebody may have chosen a name for this."""
    refused = said("含有不合适的文本", code, form="markdown")
    assert isinstance(refused, Deferred)
    assert refused.plain
    for receipt in (said("含有不合适的文本", code), said("含有不合适的文本", code, form="markdown", plain=True)):
        assert isinstance(receipt, Rejected)
        assert "objects to a word or link" in receipt.detail


def test_the_token_is_not_repeated() -> None:
    """Should DingTalk say it."""
    receipt = said("no robot made-up-token here", 999)
    assert isinstance(receipt, Deferred)
    assert receipt.detail == "DingTalk refused the message: no robot *** here"


def test_the_keyword_is_put_in_front_where_it_is_missing() -> None:
    """A text that has it stays as it is."""
    assert body(ding(keyword="监控"), MESSAGES["digest"], ZH)["text"]["content"].startswith("监控 用户会话汇总")
    assert body(ding(keyword="汇总"), MESSAGES["digest"], ZH)["text"]["content"].startswith("用户会话汇总")
    marked = body(ding(keyword="监控", format="markdown"), MESSAGES["digest"], ZH)["markdown"]
    assert (marked["title"].startswith("监控 "), "监控 " in marked["text"]) == (True, True)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"webhook_url": Secret("https://oapi.dingtalk.com/robot/send")}, "webhook_url: is not that of such a robot"),
        ({"webhook_url": Secret(f"{URL}#x")}, "webhook_url: is not that of such a robot"),
        ({"webhook_url": Secret("http://relay.example.com/x")}, "webhook_url: must begin with https://"),
        ({"webhook_url": Secret("nonsense")}, "webhook_url: is not a web address"),
        ({"webhook_url": Secret("https://[")}, "webhook_url: is not a web address"),
        ({"webhook_url": Secret("https://u:p@relay.example.com/x")}, "webhook_url: must not hold a user name"),
        ({"webhook_url": Secret(f"{URL}&timestamp=1&sign=x")}, "webhook_url: must not hold timestamp and sign"),
        ({"secret": Secret("a b")}, "secret: must be the robot's signature key"),
        ({"keyword": " "}, "keyword: must be one line"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, Any], problem: str) -> None:
    """With the key in front, and without the address."""
    (found,) = ding(**settings).problems()
    assert found.startswith(problem)
    assert "made-up-token" not in found


def test_what_is_right_is_not_said() -> None:
    """A relay is allowed, and named."""
    assert (ding().problems(), ding().notes()) == ([], [])
    relay = ding(webhook_url=Secret("https://relay.example.com/x?sign=1"))
    assert relay.problems() == []
    assert relay.notes() == ["webhook_url: sends to relay.example.com, which is not DingTalk's own host"]
    assert ding(webhook_url=Secret("https://[")).notes() == []
