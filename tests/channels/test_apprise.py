"""Apprise: what is handed on, what its answers mean, and what it is not needed for."""

from __future__ import annotations

import json

import pytest

from tests.channels.samples import MESSAGES, NOW, ZH
from usm.channels import CHANNELS
from usm.channels.apprise import NATIVE, Apprise
from usm.core.message import Deferred, Handover, Reply, Sent
from usm.core.model import Secret

URLS = (Secret("ntfys://ntfy.example.com/made-up"), Secret("gotifys://gotify.example.com/made-up"))


def test_title_and_text_are_handed_on() -> None:
    """Plain, and made harmless."""
    assert Apprise(URLS).request(MESSAGES["mended"], NOW, ZH) == Handover(
        URLS,
        "通知渠道已恢复：feishu",
        "服务器：web01\n服务器IP：192.0.2.10\n通知渠道：feishu\n时间：2026-11-25 10:00:00\n"
        "处理：积压的消息现在继续发送",
    )


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ({"outcome": "failed", "number": 1}, "1 of 2 services took the message, and get it again"),
        ({"outcome": "failed", "number": 0}, "no service took the message; Apprise"),
        ({"outcome": "not understood", "number": 1}, "Apprise does not understand address 2 of `urls`"),
        ({"outcome": "not understood"}, "Apprise does not understand address ? of `urls`"),
        ({"outcome": "not installed"}, "Apprise is not installed: apt install apprise"),
    ],
)
def test_what_apprise_says_is_explained(answer: dict[str, object], detail: str) -> None:
    """As far as it says anything."""
    receipt = Apprise(URLS).receipt(Reply(200, json.dumps(answer).encode()))
    assert isinstance(receipt, Deferred)
    assert receipt.detail.startswith(detail)


def test_sent_is_not_verified() -> None:
    """And says so."""
    receipt = Apprise(URLS).receipt(Reply(200, b'{"outcome": "sent", "number": 2}'))
    assert receipt == Sent("accepted, unverified: Apprise does not read the service's answer")
    assert "not verified" in Apprise(URLS).notes()[0]


@pytest.mark.parametrize("scheme", NATIVE)
def test_what_a_channel_of_ours_does_better_is_refused(scheme: str) -> None:
    """It names the channel, not the address."""
    (found,) = Apprise((Secret(f"{scheme.upper()}://made-up"),)).problems()
    assert f"use `type: {NATIVE[scheme]}`" in found
    assert NATIVE[scheme] in CHANNELS
    assert "made-up" not in found


def test_an_address_is_one_of_apprises() -> None:
    """Without a scheme it is none."""
    assert Apprise(URLS).problems() == []
    assert Apprise((URLS[0], Secret("made up"))).problems() == [
        "urls: address 2 must be one of Apprise's, such as ntfys://host/topic"
    ]
    assert Apprise(URLS).endpoint() != Apprise(URLS[:1]).endpoint()
