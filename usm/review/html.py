"""A review as one page that needs nothing else: no script, nothing from elsewhere; every stranger's text is text."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from usm.core.look import Look, when
from usm.review import last, parts
from usm.review.bits import roughly, text
from usm.review.controls import CONTROLS
from usm.review.style import CSS
from usm.review.svg import HATCH
from usm.review.words import REVIEW, SECTIONS

if TYPE_CHECKING:
    from usm.review.model import Review

_LOOK = ' class="look"'
_TONGUES = {"zh": "zh-CN", "en": "en"}
_PARTS = {
    "who": parts.who,
    "where": parts.where,
    "when": parts.hours,
    "timeline": parts.lines,
    "ends": parts.ends,
    "abnormal": parts.abnormal,
    "unseen": last.unseen,
    "told": last.told,
    "proof": last.proof,
    "sign": last.sign,
    "controls": last.controls,
}


def page(review: Review, language: str) -> str:
    """Return the page."""
    words = REVIEW[language]
    title = text(words["title"].format(hosts=", ".join(review.hosts)), 200)
    digest = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    links = "".join(f'<li><a href="#{name}">{words[name]}</a></li>' for name in SECTIONS)
    return "\n".join(
        (
            f'<!DOCTYPE html>\n<html lang="{_TONGUES[language]}">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">',
            f"<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>",
            f'<a class="skip" href="#main">{words["skip"]}</a>\n{HATCH}',
            f"<header>\n<h1>{title}</h1>\n{_facts(review, language)}\n</header>",
            f'<nav aria-labelledby="contents"><h2 id="contents">{words["contents"]}</h2><ul>{links}</ul></nav>',
            f'<main id="main" tabindex="-1">\n{_tiles(review, language)}',
            *(_section(name, review, language) for name in SECTIONS),
            f"</main>\n<footer><p>{words['evidence']}</p><p>{_made(review)}</p></footer>\n</body>\n</html>\n",
        )
    )


def _made(review: Review) -> str:
    frame = review.frame
    return f"user-session-monitor {text(frame.version)} · {when(frame.made, frame.zone)}"


def _section(name: str, review: Review, language: str) -> str:
    words = REVIEW[language]
    listed = " · ".join(f"{standard} {numbers}" for standard, numbers in CONTROLS.get(name, ()))
    supports = f'<p class="soft">{words["supports"].format(list=listed)}</p>' if listed else ""
    body = _PARTS[name](review, Look(language, review.frame.zone))
    top = f'<section id="{name}" aria-labelledby="{name}-h">\n<h2 id="{name}-h">{words[name]}</h2>'
    return f"{top}\n{supports}{body}\n</section>"


def _facts(review: Review, language: str) -> str:
    words, frame = REVIEW[language], review.frame
    zone = frame.since.astimezone(frame.zone).strftime("%Z (UTC%z)")
    span = words["between"].format(since=when(frame.since, frame.zone), until=when(frame.until, frame.zone), zone=zone)
    rows = [
        (words["host"], ", ".join(text(host, 64) for host in review.hosts)),
        (words["span"], text(span, 120)),
        (words["made"], when(frame.made, frame.zone)),
        (words["version"], f"user-session-monitor {text(frame.version)}"),
    ]
    remarks = []
    if frame.pattern != "*":
        rows.append((words["only"], f"<bdi>{text(frame.pattern)}</bdi>"))
        remarks.append(words["filtered"].format(pattern=f"<bdi>{text(frame.pattern)}</bdi>"))
    if review.began is not None and review.began > frame.since:
        remarks.append(words["began"].format(began=when(review.began, frame.zone)))
    if frame.until > frame.made:
        remarks.append(words["ahead"].format(made=when(frame.made, frame.zone)))
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f'<dl class="facts">{listed}</dl>' + "".join(f'<p class="soft">{remark}</p>' for remark in remarks)


def _tiles(review: Review, language: str) -> str:
    """Return the numbers in front; those that need a look are red, and not nought."""
    words = REVIEW[language]
    told = [(name, sum(getattr(one, name) for one in review.told)) for name in ("sent", "pending", "dead")]
    tiles = [
        (words["people"], str(sum(1 for person in review.people if person.sessions)), False),
        (words["sessions"], str(len(review.stays)), False),
        (words["hours"], roughly(review.seconds, language), False),
        (words["found"], str(len(review.found)), bool(review.found)),
        (words["refused"], str(review.refused), False),
        (words["unobserved"], roughly(review.unobserved, language), bool(review.unobserved)),
        *((words[name], str(count), name == "dead" and count > 0) for name, count in told),
    ]
    each = (f"<div{_LOOK if look else ''}><dt>{name}</dt><dd>{value}</dd></div>" for name, value, look in tiles)
    return f'<dl class="tiles">{"".join(each)}</dl>'
