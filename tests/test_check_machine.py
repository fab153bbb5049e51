"""The clock, the processes and the disk, as the machine tells of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from usm.check_machine import clock, disk, existing, processes
from usm.finding import FAIL, OK, WARN
from usm.system import Presence

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo yes", [(OK, "clock: synchronised")]),
        (
            "echo no",
            [(WARN, "clock: not synchronised; services refuse a wrong clock's signatures: timedatectl set-ntp true")],
        ),
        ("exit 1", []),
    ],
)
def test_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: list[object]) -> None:
    """Whoever does not know says nothing."""
    (tmp_path / "timedatectl").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "timedatectl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert clock() == found


def test_processes(tmp_path: Path) -> None:
    """Hidden ones can't be missed, which is said."""
    assert processes(Presence()) == (OK, "processes: visible")
    level, text = processes(Presence(str(tmp_path)))
    assert (level, "mount -o remount,hidepid=0 /proc" in text) == (WARN, True)


@pytest.mark.parametrize(
    ("free", "inodes", "found"),
    [
        (50, 50, [(OK, "disk: 500.0 MiB free at {}")]),
        (4, 50, [(WARN, "disk: 40.0 MiB (4%) free at {}; make room: du -xh {} | sort -h")]),
        (0, 50, [(FAIL, "disk: 0 bytes (0%) free at {}; make room: du -xh {} | sort -h")]),
        (50, 2, [(WARN, "disk: 2% of the inodes free at {}; delete small files: du -x --inodes {}")]),
        (50, 0, [(FAIL, "disk: 0% of the inodes free at {}; delete small files: du -x --inodes {}")]),
    ],
)
def test_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, found: list[tuple[str, str]]
) -> None:
    """What is left, where the state will be; of 100 blocks of 10 MiB, and of 100 inodes."""
    blocks = (10 << 20, 10 << 20, 100, free, free, 100, inodes, inodes, 0, 255)
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(blocks))
    assert disk(str(tmp_path / "not" / "yet")) == [(level, text.replace("{}", str(tmp_path))) for level, text in found]


def test_the_nearest_directory(tmp_path: Path) -> None:
    """Up to the root."""
    assert existing(str(tmp_path / "a" / "b")) == str(tmp_path)
    assert existing("/") == "/"
