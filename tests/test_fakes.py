"""The stand-ins refuse what the services refuse: asked by Python's own clients, with nothing of ours in between."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import smtplib
import socket
import ssl
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union
from urllib.parse import quote, urlsplit

import pytest
import trustme

from tests.fakes import siem
from tests.fakes.dingtalk import FakeDingTalk
from tests.fakes.feishu import FakeFeishu
from tests.fakes.proxy import FakeProxy
from tests.fakes.siem import FakeSIEM
from tests.fakes.slack import FakeSlack
from tests.fakes.smtp import FakeSMTP
from tests.fakes.telegram import FakeTelegram
from tests.fakes.webhooks import SECRET, FakeWebhooks
from tests.fakes.wecom import FakeWeCom

if TYPE_CHECKING:
    from tests.fakes.service import Service

NOW = 1_700_000_000.0
JSON = "application/json"
EVENT = "application/cloudevents+json"


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def ask(
    service: Service, body: object = b"", *, path: str = "", method: str = "POST", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Return status, body and headers of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in {"Content_Type": JSON, **headers}.items()}
    try:
        connection.request(method, path or service.path, raw, names)
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.msg
    finally:
        connection.close()


def code_of(service: Service, *arguments: Any, **named: Any) -> Union[int, str]:  # noqa: ANN401 - as for `ask`
    """Return the status, or what a body with status 200 says instead."""
    status, body, _ = ask(service, *arguments, **named)
    try:
        said = json.loads(body)
    except ValueError:
        return body.decode() if status != 404 or len(body) < 30 else status
    return str(said.get("description", said.get("errcode", said.get("code", said.get("ok", status)))))


def ding(text: object = "hello", **more: object) -> dict[str, object]:
    """Return a text for DingTalk or WeCom."""
    return {"msgtype": "text", "text": {"content": text}, **more}


def chat(text: object = "hello", **more: object) -> dict[str, object]:
    """Return a message for Telegram."""
    return {"chat_id": -1001234567890, "text": text, **more}


def entity(offset: int, length: int, kind: str = "bold") -> list[dict[str, object]]:
    """Return one entity."""
    return [{"type": kind, "offset": offset, "length": length}]


def blocks(*them: object) -> dict[str, object]:
    """Return a message for Slack."""
    return {"blocks": list(them)}


def node(text: str, kind: str = "plain_text") -> dict[str, str]:
    """Return a text of a block."""
    return {"type": kind, "text": text}


class Case(NamedTuple):
    """What is sent to which service, and what it says."""

    make: Callable[..., Service]
    settings: dict[str, Any]
    body: object
    code: str
    request: dict[str, Any] = {}  # noqa: RUF012 - never changed


CASES = (
    Case(FakeFeishu, {}, {"msg_type": "text", "content": {"text": "x"}}, "0"),
    Case(FakeFeishu, {}, ding(), "19002"),
    Case(FakeDingTalk, {}, ding(), "0"),
    Case(FakeDingTalk, {}, {"msgtype": "markdown", "markdown": {"title": "t", "text": "x"}}, "0"),
    Case(FakeDingTalk, {}, {"msgtype": "markdown", "markdown": {"text": "x"}}, "40035"),
    Case(FakeDingTalk, {}, ding(at={"isAtAll": "no"}), "40035"),
    Case(FakeDingTalk, {}, ding(""), "40035"),
    Case(FakeDingTalk, {}, b"{", "40035"),
    Case(FakeDingTalk, {}, {"msg_type": "text"}, "400105"),
    Case(FakeDingTalk, {}, ding("x" * 20000), "460101"),
    Case(FakeDingTalk, {}, ding(), "300005", {"path": "/robot/send?access_token=other"}),
    Case(FakeDingTalk, {}, ding(), "300001", {"path": "/robot/send"}),
    Case(FakeDingTalk, {}, ding(), "43002", {"method": "GET"}),
    Case(FakeDingTalk, {}, ding(), "43004", {"Content_Type": "text/plain"}),
    Case(FakeDingTalk, {"secret": "SEC"}, ding(), "310000"),
    Case(FakeDingTalk, {"keywords": ["ops"]}, ding(), "310000"),
    Case(FakeDingTalk, {"keywords": ["hell"]}, ding(), "0"),
    Case(FakeDingTalk, {"addresses": ["192.0.2.0/24"]}, ding(), "310000"),
    Case(FakeDingTalk, {"addresses": ["127.0.0.0/8"]}, ding(), "0"),
    Case(FakeDingTalk, {"forbidden": ["hell"]}, ding(), "430102"),
    Case(FakeDingTalk, {"state": 400102}, ding(), "400102"),
    Case(FakeWeCom, {}, ding(), "0"),
    Case(FakeWeCom, {}, ding("界" * 682 + "xx"), "0"),
    Case(FakeWeCom, {}, ding("界" * 683), "40058"),
    Case(FakeWeCom, {}, {"msgtype": "markdown", "markdown": {"content": "x" * 4096}}, "0"),
    Case(FakeWeCom, {}, {"msgtype": "markdown", "markdown": {"content": "x" * 4097}}, "40058"),
    Case(FakeWeCom, {}, ding(""), "44004"),
    Case(FakeWeCom, {}, {"msgtype": "card", "card": {}}, "40008"),
    Case(FakeWeCom, {}, b"[]", "47001"),
    Case(FakeWeCom, {}, ding(), "93000", {"path": "/cgi-bin/webhook/send?key=other"}),
    Case(FakeTelegram, {}, chat(), "True"),
    Case(FakeTelegram, {}, chat("\U0001f600" * 2048), "True"),
    Case(FakeTelegram, {}, chat("\U0001f600" * 2048 + "x"), "Bad Request: message is too long"),
    Case(FakeTelegram, {}, chat("&amp;" * 4096, parse_mode="HTML"), "True"),
    Case(FakeTelegram, {}, chat(" "), "Bad Request: message text is empty"),
    Case(FakeTelegram, {}, {"text": "x"}, "Bad Request: chat_id is empty"),
    Case(FakeTelegram, {}, chat(chat_id=7), "Bad Request: chat not found"),
    Case(FakeTelegram, {}, chat(), "Not Found", {"path": "/bot1/sendMessage"}),
    Case(FakeTelegram, {}, chat(), "Unauthorized", {"path": "/bot1:a/sendMessage"}),
    Case(FakeTelegram, {"kicked": [42]}, chat(chat_id=42), "Forbidden: bot was blocked by the user"),
    Case(FakeTelegram, {"kicked": [-5]}, chat(chat_id="-5"), "Forbidden: bot was kicked from the group chat"),
    Case(
        FakeTelegram,
        {"migrated": {-5: -1005}},
        chat(chat_id=-5),
        "Bad Request: group chat was upgraded to a supergroup chat",
    ),
    Case(FakeTelegram, {}, chat("\U0001f600 x", entities=entity(3, 1)), "True"),
    Case(
        FakeTelegram,
        {},
        chat("\U0001f600 x", entities=entity(3, 2)),
        "Bad Request: entity beginning at UTF-16 offset 3 ends after the end of the text at UTF-16 offset 4",
    ),
    Case(
        FakeTelegram,
        {},
        chat("\U0001f600 x", entities=entity(1, 2)),
        "Bad Request: entity beginning at UTF-16 offset 1 ends in a middle of a UTF-16 symbol",
    ),
    Case(
        FakeTelegram,
        {},
        chat(entities=entity(0, 1, "blink")),
        "Bad Request: can't parse MessageEntity: Unsupported type specified",
    ),
    Case(FakeTelegram, {}, chat(entities=entity(0, 0)), "Bad Request: receive an entity with incorrect length"),
    Case(FakeTelegram, {}, chat("<b>x</b>", parse_mode="HTML"), "True"),
    Case(
        FakeTelegram,
        {},
        chat("<x>", parse_mode="HTML"),
        'Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 0',
    ),
    Case(FakeTelegram, {}, chat("a < b", parse_mode="HTML"), "Bad Request: can't parse entities: Unclosed start tag"),
    Case(
        FakeTelegram,
        {},
        chat("a.b", parse_mode="MarkdownV2"),
        "Bad Request: can't parse entities: Character '.' is reserved and must be escaped",
    ),
    Case(FakeTelegram, {}, chat("a\\.b", parse_mode="MarkdownV2"), "True"),
    Case(FakeSlack, {}, {"text": "x"}, "ok"),
    Case(
        FakeSlack,
        {},
        b"payload=%7B%22text%22%3A%22x%22%7D",
        "ok",
        {"Content_Type": "application/x-www-form-urlencoded"},
    ),
    Case(FakeSlack, {}, b"{", "invalid_payload"),
    Case(FakeSlack, {}, {"text": 1}, "invalid_payload"),
    Case(FakeSlack, {}, {"text": ""}, "no_text"),
    Case(FakeSlack, {}, {"text": "x", "attachments": [{}] * 101}, "too_many_attachments"),
    Case(FakeSlack, {}, {"text": "x", "blocks": {}}, "invalid_blocks_format"),
    Case(FakeSlack, {}, blocks(*[{"type": "divider"}] * 50), "ok"),
    Case(FakeSlack, {}, blocks(*[{"type": "divider"}] * 51), "invalid_blocks"),
    Case(FakeSlack, {}, blocks({"type": "header", "text": node("x" * 150)}), "ok"),
    Case(FakeSlack, {}, blocks({"type": "header", "text": node("x" * 151)}), "invalid_blocks"),
    Case(FakeSlack, {}, blocks({"type": "header", "text": node("x", "mrkdwn")}), "invalid_blocks"),
    Case(FakeSlack, {}, blocks({"type": "section", "text": node("x" * 3000)}), "ok"),
    Case(FakeSlack, {}, blocks({"type": "section", "text": node("x" * 3001)}), "invalid_blocks"),
    Case(FakeSlack, {}, blocks({"type": "section", "text": node("")}), "invalid_blocks"),
    Case(FakeSlack, {}, blocks({"type": "section", "fields": [node("x" * 2000)] * 10}), "ok"),
    Case(FakeSlack, {}, blocks({"type": "section", "fields": [node("x")] * 11}), "invalid_blocks"),
    Case(FakeSlack, {}, blocks({"type": "section", "fields": [node("x" * 2001)]}), "invalid_blocks"),
    Case(FakeSlack, {}, blocks({"type": "section"}), "invalid_blocks"),
    Case(FakeSlack, {}, {"text": "x"}, "no_team", {"path": "/services/T/B/X"}),
    Case(FakeSlack, {}, {"text": "x"}, "no_service", {"path": "/services/T0000AAAA/B/X"}),
    Case(FakeSlack, {}, {"text": "x"}, "invalid_token", {"path": "/services/T0000AAAA/B0000BBBB/X"}),
    Case(FakeSlack, {"state": "channel_is_archived"}, {"text": "x"}, "channel_is_archived"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.make.__name__}-{case.code[:40]}")
def test_a_stand_in_decides_as_its_service(case: Case) -> None:
    """And keeps only what it accepted."""
    with case.make(clock=Clock(), **case.settings) as service:
        assert code_of(service, case.body, **case.request) == case.code
        assert bool(service.messages) == (case.code in ("0", "True", "ok"))
        assert len(service.texts()) == len(service.messages)
        assert len(service.wait_for_attempts(1)) == 1


@pytest.mark.parametrize("old", [False, True])
def test_dingtalk_tells_four_faults_by_one_number(old: bool) -> None:  # noqa: FBT001 - a table
    """Signed with another key, too long ago, without the keyword, from elsewhere."""
    clock = Clock()
    with FakeDingTalk(secret="SECdemo", keywords=["ops"], old=old, clock=clock) as service:

        def said(text: str, stamp: int, secret: str = "SECdemo") -> str:
            digest = hmac.new(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256).digest()
            sign = quote(base64.b64encode(digest).decode(), safe="")
            path = f"{service.path}&timestamp={stamp}&sign={sign}"
            return str(json.loads(ask(service, ding(text), path=path)[1])["errmsg"])

        now = int(NOW) * 1000
        assert said("ops", now) == said("ops", now - 3600_000) == "ok"
        texts = [said("ops", now, "other"), said("ops", now - 3600_001), said("x", now)]
        service.addresses = ["192.0.2.1"]
        assert len({*texts, said("ops", now)}) == 4
        assert all(text.startswith("description:") != old for text in texts)


def test_the_vendors_vectors() -> None:
    """Signatures that were made elsewhere are right."""
    clock = Clock()
    clock.now = 1599360473.0
    with FakeDingTalk(secret="SECdemo", clock=clock) as service:
        sign = "tGWkA5eQOQNCNPDgphtxIoNLO%2B%2FgD8Lcb705KQoRzeY%3D"
        assert code_of(service, ding(), path=f"{service.path}&timestamp=1599360473000&sign={sign}") == "0"
    clock.now = 1614265330.0
    with FakeWebhooks(secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], clock=clock) as receiver:
        headers = {
            "webhook_id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook_timestamp": "1614265330",
            "webhook_signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }
        assert ask(receiver, b'{"test": 2432232314}', **headers)[0] == 204


def test_limits_by_the_clock() -> None:
    """As many as are allowed, then none, then again; DingTalk's robot is blocked for ten minutes."""
    clock = Clock()
    with FakeDingTalk(clock=clock) as robot, FakeWeCom(clock=clock) as wecom:
        assert [code_of(robot, ding()) for _ in range(21)] == ["0"] * 20 + ["130101"]
        assert [code_of(wecom, ding()) for _ in range(21)] == ["0"] * 20 + ["45009"]
        clock.now += 60
        assert (code_of(robot, ding()), code_of(wecom, ding())) == ("130101", "0")
        clock.now += 539
        assert code_of(robot, ding()) == "130101"
        clock.now += 1
        assert code_of(robot, ding()) == "0"
    with FakeSlack(clock=clock) as slack:
        assert [ask(slack, {"text": "x"})[0] for _ in range(4)] == [200] * 3 + [429]
        assert ask(slack, {"text": "x"})[2]["Retry-After"] == "3"
        clock.now += 3
        assert code_of(slack, {"text": "x"}) == "ok"
    with FakeTelegram(clock=clock, limits=()) as telegram:
        assert [code_of(telegram, chat()) for _ in range(20)] == ["True"] * 20
        status, body, _ = ask(telegram, chat())
        assert (status, json.loads(body)["parameters"]) == (429, {"retry_after": 60})
        assert code_of(telegram, chat(chat_id=42)) == "True"


