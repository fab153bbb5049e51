"""A stand-in for a receiver of Standard Webhooks, and of CloudEvents in them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from typing import TYPE_CHECKING, Any, Callable, Optional

from tests.fakes import service
from tests.fakes.service import Answer, Code, Request, encoded

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

LARGEST = 20 * 1024
TOLERANCE = 300
KINDS = ("application/json", "application/cloudevents+json")
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


class FakeWebhooks(service.Service):
    """A strict receiver: 204, or another status and the reason as JSON.

    Documented (standard-webhooks.md): the three headers, the signed content, several signatures, secrets of 24 to 64
    bytes, less than 20 KB, the id as idempotency key, 410, Retry-After. The tolerance of 5 minutes is that of the
    reference libraries. CloudEvents 1.0: the required attributes, names of extensions. Guesses: 400, 404, 405, 413 and
    415 for the other faults, which the specification leaves open.
    `secrets`: any of them may have signed. `duplicates`: ids that came again; they are answered as success, not kept.
    A message is `{"id", "timestamp", "kind", "data", "headers"}`.
    `script`: 410, 429, 502, 503 and 504 are answered with a JSON body, the last four with Retry-After (`retry_after`).
    """

    def __init__(
        self,
        *,
        secrets: Sequence[str] = (SECRET,),
        path: str = "/hook",
        status: int = 204,
        retry_after: int = 7,
        limits: Sequence[tuple[int, float]] = (),
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the service has a clock of its own
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.keys = [_key(secret) for secret in secrets]
        self.path, self.status, self.retry_after = path, status, retry_after
        self.duplicates: list[str] = []
        super().__init__(limits=limits, clock=clock, port=port, tls=tls, watch=watch)

    def accepted(self, message: dict[str, Any]) -> Answer:  # noqa: ARG002 - the same for each
        """Return success."""
        return Answer(self.status, b"")

    def coded(self, code: Code) -> Optional[Answer]:
        """Return the answer with that status."""
        if code == 410:
            return _refusal(410, "gone").answer
        if code in (429, 502, 503, 504):
            return _refusal(int(code), "later", self.retry_after).answer
        return None

    def flat(self, message: dict[str, Any]) -> str:
        """Return the data of an accepted message."""
        return json.dumps(message["data"], ensure_ascii=False, sort_keys=True)

    def take(self, message: dict[str, Any]) -> None:
        """Keep a message that is new."""
        if any(known["id"] == message["id"] for known in self.messages):
            self.duplicates.append(message["id"])
        else:
            super().take(message)

    def check(self, request: Request) -> dict[str, Any]:
        """Return the message if it is well made and signed, raise Refusal if not."""
        if request.path != self.path:
            raise _refusal(404, "not found")
        if request.method != "POST":
            raise _refusal(405, "only POST")
        if request.kind not in KINDS:
            raise _refusal(415, "neither JSON nor a CloudEvent")
        if len(request.body) >= LARGEST:
            raise _refusal(413, "too big")
        name, stamp = self._verify(request.headers, request.body)
        try:
            data = request.json()
        except ValueError:
            raise _refusal(400, "not JSON") from None
        if request.kind == KINDS[1]:
            _event(data)
        if self.throttle(("", self.limits)):
            raise _refusal(429, "later", self.retry_after)
        return {"id": name, "timestamp": stamp, "kind": request.kind, "data": data, "headers": dict(request.headers)}

    def _verify(self, headers: Mapping[str, str], body: bytes) -> tuple[str, int]:
        name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        signatures = headers.get("webhook-signature", "").split(" ")
        if not name or not name.isascii() or "." in name or not re.fullmatch(r"[0-9]+", stamp) or not all(signatures):
            raise _refusal(400, "a header is missing or not well made")
        if abs(self.clock() - int(stamp)) > TOLERANCE:
            raise _refusal(401, "the timestamp is too far off")
        signed = f"{name}.{stamp}.".encode() + body
        right = {"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in self.keys}
        if not right.intersection(signatures):
            raise _refusal(401, "no signature matches")
        return name, int(stamp)


def _key(secret: str) -> bytes:
    prefix, _, coded = secret.partition("_")
    key = base64.b64decode(coded, validate=True)
    if prefix != "whsec" or not 24 <= len(key) <= 64:
        raise ValueError("a secret is whsec_ and 24 to 64 bytes in base64")
    return key


def _event(data: object) -> None:
    """Raise Refusal where it is no CloudEvent in structured mode."""
    if not isinstance(data, dict) or data.get("specversion") != "1.0":
        raise _refusal(400, "not a CloudEvent of version 1.0")
    for name, value in data.items():
        if name in ("data", "data_base64"):
            continue
        if not ATTRIBUTE.fullmatch(name) or not isinstance(value, (str, int, bool)) or value == "":
            raise _refusal(400, f"not a CloudEvents attribute: {name}")
    if not all(isinstance(data.get(name), str) for name in ("id", "source", "type")):
        raise _refusal(400, "a CloudEvent without id, source or type")
    if not TIME.fullmatch(str(data.get("time", "2026-01-01T00:00:00Z"))):
        raise _refusal(400, "a time that is not RFC 3339")


def _refusal(status: int, text: str, seconds: int = 0) -> service.Refusal:
    headers = (("Retry-After", str(seconds)),) if seconds else ()
    return service.Refusal(status, Answer(status, encoded({"error": text}), headers=headers), text)
