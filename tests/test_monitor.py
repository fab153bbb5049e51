"""The running monitor, as a process of its own: bad input, bad receivers, bad disks; nothing is lost, nothing loops."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Union

import pytest

from tests.fakes.feishu import FakeFeishu
from usm import cli, workers
from usm import monitor as module
from usm.channels.console import Console
from usm.config import Config
from usm.core.look import Look
from usm.core.model import Batch
from usm.core.route import Route
from usm.deliver import Outlet, Worker
from usm.errors import SourceError
from usm.monitor import Monitor
from usm.notify import Notify
from usm.orders import Orders
from usm.store import Store
from usm.supervisor import Supervisor
from usm.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

UTC = timezone.utc
NOW = datetime(2026, 11, 23, 2, 5, 7, tzinfo=UTC)
REPOSITORY = Path(__file__).parent.parent
TOKEN, SECRET = "6f1a2b3c-token", "S3CRET-signing-key"
ROOT = os.geteuid() == 0
PATIENCE = 30.0  # seconds after which a test gives up; never waited for when all is well


def login(number: int, user: str = "alice") -> bytes:
    """Return the line of a login; its number is pid and port."""
    text = (
        f"2026-11-23T10:05:07+08:00 web01 sshd[{number}]: Accepted password for {user} from 203.0.113.5 port {number}"
    )
    return text.encode() + b" ssh2\n"


def configure(place: Path, *services: FakeFeishu, state: str = "", more: str = "") -> Path:
    """Write a configuration with these services, the log and the state in `place`; return its path."""
    text = f"monitor: {{log_file: {place}/auth.log}}\nstate: {state or place}/state.db\nlanguage: en\n"
    if services:
        text += "notify:\n"
    for number, service in enumerate(services):
        text += f"  c{number}: {{type: feishu, webhook_url: '{service.url}', secret: {SECRET}{more}}}\n"
    path = place / "config.yaml"
    path.write_text(text)
    return path


class Running:
    """`usm run` as a process; what it says is read line by line, and holds no secret."""

    def __init__(self, config: Path, *arguments: str) -> None:
        call = [sys.executable, "-m", "usm", "-c", str(config), "run", *arguments]
        self.process = subprocess.Popen(call, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.out: list[str] = []
        self.err: list[str] = []
        self._said: queue.Queue[str] = queue.Queue()  # an empty line: a stream has ended
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.out)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.err)),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: Any, into: list[str]) -> None:  # noqa: ANN401 - a pipe
        for line in pipe:
            into.append(line.decode())
            self._said.put(line.decode())
        self._said.put("")

    def wait_for(self, *texts: str) -> None:
        """Block until each of these was said, on either stream."""
        missing = set(texts)
        while missing:
            line = self._said.get(timeout=PATIENCE)
            assert line, f"ended without having said {missing}: {self.err}"
            missing = {text for text in missing if text not in line}

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return its exit code once it has ended."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join()
        return code

    def __enter__(self) -> Running:  # noqa: PYI034 - Self is not in Python 3.9
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        said = "".join(self.out + self.err)
        assert TOKEN not in said
        assert SECRET not in said
        assert "Traceback" not in said


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return an empty log."""
    path = tmp_path / "auth.log"
    path.touch()
    return path


