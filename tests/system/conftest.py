"""What the system tests share: laboratories, and monitors that watch them for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

import pytest

from tests.fakes.feishu import FakeFeishu
from tests.support import needed
from tests.system.lab import Lab, children, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.scenarios import Fact

HERE = Path(__file__).parents[2]
SECRET = "signing-key-of-the-robot"
CONFIG = """
language: zh
monitor: {{source: file, log_file: {log}}}
state: {state}
notify:
  feishu: {{webhook_url: "{url}", secret: "{secret}", format: {form}, rate: []}}
"""
TITLES = {
    "用户登录通知": "login",
    "用户登录通知（异常）": "login",
    "用户登出通知": "logout",
    "用户登出通知（异常）": "logout",
}
REASONS = {"正常退出": "disconnected", "超时断开": "timeout", "连接中断": "closed", "会话被强制结束": "terminated"}
LABELS = {"user": "用户名", "source_ip": "IP地址", "source_port": "端口", "reason": "登出原因"}


Counted = Counter[tuple[object, ...]]


class Told(NamedTuple):
    """What one message says."""

    kind: str
    user: str
    source_ip: str
    source_port: int
    end_reason: Optional[str]


def expected(truth: list[Fact]) -> list[Told]:
    """Return the messages that this truth asks for: one for each login and logout, none for a failure."""
    return [
        Told(row["kind"], row["user"], row["source_ip"], row["source_port"], row.get("end_reason"))  # type: ignore[arg-type]
        for row in truth
        if row["kind"] != "failed"
    ]


def read(text: str) -> Told:
    """Read a message back, as a person would."""
    title, *lines = text.split("\n")
    facts = dict(line.split("：", 1) for line in lines)
    for label in ("服务器", "服务器IP", "登录时间"):
        assert facts[label].strip(), f"{label} is missing: {text}"
    reason = facts.get(LABELS["reason"])
    meaning = next((word for begin, word in REASONS.items() if reason and reason.startswith(begin)), reason)
    return Told(
        TITLES[title], facts[LABELS["user"]], facts[LABELS["source_ip"]], int(facts[LABELS["source_port"]]), meaning
    )


class Watch:
    """A monitor over a lab's log, in the lab's process namespace, sending to a fake Feishu on the host's loopback."""

    def __init__(self, lab: Lab, feishu: FakeFeishu, *, form: str = "text") -> None:
        self.lab = lab
        self.feishu = feishu
        self.due: list[Told] = []  # the messages that it should have sent so far
        self.counted: Counted = Counter()  # and the failures it should have counted
        self.state = lab.root / "state.db"
        self._config = lab.root / "config.yaml"
        self._config.write_text(
            CONFIG.format(log=lab.log, state=self.state, url=feishu.url, secret=SECRET, form=form), encoding="utf-8"
        )
        self._output = lab.root / "monitor.txt"
        self._process: Optional[subprocess.Popen[bytes]] = None

    def _command(self, *verb: str) -> list[str]:
        # nsenter goes to the root directory, so the package must be named
        python = ["env", f"PYTHONPATH={HERE}", sys.executable]
        return self.lab.enter(*python, "-m", "usm", "-c", self._config, *verb, net=False)

    def start(self) -> None:
        """Start the monitor and wait until it watches."""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(self._command("run"), stdout=output, stderr=output)
        until(lambda: "watching" in self.output() or self._ended(), "the monitor to start")
        assert not self._ended(), self.output()

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def output(self) -> str:
        """Return what the monitor printed."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal the monitor and wait for its end."""
        assert self._process
        if not self._ended():
            os.kill(children(self._process.pid)[0], number)  # the process itself is nsenter
        return self._process.wait(20)

    def wait(self, count: int) -> None:
        """Wait until so many messages came; give up when the monitor does."""
        until(lambda: len(self._texts()) >= count or self._ended(), f"message {count}: {self.output()}")
        assert not self._ended(), self.output()

    def told(self) -> list[Told]:
        """Return the messages so far."""
        return [read(text) for text in self._texts()]

    def _texts(self) -> list[str]:
        """Return the messages about logins and logouts; what was found by itself is another test's."""
        return [text for text in self.feishu.texts() if not text.startswith("异常告警")]

    def sessions(self) -> list[dict[str, Any]]:
        """Return what `usm sessions --all` says, in the order in which the lab gave out the ports."""
        done = subprocess.run(
            self._command("sessions", "--all", "--format", "json"), stdout=subprocess.PIPE, check=True
        )
        return sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda row: int(row["source_port"]))


Watcher = Callable[..., Watch]


@contextmanager
def watching() -> Iterator[Watcher]:
    """Start labs with monitors, and end them all."""
    needed(Lab.missing())
    with ExitStack() as stack:

        def begin(*, form: str = "text", **options: Any) -> Watch:  # noqa: ANN401 - the lab's
            feishu = stack.enter_context(FakeFeishu(secret=SECRET, limits=()))
            lab = stack.enter_context(Lab(**options))
            until(lambda: lab.log.exists(), "the log")
            watch = Watch(lab, feishu, form=form)
            watch.start()
            stack.callback(watch.end)
            return watch

        yield begin


@pytest.fixture(scope="module")
def day() -> Iterator[Watch]:
    """Return the monitor that watches the scenarios one after the other, as it would on a real server."""
    with watching() as begin:
        yield begin(alive=1)


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    """Return what starts a lab and a monitor of its own."""
    with watching() as begin:
        yield begin
