"""`usm start` and its fellows from a shell, without systemd: the same real daemon, and what a person gets to see."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parent.parent
PATIENCE = 60.0  # seconds after which a test gives up; never waited for when all is well
LOGIN = "2026-11-23T10:05:07+08:00 web01 sshd[{0}]: Accepted password for alice from 203.0.113.5 port {0} ssh2\n"


class Place:
    """A configuration, a log and a state file of their own, and the commands that use them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log, self.config, self.pidfile = path / "auth.log", path / "config.yaml", path / "run" / "usm.pid"
        self.log.touch()
        self.configure()

    def configure(self, more: str = "") -> None:
        """Write the configuration."""
        self.config.write_text(
            f"language: en\nmonitor: {{log_file: {self.log}}}\nstate: {self.path}/state/state.db\n"
            f"pidfile: {self.pidfile}\n{more}"
        )

    def usm(self, *arguments: str, cwd: str = "/") -> tuple[int, str, str]:
        """Run a command from another directory; return its exit code and what it said."""
        words = [sys.executable, "-m", "usm", *arguments, "-c", str(self.config)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        # The daemon keeps none of these pipes: else this would wait for its end.
        done = subprocess.run(
            words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def start(self) -> int:
        """Start, and return the daemon's process."""
        code, out, err = self.usm("start")
        assert (code, err) == (0, "")
        number = int(self.pidfile.read_text())
        assert out == f"started, process {number}: watching file:{self.log} (as configured)\n"
        return number

    def status(self) -> dict[str, Any]:
        """Return what `usm status` says."""
        found: dict[str, Any] = json.loads(self.usm("status", "--format", "json")[1])
        return found

    def append(self, *ports: int) -> None:
        """Let people log in."""
        with self.log.open("a") as file:
            file.write("".join(map(LOGIN.format, ports)))

    def ports(self) -> list[int]:
        """Return from which ports sessions were recorded."""
        store = Store(f"{self.path}/state/state.db", readonly=True)
        return sorted(s.source_port or 0 for s in store.sessions(everything=True))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a place; whatever was started in it is ended."""
    made = Place(tmp_path)
    yield made
    if made.pidfile.exists() and made.pidfile.read_text().strip().isdigit():
        made.configure()
        made.usm("stop")


def until(condition: Callable[[], bool]) -> None:
    """Wait for something."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_daemon_from_start_to_stop(place: Place) -> None:
    """It is nobody's child, in no terminal's session, at `/`, and keeps none of the command's streams."""
    number = place.start()
    assert int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1]) != os.getpid()
    assert os.getsid(number) not in (number, os.getsid(0))
    assert os.readlink(f"/proc/{number}/cwd") == "/"
    assert [os.readlink(f"/proc/{number}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    assert re.search(r"^Umask:\s+0027$", Path(f"/proc/{number}/status").read_text(), re.MULTILINE)
    place.append(4001)
    until(lambda: place.ports() == [4001])
    found = place.status()
    assert (found["running"], found["pid"], found["sessions"]) == (True, number, 1)
    assert found["counters"]["events"] == {"login": 1}
    assert place.usm("stop") == (0, f"stopped process {number}\n", "")
    assert not place.pidfile.exists()
    assert place.usm("stop") == (0, "no monitor was running\n", "")
    assert place.usm("status")[0] == 1


def test_a_second_start_is_refused(place: Place) -> None:
    """With the process that is running; that goes on."""
    number = place.start()
    assert place.usm("start") == (1, "", f"usm: the monitor is running already (process {number}): see usm status\n")
    assert place.status()["pid"] == number


def test_a_pidfile_is_one_monitors_only(place: Place) -> None:
    """Another configuration that names the same one is told whose it is."""
    number = place.start()
    other = place.path / "other.yaml"
    other.write_text(place.config.read_text().replace("state/state.db", "other/state.db"))
    config, place.config = place.config, other
    said = (
        f"usm: pidfile {place.pidfile}: another monitor (process {number}) holds it; give this one a path of its own\n"
    )
    assert place.usm("start") == (1, "", said)
    place.config = config
    assert int(place.pidfile.read_text()) == number


def test_a_wrong_configuration_starts_nothing(place: Place) -> None:
    """It is told before anything is forked, with 78."""
    place.configure("notify: {feishu: {webhook_ur: x}}\n")
    code, out, err = place.usm("start")
    assert (code, out, len(err.splitlines())) == (78, "", 2)
    assert not (place.path / "state").exists()


def test_what_goes_wrong_in_the_background_is_told_by_the_command(place: Place) -> None:
    """With its exit code, and nothing is left running."""
    place.log.unlink()
    place.log.mkdir()
    code, out, err = place.usm("start")
    assert (code, out) == (1, "")
    assert err == f"usm: {place.log}: it is a directory; name the file in monitor.log_file\n"
    assert not place.pidfile.exists()


def test_a_log_that_is_missing_is_waited_for(place: Place) -> None:
    """The command says so, and that is all that is wrong."""
    place.log.unlink()
    code, out, err = place.usm("start")
    assert (code, err) == (0, f"usm: {place.log} is not there: waiting for it\n")
    assert out.startswith("started, process ")
    place.append(4001)
    until(lambda: place.ports() == [4001])


def test_a_reload_takes_a_sound_configuration_and_no_other(place: Place) -> None:
    """The answer is the running monitor's; nothing is missed, whichever it is."""
    number = place.start()
    second = place.path / "second.log"
    second.touch()
    ports = iter(range(4001, 5000))
    for more, answer in (
        ("retention: 200d\n", 0),
        ("retention: soon\n", 78),
        ("- neither\n", 78),
        (f"metrics: {{listen: '127.0.0.1:{_free_port()}'}}\n", 0),
        ("", 0),
    ):
        place.append(next(ports))
        place.configure(more)
        code, out, err = place.usm("reload")
        assert code == answer, err
        assert (out == f"reloaded by process {number}\n", err.startswith("usm: not reloaded")) == (not code, bool(code))
        place.append(next(ports))
        if more != "- neither\n":  # of this file not even the state's place can be read
            assert bool(place.status()["refused"]) == bool(code)
    place.config.write_text(place.config.read_text().replace("state/state.db", "elsewhere/state.db"))
    os.kill(number, signal.SIGHUP)
    place.configure()
    until(lambda: "restart it" in " ".join(place.status()["refused"]) or place.status()["refused"] == [])
    place.log.rename(second)
    place.config.write_text(place.config.read_text().replace(str(place.log), str(second)))
    assert place.usm("reload")[0] == 0
    place.log = second
    last = next(ports)
    place.append(last)
    until(lambda: place.ports()[-1:] == [last])
    assert place.ports() == list(range(4001, last + 1))


def test_restart_and_kill_miss_nothing(place: Place) -> None:
    """`restart` is another process at the same place; what a killed one left behind is replaced, and said."""
    first = place.start()
    place.append(4001)
    code, out, err = place.usm("restart")
    assert (code, err) == (0, "")
    second = int(place.pidfile.read_text())
    assert out.startswith(f"stopped process {first}\nstarted, process {second}: ")
    os.kill(second, signal.SIGKILL)
    place.append(4002)
    until(lambda: not place.status()["running"])
    code, out, err = place.usm("start")
    assert code == 0
    said = f"usm: pidfile {place.pidfile} was left behind by process {second}, which is gone: it is replaced\n"
    assert err == said
    until(lambda: place.ports() == [4001, 4002])
    assert place.usm("restart", cwd=str(place.path))[0] == 0
    place.configure("notify: {feishu: {}}\n")
    third = int(place.pidfile.read_text())
    assert place.usm("restart")[0] == 78
    place.configure()
    assert place.status()["pid"] == third  # a configuration that is wrong ends nothing


def test_a_monitor_in_the_foreground_is_told_the_same(place: Place) -> None:
    """It has no pidfile; its state file says who it is."""
    words = [sys.executable, "-m", "usm", "run", "-c", str(place.config)]
    with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr
        while b"watching" not in process.stderr.readline():
            pass
        until(lambda: place.status()["pid"] == process.pid)
        assert place.usm("reload") == (0, f"reloaded by process {process.pid}\n", "")
        assert place.usm("stop") == (0, f"stopped process {process.pid}\n", "")
        assert process.wait(PATIENCE) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_root_does_not_write_what_the_service_could_not_open(place: Place) -> None:
    """Where the state is another user's, root is told how to become him."""
    (place.path / "state").mkdir()
    os.chown(place.path / "state", 65534, 65534)
    for verb in ("start", "run", "restart"):
        code, _, err = place.usm(verb)
        assert code == 1
        assert f"{place.path}/state belongs to nobody, who runs the service" in err
        assert "runuser -u nobody -- usm start" in err
    assert list((place.path / "state").iterdir()) == []


def test_the_monitor_does_not_feed_on_its_own_words(place: Place) -> None:
    """A line of its own in the log that it reads is read, means nothing, and leads to no other line."""
    forged = "sshd[1]: Accepted password for root from 192.0.2.1 port 9 ssh2"
    words = f"2026-11-23T10:05:07+08:00 web01 user-session-monitor[9]: {forged}\n"
    place.start()
    with place.log.open("a") as file:
        file.write(words)
    place.append(4001)
    until(lambda: place.ports() == [4001])
    assert place.status()["counters"]["lines"] == 2
    assert place.status()["problem"] is None


def _free_port() -> int:
    import socket  # noqa: PLC0415 - for this one question

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