def signed(body: bytes, stamp: Union[int, str] = int(NOW), name: str = "msg_1", secret: str = SECRET) -> dict[str, str]:
    """Return the three headers."""
    key = base64.b64decode(secret[len("whsec_") :])
    digest = hmac.new(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook_id": name,
        "webhook_timestamp": str(stamp),
        "webhook_signature": "v1," + base64.b64encode(digest).decode(),
    }


CLOUD = b'{"specversion": "1.0", "id": "1", "source": "urn:x", "type": "t", "data": {}}'


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", signed(b"{}"), 204),
        (b"{}", {**signed(b"{}"), "webhook_signature": "v1,AAAA " + signed(b"{}")["webhook_signature"]}, 204),
        (CLOUD, {**signed(CLOUD), "Content_Type": EVENT}, 204),
        (b"{}", {**signed(b"{}"), "Content_Type": EVENT}, 400),
        (b"{}", {}, 400),
        (b"{}", signed(b"{ }"), 401),
        (b"{}", signed(b"{}", secret="whsec_" + "A" * 32), 401),
        (b"{}", signed(b"{}", int(NOW) - 301), 401),
        (b"{}", signed(b"{}", int(NOW) + 300), 204),
        (b"{", signed(b"{"), 400),
        (b"{}", {**signed(b"{}"), "Content_Type": "text/plain"}, 415),
        (b'"' + b"x" * 20478 + b'"', signed(b""), 413),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_webhook_receiver_verifies(body: bytes, headers: dict[str, str], status: int) -> None:
    """The reasons for which it refuses, and what it takes."""
    with FakeWebhooks(clock=Clock()) as service:
        assert ask(service, body, **headers)[0] == status
        assert bool(service.messages) == (status == 204)


