"""What the system itself says: its boot, its processes, and who is on (logind's list, and sshd's processes).

All of it is read from /proc and from `loginctl`; a container or a machine without logind has less to say.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from usm.core.model import Seat, System
from usm.core.programs.row import address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

log = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TICKS = os.sysconf("SC_CLK_TCK")
_TIMEOUT = 10.0  # seconds for loginctl; no line is read while it is asked
_TTY = 4  # which of the fields behind the name is the controlling terminal: proc(5), tty_nr
_STARTED = 19  # which of the fields behind the name says when a process was started: proc(5), starttime
_BTIME = re.compile(r"^btime (\d{1,12})$", re.MULTILINE)
# PAM services that log nobody in: jobs, people who are on already, and the screens on which one logs in.
_NOBODY = re.compile(
    r"cron|crond|atd|systemd-user|su|su-l|sudo|sudo-i|runuser|runuser-l|polkit-1|doas|systemd-run0|.*-greeter|gdm-launch-environment"
)
_SERVICES = {"remote": "login", "lightdm-autologin": "lightdm", "sddm-autologin": "sddm"}
# Root's process up to OpenSSH 9.7 is the only one, unless the distribution changed that: then it has a parent here.
_TITLE = re.compile(r"sshd(?:-session)?: (?P<user>.+) \[priv\]|sshd: (?P<root>root)@(?P<tty>\S+)")
_PTS = 136
_TERMINAL = re.compile(r"pts/\d{1,6}|tty[A-Za-z]{0,4}\d{1,3}", re.ASCII)
_PROPERTIES = ("Id", "Name", "Leader", "Service", "Class", "TTY", "RemoteHost")


class Presence:
    """Looks at the system; `root` is where it is mounted, for tests."""

    def __init__(self, proc: str = "/proc", sessions: str = "/run/systemd/sessions", dev: str = "/dev") -> None:
        self._proc, self._dev = Path(proc), Path(dev)
        self._sessions = Path(sessions)
        self._seen: Optional[int] = None
        self._seats: dict[int, Seat] = {}

    def look(self, pids: Iterable[int]) -> Optional[System]:
        """Return who is on, and when the processes that are asked for, and those of who is on, were started.

        None where other users' processes are hidden from this one (proc(5), hidepid): then nothing can be said.
        """
        if self.started(1) is None:
            return None
        found = {**self._shells(), **self._logind()}
        begun = {pid: start for pid in {*pids, *found} if (start := self.started(pid)) is not None}
        there = (
            seat._replace(begun=begun[leader][0], start=begun[leader][1])
            for leader, seat in found.items()
            if leader in begun
        )
        seats = tuple(there)
        bare = [seat.leader for seat in seats if seat.tty is None and seat.service == "sshd"]
        if bare:  # logind does not know it any more where there is no utmp
            terminals = self._terminals(bare)
            seats = tuple(seat._replace(tty=seat.tty or terminals.get(seat.leader)) for seat in seats)
        return System(seats, begun, self._typed(seat.tty for seat in seats))

    def _terminals(self, leaders: Iterable[int]) -> Mapping[int, str]:
        """Return the terminal of each leader that has one: that of the nearest process below it, its shell's."""
        children: dict[int, list[tuple[int, int]]] = {}
        for entry in self._proc.iterdir():
            fields = self._stat(int(entry.name)) if entry.name.isdigit() else None
            if fields is not None:
                children.setdefault(int(fields[1]), []).append((int(entry.name), int(fields[_TTY])))
        found: dict[int, str] = {}
        for leader in leaders:
            row = [leader]
            while row and leader not in found:
                below = [child for pid in row for child in sorted(children.get(pid, ()))]
                number = next((n for _, device in below if (n := _pts(device)) is not None), None)
                if number is not None:
                    found[leader] = f"pts/{number}"
                row = [pid for pid, _ in below]
        return found

    def _typed(self, terminals: Iterable[Optional[str]]) -> Mapping[str, datetime]:
        """Return when each terminal was read from last, which is when something was typed (as w(1) has it)."""
        typed = {}
        for name in terminals:
            if name is not None and _TERMINAL.fullmatch(name):
                try:
                    typed[name] = datetime.fromtimestamp((self._dev / name).stat().st_atime, timezone.utc)
                except OSError:
                    continue
        return typed

    def boot(self) -> tuple[Optional[str], Optional[datetime]]:
        """Return the boot's id as journald writes it, and when this system's first process was started."""
        try:
            identity: Optional[str] = (self._proc / "sys/kernel/random/boot_id").read_text().strip().replace("-", "")
        except OSError:
            identity = None
        first = self.started(1)
        return identity, None if first is None else first[1]

    def started(self, pid: int) -> Optional[tuple[int, datetime]]:
        """Return when a process was started, in clock ticks since the boot and by the wall clock; None if it is gone.

        The wall clock is that of now: a clock that is set takes all starts with it, the ticks stay.
        """
        fields, booted = self._stat(pid), self._booted()
        if fields is None or booted is None or fields[0] in "ZX":  # ended, and its parent has not noticed
            return None
        ticks = int(fields[_STARTED])
        return ticks, booted + timedelta(seconds=ticks / _TICKS)

    def _stat(self, pid: int) -> Optional[list[str]]:
        """Return the fields behind the name (which may hold anything): the state, the parent and so on."""
        try:
            fields = (self._proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return fields if len(fields) > _STARTED else None

    def _booted(self) -> Optional[datetime]:
        try:
            match = _BTIME.search((self._proc / "stat").read_text())
        except OSError:
            return None
        return None if match is None else _EPOCH + timedelta(seconds=int(match[1]))

    def _logind(self) -> Mapping[int, Seat]:
        """Return logind's sessions; it is asked again only when it has written something."""
        try:
            changed = self._sessions.stat().st_mtime_ns
        except OSError:
            return {}
        if changed != self._seen:
            asked = _loginctl("list-sessions", "--no-legend")
            if asked is None:
                return self._seats
            ids = [line.split()[0] for line in asked.splitlines() if line.strip()]
            named = [f"--property={name}" for name in _PROPERTIES]
            shown = _loginctl("show-session", *named, "--", *ids) if ids else ""
            if shown is None:  # one of them ended meanwhile, perhaps: asked again at the next look
                return self._seats
            self._seats = {seat.leader: seat for seat in map(_seat, shown.split("\n\n")) if seat is not None}
            self._seen = changed
        return self._seats

    def _shells(self) -> Mapping[int, Seat]:
        """Return the connections that sshd serves, by its processes' titles; only root's are believed."""
        titles: dict[int, re.Match[str]] = {}
        for entry in self._proc.iterdir():
            if entry.name.isdigit():
                try:
                    if entry.stat().st_uid != 0:  # first: another user's may block who reads its title
                        continue
                    command = (entry / "cmdline").read_bytes()
                    if command.startswith(b"sshd"):
                        match = _TITLE.fullmatch(command.rstrip(b"\0 ").decode("utf-8", "backslashreplace"))
                        if match is not None:
                            titles[int(entry.name)] = match
                except OSError:
                    continue  # it ended meanwhile
        parents = {pid: int((self._stat(pid) or ["", "0"])[1]) for pid in titles}
        return {
            pid: Seat(pid, 0, _EPOCH, match["user"] or match["root"], "sshd", tty=_terminal(match["tty"]))
            for pid, match in titles.items()
            if match["root"] is None or parents[pid] not in titles
        }

    def peer(self, pid: int) -> tuple[Optional[str], Optional[int]]:
        """Return the address and port that a process is connected to, where this user may know it."""
        try:
            inodes = {os.readlink(entry.path)[8:-1] for entry in os.scandir(self._proc / str(pid) / "fd")}
            tables = [(self._proc / str(pid) / "net" / name).read_text() for name in ("tcp", "tcp6")]
        except OSError:
            return None, None
        for line in "".join(tables).splitlines():
            fields = line.split()
            if len(fields) > 9 and fields[3] == "01" and fields[9] in inodes:  # noqa: PLR2004 - established; its inode
                ip, port = fields[2].split(":")
                return _address(ip), int(port, 16)
        return None, None


def _loginctl(*arguments: str) -> Optional[str]:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, and ids that loginctl gave
            ["loginctl", "--no-pager", *arguments],  # noqa: S607 - where the system has it
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("loginctl can't be asked who is on: %s", error)
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "backslashreplace")


