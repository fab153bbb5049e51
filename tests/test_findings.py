"""Each rule, from the line of a log to the words of a message: what it finds, how it is set, and how it is silenced.

The scenes are in tests/findings.py, which also writes the goldens anew: `python -m tests.findings`.
"""

from __future__ import annotations

import json
from datetime import timezone
from typing import TYPE_CHECKING, Any

import pytest

from tests.findings import (
    CST,
    DAY,
    EN,
    FAR,
    GOLDEN,
    HOME,
    HOUR,
    MINUTE,
    NOON,
    OTHER,
    PLACES,
    SCENES,
    SECOND,
    THIRD,
    World,
    play,
    row,
)
from usm.core.look import Look
from usm.core.model import CRITICAL, FINDING, INFO, LOGIN, SEVERITIES, WARNING, Event, Seat, Session, micros
from usm.core.rules import RULES
from usm.core.text import plain_text
from usm.export import event_documents
from usm.history import begin, judgements
from usm.query import Filter, events

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDENS = {entry["rule"]: entry for entry in map(json.loads, GOLDEN.read_text(encoding="utf-8").splitlines())}


def test_every_rule_has_a_golden() -> None:
    """A rule that is added gets a scene and a golden, in the order in which the rules are listed."""
    assert list(GOLDENS) == list(SCENES) == list(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_what_a_rule_finds(rule: str) -> None:
    """The facts, the evidence, how grave it is, how to silence it, and what people read in both languages."""
    assert row(rule) == GOLDENS[rule]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("off", ["off", False])
def test_a_rule_that_is_off_finds_nothing(rule: str, *, off: object) -> None:
    """In quotes or not, which YAML takes for `false`."""
    assert play(rule, off) == []


@pytest.mark.parametrize("rule", RULES)
def test_the_line_that_a_finding_suggests_silences_it(rule: str) -> None:
    """It is pasted below `silence:` as it is, also indented as it stands in the file."""
    alert, finding = play(rule)[-1]
    for indent in ("", "  "):
        assert alert.id not in [left.id for left, _ in play(rule, silence=indent + finding.silence)]


@pytest.mark.parametrize("rule", RULES)
def test_another_users_line_silences_nothing(rule: str) -> None:
    """Nor that of another network."""
    for line in (f"- {{rule: {rule}, user: mallory}}", f"- {{rule: {rule}, source: 100.64.0.0/10}}"):
        assert play(rule, silence=line) == play(rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_rule_is_as_grave_as_it_is_set(rule: str, severity: str) -> None:
    """As one word, or beside other keys."""
    for setting in (severity, {"severity": severity}):
        alert, finding = play(rule, setting)[-1]
        assert finding.severity == severity
        assert alert.severity == max((f.severity for f in alert.findings), key=SEVERITIES.index)


# With these each scene falls short; `usual`: seen once is usual then.
SHORT: Mapping[str, Mapping[str, Any]] = {
    "new-method": {"logins": 7},
    "unusual-service": {"logins": 7},
    "root": {"usual": 1},
    "service-account": {"usual": 1},
    "young-account": {"age": "119m"},
    "dormant": {"after": "41d"},
    "impossible-travel": {"speed": 11900, "distance": 11900, "usual": 1},
    "success-after-failures": {"failures": 6, "within": "5m"},
    "slow-guessing": {"failures": 11, "sources": 6, "within": "9h"},
    "many-sources": {"sources": 4},
    "forwarded": {"usual": 1},
    "failed-source": {"failures": 11, "within": "89s"},
    "failed-user": {"failures": 21, "within": "3m"},
    "enumeration": {"users": 6, "within": "40s"},
    "spraying": {"users": 6, "within": "40s"},
    "too-long": {"after": "97h"},
    "idle": {"after": "14h"},
    "short-sessions": {"sessions": 6, "shorter": "1s", "within": "4m"},
    "mass-end": {"sessions": 6, "within": "8s"},
    "privilege-failed": {"failures": 4, "within": "2m"},
}
# With these it is just enough.
MORE: Mapping[str, Mapping[str, Any]] = {
    "new-method": {"logins": 6},
    "unusual-service": {"logins": 6},
    "root": {"usual": 2},
    "young-account": {"age": "2h"},
    "dormant": {"after": "959h"},
    "impossible-travel": {"speed": 11800, "distance": 11800, "usual": 2},
    "success-after-failures": {"failures": 3, "within": "361s"},
    "slow-guessing": {"failures": 3, "sources": 5},
    "many-sources": {"sources": 2},
    "failed-source": {"failures": 3, "within": "91s"},
    "failed-user": {"failures": 3, "within": "191s"},
    "enumeration": {"users": 3, "within": "41s"},
    "spraying": {"users": 3, "within": "41s"},
    "too-long": {"after": "96h"},
    "idle": {"after": "13h"},
    "short-sessions": {"sessions": 3, "shorter": "3s", "within": "241s"},
    "mass-end": {"sessions": 3, "within": "9s"},
    "privilege-failed": {"failures": 2, "within": "121s"},
}


def test_every_number_is_tried() -> None:
    """A number that is added to a rule gets a row in the table."""
    assert {rule: set(numbers) for rule, numbers in SHORT.items()} == {
        rule: set(kind.numbers) for rule, kind in RULES.items() if kind.numbers
    }


@pytest.mark.parametrize(("rule", "name"), [(rule, name) for rule, numbers in SHORT.items() for name in numbers])
def test_a_number_decides(rule: str, name: str) -> None:
    """With it the same scene is nothing out of the ordinary."""
    before = play(rule)[-1][0].id
    assert before not in [alert.id for alert, _ in play(rule, {name: SHORT[rule][name]})]


@pytest.mark.parametrize(("rule", "name"), [(rule, name) for rule, numbers in MORE.items() for name in numbers])
def test_with_another_number_less_is_enough(rule: str, name: str) -> None:
    """It is found, with as many, or as long, as the number says."""
    assert play(rule, {name: MORE[rule][name]})


# -- what decides beside the numbers


def words(world: World, rule: str) -> str:
    """Return the whole message of the last finding of a rule, in English."""
    return plain_text(world.found(rule)[-1][0], EN)


def verdicts(world: World, session: Session) -> dict[str, str]:
    """Return why the rules found nothing in a session's login."""
    with world.store.reading() as db:
        (judged,) = judgements(db, session.id, micros(session.start))
    return {rule: reason for rule, reason, _ in judged.verdicts}


def test_a_source_abroad_is_graver_than_a_new_one_at_home() -> None:
    """Another provider of the same country is new; another country is a warning; the same provider is usual."""
    places = {**PLACES, FAR: PLACES[HOME]._replace(asn=64500)}
    world = World(places=places)
    for day in range(-3, 0):
        world.visit(day * DAY)
    world.visit(0 * DAY, ip=THIRD)
    assert world.found("new-source") == []  # the provider is the same, and so is the country
    world.visit(1 * DAY, ip=FAR)
    world.visit(3 * DAY, ip=OTHER)
    found = [(finding.severity, finding.facts["place"]) for _, finding in world.found("new-source")]
    assert found == [("notice", "CN, AS64500"), (WARNING, "US, AS64497")]
    assert "before came from 198.51.100.0/24 (US, AS64497) [new-source]" in words(world, "new-source")


def test_an_address_of_a_known_network_is_known() -> None:
    """Of a /24, or a /48 of IPv6."""
    world = World()
    for day, ip in enumerate((HOME, FAR, "203.0.113.200", "2001:db8:5:ffff::1")):
        world.visit(day * DAY, ip=ip)
    assert [alert.event.source_ip for alert, _ in world.found("new-source")] == [FAR]


def test_what_an_intruder_shows_does_not_become_usual() -> None:
    """After a critical finding the same source is as new as before."""
    world = World()
    for day in range(-3, 0):
        world.visit(day * DAY)
    for n in range(5):
        world.fail(n * SECOND, ip=OTHER)
    world.login(MINUTE, ip=OTHER)
    world.login(HOUR, ip=OTHER)
    found = [(alert.severity, finding.rule) for alert in world.alerts() for finding in alert.findings]
    assert found.count((CRITICAL, "success-after-failures")) == 1
    assert len(world.found("new-source")) == 2


def test_a_login_in_the_same_batch_as_the_failures_before_it() -> None:
    """What is read at once is judged as if it was read line by line."""
    world = World()
    world.visit(-1 * DAY)
    failed = [(n * SECOND, "sshd[7]", f"Failed password for alice from {HOME} port {50000 + n} ssh2") for n in range(5)]
    world.lines(*failed, (MINUTE, "sshd[8]", f"Accepted password for alice from {HOME} port 50009 ssh2"))
    assert [finding.facts["count"] for _, finding in world.found("success-after-failures")] == ["5"]


def test_failures_after_a_login_in_the_same_batch_are_not_before_it() -> None:
    """They are no reason for an alarm about the login."""
    world = World()
    world.visit(-1 * DAY)
    failed = [
        (n * MINUTE, "sshd[7]", f"Failed password for alice from {HOME} port {50000 + n} ssh2") for n in range(1, 7)
    ]
    world.lines((SECOND, "sshd[8]", f"Accepted password for alice from {HOME} port 50009 ssh2"), *failed)
    assert world.found("success-after-failures") == []


def test_who_mistypes_where_he_always_is_does_not_guess_slowly() -> None:
    """Failures from many sources, then a login from a known one."""
    world = World()
    world.visit(-1 * DAY)
    for n in range(-10, 0):
        world.fail(n * HOUR - 30 * MINUTE, ip=f"192.0.2.{n % 5}")
    world.login(0 * DAY)
    assert world.found("slow-guessing") == []
    (session,) = world.store.sessions()
    assert verdicts(world, session)["slow-guessing"] == "known"


@pytest.mark.parametrize(
    ("command", "shell"),
    [
        ("/bin/bash", True),
        ("/usr/bin/zsh -l", True),
        ("/usr/bin/su -", True),
        ("/bin/sh -c id", False),
        ("/usr/bin/id", False),
        ("", False),
    ],
)
def test_what_a_root_shell_is(command: str, *, shell: bool) -> None:
    """A shell that is not given one command; `su` inside sudo is one too."""
    world = World()
    world.sudo(0 * DAY, "root", command)
    assert bool(world.found("root-shell")) == shell


def test_su_to_root_is_a_root_shell_once() -> None:
    """It does not say whether with a command; the second time it is known."""
    world = World()
    for n in range(2):
        world.line(n * HOUR, f"su[{n + 1}]", "(to root) alice on pts/0")
    assert len(world.found("root-shell")) == 1


def test_privileges_without_a_terminal_are_told_when_they_are_abnormal() -> None:
    """What automation does is not told; a root shell of a web server is."""
    world = World()
    world.sudo(0 * DAY, "root", "/usr/bin/id", tty="unknown")
    world.sudo(HOUR, "root", "/usr/bin/id", tty="unknown")
    world.sudo(2 * HOUR, "root", "/bin/bash", tty="unknown")
    assert [[f.rule for f in alert.findings] for alert in world.alerts()] == [["first-privilege"], ["root-shell"]]


def test_a_trusted_network_says_nothing_of_where_somebody_is() -> None:
    """A VPN's exit is neither far away nor one source more."""
    trusted = f"judge: {{trusted: [{OTHER}/24]}}"
    world = World(trusted, PLACES)
    SCENES["impossible-travel"].play(world)
    assert world.found("impossible-travel") == []
    world = World(trusted)
    SCENES["many-sources"].play(world)
    assert world.found("many-sources") == []


def test_travel_needs_exact_places() -> None:
    """A country alone is not enough."""
    world = World(places={ip: place._replace(latitude=None) for ip, place in PLACES.items()})
    SCENES["impossible-travel"].play(world)
    assert world.found("impossible-travel") == []


@pytest.mark.parametrize(("ip", "allowed"), [("203.0.113.9", True), ("203.0.114.9", False), ("2001:db8::1", False)])
def test_from_where_a_user_may_come(ip: str, *, allowed: bool) -> None:
    """One list for all."""
    world = World("judge: {allow: [203.0.113.0/24, local]}")
    world.login(0 * DAY, ip=ip)
    world.console(HOUR, "alice")
    assert [alert.event.source_ip for alert, _ in world.found("not-allowed")] == ([] if allowed else [ip])


def test_the_first_pattern_that_fits_says_from_where() -> None:
    """Whom none fits may come from everywhere; without `local` not from the machine itself."""
    world = World("judge: {allow: {'ops-*': [10.0.0.0/8], 'ops-a': [203.0.113.0/24]}}")
    world.login(0 * DAY, "ops-a")
    world.login(HOUR, "bob")
    world.console(2 * HOUR, "ops-b")
    found = [(alert.event.user, finding.facts["source"]) for alert, finding in world.found("not-allowed")]
    assert found == [("ops-a", HOME), ("ops-b", "local")]


def test_a_long_session_is_told_once_while_it_lasts_and_not_again_at_its_end() -> None:
    """One that ends before it was looked at is told of at its end."""
    world = World()
    first, second = world.login(-5 * DAY), world.login(-5 * DAY, "bob")
    world.system(-5 * DAY, there=(first, second))
    world.leave(-1 * DAY, second, "bob")
    for hour in range(3):
        world.system(hour * HOUR, there=(first,))
    world.leave(4 * HOUR, first)
    assert [(a.event.kind, a.event.user) for a, _ in world.found("too-long")] == [
        ("logout", "bob"),
        ("finding", "alice"),
    ]


def test_a_session_at_which_somebody_types_again_is_not_told_twice() -> None:
    """Nor one that has just begun on a terminal that was quiet before."""
    world = World()
    leader, other = world.login(-15 * HOUR), world.login(-1 * HOUR, "bob")
    seats = [
        Seat(leader, 7, NOON - 15 * HOUR, "alice", "sshd", HOME, leader, "pts/0"),
        Seat(other, 7, NOON - HOUR, "bob", "sshd", HOME, other, "pts/1"),
    ]
    quiet = {"pts/0": NOON - 13 * HOUR, "pts/1": NOON - 20 * HOUR}
    for minute in range(3):
        world.system(minute * MINUTE, *seats, there=(leader, other), typed=quiet)
    assert [alert.event.user for alert, _ in world.found("idle")] == ["alice"]


def test_who_is_always_short_is_not_told_of() -> None:
    """A program that copies a file every minute."""
    world = World()
    for n in range(30):
        world.leave(n * MINUTE - 20 * DAY + SECOND, world.login(n * MINUTE - 20 * DAY, "copy"), "copy")
    before = len(world.found("short-sessions"))
    for n in range(30):
        world.leave(n * MINUTE + SECOND, world.login(n * MINUTE, "copy"), "copy")
    assert len(world.found("short-sessions")) == before


def test_a_silent_log_is_told_of_those_only_whose_lines_are_read() -> None:
    """A service whose logins nobody writes down is no reason for an alarm."""
    world = World()
    world.system(0 * DAY, Seat(4000, 7, NOON - MINUTE, "alice", "lxdm", tty="tty7"))
    assert [alert.event.service for alert in world.alerts()] == ["lxdm"]
    assert world.found("log-silent") == []


def test_what_a_rule_says_of_an_ordinary_login() -> None:
    """Each has a reason, and the message says nothing of it."""
    world = World("judge: {rules: {dormant: off}}\nsilence: [{rule: root, user: root}, {rule: new-user}]")
    world.visit(-1 * DAY, "root")
    world.login(0 * DAY, "root")
    assert [alert.findings for alert in world.alerts()] == [(), (), ()]
    (session,) = world.store.sessions()
    said = verdicts(world, session)
    assert (said["root"], said["new-source"], said["new-user"]) == ("silenced", "known", "known")
    assert "dormant" not in said


def test_while_it_is_learned_what_is_usual_comparing_with_it_is_no_alarm() -> None:
    """What needs no history is; the message says until when it is learned."""
    world = World("judge: {learning: 30d}")
    with world.store.writing() as db:
        db.execute("DELETE FROM fact")
        begin(db, micros(NOON - 10 * DAY))
    world.visit(-2 * DAY, "root")
    world.visit(-1 * DAY, "root", OTHER)
    found = {finding.rule: finding.severity for alert in world.alerts() for finding in alert.findings}
    assert found == {"new-user": INFO, "new-source": INFO, "root": "notice"}
    until = (NOON + 20 * DAY).astimezone(CST).strftime("%Y-%m-%d %H:%M:%S")
    remark = f"Remark: learning until {until}: what comes from comparing with history is no alarm before"
    assert remark in words(world, "new-source").splitlines()
    world.visit(21 * DAY, "root")
    assert "learning until" not in plain_text(world.alerts()[-1], EN)


def test_what_is_off_is_not_counted_and_not_kept() -> None:
    """A finding is counted by its rule and severity."""
    world = World("judge: {rules: {new-user: off}}")
    SCENES["root-shell"].play(world)
    counters = world.store.counters()
    assert {key[1:]: value for key, value in counters.items() if key[0] == "findings"} == {
        ("first-privilege", "notice"): 1,
        ("root-shell", "warning"): 1,
    }


def test_one_more_failure_behind_a_login_changes_nothing() -> None:
    """In the same batch: each failure counts at its own time."""
    world = World()
    tries = [f"Failed password for bob from {OTHER} port {4000 + n} ssh2" for n in range(7)]
    entered = f"Accepted password for alice from {OTHER} port 4100 ssh2"
    last = f"Failed password for bob from {OTHER} port 4200 ssh2"
    world.lines(*((n * SECOND, f"sshd[{n + 1}]", text) for n, text in enumerate((*tries, entered, last))))
    ((alert, finding),) = world.found("success-after-failures")
    assert (alert.event.user, finding.facts["count"]) == ("alice", "7")


def test_two_findings_of_the_same_are_two_messages() -> None:
    """A receiver drops an id that it knows."""
    world = World()
    names = [f"Failed password for invalid user guest{n} from {OTHER} port {4000 + n} ssh2" for n in range(10)]
    world.lines(*((n * SECOND, f"sshd[{n + 1}]", text) for n, text in enumerate(names)))
    ids = [alert.id for alert in world.alerts() if alert.event.kind == FINDING]
    assert len(ids) == len(set(ids)) == 2


def test_an_intruders_session_counts_among_several_sources() -> None:
    """Also where it taught nothing."""
    world = World()
    world.login(0 * SECOND, ip="10.0.0.1")
    for n in range(6):
        world.fail((10 + n) * SECOND, ip=OTHER)
    world.login(20 * SECOND, ip=OTHER)
    world.login(30 * SECOND, ip="192.0.2.99")
    assert len(world.found("many-sources")) == 1


def test_a_host_name_in_place_of_an_address_is_in_no_network() -> None:
    """Vsftpd and others may write one: it is neither this machine's nor a trusted or allowed one."""
    world = World("judge: {trusted: [10.0.0.0/8], allow: [10.0.0.0/8]}")
    event = Event(LOGIN, NOON, "web01", "vsftpd", "alice", "gate.example.com", session="00" * 8)
    assert world.watch.judge is not None
    with world.store.transaction() as tx:
        (told,) = world.watch.judge.judge(tx, event)
    assert {finding.rule for finding in told.findings} >= {"not-allowed"}
    assert "forwarded" not in {finding.rule for finding in told.findings}


def test_what_root_does_as_another_is_no_first_privilege() -> None:
    """Root needs none."""
    world = World()
    world.line(0 * SECOND, "sudo", "    root : TTY=pts/0 ; PWD=/ ; USER=alice ; COMMAND=/usr/bin/id")
    assert world.found("first-privilege") == []


def test_an_exported_finding_has_the_id_of_its_message() -> None:
    """Whoever takes both in knows that they are one."""
    world = World()
    for n in range(10):
        world.fail(n * SECOND, ip=OTHER)
    told = {alert.id for alert in world.alerts() if alert.event.kind == FINDING}
    with world.store.reading() as db:
        documents = list(event_documents(events(db, Filter(kind=FINDING)), "ecs", Look("en", timezone.utc)))
    assert {document["event"]["id"] for document in documents} == told != set()
