"""Make the recordings: `python -m tests.system.record` (as root) writes `tests/data/logs` and `usm/demo.log`.

`python -m tests.system.record machines [SUITE...]` writes `tests/data/machines/SUITE` from a booted Debian: what was
logged of all scenarios as Debian, RHEL and SUSE do it and in the journal, and the journal of a day of forgeries.
Records of other programs are left out of the journal; whatever is kept is kept whole.

Every byte of the logs is sshd's, PAM's and rsyslogd's own, with one exception: the stamps of `usm/demo.log` are
spread over one day. Beside each log lies the truth as the scenarios noted it, one event a line, in the order of
happening; failures that sshd does not log are left out.
"""

from __future__ import annotations

import json
import lzma
import re
import socket
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Callable

from tests.system import machine_scenarios
from tests.system.clients import USERS
from tests.system.lab import DRESSES, Client, Lab
from tests.system.machine import SUITES, Machine
from tests.system.scenarios import ALL, BANNERS, FORGED, Fact

HERE = Path(__file__).parents[2]
LOGS = HERE / "tests/data/logs"
DEMO = HERE / "usm/demo.log"
DAY = "2026-11-20T{}.000000+08:00"


def version() -> str:
    """Return the version of OpenSSH, such as `9.2`."""
    shown = subprocess.run(["ssh", "-V"], check=True, capture_output=True, text=True).stderr
    match = re.match(r"OpenSSH_(\d+\.\d+)", shown)
    assert match
    return match[1]


def record(dress: str) -> tuple[bytes, list[Fact]]:
    """Play all scenarios; return the log and the truth."""
    with Lab(dress, alive=1) as lab:
        truth = [row for scenario in ALL for row in scenario(lab)]
        return lab.log.read_bytes(), truth


