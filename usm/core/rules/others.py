"""The rules for privileges and ends of sessions, and those that count: failures, short sessions, many ends at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core import model
from usm.core.model import NORMAL_ENDS, UNOBSERVED
from usm.core.profile import LOGIN, SHELL, SHORT, TARGET
from usm.core.rules.case import BELOW, EVIDENCE, NOT_CONCERNED, USUAL, Case, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from usm.core.recent import Entry

_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "fish", "tcsh", "csh", "su"))
_MOSTLY = 0.2  # of a user's sessions are short: then they are usual
_ALL_AT_ONCE = frozenset((model.CRASH, UNOBSERVED))  # of themselves: the reason says enough


def _first_privilege(case: Case) -> Verdict:
    rule, target = "first-privilege", case.event.target
    seen = case.profile.seen(TARGET, target or "")
    if target is None or case.event.user in (None, "root"):
        return Verdict(rule, NOT_CONCERNED)
    if seen is not None:
        return case.known(rule, TARGET, target) or Verdict(rule, NOT_CONCERNED)
    return Verdict(rule, None, {"target": target}, case.profile.latest(TARGET, EVIDENCE))


def _root_shell(case: Case) -> Verdict:
    rule = "root-shell"
    if not is_root_shell(case.event):
        return Verdict(rule, NOT_CONCERNED)
    return case.known(rule, SHELL, "root") or Verdict(rule, None, {"service": case.event.service})


def is_root_shell(event: model.Event) -> bool:
    """Tell whether somebody became root and may now do what is not written down."""
    if event.kind != model.PRIVILEGE or event.target != "root" or event.user in (None, "root"):
        return False
    if event.service == "su":  # it does not say whether with a command
        return True
    words = (event.command or "").split()
    return bool(words) and words[0].rpartition("/")[2] in _SHELLS and "-c" not in words


def _abnormal_end(case: Case) -> Verdict:
    rule, reason = "abnormal-end", case.event.end_reason or ""
    if reason in NORMAL_ENDS or reason == UNOBSERVED:
        return Verdict(rule, NOT_CONCERNED)
    return Verdict(rule, None, {"end_reason": reason})


def _ended_unobserved(case: Case) -> Verdict:
    unobserved = case.event.end_reason == UNOBSERVED
    return Verdict("ended-unobserved", None if unobserved else NOT_CONCERNED)


def _too_long(case: Case) -> Verdict:
    lasted = case.event.duration or 0.0
    facts = {"lasts": f"{lasted:.0f}", "most": f"{case.numbers['after']:.0f}"}
    return Verdict("too-long", None if lasted >= case.numbers["after"] else BELOW, facts)


def _short_sessions(case: Case) -> Verdict:
    """Some users' sessions are always short: programs that copy a file or ask for a number."""
    rule, lasted = "short-sessions", case.event.duration
    if lasted is None or lasted >= case.numbers["shorter"] or case.event.source_ip is None:
        return Verdict(rule, NOT_CONCERNED)
    short, all_of_them = case.profile.seen(SHORT), case.profile.count(LOGIN)
    count = sum(entry.times for entry in case.user.within(case.since(), case.time)) + 1
    facts = {"count": str(count), "limit": f"{case.numbers['sessions']:g}"}
    if count < case.numbers["sessions"]:
        return Verdict(rule, BELOW, facts)
    # Those that are counted now are among them; what was usual before decides.
    earlier = 0 if short is None else short.times - count + 1
    if earlier >= max(1.0, _MOSTLY * (all_of_them - count)):
        return Verdict(rule, USUAL, {**case.shown("", short), "count": str(earlier)} if short else {})
    return Verdict(rule, None, facts)


PRIVILEGE_JUDGES: dict[str, Callable[[Case], Verdict]] = {
    "first-privilege": _first_privilege,
    "root-shell": _root_shell,
}
LOGOUT_JUDGES: dict[str, Callable[[Case], Verdict]] = {
    "abnormal-end": _abnormal_end,
    "ended-unobserved": _ended_unobserved,
    "too-long": _too_long,
    "short-sessions": _short_sessions,
}


class Burst(NamedTuple):
    """So many within a window: how many, of or from whom, when the first was, and whether it is so only now."""

    times: int
    tags: tuple[str, ...]
    first: int
    fresh: bool = False


def burst(
    entries: Iterable[Entry], limit: float, *, distinct: bool = False, flag: Optional[int] = None
) -> Optional[Burst]:
    """Return what a window holds if that is so many as to be told: in all, or `distinct` tags. `flag`: only those."""
    chosen = [entry for entry in entries if flag is None or entry.flag == flag]
    tags = tuple(dict.fromkeys(entry.tag for entry in chosen))
    if not chosen or (len(tags) if distinct else sum(entry.times for entry in chosen)) < limit:
        return None
    return Burst(sum(entry.times for entry in chosen), tags, chosen[0].time)


def counts_as_mass(event: model.Event) -> bool:
    """Tell whether an end is one of those of which many at once mean something."""
    return event.end_reason not in NORMAL_ENDS and event.end_reason not in _ALL_AT_ONCE
