"""What a rule is given, and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core.model import Event, Evidence, micros, time_of
from usm.core.policy import Policy, network_of
from usm.core.profile import LOGIN, NETWORK, SERVICE, Profile
from usm.core.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from usm.core.model import Account, Place
    from usm.core.profile import Seen

# Why a rule found nothing; the texts are in core/phrases.py. A verdict without a reason is a finding.
OFF, SILENCED, NOT_CONCERNED, NO_HISTORY, UNSET, KNOWN, USUAL, BELOW, ALLOWED, TOLD = (
    "off",
    "silenced",
    "not concerned",
    "no history",
    "unset",
    "known",
    "usual",
    "below",
    "allowed",
    "told",
)
REASONS = (OFF, SILENCED, NOT_CONCERNED, NO_HISTORY, UNSET, KNOWN, USUAL, BELOW, ALLOWED, TOLD)
IDLE = (OFF, NOT_CONCERNED, UNSET)  # the rule did not have to look at what is known
NOTHING = Recent()  # happened lately
EVIDENCE = 3  # things that a finding is compared with


class Verdict(NamedTuple):
    """What one rule says of one event: why it found nothing, or (`reason` is None) what it found.

    `severity`: where it is not the rule's own.
    """

    rule: str
    reason: Optional[str]
    facts: Mapping[str, str] = {}
    evidence: tuple[Evidence, ...] = ()
    severity: Optional[str] = None


class Case:
    """One event, and all that the rules may compare it with. `numbers` are those of the rule that is asked.

    `source`, `user`: the failures of the event's source and of its user, the latest ones. `elsewhere`: networks from
    which the user is on now. `time`: when it happened, in microseconds.
    Not a tuple: a million events are asked about by sixteen rules each, and only `numbers` differ.
    """

    __slots__ = (
        "account",
        "before",
        "elsewhere",
        "event",
        "local",
        "numbers",
        "place",
        "policy",
        "profile",
        "source",
        "time",
        "user",
    )

    def __init__(self, event: Event, profile: Profile, policy: Policy, local: datetime) -> None:
        self.event, self.profile, self.policy, self.local = event, profile, policy, local
        self.time = micros(event.time)
        self.place: Optional[Place] = None
        self.before: Optional[Place] = None
        self.account: Optional[Account] = None
        self.source = self.user = NOTHING
        self.elsewhere: frozenset[str] = frozenset()
        self.numbers: Mapping[str, float] = {}

    @property
    def network(self) -> str:
        """Where it came from: its /24 or /48."""
        return network_of(self.event.source_ip or "")

    def since(self, name: str = "within") -> int:
        """Return the moment that lies one of the rule's spans back."""
        return self.time - round(self.numbers[name] * 1e6)

    def known(self, rule: str, fact: str, value: str) -> Optional[Verdict]:
        """Return that a value is known, if it is."""
        seen = self.profile.seen(fact, value)
        return None if seen is None else Verdict(rule, KNOWN, self.shown(value, seen))

    def usual(self, rule: str) -> Optional[Verdict]:
        """Return that the source, or at the machine itself the service, is a regular one of the user, if it is."""
        local = self.event.source_ip is None
        fact, value = (SERVICE, self.event.service) if local else (NETWORK, self.network)
        seen = self.profile.seen(fact, value)
        if seen is None or not 0 < self.numbers["usual"] <= seen.times:
            return None
        return Verdict(rule, USUAL, self.shown(value, seen))

    def shown(self, value: str, seen: Seen) -> dict[str, str]:
        """Return what was seen, for a text; the time as ISO 8601, which the text puts into its zone."""
        return {"value": value, "count": str(seen.times), "last": time_of(seen.last).isoformat()}

    def logins(self) -> int:
        """Return how many logins of the user are known."""
        return self.profile.count(LOGIN)

    def unseen(self, rule: str, fact: str, value: Optional[str], at_least: float = 1, *, by: str = LOGIN) -> Verdict:
        """Find a value that was never seen of a user whose usual ones are known.

        `by`: the fact whose values are counted as history. wtmp knows logins, but not with which key or method.
        """
        if value is None:
            return Verdict(rule, NOT_CONCERNED)
        history = sum(seen.times for seen in self.profile.values(by).values())
        if history < at_least:
            return Verdict(rule, NO_HISTORY, {"count": str(history)})
        known = self.known(rule, fact, value)
        if known is not None:
            return known
        facts = {"value": value, "logins": str(self.logins())}
        return Verdict(rule, None, facts, self.profile.latest(fact, EVIDENCE))
