"""Verdicts → findings: what is off, silenced or still being learned, how grave the rest is, and how to silence it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Union

from usm.core import model
from usm.core.message import Alert
from usm.core.model import INFO, Finding, gravest
from usm.core.policy import network_of
from usm.core.route import literally
from usm.core.rules import RULES
from usm.core.rules.case import OFF, SILENCED, Case, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Callable

    from usm.core.model import Event
    from usm.core.policy import Policy

_PLAIN = re.compile(r"[A-Za-z_][\w.@+-]*")  # what YAML takes for a word as it stands, but for these
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))


class Judged(NamedTuple):
    """What was said of one event by all the rules, and what is worth telling of that."""

    findings: tuple[Finding, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def severity(self) -> str:
        """How grave the gravest finding is."""
        return gravest(finding.severity for finding in self.findings)

    def joined(self, found: Union[Finding, Verdict]) -> Judged:
        """Return it with what another rule said."""
        if isinstance(found, Finding):
            return self._replace(findings=(*self.findings, found))
        return self._replace(verdicts=(*self.verdicts, found))

    def without(self, rule: str, reason: str) -> Judged:
        """Return what is left where a rule's finding is not to be told."""
        left = tuple(finding for finding in self.findings if finding.rule != rule)
        return Judged(left, tuple(Verdict(rule, reason) if v.rule == rule else v for v in self.verdicts))


def judge(case: Case, judges: Mapping[str, Callable[[Case], Verdict]], *, learning: bool) -> Judged:
    """Ask every rule. While that is `learning`, what compares with history is told, but no alarm."""
    findings: list[Finding] = []
    verdicts: list[Verdict] = []
    for rule, ask in judges.items():
        setting = case.policy.rules.get(rule)
        if setting is None:
            verdicts.append(Verdict(rule, OFF))
            continue
        case.numbers = setting.numbers
        verdict = ask(case)
        if verdict.reason is None:
            finding = find(verdict, case.event, case.policy, case.local, learning=learning)
            if isinstance(finding, Finding):
                findings.append(finding)
            else:
                verdict = finding
        verdicts.append(verdict)
    return Judged(tuple(findings), tuple(verdicts))


def find(
    verdict: Verdict, event: Event, policy: Policy, local: datetime, *, learning: bool = False
) -> Union[Finding, Verdict]:
    """Make a finding of what a rule found, or say which condition silences it."""
    rule = verdict.rule
    severity = policy.rules[rule].severity
    if verdict.severity is not None and severity == RULES[rule].severity:  # the operator's own word counts more
        severity = verdict.severity
    if learning and RULES[rule].history:
        severity = INFO
    finding = Finding(rule, severity, verdict.facts, verdict.evidence, silencing(rule, event))
    for number, match in enumerate(policy.silence, 1):
        if match.holds(Alert("", event, severity, findings=(finding,)), local):
            return Verdict(rule, SILENCED, {"number": str(number)})
    return finding


def silencing(rule: str, event: Event) -> str:
    """Return the line of `silence:` that keeps the rule from finding the same again: this user, from this network."""
    conditions = {"rule": rule}
    if event.user is not None:
        conditions["user"] = literally(event.user)
    if event.source_ip is not None and event.kind in (model.LOGIN, model.FINDING) and event.duration is None:
        conditions["source"] = network_of(event.source_ip)
    elif event.kind == model.LOGIN:
        conditions["source"] = "local"
    return "- {" + ", ".join(f"{name}: {_quoted(value)}" for name, value in conditions.items()) + "}"


def _quoted(value: str) -> str:
    """Return a value as YAML: as it stands, or between double quotes, with YAML's escapes for what can't be seen."""
    if (_PLAIN.fullmatch(value) and value.lower() not in _WORDS) or re.fullmatch(r"[\d.]+/\d+", value, re.ASCII):
        return value
    shown = (f"\\{c}" if c in '"\\' else c if c.isprintable() else f"\\U{ord(c):08X}" for c in value)
    return f'"{"".join(shown)}"'
