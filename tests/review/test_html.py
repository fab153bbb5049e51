"""The page of a review: whole, harmless, in both languages, readable, and not too large."""

from __future__ import annotations

import base64
import hashlib
import re
import string
import sys
import time
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from tests.review_made import UTC, made, session, whole
from usm.core import model
from usm.core.alert import finding_json, stored
from usm.core.message import Trouble
from usm.core.model import LOGIN, PRIVILEGE, Event, Evidence, Failure, Finding, micros
from usm.core.route import Slot
from usm.history import Judgement
from usm.review.controls import CONTROLS, STANDARDS
from usm.review.html import page
from usm.review.style import CSS
from usm.review.svg import MANY, STYLE
from usm.review.words import DAYS, ENDS, OPEN, REVIEW, SECTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from usm.store import Store

SINCE = datetime(2026, 3, 2, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=7)
VOID = ("meta", "br", "rect", "path")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></svg><b>",
    "\u202egpj.exe\u202c",
    "\x1b[31mred\x07\x00",
    "&lt;b&gt;&#x3c;",
    "=cmd|' /C calc'!A0",
    "שלום-עולם",
    "]]><!--",
    "a" * 5000,
    "https://example.com/x",
)


class Reader(HTMLParser):
    """Reads a page: what is open, what is where, what is said."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, attrs)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it; it is closed."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Close the last one that was opened, and no other."""
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep it."""
        self.text.append(data)


def parsed(text: str) -> Reader:
    """Read a page whose tags are balanced."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def busy(place: Path, names: tuple[str, ...]) -> Store:
    """Return a state file in which everything that a stranger can choose is one of these names."""
    ons = []
    for n, name in enumerate(names):
        start = SINCE + timedelta(hours=n)
        reasons = list(STYLE)
        facts = {"person": name, "comment": name, "key": name, "method": name, "source_ip": name, "tty": name}
        one = session(name, start, start + timedelta(hours=3), end_reason=reasons[n % len(reasons)], **facts)
        ons.append(one._replace(host=name, end=None if one.end_reason == OPEN else one.end))
    store = made(place, ons)
    with store.transaction() as tx:
        for name in names:
            tx.add_failures([Failure(name, name, name, SINCE, SINCE, ((name, name, True, 2),))])
            tx.add_event(Event(PRIVILEGE, SINCE, name, "sudo", name, target=name, command=name))
            event = Event(LOGIN, SINCE, name, "sshd", name)
            finding = Finding(
                "new-method", "warning", {"logins": name, "value": name}, (Evidence(name, 3, SINCE),), name
            )
            edited = Finding("log-edited", "critical", {"how": "shorter", "what": name})
            bodies = [finding_json(finding), finding_json(edited)]
            tx.history.judged(Judgement(None, None, stored(event), bodies, []), micros(SINCE))
            trouble = Trouble("1", "warning", name, None, name, name, name, SINCE)
            tx.enqueue(trouble, [Slot(name, "pending", SINCE)], SINCE)
    return store


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_hostile_name_is_text(tmp_path: Path, language: str) -> None:
    """The tags of the page are those of a harmless one: no name adds any, or an attribute."""
    for folder in ("bad", "good"):
        (tmp_path / folder).mkdir()
    shapes = []
    for folder, names in (("bad", HOSTILE), ("good", tuple(string.ascii_lowercase[: len(HOSTILE)]))):
        text = page(whole(busy(tmp_path / folder, names), SINCE, UNTIL), language)
        reader = parsed(text)
        shapes.append(sorted((tag, tuple(sorted(attrs))) for tag, attrs in reader.tags))
        if folder == "bad":
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
            assert "<script>alert(1)</script>" in "".join(reader.text)
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_needs_nothing_else(tmp_path: Path, language: str) -> None:
    """No script, no form, no address: links lead within the page; the style is the one that the policy names."""
    text = page(whole(busy(tmp_path, HOSTILE[:4]), SINCE, UNTIL), language)
    reader = parsed(text)
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video", "use"}
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    for tag, attrs in reader.tags:
        assert not [name for name in attrs if name.startswith("on") or name in ("src", "style", "srcset", "xlink:href")]
        assert attrs.get("href", "#main")[0] == "#"
        assert attrs.get("href", "#main")[1:] in ids
        assert all(one in ids for one in attrs.get("aria-labelledby", "").split()), (tag, attrs)
    assert re.findall(r"url\(([^)]*)\)", CSS) == ["#hatch"]
    assert "@import" not in CSS
    policy = next(attrs["content"] for _, attrs in reader.tags if attrs.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert f"<style>{CSS}</style>" in text


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("full", [True, False])
def test_it_is_sane_for_who_can_not_see(tmp_path: Path, language: str, *, full: bool) -> None:
    """Landmarks, headings in order, captions and scopes, pictures with title and text; empty too."""
    store = busy(tmp_path, ("ann", "bob")) if full else made(tmp_path, [])
    reader = parsed(page(whole(store, SINCE, UNTIL), language))
    tags = [tag for tag, _ in reader.tags]
    assert [tags.count(tag) for tag in ("h1", "main", "header", "footer", "nav", "title")][:5] == [1] * 5
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in zip([0, *levels], levels))
    assert tags.count("table") == tags.count("caption")
    assert all("scope" in attrs for tag, attrs in reader.tags if tag == "th")
    for tag, attrs in reader.tags:
        assert tag != "svg" or "aria-hidden" in attrs or (attrs["role"] == "img" and attrs["aria-labelledby"])
    assert next(attrs["lang"] for tag, attrs in reader.tags if tag == "html") == {"zh": "zh-CN", "en": "en"}[language]
    assert [attrs["id"] for tag, attrs in reader.tags if tag == "section"] == list(SECTIONS)


