"""Mail: headers and text, and what the settings may be. The rest is in test_channels.py."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest

from tests.channels import hostile
from tests.channels.samples import EN, MESSAGES, NOW, ZH
from usm.channels.email import Email
from usm.core.message import Message, Reply, Sent
from usm.core.model import Secret

if TYPE_CHECKING:
    from usm.core.look import Look


def email(**settings: Any) -> Email:  # noqa: ANN401 - any field
    """Return a channel."""
    fields = {"smtp_host": "smtp.example.com", "sender": "usm@example.com", "to": ("a@example.com", "b@example.com")}
    return Email(**{**fields, **settings})


def parsed(message: Message, look: Look = EN) -> EmailMessage:
    """Return the mail as its reader's program sees it."""
    mail = message_from_bytes(email().request(message, NOW, look).message, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def test_a_login_is_a_mail() -> None:
    """Literally; its id is that of the message, and it belongs to the session's thread."""
    mail = parsed(MESSAGES["login"], ZH)
    assert {name: str(value) for name, value in mail.items()} == {
        "From": "user-session-monitor <usm@example.com>",
        "To": "a@example.com, b@example.com",
        "Subject": "用户登录通知 web01 alice",
        "Date": "Wed, 25 Nov 2026 10:00:00 +0800",
        "Message-ID": "<1111111111111111@example.com>",
        "References": "<session-00c0ffee00c0ffee@example.com>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": mail["Content-Transfer-Encoding"],
        "MIME-Version": "1.0",
    }
    assert mail.get_content().splitlines()[:4] == ["用户登录通知", "", "服务器：web01", "服务器IP：192.0.2.10"]


def test_recipients_may_stand_in_one_text() -> None:
    """With commas between them."""
    mail = email(to=("a@example.com, b@example.com",)).request(MESSAGES["login"], NOW, EN)
    assert mail.recipients == ("a@example.com", "b@example.com")


def test_a_digest_has_no_thread() -> None:
    """Its subject says how many."""
    mail = parsed(MESSAGES["digest"])
    assert (mail["Subject"], mail["References"]) == ("User sessions: 314 events web01", None)


@pytest.mark.parametrize("name", hostile.NAMES, ids=range(len(hostile.NAMES)))
def test_no_name_makes_a_header(name: str) -> None:
    """The headers are ours, whatever the user is called."""
    mail = parsed(hostile.hostile(name))
    assert len(mail.items()) == 10
    assert "Bcc" not in mail
    assert mail["Subject"].startswith("User login web01 ")


@pytest.mark.parametrize(
    ("settings", "port"), [({}, 587), ({"security": "tls"}, 465), ({"smtp_port": 2525}, 2525)], ids=str
)
def test_ports(settings: dict[str, Any], port: int) -> None:
    """The usual one of the encryption, or the one that is given."""
    assert email(**settings).request(MESSAGES["login"], NOW, EN).port == port


def test_refused_recipients_are_named_by_their_number() -> None:
    """The mail was taken all the same."""
    receipt = email().receipt(Reply(250, b'{"refused": {"550": 1}, "of": 2}'))
    assert receipt == Sent("taken, but the mail server refused recipients (550 ×1): check `to`")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"smtp_host": "a b"}, "smtp_host: "),
        ({"smtp_port": 0}, "smtp_port: "),
        ({"smtp_port": 65536}, "smtp_port: "),
        ({"security": "none"}, "security: none is accepted to this machine itself only"),
        ({"sender": "usm"}, "from: "),
        ({"sender": "a..b@example.com"}, "from: "),
        ({"sender": "ü@example.com"}, "from: "),
        ({"to": ("a@example.com", "b\r\nBcc: c@example.com")}, "to: "),
        ({"username": "x"}, "username: needs a password"),
        ({"password": Secret("x")}, "username: needs a password"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, Any], problem: str) -> None:
    """With the key in front."""
    (found,) = email(**settings).problems()
    assert found.startswith(problem)


def test_what_is_right_is_not_said() -> None:
    """Also a relay on this machine."""
    good = email(username="x", password=Secret("y"))
    assert (good.problems(), good.notes()) == ([], [])
    assert email(smtp_host="127.0.0.1", security="none").problems() == []
    assert good.endpoint() != email().endpoint()
