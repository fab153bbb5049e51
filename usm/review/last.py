"""The last sections of the page of a review: what was not seen, what was told, the proof, and what is to be signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usm.core.look import duration, when
from usm.core.model import UNOBSERVED
from usm.core.phrases import NAMES
from usm.core.words import SEVERITIES
from usm.review.bits import more, own, table, text
from usm.review.controls import CONTROLS, STANDARDS
from usm.review.parts import FOUND, findings
from usm.review.words import REVIEW, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usm.core.look import Look
    from usm.ledger import Proof
    from usm.review.model import Point, Review

POINTS = 300


def unseen(review: Review, look: Look) -> str:
    """Return the gaps, the sessions that ended in them, and what was done to the log."""
    words, out = REVIEW[look.language], []
    if review.gaps:
        rows = [
            (
                when(gap.since, look.zone),
                words["open end"] if gap.until is None else when(gap.until, look.zone),
                "-" if gap.until is None else duration((gap.until - gap.since).total_seconds(), look.language),
            )
            for gap in review.gaps
        ]
        heads = [("t", words["from"]), ("t", words["to"]), ("t", words["length"])]
        out.append(table("gaps", words["unobserved"].capitalize(), heads, rows[:FOUND]) + more(len(rows), FOUND, words))
    seen = [one for one in review.unseen if one.finding.rule != UNOBSERVED]
    if seen:
        out.append(findings("unseen", seen[:FOUND], look) + more(len(seen), FOUND, words))
    return "\n".join(out) or f"<p>{words['nothing unseen']}</p>"


def told(review: Review, look: Look) -> str:
    """Return what became of the messages of each channel."""
    words = REVIEW[look.language]
    note = f'<p class="soft">{words["kept for"]}</p>'
    if not review.told:
        return f"<p>{words['nothing told']}</p>{note}"
    names = ("sent", "pending", "dead", "grouped", "suppressed")
    heads = [("", words["channel"]), *(("n", words[name].capitalize()) for name in names)]
    rows = ((own(one.channel), *(str(getattr(one, name)) for name in names)) for one in review.told)
    return table("told", words["told"], heads, rows, said=True) + note


def proof(review: Review, look: Look) -> str:
    """Return whether the record is whole."""
    words, fault, said = REVIEW[look.language], review.proof.fault, proved(review.proof, REVIEW[look.language])
    if fault is None and not review.proof.head.seq:
        return f"<p>{said}</p>"
    style, sign = ("good", "✓") if fault is None else ("bad", "✗")
    said = f'<p class="{style}"><span aria-hidden="true">{sign}</span> {said}</p>'
    head = f"<p>{words['head']}: <code>{text(str(review.proof.head), 120)}</code></p>"
    return f'{said}{head}<p class="soft">{words["head means"]}</p>'


def proved(proof: Proof, words: dict[str, str]) -> str:
    """Return it in a sentence."""
    if proof.fault is not None:
        what = words[proof.fault.kind].format(seq=proof.fault.seq, detail=proof.fault.detail)
        return words["broken"].format(what=what, entries=proof.entries)
    if not proof.head.seq:
        return words["no entries"]
    return words["whole"].format(entries=proof.entries, first=proof.first, last=proof.head.seq)


def sign(review: Review, look: Look) -> str:
    """Return a line for each thing that somebody should look at, and where to sign."""
    words = REVIEW[look.language]
    lines = "".join(f"<div>{words[name]}</div>" for name in ("reviewer", "date", "signature"))
    signature = f'<div class="signature">{lines}</div>'
    if not review.points:
        return f"<p>{words['nothing to sign']}</p>{signature}"
    heads = [("", words["user"]), ("s", words["severity"]), ("l", words["point"]), ("s", words["checked"])]
    heads.append(("blank", words["remark"]))
    rows = (_point(point, words, look) for point in review.points[:POINTS])
    return table("points", words["sign"], heads, rows, said=True) + more(len(review.points), POINTS, words) + signature


def _point(point: Point, words: dict[str, str], look: Look) -> Sequence[str]:
    severity, box = SEVERITIES[look.language][point.severity], '<span class="box"></span>'
    user = own(point.user) if point.user else words["nobody in particular"]
    if point.rule is None:
        return user, "-", words["point root"].format(count=point.times), box, ""
    first, last = ("-" if time is None else when(time, look.zone) for time in (point.first, point.last))
    rule = NAMES[look.language].get(point.rule, point.rule)
    how = "point rule" if point.times > 1 else "point once"
    what = words[how].format(rule=text(rule), count=point.times, first=first, last=last)
    return user, f'<span class="{point.severity}">{severity}</span>', what, box, ""


def controls(_review: Review, look: Look) -> str:
    """Return which section gives evidence for which control."""
    words, rows = REVIEW[look.language], []
    for standard, subjects in STANDARDS[look.language].items():
        for number, subject in subjects.items():
            there = [
                f'<a href="#{name}">{words[name]}</a>'
                for name in SECTIONS
                if number in dict(CONTROLS.get(name, ())).get(standard, "").split(", ")
            ]
            rows.append((f"{standard} {number}", subject, ", ".join(there)))
    heads = [("t", words["control"]), ("m", words["subject"]), ("m", words["sections"])]
    return table("controls", words["evidence"], heads, rows)
