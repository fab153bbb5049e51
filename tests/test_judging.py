"""The judge beside the log: what the system shows, what is kept of it, and that nothing is counted twice."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.findings import DAY, HOME, HOUR, KEY, MINUTE, NOON, OTHER, PLACES, SCENES, SECOND, World
from usm.core.model import INFO, Seat
from usm.core.rules import RULES
from usm.history import judgements, latest
from usm.ingest import Watch

SILENT = Seat(4000, 7, NOON - MINUTE, "alice", "sshd", OTHER, tty="pts/0")


def counted(world: World) -> dict[tuple[str, ...], int]:
    """Return the findings as they are counted."""
    return {key[1:]: value for key, value in world.store.counters().items() if key[0] == "findings"}


def told(world: World) -> dict[tuple[str, ...], int]:
    """Return the findings as they were told."""
    found: dict[tuple[str, ...], int] = {}
    for alert in world.alerts():
        for finding in alert.findings:
            key = (finding.rule, finding.severity)
            found[key] = found.get(key, 0) + 1
    return found


def rows(world: World) -> list[tuple[Any, ...]]:
    """Return what is kept of judged events: id, and which rules found something."""
    with world.store.reading() as db:
        found = db.execute("SELECT event, session, findings FROM judgement ORDER BY id").fetchall()
    return [(event, session, [one["rule"] for one in json.loads(findings)]) for event, session, findings in found]


@pytest.mark.parametrize("rule", RULES)
def test_what_is_told_is_counted_once(rule: str) -> None:
    """By rule and severity."""
    world = World(json.dumps({"judge": dict(SCENES[rule].judge)}), SCENES[rule].places)
    SCENES[rule].play(world)
    assert counted(world) == told(world)


def test_a_silent_login_is_judged_once() -> None:
    """What its rules found and what the system shows is one judgement, counted once."""
    world = World()
    world.visit(-1 * DAY)
    world.system(0 * DAY, SILENT)
    assert counted(world) == told(world)
    kept = [row for row in rows(world) if "log-silent" in row[2] or "new-source" in row[2]]
    assert [found for *_, found in kept] == [["new-source", "log-silent"]]


def test_what_was_told_can_be_asked_about_by_its_id() -> None:
    """Of every rule: the id of the message is that of the judgement."""
    for rule, scene in SCENES.items():
        world = World(json.dumps({"judge": dict(scene.judge)}), scene.places)
        scene.play(world)
        for alert, finding in world.found(rule):
            with world.store.reading() as db:
                found = judgements(db, alert.id, None)
            assert [one["rule"] for judged in found for one in judged.findings].count(finding.rule) == 1, rule


def test_the_latest_findings_are_listed() -> None:
    """The newest first."""
    world = World()
    world.visit(0 * DAY, "bob")
    world.visit(HOUR, "carol")
    with world.store.reading() as db:
        users = [judged.facts["user"] for judged in latest(db, 9) if judged.facts is not None]
    assert users == ["carol", "bob"]


def test_a_session_of_another_machine_is_not_looked_at() -> None:
    """A log server's own terminals say nothing of it."""
    world = World()
    text = "Accepted password for alice from 203.0.113.5 port 43867 ssh2"
    world.line(-5 * DAY, "sshd[1000]", text)
    world.watch = world.watch._replace(host=world.watch.host._replace(name="other", boot="c" * 32))
    world.look = world.look._replace(missing={}, unknown=frozenset())
    with world.store.writing() as db:
        db.execute("UPDATE session SET boot = NULL, host = 'db01'")
    world.system(0 * DAY, there=(1000,))
    assert world.found("too-long") == []


def test_nobody_asks_where_no_judge_is() -> None:
    """A watch without one tells events as they are."""
    world = World()
    world.watch = Watch(world.watch.host, world.watch.routes)
    world.login(0 * DAY, "mallory")
    world.remark(0 * DAY, "unobserved", {})
    assert [(alert.event.kind, alert.findings, alert.severity) for alert in world.alerts()] == [("login", (), INFO)]


def test_places_and_accounts_are_asked_for_once_a_login() -> None:
    """A directory service may be slow."""
    asked: list[str] = []
    world = World(places=PLACES)
    judge = world.watch.judge
    assert judge is not None
    judge._account_of = lambda _host, user: asked.append(user)
    world.visit(0 * DAY)
    world.sudo(HOUR, "root", "/usr/bin/id")
    assert asked == ["alice"]


def test_a_log_that_is_read_late_is_judged_by_its_own_times() -> None:
    """What comes first in the log was first, whenever it is read."""
    world = World()
    world.lines(
        (-1 * DAY, "sshd[1]", f"Accepted publickey for alice from {HOME} port 40001 ssh2: {KEY}"),
        (-1 * DAY + SECOND, "sshd[2]", f"Disconnected from user alice {HOME} port 40001"),
        (0 * DAY, "sshd[3]", f"Accepted publickey for alice from {OTHER} port 40002 ssh2: {KEY}"),
    )
    assert [[f.rule for f in alert.findings] for alert in world.alerts()] == [["new-user"], [], ["new-source"]]


def test_what_is_forgotten_is_new_again() -> None:
    """But not the user: that he was here is worth more than from where."""
    world = World("judge: {history: 30d, rules: {dormant: off}}")
    for day in (-50, -45, -20):
        world.visit(day * DAY, ip=HOME if day < -40 else OTHER)
    world.login(0 * DAY, ip=HOME)
    assert [[f.rule for f in alert.findings] for alert in world.alerts()] == [
        *(["new-user"], [], [], [], ["new-source"], []),
        ["new-source"],
    ]


def test_an_account_that_was_made_is_told_to_nobody() -> None:
    """It is remembered for the login that comes of it."""
    world = World()
    SCENES["young-account"].play(world)
    assert {alert.event.kind for alert in world.alerts()} == {"login", "logout"}
    assert all(alert.event.service != "useradd" for alert in world.alerts())


def test_learning_ends_when_enough_was_learned() -> None:
    """On the day, to the moment."""
    for over, severity in ((timedelta(0), "notice"), (-SECOND, INFO)):
        world = World("judge: {learning: 60d}")
        world.login(over, "bob")
        ((alert, finding),) = world.found("new-user")
        assert finding.severity == severity
        assert (alert.learning is None) == (severity == "notice")
