"""usm/system.py: a made-up /proc and real answers of loginctl; and this process in the real one."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Optional

import pytest

from usm.core.model import Seat, System
from usm.system import Presence

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

T = datetime(2026, 11, 25, 2, 0, tzinfo=timezone.utc)
BTIME = int(T.timestamp())
TICKS = os.sysconf("SC_CLK_TCK")
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs files of root and of another user")
# What loginctl of systemd 252, 257 and 262 really answered, without what nobody asks for.
ALICE = "Id=c229\nName=alice\nTTY=pts/1\nService=login\nLeader=2556\nClass=user\n"
MANAGER = "Id=c230\nName=alice\nService=systemd-user\nLeader=2566\nClass=manager\n"
SUPERUSER = "Id=c231\nName=root\nTTY=pts/1\nService=login\nLeader=2595\nClass=user-early\n"
COCKPIT = (
    "Id=138\nName=alice\nTTY=web console\nRemoteHost=::ffff:198.51.100.7\nService=cockpit\nLeader=2902\nClass=user\n"
)


class Machine:
    """A /proc, /run/systemd/sessions and a loginctl on PATH."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.proc = path / "proc"
        self.sessions = path / "sessions"
        self.bin = path / "bin"
        for directory in (self.proc, self.bin):
            directory.mkdir()
        (self.proc / "stat").write_text(f"cpu 1 2 3\nbtime {BTIME}\nprocesses 9\n")
        (self.proc / "version").write_text("Linux")
        self.presence = Presence(str(self.proc), str(self.sessions))

    def process(
        self, pid: int, title: str = "x", *, start: int = 5, state: str = "S", parent: int = 1, uid: int = 0
    ) -> Path:
        """Start a process, that many seconds after the boot; its name holds what would confuse."""
        place = self.proc / str(pid)
        place.mkdir()
        fields = [state, str(parent), *["0"] * 17, str(start * TICKS), "0"]
        (place / "stat").write_text(f"{pid} (a) Z 7 (b) {' '.join(fields)}\n")
        (place / "cmdline").write_bytes(title.encode() + b"\0\0")
        if uid:
            os.chown(place, uid, uid)
        return place

    def look(self, pids: Iterable[int]) -> System:
        """Look at the machine, whose first process is there."""
        if not (self.proc / "1").exists():
            self.process(1, start=0)
        seen = self.presence.look(pids)
        assert seen is not None
        return seen

    def logind(self, *blocks: str, script: Optional[str] = None) -> None:
        """Give the machine a logind with these sessions."""
        self.sessions.mkdir(exist_ok=True)
        os.utime(self.sessions, ns=(len(blocks) + 1, len(blocks) + 1))
        ids = "\n".join(f" {block[3 : block.index(chr(10))]} 1000 alice - x" for block in blocks)
        (self.path / "list").write_text(ids + "\n")
        (self.path / "show").write_text("\n".join(blocks))
        program = self.bin / "loginctl"
        answers = f'case "$*" in *list*) cat {self.path}/list;; *) cat {self.path}/show;; esac'
        body = f'echo "$*" >> {self.path}/asked\n{answers}'
        program.write_text(f"#!/bin/sh\n{body if script is None else script}\n")
        program.chmod(stat.S_IRWXU)

    def asked(self) -> list[str]:
        """What loginctl was asked."""
        path = self.path / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return an empty machine, whose loginctl is the first on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return Machine(tmp_path)


def seat(pid: int, user: str, service: str, start: int = 5, **more: Optional[str]) -> Seat:
    """Return the seat of a process that was started that many seconds after the boot."""
    found = Seat(pid, start * TICKS, T + timedelta(seconds=start), user, service)
    return found._replace(**more)  # type: ignore[arg-type] # strings all


def test_when_a_process_was_started(machine: Machine) -> None:
    """In ticks and by the wall clock, whatever its name; one that has ended is gone, though nobody noticed."""
    machine.process(10, start=7)
    machine.process(11, state="Z")
    machine.process(12, state="X")
    assert machine.presence.started(10) == (7 * TICKS, T + timedelta(seconds=7))
    assert [machine.presence.started(pid) for pid in (11, 12, 13)] == [None, None, None]
    assert machine.look([10, 11, 13]).begun == {10: (7 * TICKS, T + timedelta(seconds=7))}


@pytest.mark.parametrize("text", ["cpu 1 2 3\n", "btime x\n", None])
def test_a_machine_without_a_time_of_boot(machine: Machine, text: Optional[str]) -> None:
    """Then nothing is known of its processes, and nothing is said; it breaks nothing."""
    if text is None:
        (machine.proc / "stat").unlink()
    else:
        (machine.proc / "stat").write_text(text)
    machine.process(1, start=0)
    machine.process(10, start=0)
    assert machine.presence.started(10) is None
    assert machine.presence.look([10]) is None
    assert machine.presence.boot()[1] is None


