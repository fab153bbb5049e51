"""The webhook: Standard Webhooks' signature, ids, and what the settings may be. The rest is in test_channels.py."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.channels.samples import EN, MESSAGES, NOW
from usm.channels.webhook import Webhook, sign
from usm.core.model import Secret

URL = "https://siem.example.com/made-up"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(**settings: Any) -> Webhook:  # noqa: ANN401 - any field
    """Return a channel."""
    return Webhook(**{"url": Secret(URL), "secret": Secret(KEY), **settings})


def test_the_published_vector() -> None:
    """That of the specification."""
    body = b'{"test": 2432232314}'
    signed = sign(base64.b64decode(KEY[6:]), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_event_and_its_headers() -> None:
    """The body is the event as promised to programs; the id is the message's, at every try."""
    request = webhook(token=Secret("t0ken")).request(MESSAGES["login"], NOW, EN)
    headers = dict(request.headers)
    assert str(headers.pop("webhook-signature")).startswith("v1,")
    assert headers == {
        "webhook-id": "1111111111111111",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "Authorization": Secret("Bearer t0ken"),
    }
    assert "t0ken" not in repr(request)
    body = json.loads(request.body)
    assert (body["kind"], body["user"], body["source_port"], body["tty"]) == ("login", "alice", 43867, None)
    assert body["severity"] == "info"


def test_two_keys_are_two_signatures() -> None:
    """While one takes the place of the other."""
    request = webhook(secret=Secret(f"{KEY} whsec_{base64.b64encode(bytes(32)).decode()}")).request(
        MESSAGES["login"], NOW, EN
    )
    assert len(str(dict(request.headers)["webhook-signature"]).split(" ")) == 2


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": Secret("http://siem.example.com/")}, "url: must begin with https://"),
        ({"secret": Secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}, "secret: must be whsec_"),
        ({"secret": Secret("whsec_c2hvcnQ=")}, "secret: must be whsec_"),
        ({"secret": Secret("whsec_???")}, "secret: must be whsec_"),
        ({"secret": Secret(f"{KEY} x")}, "secret: must be whsec_"),
        ({"secret": Secret(" ")}, "secret: must be whsec_"),
        ({"token": Secret("a b")}, "token: must be text without spaces"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, Any], problem: str) -> None:
    """Without any of the secrets."""
    (found,) = webhook(**settings).problems()
    assert found.startswith(problem)
    assert "made-up" not in found


def test_what_is_right_is_not_said() -> None:
    """That nothing proves who we are is."""
    assert (webhook().problems(), webhook().notes(), webhook(token=Secret("x"), secret=None).notes()) == ([], [], [])
    assert webhook(secret=None).problems() == []
    assert len(webhook(secret=None).request(MESSAGES["login"], NOW, EN).headers) == 2
    assert webhook(secret=None).notes() == ["url: without `secret` the receiver can't tell our events from others'"]
