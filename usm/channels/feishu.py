"""Feishu and Lark, custom bot (webhook v2). Facts: the vendor's "Custom bot usage guide", as noted in the docs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Optional
from urllib.parse import SplitResult, urlsplit

from usm.core import model
from usm.core.model import Alert, Deferred, Post, Receipt, Rejected, Reply, Sent
from usm.core.text import Look, clean, inert, lines, plain_text, title

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

HOSTS = ("open.feishu.cn", "open.larksuite.com")
_PATH = re.compile(r"/open-apis/bot/v2/hook/[A-Za-z0-9_-]+")
_OLD_PATH = "/open-apis/bot/hook/"
_SHAPE = "https://open.feishu.cn/open-apis/bot/v2/hook/<token>"
_WIDE = 30  # columns beyond which a fact gets a row of its own on the card; a time still shares one
_COLOURS = {model.LOGIN: "blue", model.LOGOUT: "grey", model.FAILED: "red", model.PRIVILEGE: "orange"}
_GRAVE = {model.CRITICAL: "red", model.WARNING: "orange"}

OTHER = -1  # stands for every code but 0
ANY, OK, MOVED, REFUSED, BROKEN = range(1000), range(200, 300), range(300, 400), range(400, 500), range(500, 600)
BUSY = range(429, 430)
_BUSY = "Feishu limits how fast a robot may send (5 a second, 100 a minute), or is busy"
_CARD = "Feishu refused the card; the message is sent again as text"
_PROXY = "the answer is not Feishu's: a proxy or login page is in between, or webhook_url is wrong"


class Row(NamedTuple):
    """What a reply means, if every condition holds.

    `code`: the code in the reply's JSON; None holds for any reply, also for one without a code. `says`: part of its
    message, in lower case. Where the receipt asks for plain dress and the message already was a text, it is rejected.
    """

    receipt: Receipt
    code: Optional[int] = None
    says: str = ""
    status: range = ANY
    empty: bool = False


def _fault(code: str, detail: str) -> Deferred:
    return Deferred(code, detail, fault=True)


REPLIES = (  # the first row that holds decides
    Row(_fault("redirect", "redirects are not followed: check the URL"), status=MOVED),
    Row(Sent(), 0, status=OK),
    Row(Deferred("11232", _BUSY, wait=2.0), 11232),
    Row(Deferred("9499", _BUSY, wait=2.0), 9499, says="too many request"),
    Row(Deferred("9499", _CARD, plain=True), 9499),
    Row(Deferred("11246", _CARD, plain=True), 11246),
    Row(_fault("19001", "no such robot: it was removed, or webhook_url is wrong; copy the URL again"), 19001),
    Row(Rejected("19002", "Feishu did not understand the message; is webhook_url that of a custom bot?"), 19002),
    Row(_fault("19021", "signature refused: check `secret`, and this server's clock (1 h off is too much)"), 19021),
    Row(_fault("19022", "address refused: add this server's public address to the robot's IP list"), 19022),
    Row(_fault("19024", "keyword missing: set `keyword` to one of those in the robot's settings"), 19024),
    Row(Deferred("http-429", _BUSY, wait=2.0), status=BUSY),
    Row(Deferred("http-5xx", "Feishu, or a proxy on the way, has an internal error"), status=BROKEN),
    Row(Deferred("other", "Feishu refused the message", last=5), OTHER),
    Row(_fault("http-4xx", _PROXY), status=REFUSED),
    Row(Deferred("empty", "the answer was empty: whether the message arrived is not known"), status=OK, empty=True),
    Row(_fault("not-feishu", _PROXY)),
)


@dataclass(frozen=True)
class Feishu:
    """A custom bot of a Feishu or Lark group: a card, or a text where the card is refused or not wanted."""

    # The vendor allows 5 a second and 100 a minute, for each robot: others may use it too.
    limits: ClassVar[tuple[tuple[int, float], ...]] = ((4, 1.0), (80, 60.0))

    webhook_url: model.Secret = field(metadata={"help": "the robot's webhook address: whoever knows it can post"})
    secret: Optional[model.Secret] = field(default=None, metadata={"help": "the robot's signature key, if it has one"})
    format: str = field(default="card", metadata={"help": "how messages look", "choices": ("card", "text")})
    keyword: Optional[str] = field(default=None, metadata={"help": "one of the robot's keywords, if it has any"})

    def request(self, alert: Alert, now: datetime, look: Look, *, plain: bool = False) -> Post:
        """Return the message, signed for `now`: Feishu refuses a signature that is more than 1 h old.

        It can't exceed 18 KB (Feishu takes 20 KB): each of its values is limited, see `text.LIMIT`.
        """
        message = self._text(alert, look) if self._is_text(plain=plain) else self._card(alert, look)
        if self.secret is not None:
            timestamp = str(int(now.timestamp()))
            message = {"timestamp": timestamp, "sign": sign(timestamp, self.secret), **message}
        return Post(self.webhook_url, json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:
        """Return what the reply means; Feishu tells most errors with HTTP status 200."""
        code, said = _read(reply.body)
        row = next(row for row in REPLIES if _holds(row, reply, code, said.lower()))
        receipt = row.receipt
        if not isinstance(receipt, Deferred):
            return receipt
        if receipt.plain and self._is_text(plain=plain):
            return Rejected(receipt.code, "Feishu refused even the plain text: too long or malformed")
        if row.code == OTHER:
            receipt = receipt._replace(code=str(code)[:16], detail=f"{receipt.detail}: {self._redacted(said)}")
        return receipt if reply.retry_after is None else receipt._replace(wait=reply.retry_after)

    def problems(self) -> list[str]:
        """Return what is wrong with the settings; never the URL itself, which is a secret."""
        found = list(_url_problems(self.webhook_url.reveal()))
        secret = None if self.secret is None else self.secret.reveal()
        if secret is not None and not re.fullmatch(r"[!-~]+", secret):
            found.append("secret: must be the robot's signature key, without spaces; leave it out if there is none")
        if self.keyword is not None and (not self.keyword.strip() or clean(self.keyword) != self.keyword):
            found.append("keyword: must be one line of visible text; leave it out if the robot demands none")
        return found

    def notes(self) -> list[str]:
        """Name the host if it is not Feishu's own."""
        url = _split(self.webhook_url.reveal())
        if url is None or url.hostname is None or url.hostname in HOSTS:
            return []
        return [f"webhook_url: sends to {clean(url.hostname)}, which is not Feishu's or Lark's own host"]

    def _redacted(self, said: str) -> str:
        """Return what the service said, without the token, should it say that."""
        token = self.webhook_url.reveal().rpartition("/")[2]
        return clean(said.replace(token, "***") if token else said) or "no reason given"

    def _is_text(self, *, plain: bool) -> bool:
        return plain or self.format == "text"

    def _text(self, alert: Alert, look: Look) -> dict[str, Any]:
        text = plain_text(alert, *look, tame=inert)
        return {"msg_type": "text", "content": {"text": self._keyed(text, text)}}

    def _card(self, alert: Alert, look: Look) -> dict[str, Any]:
        """Return a card of version 1.0, which every client shows; all in plain_text nodes, where nothing is markup."""
        rows = lines(alert, *look, tame=inert)
        headline = title(alert, look.language)
        headline = self._keyed(headline, "\n".join((headline, *rows)))
        colour = _GRAVE.get(alert.severity, _COLOURS[alert.event.kind])
        fields = [{"is_short": _columns(row) <= _WIDE, "text": _node(row)} for row in rows]
        return {
            "msg_type": "interactive",
            "card": {
                "config": {"wide_screen_mode": True},
                "header": {"title": _node(headline), "template": colour},
                "elements": [{"tag": "div", "fields": fields}],
            },
        }

    def _keyed(self, headline: str, searched: str) -> str:
        """Put the keyword before `headline` where the robot would not find it in what it searches."""
        return headline if self.keyword is None or self.keyword in searched else f"{self.keyword} {headline}"


