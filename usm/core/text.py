"""Message → title and facts, in Chinese and English, or as a template says."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING, Callable, Optional

from usm.core import model
from usm.core.look import Look, duration, when
from usm.core.message import Alert, Digest, Summary, Trouble
from usm.core.phrases import NAMES
from usm.core.phrasing import rows_of, sentence
from usm.core.tame import clean, cut
from usm.core.words import KINDS, METHODS, REASONS, TITLES, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from usm.core.message import Message, Top
    from usm.core.model import Event

Tame = Callable[[str], str]
Rows = list[tuple[str, str]]
_HEADLINE = 200  # characters of a title that a template makes
_SHORT = 40  # code points of a name in a digest, where twenty stand side by side
DIGEST, TROUBLE, MENDED = "digest", "trouble", "mended"
# The facts that a template may name. Absent ones are "-".
FACTS = (
    "title",
    "kind",
    "severity",
    "host",
    "address",
    "service",
    "user",
    "person",
    "comment",
    "source_ip",
    "source_port",
    "method",
    "key",
    "tty",
    "pid",
    "session",
    "time",
    "start",
    "until",
    "duration",
    "end_reason",
    "reason",
    "target",
    "command",
    "count",
    "rules",
    "findings",
)


def unknown_facts(template: str) -> list[str]:
    """Return what a template names and nobody knows; a `$` that begins no name is itself what is wrong."""
    found = []
    for match in Template.pattern.finditer(template):
        name = match["named"] or match["braced"]
        if name is None and match["invalid"] is not None:
            found.append("$")
        elif name is not None and name not in FACTS:
            found.append(name)
    return found


def tone(message: Message) -> str:
    """Return what decides a message's colour: `critical` or `warning`, else what kind of message it is."""
    if isinstance(message, Summary):
        return DIGEST
    if isinstance(message, Trouble):
        return MENDED if message.mended else TROUBLE
    if message.severity in (model.CRITICAL, model.WARNING):
        return message.severity
    return DIGEST if isinstance(message, Digest) else message.event.kind


def title(message: Message, look: Look, *, tame: Tame = str) -> str:
    """Return the headline; it tells apart an abnormal logout, a trial message, and what is not about one event.

    `tame` is applied to the values that a stranger may have chosen; a channel to a chat gives `inert`.
    """
    words = WORDS[look.language]
    if isinstance(message, Digest):
        return words["digest"].format(message.total)
    if isinstance(message, Summary):
        return words["summary"].format(when(message.time, look.zone)[:10])
    if isinstance(message, Trouble):
        return words["mended" if message.mended else "trouble"].format(tame(clean(message.channel)))
    text = _title(message, look.language)
    if look.title is not None:
        text = cut(_filled(look.title, message, look, tame).partition("\n")[0], _HEADLINE)
    return words["test"].format(text) if message.test else text


def facts(message: Message, look: Look, *, tame: Tame = str) -> Rows:
    """Return what is known as (label, value), the most important first; every value is clean; `tame` as for `title`."""
    words = WORDS[look.language]
    if isinstance(message, Digest):
        rows = _of_digest(message, look, tame)
    elif isinstance(message, Summary):
        rows = _of_summary(message, look)
    elif isinstance(message, Trouble):
        rows = _of_trouble(message, look)
    else:
        rows = _of_alert(message, look, tame)
    return [(words[name], value) for name, value in rows if value is not None]


def lines(message: Message, look: Look, *, tame: Tame = str) -> list[str]:
    """Return the facts as `label: value`, one line each, or the template's lines; `tame` as for `title`."""
    if look.body is not None and isinstance(message, Alert):
        return _filled(look.body, message, look, tame).rstrip("\n").split("\n")
    line = WORDS[look.language]["line"]
    return [line.format(label, value) for label, value in facts(message, look, tame=tame)]


def plain_text(message: Message, look: Look, *, tame: Tame = str) -> str:
    """Return the title and the facts, one line each; `tame` as for `title`."""
    return "\n".join((title(message, look, tame=tame), *lines(message, look, tame=tame)))


def _title(alert: Alert, language: str) -> str:
    text = TITLES[language][alert.event.kind]
    if alert.event.kind == model.FINDING:
        names = [NAMES[language][finding.rule] for finding in alert.findings]
        return WORDS[language]["line"].format(text, ", ".join(names)) if names else text
    ended = alert.event.kind == model.LOGOUT and alert.event.end_reason not in model.NORMAL_ENDS
    found = any(finding.severity != model.INFO for finding in alert.findings)
    return WORDS[language]["abnormal"].format(text) if ended or found else text


def _filled(template: str, alert: Alert, look: Look, tame: Tame) -> str:
    """Fill a template in; every value is one clean line, so that it can't add lines of its own."""
    event, language = alert.event, look.language
    values: dict[str, object] = {name: getattr(event, name, None) for name in FACTS}
    for name in ("time", "start", "until"):
        moment = getattr(event, name)
        values[name] = None if moment is None else when(moment, look.zone)
    values.update(
        title=_title(alert, language),
        severity=alert.severity,
        address=alert.address,
        duration=None if event.duration is None else duration(event.duration, language),
        reason=None if event.end_reason is None else REASONS[language][event.end_reason],
        rules=" ".join(finding.rule for finding in alert.findings) or None,
        findings="; ".join(sentence(finding, look, tame) for finding in alert.findings) or None,
    )
    ours = (
        "title",
        "reason",
        "time",
        "start",
        "until",
        "duration",
        "rules",
        "findings",
    )  # what we wrote ourselves holds no strangers' text
    shown = {
        name: "-" if value is None else str(value) if name in ours else tame(clean(str(value)))
        for name, value in values.items()
    }
    return Template(template).substitute(shown)


