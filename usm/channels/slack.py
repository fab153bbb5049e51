"""Slack, incoming webhook. Facts: the vendor's "Sending messages using incoming webhooks", as noted in the docs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from usm.channels.answers import (
    OK,
    REDIRECT,
    Answer,
    Row,
    fault,
    host_notes,
    http_rows,
    judge,
    split,
    to_json,
    url_problems,
)
from usm.core import model  # noqa: TC001 - the fields' types are read at run time
from usm.core.message import Deferred, Message, Post, Receipt, Rejected, Reply, Sent
from usm.core.tame import cut, inert
from usm.core.text import lines, title

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from usm.core.look import Look

HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
_PATH = re.compile(r"/(?:services|workflows|triggers)/[A-Za-z0-9/_-]+")
_SHAPE = "https://hooks.slack.com/services/T…/B…/…"
_HEADER, _FIELD, _FIELDS, _BLOCKS = 150, 2000, 10, 50  # characters, fields of a section, blocks of a message
_TEXT = 3000  # characters; Slack advises 4,000 and takes 40,000
_FORM = "Slack refused the form of the message; it is sent again as text"
_REMOVED = "no such webhook: it was removed, or webhook_url is wrong; copy the address again"

REPLIES = (  # the first row that holds decides; Slack answers with a word of plain text
    REDIRECT,
    Row(Sent(), "ok", status=OK),
    Row(Deferred("429", "Slack allows one message a second", wait=1.0), status=range(429, 430)),
    Row(
        Deferred("invalid_blocks", _FORM, plain=True),
        "invalid_blocks",
    ),
    Row(
        Deferred("invalid_payload", _FORM, plain=True),
        "invalid_payload",
    ),
    Row(Deferred("invalid_blocks_format", _FORM, plain=True), "invalid_blocks_format"),
    Row(Rejected("no_text", "Slack found no text in the message; please report it"), "no_text"),
    Row(
        fault("action_prohibited", "an administrator forbids it: ask to have it allowed"),
        "action_prohibited",
    ),
    Row(
        fault("posting_to_general_channel_denied", "the webhook may not write to #general: choose another channel"),
        "posting_to_general_channel_denied",
    ),
    Row(fault("channel_not_found", "the channel is gone: make a webhook for another one"), "channel_not_found"),
    Row(fault("channel_is_archived", "the channel is archived: bring it back, or use another"), "channel_is_archived"),
    Row(fault("user_not_found", "the webhook's user is gone: make the webhook anew"), "user_not_found"),
    Row(fault("no_service", _REMOVED), "no_service"),
    Row(fault("no_service_id", _REMOVED), "no_service_id"),
    Row(fault("no_active_hooks", _REMOVED), "no_active_hooks"),
    Row(fault("no_team", _REMOVED), "no_team"),
    Row(fault("team_disabled", "the workspace is disabled"), "team_disabled"),
    Row(fault("invalid_token", _REMOVED), "invalid_token"),
    Row(Deferred("rollup_error", "Slack has an internal error"), "rollup_error"),
    *http_rows("Slack", "webhook_url"),
)
_CODES = frozenset(row.code for row in REPLIES if isinstance(row.code, str))


@dataclass(frozen=True)
class Slack:
    """An incoming webhook of a Slack channel: blocks of `plain_text`, in which nothing is markup."""

    # One a second, with short bursts.
    limits: ClassVar[tuple[tuple[int, float], ...]] = ((1, 1.0),)
    digests: ClassVar[bool] = True

    webhook_url: model.Secret = field(metadata={"help": "the webhook's address: whoever knows it can post"})
    format: str = field(default="blocks", metadata={"help": "how messages look", "choices": ("blocks", "text")})

    def endpoint(self) -> str:
        """Return what shares one limit: the webhook."""
        return self.webhook_url.reveal()

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Post:  # noqa: ARG002 - nothing is signed
        """Return the message; `text` is what notifications show, and the whole where there are no blocks."""
        headline = title(message, look, tame=inert)
        rows = lines(message, look, tame=inert)
        body: dict[str, Any] = {
            "text": _escaped(cut("\n".join((headline, *rows)), _TEXT)),
            "mrkdwn": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if not plain and self.format == "blocks":
            body["blocks"] = _blocks(headline, rows)
        return Post(self.webhook_url, to_json(body))

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:
        """Return what the reply means."""
        said = reply.body.decode("utf-8", "replace").strip()
        plain = plain or self.format == "text"
        return judge(REPLIES, reply, Answer(said if said in _CODES else None, said), (), plain=plain)

    def problems(self) -> list[str]:
        """Return what is wrong with the settings; never the URL itself, which is a secret."""
        return list(_url_problems(self.webhook_url))

    def notes(self) -> list[str]:
        """Name the host if it is not Slack's own."""
        return host_notes("webhook_url", self.webhook_url, HOSTS, "Slack")


def _blocks(headline: str, rows: list[str]) -> list[dict[str, Any]]:
    """Return a header, and sections of at most ten rows."""
    sections = [rows[at : at + _FIELDS] for at in range(0, len(rows), _FIELDS)][: _BLOCKS - 1]
    return [
        {"type": "header", "text": _node(headline, _HEADER)},
        *({"type": "section", "fields": [_node(row, _FIELD) for row in section]} for section in sections),
    ]


def _node(text: str, limit: int) -> dict[str, Any]:
    """Return a node in which nothing is markup, nor the name of a smiley; it may not be empty."""
    return {"type": "plain_text", "text": cut(text, limit) or " ", "emoji": False}


def _escaped(text: str) -> str:
    """Return a top-level text: what Slack reads there begins with one of these, also without `mrkdwn`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _url_problems(url: model.Secret) -> Iterator[str]:
    yield from url_problems("webhook_url", url, _SHAPE)
    parts = split(url.reveal())
    if parts is not None and parts.hostname in HOSTS and not _PATH.fullmatch(parts.path):
        yield f"webhook_url: is not that of an incoming webhook, which looks like {_SHAPE}"