def test_the_webhook_receiver_knows_ids_and_its_script() -> None:
    """The same again is success, and no message."""
    with FakeWebhooks(clock=Clock()) as service:
        assert [ask(service, b"{}", **signed(b"{}"))[0] for _ in range(2)] == [204, 204]
        assert (len(service.messages), service.duplicates) == (1, ["msg_1"])
        service.script.extend([410, 429, 503, 418, "lost"])
        answers = [ask(service, b"{}", **signed(b"{}")) for _ in range(4)]
        assert [(status, headers["Retry-After"]) for status, _, headers in answers] == [
            (410, None),
            (429, "7"),
            (503, "7"),
            (418, None),
        ]
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(service, b"{}", **signed(b"{}", name="msg_2"))
        assert service.wait_for(2)[1]["id"] == "msg_2"


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts for a server and a client that trusts it."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


def test_a_service_under_tls(contexts: Contexts) -> None:
    """Only for those who trust it."""
    with FakeSlack(tls=contexts[0]) as service:
        assert service.url.startswith("https://")
        connection = http.client.HTTPSConnection("127.0.0.1", service.port, context=contexts[1], timeout=10)
        connection.request("POST", service.path, b'{"text":"x"}', {"Content-Type": JSON})
        assert connection.getresponse().read() == b"ok"
        connection.close()
        stranger = http.client.HTTPSConnection("127.0.0.1", service.port, timeout=10)
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("POST", service.path, b"{}")
        stranger.close()


