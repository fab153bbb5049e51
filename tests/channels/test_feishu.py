"""Feishu: what is sent, what each answer means, and what the settings may be."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes.feishu import FakeFeishu, flat
from usm.channels import CHANNELS, Channel
from usm.channels.feishu import REPLIES, Feishu, sign
from usm.core import model
from usm.core.look import Look
from usm.core.message import Alert, Deferred, Rejected, Reply, Sent
from usm.core.model import Event, Secret
from usm.core.tame import inert
from usm.core.text import plain_text
from usm.core.words import LANGUAGES

NOW = datetime(2026, 11, 23, 2, 5, 7, tzinfo=timezone.utc)
ZH, EN = Look("zh", timezone(timedelta(hours=8))), Look("en", timezone.utc)
TOKEN = "5f0c2b1e-6d3a-4c1b"
URL = f"https://open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}"
EVENT = Event(model.LOGIN, NOW, "web01", "sshd", "alice", "203.0.113.5", 43867, "publickey", "SHA256:" + "a" * 43)
ALERT = Alert("id", EVENT, model.INFO, "10.0.0.1")
WIDEST = "\U0001f600" * 200  # four bytes each
QUOTES = '"\\' * 100  # two bytes each in JSON
DOTS = "界." * 100  # a zero-width space at each dot


def feishu(url: str = URL, **fields: Any) -> Feishu:  # noqa: ANN401 - any of its fields
    """Return the channel."""
    return Feishu(Secret(url), **fields)


def body(channel: Feishu, alert: Alert = ALERT, look: Look = ZH, *, plain: bool = False) -> dict[str, Any]:
    """Return the message that would be sent."""
    message: dict[str, Any] = json.loads(channel.request(alert, NOW, look, plain=plain).body)
    return message


def test_the_signature_is_the_vendors() -> None:
    """The vector was made with the vendor's own example."""
    assert sign("1599360473", Secret("demo")) == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="


def test_a_message_is_signed_for_the_moment_it_is_sent() -> None:
    """Not for the event's: a message that waited for an hour would never be taken."""
    message = body(feishu(secret=Secret("demo")))
    assert message["timestamp"] == str(int(NOW.timestamp()))
    assert message["sign"] == sign(message["timestamp"], Secret("demo"))
    assert not {"timestamp", "sign"} & body(feishu()).keys()


def test_the_card() -> None:
    """Two short facts a row, long ones alone; nothing but plain text."""
    assert body(feishu()) == {
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": True},
            "header": {"title": {"tag": "plain_text", "content": "用户登录通知"}, "template": "blue"},
            "elements": [
                {
                    "tag": "div",
                    "fields": [
                        {"is_short": short, "text": {"tag": "plain_text", "content": content}}
                        for short, content in (
                            (True, "服务器：web01"),
                            (True, "服务器IP：10.0.0.1"),
                            (True, "用户名：alice"),
                            (True, "IP地址：203.0.113.5"),
                            (True, "登录时间：2026-11-23 10:05:07"),
                            (True, "登录方式：公钥（publickey）"),
                            (True, "端口：43867"),
                            (False, "密钥：SHA256:" + "a" * 43),
                        )
                    ],
                }
            ],
        },
    }


def test_the_text_is_the_same_in_its_simplest_dress() -> None:
    """By choice, or because the card was refused."""
    expected = {"msg_type": "text", "content": {"text": plain_text(ALERT, EN)}}
    assert body(feishu(format="text"), look=EN) == expected
    assert body(feishu(), look=EN, plain=True) == expected


@pytest.mark.parametrize(
    ("kind", "severity", "colour"),
    [
        (model.LOGIN, model.INFO, "blue"),
        (model.LOGIN, model.CRITICAL, "red"),
        (model.LOGOUT, model.NOTICE, "grey"),
        (model.LOGOUT, model.WARNING, "orange"),
        (model.FAILED, model.INFO, "red"),
        (model.PRIVILEGE, model.INFO, "orange"),
    ],
)
def test_the_colour_tells_kind_and_severity(kind: str, severity: str, colour: str) -> None:
    """What is grave looks grave, whatever it is."""
    alert = ALERT._replace(event=EVENT._replace(kind=kind), severity=severity)
    assert body(feishu(), alert)["card"]["header"]["template"] == colour


