"""A stand-in for WeCom's group robot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Optional

from tests.fakes import service
from tests.fakes.service import Answer, Code, Request, encoded

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

PATH = "/cgi-bin/webhook/send"
LIMITS = ((20, 60.0),)
LARGEST = {"text": 2048, "markdown": 4096, "markdown_v2": 4096}  # bytes of content in UTF-8
MESSAGES = {
    -1: "system busy",
    0: "ok",
    40008: "invalid message type",
    40058: "{kind}.content exceed max length {largest}. invalid Request Parameter",
    44004: "empty content",
    45009: "api freq out of limit",
    47001: "data format error",
    93000: "invalid webhook url",
}


class FakeWeCom(service.Service):
    """The service: HTTP status 200 and `errcode` for all it decides, a hint and the sender's address in `errmsg`.

    Documented: 20 messages a minute (45009), 2048 bytes of text, 4096 of markdown. 40058 for too long a markdown is
    seen in many public reports; that a text is refused so at 2048 (and not cut) is a guess, as are 44004, 47001 for
    what is no JSON, 40058 for a list that is none, and that only accepted messages count for the limit.
    `state`: a code that every message is answered.
    `script`: negative numbers and those from 1000 on are the service's codes.
    """

    def __init__(
        self,
        *,
        key: str = "693a91f6-7acc-4bc4-97a0-0ec2sifa5aaa",
        state: int = 0,
        limits: Sequence[tuple[int, float]] = LIMITS,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the service has a clock of its own
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.key, self.state = key, state
        self.path = f"{PATH}?key={key}"
        super().__init__(limits=limits, clock=clock, port=port, tls=tls, watch=watch)

    def accepted(self, message: dict[str, Any]) -> Answer:  # noqa: ARG002 - the same for each
        """Return success."""
        return Answer(200, encoded({"errcode": 0, "errmsg": "ok"}))

    def coded(self, code: Code) -> Optional[Answer]:
        """Return the answer with that code."""
        return _refusal(code).answer if isinstance(code, int) and (code < 0 or code >= 1000) else None

    def flat(self, message: dict[str, Any]) -> str:
        """Return the text of an accepted message."""
        return str(message[message["msgtype"]]["content"])

    def check(self, request: Request) -> dict[str, Any]:
        """Return the message if the service takes it, raise Refusal if not."""
        if request.place != PATH or request.method != "POST":
            raise service.Refusal(404, Answer(404, service.HTML, "text/html"))
        if request.query.get("key") != self.key:
            raise _refusal(93000)
        if self.state:
            raise _refusal(self.state)
        message = _message(request)
        if self.throttle(("", self.limits)):
            raise _refusal(45009)
        return message


def _message(request: Request) -> dict[str, Any]:
    """Return the message if its shape is the documented one."""
    try:
        message = request.json()
    except ValueError:
        raise _refusal(47001) from None
    if not isinstance(message, dict) or request.kind != "application/json":
        raise _refusal(47001)
    kind = message.get("msgtype")
    if not isinstance(kind, str) or kind not in LARGEST:
        raise _refusal(40008)
    part = message.get(kind)
    content = part.get("content") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(content, str) or not content:
        raise _refusal(44004)
    if len(content.encode("utf-8", "surrogatepass")) > LARGEST[kind]:
        raise _refusal(40058, kind)
    for name in ("mentioned_list", "mentioned_mobile_list"):
        if not isinstance(part.get(name, []), list) or not all(isinstance(who, str) for who in part.get(name, [])):
            raise _refusal(40058, kind)
    return message


def _refusal(code: int, kind: str = "markdown") -> service.Refusal:
    text = MESSAGES.get(code, "something else").format(kind=kind, largest=LARGEST[kind])
    if code > 0:
        more = f"more info at https://open.work.weixin.qq.com/devtool/query?e={code}"
        text += f", hint: [1755605200056773468916791], from ip: 203.0.113.7, {more}"
    return service.Refusal(code, Answer(200, encoded({"errcode": code, "errmsg": text})), text)
