"""Telegram, `sendMessage` of the Bot API. Facts: the vendor's "Bot API" and "Bots FAQ", as noted in the docs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from usm.channels.answers import (
    OK,
    REDIRECT,
    Answer,
    Row,
    fault,
    host_notes,
    http_rows,
    json_object,
    judge,
    to_json,
    url_problems,
)
from usm.core.message import Deferred, Message, Post, Receipt, Reply, Sent
from usm.core.model import Secret
from usm.core.tame import cut, inert, utf16
from usm.core.text import lines, title

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look

API = "https://api.telegram.org"
LARGEST = 4096  # UTF-16 code units of a message
_TOKEN = re.compile(r"\d{3,20}:[\w-]{10,80}", re.ASCII)
_CHAT = re.compile(r"-?\d{1,20}|@\w{4,40}", re.ASCII)
# What Telegram makes a link of by itself, in plain text too: hashtags, cashtags and commands of bots. The sign alone
# is harmless; within a path a slash is no command's.
_SIGN = re.compile(r"[#\uff03$](?=\w)|(?<![\w/<>])/(?=\w)")

REPLIES = (  # the first row that holds decides
    REDIRECT,
    Row(Sent(), 0, status=OK),
    Row(Deferred("429", "Telegram allows one message a second to a chat, 20 a minute to a group", wait=30.0), 429),
    Row(fault("400", "no such chat: check chat_id, and that the bot is a member"), 400, says="chat not found"),
    Row(
        fault("400", "the group became a supergroup: its chat_id is another one now"),
        400,
        says="upgraded",
    ),
    Row(fault("400", "the bot may not write there: give it the right in the group's settings"), 400, says="not enough"),
    Row(fault("400", "no such topic: check `topic`"), 400, says="thread not found"),
    Row(Deferred("400", "Telegram refused the form of the message; it is sent again as plain text", plain=True), 400),
    Row(fault("401", "no such bot: check bot_token"), 401),
    Row(fault("403", "the bot was removed from the chat, or blocked: add it again"), 403),
    Row(fault("404", "no such bot: check bot_token"), 404),
    *http_rows("Telegram", "api"),
)


@dataclass(frozen=True)
class Telegram:
    """A bot in a Telegram chat. Plain text, whose title is bold by its place in the text: nothing is parsed."""

    # One a second to a chat, 20 a minute to a group.
    limits: ClassVar[tuple[tuple[int, float], ...]] = ((1, 1.0), (18, 60.0))
    digests: ClassVar[bool] = True

    bot_token: Secret = field(metadata={"help": "the bot's token, as @BotFather gave it"})
    chat_id: str = field(
        metadata={"help": "the chat's number (a group's is negative), or @channelname", "number": True}
    )
    api: str = field(default=API, metadata={"help": "another server with Telegram's API, such as a relay"})
    topic: Optional[int] = field(default=None, metadata={"help": "the topic's number, in a group that has topics"})

    def endpoint(self) -> str:
        """Return what shares one limit: the bot in its chat."""
        return f"{self.api} {self.bot_token.reveal()} {self.chat_id}"

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Post:  # noqa: ARG002 - nothing is signed
        """Return the message, cut to Telegram's size."""
        headline = title(message, look, tame=lame)
        text = cut("\n".join((headline, *lines(message, look, tame=lame))), LARGEST, utf16)
        body: dict[str, Any] = {
            "chat_id": self.chat_id,
            "text": text,
            "link_preview_options": {"is_disabled": True},
        }
        if self.topic is not None:
            body["message_thread_id"] = self.topic
        if not plain:
            body["entities"] = [{"type": "bold", "offset": 0, "length": utf16(headline)}]
        return Post(self._url(), to_json(body))

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:
        """Return what the reply means; Telegram tells its errors in the body, with a wait where it was too much."""
        body = json_object(reply.body)
        code, said, details = body.get("error_code"), body.get("description"), body.get("parameters")
        details = details if isinstance(details, dict) else {}
        wait = details.get("retry_after")
        answer = Answer(
            0 if body.get("ok") is True else code if type(code) is int else None,
            said if isinstance(said, str) else "",
            float(wait) if type(wait) is int and wait > 0 else None,
        )
        receipt = judge(REPLIES, reply, answer, (self.bot_token.reveal(),), plain=plain)
        moved = details.get("migrate_to_chat_id")
        if isinstance(receipt, Deferred) and type(moved) is int:
            return fault("400", f'the group became a supergroup: put chat_id: "{moved}" into the configuration')
        return receipt

    def problems(self) -> list[str]:
        """Return what is wrong with the settings; never the token."""
        found = []
        if not _TOKEN.fullmatch(self.bot_token.reveal()):
            found.append("bot_token: must look like 123456:ABC-DEF…, as @BotFather gave it")
        if not _CHAT.fullmatch(self.chat_id):
            found.append("chat_id: must be the chat's number, such as -1001234567890, or @channelname")
        return [*found, *url_problems("api", Secret(self.api), API)]

    def notes(self) -> list[str]:
        """Name the host if it is not Telegram's own."""
        return host_notes("api", Secret(self.api), ("api.telegram.org",), "Telegram")

    def _url(self) -> Secret:
        return Secret(f"{self.api.rstrip('/')}/bot{self.bot_token.reveal()}/sendMessage")


def lame(value: str) -> str:
    """Return cleaned text in which Telegram finds no mention, link, hashtag, cashtag or command."""
    return _SIGN.sub("\\g<0>\u200b", inert(value))