def test_both_languages_have_all_words() -> None:
    """The same words with the same places in them; none is left in the other language."""
    assert REVIEW["zh"].keys() == REVIEW["en"].keys()
    for name, text in REVIEW["zh"].items():
        fields = [sorted(f for _, f, _, _ in string.Formatter().parse(t) if f) for t in (text, REVIEW["en"][name])]
        assert fields[0] == fields[1], name
        assert REVIEW["en"][name].isascii() or "×" in REVIEW["en"][name], name
    for language in ("zh", "en"):
        assert set(ENDS[language]) == {*model.END_REASONS, OPEN} == set(STYLE)
        assert len(DAYS[language]) == 7
    assert {s: set(n) for s, n in STANDARDS["zh"].items()} == {s: set(n) for s, n in STANDARDS["en"].items()}


def test_every_control_has_a_name_and_a_section() -> None:
    """And the report says that it supports, never that anything is met."""
    named = {(standard, number) for standard, all_ in STANDARDS["en"].items() for number in all_}
    assert {(s, n) for pairs in CONTROLS.values() for s, numbers in pairs for n in numbers.split(", ")} == named
    assert set(CONTROLS) <= set(SECTIONS)
    assert not re.search("compl(y|ies|iant|iance)|合规", str(REVIEW) + str(STANDARDS))


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_is_enough(*, dark: bool) -> None:
    """4.5 for text, 3 for what is drawn, on each ground that it stands on; axe does not see into pictures."""
    light, _, other = CSS.partition("@media screen and (prefers-color-scheme:dark)")
    colours = dict(re.findall(r"--(\w+):(#\w+)", light))
    if dark:
        colours.update(re.findall(r"--(\w+):(#\w+)", other.partition("*{")[0]))

    def contrast(one: str, two: str) -> float:
        high, low = sorted((luminance(colours[one]), luminance(colours[two])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    texts = [
        (ink, ground) for ink in ("ink", "soft", "link", "good", "bad", "warn", "note") for ground in ("bg", "card")
    ]
    texts += [("n1", "h1"), ("n1", "h2"), ("n1", "h3"), ("n4", "h4")]
    assert {pair: contrast(*pair) for pair in texts if contrast(*pair) < 4.5} == {}
    drawn = [(name, "card") for name in ("normal", "on", "lost", "forced", "blind")]
    assert {pair: contrast(*pair) for pair in drawn if contrast(*pair) < 3} == {}


@pytest.mark.parametrize("users", [1, 200, 5000])
def test_ten_thousand_sessions(tmp_path: Path, users: int, capsys: pytest.CaptureFixture[str]) -> None:
    """No more than 5 MB; the time is printed."""
    ons = []
    for n in range(10_000):
        start = SINCE + timedelta(seconds=n * 60)
        reason = list(model.END_REASONS)[n % 9]
        facts = {"source_ip": f"203.0.113.{n % 250}", "key": f"SHA256:{n % 400:043d}", "end_reason": reason}
        ons.append(session(f"user{n % users}", start, start + timedelta(minutes=n % 600), **facts))
    store = made(tmp_path, ons)
    begin = time.perf_counter()
    found = whole(store, SINCE, UNTIL)
    text = page(found, "zh")
    took = time.perf_counter() - begin
    with capsys.disabled():
        sys.stdout.write(f"\n10,000 sessions of {users} users: {len(text.encode()) / 1e6:.2f} MB in {took:.2f} s\n")
    assert len(found.stays) == 10_000
    assert len(text.encode()) < 5_000_000
    parsed(text)


def test_very_many_bars_become_few(tmp_path: Path) -> None:
    """One user's sessions are drawn as one where they touch, and how some of them ended can still be seen."""
    starts = [SINCE + timedelta(minutes=n * 10) for n in range(1000)]
    ons = [
        session("ann", s, s + timedelta(minutes=9), end_reason="crash" if n == 500 else "disconnected")
        for n, s in enumerate(starts)
    ]
    reader = parsed(page(whole(made(tmp_path, ons), SINCE, UNTIL), "en"))
    bars = [attrs["class"] for tag, attrs in reader.tags if tag == "rect" and attrs.get("class") in set(STYLE.values())]
    assert MANY < 1000
    assert len(bars) < 20
    assert bars.count("forced") == 2  # one in the legend


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_record_that_was_changed_is_told(tmp_path: Path, language: str) -> None:
    """The first fault stands in the page, and in red."""
    store = made(tmp_path, [])
    with store.transaction() as tx:
        for n in range(5):
            tx.record(Event(LOGIN, SINCE + timedelta(hours=n), "box", "sshd", "ann"))
    good, _, _ = page(whole(store, SINCE, UNTIL), language).partition('id="sign"')
    assert '<p class="good">' in good
    with store.writing() as db:
        db.execute("UPDATE record SET user = 'eve' WHERE seq = 3")
    bad, _, _ = page(whole(store, SINCE, UNTIL), language).partition('id="sign"')
    assert '<p class="good">' not in bad
    said = {"zh": "第 3 条被改动", "en": "NOT whole: entry 3 was changed"}[language]
    assert said in bad
