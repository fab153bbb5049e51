"""Everything else, through Apprise (an optional package): it hands messages on and does not read the answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from usm.channels.answers import json_object
from usm.core import model  # noqa: TC001 - the fields' types are read at run time
from usm.core.message import Deferred, Handover, Message, Receipt, Reply, Sent
from usm.core.tame import cut, inert
from usm.core.text import lines, title

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look

# Apprise's name of a service → our channel, which reads the service's answer.
NATIVE = {
    "feishu": "feishu",
    "lark": "feishu",
    "dingtalk": "dingtalk",
    "wecombot": "wecom",
    "tgram": "telegram",
    "slack": "slack",
    "mailto": "email",
    "mailtos": "email",
    **dict.fromkeys(("json", "jsons", "form", "forms", "xml", "xmls"), "webhook"),
    **dict.fromkeys(("syslog", "rsyslog"), "syslog"),
}
_LARGEST = 4000  # characters; Apprise cuts further where a service takes less
_SCHEME = re.compile(r"([A-Za-z0-9]{2,20})://[!-~]+")
_UNVERIFIED = "accepted, unverified: Apprise does not read the service's answer"
_MISSING = (
    "Apprise is not installed: apt install apprise, dnf install python3-apprise, or pip install "
    "'user-session-monitor[apprise]'"
)


@dataclass(frozen=True)
class Apprise:
    """Services that only Apprise knows. What it calls sent is accepted, and not verified."""

    limits: ClassVar[tuple[tuple[int, float], ...]] = ((1, 1.0), (15, 60.0))
    digests: ClassVar[bool] = True

    urls: tuple[model.Secret, ...] = field(metadata={"help": "Apprise's addresses of the services: one, or a list"})

    def endpoint(self) -> str:
        """Return what shares one limit: these services."""
        return " ".join(url.reveal() for url in self.urls)

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Handover:  # noqa: ARG002 - there is one dress
        """Return title and text."""
        rows = lines(message, look, tame=inert)
        return Handover(self.urls, cut(title(message, look, tame=inert), 250), cut("\n".join(rows), _LARGEST))

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:  # noqa: ARG002 - there is one dress
        """Return what Apprise says; it tells neither codes nor reasons."""
        answer = json_object(reply.body)
        outcome, number = answer.get("outcome"), answer.get("number")
        if outcome == "sent":
            return Sent(_UNVERIFIED)
        if outcome == "not installed":
            return Deferred("not-installed", _MISSING, fault=True)
        if outcome == "not understood":
            which = number + 1 if type(number) is int else "?"
            return Deferred("not-understood", f"Apprise does not understand address {which} of `urls`", fault=True)
        taken = f"{number} of {len(self.urls)} services took the message" if number else "no service took the message"
        again = ", and get it again" if number else ""
        return Deferred("failed", f"{taken}{again}; Apprise does not say why: check `urls`", last=5)

    def problems(self) -> list[str]:
        """Return what is wrong with the settings; never an address."""
        found = []
        for number, url in enumerate(self.urls, 1):
            match = _SCHEME.fullmatch(url.reveal())
            native = None if match is None else NATIVE.get(match[1].lower())
            if match is None:
                found.append(f"urls: address {number} must be one of Apprise's, such as ntfys://host/topic")
            elif native is not None:
                found.append(f"urls: address {number} is {match[1]}'s: use `type: {native}`, which reads its answers")
        return found

    def notes(self) -> list[str]:
        """Say what can't be known."""
        return ["urls: Apprise does not read the services' answers: what it sent is accepted, not verified"]
