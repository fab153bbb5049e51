"""DingTalk, custom robot. Facts: the vendor's "Custom robot access" and its error table, as noted in the docs."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Optional
from urllib.parse import quote_plus

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
    parameter,
    robot_problems,
    to_json,
)
from usm.core.message import Deferred, Message, Post, Receipt, Rejected, Reply, Sent
from usm.core.model import Secret
from usm.core.tame import cut, flat, inert, utf8
from usm.core.text import lines, plain_text, title

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look

HOST = "oapi.dingtalk.com"
_LARGEST = 8_000  # bytes of text; the vendor takes 20,000 of the whole body, where JSON may double a character
_BLOCKED = 600.0  # seconds for which a robot that sent too fast is blocked
_BUSY = "DingTalk allows 20 messages a minute, and blocks the robot for ten minutes after more"
_TOKEN = "no such robot: it was removed, or webhook_url is wrong; copy the address again"  # noqa: S105 - a text
_KEYWORD = "keyword missing: set `keyword` to one of those in the robot's settings"
_ADDRESS = "address refused: add this server's public address to the robot's list"
_STALE = "signature refused: this server's clock is more than an hour off"
_SIGNATURE = "signature refused: check `secret`, and this server's clock"
_SETTING = "one of the robot's security settings refuses the message: keyword, address list or signature"
_FORM = "DingTalk refused the form of the message; it is sent again as plain text"
_WORDS = "DingTalk objects to a word or link in the message; it is sent again as plain text"
_UNFIT = "DingTalk objects to a word or link in the message, such as a user's name or command; `usm outbox` shows it"
_CONTENT = (430101, 430102, 430103, 430104)

REPLIES = (  # the first row that holds decides
    REDIRECT,
    Row(Sent(), 0, status=OK),
    Row(Deferred("-1", "DingTalk is busy"), -1),
    Row(Deferred("130101", _BUSY, wait=_BLOCKED), 130101),
    Row(Deferred("410100", _BUSY, wait=_BLOCKED), 410100),
    *(Row(fault("310000", _KEYWORD), 310000, says=word) for word in ("keyword", "关键词")),
    *(Row(fault("310000", _ADDRESS), 310000, says=word) for word in ("whitelist", "白名单")),
    *(Row(fault("310000", _STALE), 310000, says=word) for word in ("timestamp", "过期")),
    *(Row(fault("310000", _SIGNATURE), 310000, says=word) for word in ("sign", "签名")),
    Row(fault("310000", _SETTING), 310000),
    Row(fault("300001", _TOKEN), 300001),
    Row(fault("300005", _TOKEN), 300005),
    Row(fault("400101", _TOKEN), 400101),
    Row(fault("400102", "the robot was stopped: start it again in the group's settings"), 400102),
    Row(fault("400013", "the group is gone: add a robot to another one, and put its address into webhook_url"), 400013),
    Row(fault("400106", "the robot was removed: add one again, and put its address into webhook_url"), 400106),
    Row(Rejected("40035", "DingTalk did not understand the message; is webhook_url that of a custom robot?"), 40035),
    *(Row(Deferred(str(code), _WORDS, plain=True), code) for code in _CONTENT),
    *(Row(Deferred(str(code), _FORM, plain=True), code) for code in (400105, 460101)),
    *http_rows("DingTalk", "webhook_url"),
)
PLAIN_REPLIES = (*(Row(Rejected(str(code), _UNFIT), code) for code in _CONTENT), *REPLIES)  # of a plain text


@dataclass(frozen=True)
class DingTalk:
    """A custom robot of a DingTalk group. Plain text: its Markdown has no documented escape."""

    # The vendor allows 20 a minute, and then blocks the robot for ten.
    limits: ClassVar[tuple[tuple[int, float], ...]] = ((15, 60.0),)
    digests: ClassVar[bool] = True

    webhook_url: Secret = field(metadata={"help": "the robot's webhook address: whoever knows it can post"})
    secret: Optional[Secret] = field(default=None, metadata={"help": "the robot's signature key (SEC…), if it has one"})
    format: str = field(default="text", metadata={"help": "how messages look", "choices": ("text", "markdown")})
    keyword: Optional[str] = field(default=None, metadata={"help": "one of the robot's keywords, if it has any"})

    def endpoint(self) -> str:
        """Return what shares one limit: the robot."""
        return self.webhook_url.reveal()

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Post:
        """Return the message, signed for `now`: DingTalk refuses a signature that is more than 1 h old."""
        body = self._text(message, look) if self._is_text(plain=plain) else self._markdown(message, look)
        url = self.webhook_url.reveal()
        if self.secret is not None:
            stamp = str(int(now.timestamp() * 1000))
            url = url.partition("#")[0]
            url += f"{'&' if '?' in url else '?'}timestamp={stamp}&sign={sign(stamp, self.secret)}"
        return Post(Secret(url), to_json({**body, "at": {"isAtAll": False}}))

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:
        """Return what the reply means; DingTalk tells its errors with HTTP status 200."""
        answer = coded(json_object(reply.body), ("errcode",), ("errmsg",))
        is_text = self._is_text(plain=plain)
        secrets = parameter(self.webhook_url, "access_token")
        return judge(PLAIN_REPLIES if is_text else REPLIES, reply, answer, secrets, plain=is_text)

    def problems(self) -> list[str]:
        """Return what is wrong with the settings; never the URL itself, which is a secret."""
        found = [*robot_problems(self.webhook_url, HOST, "/robot/send", "access_token")]
        own = not self.notes()  # a relay's parameters are its own affair
        if own and any(parameter(self.webhook_url, name) for name in ("timestamp", "sign")):
            found.append("webhook_url: must not hold timestamp and sign, which are made for each message: set `secret`")
        return [*found, *key_problems("secret", self.secret), *keyword_problems(self.keyword)]

    def notes(self) -> list[str]:
        """Name the host if it is not DingTalk's own."""
        return host_notes("webhook_url", self.webhook_url, (HOST,), "DingTalk")

    def _is_text(self, *, plain: bool) -> bool:
        return plain or self.format == "text"

    def _text(self, message: Message, look: Look) -> dict[str, Any]:
        return {"msgtype": "text", "text": {"content": self._fitting(plain_text(message, look, tame=inert))}}

    def _markdown(self, message: Message, look: Look) -> dict[str, Any]:
        """Return Markdown of which only the title's `###` and the rows' `-` are ours: everything else is made inert.

        A keyword is put in as it is: DingTalk would not find it made inert.
        """
        headline = title(message, look)
        short = inert(headline)
        shown = self._fitting("\n".join((flat(headline), *(f"- {flat(row)}" for row in lines(message, look)))))
        return {
            "msgtype": "markdown",
            "markdown": {"title": keyed(short, self.keyword, short), "text": f"### {shown}"},
        }

    def _fitting(self, text: str) -> str:
        """Return a text cut to size, with the keyword in what is left of it."""
        text = cut(text, _LARGEST, utf8)
        return cut(keyed(text, self.keyword, text), _LARGEST, utf8)


def sign(timestamp: str, secret: Secret) -> str:
    """Return the signature of a message sent at `timestamp` (Unix milliseconds), as it stands in the address."""
    text = f"{timestamp}\n{secret.reveal()}".encode()
    return quote_plus(base64.b64encode(hmac.new(secret.reveal().encode(), text, hashlib.sha256).digest()))
