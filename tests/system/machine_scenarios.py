"""What is done to a booted machine, beyond what `scenarios` does to any sshd, and the truth about it.

The rows are as in `scenarios`. `privilege` is su, sudo or doas: `user` became, or ran `command` as, `target`.
A refused one is `failed`: `user` is who asked, `target` is whom they asked for.
Where the log files tell less than the journal, or more, a row holds what each tells: `file` and `journal` are
dictionaries of the facts that differ. `logged` is false where nothing tells of it, and "maybe" where chance decides:
at a shutdown, for one, rsyslogd is stopped at the same time as the sessions.
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from tests.system import scenarios
from tests.system.clients import until
from tests.system.scenarios import login, logout, whole

if TYPE_CHECKING:
    from tests.system.clients import Client
    from tests.system.machine import Machine, Terminal
    from tests.system.scenarios import Fact

FORGER = Path(__file__).with_name("forger.py")
Scenario = Callable[["Machine"], "list[Fact]"]


def local(kind: str, service: str, user: str, **more: object) -> Fact:
    """State something that happened without a network."""
    return {"kind": kind, "service": service, "user": user, "source_ip": None, "source_port": None, **more}


def seat(user: str) -> Fact:
    """State that a user logged in on a terminal."""
    return local("login", "login", user)


def left(user: str, reason: str = "disconnected", **more: object) -> Fact:
    """State that a user's session on a terminal ended; no line tells a logout from a hangup."""
    return {**seat(user), "kind": "logout", "end_reason": reason, **more}


def unlogged(row: Fact) -> Fact:
    """Let only logind's record of a session's leader tell of its end."""
    return {**row, "end_reason": "vanished", "logged": False, "journal": {"end_reason": "closed", "logged": True}}


def down(row: Fact, *, silent: bool = False) -> Fact:
    """State that the session ended with the machine; `silent`: what ends has no time to tell, but logind has."""
    return {**row, "end_reason": "shutdown", "file": {"logged": False if silent else "maybe"}}


def dead(row: Fact) -> Fact:
    """State that the session ended with a crash, which the journal tells by its next boot."""
    return {**row, "end_reason": "crash", "logged": False, "journal": {"logged": True}}


def privilege(service: str, user: str, target: str, command: Optional[str] = None) -> Fact:
    """State that a user became another, or ran a command as another."""
    return local("privilege", service, user, target=target, command=command)


def denied(service: str, user: str, times: int = 1, **more: object) -> Fact:
    """State that a user was refused so many times."""
    return local("failed", service, user, count=times, **more)


# -- ssh ---------------------------------------------------------------------------------------------------------------


def rsync(machine: Machine) -> list[Fact]:
    """Copy with rsync."""
    return whole(machine.copy("deploy", "203.0.113.20", "rsync"))


def jumped(machine: Machine) -> list[Fact]:
    """Log in through the host itself: the second login comes from the server's own address.

    The second client is killed: one that leaves kills the first, which may or may not have passed on its goodbye.
    The first ends with the connection it forwards, without a goodbye of its own.
    """
    first, second = machine.jump("alice", "bob", "203.0.113.40")
    second.kill()
    machine.settle(first.port)
    return [login(first), login(second), logout(second, "closed"), logout(first, "closed")]


def murdered(machine: Machine) -> list[Fact]:
    """Kill the user's process of a session with KILL: the monitor sees it, closes, and since 9.8 tells of it.

    Up to 9.7 root has no other process: nothing tells of the end, but logind's record that names the leader.
    """
    truth = []
    split = machine.split()
    for user in ("alice", "root"):
        client = machine.connect(user, "key", "203.0.113.41")
        session = machine.session(machine.server_pids(client)[-1])
        machine.signal(machine.server_pids(client)[0], signal.SIGKILL)
        client.wait()
        machine.forgotten(session)
        end = logout(client, "terminated" if split else "closed")
        truth += [login(client), unlogged(end) if user == "root" and not split else end]
    return truth


