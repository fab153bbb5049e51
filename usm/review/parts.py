"""The first sections of the page of a review: who, from where, when, how it ended, what was abnormal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usm.core.look import Look, when
from usm.core.model import SEVERITIES
from usm.core.phrasing import sentence
from usm.core.words import SEVERITIES as GRAVENESS
from usm.core.words import WORDS
from usm.review.bits import NAMED, more, own, roughly, some, table, text
from usm.review.svg import STYLES, heat_map, sample, share, timeline
from usm.review.words import ENDS, REVIEW

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from usm.review.model import Found, Person, Review, Stay

PEOPLE, ORIGINS, FOUND, LINES = 2000, 25, 500, 100  # rows that are listed; all of it is in the JSON


def who(review: Review, look: Look) -> str:
    """Who was on, for how long, how, and what was found of it."""
    words = REVIEW[look.language]
    if not review.people:
        return f"<p>{words['nobody']}</p>"

    def row(person: Person) -> Sequence[str]:
        acted = "<br>".join(f"{own(target)} ×{times}" for target, times in person.acted[:NAMED]) or "-"
        return (
            own(person.user),
            str(person.sessions),
            roughly(person.seconds, look.language),
            some([source or words["local"] for source in person.sources], words),
            some(person.methods, words),
            some(person.keys, words, code=True) + ("<br>" + some(person.people, words) if person.people else ""),
            "-" if person.last is None else when(person.last, look.zone)[:16],
            f'<span class="bad">{person.found}</span>' if person.found else "0",
            str(person.refused),
            acted,
        )

    styles = ("", "n", "t", "a", "t", "m", "t", "n", "n", "")
    names = ("user", "sessions", "total", "sources", "methods", "keys", "last", "found", "refused", "acted")
    heads = [(style, words[name].capitalize()) for style, name in zip(styles, names)]
    shown = map(row, review.people[:PEOPLE])
    return table("who", words["clipped"], heads, shown) + more(len(review.people), PEOPLE, words)


def where(review: Review, look: Look) -> str:
    """From where, and from where not."""
    words = REVIEW[look.language]
    if not review.origins:
        return f"<p>{words['nowhere']}</p>"
    # Those that got in and those that most often did not: each list has its own top.
    inside = [one for one in review.origins if one.sessions]
    outside = sorted((one for one in review.origins if not one.sessions), key=lambda one: -one.refused)
    chosen = [*inside[:ORIGINS], *outside[: ORIGINS // 2]]
    rows = (
        (
            own(one.source_ip or words["local"]),
            str(one.sessions),
            str(one.refused),
            str(one.invalid),
            some(one.users, words, ", "),
        )
        for one in chosen
    )
    names = (("", "source"), ("n", "sessions"), ("n", "refused"), ("n", "invalid"), ("m", "users"))
    heads = [(style, words[name].capitalize()) for style, name in names]
    return table("where", words["folded"], heads, rows) + more(len(review.origins), len(chosen), words)


def hours(review: Review, look: Look) -> str:
    """At which hours."""
    caption = REVIEW[look.language]["heat"]
    drawn = heat_map(review.hours, look.language)
    return f'<div class="wide" role="group" aria-label="{caption}" tabindex="0">{drawn}</div>'


def lines(review: Review, look: Look) -> str:
    """A line for each user."""
    words, frame = REVIEW[look.language], review.frame
    people = [person for person in review.people if person.sessions]
    if not people:
        return f"<p>{words['heat none']}</p>"
    of: dict[str, list[Stay]] = {}
    for stay in review.stays:
        of.setdefault(stay.session.user, []).append(stay)
    out, pooled = [], False
    for number, person in enumerate(people[:LINES]):
        drawn, many = timeline(number, of[person.user], frame, look.language)
        out.append(f"<span>{own(person.user, 40)}</span>{drawn}")
        pooled = pooled or many
    marks = (frame.since, frame.since + (frame.until - frame.since) / 2, frame.until)
    axis = "".join(f"<span>{when(moment, frame.zone)[:16]}</span>" for moment in marks)
    legend = "".join(f"<li>{sample(style)}{words[style]}</li>" for style in STYLES)
    remarks = [words["pooled"]] if pooled else []
    if len(people) > LINES:
        remarks.append(words["not drawn"].format(count=len(people) - LINES))
    said = "".join(f'<p class="soft">{remark}</p>' for remark in remarks)
    return (
        f'<ul class="legend" aria-label="{words["legend"]}">{legend}</ul>\n'
        f'<div class="lines"><span></span><span class="axis-row">{axis}</span>\n{chr(10).join(out)}</div>{said}'
    )


def ends(review: Review, look: Look) -> str:
    """How often for which reason."""
    words, total = REVIEW[look.language], len(review.stays)
    if not total:
        return f"<p>{words['heat none']}</p>"
    rows = (
        (ENDS[look.language][reason], str(count), f"{100 * count / total:.1f}%{share(count / total)}")
        for reason, count in review.ends
    )
    heads = [("", words["reason"]), ("n", words["count"]), ("", words["share"])]
    return table("ends", words["ends"], heads, rows, said=True)


def abnormal(review: Review, look: Look) -> str:
    """The gravest first."""
    words = REVIEW[look.language]
    minor = f'<p class="soft">{words["minor"].format(count=review.minor)}</p>' if review.minor else ""
    if not review.found:
        return f"<p>{words['nothing found']}</p>{minor}"
    chosen = sorted(review.found, key=lambda one: (-_graveness(one), one.time))[:FOUND]
    return findings("abnormal", chosen, look) + more(len(review.found), FOUND, words) + minor


def _graveness(one: Found) -> int:
    return SEVERITIES.index(one.finding.severity)


def findings(name: str, found: Iterable[Found], look: Look) -> str:
    """Return a table of findings, each in a sentence."""
    words, severities = REVIEW[look.language], GRAVENESS[look.language]

    def row(one: Found) -> Sequence[str]:
        seen = [
            WORDS[look.language]["seen"].format(own(e.value, 60), e.times, when(e.last, look.zone))
            for e in one.finding.evidence[:NAMED]
            if e.value
        ]
        severity = one.finding.severity
        return (
            when(one.time, look.zone),
            f'<span class="{severity}">{severities[severity]}</span>',
            own(one.user) if one.user else "-",
            own(one.host),
            f"{own(sentence(one.finding, look), 1000)} <code>{text(one.finding.rule)}</code>",
            "<br>".join(seen) or "-",
        )

    names = (("t", "time"), ("s", "severity"), ("", "user"), ("", "host"), ("l", "what"), ("l", "seen"))
    return table(name, words[name], [(style, words[head]) for style, head in names], map(row, found), said=True)
