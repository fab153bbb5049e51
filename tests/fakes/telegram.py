"""A stand-in for Telegram's Bot API: sendMessage."""

from __future__ import annotations

import html
import json
import math
import re
import time
from typing import TYPE_CHECKING, Any, Callable, Optional, Union
from urllib.parse import parse_qsl

from tests.fakes import service
from tests.fakes.service import Answer, Code, Request, encoded, units

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Mapping, Sequence

LONGEST = 4096
BOT_LIMITS = ((30, 1.0),)
LIMITS = ((3, 3.0),)
GROUP_LIMITS = ((20, 60.0),)
TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")
TYPES = """
    mention hashtag cashtag bot_command url email phone_number bold italic underline strikethrough spoiler blockquote
    expandable_blockquote code pre text_link text_mention custom_emoji
""".split()  # noqa: SIM905
MORE = {"text_link": "url", "text_mention": "user", "custom_emoji": "custom_emoji_id"}
RESERVED = {"MarkdownV2": "_*[]()~`>#+-=|{}.!", "Markdown": "_*`["}
TAGS = "b strong i em u ins s strike del span tg-spoiler a tg-emoji code pre blockquote".split()  # noqa: SIM905
TAG = re.compile(r"<(/?)([a-zA-Z0-9-]*)((?:\s[^<>]*)?)>")
ENTITIES = re.compile(r"&(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);")
# What can be scripted by its words (with or without "Bad Request: "), or every message be answered as a state.
WORDS = {
    400: ("chat not found", "message is too long", "message text is empty", "not enough rights to send text messages"),
    403: (
        "bot was kicked from the group chat",
        "bot was blocked by the user",
        "bot is not a member of the channel chat",
    ),
}
PREFIX = {400: "Bad Request: ", 401: "Unauthorized", 403: "Forbidden: ", 404: "Not Found"}


class FakeTelegram(service.Service):
    """The service: `ok` in a JSON body, the HTTP status of `error_code`.

    Documented: 1-4096 characters after entities parsing, the offsets of entities in UTF-16 units, the meaning of
    `retry_after` and `migrate_to_chat_id`, about 30 messages a second in all, one a second in a chat with short bursts,
    20 a minute in a group. Guesses: that "characters" are UTF-16 units (the stricter reading), a burst of 3, and that
    what is refused doesn't count. Stricter than the service: in Markdown every reserved character must be escaped.
    `chats` are the known ones, negative for groups (a string for `@channel`); `kicked`: those the bot was removed from;
    `migrated`: old id to new. 429 is `retry_after` in the body; there is no such header.
    `script`: 400, 401, 403, 404, 429 and 500 are answered as the service does (429 with the `retry_after` given
    here), as are the descriptions in `WORDS`; other statuses with an HTML page.
    """

    def __init__(
        self,
        *,
        token: str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
        chats: Collection[Union[int, str]] = (-1001234567890, 42),
        kicked: Collection[Union[int, str]] = (),
        migrated: Optional[Mapping[int, int]] = None,
        limits: Sequence[tuple[int, float]] = LIMITS,
        group_limits: Sequence[tuple[int, float]] = GROUP_LIMITS,
        bot_limits: Sequence[tuple[int, float]] = BOT_LIMITS,
        retry_after: int = 7,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the service has a clock of its own
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.token, self.chats, self.kicked, self.migrated = token, chats, kicked, migrated or {}
        self.group_limits, self.bot_limits, self.retry_after = group_limits, bot_limits, retry_after
        self.path = f"/bot{token}/sendMessage"
        super().__init__(limits=limits, clock=clock, port=port, tls=tls, watch=watch)

    def accepted(self, message: dict[str, Any]) -> Answer:
        """Return success: the message as it is in the chat."""
        chat = message["chat_id"]
        result: dict[str, Any] = {
            "message_id": len(self.messages),
            "from": {"id": int(self.token.partition(":")[0]), "is_bot": True, "first_name": "usm"},
            "chat": {"id": chat, "type": "private" if isinstance(chat, int) and chat > 0 else "supergroup"},
            "date": int(self.clock()),
            "text": message["text"],
        }
        return Answer(200, encoded({"ok": True, "result": result}))

    def coded(self, code: Code) -> Optional[Answer]:
        """Return the answer with that status, or that description."""
        if isinstance(code, int):
            if code == 429:
                return _throttled(self.retry_after).answer
            if code == 500:
                return _refusal(500, "Internal Server Error").answer
            return _refusal(code, WORDS[code][0] if code in WORDS else "").answer if code in PREFIX else None
        for status, texts in WORDS.items():
            if code.replace(PREFIX[status], "") in texts:
                return _refusal(status, code.replace(PREFIX[status], "")).answer
        return None

    def flat(self, message: dict[str, Any]) -> str:
        """Return the text of an accepted message, without its markup."""
        return str(message["shown"])

    def check(self, request: Request) -> dict[str, Any]:
        """Return the message, with the chat's id, and the text as it is `shown`; raise Refusal if it isn't taken."""
        bot, _, method = request.place.partition("/bot")[2].partition("/")
        if not request.place.startswith("/bot") or not TOKEN.fullmatch(bot):
            raise _refusal(404)
        if bot != self.token:
            raise _refusal(401)
        if method.lower() != "sendmessage":
            raise _refusal(404)
        message = _parameters(request)
        chat = self._chat(message.get("chat_id"))
        shown = _shown(message)
        if units(shown) > LONGEST:
            raise _refusal(400, "message is too long")
        rules = [("", self.bot_limits), (f"chat {chat}", self.limits)]
        if not (isinstance(chat, int) and chat > 0):
            rules.append((f"group {chat}", self.group_limits))
        wait = self.throttle(*rules)
        if wait:
            raise _throttled(math.ceil(wait))
        return {**message, "chat_id": chat, "shown": shown}

    def _chat(self, chat: object) -> Union[int, str]:
        if isinstance(chat, str) and re.fullmatch(r"-?\d+", chat):
            chat = int(chat)
        if chat is None or chat == "":
            raise _refusal(400, "chat_id is empty")
        if isinstance(chat, bool) or not isinstance(chat, (int, str)):
            raise _refusal(400, "chat not found")
        if isinstance(chat, int) and chat in self.migrated:
            to = {"migrate_to_chat_id": self.migrated[chat]}
            raise _refusal(400, "group chat was upgraded to a supergroup chat", to)
        if chat in self.kicked:
            group = "bot was kicked from the group chat"
            raise _refusal(403, "bot was blocked by the user" if isinstance(chat, int) and chat > 0 else group)
        if chat not in self.chats:
            raise _refusal(400, "chat not found")
        return chat


def _refusal(status: int, text: str = "", parameters: Optional[dict[str, int]] = None) -> service.Refusal:
    text = PREFIX.get(status, "") + text
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": text}
    if parameters:
        body["parameters"] = parameters
    return service.Refusal(status, Answer(status, encoded(body), "application/json"), text)


def _throttled(seconds: int) -> service.Refusal:
    return _refusal(429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})