def orphaned(machine: Machine) -> list[Fact]:
    """Kill the monitor of a session: no PAM line, but the user's process lives on until the client leaves."""
    client = machine.connect("alice", "key", "203.0.113.42")
    monitor = machine.server_pids(client)[-1]
    session = machine.session(monitor)
    machine.signal(monitor, signal.SIGKILL)
    until(lambda: len(machine.server_pids(client)) == 1, "the end of the monitor")
    end = logout(client, "disconnected")
    if machine.watched():
        until(lambda: machine.state(session) == "closing", "logind to see it")
        end["journal"] = {"end_reason": "closed"}
    client.exit()
    machine.forgotten(session)
    return [login(client), end]


def erased(machine: Machine) -> list[Fact]:
    """Kill all processes of a session, the monitor first: sshd and PAM write nothing."""
    client = machine.connect("alice", "key", "203.0.113.44")
    pids = machine.server_pids(client)
    session = machine.session(pids[-1])
    for pid in reversed(pids):
        machine.signal(pid, signal.SIGKILL)
    client.wait()
    machine.forgotten(session)
    return [login(client), unlogged(logout(client, "vanished"))]


def expelled(machine: Machine) -> list[Fact]:
    """End sessions as an administrator: `loginctl terminate-session`, `terminate-user`.

    The journal holds what systemd says of the session's scope. A file has PAM's line; root's process up to 9.7 gets two
    signals at once, the first of which it would tell, while the second ends it at once.
    """
    truth = []
    split = machine.split()
    for user, verb in (("alice", "session"), ("root", "session"), ("bob", "user")):
        client = machine.connect(user, "key", "203.0.113.43", tty=True)
        session = machine.session(machine.server_pids(client)[-1])
        machine.run("loginctl", f"terminate-{verb}", user if verb == "user" else session)
        client.wait()
        machine.forgotten(session)
        end = logout(client, "terminated")
        if not split:
            end["file"] = {"logged": "maybe"} if user == "root" else {"end_reason": "closed"}
        truth += [login(client), end]
    return truth


# -- without a network -------------------------------------------------------------------------------------------------


def console(machine: Machine) -> list[Fact]:
    """Log in on terminals: users and root, at once and after mistakes, and with names that nobody has."""
    terminal = machine.terminal()
    terminal.login("bob", machine.passwords["bob"])
    terminal.exit()
    truth = [seat("bob"), left("bob")]
    terminal.refused("bob", "wrong")
    terminal.refused("oracle", "wrong")
    terminal.refused("root", "wrong")
    terminal.login("alice", machine.passwords["alice"])
    terminal.exit()
    refused = [local("failed", "login", user, count=1) for user in ("bob", "oracle", "root")]
    del refused[1]["user"]  # shadow's login does not tell what nobody is called
    truth += refused
    truth += [seat("alice"), left("alice")]
    terminal.login("root", machine.passwords["root"])
    terminal.exit()
    truth += [seat("root"), left("root")]
    terminal.close()
    return truth


def unplugged(machine: Machine) -> list[Fact]:
    """Hang up a terminal, and end a session on another with `loginctl`."""
    terminal = machine.terminal()
    terminal.login("bob", machine.passwords["bob"])
    session = machine.session(machine.led_by("login"))
    terminal.hang_up()
    machine.forgotten(session)
    terminal.forget()
    truth = [seat("bob"), unlogged(left("bob")) if machine.shadow() else left("bob")]
    terminal = machine.terminal()
    terminal.login("bob", machine.passwords["bob"])
    session = machine.session(machine.led_by("login"))
    machine.run("loginctl", "terminate-session", session)
    machine.forgotten(session)
    terminal.expect(b"web01 login: ")
    terminal.close()
    told = {"end_reason": "vanished", "logged": False} if machine.shadow() else {"end_reason": "disconnected"}
    return [*truth, seat("bob"), left("bob", "terminated", file=told)]


