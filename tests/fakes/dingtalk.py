"""A stand-in for DingTalk's custom robot."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import time
from typing import TYPE_CHECKING, Any, Callable, Optional

from tests.fakes import service
from tests.fakes.service import Answer, Code, Request, encoded

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

PATH = "/robot/send"
LARGEST = 20000
LIMITS = ((20, 60.0),)
BLOCKED = 600.0
SIGN, STALE, KEYWORD, ADDRESS = "sign", "timestamp", "keyword", "ip"
LINK = "link:请参考本接口对应文档获得具体要求，或者在https://open.dingtalk.com/document/  搜索相关文档;"
MESSAGES = {
    -1: "系统繁忙",
    0: "ok",
    130101: "send too fast, exceed 20 times per minute",
    300001: "token is not exist",
    300005: "token is not exist",
    400013: "群已被解散",
    400101: "access_token不存在",
    400102: "机器人已停用",
    400105: "不支持的消息类型",
    400106: "机器人不存在",
    40035: "缺少参数 json",
    410100: "发送速度太快而限流",
    43002: "无效的HTTP请求方法",  # a guess, like 43004: what the vendor's other interfaces say
    43004: "无效的HTTP HEADER Content-Type",
    430101: "含有不安全的外链",
    430102: "含有不合适的文本",
    430103: "含有不合适的图片",
    430104: "含有不合适的内容",
    460101: "description: body 大小不合法;solution:请保持大小在 20000bytes 以内;",
}
# 310000 by its reasons: today's words, and those of before 2022. Seen in public reports: both of "sign", the old ones
# of "timestamp" and "keyword". The rest is a guess.
REASONS = {
    SIGN: (
        "description:机器人发送签名不匹配;solution:请确认签名和生成签名的时间戳必须都放在调用的网址中，"
        "请确认机器人的密钥加密和填写正确;" + LINK,
        "sign not match, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]",
    ),
    STALE: (
        "description:机器人发送签名过期;solution:签名生成时间和发送时间请保持在 timestampms 以内;" + LINK,
        "invalid timestamp, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]",
    ),
    KEYWORD: (
        "description:关键词不匹配;solution:请联系群管理员查看此机器人的关键词，并在发送的信息中包含此关键词;" + LINK,
        "keywords not in content, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]",
    ),
    ADDRESS: (
        "description:机器人发送IP不在白名单;solution:请联系群管理员查看此机器人的IP白名单;" + LINK,
        "ip 127.0.0.1 not in whitelist, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]",
    ),
}


class FakeDingTalk(service.Service):
    """The service: HTTP status 200 and `errcode` for all it decides.

    Documented: 20 messages a minute, then 10 minutes blocked; 20000 bytes; signed within an hour; keywords; IP list.
    Guesses: blocked is answered 130101 from first to last, and what is refused meanwhile doesn't make it longer; the
    order of the checks; 40035 for a shape that is not the documented one.
    `state`: a code that every message is answered (400102: stopped, ...). `forbidden`: words that mean 430102.
    `old`: 310000 is explained in the words of before 2022.
    `script`: negative numbers and those from 1000 on are the service's codes; so are "sign", "timestamp", "keyword" and
    "ip", the reasons of 310000.
    """

    def __init__(
        self,
        *,
        token: str = "9c1e7d0a-token",
        secret: Optional[str] = None,
        keywords: Sequence[str] = (),
        addresses: Sequence[str] = (),
        forbidden: Sequence[str] = (),
        state: int = 0,
        old: bool = False,
        limits: Sequence[tuple[int, float]] = LIMITS,
        blocked: float = BLOCKED,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the service has a clock of its own
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.token, self.secret, self.keywords, self.addresses = token, secret, keywords, addresses
        self.forbidden, self.state, self.old, self.blocked = forbidden, state, old, blocked
        self.blocked_until = float("-inf")
        self.path = f"{PATH}?access_token={token}"
        super().__init__(limits=limits, clock=clock, port=port, tls=tls, watch=watch)

    def accepted(self, message: dict[str, Any]) -> Answer:  # noqa: ARG002 - the same for each
        """Return success."""
        return _answer(0)

    def coded(self, code: Code) -> Optional[Answer]:
        """Return the answer with that code, or 310000 for that reason."""
        if isinstance(code, str):
            return self._refusal(310000, code).answer if code in REASONS else None
        return self._refusal(code, SIGN).answer if code < 0 or code >= 1000 else None

    def flat(self, message: dict[str, Any]) -> str:
        """Return the texts of an accepted message."""
        return "\n".join(_texts(message))

    def check(self, request: Request) -> dict[str, Any]:
        """Return the message if the service takes it, raise Refusal if not."""
        self._enter(request)
        self._throttle()
        self._secure(request.address, request.query)
        if len(request.body) > LARGEST:
            raise self._refusal(460101)
        try:
            message = request.json()
            texts = _texts(message)
        except KeyError:
            raise self._refusal(400105) from None
        except (TypeError, ValueError):
            raise self._refusal(40035) from None
        if self.keywords and not any(keyword in text for keyword in self.keywords for text in texts):
            raise self._refusal(310000, KEYWORD)
        if any(word in text for word in self.forbidden for text in texts):
            raise self._refusal(430102)
        return dict(message)

    def _enter(self, request: Request) -> None:
        token = request.query.get("access_token")
        if request.place != PATH:
            raise service.Refusal(404, Answer(404, service.HTML, "text/html"))
        if request.method != "POST":
            raise self._refusal(43002)
        if request.kind != "application/json":
            raise self._refusal(43004)
        if token != self.token:
            raise self._refusal(300005 if token else 300001)
        if self.state:
            raise self._refusal(self.state)

    def _throttle(self) -> None:
        if self.clock() < self.blocked_until:
            raise self._refusal(130101)
        if self.throttle(("", self.limits)):
            self.blocked_until = self.clock() + self.blocked
            raise self._refusal(130101)

    def _secure(self, address: str, query: Mapping[str, str]) -> None:
        if self.secret is not None:
            stamp = query.get("timestamp", "")
            key, signed = self.secret.encode(), f"{stamp}\n{self.secret}".encode()
            expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
            if not (stamp.isascii() and stamp.isdecimal()) or expected != query.get("sign", "").encode():
                raise self._refusal(310000, SIGN)
            if abs(self.clock() * 1000 - int(stamp)) > 3600_000:
                raise self._refusal(310000, STALE)
        if self.addresses:
            there = ipaddress.ip_address(address)
            if not any(there in ipaddress.ip_network(network) for network in self.addresses):
                raise self._refusal(310000, ADDRESS)

    def _refusal(self, code: int, reason: str = SIGN) -> service.Refusal:
        text = REASONS[reason][self.old] if code == 310000 else MESSAGES.get(code, "something else")
        return service.Refusal(code, _answer(code, text), text)


def _answer(code: int, text: str = "ok") -> Answer:
    return Answer(200, encoded({"errcode": code, "errmsg": text}))


def _texts(message: dict[str, Any]) -> list[str]:
    """Return the texts of a message; KeyError where its type is unknown, another where it is not well made."""
    if not isinstance(message, dict):
        raise TypeError
    kind = str(message["msgtype"])
    names, part = {"text": ("content",), "markdown": ("title", "text")}[kind], message.get(kind)
    texts = [part.get(name) for name in names] if isinstance(part, dict) else [None]
    at = message.get("at", {})
    if not all(isinstance(text, str) and text for text in texts) or not isinstance(at, dict):
        raise ValueError
    if not isinstance(at.get("isAtAll", False), bool):
        raise TypeError
    for name in ("atMobiles", "atUserIds"):
        if not isinstance(at.get(name, []), list) or not all(isinstance(who, str) for who in at.get(name, [])):
            raise TypeError
    return [str(text) for text in texts]