def _parameters(request: Request) -> dict[str, Any]:
    """Return the parameters: JSON, or a form whose compound values are JSON."""
    if request.method == "POST" and request.kind == "application/json":
        try:
            message = request.json()
        except ValueError:
            raise _refusal(400, "can't parse JSON object") from None
        if not isinstance(message, dict):
            raise _refusal(400, "object expected as a message")
        return message
    form: dict[str, Any] = dict(request.query)
    if request.kind == "application/x-www-form-urlencoded":
        form.update(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    for name in ("entities", "link_preview_options"):
        if name in form:
            try:
                form[name] = json.loads(form[name])
            except ValueError:
                raise _refusal(400, "can't parse entities: can't parse JSON object") from None
    return form


def _shown(message: dict[str, Any]) -> str:
    """Return the text without its markup."""
    text, mode = message.get("text"), message.get("parse_mode")
    if not isinstance(text, str) or not text.strip():
        raise _refusal(400, "message text is empty")
    if not isinstance(message.get("link_preview_options", {}), dict):
        raise _refusal(400, "can't parse link preview options: expected an Object")
    if mode is None or mode == "":
        _entities(text, message.get("entities", []))
        return text
    if mode == "HTML":
        return _html(text)
    if mode in RESERVED:
        return _markdown(text, RESERVED[mode])
    raise _refusal(400, "unsupported parse_mode")


def _entities(text: str, entities: object) -> None:
    if not isinstance(entities, list):
        raise _refusal(400, "can't parse entities: expected an Array of MessageEntity")
    coded = text.encode("utf-16-le", "surrogatepass")
    for entity in entities[:100]:  # more are ignored
        if not isinstance(entity, dict) or entity.get("type") not in TYPES:
            raise _refusal(400, "can't parse MessageEntity: Unsupported type specified")
        offset, length = _number(entity.get("offset")), _number(entity.get("length"))
        if not entity.get(MORE.get(entity["type"], "type")):
            raise _refusal(400, "can't parse MessageEntity: a field is missing")
        if offset < 0 or length <= 0:
            raise _refusal(400, f"receive an entity with incorrect {'length' if offset >= 0 else 'offset'}")
        where = f"entity beginning at UTF-16 offset {offset} ends"
        if 2 * (offset + length) > len(coded):
            raise _refusal(400, f"{where} after the end of the text at UTF-16 offset {len(coded) // 2}")
        for end in (offset, offset + length):
            if 0xDC <= int.from_bytes(coded[2 * end + 1 : 2 * end + 2], "little") <= 0xDF:
                raise _refusal(400, f"{where} in a middle of a UTF-16 symbol")


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _refusal(400, "can't parse MessageEntity: a number is missing")
    return value


def _html(text: str) -> str:
    opened: list[str] = []
    shown, at = "", 0
    for tag in TAG.finditer(text):
        shown, at, name = shown + _outside(text[at : tag.start()]), tag.end(), tag[2].lower()
        if name not in TAGS:
            raise _refusal(400, f'can\'t parse entities: Unsupported start tag "{tag[2]}" at byte offset {tag.start()}')
        if not tag[1]:
            opened.append(name)
        elif not opened or opened.pop() != name:
            raise _refusal(400, f'can\'t parse entities: Unmatched end tag at byte offset {tag.start()}, "</{name}>"')
    if opened:
        raise _refusal(400, f"can't parse entities: Can't find end tag corresponding to start tag \"{opened[-1]}\"")
    return shown + _outside(text[at:])


def _outside(text: str) -> str:
    """Return text between tags; what looks like the beginning of one is refused, an unknown reference stays."""
    if "<" in text:
        raise _refusal(400, "can't parse entities: Unclosed start tag")
    return ENTITIES.sub(lambda found: html.unescape(found[0]), text)


def _markdown(text: str, reserved: str) -> str:
    shown = re.sub(r"\\([\x21-\x7e])", "", text)
    for letter in reserved:
        if letter in shown:
            raise _refusal(400, f"can't parse entities: Character '{letter}' is reserved and must be escaped")
    return re.sub(r"\\([\x21-\x7e])", r"\1", text)