def give(client: Client, command: str, *passwords: str) -> None:
    """Wait for the prompt of the shell, give a command, and answer its questions for passwords.

    A program that asks throws away what was typed before, so nothing may be typed ahead.
    """
    client.expect(b"@web01:")
    client.type(f"{command}\n")
    for word in passwords:
        client.expect(b"assword")
        client.expect(b": ")
        client.type(f"{word}\n")


def leave(client: Client) -> Fact:
    """Leave the shell after its last command is done."""
    client.expect(b"@web01:")
    client.exit()
    return logout(client, "disconnected")


def su(machine: Machine) -> list[Fact]:
    """Become others with su, and fail to."""
    client = machine.connect("alice", "key", "203.0.113.50", tty=True)
    truth = [login(client)]
    for command, target in (("su", "root"), ("su -", "root"), ("su - bob", "bob")):
        give(client, command, machine.passwords[target])
        give(client, "exit")
        truth.append(privilege("su", "alice", target))
    give(client, "su -c 'id -u' bob", machine.passwords["bob"])
    truth.append(privilege("su", "alice", "bob"))
    for target in ("root", "bob"):
        give(client, f"su {target}", "wrong")
        truth.append(denied("su", "alice", target=target))
    return [*truth, leave(client)]


def sudo(machine: Machine) -> list[Fact]:
    """Run commands with sudo, and fail to."""
    client = machine.connect("alice", "key", "203.0.113.51", tty=True)
    truth = [login(client)]
    right = machine.passwords["alice"]
    give(client, "sudo -k id -u", right)
    give(client, "sudo -k -u bob id -un", "wrong", right)
    give(client, "sudo -k -i", right)
    give(client, "exit")
    give(client, "sudo -k id -u", "wrong", "wrong", "wrong")
    give(client, "sudo -k -n id -u")
    truth += [
        privilege("sudo", "alice", "root", "/usr/bin/id -u"),
        privilege("sudo", "alice", "bob", "/usr/bin/id -un"),
        privilege("sudo", "alice", "root", "/bin/bash"),
        denied("sudo", "alice", 3, target="root", command="/usr/bin/id -u"),
        denied("sudo", "alice", target="root", command="/usr/bin/id -u"),
    ]
    truth.append(leave(client))
    client = machine.connect("bob", "key", "203.0.113.51", tty=True)
    truth.append(login(client))
    give(client, "sudo id -u", machine.passwords["bob"])
    truth.append(denied("sudo", "bob", target="root", command="/usr/bin/id -u"))
    return [*truth, leave(client)]


def doas(machine: Machine) -> list[Fact]:
    """Run commands with doas, and fail to."""
    client = machine.connect("alice", "key", "203.0.113.52", tty=True)
    truth = [login(client)]
    give(client, "doas id -u", machine.passwords["alice"])
    truth.append(privilege("doas", "alice", "root", "id -u"))
    give(client, "doas id -u", "wrong")
    truth.append(denied("doas", "alice"))
    truth.append(leave(client))
    client = machine.connect("bob", "key", "203.0.113.52", tty=True)
    truth.append(login(client))
    give(client, "doas id -u")
    truth.append(denied("doas", "bob"))
    return [*truth, leave(client)]


# -- power -------------------------------------------------------------------------------------------------------------


def rebooted(machine: Machine) -> list[Fact]:
    """Reboot with sessions open, right after another one ended."""
    terminal = machine.terminal()
    terminal.login("bob", machine.passwords["bob"])
    stay = machine.connect("alice", "key", "203.0.113.60", tty=True)
    idle = machine.tunnel("deploy", "203.0.113.61")
    last = machine.connect("bob", "password", "203.0.113.62")
    last.exit()
    machine.reboot()
    truth = [seat("bob"), login(stay), login(idle), login(last), logout(last, "disconnected")]
    return [
        *truth,
        down(left("bob"), silent=machine.shadow()),
        *(down(logout(each, "shutdown")) for each in (stay, idle)),
    ]