def _of_alert(alert: Alert, look: Look, tame: Tame) -> Iterable[tuple[str, Optional[str]]]:
    words, event = WORDS[look.language], alert.event

    def chosen(value: Optional[str]) -> Optional[str]:
        return None if value is None else tame(clean(value)) if value.strip() else words["blank"]

    method = None if event.method is None else METHODS[look.language].get(event.method, event.method)
    return (
        ("server", clean(event.host)),
        ("server address", _cleaned(alert.address)),
        ("user", chosen(event.user) or (None if event.kind == model.FINDING else words["unknown"])),
        ("person", chosen(event.person)),
        ("comment", None if event.person else chosen(event.comment)),
        ("address", _source(event.source_ip, tame)),
        *_course(event, look),
        ("target", chosen(event.target)),
        ("command", chosen(event.command)),
        ("method", _cleaned(method)),
        ("port", None if event.source_port is None else str(event.source_port)),
        ("tty", _cleaned(event.tty)),
        ("service", None if event.service == "sshd" else clean(event.service)),
        ("key", chosen(event.key)),
        ("remark", words["late"] if alert.late else None),
        *rows_of(alert, look, tame),
    )


def _of_digest(digest: Digest, look: Look, tame: Tame) -> Iterable[tuple[str, Optional[str]]]:
    words = WORDS[look.language]

    def shown(top: Top, absent: str, made: Callable[[str], Optional[str]]) -> str:
        names = [(absent if name is None else made(name), count) for name, count in top.named]
        parts = [words["times"].format(name, count) for name, count in names]
        return ", ".join([*parts, words["others"].format(top.others, top.rest)] if top.others else parts)

    span = words["range"].format(when(digest.first, look.zone), when(digest.last, look.zone))
    several = len(digest.hosts.named) > 1
    return (
        ("server", clean(digest.host)),
        ("server address", _cleaned(digest.address)),
        ("total", str(digest.total)),
        ("kinds", ", ".join(words["times"].format(KINDS[look.language][kind], n) for kind, n in digest.kinds)),
        ("abnormal ones", str(digest.abnormal) if digest.abnormal else None),
        ("span", span),
        ("users", shown(digest.users, words["unknown"], lambda name: tame(clean(name, _SHORT)))),
        ("sources", shown(digest.sources, words["nowhere"], lambda ip: _source(ip, tame))),
        ("servers", shown(digest.hosts, words["unknown"], clean) if several else None),
        ("more", words["look here"]),
    )


def _of_summary(summary: Summary, look: Look) -> Iterable[tuple[str, Optional[str]]]:
    words, language = WORDS[look.language], look.language
    kinds = ", ".join(words["times"].format(KINDS[language][kind], n) for kind, n in summary.kinds)
    found = ", ".join(words["times"].format(NAMES[language].get(rule, rule), n) for rule, n in summary.found)
    waiting = words["undelivered"].format(summary.waiting, summary.dead) if summary.waiting or summary.dead else None
    return (
        ("server", clean(summary.host)),
        ("server address", _cleaned(summary.address)),
        ("span", words["range"].format(when(summary.since, look.zone), when(summary.time, look.zone))),
        ("kinds", kinds or words["nothing"]),
        ("abnormal ones", found or words["nothing"]),
        ("on", str(summary.on)),
        ("messages", waiting),
        ("head", summary.head),
        ("more", words["verify"]),
    )


def _of_trouble(trouble: Trouble, look: Look) -> Iterable[tuple[str, Optional[str]]]:
    words = WORDS[look.language]
    return (
        ("server", clean(trouble.host)),
        ("server address", _cleaned(trouble.address)),
        ("channel", clean(trouble.channel)),
        ("time", when(trouble.time, look.zone)),
        ("code", None if trouble.mended else clean(trouble.code)),
        ("meaning", None if trouble.mended else clean(trouble.detail, 256)),
        ("kept", words["sent on" if trouble.mended else "kept how"]),
    )


def _course(event: Event, look: Look) -> tuple[tuple[str, Optional[str]], ...]:
    """Return when it happened and how it ended; `until` makes the time a range."""
    language, zone = look.language, look.zone
    words = WORDS[language]
    time = when(event.time, zone)
    if event.until is not None:
        time = words["range"].format(time, when(event.until, zone))
    if event.kind == model.LOGIN:
        return (("login time", time),)
    if event.kind == model.PRIVILEGE:
        return (("privilege time", time),)
    if event.kind == model.FINDING:
        start = None if event.start is None else when(event.start, zone)
        lasts = None if event.duration is None else duration(event.duration, language)
        return (("finding time", time), ("login time", start), ("duration", lasts))
    if event.kind == model.FAILED:
        return (
            ("failed time", time),
            ("count", str(event.count)),
            ("remark", words["invalid user"] if event.invalid_user else None),
        )
    lasted = None if event.duration is None else duration(event.duration, language)
    if lasted is not None and event.until is not None:
        lasted = words["at least"].format(lasted)
    return (
        ("login time", None if event.start is None else when(event.start, zone)),
        ("logout time", time),
        ("duration", lasted),
        ("reason", None if event.end_reason is None else REASONS[language][event.end_reason]),
    )


def _cleaned(value: Optional[str]) -> Optional[str]:
    return None if value is None else clean(value)


def _source(ip: Optional[str], tame: Tame) -> Optional[str]:
    """Return an address as it is: a link to it is harmless, but a zone behind it may be anything."""
    return _cleaned(ip) if ip is None or "%" not in ip else tame(clean(ip))