MAIL = b"Subject: hello\r\nMessage-ID: <1@x>\r\n\r\ntext\r\n"


@pytest.mark.parametrize(
    ("settings", "login", "script", "codes"),
    [
        ({}, None, [], [250]),
        ({"refused": ["b@example.com"]}, None, [], [550]),
        ({"greylisting": True}, None, [], [451, 250]),
        ({"largest": 10}, None, [], [552]),
        ({"user": "u", "password": "p"}, None, [], [530]),
        ({"user": "u", "password": "p"}, "x", [], [535]),
        ({"user": "u", "password": "p"}, "p", [], [250]),
        ({}, None, ["452 4.2.2 full"], [452, 250]),
    ],
    ids=str,
)
def test_the_mail_server(settings: dict[str, Any], login: Optional[str], script: list[str], codes: list[int]) -> None:
    """What it refuses, and what it takes at the second try."""

    def send() -> int:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=10) as client:
            try:
                if login:
                    client.login("u", login)
                client.sendmail("a@example.com", ["b@example.com"], MAIL)
            except smtplib.SMTPRecipientsRefused as error:
                return int(error.recipients["b@example.com"][0])
            except smtplib.SMTPResponseException as error:
                return int(error.smtp_code)
            return 250

    with FakeSMTP(**settings) as server:
        server.script.extend(script)
        assert [send() for _ in codes] == codes
        assert len(server.messages) == codes.count(250)
        for mail in server.messages:
            assert (mail.sender, mail.recipients, mail.tls) == ("a@example.com", ("b@example.com",), False)
            assert (mail.message["Subject"], mail.user) == ("hello", "u" if login else None)


