"""Slack: what is sent, and what the settings may be. The rest is in test_channels.py."""

from __future__ import annotations

import json
from typing import Any

from tests.channels.samples import EN, MESSAGES, NOW, ZH
from usm.channels.slack import Slack
from usm.core.model import Secret

URL = "https://hooks.slack.com/services/T0000AAAA/B0000BBBB/made-up"


def body(name: str, form: str = "blocks", *, plain: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Return what is sent."""
    return json.loads(Slack(Secret(URL), form).request(MESSAGES[name], NOW, EN, plain=plain).body)


def test_a_message_is_blocks_of_plain_text() -> None:
    """Literally: header, at most ten fields a section, no smileys, no previews; and a text for notifications."""
    sent = body("privilege")
    text = "Privilege use\nServer: web01\nUser: alice\nTime: 2026-11-25 02:00:00\nTarget user: root\n"
    text += "Command: /usr/bin/id -u\nTerminal: pts/0\nService: sudo\n"
    text += "Remark: reported late (the monitor was not running when it happened)"
    assert {key: value for key, value in sent.items() if key != "blocks"} == {
        "text": text,
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    header, section = sent["blocks"]
    assert header == {"type": "header", "text": {"type": "plain_text", "text": "Privilege use", "emoji": False}}
    assert section["fields"][1] == {"type": "plain_text", "text": "User: alice", "emoji": False}
    assert len(body("logout")["blocks"][1]["fields"]) == 10
    assert len(body("logout")["blocks"]) == 3


def test_as_text_there_are_no_blocks() -> None:
    """Chosen, or because they were refused."""
    assert "blocks" not in body("login", "text")
    assert "blocks" not in body("login", plain=True)


def test_what_acts_is_escaped_in_the_text() -> None:
    """Slack reads `<`, `>` and `&` there; angle brackets are gone before."""
    look = ZH._replace(body="a & b <!channel>")
    sent = json.loads(Slack(Secret(URL)).request(MESSAGES["login"], NOW, look).body)
    assert sent["text"].endswith("a &amp; b &lt;!channel&gt;")


def test_an_empty_line_is_no_empty_node() -> None:
    """Slack refuses those."""
    sent = json.loads(Slack(Secret(URL)).request(MESSAGES["login"], NOW, ZH._replace(body="a\n\nb")).body)
    assert [field["text"] for field in sent["blocks"][1]["fields"]] == ["a", " ", "b"]


def test_settings() -> None:
    """What is wrong is said without the address; a relay is named."""
    assert (Slack(Secret(URL)).problems(), Slack(Secret(URL)).notes()) == ([], [])
    (found,) = Slack(Secret("https://hooks.slack.com/x/made-up")).problems()
    assert found.startswith("webhook_url: is not that of an incoming webhook")
    assert "made-up" not in found
    relay = Slack(Secret("https://relay.example.com/x"))
    assert (relay.problems(), len(relay.notes())) == ([], 1)
    assert len(Slack(Secret("https://[")).problems()) == 1
