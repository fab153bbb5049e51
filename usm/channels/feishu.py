"""Feishu and Lark, custom bot (webhook v2). Facts: the vendor's "Custom bot usage guide", as noted in the docs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from usm.channels.answers import (
    OK,
    REDIRECT,
    Row,
    coded,
    fault,
    host_notes,
    http_rows,
    json_object,
    judge,
    key_problems,
    keyed,
    keyword_problems,
    split,
    to_json,
    url_problems,
)
from usm.core import model
from usm.core.message import Deferred, Message, Post, Receipt, Rejected, Reply, Sent
from usm.core.tame import cut, inert, utf8
from usm.core.text import DIGEST, MENDED, TROUBLE, lines, plain_text, title, tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from usm.core.look import Look

HOSTS = ("open.feishu.cn", "open.larksuite.com")
_PATH = re.compile(r"/open-apis/bot/v2/hook/[A-Za-z0-9_-]+")
_OLD_PATH = "/open-apis/bot/hook/"
_SHAPE = "https://open.feishu.cn/open-apis/bot/v2/hook/<token>"
_WIDE = 30  # columns beyond which a fact gets a row of its own on the card; a time still shares one
_LARGEST = 6500  # bytes of text: JSON's escapes and the frame of sixty fields still fit 18 KB
_ROWS = 60
_COLOURS = {
    model.LOGIN: "blue",
    model.LOGOUT: "grey",
    model.FAILED: "red",
    model.PRIVILEGE: "orange",
    model.FINDING: "yellow",
    model.WARNING: "orange",
    model.CRITICAL: "red",
    DIGEST: "wathet",
    TROUBLE: "orange",
    MENDED: "green",
}
_BUSY = "Feishu limits how fast a robot may send (5 a second, 100 a minute), or is busy"
_CARD = "Feishu refused the card; the message is sent again as text"

REPLIES = (  # the first row that holds decides
    REDIRECT,
    Row(Sent(), 0, status=OK),
    Row(Deferred("11232", _BUSY, wait=2.0), 11232),
    Row(Deferred("9499", _BUSY, wait=2.0), 9499, says="too many request"),
    Row(Deferred("9499", _CARD, plain=True), 9499),
    Row(Deferred("11246", _CARD, plain=True), 11246),
    Row(fault("19001", "no such robot: it was removed, or webhook_url is wrong; copy the URL again"), 19001),
    Row(Rejected("19002", "Feishu did not understand the message; is webhook_url that of a custom bot?"), 19002),
    Row(fault("19021", "signature refused: check `secret`, and this server's clock (1 h off is too much)"), 19021),
    Row(fault("19022", "address refused: add this server's public address to the robot's IP list"), 19022),
    Row(fault("19024", "keyword missing: set `keyword` to one of those in the robot's settings"), 19024),
    *http_rows("Feishu", "webhook_url"),
)


@dataclass(frozen=True)
class Feishu:
    """A custom bot of a Feishu or Lark group: a card, or a text where the card is refused or not wanted."""

    # The vendor allows 5 a second and 100 a minute, for each robot: others may use it too.
    limits: ClassVar[tuple[tuple[int, float], ...]] = ((4, 1.0), (80, 60.0))

    digests: ClassVar[bool] = True

    webhook_url: model.Secret = field(metadata={"help": "the robot's webhook address: whoever knows it can post"})
    secret: Optional[model.Secret] = field(default=None, metadata={"help": "the robot's signature key, if it has one"})
    format: str = field(default="card", metadata={"help": "how messages look", "choices": ("card", "text")})
    keyword: Optional[str] = field(default=None, metadata={"help": "one of the robot's keywords, if it has any"})

    def endpoint(self) -> str:
        """Return what shares one limit: the robot."""
        return self.webhook_url.reveal()

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Post:
        """Return the message, signed for `now`: Feishu refuses a signature that is more than 1 h old.

        At most 18 KB (Feishu takes 20 KB): each of its values is limited, and a template's text is cut.
        """
        body = self._text(message, look) if self._is_text(plain=plain) else self._card(message, look)
        if self.secret is not None:
            timestamp = str(int(now.timestamp()))
            body = {"timestamp": timestamp, "sign": sign(timestamp, self.secret), **body}
        return Post(self.webhook_url, to_json(body))

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:
        """Return what the reply means; Feishu tells most errors with HTTP status 200; older replies have StatusCode."""
        answer = coded(json_object(reply.body), ("code", "StatusCode"), ("msg", "StatusMessage"))
        token = self.webhook_url.reveal().rpartition("/")[2]
        return judge(REPLIES, reply, answer, (token,), plain=self._is_text(plain=plain))

    def problems(self) -> list[str]:
        """Return what is wrong with the settings; never the URL itself, which is a secret."""
        found = [*_url_problems(self.webhook_url), *key_problems("secret", self.secret)]
        return [*found, *keyword_problems(self.keyword)]

    def notes(self) -> list[str]:
        """Name the host if it is not Feishu's own."""
        return host_notes("webhook_url", self.webhook_url, HOSTS, "Feishu's or Lark")

    def _is_text(self, *, plain: bool) -> bool:
        return plain or self.format == "text"

    def _text(self, message: Message, look: Look) -> dict[str, Any]:
        text = plain_text(message, look, tame=inert)
        text = cut(keyed(text, self.keyword, text), _LARGEST, utf8)
        return {"msg_type": "text", "content": {"text": text}}

    def _card(self, message: Message, look: Look) -> dict[str, Any]:
        """Return a card of version 1.0, which every client shows; all in plain_text nodes, where nothing is markup."""
        headline = title(message, look, tame=inert)
        rows = cut("\n".join(lines(message, look, tame=inert)), _LARGEST, utf8).split("\n")[:_ROWS]
        headline = keyed(headline, self.keyword, "\n".join((headline, *rows)))
        fields = [{"is_short": _columns(row) <= _WIDE, "text": _node(row)} for row in rows]
        return {
            "msg_type": "interactive",
            "card": {
                "config": {"wide_screen_mode": True},
                "header": {"title": _node(headline), "template": _COLOURS[tone(message)]},
                "elements": [{"tag": "div", "fields": fields}],
            },
        }


def sign(timestamp: str, secret: model.Secret) -> str:
    """Return the signature of a message sent at `timestamp` (Unix seconds): time and secret are the key, of nothing."""
    key = f"{timestamp}\n{secret.reveal()}".encode()
    return base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()


def _node(text: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": text}


def _columns(text: str) -> int:
    """Return about how wide the text is shown: a Chinese character is as wide as two letters."""
    return sum(2 if char >= "\u1100" else 1 for char in text)


def _url_problems(url: model.Secret) -> Iterator[str]:
    yield from url_problems("webhook_url", url, _SHAPE)
    parts = split(url.reveal())
    if parts is None or not re.fullmatch(r"[!-~]+", url.reveal()):
        return
    if parts.path.startswith(_OLD_PATH):
        yield f"webhook_url: is of the old robot (v1), which can't be signed; add a custom bot, {_SHAPE}"
    elif parts.hostname in HOSTS and (not _PATH.fullmatch(parts.path) or parts.query or parts.fragment):
        yield f"webhook_url: is not that of a custom bot, which looks like {_SHAPE}"
