"""A program that takes JSON over HTTP, signed as Standard Webhooks say (their specification 1.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Union

from usm.channels.answers import REDIRECT, Answer, Row, fault, judge, to_json, url_problems
from usm.channels.formats import FORMATS
from usm.core import model
from usm.core.alert import message_json
from usm.core.message import Deferred, Message, Post, Receipt, Reply, Sent
from usm.core.tame import cut

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look

_PREFIX = "whsec_"
_LARGEST, _LONGEST = 20_000, 200  # bytes of a body, as the specification advises; characters of a value, if need be
_KEY = range(24, 65)  # bytes of a key, says the specification
_TYPES = {"cloudevents": "application/cloudevents+json; charset=utf-8"}
_BUSY = "the receiver takes no more at the moment"

REPLIES = (  # the first row that holds decides; the body is the receiver's own affair
    Row(Sent(), status=range(200, 300)),
    REDIRECT,
    Row(fault("401", "the receiver does not accept who we are: check `secret` and `token`"), status=range(401, 402)),
    Row(fault("403", "the receiver does not accept who we are: check `secret` and `token`"), status=range(403, 404)),
    Row(fault("404", "the receiver does not know this address: check `url`"), status=range(404, 405)),
    Row(
        fault("410", "the receiver wants nothing more at this address: check `url`, or remove the channel"),
        status=range(410, 411),
    ),
    Row(Deferred("429", _BUSY, wait=2.0), status=range(429, 430)),
    Row(Deferred("408", _BUSY), status=range(408, 409)),
    Row(Deferred("http-5xx", "the receiver, or a proxy on the way, has an internal error"), status=range(500, 600)),
    Row(
        Deferred("http-4xx", "the receiver did not understand the message: check `format`", last=5),
        status=range(400, 500),
    ),
    Row(Deferred("other", "the answer is not HTTP as we know it", last=5)),
)


@dataclass(frozen=True)
class Webhook:
    """A receiver of every single event; its id is the same at each try, so that the receiver can tell repeats."""

    limits: ClassVar[tuple[tuple[int, float], ...]] = ()
    digests: ClassVar[bool] = False

    url: model.Secret = field(metadata={"help": "the receiver's address"})
    secret: Optional[model.Secret] = field(
        default=None, metadata={"help": "whsec_ and the key in base64; two with a space between while a key changes"}
    )
    token: Optional[model.Secret] = field(default=None, metadata={"help": "sent as Authorization: Bearer"})
    format: str = field(
        default="json", metadata={"help": "how events are written", "choices": ("json", *sorted(FORMATS))}
    )

    def endpoint(self) -> str:
        """Return what shares one limit: the address."""
        return self.url.reveal()

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Post:  # noqa: ARG002 - there is one dress
        """Return the event, signed for `now`."""
        make = FORMATS.get(self.format)
        document = message_json(message) if make is None else make(message, look)
        body = to_json(document)
        if len(body) >= _LARGEST:  # somebody made up a name of thousands of letters
            body = to_json(_shortened(document))
        stamp = str(int(now.timestamp()))
        headers: list[tuple[str, Union[str, model.Secret]]] = [("webhook-id", message.id), ("webhook-timestamp", stamp)]
        if self.format in _TYPES:
            headers.append(("Content-Type", _TYPES[self.format]))
        if self.secret is not None:
            headers.append(("webhook-signature", " ".join(sign(key, message.id, stamp, body) for key in self._keys())))
        if self.token is not None:
            headers.append(("Authorization", model.Secret(f"Bearer {self.token.reveal()}")))
        return Post(self.url, body, tuple(headers))

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:  # noqa: ARG002 - there is one dress
        """Return what the status means."""
        return judge(REPLIES, reply, Answer(None), ())

    def problems(self) -> list[str]:
        """Return what is wrong with the settings; never the address or a key."""
        found = list(url_problems("url", self.url, "https://receiver.example/path"))
        if self.secret is not None and not all(len(key) in _KEY for key in self._keys()):
            found.append("secret: must be whsec_ and 24 to 64 random bytes in base64 (try: openssl rand -base64 32)")
        if self.token is not None and not re.fullmatch(r"[!-~]+", self.token.reveal()):
            found.append("token: must be text without spaces")
        return found

    def notes(self) -> list[str]:
        """Say that nothing proves who we are, where that is so."""
        if self.secret is None and self.token is None:
            return ["url: without `secret` the receiver can't tell our events from others'"]
        return []

    def _keys(self) -> list[bytes]:
        """Return the keys; an empty one stands for what is none."""
        return [_key(text) for text in ("" if self.secret is None else self.secret.reveal()).split()] or [b""]


def _shortened(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a document in which no text is long."""
    if isinstance(value, dict):
        return {name: _shortened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    return cut(value, _LONGEST) if isinstance(value, str) else value


def sign(key: bytes, identity: str, timestamp: str, body: bytes) -> str:
    """Return one signature of a message."""
    signed = b".".join((identity.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text[len(_PREFIX) :], validate=True) if text.startswith(_PREFIX) else b""
    except ValueError:
        return b""