@pytest.mark.parametrize("plain", [False, True])
def test_the_keyword_is_there_once(plain: bool) -> None:  # noqa: FBT001 - a table
    """It goes before the title, unless the message holds it anyhow."""
    assert flat(body(feishu(keyword="运维"), plain=plain)).startswith("运维 用户登录通知\n")
    for present in ("登录", "web01", "203.0.113.5"):
        assert flat(body(feishu(keyword=present), plain=plain)) == flat(body(feishu(), plain=plain))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("value", [WIDEST, QUOTES, DOTS])
def test_the_longest_message_fits(value: str, plain: bool, language: str) -> None:  # noqa: FBT001 - a table
    """18 KB at most, of the 20 KB that Feishu takes: whatever strangers write."""
    event = Event(
        model.LOGOUT,
        NOW,
        value,
        value,
        value,
        value,
        method=value,
        key=value,
        tty=value,
        start=NOW,
        duration=1e9,
        end_reason=model.CLOSED,
        target=value,
        command=value,
        source_port=65535,
    )
    channel = feishu(secret=Secret("s" * 40), keyword="k" * 128)
    request = channel.request(Alert("id", event, model.INFO, value), NOW, Look(language, timezone.utc), plain=plain)
    assert len(request.body) <= 18 * 1024


@given(st.text(st.characters(exclude_categories=()), max_size=60), st.booleans())
@example('<at user_id="all"></at>\n# [x](https://evil.example)', False)  # noqa: FBT003 - a table
def test_no_name_leaves_its_place(name: str, plain: bool) -> None:  # noqa: FBT001 - a table
    """A stranger's name stays one inert value: no tag, no line of its own, nothing that could not be encoded."""
    alert = ALERT._replace(event=EVENT._replace(user=name, key=name))
    lines = flat(body(feishu(), alert, EN, plain=plain)).split("\n")
    assert len(lines) == 9
    assert lines[3].startswith("User: ")
    assert lines[8].startswith("Key: ")
    assert not {"<", ">"} & set("".join(lines))
    assert inert(lines[3]).replace("\u200b", "") == lines[3].replace("\u200b", "")


def answer(code: Optional[int], msg: str = "", status: int = 200) -> Reply:
    """Return a reply as Feishu writes it."""
    return Reply(status, json.dumps({"code": code, "msg": msg, "data": {}}).encode())


HTML = b"<!DOCTYPE html><html><body>Sign in to the network</body></html>"
# One example for each row of the channel's table, in its order.
EXAMPLES = (
    Reply(302, b'{"code":0}'),
    answer(0, "success"),
    answer(11232, "frequency limited psm[x]appID[y]"),
    answer(9499, "Too Many Request"),
    answer(9499, "Bad Request", status=400),
    answer(11246, "ErrCode: 200621; ErrMsg: ..."),
    answer(19001, "param invalid: incoming webhook access token invalid"),
    answer(19002, "params error, msg_type need"),
    answer(19021, "sign match fail or timestamp is not within one hour from current time"),
    answer(19022, "Ip Not Allowed"),
    answer(19024, "Key Words Not Found"),
    Reply(429),
    Reply(502, HTML),
    answer(11220, "what"),
    Reply(404, HTML),
    Reply(200, b" \n"),
    Reply(200, HTML),
)


@pytest.mark.parametrize(("row", "reply"), list(zip(REPLIES, EXAMPLES)), ids=lambda x: getattr(x, "code", None))
def test_each_row_decides_about_its_example(row: Any, reply: Reply) -> None:  # noqa: ANN401 - a row
    """And a card that was refused is not sent as a card again, a text not as a text."""
    card, text = feishu().receipt(reply), feishu().receipt(reply, plain=True)
    expected = row.receipt
    if reply == EXAMPLES[13]:
        expected = expected._replace(code="11220", detail=expected.detail + ": what")
    assert card == expected
    if isinstance(expected, Deferred) and expected.plain:
        assert isinstance(text, Rejected)
        assert text.code == expected.code
        assert feishu(format="text").receipt(reply) == text
    else:
        assert text == expected