def append(path: Path, *lines: bytes) -> None:
    """Write to the end of a log, as rsyslog does."""
    with path.open("ab") as file:
        file.write(b"".join(lines))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Undo what a monitor changes in its process."""
    root = logging.getLogger()
    handlers, level, signals = list(root.handlers), root.level, {n: signal.getsignal(n) for n in (15, 2, 1)}
    thresholds = gc.get_threshold()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = True
    for number, handler in signals.items():
        signal.signal(number, handler)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


# -- as users see it


def test_without_a_channel_messages_are_printed_and_a_hint_is_given(tmp_path: Path, log: Path) -> None:
    """The hint says what to write where; SIGTERM ends it with 0."""
    path = configure(tmp_path)
    with Running(path) as monitor:
        monitor.wait_for("watching")
        append(log, login(4001))
        monitor.wait_for("User: alice")
        assert monitor.stop() == 0
    said = "".join(monitor.err)
    assert (
        f"no channel is configured, so messages are printed here. To tell a Feishu group, put this into {path}" in said
    )
    assert monitor.out[0] == "User login\n"


def test_ctrl_c_ends_it_with_0(tmp_path: Path, log: Path) -> None:
    """As SIGTERM does."""
    assert log.exists()
    with Running(configure(tmp_path)) as monitor:
        monitor.wait_for("watching")
        monitor.process.send_signal(signal.SIGINT)
        assert monitor.wait() == 0


def test_when_nobody_reads_any_more_it_ends(tmp_path: Path, log: Path) -> None:
    """`usm run | head`: the reader goes, the next message ends the monitor in order."""
    call = [sys.executable, "-m", "usm", "-c", str(configure(tmp_path)), "run"]
    with subprocess.Popen(call, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(b"watching" in line for line in iter(process.stderr.readline, b""))
        append(log, login(4001))
        assert process.stdout.readline() == b"User login\n"
        process.stdout.close()
        append(log, login(4002))
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(PATIENCE) == 0


def test_a_missing_log_is_waited_for(tmp_path: Path) -> None:
    """When it comes, its first line counts."""
    with Running(configure(tmp_path)) as monitor:
        monitor.wait_for("auth.log is not there: waiting for it", "watching")
        append(tmp_path / "auth.log", login(4001))
        monitor.wait_for("User: alice")
        assert monitor.stop() == 0


def test_garbage_in_the_log_hides_no_login(tmp_path: Path, log: Path) -> None:
    """A line of a megabyte, NUL bytes, bytes that are no UTF-8: what stands between them is told, once."""
    garbage = [b"x" * 1_000_000 + b"\n", b"\0" * 5000 + b"\n", bytes(range(128, 256)) + b"\n", b"\n\n", b"\0" * 50]
    with Running(configure(tmp_path)) as monitor:
        monitor.wait_for("watching")
        for number, bad in enumerate(garbage, 1):
            append(log, bad, login(4000 + number, f"user{number}"))
            monitor.wait_for(f"User: user{number}")
        assert monitor.stop() == 0
    assert [line for line in monitor.out if line.startswith("User: ")] == [f"User: user{n}\n" for n in range(1, 6)]
    said = [line for line in monitor.err if not line.startswith((" ", "then")) and "learned what is usual" not in line]
    assert [line[:2] for line in said] == ["I ", "I ", "I "]


def test_what_is_usual_is_learned_once(tmp_path: Path, log: Path) -> None:
    """From the log as it is at the first start; nobody is told of it, and the second start does not count it again."""
    append(log, *(login(4000 + number) for number in range(3)))
    for said in ("learned what is usual from", "watching"):  # this machine's own wtmp may know more
        with Running(configure(tmp_path)) as monitor:
            monitor.wait_for(said)
            assert monitor.stop() == 0
        assert not [line for line in monitor.out if line.startswith("User: ")]
    assert "learned what is usual" not in "".join(monitor.err)
    store = Store(str(tmp_path / "state.db"), readonly=True)
    with store.reading() as db:
        sql = "SELECT count FROM seen WHERE host = 'web01' AND user = 'alice' AND fact = 'address'"
        assert db.execute(sql).fetchall() == [(3,)]
    store.close()


def test_where_addresses_are_can_be_set_by_a_reload_and_a_wrong_file_changes_nothing(tmp_path: Path, log: Path) -> None:
    """The monitor goes on as it was, and says which file it is."""
    path = configure(tmp_path)
    with Running(path) as monitor:
        monitor.wait_for("watching")
        path.write_text(path.read_text() + f"judge: {{places: [{tmp_path}/none.mmdb]}}\n")
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(
            f"not reloaded, everything goes on as it was: judge.places: {tmp_path}/none.mmdb: No such file"
        )
        append(log, login(4001))
        monitor.wait_for("User: alice")
        assert monitor.stop() == 0


BAD = {
    "c0": (19021, "E c0: 19021: signature refused: check `secret`, and this server's clock"),
    "c1": (19024, "E c1: 19024: keyword missing: set `keyword`"),
    "c2": (11232, "W c2: 11232: Feishu limits how fast a robot may send"),
    "c3": (500, "W c3: http-5xx: Feishu, or a proxy on the way, has an internal error"),
    "c4": (200, "E c4: not-feishu: the answer is not Feishu's: a proxy or login page is in between"),
    "c5": ("empty", "W c5: empty: the answer was empty: whether the message arrived is not known"),
    "c6": ("redirect", "E c6: redirect: redirects are not followed: check the URL"),
    "c7": ("reset", "W c7: unreachable: connection reset"),
}


def test_a_bad_receiver_is_told_once_and_gets_everything_when_it_is_mended(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight kinds of trouble at once, and one good channel: no loss, no loop, no hindrance.

    Mended, retried and restarted as an operator would.
    """
    services = [FakeFeishu(token=TOKEN, secret=SECRET) for _ in range(len(BAD) + 1)]
    *bad, good = services
    for service, (answer, _) in zip(bad, BAD.values()):
        answers: list[Union[int, str]] = [answer] * 10_000  # type: ignore[list-item] # each is one of them
        service.script.extend(answers)
    path = configure(tmp_path, *services)
    faulty = [said[0] == "E" for _, said in BAD.values()]
    faults = sum(faulty)  # each is told on the other channels, and so is its end
    with Running(path) as monitor:
        monitor.wait_for("watching")
        append(log, login(4001, "alice"), login(4002, "bob"))
        good.wait_for(2 + faults, PATIENCE)
        for service in bad:
            service.wait_for_attempts(2, PATIENCE)
        monitor.wait_for(*(said for _, said in BAD.values()))
        assert monitor.stop() == 0
    said = [line for line in monitor.err if line[:3] in ("E c", "W c")]
    assert sorted(line[:6] for line in said) == sorted(text[:6] for _, text in BAD.values())
    assert cli.main(["-c", str(path), "outbox", "--format", "json"]) == 0
    waiting = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logins = [d for d in waiting if d["kind"] == "login"]  # beside what they are told of one another
    assert sorted((d["channel"], d["user"], d["state"]) for d in logins) == sorted(
        (name, user, "pending") for name in BAD for user in ("alice", "bob")
    )
    for service in bad:
        service.script.clear()
    assert cli.main(["-c", str(path), "outbox", "retry"]) == 0
    with Running(path) as monitor:
        monitor.wait_for("watching")
        append(log, login(4003, "carol"))  # when this is tried, the result of the one before it was written down
        for service, own in zip(services, [*faulty, False]):
            service.wait_for(3 + 2 * (faults - own), PATIENCE)
        assert monitor.stop() == 0
    for service in services:
        users = [line for text in service.texts() for line in text.splitlines() if line.startswith("User: ")]
        assert users == ["User: alice", "User: bob", "User: carol"]
        service.close()
    capsys.readouterr()
    assert cli.main(["-c", str(path), "outbox", "--format", "json"]) == 0
    left = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {d["user"] for d in left} <= {"carol", None}, left


