"""Findings and verdicts in words, in Chinese and English."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.look import Look, duration, when
from usm.core.model import INFO
from usm.core.phrases import EDITED, FOUND, LISTS, NAMES, SPANS, TIMES, WHY_NOT
from usm.core.tame import JOINT, MARKUP, clean
from usm.core.words import SEVERITIES, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from usm.core.message import Alert
    from usm.core.model import Finding

Tame = Callable[[str], str]
_FACT = 200  # code points of a fact of a finding
_SHORT = 40  # code points of a value that it is compared with


def rows_of(alert: Alert, look: Look, tame: Tame) -> Iterable[tuple[str, Optional[str]]]:
    """What was judged abnormal: the rule and what it saw, what that was compared with, how to be told no more of it."""
    words = WORDS[look.language]
    for finding in alert.findings:
        label = "note" if finding.severity == INFO else "finding"
        yield label, f"{sentence(finding, look, tame)} [{finding.rule}]"
    if alert.findings:
        yield "graveness", SEVERITIES[look.language][alert.severity]
    for finding in alert.findings:
        seen = [
            words["seen"].format(tame(clean(e.value, _SHORT)), e.times, when(e.last, look.zone))
            for e in finding.evidence
            if e.value
        ]
        if seen:
            yield "evidence", words["besides"].join(seen)
    graver = [finding for finding in alert.findings if finding.severity != INFO]  # a note is no alarm to be silenced
    if graver:
        line = tame(clean(_silencing(graver), 256))
        # What a chat changes but for the joints that `settings` takes out again can't be copied.
        whole = line.replace(JOINT, "") == _silencing(graver) and not MARKUP.intersection(line)
        yield "silence", words["silence how" if whole else "silence where"].format(line if whole else alert.id)
    if alert.learning is not None:
        yield "remark", words["learning"].format(when(alert.learning, look.zone))


def _silencing(findings: Sequence[Finding]) -> str:
    """Return one line that silences all of them: they are of one event, and differ in their rules only."""
    rules = " ".join(finding.rule for finding in findings)
    line, rule = findings[0].silence, findings[0].rule
    return line if len(findings) == 1 else line.replace(f"rule: {rule}", f"rule: {rules}", 1)


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
    numbers = [values[name] for name in ("days", "lasts", "distance", "count") if name in values]
    detail = " / ".join([*numbers[:1], *(values[name] for name in ("limit", "most") if name in values)])
    blank = {"value": "-", "count": "0", "last": "-", "number": "?", "detail": detail}
    return WHY_NOT[look.language][reason].format(**{**blank, **values, "detail": detail})


def _fact(name: str, value: str, look: Look, tame: Tame) -> str:
    if name in TIMES:
        return when(datetime.fromisoformat(value), look.zone)
    if name in SPANS:
        return duration(float(value), look.language)
    shown = clean(value, _FACT)
    return tame(shown.replace(", ", WORDS[look.language]["and"]) if name in LISTS else shown)