def test_hidden_processes_are_not_taken_for_gone(machine: Machine) -> None:
    """Where not even the first process can be seen, the others may be there as well."""
    machine.process(10)
    assert machine.presence.look([10]) is None
    machine.process(1)
    (machine.proc / "1" / "stat").write_text("")
    assert machine.presence.look([10]) is None


def test_who_was_on_is_remembered_while_logind_does_not_answer(machine: Machine) -> None:
    """A failure is not nobody; it is asked again at the next look."""
    machine.process(2556)
    machine.logind(ALICE)
    assert [s.user for s in machine.look([]).seats] == ["alice"]
    for script in ("exit 1", 'case "$*" in *list*) echo " c229 x";; *) exit 1;; esac'):
        machine.logind(ALICE, MANAGER, script=script)
        assert [s.user for s in machine.look([]).seats] == ["alice"]
    machine.logind(MANAGER, MANAGER, MANAGER)
    assert machine.look([]).seats == ()


def test_the_boot_is_the_first_process(machine: Machine) -> None:
    """The id as journald writes it; where either is not to be had it is None."""
    assert machine.presence.boot() == (None, None)
    place = machine.proc / "sys/kernel/random"
    place.mkdir(parents=True)
    (place / "boot_id").write_text("530e954e-b3ec-49dc-9615-f946375727c6\n")
    machine.process(1, start=1)
    assert machine.presence.boot() == ("530e954eb3ec49dc9615f946375727c6", T + timedelta(seconds=1))


def test_logind_s_sessions_are_seats(machine: Machine) -> None:
    """Logins of every version's class; user managers are nobody's."""
    machine.logind(ALICE, MANAGER, SUPERUSER, COCKPIT)
    for pid in (2556, 2566, 2595, 2902):
        machine.process(pid)
    assert set(machine.look([]).seats) == {
        seat(2556, "alice", "login", tty="pts/1", id="c229"),
        seat(2595, "root", "login", tty="pts/1", id="c231"),
        seat(2902, "alice", "cockpit", source_ip="198.51.100.7", tty="web console", id="138"),
    }
    asked = machine.asked()
    assert len(asked) == 2
    assert asked[1].endswith("-- c229 c230 c231 138")


def test_logind_is_asked_only_when_it_wrote_something(machine: Machine) -> None:
    """Once a minute for nothing would be much."""
    machine.logind(ALICE)
    machine.process(2556)
    for _ in range(3):
        assert [s.leader for s in machine.look([]).seats] == [2556]
    assert len(machine.asked()) == 2
    machine.logind()
    assert machine.look([]).seats == ()
    assert len(machine.asked()) == 3


def test_a_seat_whose_leader_is_gone_is_none(machine: Machine) -> None:
    """A session that is closing has only processes that were left behind."""
    machine.logind(ALICE)
    assert machine.look([]).seats == ()


@pytest.mark.parametrize(
    ("changed", "service"),
    [
        (("Service=login", "Service=gdm-password"), "gdm"),
        (("Service=login", "Service=remote"), "login"),
        (("Service=login", "Service=lightdm-autologin"), "lightdm"),
        (("Service=login", "Service=sddm-autologin"), "sddm"),
        (("Service=login", "Service="), "logind"),
        (("Service=login\n", ""), "logind"),
        (("Service=login", "Service=kmscon"), "kmscon"),
        (("Service=login", "Service=su-l"), None),
        (("Service=login", "Service=sudo-i"), None),
        (("Service=login", "Service=crond"), None),
        (("Service=login", "Service=systemd-run0"), None),
        (("Service=login", "Service=lightdm-greeter"), None),
        (("Service=login", "Service=gdm-launch-environment"), None),
        (("Class=user", "Class=greeter"), None),
        (("Class=user", "Class=background"), None),
        (("Class=user\n", ""), None),
        (("Leader=2556", "Leader="), None),
        (("Leader=2556", "Leader=x"), None),
        (("Name=alice", "Name="), None),
    ],
)
def test_whose_login_a_session_is(machine: Machine, changed: tuple[str, str], service: Optional[str]) -> None:
    """Display managers have one name; jobs, greeters, su and sudo are nobody's."""
    machine.logind(ALICE.replace(*changed))
    machine.process(2556)
    assert [s.service for s in machine.look([]).seats] == ([] if service is None else [service])