def sign(timestamp: str, secret: model.Secret) -> str:
    """Return the signature of a message sent at `timestamp` (Unix seconds): time and secret are the key, of nothing."""
    key = f"{timestamp}\n{secret.reveal()}".encode()
    return base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()


def _node(text: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": text}


def _columns(text: str) -> int:
    """Return about how wide the text is shown: a Chinese character is as wide as two letters."""
    return sum(2 if char >= "\u1100" else 1 for char in text)


def _read(body: bytes) -> tuple[Optional[int], str]:
    """Return the code and the message in a reply; older replies have StatusCode only. No code where it is not JSON."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, or JSON made to hurt
        return None, ""
    if not isinstance(answer, dict):
        return None, ""
    code = answer.get("code", answer.get("StatusCode"))
    said = answer.get("msg", answer.get("StatusMessage"))
    # Exactly int: true would pass for 1.
    return code if type(code) is int else None, said if isinstance(said, str) else ""


def _holds(row: Row, reply: Reply, code: Optional[int], said: str) -> bool:
    coded = row.code in (None, code) or (row.code == OTHER and code not in (None, 0))
    return coded and reply.status in row.status and row.says in said and not (row.empty and reply.body.strip())


def _split(url: str) -> Optional[SplitResult]:
    """Return the parts of a URL, None where it has none that could be told apart."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError where it is no number
    except ValueError:
        return None
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url_problems(text: str) -> Iterator[str]:
    url = _split(text)
    if url is None or not url.hostname or not re.fullmatch(r"[!-~]+", text):
        yield f"webhook_url: is not a web address; it looks like {_SHAPE}"
        return
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.hostname)):
        yield "webhook_url: must begin with https:// (plain http:// is accepted to this machine itself only)"
    if "@" in url.netloc:
        yield "webhook_url: must not hold a user name or password"
    if url.path.startswith(_OLD_PATH):
        yield f"webhook_url: is of the old robot (v1), which can't be signed; add a custom bot, {_SHAPE}"
    elif url.hostname in HOSTS and (not _PATH.fullmatch(url.path) or url.query or url.fragment):
        yield f"webhook_url: is not that of a custom bot, which looks like {_SHAPE}"
