"""The whole product against real sshd, rsyslogd and ssh: what it told and stored is what was done, no more, no less."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.system import scenarios
from tests.system.conftest import Counted, Watch, Watcher, expected
from tests.system.lab import until
from usm.store import Store

if TYPE_CHECKING:
    from tests.system.lab import Client, Lab
    from tests.system.scenarios import Fact, Scenario


def failures(watch: Watch) -> Counted:
    """Return how often each credential of each kind was counted as refused."""
    store = Store(str(watch.state), readonly=True)
    found: Counted = Counter()
    for failure in store.failures():
        for user, method, invalid, count in failure.who:
            found[failure.source_ip, user, method, invalid] += count
    store.close()
    return found


def refused(truth: list[Fact]) -> Counted:
    """Return how often they really were, as far as sshd writes it down."""
    rows = [row for row in truth if row["kind"] == "failed" and row["logged"]]
    return Counter((row["source_ip"], row["user"], row["method"], row["invalid_user"]) for row in rows)


def settle(watch: Watch, truth: list[Fact]) -> None:
    """Wait until all that is expected came, then demand that all that ever came is exactly that."""
    due, want = watch.due + expected(truth), watch.counted + refused(truth)
    watch.wait(len(due))
    until(lambda: sum(failures(watch).values()) >= sum(want.values()), "the failures to be counted")
    # Whatever is wrong now is not wrong in the next test as well.
    watch.due, watch.counted = told, counted = watch.told(), failures(watch)
    assert told == due
    assert counted == want


def guesses(lab: Lab) -> list[Fact]:
    """Guess a user's password, and one of nobody, several times in one connection."""
    known = lab.attempt("alice", "198.51.100.20", passwords=tuple("abcde"))
    unknown = lab.attempt("oracle", "198.51.100.20", passwords=tuple("abc"))
    return scenarios.failed(known, 5) + scenarios.failed(unknown, 3, invalid=True)


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.__name__)
def test_what_is_told_is_what_was_done(day: Watch, scenario: Scenario) -> None:
    """Hold for each scenario; something told too much or too late fails the next one."""
    truth = scenario(day.lab)
    if scenario in scenarios.FAILURES:
        truth += scenarios.command(day.lab)  # whatever came too much was told before this
    settle(day, truth)
    check_sessions(day, truth)


def check_sessions(watch: Watch, truth: list[Fact]) -> None:
    """Demand that the last sessions stored are those of the truth."""
    logins = [row for row in truth if row["kind"] == "login"]
    ends = {row["source_port"]: row["end_reason"] for row in truth if row["kind"] == "logout"}
    stored = watch.sessions()[-len(logins) :]
    facts = ("user", "source_ip", "source_port", "method", "key", "service")
    assert [[row[name] for name in facts] for row in stored] == [[row[name] for name in facts] for row in logins]
    assert {row["source_port"]: row["end_reason"] for row in stored if row["end"]} == ends


@pytest.mark.parametrize(("dress", "reduce"), [("rfc3164", False), ("rfc3164", True), ("rfc5424", False)])
def test_the_dress_makes_no_difference(watcher: Watcher, dress: str, reduce: bool) -> None:  # noqa: FBT001
    """Hold in each format of rsyslogd, also where it folds repeated lines."""
    watch = watcher(dress=dress, reduce=reduce)
    acts = (scenarios.key, guesses, scenarios.killed)
    truth = [row for act in acts for row in act(watch.lab)]
    settle(watch, truth)
    check_sessions(watch, truth)
    assert reduce == any(b"message repeated" in line for line in watch.lab.lines())


def test_a_card_says_the_same(watcher: Watcher) -> None:
    """Show user, address and reason on the card, which is what a group sees by default."""
    watch = watcher(form="card")
    login, logout = expected(scenarios.password(watch.lab))
    watch.wait(2)
    texts = watch.feishu.texts()
    assert [text.split("\n")[0] for text in texts] == ["用户登录通知", "用户登出通知"]
    for text, told in zip(texts, (login, logout)):
        assert told.user in text
        assert told.source_ip in text
    assert "正常退出" in texts[1]


def test_a_rotation_loses_and_doubles_nothing(watcher: Watcher) -> None:
    """Follow a rename with lines in both files, then a truncation, with a session open across both."""
    watch = watcher()
    lab = watch.lab
    truth: list[Fact] = []
    across = lab.connect("alice", "key", "203.0.113.5")
    truth.append(scenarios.login(across))
    lab.rotate_rename(between=lambda: truth.extend(scenarios.command(lab)))
    truth += scenarios.command(lab)
    watch.wait(len(truth))
    lab.rotate_copytruncate()
    truth += scenarios.command(lab)
    across.exit()
    truth.append(scenarios.logout(across, "disconnected"))
    settle(watch, truth)
    check_sessions(watch, truth)


def test_a_killed_monitor_goes_on_where_it_was(watcher: Watcher) -> None:
    """Kill it with sessions open: what ends and begins meanwhile is told when it is back, with address and start."""
    watch = watcher()
    lab = watch.lab
    stays, leaves = (lab.connect("alice", "key", source) for source in ("203.0.113.5", "203.0.113.6"))
    truth = [scenarios.login(stays), scenarios.login(leaves)]
    watch.wait(2)
    watch.end(signal.SIGKILL)
    leaves.kill()
    truth.append(scenarios.logout(leaves, "closed"))
    truth += scenarios.wrong_then_right(lab)
    watch.start()
    stays.exit()
    truth.append(scenarios.logout(stays, "disconnected"))
    settle(watch, truth)
    check_sessions(watch, truth)


def test_the_past_is_not_told(watcher: Watcher) -> None:
    """Start at the end of the log: who came before is history, and its end joins nothing."""
    watch = watcher()
    watch.end()
    watch.state.unlink()
    before: Client = watch.lab.connect("bob", "password", "203.0.113.6")
    watch.start()
    before.exit()
    truth = scenarios.command(watch.lab)
    settle(watch, truth)