@pytest.mark.parametrize("tty", ["notty", "ssh", ""])
def test_words_in_place_of_a_terminal(machine: Machine, tty: str) -> None:
    """They name none."""
    machine.logind(ALICE.replace("pts/1", tty))
    machine.process(2556)
    assert [s.tty for s in machine.look([]).seats] == [None]


def test_a_loginctl_that_fails_or_is_not_there_says_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning, no crash; the processes are still looked at."""
    machine.process(10)
    machine.logind(ALICE, script="exit 1")
    assert machine.look([10]).seats == ()
    monkeypatch.setenv("PATH", str(machine.path))
    machine.logind(ALICE, MANAGER)
    assert machine.look([10]).begun.keys() == {10}
    assert "loginctl can't be asked who is on" in caplog.text


@ROOT
def test_sshd_s_processes_tell_who_is_connected(machine: Machine) -> None:
    """By root's titles only: one for a connection, of every version and of root's own."""
    machine.process(20, "sshd: alice [priv]")
    machine.process(21, "sshd: alice@pts/0", parent=20, uid=2001)
    machine.process(30, "sshd-session: bob [priv]", parent=20)  # its own, though its parent is a connection's too
    machine.process(40, "sshd: root@pts/3")
    machine.process(41, "sshd: root@notty")
    machine.process(50, "sshd: root [priv]")
    machine.process(51, "sshd: root@pts/4", parent=50)
    machine.process(60, "sshd: mallory [priv]", uid=2003)
    machine.process(61, "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups")
    machine.process(62, "sshd: alice [net]")
    machine.process(63, "bash: alice [priv]")
    found = {s.leader: s for s in machine.look([]).seats}
    assert found == {
        20: seat(20, "alice", "sshd"),
        30: seat(30, "bob", "sshd"),
        40: seat(40, "root", "sshd", tty="pts/3"),
        41: seat(41, "root", "sshd"),
        50: seat(50, "root", "sshd"),
    }


@ROOT
def test_what_logind_says_of_a_connection_is_more(machine: Machine) -> None:
    """Address, terminal and id; a process that ends meanwhile is skipped."""
    machine.process(2556, "sshd: alice [priv]")
    machine.logind(ALICE.replace("=login", "=sshd") + "RemoteHost=2001:db8::7\n")
    (machine.proc / "70").mkdir()
    assert machine.look([]).seats == (seat(2556, "alice", "sshd", source_ip="2001:db8::7", tty="pts/1", id="c229"),)


# -- the real machine


def test_this_process_in_the_real_proc() -> None:
    """It was started, after the first process, and its parent too; a pid beyond all is not there."""
    presence = Presence()
    own, first = presence.started(os.getpid()), presence.started(1)
    assert own is not None
    assert first is not None
    assert first[0] <= own[0]
    identity, booted = presence.boot()
    assert booted is not None
    assert abs(booted - first[1]) < timedelta(seconds=2)  # a clock may be set in between
    assert identity is not None
    assert len(identity) == 32
    seen = presence.look([os.getpid()])
    assert seen is not None
    assert seen.begun[os.getpid()][0] == own[0]
    assert presence.started(2**22 + 1) is None


@pytest.mark.parametrize(("family", "ip"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_peer_of_a_real_connection(family: socket.AddressFamily, ip: str) -> None:
    """Address and port as the kernel has them; a process without one, or that is gone, has none."""
    presence = Presence()
    with socket.socket(family) as listener:
        try:
            listener.bind((ip, 0))
        except OSError:
            pytest.skip("this machine has no such loopback")
        listener.listen(1)
        where = listener.getsockname()
        script = (
            f"import socket, sys; s = socket.create_connection({where[:2]}); print(1, flush=True); sys.stdin.read()"
        )
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"1\n"
            assert presence.peer(child.pid) == (ip, where[1])
            child.communicate(b"")
    assert presence.peer(2**22 + 1) == (None, None)


def test_a_process_without_a_connection_has_no_peer(machine: Machine) -> None:
    """Listening sockets and other processes' connections are none."""
    place = machine.process(10)
    (place / "fd").mkdir()
    (place / "fd" / "3").symlink_to("socket:[77]")
    (place / "net").mkdir()
    row = "  0: 0100007F:0016 {peer} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"
    head = "  sl  local_address rem_address   st\n"
    (place / "net" / "tcp").write_text(
        head
        + row.format(peer="00000000:0000", state="0A", inode=77)
        + row.format(peer="070064C6:9C41", state="01", inode=78)
    )
    (place / "net" / "tcp6").write_text(head)
    assert machine.presence.peer(10) == (None, None)
