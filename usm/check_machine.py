"""Whether the machine gives what the monitor relies on: a clock that is right, visible processes, room on the disk."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from usm.finding import FAIL, OK, WARN, Finding, size

if TYPE_CHECKING:
    from usm.system import Presence

LEAST, LITTLE, SHARE = 5 << 20, 100 << 20, 0.05  # bytes free: below these it fails, or is warned of
_TIMEOUT = 5.0  # seconds for timedatectl


def clock() -> list[Finding]:
    """Tell whether the clock is synchronised; nothing where nobody knows."""
    try:
        done = subprocess.run(
            ["timedatectl", "show", "--property=NTPSynchronized", "--value"],  # noqa: S607 - where the system has it
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    said = done.stdout.strip()
    if said == b"yes":
        return [(OK, "clock: synchronised")]
    if said == b"no":
        return [(WARN, "clock: not synchronised; services refuse a wrong clock's signatures: timedatectl set-ntp true")]
    return []


def processes(presence: Presence) -> Finding:
    """Tell whether other users' processes can be seen."""
    if presence.started(1) is not None:
        return OK, "processes: visible"
    return (
        WARN,
        "processes: /proc hides those of other users, so a session that vanishes is not noticed; give this user's "
        "group to the mount's option gid= in /etc/fstab, or: mount -o remount,hidepid=0 /proc",
    )


def disk(directory: str) -> list[Finding]:
    """Tell how much room there is where the state is, or will be."""
    directory = existing(directory)
    try:
        found = os.statvfs(directory)
    except OSError as error:
        return [(FAIL, f"disk: {directory}: {error.strerror}; check its file system: dmesg")]
    free = found.f_bavail * found.f_frsize
    share = found.f_bavail / found.f_blocks if found.f_blocks else 1.0
    inodes = found.f_favail / found.f_files if found.f_files else 1.0  # some file systems don't count them
    findings = []
    if free < LITTLE or share < SHARE:
        text = f"disk: {size(free)} ({share:.0%}) free at {directory}; make room: du -xh {directory} | sort -h"
        findings.append((FAIL if free < LEAST else WARN, text))
    if inodes < SHARE:
        text = f"disk: {inodes:.0%} of the inodes free at {directory}; delete small files: du -x --inodes {directory}"
        findings.append((FAIL if not found.f_favail else WARN, text))
    return findings or [(OK, f"disk: {size(free)} free at {directory}")]


def existing(directory: str) -> str:
    """Return the directory, or the nearest one above it that exists."""
    directory = os.path.abspath(directory)
    while not os.path.exists(directory):
        directory = os.path.dirname(directory)
    return directory
