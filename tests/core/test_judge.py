"""Findings: what is off, silenced or still being learned; and that the line which silences one silences no other."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Callable

import pytest
import yaml

from usm import config
from usm.core.judge import Judged, find, judge, silencing
from usm.core.look import Look
from usm.core.message import Alert
from usm.core.model import CRITICAL, FINDING, INFO, LOGIN, LOGOUT, NOTICE, WARNING, Event, Finding, gravest
from usm.core.policy import Policy
from usm.core.profile import Profile
from usm.core.route import Match
from usm.core.rules import RULES
from usm.core.rules.case import BELOW, OFF, SILENCED, Case, Verdict
from usm.core.tame import flat, inert
from usm.core.text import facts

if TYPE_CHECKING:
    from pathlib import Path

CST = timezone(timedelta(hours=8))
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=CST)
ALICE = Event(LOGIN, NOW, "web01", "sshd", "alice", "203.0.113.5", 43867, "password")
Silence = Callable[[str], Policy]


@pytest.fixture
def silence(tmp_path: Path) -> Silence:
    """Return what reads a configuration with these lines below `silence:`."""

    def reader(lines: str) -> Policy:
        (tmp_path / "config.yaml").write_text(f"silence:\n{lines}\n", "utf-8")
        return config.load(str(tmp_path / "config.yaml")).policy

    return reader


def found(rule: str, event: Event = ALICE, policy: Policy = Policy(), **facts: Any) -> object:  # noqa: ANN401, B008
    """Return what becomes of what a rule found."""
    return find(Verdict(rule, None), event, policy, NOW, **facts)


def test_severities_have_an_order() -> None:
    """The gravest of several; without any it is `info`."""
    severities = (NOTICE, CRITICAL, WARNING)
    findings = tuple(Finding("root", severity, {}) for severity in severities)
    assert (gravest(severities), gravest(()), Judged(findings[::2]).severity) == (CRITICAL, INFO, WARNING)


@pytest.mark.parametrize("rule", RULES)
def test_learning_makes_only_that_harmless_which_compares_with_history(rule: str) -> None:
    """What needs no history is as grave on the first day as later."""
    finding = found(rule, learning=True)
    assert isinstance(finding, Finding)
    assert finding.severity == (INFO if RULES[rule].history else RULES[rule].severity)


def test_a_verdict_may_be_graver_than_its_rule() -> None:
    """But not while that is being learned."""
    verdict = Verdict("new-source", None, severity=WARNING)
    severities = [find(verdict, ALICE, Policy(), NOW, learning=learning)[1] for learning in (False, True)]
    assert severities == [WARNING, INFO]


def test_which_condition_silences_is_said() -> None:
    """By its number in the list; each condition is one as in `except:`."""
    policy = Policy(silence=(Match(users=("bob",)), Match(rules=("root",)), Match(severities=(WARNING,))))
    assert found("root", policy=policy) == Verdict("root", SILENCED, {"number": "2"})
    assert found("new-key", policy=policy) == Verdict("new-key", SILENCED, {"number": "3"})
    assert isinstance(found("new-user", policy=policy), Finding)


def test_every_rule_is_asked_and_answers() -> None:
    """What is off says so; what found something is no finding where it is silenced."""
    rules = {name: setting for name, setting in Policy().rules.items() if name != "root"}
    policy = Policy(rules, (Match(rules=("dormant",)),))
    case = Case(ALICE, Profile(), policy, NOW)
    judged = judge(
        case,
        {
            "root": lambda _: Verdict("root", None),
            "dormant": lambda _: Verdict("dormant", None),
            "new-key": lambda _: Verdict("new-key", BELOW),
            "forwarded": lambda case: Verdict("forwarded", None, {"usual": f"{case.numbers['usual']:g}"}),
        },
        learning=False,
    )
    assert [(v.rule, v.reason) for v in judged.verdicts] == [
        ("root", OFF),
        ("dormant", SILENCED),
        ("new-key", BELOW),
        ("forwarded", None),
    ]
    assert [(f.rule, f.facts) for f in judged.findings] == [("forwarded", {"usual": "3"})]


# -- the line that silences

HOSTILE = [
    "alice",
    "*",
    "a*",
    "?",
    "[ab]",
    "[!a]",
    "a]b",
    "[[]",
    "a: b",
    "a #b",
    "{x}",
    "{",
    "}",
    "[",
    ",",
    "a, rule: root",
    "on",
    "On",
    "off",
    "no",
    "y",
    "N",
    "null",
    "~",
    "true",
    "123",
    "1e3",
    "0x1f",
    "1_000",
    "12:30:45",
    "2026-11-25",
    ".inf",
    "nan",
    "=",
    "<<",
    "-",
    "--- x",
    "&a",
    "*a",
    "!x",
    "|",
    ">",
    "%x",
    "@x",
    "`x`",
    '"',
    "'",
    '"a"',
    "\\",
    "\\n",
    "a\\",
    " a",
    "a ",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "\x00",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "张三",
    "über",
    "a张",
    "\u2028",
    "\ufeff",
    "\U0001f480",
    "a.b@corp.example",
    "svc+x",
    "ops_a",
    "x" * 64,
]


def pasted(line: str) -> Any:  # noqa: ANN401 - YAML
    """Return what YAML reads of a line."""
    (read,) = yaml.safe_load(f"silence:\n  {line}\n")["silence"]
    return read


@pytest.mark.parametrize("user", HOSTILE)
def test_a_line_for_any_name_is_yaml_and_fits_that_name_only(user: str, silence: Silence) -> None:
    """Whatever a stranger called himself: pasted, it loads and silences him, and nobody else."""
    line = silencing("root", ALICE._replace(user=user))
    assert "\n" not in line
    policy = silence("  " + line)
    assert found("root", ALICE._replace(user=user), policy) == Verdict("root", SILENCED, {"number": "1"})
    for other in HOSTILE:
        if other != user:
            assert isinstance(found("root", ALICE._replace(user=other), policy), Finding), other
    assert isinstance(found("new-user", ALICE._replace(user=user), policy), Finding)
    assert isinstance(found("root", ALICE._replace(user=user, source_ip="192.0.2.1"), policy), Finding)


@pytest.mark.parametrize(
    "ip", ["203.0.113.5", "2001:db8:1:2::7", "::1", "fe80::1%eth0", "127.0.0.1", "::ffff:203.0.113.5"]
)
def test_a_line_for_any_address(ip: str, silence: Silence) -> None:
    """IPv6 is quoted, as its colons say something to YAML."""
    event = ALICE._replace(source_ip=ip)
    assert isinstance(found("root", event, silence(silencing("root", event))), Verdict)


def test_the_line_says_whose_and_from_where() -> None:
    """Of a login both, of what follows only whose, of what many did only from where, of the machine neither."""
    assert silencing("root", ALICE) == "- {rule: root, user: alice, source: 203.0.113.0/24}"
    assert silencing("abnormal-end", ALICE._replace(kind=LOGOUT)) == "- {rule: abnormal-end, user: alice}"
    attack = Event(FINDING, NOW, "web01", "sshd", source_ip="2001:db8::7")
    assert silencing("spraying", attack) == '- {rule: spraying, source: "2001:db8::/48"}'
    tried = Event(FINDING, NOW, "web01", "sshd", "alice")
    assert silencing("failed-user", tried) == "- {rule: failed-user, user: alice}"
    assert silencing("log-edited", Event(FINDING, NOW, "web01", "usm")) == "- {rule: log-edited}"


@pytest.mark.parametrize("rule", ["too-long", "idle"])
def test_the_line_for_a_session_silences_its_user_only(rule: str, silence: Silence) -> None:
    """Not all who come from the same office."""
    event = ALICE._replace(kind=FINDING)
    policy = silence(silencing(rule, event))
    assert isinstance(found(rule, event, policy), Verdict)
    assert isinstance(found(rule, event._replace(user="bob"), policy), Finding)


def test_the_line_for_the_machine_itself_silences_no_network(silence: Silence) -> None:
    """Who logged in at the console is not silenced when he comes from elsewhere."""
    event = ALICE._replace(source_ip=None, service="login")
    policy = silence(silencing("off-hours", event))
    assert isinstance(found("off-hours", event, policy), Verdict)
    assert isinstance(found("off-hours", ALICE, policy), Finding)


@pytest.mark.parametrize("tame", [str, inert, flat])
@pytest.mark.parametrize("user", ["alice", "ops_a", "a.b"])
def test_the_line_can_be_copied_from_a_chat(user: str, tame: Callable[[str], str], silence: Silence) -> None:
    """What a channel does to strangers' text leaves the line such that it loads and silences, or it is not shown."""
    event = ALICE._replace(user=user)
    finding = found("root", event)
    assert isinstance(finding, Finding)
    shown = dict(facts(Alert("a" * 16, event, NOTICE, findings=(finding,)), Look("en", CST), tame=tame))[
        "If it was you"
    ]
    if "_" in user:  # some chats take it for markup: where it can be copied is said
        assert shown == f"this shows the line that silences it: usm explain {'a' * 16}"
        return
    policy = silence(shown.partition("configuration: ")[2])
    assert isinstance(found("root", event, policy), Verdict)