def test_the_mail_server_under_tls(contexts: Contexts) -> None:
    """STARTTLS is demanded; or TLS is there from the beginning."""
    with FakeSMTP(tls=contexts[0]) as server, smtplib.SMTP("127.0.0.1", server.port, timeout=10) as client:
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("a@example.com", ["b@example.com"], MAIL)
        client.starttls(context=contexts[1])
        client.sendmail("a@example.com", ["b@example.com"], MAIL)
        assert server.wait_for(1)[0].tls
    with (
        FakeSMTP(tls=contexts[0], implicit=True) as server,
        smtplib.SMTP_SSL("127.0.0.1", server.port, timeout=10, context=contexts[1]) as client,
    ):
        client.sendmail("a@example.com", ["b@example.com"], MAIL)
        assert server.wait_for(1)[0].tls


GOOD = '<86>1 2026-11-25T05:00:00.123Z web01 usm 42 login [usm@32473 user="a\\"\\\\\\]b"][origin ip="::1"] \ufeffhéllo'


def test_a_good_syslog_message_is_parsed() -> None:
    """With its escapes undone."""
    message = siem.parse(GOOD.encode())
    assert (message.facility, message.severity, message.host, message.text) == (10, 6, "web01", "héllo")
    assert message.data == {"usm@32473": [("user", 'a"\\]b')], "origin": [("ip", "::1")]}
    bare = siem.parse(b"<0>1 - - - - - -")
    assert (bare.host, bare.data, bare.text) == (None, {}, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<86>", "<192>"),
        ("<86>", "<086>"),
        (">1 ", ">2 "),
        ("T05", " 05"),
        ("Z web", " web"),
        ("-25T", "-32T"),
        (".123Z", ".1234567Z"),
        ("web01", "wéb01"),
        ("web01", "w" * 256),
        ("usm 42", "u" * 49 + " 42"),
        ("login", "l" * 33),
        (" login", "  login"),
        ("\\]b", "]b"),
        ('a\\"', 'a"'),
        ("a\\", "\\a\\"),
        ("usm@32473", "usm"),
        ("usm@32473", "origin"),
        ("][", "] ["),
        ("] \ufeff", "]\ufeff"),
        ("\ufeff", ""),
        ("héllo", "h\nllo"),
    ],
)
def test_a_bad_syslog_message_is_not(old: str, new: str) -> None:
    """Each of these is one deviation from the grammar."""
    assert old in GOOD
    with pytest.raises(ValueError, match=r"."):
        siem.parse(GOOD.replace(old, new, 1).encode())


