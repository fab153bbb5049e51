"""A review as JSON and CSV for programs, and as a summary for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usm.columns import table
from usm.core.alert import finding_json
from usm.core.look import Look, duration, when
from usm.core.phrases import NAMES
from usm.core.tame import clean
from usm.core.words import SEVERITIES
from usm.export import SESSION, csv_lines
from usm.report import iso, session_json
from usm.review.last import proved
from usm.review.words import ENDS, REVIEW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from usm.review.model import Found, Review, Stay

WITHIN = ("seconds_in_span", "reason_in_span")  # beside the fields of a session
_TOP = 20  # rows of a table on the terminal


def summary_json(review: Review) -> dict[str, Any]:
    """All of it as one object; times with their offset, lengths in seconds."""
    frame, zone = review.frame, review.frame.zone
    proof = review.proof
    return {
        "hosts": list(review.hosts),
        "since": iso(frame.since, zone),
        "until": iso(frame.until, zone),
        "made": iso(frame.made, zone),
        "version": frame.version,
        "pattern": frame.pattern,
        "record_began": iso(review.began, zone),
        "totals": {
            "people": sum(1 for person in review.people if person.sessions),
            "sessions": len(review.stays),
            "seconds": review.seconds,
            "findings": len(review.found),
            "minor_findings": review.minor,
            "failed_logins": review.refused,
            "unobserved_seconds": review.unobserved,
        },
        "people": [
            {
                **person._asdict(),
                "last": iso(person.last, zone),
                "acted": [{"target": target, "times": times} for target, times in person.acted],
            }
            for person in review.people
        ],
        "sources": [one._asdict() for one in review.origins],
        "logins_by_weekday_and_hour": [list(row) for row in review.hours],
        "ends": dict(review.ends),
        "findings": [_found_json(one, review) for one in review.found],
        "gaps": [{"since": iso(gap.since, zone), "until": iso(gap.until, zone)} for gap in review.gaps],
        "deliveries": [one._asdict() for one in review.told],
        "proof": {
            "entries": proof.entries,
            "first": proof.first,
            "head": str(proof.head),
            "fault": None if proof.fault is None else proof.fault._asdict(),
        },
        "points": [
            {**one._asdict(), "first": iso(one.first, zone), "last": iso(one.last, zone)} for one in review.points
        ],
        "sessions": [_stay_json(stay, review) for stay in review.stays],
    }


def _found_json(one: Found, review: Review) -> dict[str, Any]:
    facts = {"id": one.id, "time": iso(one.time, review.frame.zone), "host": one.host, "user": one.user}
    return {**facts, **finding_json(one.finding)}


def _stay_json(stay: Stay, review: Review) -> dict[str, Any]:
    within = dict(zip(WITHIN, (stay.seconds, stay.reason)))
    return {**session_json(stay.session, review.frame.zone), **within}


def summary_csv(review: Review) -> Iterator[str]:
    """Yield a header, then a line for each session; no name of a stranger is a formula."""
    return csv_lines((*SESSION, *WITHIN), (_stay_json(stay, review) for stay in review.stays))


def summary_text(review: Review, language: str) -> str:
    """Return what fits a terminal."""
    words, frame = REVIEW[language], review.frame
    look = Look(language, frame.zone)
    zone = frame.since.astimezone(frame.zone).strftime("UTC%z")
    facts = {"since": when(frame.since, frame.zone), "until": when(frame.until, frame.zone), "zone": zone}
    told = {name: sum(getattr(one, name) for one in review.told) for name in ("sent", "pending", "dead")}
    counts = {
        "people": sum(1 for person in review.people if person.sessions),
        "sessions": len(review.stays),
        "hours": duration(review.seconds, language),
        "found": len(review.found),
        "refused": review.refused,
        "unobserved": duration(review.unobserved, language),
        **told,
    }
    title = words["title"].format(hosts=", ".join(clean(host, 64) for host in review.hosts))
    blocks = [f"{title}\n{words['between'].format(**facts)}"]
    blocks.append("\n".join(f"{words[name]}: {value}" for name, value in counts.items()))
    blocks += [f"{words[name]}\n{text}" for name, text in _tables(review, look) if text]
    return "\n\n".join((*blocks, f"{words['proof']}\n{proved(review.proof, words)}"))


def _tables(review: Review, look: Look) -> Iterator[tuple[str, str]]:
    words, language = REVIEW[look.language], look.language
    people = [
        (
            clean(person.user, 32),
            str(person.sessions),
            duration(person.seconds, language),
            ", ".join(clean(source, 45) for source in person.sources[:2]) or words["local"],
            "-" if person.last is None else when(person.last, look.zone),
            str(person.found),
        )
        for person in review.people
    ]
    yield "who", _top([words[n] for n in ("user", "sessions", "total", "sources", "last", "found")], people, words)
    ends = [(ENDS[language][reason], str(count)) for reason, count in review.ends]
    yield "ends", _top([words["reason"], words["count"]], ends, words)
    points = [
        (
            clean(one.user or "-", 32),
            SEVERITIES[language][one.severity],
            NAMES[language].get(one.rule, one.rule),
            str(one.times),
        )
        for one in review.points
        if one.rule is not None
    ]
    yield "abnormal", _top([words[n] for n in ("user", "severity", "rule", "count")], points, words)


def _top(heads: Sequence[str], rows: Sequence[Sequence[str]], words: dict[str, str]) -> str:
    if not rows:
        return ""
    more = [words["more"].format(count=len(rows) - _TOP)] if len(rows) > _TOP else []
    return "\n".join([table(heads, rows[:_TOP]), *more])
