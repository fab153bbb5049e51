"""`judge:` and `silence:` as they are configured: every form of them, and what is said of mistakes."""

from __future__ import annotations

import ipaddress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Callable

import pytest
import yaml

from usm.config import load
from usm.core.hours import parse
from usm.core.policy import DEFAULTS, Policy, Setting
from usm.core.route import Match
from usm.core.rules import RULES
from usm.errors import ConfigError
from usm.policy import days_of

if TYPE_CHECKING:
    from pathlib import Path

    from usm.config import Config

Read = Callable[[Any], "Config"]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return what reads a configuration: a tree, or text."""

    def reader(tree: Any) -> Config:  # noqa: ANN401 - YAML
        text = tree if isinstance(tree, str) else yaml.safe_dump(tree, allow_unicode=True)
        (tmp_path / "config.yaml").write_text(text, "utf-8")
        return load(str(tmp_path / "config.yaml"))

    return reader


def problems(read: Read, tree: Any) -> list[str]:  # noqa: ANN401 - YAML
    """Return what is wrong, without the file."""
    with pytest.raises(ConfigError) as caught:
        read(tree)
    return [problem.split(": ", 1)[1] for problem in caught.value.problems]


def test_without_a_word_everything_is_judged(read: Read) -> None:
    """With the rules' own numbers, a week of learning and three months of history."""
    for tree in ("", "judge:", "judge: {}", "judge: {rules: {}}", "silence:"):
        config = read(tree)
        assert config.policy == Policy()
        assert config.places == ()
    assert dict(DEFAULTS) == {name: Setting(rule.severity, rule.numbers) for name, rule in RULES.items()}
    assert (Policy().learning, Policy().history) == (timedelta(days=7), timedelta(days=90))


def test_every_form_of_a_rule(read: Read) -> None:
    """Off, a severity, or keys; numbers that are not given stay."""
    text = """
    judge:
      rules:
        new-source: off
        new-key: "off"
        root: critical
        failed-user: {severity: warning, within: 1h}
        failed-source: {failures: 3}
        dormant: {after: 864000}
        impossible-travel: {speed: 100000}
        enumeration: {}
    """
    rules = read(text).policy.rules
    assert "new-source" not in rules
    assert "new-key" not in rules
    assert rules["root"] == Setting("critical", {"usual": 3})
    assert rules["failed-user"] == Setting("warning", {"failures": 20, "within": 3600.0})
    assert rules["failed-source"] == Setting("notice", {"failures": 3, "within": 600.0})
    assert rules["dormant"].numbers == {"after": 864000.0}
    assert rules["impossible-travel"].numbers == {"speed": 100000, "distance": 500, "usual": 5}
    assert rules["enumeration"] == DEFAULTS["enumeration"]
    assert len(rules) == len(RULES) - 2


