"""The older Go tool is found where its installer put it; this program's own installation is not mistaken for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from usm.check_older import PROGRAM, UNIT, older
from usm.finding import FAIL, WARN

ROOT = Path(__file__).resolve().parent.parent
# As the older tool's installer writes it.
OLD_UNIT = """[Unit]
Description=User Session Monitor

[Service]
Type=simple
ExecStart=/usr/local/bin/user-session-monitor run -config /etc/user-session-monitor/config.yaml
Restart=always
"""
ELF = b"\x7fELF\2\1\1" + bytes(57)
OURS = b"#!/usr/bin/python3 -I\nimport sys\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a system without either."""
    for name in (PROGRAM, UNIT, "proc/1/cmdline", "proc/self/cmdline"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "proc/1/cmdline").write_bytes(b"/sbin/init\0")
    return tmp_path


def test_nothing_is_said_where_there_is_nothing(root: Path) -> None:
    """Also where there is no /proc."""
    assert older(str(root)) == []
    assert older(str(root / "nowhere")) == []


def test_each_part_is_named_with_what_removes_it(root: Path) -> None:
    """The process that runs, the unit that hides ours, the program that is found before ours."""
    (root / PROGRAM).write_bytes(ELF)
    (root / UNIT).write_text(OLD_UNIT)
    (root / "proc/77").mkdir()
    (root / "proc/77/cmdline").write_bytes(
        b"/usr/local/bin/user-session-monitor\0run\0-config\0/etc/user-session-monitor/config.yaml\0"
    )
    assert older(str(root)) == [
        (
            FAIL,
            "older tool: the Go tool of this name runs (process 77), so every login is told twice: "
            "systemctl disable --now user-session-monitor, and if it is still there: kill 77",
        ),
        (
            WARN,
            "older tool: /etc/systemd/system/user-session-monitor.service is the Go tool's, and hides the unit of this "
            "program: systemctl disable --now user-session-monitor; "
            "rm /etc/systemd/system/user-session-monitor.service; systemctl daemon-reload; "
            "systemctl enable --now user-session-monitor",
        ),
        (
            WARN,
            "older tool: /usr/local/bin/user-session-monitor is the Go tool's, and found before this program's: "
            "rm /usr/local/bin/user-session-monitor",
        ),
    ]


def test_a_unit_of_its_first_versions(root: Path) -> None:
    """They had no option; the program is a binary, wherever it is."""
    (root / "opt/tool").mkdir(parents=True)
    (root / "opt/tool/monitor").write_bytes(ELF)
    (root / UNIT).write_text("[Service]\nExecStart=-/opt/tool/monitor\n")
    ((level, text),) = older(str(root))
    assert (level, f"/{UNIT} is the Go tool's" in text) == (WARN, True)


def test_our_own_installation_is_not_meant(root: Path) -> None:
    """`make install-service` puts a program and a unit into the same places."""
    (root / PROGRAM).write_bytes(OURS)
    unit = (ROOT / "docs/systemd/user-session-monitor.service").read_text()
    (root / UNIT).write_text(unit.replace("@PREFIX@", "/usr/local"))
    (root / "proc/78").mkdir()
    (root / "proc/78/cmdline").write_bytes(b"/usr/bin/python3\0-I\0/usr/local/bin/user-session-monitor\0start\0")
    (root / "proc/79").mkdir()
    (root / "proc/79/cmdline").write_bytes(b"vi\0user-session-monitor\0-config\0")
    assert older(str(root)) == []


@pytest.mark.parametrize(
    "unit", [b"", b"\0\xff" * 100, b"ExecStart=\n", b"[Service]\nExecStart=/\xff\n", b"[Service]\nExecStart=/a\0b\n"]
)
def test_a_unit_that_makes_no_sense(root: Path, unit: bytes) -> None:
    """It is no unit of anybody's."""
    (root / UNIT).write_bytes(unit)
    assert older(str(root)) == []


def test_what_is_no_file(root: Path) -> None:
    """A masked unit, a directory in a program's place."""
    (root / UNIT).symlink_to("/dev/null")
    (root / PROGRAM).mkdir()
    assert older(str(root)) == []