def test_each_row_has_an_example() -> None:
    """A new row is a new example."""
    assert len(REPLIES) == len(EXAMPLES)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(200, b'{"Extra":null,"StatusCode":0,"StatusMessage":"success"}'), None),
        (Reply(204, b'{"code":0,"StatusCode":1}'), None),
        (Reply(200, b'\xef\xbb\xbf{"code":0}'), None),
        (Reply(200, b'{"StatusCode":19021,"StatusMessage":"sign match fail"}'), "19021"),
        (Reply(400, b'{"code":19001}'), "19001"),
        (Reply(429, b'{"code":11232,"msg":"frequency limited"}'), "11232"),
        (Reply(429, b'{"code":99991400}'), "http-429"),
        (Reply(500, b'{"code":0}'), "http-5xx"),
        (Reply(503, b'{"code":2200,"msg":"internal error"}'), "http-5xx"),
        (Reply(403, b'{"code":0}'), "http-4xx"),
        (Reply(401, b""), "http-4xx"),
        (Reply(204), "empty"),
        (Reply(200, b'{"code":true}'), "not-feishu"),
        (Reply(200, b'{"code":"0"}'), "not-feishu"),
        (Reply(200, b'{"code":null}'), "not-feishu"),
        (Reply(200, b"{}"), "not-feishu"),
        (Reply(200, b"0"), "not-feishu"),
        (Reply(200, b"[" * 65536), "not-feishu"),
        (Reply(200, b'{"code":0'), "not-feishu"),
        (Reply(999, b""), "not-feishu"),
        (Reply(200, b'{"code":-1}'), "-1"),
        (Reply(200, b'{"code":' + b"9" * 4000 + b"}"), "9" * 16),
    ],
    ids=lambda x: str(x)[:40],
)
def test_odd_replies(reply: Reply, code: Optional[str]) -> None:
    """Only a 2xx that says code 0 is success; of the rest the clearest sign decides."""
    receipt = feishu().receipt(reply)
    assert (None if isinstance(receipt, Sent) else receipt.code) == code


@given(st.integers(0, 999), st.binary(max_size=80), st.booleans())
@example(200, b'{"code":1,"msg":{"a":1}}', True)  # noqa: FBT003 - a table
def test_no_reply_raises(status: int, body: bytes, plain: bool) -> None:  # noqa: FBT001 - a table
    """Whatever comes back: a receipt."""
    assert isinstance(feishu().receipt(Reply(status, body), plain=plain), (Sent, Deferred, Rejected))


def test_what_the_service_demands_to_wait_is_passed_on() -> None:
    """A minimum for whoever chooses the wait; where it says nothing, throttled means two seconds."""
    throttled = feishu().receipt(answer(11232)._replace(retry_after=7.0))
    assert isinstance(throttled, Deferred)
    assert throttled.wait == 7.0
    assert feishu().receipt(answer(11232)) == throttled._replace(wait=2.0)


def test_unknown_reasons_are_told_without_the_token() -> None:
    """Clean, short, and given up after five tries."""
    receipt = feishu().receipt(answer(12345, f"hook {TOKEN}\n\x1b[31m" + "x" * 500))
    assert isinstance(receipt, Deferred)
    assert (receipt.code, receipt.last) == ("12345", 5)
    assert receipt.detail.startswith("Feishu refused the message: hook ***\ufffd\ufffd[31mxxx")
    assert len(receipt.detail) < 170
    silent = feishu(url="https://relay.example/").receipt(answer(12345))
    assert isinstance(silent, Deferred)
    assert silent.detail == "Feishu refused the message: no reason given"


