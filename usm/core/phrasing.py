"""Findings and verdicts in words, in Chinese and English."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.look import Look, duration, when
from usm.core.phrases import EDITED, FOUND, NAMES, SPANS, TIMES, WHY_NOT
from usm.core.tame import JOINT, clean
from usm.core.words import SEVERITIES, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from usm.core.message import Alert
    from usm.core.model import Finding

Tame = Callable[[str], str]
_FACT = 200  # code points of a fact of a finding
_SHORT = 40  # code points of a value that it is compared with


def rows_of(alert: Alert, look: Look, tame: Tame) -> Iterable[tuple[str, Optional[str]]]:
    """What was judged abnormal: the rule and what it saw, what that was compared with, how to be told no more of it."""
    words = WORDS[look.language]
    for finding in alert.findings:
        yield "finding", f"{sentence(finding, look, tame)} [{finding.rule}]"
    if alert.findings:
        yield "graveness", SEVERITIES[look.language][alert.severity]
    for finding in alert.findings:
        seen = [
            words["seen"].format(tame(clean(e.value, _SHORT)), e.times, when(e.last, look.zone))
            for e in finding.evidence
            if e.value
        ]
        if seen:
            yield "evidence", "; ".join(seen)
    # One line silences one rule; the gravest is what somebody wants to know of.
    gravest = [finding for finding in alert.findings if finding.severity == alert.severity]
    if gravest:
        line = tame(clean(gravest[0].silence, 256))
        # What a chat changes but for the joints that `settings` takes out again can't be copied.
        whole = line.replace(JOINT, "") == gravest[0].silence
        yield "silence", words["silence how" if whole else "silence where"].format(line if whole else alert.id)
    if alert.learning is not None:
        yield "remark", words["learning"].format(when(alert.learning, look.zone))


def sentence(finding: Finding, look: Look, tame: Tame = str) -> str:
    """Return what a rule found, in words; what a stranger may have chosen is tamed."""
    language = look.language
    values = {name: _fact(name, value, look, tame) for name, value in finding.facts.items()}
    if finding.rule == "new-source":
        values["place"] = f" ({values['place']})" if values.get("place") else ""
    if finding.rule == "log-edited":
        values["what"] = EDITED[language][finding.facts["how"]].format(what=values["what"])
    words = WORDS[language]
    return words["finding is"].format(NAMES[language][finding.rule], FOUND[language][finding.rule].format(**values))


def why_not(reason: str, facts: Mapping[str, str], look: Look) -> str:
    """Return why a rule found nothing, in words."""
    values = {name: _fact(name, value, look, str) for name, value in facts.items()}
    numbers = [values[name] for name in ("count", "days", "lasts", "distance") if name in values]
    detail = " / ".join([*numbers[:1], *(values[name] for name in ("limit", "most") if name in values)])
    blank = {"value": "-", "count": "0", "last": "-", "number": "?", "detail": detail}
    return WHY_NOT[look.language][reason].format(**{**blank, **values, "detail": detail})


def _fact(name: str, value: str, look: Look, tame: Tame) -> str:
    if name in TIMES:
        return when(datetime.fromisoformat(value), look.zone)
    if name in SPANS:
        return duration(float(value), look.language)
    return tame(clean(value, _FACT))