def powered_off(machine: Machine) -> list[Fact]:
    """Power off with sessions open, and boot."""
    clients = [machine.connect(user, "key", "203.0.113.63") for user in ("alice", "root")]
    machine.poweroff()
    machine.boot()
    return [*map(login, clients), *(down(logout(client, "shutdown")) for client in clients)]


def crashed(machine: Machine) -> list[Fact]:
    """Let the machine die with sessions open, and boot."""
    terminal = machine.terminal()
    terminal.login("root", machine.passwords["root"])
    clients = [machine.connect(user, "key", "203.0.113.64") for user in ("alice", "root")]
    machine.written()
    machine.crash()
    machine.boot()
    gone = [dead(left("root")), *(dead(logout(client, "crash")) for client in clients)]
    return [seat("root"), *map(login, clients), *gone]


def after(machine: Machine) -> list[Fact]:
    """Log in and out once more."""
    return scenarios.key(machine)


def cron(machine: Machine) -> list[Fact]:
    """Wait for a job of cron, which is nobody's login."""
    until(lambda: machine.file("run/cron-was-here").exists(), "the job of cron", 70)
    return []


# -- forgeries ---------------------------------------------------------------------------------------------------------

SSHD = """
Port 2222
ListenAddress 192.0.2.10
HostKey /home/mallory/host_key
PidFile /home/mallory/sshd.pid
UsePAM no
StrictModes no
"""


def forged(machine: Machine) -> list[Fact]:
    """Let a local user forge whatever she can beside what really happens; what she does to the logs is no event."""
    alice = machine.connect("alice", "key", "203.0.113.70", tty=True)
    child, monitor = machine.server_pids(alice)
    terminal = machine.terminal()
    terminal.login("mallory", machine.passwords["mallory"])
    truth = [login(alice), seat("mallory")]
    shutil.copy(FORGER, machine.home("mallory") / "forger.py")
    about = (alice.user, alice.source, alice.port, monitor, child, machine.session(monitor))
    terminal.type(f"python3 forger.py {' '.join(map(str, about))} && echo all' 'done\n")
    for scenario in (scenarios.key, scenarios.password, scenarios.wrong_then_right, scenarios.killed):
        truth += scenario(machine)
    terminal.expect(b"all done")
    truth += own_sshd(machine, terminal)
    alice.exit()
    truth.append(logout(alice, "disconnected"))
    terminal.exit()
    truth.append(left("mallory"))
    terminal.close()
    return truth


def own_sshd(machine: Machine, terminal: Terminal) -> list[Fact]:
    """Let her run the real sshd herself, and log in to it; it writes what sshd writes. Beside it, log in to root's."""
    (machine.home("mallory") / "sshd_config").write_text(SSHD)
    terminal.type("ssh-keygen -q -t ed25519 -N '' -f host_key && /usr/sbin/sshd -f ~/sshd_config && echo start''ed\n")
    terminal.expect(b"started")
    until(lambda: machine.listening(2222), "her sshd")
    key = ("-o", "IdentitiesOnly=yes", "-i", machine.root / "id", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR")
    host = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-p", 2222)
    machine.run_beside("ssh", "-F", "none", *key, *host, "mallory@192.0.2.10", "true")
    truth = scenarios.command(machine)
    terminal.type("kill $(cat sshd.pid) && echo en''ded\n")
    terminal.expect(b"ended")
    return truth


SSH: tuple[Scenario, ...] = (rsync, jumped, murdered, orphaned, erased, expelled)
LOCAL: tuple[Scenario, ...] = (console, unplugged, su, sudo, doas)
POWER: tuple[Scenario, ...] = (rebooted, powered_off, crashed, after)
ALL: tuple[Scenario, ...] = (*scenarios.ALL, *SSH, *LOCAL, cron, *POWER)