@pytest.mark.parametrize(
    "url",
    [
        URL,
        URL.replace("open.feishu.cn", "open.larksuite.com"),
        URL.replace("open.feishu.cn", "OPEN.FEISHU.CN:443"),
        "https://relay.example/any/path?key=1",
        "http://127.0.0.1:8080/open-apis/bot/v2/hook/x",
        "http://127.8.9.1/x",
        "http://[::1]:8080/x",
        "http://localhost/x",
    ],
)
def test_good_addresses(url: str) -> None:
    """Feishu's and Lark's own, a relay, and this machine itself, which needs no TLS."""
    assert feishu(url).problems() == []


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "web address"),
        (TOKEN, "web address"),
        (f"open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}", "web address"),
        (f" {URL}", "web address"),
        (f"{URL}\n", "web address"),
        (f"https:///open-apis/bot/v2/hook/{TOKEN}", "web address"),
        (f"https://[::1/open-apis/bot/v2/hook/{TOKEN}", "web address"),
        (f"https://open.feishu.cn:port/{TOKEN}", "web address"),
        (f"https://open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}令牌", "web address"),
        (URL.replace("https", "http"), "https://"),
        (f"http://relay.example/{TOKEN}", "https://"),
        (f"http://127.0.0.1.evil.example/{TOKEN}", "https://"),
        (f"http://10.0.0.1/{TOKEN}", "https://"),
        (f"ftp://localhost/{TOKEN}", "https://"),
        (f"https://user:{TOKEN}@relay.example/x", "user name"),
        (f"https://open.feishu.cn/open-apis/bot/hook/{TOKEN}", "v1"),
        (f"https://open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}/", "not that of a custom bot"),
        (f"https://open.feishu.cn/open-apis/bot/v2/hook/?{TOKEN}", "not that of a custom bot"),
        (f"{URL}?x={TOKEN}", "not that of a custom bot"),
        (f"{URL}#{TOKEN}", "not that of a custom bot"),
        (f"https://open.feishu.cn/{TOKEN}", "not that of a custom bot"),
    ],
)
def test_bad_addresses(url: str, word: str) -> None:
    """One problem, which says what to write, and does not show what was written."""
    (problem,) = feishu(url).problems()
    assert problem.startswith("webhook_url: ")
    assert word in problem
    assert TOKEN not in problem


@pytest.mark.parametrize("secret", ["", " x", "x\n", "密", "\udc80"])
def test_bad_secrets(secret: str) -> None:
    """What can't be a signature key was pasted wrongly."""
    (problem,) = feishu(secret=Secret(secret)).problems()
    assert problem.startswith("secret: ")
    assert feishu(secret=Secret("SECabc+/=")).problems() == []


@pytest.mark.parametrize("keyword", ["", " ", "a\nb", "\udc80", "x" * 129])
def test_bad_keywords(keyword: str) -> None:
    """It must be something that people could have typed into the robot's settings."""
    (problem,) = feishu(keyword=keyword).problems()
    assert problem.startswith("keyword: ")
    assert feishu(keyword="运维").problems() == []


def test_another_host_is_named() -> None:
    """The host, never the path."""
    assert feishu().notes() == []
    assert feishu("https://[::1").notes() == []
    (note,) = feishu(f"https://Relay.example:8443/{TOKEN}").notes()
    assert "relay.example" in note
    assert TOKEN not in note


def test_it_is_registered_and_shows_no_secret() -> None:
    """Its fields are the configuration, each with a line of help."""
    channel: Channel = CHANNELS["feishu"](Secret(URL), Secret("SECRET"))
    assert TOKEN not in repr(channel)
    assert "SECRET" not in repr(channel)
    assert channel.limits == ((4, 1.0), (80, 60.0))
    assert all(field.metadata["help"] for field in dataclasses.fields(Feishu))


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("kind", model.KINDS)
@pytest.mark.parametrize("look", [ZH, EN], ids=LANGUAGES)
def test_the_service_takes_every_message(look: Look, kind: str, plain: bool) -> None:  # noqa: FBT001 - a table
    """Signed and with a keyword, judged by the checks of the stand-in, without a socket."""
    with FakeFeishu(token=TOKEN, secret="demo", keywords=["ops"], clock=NOW.timestamp) as fake:
        channel = feishu(secret=Secret("demo"), keyword="ops")
        alert = ALERT._replace(event=EVENT._replace(kind=kind))
        sent = channel.request(alert, NOW, look, plain=plain)
        answered = fake.answer("POST", "/open-apis/bot/v2/hook/" + TOKEN, "application/json", "127.0.0.1", sent.body)
        assert not isinstance(answered, str)
        assert channel.receipt(Reply(answered.status, answered.body)) == Sent()
        assert fake.texts() == [flat(json.loads(sent.body))]


CARD: dict[str, Any] = {"header": {"title": {"tag": "plain_text", "content": "t"}}, "elements": [{"tag": "hr"}]}
DIV = {"tag": "div", "text": {"tag": "plain_text", "content": "x"}}


