"""What shows only in many: counted exactly, told once, and bounded whoever attacks."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.findings import CST, DAY, HOST, HOUR, MINUTE, NOON, OTHER, SECOND, World, policy_of
from usm import history
from usm.core.decode import Stamps
from usm.core.message import Alert
from usm.core.model import Batch, Failure
from usm.core.route import Route
from usm.history import MOST_RECENT
from usm.ingest import Intake, Watch, ingest
from usm.judging import Judge
from usm.outbox import Outbox
from usm.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from usm.judging import Told


def folded(times: int, begin: timedelta, until: timedelta, *users: str, invalid: bool = False) -> Failure:
    """Return the failures of one source, as the tally folds them."""
    who = tuple((user, "password", invalid, times) for user in users)
    return Failure(HOST.name, "sshd", OTHER, NOON + begin, NOON + until, who)


def failures(world: World, *found: Failure) -> list[Told]:
    """Judge folded failures."""
    judge = world.watch.judge
    assert judge is not None
    with world.store.transaction() as tx:
        return judge.failures(tx, found)


def rules(told: list[Told]) -> list[str]:
    """Return what was found."""
    return [finding.rule for one in told for finding in one.findings]


def test_a_folded_row_counts_as_its_lines_would() -> None:
    """Ten failures within a minute are ten, whether they were read one by one or at once."""
    assert rules(failures(World(), folded(9, 0 * DAY, MINUTE, "root"))) == []
    assert rules(failures(World(), folded(10, 0 * DAY, MINUTE, "root"))) == ["failed-source"]


def test_a_folded_row_that_lasts_long_is_spread_over_its_time() -> None:
    """Forty failures in ten hours, read after a pause, are no burst."""
    assert rules(failures(World(), folded(40, -10 * HOUR, 0 * DAY, "root"))) == []
    assert set(rules(failures(World(), folded(40_000, -10 * HOUR, 0 * DAY, "root")))) == {
        "failed-source",
        "failed-user",
    }


def test_names_that_exist_are_sprayed_and_others_are_guessed() -> None:
    """Each name counts once, however often it is tried."""
    users = [f"u{n}" for n in range(5)]
    assert rules(failures(World(), folded(1, 0 * DAY, SECOND, *users))) == ["spraying"]
    assert rules(failures(World(), folded(1, 0 * DAY, SECOND, *users, invalid=True))) == ["enumeration"]
    assert rules(failures(World(), folded(2, 0 * DAY, SECOND, *users[:4]))) == []


def test_failures_far_apart_are_no_burst() -> None:
    """The window is ten minutes."""
    world = World()
    for n in range(30):
        world.fail(n * 2 * MINUTE, ip=OTHER)
    assert world.alerts() == []


def test_an_attack_from_many_sources_is_one_alert_for_all_of_them() -> None:
    """The counts go on, the latest sources are named, and it is told again when it is ten times as many."""
    world = World()
    for source in range(20):
        for n in range(10):
            world.fail((source * 10 + n) * SECOND, ip=f"198.51.100.{source}")
    told = [finding.facts for _, finding in world.found("failed-source")]
    assert [(fact["count"], fact["names"]) for fact in told] == [
        ("10", "198.51.100.0"),
        ("100", "198.51.100.5, 198.51.100.6, 198.51.100.7, 198.51.100.8, 198.51.100.9"),
    ]


def test_one_that_goes_on_is_told_again_after_its_pause() -> None:
    """An hour at first."""
    world = World()
    for n in range(70):
        world.fail(n * MINUTE, ip=OTHER)
    counts = [finding.facts["count"] for _, finding in world.found("failed-source")]
    assert counts == ["10", "70"]


def test_what_is_told_lasts_from_the_first_to_the_last() -> None:
    """With how many, so that a message says it all."""
    world = World()
    for n in range(10):
        world.fail(n * 30 * SECOND, ip=OTHER)
    ((alert, finding),) = world.found("failed-source")
    assert (alert.event.time, alert.event.until, alert.event.count) == (NOON, NOON + 270 * SECOND, 10)
    assert alert.event.source_ip == OTHER
    assert datetime.fromisoformat(finding.facts["since"]) == NOON


def test_a_source_that_is_the_machine_itself() -> None:
    """It is called local; there is no address to silence."""
    world = World()
    for n in range(10):
        world.line(n * SECOND, "login[7]", "FAILED LOGIN (1) on '/dev/tty1' FOR 'alice', Authentication failure")
    ((alert, finding),) = world.found("failed-source")
    assert (alert.event.source_ip, finding.facts["names"]) == (None, "local")


def test_several_wrong_passwords_in_one_line_of_sudo_are_several() -> None:
    """The line says how many."""
    world = World()
    world.sudo(0 * DAY, "root", "/bin/bash", "3 incorrect password attempts ; ")
    ((alert, finding),) = world.found("privilege-failed")
    assert (finding.facts["count"], alert.event.user, alert.event.source_ip) == ("3", "alice", None)


@pytest.mark.parametrize(("reason", "mass"), [("closed", True), ("disconnected", False), ("unobserved", False)])
def test_which_ends_are_a_mass(reason: str, *, mass: bool) -> None:
    """Not those in order, nor those of which the reason says enough."""
    world = World()
    leaders = [world.login(n * MINUTE - HOUR, f"u{n}", f"203.0.113.{n}") for n in range(5)]
    for n, leader in enumerate(leaders):
        if reason == "closed":
            world.close(n * SECOND, leader, f"u{n}")
        elif reason == "disconnected":
            world.leave(n * SECOND, leader, f"u{n}", f"203.0.113.{n}")
    if reason == "unobserved":
        world.system(0 * DAY, reason="unobserved")
    assert bool(world.found("mass-end")) == mass


def test_a_rule_that_is_off_counts_for_no_other() -> None:
    """The windows of the others are theirs."""
    world = World("judge: {rules: {failed-source: off}}")
    for n in range(10):
        world.fail(n * SECOND, f"guess{n}", OTHER, invalid=True)
    assert [finding.rule for alert in world.alerts() for finding in alert.findings] == ["enumeration"]
    world = World("judge: {rules: {failed-source: off}}")
    told = failures(world, folded(1, 0 * DAY, 11 * MINUTE, *(f"u{n}" for n in range(5))))
    assert rules(told) == ["spraying"]


def attack(number: int, size: int) -> bytes:
    """Return the lines of one batch: each address tries once, an account that exists or one that does not."""
    lines = []
    for n in range(number * size, (number + 1) * size):
        stamp = (NOON + n * timedelta(milliseconds=5)).isoformat(timespec="microseconds")
        who, source = ("root", f"invalid user u{n}")[n % 2], f"{11 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.9"
        text = f"Failed password for {who} from {source} port {n % 60000 + 1024} ssh2"
        lines.append(f"{stamp} web01 sshd[{n % 60000 + 1}]: {text}\n")
    return "".join(lines).encode()


def test_an_attack_from_everywhere_is_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """60,000 addresses: a few messages, and neither the state file's windows nor the process grow with them."""
    addresses, size = 60_000, 2_000
    store = Store(str(tmp_path / "state.db"))
    watch = Watch(HOST, (Route("feishu"),), judge=Judge(policy_of("").policy, CST), zone=CST)
    intake, most, grown = Intake(Stamps(CST, NOON)), 0, 0
    for number in range(addresses // size):
        data = attack(number, size)
        if number == 20:
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
        ingest(store, "file", Batch(data, str(number)), intake, watch, NOON + HOUR)
        with store.reading() as db:
            (count,) = db.execute("SELECT count(*) FROM recent").fetchone()
        most = max(most, count)
        if number == 22:  # tracing is dear: only some batches in the middle
            grown = tracemalloc.get_traced_memory()[1] - before
            tracemalloc.stop()
    alerts = [d.message for d in Outbox(store).deliveries() if isinstance(d.message, Alert)]
    told = Counter(finding.rule for alert in alerts for finding in alert.findings)
    with store.reading() as db:
        rows = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("incident", "judgement")}
    store.close()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{addresses} addresses: {dict(told)}, at most {most} windows, {grown / 1e6:.1f} MB at most in a batch\n"
        )
    assert set(told) == {"failed-user"}
    assert told["failed-user"] <= 1 + 3  # of 100,000 for root: at 20, and each time ten times as many
    assert most <= MOST_RECENT + history._MORE
    assert grown < 20_000_000
    assert rows == {"incident": 1, "judgement": told["failed-user"]}