def write(dress: str) -> None:
    """Record one dress."""
    log, truth = record(dress)
    name = LOGS / f"openssh-{version()}-{dress}"
    name.with_name(f"{name.name}.log").write_bytes(log)
    rows = [
        {name: value for name, value in row.items() if name != "logged"} for row in truth if row.get("logged", True)
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    name.with_name(f"{name.name}.jsonl").write_text(text, encoding="utf-8")
    sys.stdout.write(f"{name}: {log.count(10)} lines, {len(rows)} events\n")


class Day:
    """A day in the life of the lab: each part is played now and stamped as of its hour."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.seen = len(lab.lines())
        self.log: list[bytes] = []

    def at(self, hour: str, *parts: Callable[[], object]) -> None:
        """Play these parts; their first line gets the hour given, the distances between the lines stay."""
        for part in parts:
            part()
        lines = self.lab.lines()[self.seen :]
        self.seen += len(lines)
        shift = None
        for line in lines:
            stamp, rest = line.split(b" ", 1)
            when = datetime.fromisoformat(stamp.decode())
            shift = shift or datetime.fromisoformat(DAY.format(hour)) - when
            moved = (when + shift).astimezone(datetime.fromisoformat(DAY.format(hour)).tzinfo)
            self.log.append(moved.isoformat(timespec="microseconds").encode() + b" " + rest)


def demo() -> None:
    """Record the day that `usm` shows to who wants to see it work."""
    office, home, station, attacker = "203.0.113.5", "2001:db8:42::7", "203.0.113.77", "198.51.100.23"
    with Lab(alive=1) as lab:
        day = Day(lab)
        held: dict[str, Client] = {}

        def enter(name: str, user: str, auth: str, source: str) -> Callable[[], None]:
            def part() -> None:
                held[name] = lab.connect(user, auth, source, tty=True)

            return part

        day.at("08:31:07", enter("alice", "alice", "key", office))
        day.at("08:58:42", enter("bob", "bob", "password", "203.0.113.6"))
        day.at("09:15:00", lambda: lab.copy("deploy", "198.51.100.10"))
        day.at("09:15:03", lambda: lab.connect("deploy", "key", "198.51.100.10", "true", hold=False))
        day.at("09:47:12", enter("second", "alice", "key", office))
        day.at("10:20:55", lambda: held["second"].exit())
        day.at("11:02:18", lambda: lab.attempt("admin", attacker, passwords=tuple("abc")))
        day.at("11:02:21", lambda: lab.attempt("root", attacker, passwords=tuple("abcdef")))
        day.at("11:02:26", lambda: lab.attempt("oracle", attacker))
        day.at("11:02:28", lambda: lab.attempt(FORGED, attacker))
        day.at("11:02:30", lambda: lab.banner(BANNERS[0], attacker))
        day.at("12:06:33", lambda: held["bob"].exit())
        day.at("13:10:02", enter("bob", "bob", "password", station))
        day.at("13:41:50", lambda: held["bob"].kill())
        day.at("15:22:09", enter("root", "root", "key", office))
        day.at("15:31:44", lambda: held["root"].exit())
        day.at("17:58:30", lambda: held["alice"].exit())
        day.at("21:14:05", lambda: lab.attempt("alice", home, "password", ("wrong", lab.passwords["alice"])))
        day.at("21:20:11", enter("alice", "alice", "keyboard-interactive", home))
        day.at("22:03:37", lambda: lab.cut(held["alice"]))
        DEMO.write_bytes(b"".join(line + b"\n" for line in day.log))
    sys.stdout.write(f"{DEMO}: {len(day.log)} lines\n")


PROGRAMS = {"sshd", "sshd-session", "sshd-auth", "login", "su", "sudo", "doas", "CRON", "(systemd)", "(sd-pam)"}
PROGRAMS |= {"systemd-logind", "systemd-journald"}
UNITS = re.compile(r"session-|Session \S+ of |user@|User Manager|(?:reboot|poweroff|halt|shutdown|multi-user)\.target")


def relevant(line: bytes) -> bool:
    """Say whether a record of the journal is of a program that matters here, or of who forges such."""
    record = json.loads(line)
    name = record.get("SYSLOG_IDENTIFIER")
    told = name == "systemd" and UNITS.search(str(record.get("MESSAGE"))) is not None
    return name in PROGRAMS or told or record.get("_UID") == str(USERS["mallory"])


def journal(lab: Machine) -> bytes:
    """Return what the journal of a machine holds about sessions."""
    return b"".join(line + b"\n" for line in lab.journal().split(b"\n")[:-1] if relevant(line))


def keep(path: Path, data: bytes, lab: Machine) -> None:
    """Write a recording that must not tell where it was made."""
    for word in (lab.root.name, str(HERE), socket.gethostname()):
        if word.encode() in data:
            raise ValueError(f"{path.name} holds {word}")
    path.write_bytes(lzma.compress(data, preset=9) if path.suffix == ".xz" else data)


def note(path: Path, truth: list[Fact]) -> None:
    """Write the truth beside its recording."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in truth), encoding="utf-8")


def machine(suite: str) -> None:
    """Record a release: everything, then the forgeries on another machine."""
    place = HERE / "tests/data/machines" / suite
    place.mkdir(parents=True, exist_ok=True)
    with Machine(suite) as lab:
        truth = [{"scenario": each.__name__, **row} for each in machine_scenarios.ALL for row in each(lab)]
        lab.written()
        for name in ("auth.log", "secure", "messages"):
            keep(place / f"{name.partition('.')[0]}.log", lab.file(f"var/log/{name}").read_bytes(), lab)
        keep(place / "journal.json.xz", journal(lab), lab)
    note(place / "truth.jsonl", truth)
    with Machine(suite) as lab:
        beside = machine_scenarios.forged(lab)
        lab.written()
        keep(place / "forged.journal.json.xz", journal(lab), lab)
    note(place / "forged.truth.jsonl", beside)
    sys.stdout.write(f"{place}: {len(truth)} events\n")


def main() -> None:
    """Record everything."""
    if sys.argv[1:2] == ["machines"]:
        reason = Machine.missing()
        if reason:
            sys.exit(reason)
        for suite in sys.argv[2:] or SUITES:
            machine(suite)
        return
    reason = Lab.missing()
    if reason:
        sys.exit(reason)
    LOGS.mkdir(parents=True, exist_ok=True)
    for dress in DRESSES:
        write(dress)
    demo()


if __name__ == "__main__":
    main()
