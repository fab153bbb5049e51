"""A stand-in for Feishu's custom bot on this machine: the same checks, limits, codes and answers.

By hand: `python tests/fakes/feishu.py [--port N] [--secret S] [--token T] [--keyword K]` prints what it is sent.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import ipaddress
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Optional

if not __package__:  # run as a program: the tests are not on the path
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.fakes import service
from tests.fakes.service import Answer, Attempt, Code, Request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

__all__ = ["COLOURS", "LARGEST", "LIMITS", "MESSAGES", "PATH", "Answer", "Attempt", "FakeFeishu", "Refusal", "flat"]
PATH = "/open-apis/bot/v2/hook/"
LARGEST = 20 * 1024
LIMITS = ((5, 1.0), (100, 60.0))
COLOURS = "blue wathet turquoise green yellow orange red carmine violet purple indigo grey default".split()  # noqa: SIM905
TEXTS = ("plain_text", "lark_md")
MESSAGES = {
    0: "success",
    9499: "Bad Request",
    11232: "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]",
    11246: "ErrCode: 200621; ErrMsg: parse card json err",
    19001: "param invalid: incoming webhook access token invalid",
    19002: "params error, msg_type need",
    19021: "sign match fail or timestamp is not within one hour from current time",
    19022: "Ip Not Allowed",
    19024: "Key Words Not Found",
}


class Refusal(service.Refusal):
    """The message is not taken."""

    def __init__(self, code: int, status: int = 200) -> None:
        super().__init__(code, Answer(status, _json(code)), MESSAGES[code])


class FakeFeishu(service.Service):
    """The service; a number from 1000 on in its `script` is one of its codes, with HTTP status 200."""

    def __init__(
        self,
        *,
        token: str = "6f1a2b3c-token",
        secret: Optional[str] = None,
        keywords: Sequence[str] = (),
        addresses: Sequence[str] = (),
        limits: Sequence[tuple[int, float]] = LIMITS,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the service has a clock of its own
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.token, self.secret, self.keywords, self.addresses = token, secret, keywords, addresses
        self.path = PATH + token
        super().__init__(limits=limits, clock=clock, port=port, tls=tls, watch=watch)

    def accepted(self, message: dict[str, Any]) -> Answer:  # noqa: ARG002 - the same for each
        """Return success, in today's words and in the old ones."""
        return Answer(200, _json(0))

    def coded(self, code: Code) -> Optional[Answer]:
        """Return the answer with that code."""
        return Answer(200, _json(code)) if isinstance(code, int) and code >= 1000 else None

    def flat(self, message: dict[str, Any]) -> str:
        """Return the texts of an accepted message, one a line."""
        return flat(message)

    def check(self, request: Request) -> dict[str, Any]:
        """Return the message if the service takes it, raise Refusal if not."""
        if request.path != self.path:
            raise Refusal(19001)
        if request.method != "POST" or request.kind != "application/json":
            raise Refusal(9499)
        if self.throttle(("", self.limits)):
            raise Refusal(11232)
        address = ipaddress.ip_address(request.address)
        if self.addresses and not any(address in ipaddress.ip_network(a) for a in self.addresses):
            raise Refusal(19022)
        if len(request.body) > LARGEST:
            raise Refusal(9499, 400)
        try:
            message = request.json()
        except ValueError:
            raise Refusal(9499) from None
        if not isinstance(message, dict):
            raise Refusal(9499)
        if self.secret is not None and not self._is_signed(message):
            raise Refusal(19021)
        texts = _texts(message)
        if self.keywords and not any(keyword in text for keyword in self.keywords for text in texts):
            raise Refusal(19024)
        return message

    def _is_signed(self, message: dict[str, Any]) -> bool:
        stamp, signature = message.get("timestamp"), message.get("sign")
        if not (isinstance(stamp, str) and isinstance(signature, str) and stamp.isdecimal()):
            return False
        key = f"{stamp}\n{self.secret}".encode()
        expected = base64.b64encode(hmac.new(key, digestmod=hashlib.sha256).digest()).decode()
        return hmac.compare_digest(expected.encode(), signature.encode()) and abs(self.clock() - int(stamp)) <= 3600


def flat(message: dict[str, Any]) -> str:
    """Return the texts of an accepted message, one a line."""
    return "\n".join(_texts(message))


def _texts(message: dict[str, Any]) -> list[str]:
    """Return all visible texts of a message; raise Refusal where its shape is not the documented one."""
    kind = message.get("msg_type")
    if kind == "text":
        content = message.get("content")
        text = content.get("text") if isinstance(content, dict) else None
        if not isinstance(text, str) or not text:
            raise Refusal(9499)
        return [text]
    if kind == "interactive":
        try:
            return list(_card(message["card"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Refusal(11246) from None
    raise Refusal(19002)


def _card(card: dict[str, Any]) -> Iterator[str]:
    """Yield the texts of a card of version 1.0 or 2.0; any of several errors where it is none."""
    header = card["header"]
    if header.get("template", "default") not in COLOURS:
        raise ValueError
    yield _node(header["title"])
    elements = card["body"]["elements"] if card.get("schema") == "2.0" else card["elements"]
    if not isinstance(elements, list) or not elements:
        raise ValueError
    for element in elements:
        yield from _element(element)


def _element(element: dict[str, Any]) -> Iterator[str]:
    if element["tag"] == "hr":
        return
    if element["tag"] == "markdown":
        yield str(element["content"])
        return
    if element["tag"] == "note":
        yield from (_node(node) for node in element["elements"])
        return
    if element["tag"] != "div" or not ("text" in element or element.get("fields")):
        raise ValueError
    if "text" in element:
        yield _node(element["text"])
    for field in element.get("fields", ()):
        if not isinstance(field["is_short"], bool):
            raise TypeError
        yield _node(field["text"])


def _node(node: dict[str, Any]) -> str:
    if node["tag"] not in TEXTS or not isinstance(node["content"], str):
        raise ValueError
    return str(node["content"])


def _json(code: int) -> bytes:
    message = MESSAGES.get(code, "something else")
    body: dict[str, Any] = {"code": code, "msg": message, "data": {}}
    if code == 0:
        body.update(StatusCode=0, StatusMessage="success")
    return json.dumps(body).encode()


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Serve until interrupted, and print each message."""
    parser = argparse.ArgumentParser(description="A stand-in for Feishu's custom bot, for trying the monitor.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--secret", help="demand messages signed with it")
    parser.add_argument("--token", default="try-me", help="the last part of the webhook address")
    parser.add_argument("--keyword", action="append", default=[], help="demand one of these in every message")
    options = parser.parse_args(arguments)

    def show(text: str) -> None:
        sys.stdout.write(f"--- {time.strftime('%H:%M:%S')}\n{text}\n")
        sys.stdout.flush()

    with FakeFeishu(
        port=options.port, secret=options.secret, token=options.token, keywords=options.keyword, watch=show
    ) as feishu:
        show(f"webhook_url: {feishu.url}\nEnd with Ctrl-C.")
        try:
            feishu.closing.wait()
        except KeyboardInterrupt:
            show("ended")


if __name__ == "__main__":
    main()
