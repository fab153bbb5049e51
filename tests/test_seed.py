"""What is usual is learned from what the host has already: the log, an older state file, wtmp. Nobody is told of it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Optional

import pytest

from tests.findings import CST, HOST, SECOND, policy_of
from usm import ingest as module
from usm.core.decode import Stamps
from usm.core.model import Batch, Session, micros
from usm.core.route import Route
from usm.errors import StoreError
from usm.history import learned_since, profiles
from usm.ingest import Intake, Watch, ingest
from usm.judging import Judge
from usm.outbox import Outbox
from usm.seed import SEEDED, begin, seed
from usm.store import Store
from usm.wtmp import Login

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=CST)
DAY = timedelta(days=1)
HOME, OTHER = "203.0.113.5", "198.51.100.7"


@pytest.fixture(autouse=True)
def past(monkeypatch: pytest.MonkeyPatch) -> list[Login]:
    """Return the logins that are in wtmp: this machine's own are nobody's business."""
    found: list[Login] = []
    monkeypatch.setattr("usm.wtmp.logins", lambda: found)
    return found


@pytest.fixture
def state(tmp_path: Path) -> str:
    """Return where the state file is to be."""
    return str(tmp_path / "state.db")


def line(days: float, text: str, tag: str = "sshd[7]") -> bytes:
    """Return a line of so many days ago."""
    return f"{(NOW - days * DAY).isoformat()} web01 {tag}: {text}\n".encode()


def login(days: float, user: str = "alice", ip: str = HOME, port: int = 40000) -> bytes:
    """Return a login."""
    return line(days, f"Accepted password for {user} from {ip} port {port} ssh2", f"sshd[{port}]")


def learn(state: str, *lines: bytes) -> int:
    """Learn from lines."""
    return seed(state, Judge(policy_of("").policy, CST), lines, HOST, CST, NOW, journal=False)


def facts(state: str, user: str = "alice") -> dict[str, dict[str, int]]:
    """Return what is known of a user: fact → value → how often."""
    store = Store(state)
    with store.reading() as db:
        rows = profiles(db, user).get("web01", [])
    store.close()
    found: dict[str, dict[str, int]] = {}
    for fact, value, _, _, times in rows:
        found.setdefault(fact, {})[value] = times
    return found


def since(state: str) -> Optional[int]:
    """Return since when users are known."""
    store = Store(state)
    with store.reading() as db:
        found = learned_since(db)
    store.close()
    return found


def test_the_log_says_what_is_usual(state: str) -> None:
    """Who came from where and how, what ended soon, who became whom, and which accounts were made."""
    lines = [
        login(9),
        line(8.999, f"Disconnected from user alice {HOME} port 40000"),
        login(5, ip=OTHER, port=40001),
        line(5 - 1e-5, f"Disconnected from user alice {OTHER} port 40001"),
        line(3, "   alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash", "sudo"),
        line(2, "new user: name=eve, UID=1009, GID=1009, home=/home/eve, shell=/bin/bash", "useradd[9]"),
        line(1, f"Failed password for alice from {OTHER} port 7 ssh2"),
        b"noise\n",
    ]
    assert learn(state, *lines) == 6
    found = facts(state)
    assert found["login"] == {"": 2}
    assert found["network"] == {"203.0.113.0/24": 1, "198.51.100.0/24": 1}
    assert (found["short"], found["target"], found["shell"]) == ({"": 1}, {"root": 1}, {"root": 1})
    assert facts(state, "eve") == {"created": {"": 1}}
    assert since(state) == micros(NOW - 9 * DAY)


def test_nobody_is_told_and_nobody_is_on(state: str) -> None:
    """It is history: no message, no session, no count."""
    learn(state, login(9, "mallory"), login(8))
    store = Store(state)
    assert Outbox(store).deliveries() == []
    assert store.sessions(everything=True) == []
    assert store.counters() == {}
    assert store.facts()[SEEDED] == NOW.isoformat()
    store.close()


def test_what_is_not_over_yet_is_the_monitors_own(state: str) -> None:
    """A line that is written while it is learned is told by the monitor, and counted there."""
    assert learn(state, login(1), login(0, port=40001), login(-1, port=40002)) == 1
    assert facts(state)["login"] == {"": 1}


def test_an_older_state_file_and_wtmp_know_what_the_log_does_not(state: str, past: list[Login]) -> None:
    """Each only of the time before the one that says more."""
    store = Store(state)
    with store.transaction() as tx:
        for days, port in ((30, 1), (9, 2)):
            start = NOW - days * DAY
            where = (OTHER, port, "publickey", "SHA256:a", None, port)
            tx.put(Session(f"{port:016x}", "web01", "sshd", "alice", *where, start))
    store.close()
    past += [
        Login(NOW - 300 * DAY, "alice", "tty1", None),
        Login(NOW - 200 * DAY, "bob", "pts/0", "192.0.2.1"),
        Login(NOW - 20 * DAY, "alice", "pts/0", "192.0.2.2"),
    ]
    assert learn(state, login(10)) == 1 + 1 + 2
    found = facts(state)
    assert found["login"] == {"": 3}
    assert found["network"] == {"203.0.113.0/24": 1, "198.51.100.0/24": 1}
    assert found["service"] == {"sshd": 2, "login": 1}
    assert facts(state, "bob")["service"] == {"sshd": 1}
    assert since(state) == micros(NOW - 90 * DAY)  # what is older than is remembered is no history


def test_where_there_is_nothing_nothing_is_learned(state: str) -> None:
    """And learning has not begun."""
    assert learn(state) == 0
    assert since(state) is None
    assert facts(state) == {}


def test_a_long_log_is_learned_in_rounds(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted as if it was read at once."""
    monkeypatch.setattr(module, "_ROUND", 3)
    assert learn(state, *(login(20 - n, port=40000 + n) for n in range(10))) == 10
    assert facts(state)["login"] == {"": 10}


