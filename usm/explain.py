"""Why an event was judged abnormal, or why not; and what is usual for a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usm.core import profile
from usm.core.alert import event_of, finding_of, identify, stored
from usm.core.look import when
from usm.core.message import Alert
from usm.core.model import gravest, micros, time_of
from usm.core.pair import login_event
from usm.core.phrasing import sentence, why_not
from usm.core.tame import clean
from usm.core.text import plain_text
from usm.errors import UsmError
from usm.history import judgements, learned_since, profiles

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from usm.core.look import Look
    from usm.core.policy import Policy
    from usm.history import Judgement
    from usm.ledger import Proof
    from usm.store import Store

_DIGITS = 16  # of an id


class UnknownError(UsmError):
    """There is no such event or user."""


def explained(store: Store, event: str) -> list[Judgement]:
    """Return how the events of a session, or the event of a message, were judged. Raises UnknownError."""
    if len(event) != _DIGITS or not set(event) <= set("0123456789abcdef"):
        text = f"{clean(event, 40)} is no id of an event; it is the 16 digits of `session` or `id`"
        raise UnknownError(f"{text}, as in: usm sessions --all --format json")
    session = store.session(event)
    with store.reading() as db:
        found = judgements(db, event, None if session is None else micros(session.start))
    if not found:
        text = "nothing abnormal was found of it, or it is older than the retention, or of another machine"
        raise UnknownError(f"nothing is kept of {event}: {text}; a session's id says why its login was found normal")
    login = None if session is None else stored(login_event(session))
    return [one._replace(facts=one.facts or login) for one in found]


def explanation_json(judgement: Judgement) -> dict[str, Any]:
    """One judged event for programs."""
    verdicts = [{"rule": rule, "reason": reason, "facts": facts} for rule, reason, facts in judgement.verdicts]
    return {
        "id": judgement.event,
        "session": judgement.session,
        "event": judgement.facts,
        "findings": judgement.findings,
        "verdicts": verdicts,
    }


def explanation(judgement: Judgement, look: Look) -> str:
    """Return the event as it was told, the line that silences each finding, and why the other rules found nothing."""
    event = event_of(judgement.facts or {})
    findings = tuple(finding_of(body) for body in judgement.findings)
    identity, severity = judgement.event or identify(event), gravest(finding.severity for finding in findings)
    lines = [plain_text(Alert(identity, event, severity, findings=findings), look)]
    lines += [f"  silence: {clean(finding.silence, 300)}" for finding in findings]
    lines += [f"  {rule}: {why_not(reason, facts, look)}" for rule, reason, facts in judgement.verdicts]
    return "\n".join(lines)


def findings_rows(found: Iterable[Judgement], look: Look) -> list[tuple[str, ...]]:
    """Return findings: id, when, whose, how grave, what."""
    rows: list[tuple[str, ...]] = []
    for judgement in found:
        event, findings = event_of(judgement.facts or {}), [finding_of(body) for body in judgement.findings]
        said = "; ".join(f"[{finding.rule}] {sentence(finding, look)}" for finding in findings)
        rows.append(
            (
                judgement.event or "-",
                when(event.time, look.zone),
                clean(event.user or "-", 32),
                gravest(finding.severity for finding in findings),
                said,
            )
        )
    return rows


def baseline_json(db: sqlite3.Connection, user: str, policy: Policy) -> list[dict[str, Any]]:
    """What is usual for a user, one object a host. Raises UnknownError."""
    found = profiles(db, user)
    if not found:
        raise UnknownError(f"nothing is known of {clean(user, 64)}: no login was seen")
    since = learned_since(db)
    start = None if since is None else time_of(since)
    return [
        {
            "user": user,
            "host": host,
            "since": None if start is None else start.isoformat(),
            "learning_until": None if start is None else (start + policy.learning).isoformat(),
            **{fact: _values(rows, fact) for fact in profile.FACTS},
        }
        for host, rows in found.items()
    ]


def baseline_rows(db: sqlite3.Connection, user: str, look: Look) -> list[tuple[str, ...]]:
    """Return what is usual for a user: host, fact, value, how often, since when, last when. Raises UnknownError."""
    found = profiles(db, user)
    if not found:
        raise UnknownError(f"nothing is known of {clean(user, 64)}: no login was seen")
    return [
        (clean(host), fact, clean(value) or "-", str(times), *(when(time_of(t), look.zone) for t in (first, last)))
        for host, rows in found.items()
        for fact, value, first, last, times in sorted(rows, key=lambda row: profile.FACTS.index(row[0]))
    ]


def _values(rows: Iterable[tuple[str, str, int, int, int]], fact: str) -> list[dict[str, Any]]:
    return [
        {"value": value, "times": times, "first": time_of(first).isoformat(), "last": time_of(last).isoformat()}
        for name, value, first, last, times in rows
        if name == fact
    ]


def proof_json(proof: Proof) -> dict[str, Any]:
    """What a verification found, for programs."""
    fault = None if proof.fault is None else proof.fault._asdict()
    return {"entries": proof.entries, "first": proof.first, "head": str(proof.head), "fault": fault}


def proof_text(proof: Proof) -> str:
    """What a verification found, in a sentence."""
    fault, head = proof.fault, proof.head
    if fault is None and not head.seq:
        return "the record is empty"
    span = f"{proof.entries} entries, from {proof.first} to {head.seq}"
    if fault is None:
        return f"the record is whole: {span}; head {head}"
    what = {
        "changed": f"entry {fault.seq} was changed, or stands in the place of another",
        "missing": f"{fault.detail} entries are missing, from {fault.seq} on",
        "cut": f"the end was cut: {fault.detail} entries are missing, from {fault.seq} on",
        "replaced": f"entry {fault.seq} is not the one that its head was taken of: it or one before it was replaced",
    }[fault.kind]
    return f"the record is NOT whole: {what}; before that {proof.entries} entries are as they were written"