def test_every_form_of_the_rest(read: Read, tmp_path: Path) -> None:
    """Lists for all, or by name; spans, networks, files."""
    (tmp_path / "days").write_text("2026-10-01 off\n2026-10-10 work\n")
    config = read(
        """
        judge:
          learning: 3d
          history: 30d
          allow: {ops-*: [10.0.0.0/8, local], "*": 2001:db8::/32}
          trusted: 198.51.100.0/24
          hours: {ops-*: "22:00-06:00", "*": ["mon-fri 08:00-18:00", "sat"]}
          holidays: days
          places: /var/lib/GeoIP/GeoLite2-City.mmdb
        silence: [{rule: root, user: admin}, info]
        """
    )
    policy = config.policy
    assert (policy.learning, policy.history) == (timedelta(days=3), timedelta(days=30))
    assert policy.allow == (
        ("ops-*", (ipaddress.ip_network("10.0.0.0/8"), None)),
        ("*", (ipaddress.ip_network("2001:db8::/32"),)),
    )
    assert policy.trusted == (ipaddress.ip_network("198.51.100.0/24"),)
    assert policy.hours == (
        ("ops-*", (parse("22:00-06:00"),)),
        ("*", (parse("mon-fri 08:00-18:00"), parse("sat"))),
    )
    assert policy.days == {date(2026, 10, 1): False, date(2026, 10, 10): True}
    assert config.places == ("/var/lib/GeoIP/GeoLite2-City.mmdb",)
    assert policy.silence == (Match(users=("admin",), rules=("root",)), Match(severities=("info",)))
    flat = read("judge: {allow: [10.0.0.0/8], hours: 'mon-fri 08:00-18:00', learning: 0s}").policy
    assert flat.allow == (("*", (ipaddress.ip_network("10.0.0.0/8"),)),)
    assert flat.hours == (("*", (parse("mon-fri 08:00-18:00"),)),)
    assert flat.learning == timedelta(0)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"judge": "yes"}, "judge: must hold keys, not text"),
        ({"judge": {"rule": {}}}, "judge.rule: is no key that is known here; did you mean `rules`?"),
        ({"judge": {"rules": ["root"]}}, "judge.rules: must hold keys, not a list"),
        (
            {"judge": {"rules": {"new-sorce": "off"}}},
            "judge.rules.new-sorce: is no rule that is known here; did you mean `new-source`?",
        ),
        ({"judge": {"rules": {"zzz": "off"}}}, "judge.rules.zzz: is no rule that is known here; known are new-user, "),
        (
            {"judge": {"rules": {7: "off"}}},
            "judge.rules.(a key that YAML takes for something else than a word; put it in quotes): is no rule",
        ),
        (
            {"judge": {"rules": {"root": True}}},
            "judge.rules.root: must be off, a severity (info, notice, warning, critical), or keys such as `severity:`",
        ),
        ({"judge": {"rules": {"root": None}}}, "judge.rules.root: must be off, a severity"),
        ({"judge": {"rules": {"root": 0}}}, "judge.rules.root: must be off, a severity"),
        ({"judge": {"rules": {"root": "loud"}}}, "judge.rules.root: must be off, a severity"),
        ({"judge": {"rules": {"root": ["off"]}}}, "judge.rules.root: must be off, a severity"),
        (
            {"judge": {"rules": {"root": {"severity": "loud"}}}},
            "judge.rules.root.severity: must be one of info, notice, warning, critical",
        ),
        (
            {"judge": {"rules": {"root": {"within": "5m"}}}},
            "judge.rules.root.within: is no key that is known here; known are severity, usual",
        ),
        (
            {"judge": {"rules": {"failed-user": {"failure": 3}}}},
            "judge.rules.failed-user.failure: is no key that is known here; did you mean `failures`?",
        ),
        (
            {"judge": {"rules": {"failed-user": {"failures": 65}}}},
            "judge.rules.failed-user.failures: must be a whole number from 1 to 64",
        ),
        (
            {"judge": {"rules": {"failed-user": {"failures": -1}}}},
            "judge.rules.failed-user.failures: must be a whole number from 1 to 64",
        ),
        (
            {"judge": {"rules": {"failed-user": {"failures": "3"}}}},
            "judge.rules.failed-user.failures: must be a whole number from 1 to 64",
        ),
        (
            {"judge": {"rules": {"failed-user": {"failures": True}}}},
            "judge.rules.failed-user.failures: must be a whole number from 1 to 64",
        ),
        (
            {"judge": {"rules": {"failed-user": {"failures": 1.5}}}},
            "judge.rules.failed-user.failures: must be a whole number from 1 to 64",
        ),
        (
            {"judge": {"rules": {"impossible-travel": {"speed": 100001}}}},
            "judge.rules.impossible-travel.speed: must be a whole number from 1 to 100000",
        ),
        (
            {"judge": {"rules": {"failed-user": {"within": "soon"}}}},
            "judge.rules.failed-user.within: must be a time such as 30s, 5m or 1h",
        ),
        ({"judge": {"learning": "a week"}}, "judge.learning: must be a time such as 30s, 5m or 1h"),
        ({"judge": {"history": -1}}, "judge.history: must be a time such as 30s, 5m or 1h"),
        ({"judge": {"allow": "everywhere"}}, "judge.allow: must be networks such as 10.0.0.0/8 or 2001:db8::/32"),
        ({"judge": {"allow": {"alice": "home"}}}, "judge.allow.alice: must be networks such as 10.0.0.0/8"),
        ({"judge": {"allow": {7: "10.0.0.0/8"}}}, "judge.allow: must have names of users as keys, such as `ops-*`"),
        ({"judge": {"hours": "9-5"}}, "judge.hours: must be times such as 22:00-06:00"),
        ({"judge": {"hours": {"alice": "9-5"}}}, "judge.hours.alice: must be times such as 22:00-06:00"),
        ({"judge": {"hours": {True: "sat"}}}, "judge.hours: must have names of users as keys, such as `ops-*`"),
        ({"judge": {"trusted": ["10.0.0.0/99"]}}, "judge.trusted: must be networks such as 10.0.0.0/8"),
        ({"judge": {"places": ["GeoLite2-City.mmdb"]}}, "judge.places: must be absolute paths of files in MaxMind's"),
        ({"judge": {"places": 7}}, "judge.places: must be text, or a list of texts"),
        ({"judge": {"holidays": 7}}, "judge.holidays: must be text, not a number"),
        (
            {"judge": {"holidays": "none"}},
            "judge.holidays: none: No such file or directory; it must hold lines such as `2026-10-01 off`",
        ),
        ({"silence": []}, "silence: is empty; leave it out, or write conditions such as `kind: [login]`"),
        ({"silence": [{"rule": "rot"}]}, "silence.rule: must be one of new-user, "),
        ({"silence": [{"rules": "root"}]}, "silence.rules: is no key that is known here; did you mean `rule`?"),
        ({"silence": [{"source": "home"}]}, "silence.source: must be networks such as 10.0.0.0/8"),
        ({"silence": "roots"}, "silence: holds a word that is no kind, no severity and no rule"),
    ],
)
def test_what_is_wrong_is_said(read: Read, tree: Any, said: str) -> None:  # noqa: ANN401 - YAML
    """Where it stands, and what to write instead."""
    (problem,) = problems(read, tree)
    assert problem.startswith(said)