def served(fake: FakeFeishu, sent: bytes, path: str = f"/open-apis/bot/v2/hook/{TOKEN}") -> tuple[int, int]:
    """Return the HTTP status and the code with which the stand-in answers."""
    answered = fake.answer("POST", path, "application/json", "127.0.0.1", sent)
    assert not isinstance(answered, str)
    return answered.status, json.loads(answered.body)["code"]


@pytest.mark.parametrize(
    ("settings", "sent", "expected"),
    [
        ({}, {}, (200, 19002)),
        ({}, {"msgtype": "text"}, (200, 19002)),
        ({}, [], (200, 9499)),
        ({}, {"msg_type": "text", "content": "x"}, (200, 9499)),
        ({}, {"msg_type": "text", "content": {"text": "x" * 21000}}, (400, 9499)),
        ({}, {"msg_type": "text", "content": {"text": "x"}}, (200, 0)),
        ({}, {"msg_type": "interactive", "card": CARD}, (200, 0)),
        ({}, {"msg_type": "interactive", "card": {**CARD, "elements": [DIV]}}, (200, 0)),
        ({}, {"msg_type": "interactive", "card": {**CARD, "schema": "2.0", "body": {"elements": [DIV]}}}, (200, 0)),
        ({}, {"msg_type": "interactive", "card": {**CARD, "schema": "2.0"}}, (200, 11246)),
        ({}, {"msg_type": "interactive", "card": {**CARD, "elements": []}}, (200, 11246)),
        ({}, {"msg_type": "interactive", "card": {**CARD, "elements": [{"tag": "div"}]}}, (200, 11246)),
        ({}, {"msg_type": "interactive", "card": {**CARD, "header": {}}}, (200, 11246)),
        ({}, {"msg_type": "interactive", "card": json.dumps(CARD)}, (200, 11246)),
        ({}, {"msg_type": "interactive", "content": CARD}, (200, 11246)),
        ({"addresses": ["10.0.0.0/8"]}, {}, (200, 19022)),
        ({"addresses": ["127.0.0.0/8"]}, {}, (200, 19002)),
        ({"keywords": ["t"]}, {"msg_type": "interactive", "card": CARD}, (200, 0)),
        ({"keywords": ["plain"]}, {"msg_type": "interactive", "card": CARD}, (200, 19024)),
        ({"secret": "demo"}, {"msg_type": "text", "content": {"text": "x"}}, (200, 19021)),
    ],
    ids=lambda x: json.dumps(x)[:40],
)
def test_the_stand_in_checks_as_feishu_does(settings: dict[str, Any], sent: object, expected: tuple[int, int]) -> None:
    """What it takes, Feishu is documented to take; what it refuses, it refuses with Feishu's code."""
    with FakeFeishu(token=TOKEN, **settings) as fake:
        assert served(fake, json.dumps(sent).encode()) == expected
        assert len(fake.messages) == (expected[1] == 0)


def test_the_stand_in_checks_token_and_json() -> None:
    """Before anything else."""
    with FakeFeishu(token=TOKEN) as fake:
        assert served(fake, b"{}", "/open-apis/bot/v2/hook/another") == (200, 19001)
        assert served(fake, b"{") == (200, 9499)


@pytest.mark.parametrize(
    ("late", "key", "code"),
    [(0, "demo", 0), (3600, "demo", 0), (3601, "demo", 19021), (-3601, "demo", 19021), (0, "x", 19021)],
)
def test_the_stand_in_checks_signatures(late: int, key: str, code: int) -> None:
    """Of this hour, with the robot's key."""
    with FakeFeishu(token=TOKEN, secret="demo", clock=lambda: NOW.timestamp() + late) as fake:
        assert served(fake, feishu(secret=Secret(key)).request(ALERT, NOW, ZH).body) == (200, code)


def test_the_stand_in_keeps_feishus_limits() -> None:
    """Five a second, a hundred a minute; what it refused does not count."""
    now = [0.0]
    with FakeFeishu(token=TOKEN, clock=lambda: now[0]) as fake:
        message = feishu().request(ALERT, NOW, ZH).body
        assert [served(fake, message)[1] for _ in range(7)] == [0] * 5 + [11232] * 2
        taken = 5
        while now[0] < 59.0:
            now[0] += 0.25
            taken += served(fake, message)[1] == 0
        assert taken == 100
        now[0] = 60.0
        assert [served(fake, message)[1] for _ in range(6)] == [0] * 5 + [11232]
