"""The console is a channel like any other."""

from __future__ import annotations

from datetime import datetime, timezone

from usm.channels import CHANNELS, Channel
from usm.channels.console import Console
from usm.core.look import Look
from usm.core.message import Alert, Deferred, Print, Reply, Sent
from usm.core.model import LOGIN, Event

NOW = datetime(2026, 11, 23, 2, 5, 7, tzinfo=timezone.utc)
ALERT = Alert("id", Event(LOGIN, NOW, "web01", "sshd", "alice.smith", "203.0.113.5"), "info")


def test_it_prints_the_text_and_an_empty_line() -> None:
    """Names can be copied from a terminal: nothing is put into them."""
    channel: Channel = Console()
    assert channel.request(ALERT, NOW, Look("en", timezone.utc)) == Print(
        "User login\nServer: web01\nUser: alice.smith\nIP address: 203.0.113.5\nLogin time: 2026-11-23 02:05:07\n\n"
    )


def test_it_has_one_dress_nothing_to_set_and_no_limits() -> None:
    """So it can be used without any configuration."""
    channel = CHANNELS["console"]()
    look = Look("zh", timezone.utc)
    assert channel.request(ALERT, NOW, look, plain=True) == channel.request(ALERT, NOW, look)
    assert (channel.limits, channel.problems(), channel.notes()) == ((), [], [])
    assert channel.endpoint() == Console().endpoint()


def test_only_what_was_written_is_sent() -> None:
    """Any other status is not the terminal's."""
    assert Console().receipt(Reply(200)) == Sent()
    assert isinstance(Console().receipt(Reply(500), plain=True), Deferred)
