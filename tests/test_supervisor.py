"""What systemd is told: a real datagram socket listens."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from usm.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Systemd:
    """A socket, and what came to it."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(0)

    def heard(self) -> list[str]:
        """Return the datagrams so far."""
        found: list[str] = []
        with suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(4096).decode())
        return found


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """Return a systemd that listens at `notify` in the temporary directory."""
    made = Systemd(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def test_the_life_of_a_service(tmp_path: Path, systemd: Systemd) -> None:
    """Ready, reloading, ready again, stopping."""
    supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "notify")}, 1, lambda: 12.5)
    supervisor.ready("watching journal")
    supervisor.reloading()
    supervisor.alive()
    supervisor.stopping()
    assert systemd.heard() == [
        "READY=1\nSTATUS=watching journal",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "STOPPING=1",
    ]
    assert supervisor.interval == float("inf")


def test_the_watchdog_hears_three_times_in_its_span(tmp_path: Path, systemd: Systemd) -> None:
    """Not more often than it must; in the process that it is meant for."""
    time = [100.0]
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}
    supervisor = Supervisor(environment, 7, lambda: time[0])
    assert supervisor.interval == 1.0
    for moment in (100.5, 101.0, 101.2, 102.1):
        time[0] = moment
        supervisor.alive()
    assert systemd.heard() == ["WATCHDOG=1", "WATCHDOG=1"]
    assert Supervisor(environment, 8).interval == float("inf")
    assert Supervisor({**environment, "WATCHDOG_USEC": "soon"}, 7).interval == float("inf")


def test_a_forked_daemon_speaks_only_of_its_life(tmp_path: Path, systemd: Systemd) -> None:
    """That it is ready is told by the end of the command that forked it."""
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
    time = [0.0]
    supervisor = Supervisor(environment, 7, lambda: time[0], forked=True)
    supervisor.ready("watching")
    supervisor.reloading()
    time[0] = 2
    supervisor.alive()
    assert systemd.heard() == ["WATCHDOG=1"]


def test_an_abstract_address() -> None:
    """As systemd writes it, with an @."""
    name = f"usm-test-{os.getpid()}"
    systemd = Systemd(f"\0{name}")
    Supervisor({"NOTIFY_SOCKET": f"@{name}"}, 1).stopping()
    assert systemd.heard() == ["STOPPING=1"]
    systemd.socket.close()


def test_without_systemd_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And one that does not listen is no reason to fail."""
    Supervisor({}, 1).ready("watching")
    assert caplog.text == ""
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, 1).ready("watching")
    assert "systemd can't be told how the service does: No such file or directory" in caplog.text