def test_another_programs_database_ends_the_start(tmp_path: Path, log: Path) -> None:
    """With one line and exit code 1; the file stays as it was."""
    assert log.exists()
    db = sqlite3.connect(tmp_path / "state.db")
    db.executescript("CREATE TABLE contacts (name TEXT);")
    db.close()
    before = (tmp_path / "state.db").read_bytes()
    with Running(configure(tmp_path)) as monitor:
        assert monitor.wait() == 1
    assert monitor.err == [
        f"usm: {tmp_path}/state.db is another program's database; "
        "set `state:` in the configuration to a path of our own\n"
    ]
    assert (tmp_path / "state.db").read_bytes() == before


def test_a_second_monitor_with_the_same_state_is_refused(tmp_path: Path, log: Path) -> None:
    """Whatever is already running goes on."""
    path = configure(tmp_path)
    with Running(path) as first:
        first.wait_for("watching")
        with Running(path) as second:
            assert second.wait() == 1
        append(log, login(4001))
        first.wait_for("User: alice")
        assert first.stop() == 0
    assert second.err == [
        f"usm: state file {tmp_path}/state.db: another monitor is running with it (process {first.process.pid}); "
        "stop that one first: usm stop\n"
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a disk of 24 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(path)]
    if not ROOT or subprocess.run(call, check=False, capture_output=True).returncode:
        pytest.skip("needs to mount a tmpfs")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path: Path) -> None:
    """Write until there is no space left."""
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass


def test_a_full_disk_holds_everything_up_and_loses_nothing(tmp_path: Path, log: Path, small_disk: Path) -> None:
    """It is told once, with the remedy; when there is space again, the logins come."""
    with Running(configure(tmp_path, state=str(small_disk))) as monitor:
        monitor.wait_for("watching")
        fill(small_disk / "filler")
        append(log, *(login(number, "alice" + "x" * 300) for number in range(4001, 4801)))
        monitor.wait_for("free space on its disk: nothing is lost, reading goes on where it stopped")
        (small_disk / "filler").unlink()
        monitor.wait_for("writes again, nothing was lost", "Port: 4800")
        assert monitor.stop() == 0
    ports = [line for line in monitor.out if line.startswith("Port: ")]
    assert ports == [f"Port: {number}\n" for number in range(4001, 4801)]
    assert sum("free space" in line for line in monitor.err) <= 2  # once by the reader, perhaps once by the worker


# -- from inside


def console(place: Path) -> Config:
    """Return a configuration whose only channel is the terminal."""
    return Config(log_file=str(place / "auth.log"), state=str(place / "state.db"), language="en", notify=NOTIFY)