@pytest.mark.parametrize("protocol", ["udp", "tcp", "tls"])
def test_the_siem_takes_messages(protocol: str, contexts: Contexts) -> None:
    """In datagrams, or with their lengths before them; a deviation ends a connection."""
    raw = GOOD.encode()
    with FakeSIEM(protocol, tls=contexts[0] if protocol == "tls" else None) as server:
        if protocol == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.sendto(raw, ("127.0.0.1", server.port))
                out.sendto(b"x", ("127.0.0.1", server.port))
                assert server.wait_for(1)[0].raw == raw
                assert len(server.wait_for_errors(1)) == 1
            return
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
            stream = contexts[1].wrap_socket(plain, server_hostname="127.0.0.1") if protocol == "tls" else plain
            stream.sendall(b"%d %b%d %b" % (len(raw), raw, len(raw), raw))
            assert len(server.wait_for(2)) == 2
            stream.sendall(raw)
            assert server.wait_for_errors(1) == ["not a length: b'<86>1 '"]
            stream.close()


def test_the_siem_fails_as_it_is_told() -> None:
    """It ends connections at once, or reads nothing until it is told to."""
    with FakeSIEM(mode="close") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as out:
            assert out.recv(1) == b""
        server.mode = "reset"
        address = ("127.0.0.1", server.port)
        with pytest.raises(ConnectionError), socket.create_connection(address, timeout=10) as out:  # or at once
            out.recv(1)
        server.mode = "deaf"
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as out:
            out.sendall(b"16 <0>1 - - - - - -")
            with pytest.raises(TimeoutError):
                server.wait_for(1, timeout=0.05)
            server.mode = "read"
            assert len(server.wait_for(1)) == 1
            server.cut()
            assert out.recv(1) == b""


def test_the_proxy(contexts: Contexts) -> None:
    """It lets through who may pass, and notes it."""
    with (
        FakeProxy(user="u", password="p") as proxy,
        FakeSlack(limits=()) as plain,
        FakeSlack(tls=contexts[0]) as secure,
    ):
        assert urlsplit(proxy.url).password == "p"
        right = {"Proxy-Authorization": "Basic " + base64.b64encode(b"u:p").decode(), "Content-Type": JSON}
        for headers, status in (({}, 407), (right, 200)):
            client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
            client.request("POST", plain.url, b'{"text":"x"}', headers)
            assert client.getresponse().status == status
            client.close()
        assert "proxy-authorization" not in plain.requests[0].headers
        tunnel = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=10, context=contexts[1])
        tunnel.set_tunnel("127.0.0.1", secure.port, right)
        tunnel.request("POST", secure.path, b'{"text":"x"}', {"Content-Type": JSON})
        assert tunnel.getresponse().read() == b"ok"
        tunnel.close()
        assert [(passage.method, passage.status) for passage in proxy.passages] == [
            ("POST", 407),
            ("POST", 200),
            ("CONNECT", 200),
        ]
        assert proxy.passages[2].target == f"127.0.0.1:{secure.port}"
