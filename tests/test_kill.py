"""SIGKILL at random moments, while sessions come and go and the log rotates both ways: nothing lost, nothing doubled.

The monitor is the real one, in a process of its own that is forked from a warm interpreter (so that a kill hits
the start, the catching up and the quiet alike, and 200 of them take half a minute). `USM_KILLS` sets their number.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Callable, Optional

from tests.fakes.feishu import FakeFeishu
from usm.ledger import verify
from usm.outbox import Outbox
from usm.store import Store

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("USM_KILLS", "200"))
SEED = int(os.environ.get("USM_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)


class Server:
    """A machine's log as sshd, rsyslog and logrotate write it, and the truth about it."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path = path
        self.rng = rng
        self.out = path.open("ab", buffering=0)
        self.now = datetime(2026, 11, 23, 3, 0, tzinfo=timezone.utc)
        self.live: list[dict[str, object]] = []
        self.ended: list[dict[str, object]] = []
        self.failures: Counter[tuple[str, str]] = Counter()
        self.number = self.rotations = 0
        self.late: Optional[int] = None  # lines that still go to the renamed file

    def line(self, pid: int, text: str) -> None:
        """Write one line, sometimes in two pieces."""
        self.now += timedelta(microseconds=self.rng.randrange(1, 10**6))
        data = f"{self.now.isoformat(timespec='microseconds')} web01 sshd[{pid}]: {text}\n".encode()
        cut = self.rng.randrange(len(data)) if self.rng.random() < 0.2 else 0
        if cut:
            self.out.write(data[:cut])
        self.out.write(data[cut:])
        if self.late is not None:
            self.late -= 1
            if self.late <= 0:
                self.reopen()

    def reopen(self) -> None:
        """What rsyslog does on SIGHUP."""
        self.late = None
        self.out.close()
        self.out = self.path.open("ab", buffering=0)

    def login(self) -> None:
        """One client comes."""
        self.number += 1
        n = self.number
        session: dict[str, object] = {
            "user": f"u{n}",
            "ip": f"203.0.113.{n % 250}" if n % 3 else f"2001:db8::{1 + n % 9998}",
            "port": 1024 + n % 60000,
            "pid": 100 + n * 2,
        }
        self.live.append(session)
        self.line(100 + n * 2, f"Accepted password for u{n} from {session['ip']} port {session['port']} ssh2")
        session["start"] = self.now
        self.line(100 + n * 2, f"pam_unix(sshd:session): session opened for user u{n}(uid=1) by (uid=0)")

    def logout(self) -> None:
        """One client goes, in one of the ways there are."""
        session = self.live.pop(self.rng.randrange(len(self.live)))
        user, ip, port, pid = (session[name] for name in ("user", "ip", "port", "pid"))
        assert isinstance(pid, int)
        reason = self.rng.choice(["disconnected", "closed", "timeout"])
        if reason == "disconnected":
            self.line(pid + 1, f"Received disconnect from {ip} port {port}:11: disconnected by user")
            session["end"] = self.now
            self.line(pid + 1, f"Disconnected from user {user} {ip} port {port}")
        elif reason == "timeout":
            self.line(pid + 1, f"Timeout, client not responding from user {user} {ip} port {port}")
            session["end"] = self.now
        self.line(pid, f"pam_unix(sshd:session): session closed for user {user}")
        session.setdefault("end", self.now)
        session["reason"] = reason
        self.ended.append(session)

    def attack(self) -> None:
        """Some guesses."""
        source, user = f"192.0.2.{self.rng.randrange(1, 9)}", self.rng.choice(["root", "admin"])
        for _ in range(self.rng.randrange(1, 30)):
            port = self.rng.randrange(1024, 65535)
            self.line(7, f"Invalid user {user} from {source} port {port}")
            self.line(7, f"Failed password for invalid user {user} from {source} port {port} ssh2")
            self.failures[source, user] += 1

    def _shift(self) -> Path:
        self.rotations += 1  # none is ever thrown away: the monitor may be dead for many rotations
        for number in range(self.rotations, 0, -1):
            older = self.path.with_name(f"auth.log.{number}")
            if older.exists():
                older.rename(self.path.with_name(f"auth.log.{number + 1}"))
        return self.path.with_name("auth.log.1")

    def rotate(self) -> None:
        """logrotate: rename and create, the writer follows a little later; or copy and truncate."""
        if self.late is not None:
            self.reopen()
        if self.rng.random() < 0.5:
            self.path.rename(self._shift())
            if self.rng.random() < 0.7:
                self.path.touch()
            self.late = self.rng.randrange(1, 20)
        else:
            shutil.copyfile(self.path, self._shift())
            os.truncate(self.path, 0)

    def step(self) -> None:
        """Let something happen."""
        chance = self.rng.random()
        if chance < 0.004:
            self.rotate()
        elif chance < 0.12:
            self.attack()
        elif self.live and self.rng.random() < len(self.live) / 12:
            self.logout()
        else:
            self.login()


