"""The daemon under an ordinary load for hours: it leaks nothing, loses nothing, and is as idle after it as before.

`python tests/bench/soak.py [--minutes 120] [--rate 50]`: so many sessions a minute, failed logins beside them, a
rotation every 40 seconds (renamed, or copied and truncated), a reload every 50 (every fifth time of a configuration
that is wrong), into a stand-in of Feishu with its limits. It prints what it measures; the exit code is 1 where a
session, a message or a descriptor is not accounted for.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, Optional

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.fakes.feishu import FakeFeishu
from usm.ledger import verify
from usm.outbox import Outbox
from usm.store import Store

HOST = "web01"
ROTATE, RELOAD, SAMPLE = 40.0, 50.0, 5.0  # seconds
PATIENCE = 600.0  # seconds for what waits at the end: the service takes 80 messages a minute
TICKS = os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    """What a process is using: KiB, descriptors, threads, voluntary context switches, seconds of processor."""

    rss: int
    descriptors: int
    threads: int
    switches: int
    cpu: float


def sample(pid: int) -> Sample:
    """Look at a process."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    facts = dict(line.split(":", 1) for line in status.splitlines())
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    switches = sum(
        int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", task.read_text("utf-8"), re.MULTILINE)[0])
        for task in Path(f"/proc/{pid}/task").glob("*/status")
    )
    rss, threads = int(facts["VmRSS"].split()[0]), int(facts["Threads"])
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return Sample(rss, descriptors, threads, switches, (int(fields[11]) + int(fields[12])) / TICKS)


class Server:
    """A machine's log, and the truth about it."""

    def __init__(self, place: Path, rng: random.Random) -> None:
        self.path, self.rng = place / "auth.log", rng
        self.out = self.path.open("ab", buffering=0)
        self.live: list[tuple[float, int]] = []  # when it will end, and its number
        self.ended: dict[int, str] = {}
        self.number = self.failed = self.rotations = 0

    def line(self, pid: int, text: str) -> None:
        """Write one line."""
        now = datetime.now(timezone.utc)  # noqa: TID251 - this is a measurement
        self.out.write(f"{now.isoformat()} {HOST} sshd[{pid}]: {text}\n".encode())

    def login(self, now: float) -> None:
        """One client comes, for up to two minutes."""
        self.number += 1
        n = self.number
        where = f"from 203.0.113.{n % 250} port {1024 + n % 60000}"
        self.line(10 + n, f"Accepted publickey for u{n} {where} ssh2: ED25519 SHA256:{n:043}")
        self.line(10 + n, f"pam_unix(sshd:session): session opened for user u{n}(uid=1000) by (uid=0)")
        self.live.append((now + self.rng.uniform(0.5, 120), n))

    def logout(self, n: int) -> None:
        """One client goes, with a goodbye or without."""
        reason = self.rng.choice(("disconnected", "closed"))
        if reason == "disconnected":
            where = f"203.0.113.{n % 250} port {1024 + n % 60000}"
            self.line(11 + n, f"Received disconnect from {where}:11: disconnected by user")
            self.line(11 + n, f"Disconnected from user u{n} {where}")
        self.line(10 + n, f"pam_unix(sshd:session): session closed for user u{n}")
        self.ended[n] = reason

    def attack(self) -> None:
        """One guess."""
        self.failed += 1
        source = f"192.0.2.{self.rng.randrange(1, 250)} port {self.rng.randrange(1024, 65535)}"
        self.line(7, f"Failed password for invalid user admin from {source} ssh2")

    def rotate(self) -> None:
        """As logrotate does with seven generations kept: renamed and made anew, or copied and truncated."""
        self.rotations += 1
        for number in range(7, 0, -1):
            older = self.path.with_name(f"auth.log.{number}")
            if older.exists():
                older.rename(self.path.with_name(f"auth.log.{number + 1}"))
        if self.rotations % 2:
            self.path.rename(self.path.with_name("auth.log.1"))
            self.path.touch()
            self.out.close()
            self.out = self.path.open("ab", buffering=0)
        else:
            shutil.copyfile(self.path, self.path.with_name("auth.log.1"))
            os.truncate(self.path, 0)