def _seat(block: str) -> Optional[Seat]:
    """Read one session as loginctl shows it; None where it is nobody's login."""
    facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    service, leader = facts.get("Service", ""), facts.get("Leader", "")
    human = facts.get("Class", "").startswith("user") and _NOBODY.fullmatch(service) is None
    if not human or not leader.isdigit() or not facts.get("Name"):
        return None
    return Seat(
        int(leader),
        0,
        _EPOCH,
        facts["Name"],
        "gdm" if service.startswith("gdm-") else _SERVICES.get(service, service or "logind"),
        address(facts.get("RemoteHost", "")),
        tty=_terminal(facts.get("TTY")),
        id=facts.get("Id"),
    )


def _pts(device: int) -> Optional[int]:
    """Return the number of a pseudo terminal, None for another device: majors 136 to 143 (Linux, devices.txt)."""
    major, minor = (device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xFFF00)
    return (major - _PTS) * 256 + minor if _PTS <= major < _PTS + 8 else None


def _terminal(tty: Optional[str]) -> Optional[str]:
    return tty if tty not in (None, "", "notty", "ssh") else None


def _address(text: str) -> Optional[str]:
    """`0100007F`, as /proc/net/tcp has it: words in the machine's byte order."""
    order = -1 if sys.byteorder == "little" else 1
    words = [bytes.fromhex(text[at : at + 8])[::order] for at in range(0, len(text), 8)]
    packed = b"".join(words)
    form = "%d.%d.%d.%d" if len(packed) == 4 else ":".join(["%02x%02x"] * 8)  # noqa: PLR2004 - bytes of IPv4
    return address(form % tuple(packed))
