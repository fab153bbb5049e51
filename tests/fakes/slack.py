"""A stand-in for Slack's incoming webhooks."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, Callable, Optional
from urllib.parse import parse_qs

from tests.fakes import service
from tests.fakes.service import Answer, Code, Request, units

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

LIMITS = ((3, 3.0),)
LONGEST, LONGEST_HEADER, LONGEST_TEXT, LONGEST_FIELD, LONGEST_ID = 40000, 150, 3000, 2000, 255
MOST_BLOCKS, MOST_FIELDS, MOST_ELEMENTS, MOST_ATTACHMENTS = 50, 10, 10, 100
STATUS = {
    "invalid_payload": 400,
    "invalid_blocks": 400,
    "invalid_blocks_format": 400,
    "no_text": 400,
    "too_many_attachments": 400,
    "user_not_found": 400,
    "action_prohibited": 403,
    "invalid_token": 403,
    "posting_to_general_channel_denied": 403,
    "team_disabled": 403,
    "channel_not_found": 404,
    "no_active_hooks": 404,
    "no_service": 404,
    "no_team": 404,
    "channel_is_archived": 410,
    "rate_limited": 429,
    "rollup_error": 500,
}


class FakeSlack(service.Service):
    """The service: a plain word as body; `ok` with status 200 is success.

    Documented: the words with their statuses (no_active_hooks, team_disabled: the statuses are guesses), one message a
    second with short bursts, Retry-After with 429, 50 blocks, a header of 150 characters, a section of 3000, 10 fields
    of 2000, 10 elements of a context, 100 attachments, a text cut at 40000.
    Guesses: a burst of 3, "rate_limited" as the body of 429, and that a character is a UTF-16 unit (the stricter
    reading). Stricter than the service: only header, section, divider and context are known, unknown keys refused.
    `state`: a word that every message is answered.
    `script`: the words in `STATUS`; 429 is answered with Retry-After (`retry_after`), other statuses with an HTML page.
    """

    def __init__(
        self,
        *,
        team: str = "T0000AAAA",
        hook: str = "B0000BBBB",
        token: str = "x8lkq2mzXw4f",
        state: str = "",
        limits: Sequence[tuple[int, float]] = LIMITS,
        retry_after: int = 7,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the service has a clock of its own
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.team, self.hook, self.token, self.state, self.retry_after = team, hook, token, state, retry_after
        self.path = f"/services/{team}/{hook}/{token}"
        super().__init__(limits=limits, clock=clock, port=port, tls=tls, watch=watch)

    def accepted(self, message: dict[str, Any]) -> Answer:  # noqa: ARG002 - the same for each
        """Return success."""
        return Answer(200, b"ok", "text/html")

    def coded(self, code: Code) -> Optional[Answer]:
        """Return the answer with that word."""
        if code in ("rate_limited", 429):
            return _refusal("rate_limited", self.retry_after).answer
        return _refusal(code).answer if isinstance(code, str) and code in STATUS else None

    def flat(self, message: dict[str, Any]) -> str:
        """Return the texts of the blocks of an accepted message; its text where there are none."""
        blocks = message.get("blocks")
        return "\n".join(_texts(blocks)) if blocks else str(message.get("text", ""))

    def check(self, request: Request) -> dict[str, Any]:
        """Return the message if the service takes it, raise Refusal if not."""
        parts = request.place.split("/")
        if len(parts) != 5 or parts[1] != "services" or request.method != "POST":
            raise service.Refusal(404, Answer(404, service.HTML, "text/html"))
        for part, own, word in zip(
            parts[2:], (self.team, self.hook, self.token), ("no_team", "no_service", "invalid_token")
        ):
            if part != own:
                raise _refusal(word)
        if self.state:
            raise _refusal(self.state)
        message = _message(request)
        _check(message)
        wait = self.throttle(("", self.limits))
        if wait:
            raise _refusal("rate_limited", math.ceil(wait))
        if "text" in message:
            message["text"] = message["text"][:LONGEST]
        return message


def _check(message: dict[str, Any]) -> None:
    """Raise Refusal where the message breaks a rule."""
    blocks, attachments = message.get("blocks"), message.get("attachments")
    if isinstance(attachments, list) and len(attachments) > MOST_ATTACHMENTS:
        raise _refusal("too_many_attachments")
    if not isinstance(message.get("text", ""), str) or not isinstance(attachments, (list, type(None))):
        raise _refusal("invalid_payload")
    if not message.get("text") and not blocks and not attachments:
        raise _refusal("no_text")
    if blocks is not None:
        if not isinstance(blocks, list):
            raise _refusal("invalid_blocks_format")
        try:
            list(_texts(blocks))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _refusal("invalid_blocks") from None


def _refusal(word: str, seconds: int = 0) -> service.Refusal:
    headers = (("Retry-After", str(seconds)),) if seconds else ()
    return service.Refusal(word, Answer(STATUS[word], word.encode(), "text/html", headers))


def _message(request: Request) -> dict[str, Any]:
    """Return the payload: JSON, or a form's field of that name."""
    try:
        if request.kind == "application/x-www-form-urlencoded":
            message = json.loads(parse_qs(request.body.decode("utf-8"))["payload"][0])
        elif request.kind == "application/json":
            message = request.json()
        else:
            raise _refusal("invalid_payload")
    except (ValueError, KeyError):
        raise _refusal("invalid_payload") from None
    if not isinstance(message, dict):
        raise _refusal("invalid_payload")
    return message


def _texts(blocks: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the texts of blocks; any of several errors where they break a rule."""
    if len(blocks) > MOST_BLOCKS:
        raise ValueError
    for block in blocks:
        kind, rest = block["type"], {key: value for key, value in block.items() if key not in ("type", "block_id")}
        if not 1 <= len(block.get("block_id", "x")) <= LONGEST_ID:
            raise ValueError
        if kind == "header" and rest.keys() == {"text"}:
            yield _text(rest["text"], LONGEST_HEADER, ("plain_text",))
        elif kind == "section" and rest and rest.keys() <= {"text", "fields", "expand"}:
            yield from _section(rest)
        elif kind == "context" and rest.keys() == {"elements"}:
            if not 1 <= len(rest["elements"]) <= MOST_ELEMENTS:
                raise ValueError
            yield from (_text(element, LONGEST_TEXT) for element in rest["elements"])
        elif kind != "divider" or rest:
            raise ValueError


def _section(section: dict[str, Any]) -> Iterator[str]:
    if "text" in section:
        yield _text(section["text"], LONGEST_TEXT)
    elif "fields" not in section:
        raise ValueError
    if "fields" in section:
        if not isinstance(section["fields"], list) or not 1 <= len(section["fields"]) <= MOST_FIELDS:
            raise ValueError
        yield from (_text(field, LONGEST_FIELD) for field in section["fields"])


def _text(node: dict[str, Any], longest: int, kinds: Sequence[str] = ("plain_text", "mrkdwn")) -> str:
    kind, text = node["type"], node["text"]
    allowed = {"type", "text", "emoji" if kind == "plain_text" else "verbatim"}
    flags = (node.get("emoji", False), node.get("verbatim", False))
    if kind not in kinds or not node.keys() <= allowed or not all(isinstance(flag, bool) for flag in flags):
        raise ValueError
    if not isinstance(text, str) or not 1 <= units(text) <= longest:
        raise ValueError
    return text