def test_all_that_is_wrong_is_said_at_once(read: Read) -> None:
    """Each rule by itself."""
    tree = {"judge": {"rules": {"root": 7, "zzz": "off"}, "learning": "x"}, "silence": []}
    assert len(problems(read, tree)) == 4


def test_a_calendar_is_dates_and_words() -> None:
    """Comments and empty lines are skipped; the last line of a day counts."""
    text = "# China\n\n2026-10-01 off # National Day\n  2026-10-10\twork\r\n2026-10-02 off\n2026-10-02 work\n"
    assert days_of(text) == (
        {date(2026, 10, 1): False, date(2026, 10, 10): True, date(2026, 10, 2): True},
        None,
    )
    assert days_of("") == ({}, None)


@pytest.mark.parametrize(
    "line",
    [
        "2026-10-01",
        "2026-10-01 free",
        "2026-13-01 off",
        "2026-02-30 off",
        "1.10.2026 off",
        "2026-10-01 off x",
        "２026-10-01 off",
    ],
)
def test_a_line_that_is_no_day(line: str, read: Read, tmp_path: Path) -> None:
    """It is named by its number, with what it must be."""
    (tmp_path / "days").write_text(f"2026-01-01 off\n{line}\n", "utf-8")
    assert problems(read, {"judge": {"holidays": "days"}}) == [
        "judge.holidays: days, line 2: must be a date and `off` or `work`, such as `2026-10-01 off`"
    ]


def test_a_calendar_that_is_no_text(read: Read, tmp_path: Path) -> None:
    """Whatever the file is, it is a problem and no crash."""
    (tmp_path / "days").write_bytes(b"\xff\xfe")
    (said,) = problems(read, {"judge": {"holidays": str(tmp_path / "days")}})
    assert said.endswith("days: is not UTF-8 text; it must hold lines such as `2026-10-01 off`")
    (said,) = problems(read, {"judge": {"holidays": "."}})
    assert said.startswith("judge.holidays: .: Is a directory; it must hold lines")
