"""A storm in real time: 10,000 logins at once through a real monitor, to a stand-in that keeps Feishu's limits.

`python tests/bench/storm.py [COUNT]` prints what arrived when, and the memory; then how long a login takes to one
channel while another, of the same type, answers each message after two seconds.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.fakes.feishu import FakeFeishu
from usm.config import load
from usm.core.alert import alert_for
from usm.core.model import CRITICAL, LOGIN, Event, Host
from usm.core.route import Slot
from usm.monitor import Monitor
from usm.orders import Orders
from usm.outbox import Outbox
from usm.store import Store
from usm.supervisor import Supervisor

if TYPE_CHECKING:
    from tests.fakes.service import Request

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
PATIENCE = 240.0  # seconds


def clock() -> datetime:
    """Return the time: this is a measurement."""
    return datetime.now(timezone.utc)  # noqa: TID251 - as above


def memory() -> float:
    """Return the resident memory in MiB."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() / 2**20


def login(number: int) -> str:
    """Return a line of sshd's."""
    return (
        f"{clock().isoformat()} web01 sshd[{number + 10}]: Accepted publickey for user{number % 700} "
        f"from 198.51.{number % 250}.7 port {1024 + number % 60000} ssh2: ED25519 SHA256:abc{number % 50}\n"
    )


def told(texts: list[str]) -> int:
    """Return how many events the messages tell of."""
    totals = [re.search(r"^Events: (\d+)$", text, re.MULTILINE) for text in texts]
    return sum(1 if total is None else int(total[1]) for total in totals)


class Slow(FakeFeishu):
    """A service that takes two seconds for each message."""

    def check(self, request: Request) -> dict[str, Any]:
        """Think about it."""
        time.sleep(2)
        return super().check(request)


def neighbours(other: FakeFeishu) -> float:
    """Return the median of milliseconds from a line to the request, to a channel beside another one."""
    place = Path(tempfile.mkdtemp())
    log = place / "auth.log"
    log.touch()
    with FakeFeishu(limits=()) as service, other:
        one = f"one: {{type: feishu, webhook_url: {other.url}, rate: []}}"
        two = f"two: {{type: feishu, webhook_url: {service.url}, rate: []}}"
        (place / "config.yaml").write_text(
            f"language: en\nmonitor: {{log_file: {log}}}\nstate: {place}/state.db\nnotify: {{{one}, {two}}}\n"
        )
        command = [sys.executable, "-m", "usm", "-c", str(place / "config.yaml"), "run"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as monitor:
            time.sleep(1.5)
            took = []
            for number in range(60):
                start = time.perf_counter()
                with log.open("a") as file:
                    file.write(login(number))
                service.wait_for(number + 1)
                took.append((time.perf_counter() - start) * 1000)
                time.sleep(0.03)
            monitor.terminate()
    return statistics.median(took)


def main() -> None:
    """Run the storm and print the table."""
    place = Path(tempfile.mkdtemp())
    log = place / "auth.log"
    log.touch()
    service = FakeFeishu()
    (place / "config.yaml").write_text(
        f"language: en\nmonitor: {{log_file: {log}}}\nstate: {place}/state.db\n"
        f"notify: {{feishu: {{webhook_url: {service.url}}}}}\n"
    )
    config = load(str(place / "config.yaml"))
    monitor = Monitor(config, clock, lambda: 0.5, Orders(), Supervisor({}, 0))
    report: list[tuple[str, str]] = []

    def drive() -> None:
        time.sleep(1)
        with log.open("a") as file:  # the connection is open and everything imported
            file.write(login(COUNT + 1))
        service.wait_for(1, PATIENCE)
        before, start = memory(), time.monotonic()
        with log.open("a") as file:
            for number in range(COUNT):
                file.write(login(number))
                if number == COUNT // 2:
                    file.flush()
                    came = time.monotonic()
                    event = Event(LOGIN, clock(), "web01", "sshd", "root", "203.0.113.66", 4711, "password", pid=9)
                    alert = alert_for(event, Host("web01"))
                    assert alert is not None
                    store = Store(config.state)
                    with store.transaction() as tx:
                        slot = Slot("feishu", "pending", clock(), urgent=True)
                        tx.enqueue(alert._replace(severity=CRITICAL), [slot], clock())
                    monitor._workers.notify()
        written = time.monotonic() - start
        while not any("User: root" in text for text in service.texts()):
            time.sleep(0.001)
        critical = time.monotonic() - came
        while told(service.texts()) < COUNT + 2 and time.monotonic() - start < PATIENCE:
            time.sleep(0.05)
        texts, codes = service.texts(), [attempt.code for attempt in service.attempts if attempt.code]
        counts = Outbox(Store(config.state)).counts()["feishu"]
        report.extend(
            (
                ("logins written in", f"{written:.2f} s"),
                ("critical alert delivered after", f"{critical:.3f} s"),
                ("all told after", f"{time.monotonic() - start:.1f} s"),
                ("events told, of", f"{told(texts)} of {COUNT + 2}"),
                ("messages", f"{len(texts)}"),
                ("refusals", f"{len(codes)} {codes[:3]}"),
                ("outbox", str(counts)),
                (
                    "memory before and after",
                    f"{before:.1f} and {memory():.1f} MiB (peak of the process "
                    f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f})",
                ),
            )
        )
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    monitor.run()
    thread.join(PATIENCE)
    service.close()
    for name, value in report:
        print(f"{name:34}{value}")
    print(f"{'beside a fast channel, p50':34}{neighbours(FakeFeishu(limits=())):.2f} ms")
    print(f"{'beside a slow channel, p50':34}{neighbours(Slow(limits=())):.2f} ms")


if __name__ == "__main__":
    main()
