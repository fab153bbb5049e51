"""Where messages go: each channel is one module and one line in `CHANNELS`.

A channel is a frozen dataclass: its fields are its part of the configuration (`metadata` holds `help`, one line, and
`choices` where only some values are allowed). It is pure: it turns a message into a request and a reply into a receipt,
and leaves sockets to `transport` and time to its caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from usm.channels.apprise import Apprise
from usm.channels.console import Console
from usm.channels.dingtalk import DingTalk
from usm.channels.email import Email
from usm.channels.feishu import Feishu
from usm.channels.slack import Slack
from usm.channels.syslog import Syslog
from usm.channels.telegram import Telegram
from usm.channels.webhook import Webhook
from usm.channels.wecom import WeCom

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look
    from usm.core.message import Message, Receipt, Reply, Request


class Channel(Protocol):
    """What delivery needs of every channel."""

    limits: ClassVar[tuple[tuple[int, float], ...]]
    """At most so many messages in so many seconds, for each pair."""

    digests: ClassVar[bool]
    """Whether people read it: of too many messages they get a digest. A program gets every event by itself."""

    def endpoint(self) -> str:
        """Return what shares one limit and one breaker, such as an address; a secret."""
        ...

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Request:
        """Return what to send now (signatures age); `plain` asks for the simplest dress the service knows."""
        ...

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:
        """Return what the answer means for a message sent in this dress; never raises, whatever it holds."""
        ...

    def problems(self) -> list[str]:
        """Return what is wrong with the settings, and what to write instead; never shows a secret."""
        ...

    def notes(self) -> list[str]:
        """Return what is allowed but should be known, for `check`."""
        ...


CHANNELS: dict[str, type[Any]] = {
    "feishu": Feishu,
    "dingtalk": DingTalk,
    "wecom": WeCom,
    "telegram": Telegram,
    "slack": Slack,
    "email": Email,
    "webhook": Webhook,
    "syslog": Syslog,
    "apprise": Apprise,
    "console": Console,
}