class Daemon:
    """`usm start` in a place of its own."""

    def __init__(self, place: Path, url: str) -> None:
        self.place = place
        self.config = place / "config.yaml"
        self.sound = (
            f"language: en\nmonitor: {{log_file: {place}/auth.log}}\nstate: {place}/state.db\n"
            f"pidfile: {place}/usm.pid\n"
            # Who really is on this machine meanwhile is nobody of ours.
            f"notify: {{feishu: {{webhook_url: {url}, only: [{{host: {HOST}}}]}}}}\n"
        )
        self.config.write_text(self.sound)
        self.reloads = self.refused = 0

    def usm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command."""
        words = [sys.executable, "-m", "usm", "-c", str(self.config), *arguments]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def start(self) -> int:
        """Start it and return its process."""
        done = self.usm("start")
        assert done.returncode == 0, done.stderr
        return int((self.place / "usm.pid").read_text("ascii"))

    def reload(self) -> None:
        """Change the configuration; every fifth time so that it must be refused."""
        self.reloads += 1
        wrong = self.reloads % 5 == 0
        self.config.write_text(
            self.sound + ("notify2: {}\n" if wrong else f"people: {{somebody: [SHA256:{self.reloads:043}]}}\n")
        )
        done = self.usm("reload")
        assert done.returncode == (78 if wrong else 0), (done.returncode, done.stderr)
        self.refused += wrong


def told(texts: list[str]) -> int:
    """Return how many events the messages tell of."""
    totals = [re.search(r"^Events: (\d+)$", text, re.MULTILINE) for text in texts]
    return sum(1 if total is None else int(total[1]) for total in totals)


def idle(pid: int, seconds: float) -> str:
    """Say what the daemon does while nothing happens."""
    before = sample(pid)
    time.sleep(seconds)
    after = sample(pid)
    switches, cpu = after.switches - before.switches, after.cpu - before.cpu
    return f"{switches} context switches and {cpu:.2f} s of processor in {seconds:.0f} s"


def slope(points: list[tuple[float, int]]) -> float:
    """Return the least-squares slope of KiB over hours."""
    hours, sizes = [at / 3600 for at, _ in points], [size for _, size in points]
    middle, mean = statistics.mean(hours), statistics.mean(sizes)
    spread = sum((h - middle) ** 2 for h in hours)
    return sum((h - middle) * (s - mean) for h, s in zip(hours, sizes)) / spread if spread else 0.0


def drive(server: Server, daemon: Daemon, pid: int, minutes: float, rate: float) -> list[tuple[float, Sample]]:
    """Let it happen; return what was measured meanwhile."""
    begin = now = time.monotonic()
    due = {"login": begin, "attack": begin, "rotate": begin + ROTATE, "reload": begin + RELOAD, "sample": begin}
    samples = []
    while now < begin + minutes * 60 or server.live:
        over = now >= begin + minutes * 60
        if not over and now >= due["login"]:
            server.login(now)
            due["login"] += server.rng.expovariate(rate / 60)
        if not over and now >= due["attack"]:
            server.attack()
            due["attack"] += 1.0
        if now >= due["rotate"]:
            server.rotate()
            due["rotate"] += ROTATE
        if now >= due["reload"]:
            daemon.reload()
            due["reload"] += RELOAD
        if now >= due["sample"]:
            samples.append((now - begin, sample(pid)))
            due["sample"] += SAMPLE
            if len(samples) % 60 == 0:
                print(f"after {(now - begin) / 60:.0f} minutes: {samples[-1][1]}", flush=True)
        for ends, number in [one for one in server.live if one[0] <= now]:
            server.logout(number)
            server.live.remove((ends, number))
        time.sleep(0.02)
        now = time.monotonic()
    return samples


def recorded(store: Store) -> Counter[str]:
    """Return how many entries of each kind the record has of the server; who really is on here may be in it too."""
    with store.reading() as db:
        return Counter(dict(db.execute("SELECT kind, count(*) FROM record WHERE host = ? GROUP BY kind", (HOST,))))


def accounted(server: Server, daemon: Daemon, service: FakeFeishu) -> list[str]:
    """Wait until everything was told; return what is wrong then.

    Beside logins and logouts that is what was found by itself, such as an attack: the record says how many.
    """
    store, deadline = Store(str(daemon.place / "state.db"), readonly=True), time.monotonic() + PATIENCE
    while told(service.texts()) < 2 * server.number + recorded(store)["finding"] and time.monotonic() < deadline:
        time.sleep(1)
    kinds, expected = recorded(store), 2 * server.number + recorded(store)["finding"]
    stored = {int(s.user[1:]): s.end_reason for s in store.sessions(everything=True) if s.host == HOST}
    failed = sum(times for failure in store.failures() for *_, times in failure.who)
    states: Counter[str] = Counter()
    for counted in Outbox(store).counts().values():
        states.update(counted)
    wrong = []
    if (kinds["login"], kinds["logout"]) != (server.number, server.number):
        wrong.append(f"the record has {dict(kinds)} instead of {server.number} logins and logouts")
    with store.reading() as db:
        proof = verify(db)
    if proof.fault is not None:
        wrong.append(f"the record is not whole: {proof.fault}")
    if stored != server.ended:
        wrong.append(f"sessions differ: {sorted(set(stored.items()) ^ set(server.ended.items()))[:10]}")
    if failed != server.failed:
        wrong.append(f"{failed} failed logins instead of {server.failed}")
    if told(service.texts()) != expected:
        wrong.append(f"{told(service.texts())} events told instead of {expected}: {dict(states)}")
    if sum(states[state] for state in ("waiting", "pending", "dead")):
        wrong.append(f"messages left: {dict(states)}")
    return wrong


def main(arguments: Optional[list[str]] = None) -> int:
    """Run it and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--rate", type=float, default=50, help="sessions a minute")
    parser.add_argument("--idle", type=float, default=120, help="seconds of quiet that are measured before and after")
    options = parser.parse_args(arguments)
    place = Path(tempfile.mkdtemp(prefix="usm-soak-"))
    server = Server(place, random.Random(5))
    with FakeFeishu() as service:
        daemon = Daemon(place, service.url)
        pid = daemon.start()
        try:
            server.login(time.monotonic())  # everything is imported, a connection open
            service.wait_for(1, 60)
            server.logout(server.live.pop()[1])
            time.sleep(20)
            print(f"idle before: {idle(pid, options.idle)}", flush=True)
            samples = drive(server, daemon, pid, options.minutes, options.rate)
            wrong = accounted(server, daemon, service)
            last = json.loads(daemon.usm("status", "--format", "json").stdout)
            time.sleep(75)  # a kept connection is closed, the tick is over
            print(f"idle after: {idle(pid, options.idle)}", flush=True)
        finally:
            done = daemon.usm("stop")
    steady = [(at, one) for at, one in samples if at >= samples[-1][0] / 6]  # the first part is warming up
    descriptors = [one.descriptors for _, one in steady]
    if done.returncode:
        wrong.append(f"stop: {done.stderr}")
    if min(descriptors[-20:]) > min(descriptors[:20]):  # a leak raises the floor; a moment's file does not
        wrong.append(f"descriptors: from {descriptors[:20]} to {descriptors[-20:]}")
    first, end = (statistics.median(one.rss for _, one in part) for part in (steady[:20], steady[-20:]))
    print(
        f"{options.minutes:.0f} minutes: {server.number} sessions, {server.failed} failed logins, "
        f"{server.rotations} rotations, {daemon.reloads} reloads ({daemon.refused} refused), "
        f"{len(service.texts())} messages\n"
        f"memory: {first / 1024:.1f} -> {end / 1024:.1f} MiB (medians of 20 samples after warming up and at the end), "
        f"slope {slope([(at, one.rss) for at, one in steady]):+.0f} KiB/h\n"
        f"descriptors: {min(descriptors)} to {max(descriptors)}; threads: {max(one.threads for _, one in steady)}\n"
        f"state file: {(place / 'state.db').stat().st_size / 2**20:.2f} MiB; lines read: {last['counters']['lines']}\n"
        + ("\n".join(f"WRONG: {text}" for text in wrong) or "all accounted for")
    )
    shutil.rmtree(place)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
