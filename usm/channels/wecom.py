"""WeCom (企业微信), group robot. Facts: the vendor's "Group robot configuration", as noted in the docs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

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
    parameter,
    robot_problems,
    to_json,
)
from usm.core import model  # noqa: TC001 - the fields' types are read at run time
from usm.core.message import Deferred, Message, Post, Receipt, Rejected, Reply, Sent
from usm.core.tame import cut, flat, inert, utf8
from usm.core.text import lines, title

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look

HOST = "qyapi.weixin.qq.com"
_TEXT, _MARKDOWN = 2048, 4096  # bytes of the content in UTF-8
_BUSY = "WeCom allows 20 messages a minute for each robot"
_FORM = "WeCom refused the form of the message; it is sent again as plain text"

REPLIES = (  # the first row that holds decides
    REDIRECT,
    Row(Sent(), 0, status=OK),
    Row(Deferred("-1", "WeCom is busy"), -1),
    Row(Deferred("45009", _BUSY, wait=60.0), 45009),
    Row(fault("93000", "no such robot: it was removed, or webhook_url is wrong; copy the address again"), 93000),
    Row(fault("93004", "the robot was stopped: let it work again in the group's settings"), 93004),
    Row(fault("93008", "the robot is not in the group: add one again, and put its address into webhook_url"), 93008),
    Row(Rejected("40008", "WeCom did not understand the message; is webhook_url that of a group robot?"), 40008),
    Row(Deferred("40058", _FORM, plain=True), 40058),
    Row(Deferred("44004", _FORM, plain=True), 44004),
    *http_rows("WeCom", "webhook_url"),
)


@dataclass(frozen=True)
class WeCom:
    """A robot of a WeCom group. Plain text: its Markdown has no documented escape."""

    # The vendor allows 20 a minute for each robot.
    limits: ClassVar[tuple[tuple[int, float], ...]] = ((15, 60.0),)
    digests: ClassVar[bool] = True

    webhook_url: model.Secret = field(metadata={"help": "the robot's webhook address: whoever knows it can post"})
    format: str = field(default="text", metadata={"help": "how messages look", "choices": ("text", "markdown")})

    def endpoint(self) -> str:
        """Return what shares one limit: the robot."""
        return self.webhook_url.reveal()

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Post:  # noqa: ARG002 - nothing is signed
        """Return the message; nobody is ever mentioned in it."""
        text = plain or self.format == "text"
        return Post(self.webhook_url, to_json(_text(message, look) if text else _markdown(message, look)))

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:
        """Return what the reply means; WeCom tells its errors with HTTP status 200."""
        answer = coded(json_object(reply.body), ("errcode",), ("errmsg",))
        secrets = parameter(self.webhook_url, "key")
        return judge(REPLIES, reply, answer, secrets, plain=plain or self.format == "text")

    def problems(self) -> list[str]:
        """Return what is wrong with the settings; never the URL itself, which is a secret."""
        return list(robot_problems(self.webhook_url, HOST, "/cgi-bin/webhook/send", "key"))

    def notes(self) -> list[str]:
        """Name the host if it is not WeCom's own."""
        return host_notes("webhook_url", self.webhook_url, (HOST,), "WeCom")


def _text(message: Message, look: Look) -> dict[str, Any]:
    """Return a text; `<@user>` would mention somebody also here, so `inert` leaves no angle bracket."""
    rows = (title(message, look, tame=inert), *lines(message, look, tame=inert))
    return {"msgtype": "text", "text": {"content": cut("\n".join(rows), _TEXT, utf8)}}


def _markdown(message: Message, look: Look) -> dict[str, Any]:
    """Return Markdown of which only the title's `###` and the rows' `>` are ours: everything else is made inert."""
    rows = (f"### {flat(title(message, look))}", *(f"> {flat(row)}" for row in lines(message, look)))
    return {"msgtype": "markdown", "markdown": {"content": cut("\n".join(rows), _MARKDOWN, utf8)}}