NOTIFY = (Notify("console", "console", Console(), (), Route("console")),)


def monitor_of(place: Path, clock: Callable[[], datetime]) -> Monitor:
    """Return a monitor that prints, with this clock."""
    return Monitor(console(place), clock, lambda: 0.0, Orders(), Supervisor({}, 0))


def monitor_for(place: Path) -> Monitor:
    """Return a monitor that prints."""
    return monitor_of(place, lambda: NOW)


def test_old_logins_are_history(tmp_path: Path, log: Path) -> None:
    """Without a checkpoint the monitor begins at the end of the log, and writes down that it did."""
    append(log, login(4001))
    monitor = monitor_for(tmp_path)
    assert monitor._source.read(0) is None
    cursor = Store(str(tmp_path / "state.db"), readonly=True).cursor(f"file:{log}")
    assert cursor == monitor._source.position()


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(hours=-5), timedelta(days=400)])
def test_a_clock_that_jumps_stops_nothing(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str], jump: timedelta
) -> None:
    """Back or ahead, by hours or by a year, while it runs: every login is told."""
    clock = [NOW]
    monitor = monitor_of(tmp_path, lambda: clock[0])
    told: list[int] = []
    original = monitor._workers.notify

    def notify() -> None:  # called when a batch was committed
        original()
        told.append(1)
        clock[0] = NOW + jump
        if len(told) == 1:
            append(log, login(4002, "bob"))
        else:
            monitor._orders.stop()

    monitor._workers.notify = notify  # type: ignore[method-assign] # a hook at a known moment
    append(log, login(4001))
    monitor.run()
    while monitor_for_rest(tmp_path, lambda: clock[0]).step() == 0.0:
        pass
    assert len(told) == 2
    shown = capsys.readouterr().out
    assert (shown.count("User: alice\n"), shown.count("User: bob\n")) == (1, 1)


def monitor_for_rest(place: Path, clock: Any) -> Worker:  # noqa: ANN401 - a function
    """Return a worker for what a monitor that was stopped has left."""
    store, look = Store(str(place / "state.db")), Look("en", UTC)
    return Worker([Outlet("console", Console(), (), look)], store, Transport(sys.stdout).send, clock, lambda: 0.0)


class Mend(logging.Handler):
    """Lets a store write again as soon as its trouble was told."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note what was said; mend at the second time of the trouble, or at the first if it is told only once."""
        self.said.append(record.getMessage())
        self.store._db.execute("PRAGMA query_only = OFF")


def test_a_batch_that_the_disk_refused_is_taken_in_later(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same batch, until it is in; trouble and recovery are told."""
    monkeypatch.setattr(module, "_DISK", 0.001)
    monitor = monitor_for(tmp_path)
    mend = Mend(monitor._store)
    module.log.addHandler(mend)
    module.log.setLevel(logging.INFO)
    monitor._store._db.execute("PRAGMA query_only = ON")
    try:
        monitor._take(Batch(login(4001), "here"))
    finally:
        module.log.removeHandler(mend)
        module.log.setLevel(logging.NOTSET)
    assert [text.rpartition(": ")[2] for text in mend.said] == [
        "attempt to write a readonly database; check that its directory exists and that this user may write there",
        "writes again, nothing was lost",
    ]
    assert monitor._store.cursor(f"file:{log}") == "here"
    assert [s.user for s in monitor._store.sessions()] == ["alice"]


def test_a_stop_does_not_wait_for_the_disk(tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was not committed is read again at the next start."""
    monitor = monitor_for(tmp_path)
    before = monitor._store.cursor(f"file:{log}")
    monitor._store._db.execute("PRAGMA query_only = ON")
    monitor._orders.stop()
    monitor._take(Batch(login(4001), "here"))
    assert monitor._store.cursor(f"file:{log}") == before
    assert len(caplog.records) == 1


def test_a_bug_in_a_channel_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, with its trace, and the service manager starts anew; a silent channel would be worse."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    worker = monitor_for_rest(tmp_path, lambda: NOW)
    worker.step = None  # type: ignore[assignment,method-assign] # calling it is a bug
    workers.deliver(worker, Transport(sys.stdout))
    assert ended == [70]
    assert "console: this is a bug; the service stops, is started again, and goes on where it was" in caplog.text


def test_a_bad_source_leaves_no_state(tmp_path: Path) -> None:
    """What can't be watched is told before anything was changed."""
    (tmp_path / "auth.log").mkdir()
    with pytest.raises(SourceError, match="it is a directory"):
        monitor_for(tmp_path)