def _monitor(config: str, log: str) -> None:
    """Be the monitor: what `usm run` does, in a fork of this warm interpreter."""
    from usm import cli  # noqa: PLC0415 - in the child

    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(cli.main(["run", "-c", config]))


def _wait(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_nothing_is_lost_or_doubled_over_many_kills(tmp_path: Path) -> None:  # noqa: C901, PLR0915 - one story
    """What the store and the receiver know afterwards is what really happened."""
    rng = random.Random(SEED)
    server = Server(tmp_path / "auth.log", rng)
    state, config, log = tmp_path / "state.db", tmp_path / "config.yaml", tmp_path / "monitor.log"
    with FakeFeishu(limits=()) as feishu:
        settings = {
            "language": "en",
            "monitor": {"log_file": str(server.path)},
            "state": str(state),
            "notify": {"feishu": {"webhook_url": feishu.url, "format": "text", "rate": []}},
        }
        config.write_text(json.dumps(settings), encoding="utf-8")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.test_kill", "usm.cli", "requests"])

        def started() -> multiprocessing.process.BaseProcess:
            process = context.Process(target=_monitor, args=(str(config), str(log)), daemon=True)
            process.start()
            return process

        # The first one must be watching before anything happens: what was there before it is history.
        process = started()
        assert _wait(lambda: state.exists() and _position(state) is not None)
        for _ in range(KILLS):
            alive_until = time.monotonic() + rng.random() ** 2 * 0.4
            while time.monotonic() < alive_until:
                for _ in range(rng.randrange(1, 8)):
                    server.step()
                time.sleep(rng.random() * 0.005)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            for _ in range(rng.randrange(3)):
                server.step()
            process = started()
        while server.live:
            server.logout()
        server.out.close()
        said = log.read_text(encoding="utf-8") if log.exists() else ""
        assert _wait(lambda: _settled(state, server), 300.0), f"seed {SEED}: {said[-2000:]}"
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        process.join()
        texts = feishu.texts()

    store = Store(str(state), readonly=True)
    known = [
        (s.user, s.source_ip, s.source_port, s.start, s.end, s.end_reason) for s in store.sessions(everything=True)
    ]
    true = [(s["user"], s["ip"], s["port"], s["start"], s["end"], s["reason"]) for s in server.ended]
    assert sorted(known, key=str) == sorted(true, key=str), f"seed {SEED}"
    counted: Counter[tuple[str, str]] = Counter()
    for failure in store.failures():
        for user, _, _, count in failure.who:
            counted[str(failure.source_ip), user] += count
    assert counted == server.failures, f"seed {SEED}"

    with store.reading() as db:
        proof = verify(db)
        kinds = dict(db.execute("SELECT kind, count(*) FROM record WHERE kind IN ('login', 'logout') GROUP BY kind"))
    assert proof.fault is None, f"seed {SEED}"
    assert kinds == dict.fromkeys(("login", "logout"), len(true)), f"seed {SEED}"

    told: Counter[tuple[str, str]] = Counter()
    for text in texts:
        if text.startswith("Alarm"):  # what was found by itself: an attack, many ends at once
            continue
        found = re.search(r"^User: (\S+)$", text, re.MULTILINE)
        assert found is not None
        told["logout" if text.startswith("User logout") else "login", found[1]] += 1
    assert set(told) == {(kind, str(s["user"])) for s in server.ended for kind in ("login", "logout")}, f"seed {SEED}"
    doubled = sum(count - 1 for count in told.values())
    sys.stdout.write(
        f"seed {SEED}: {KILLS} kills, {len(known)} sessions, {sum(counted.values())} failures, "
        f"{len(texts)} messages, {doubled} of them in flight at a kill and sent again\n"
    )
    assert doubled <= KILLS, f"seed {SEED}"


def _position(state: Path) -> Optional[str]:
    try:
        store = Store(str(state), readonly=True)
        try:
            return store.cursor(f"file:{state.with_name('auth.log')}")
        finally:
            store.close()
    except Exception:  # noqa: BLE001 - not made yet, or just being made
        return None


def _settled(state: Path, server: Server) -> bool:
    store = Store(str(state), readonly=True)
    try:
        sessions = store.sessions(everything=True)
        done = len(sessions) == len(server.ended) and all(s.end is not None for s in sessions)
        return done and Outbox(store).first("feishu") is None
    finally:
        store.close()