def test_what_fails_can_be_done_again(state: str) -> None:
    """Then it is learned once, not twice, wherever the disk refused."""
    store = Store(state)
    with store.writing() as db:
        when = f"BEFORE INSERT ON fact WHEN NEW.name = '{SEEDED}'"
        db.execute(f"CREATE TRIGGER refuse {when} BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    with pytest.raises(StoreError):
        learn(state, login(9))
    with store.writing() as db:
        db.execute("DROP TRIGGER refuse")
    store.close()
    learn(state, login(9))
    assert facts(state)["login"] == {"": 1}


def test_a_disk_that_refuses_leaves_it_to_the_next_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The thread says so and ends."""
    caplog.set_level(logging.INFO)
    thread = begin(
        str(tmp_path / "missing" / "state.db"),
        Judge(policy_of("").policy, CST),
        [],
        HOST,
        NOW,
        lambda: False,
        journal=False,
    )
    thread.join(30)
    assert not thread.is_alive()
    assert "what is usual is learned at the next start" in caplog.text


def test_the_thread_says_what_it_learned(state: str, caplog: pytest.LogCaptureFixture) -> None:
    """In one line."""
    caplog.set_level(logging.INFO)
    begin(state, Judge(policy_of("").policy, CST), [login(9)], HOST, NOW, lambda: False, journal=False).join(30)
    assert [record.message for record in caplog.records] == ["learned what is usual from 1 events of the past"]


def test_one_that_is_interrupted_is_done_at_the_next_start(state: str, caplog: pytest.LogCaptureFixture) -> None:
    """Half a past would say of the other half that it is new."""
    caplog.set_level(logging.INFO)
    asked = iter([False, True])
    judge = Judge(policy_of("").policy, CST)
    begin(state, judge, [login(9), login(8)], HOST, NOW, lambda: next(asked), journal=False).join(30)
    assert [record.message for record in caplog.records] == ["what is usual is learned at the next start"]
    begin(state, judge, [login(9), login(8)], HOST, NOW, lambda: False, journal=False).join(30)
    assert facts(state)["login"] == {"": 2}


def told(state: str, *lines: bytes) -> list[list[str]]:
    """Take in lines; return what was found of each event."""
    store = Store(state)
    watch = Watch(HOST, (Route("feishu"),), judge=Judge(policy_of("").policy, CST), zone=CST)
    ingest(store, "file", Batch(b"".join(lines), "1"), Intake(Stamps(CST, NOW)), watch, NOW + SECOND)
    found = [[f.rule for f in d.message.findings] for d in Outbox(store).deliveries()]  # type: ignore[union-attr] # alerts
    store.close()
    return found


def test_the_first_day_is_no_flood(state: str) -> None:
    """Whom the log knows is not new, nor where he comes from; a stranger is."""
    lines: Iterable[bytes] = [login(20 - n, ip=(HOME, OTHER)[n % 2], port=40000 + n) for n in range(8)]
    learn(state, *lines)
    assert told(state, login(0), login(0, ip=OTHER, port=40001), login(0, "bob", port=40002)) == [[], [], ["new-user"]]
