"""Real Debian machines, booted with their own systemd, journald, logind, rsyslogd, sshd, login, su, sudo, cron.

A machine is a container of systemd-nspawn over a pristine directory of its release and an overlay that is thrown
away. It has its own mounts, network (one loopback), host name, process ids and control group; nothing leaves it.
All that happens on it is written four times: as Debian writes `auth.log`, as RHEL writes `secure`, as SUSE writes
`messages`, and in the journal. Releases are made from the packages of the host's own mirror when they are missing.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from tests.system.clients import SERVER, USERS, Client, Clients, Dialogue, children, hashed, until

if TYPE_CHECKING:
    from collections.abc import Sequence

SUITES = ("bullseye", "bookworm", "trixie", "sid")
CACHE = Path(os.environ.get("USM_MACHINES", "/var/tmp/usm-machines"))
TOOLS = ("bash", "mmdebstrap", "nft", "nsenter", "rsync", "setpriv", "ssh", "ssh-keygen", "systemd-nspawn", "unshare")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "openssh-client",
    "curl",
    "rsyslog",
    "python3",
    "python3-apt",
    "python3-venv",
    "python3-yaml",
    "python3-requests",
    "python3-daemon",
    "python3-lockfile",
    "iproute2",
    "procps",
    "sudo",
    "cron",
    "rsync",
    "login",
    "bsdutils",
)
DOAS = {"bullseye": "doas"}  # opendoas later

# In a mount namespace of its own: the unified hierarchy, a control group, the overlay; then the machine.
BOOT = """
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/"$1"
echo $$ > /sys/fs/cgroup/"$1"/cgroup.procs
mount -t overlay overlay -o lowerdir="$2",upperdir="$3"/upper,workdir="$3"/work "$3"/merged
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --boot --register=no --keep-unit --machine=web01 --directory="$3"/merged \\
    --private-network --resolv-conf=off --timezone=off --link-journal=no --console=read-only
"""
SWEEP = """
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
[ ! -d /sys/fs/cgroup/"$1" ] || find /sys/fs/cgroup/"$1" -depth -type d -exec rmdir {} +
"""

SSHD = """
PasswordAuthentication yes
KbdInteractiveAuthentication yes
ChallengeResponseAuthentication yes
PermitRootLogin yes
PrintMotd no
DenyUsers mallory
MaxStartups 100
ClientAliveInterval 1
ClientAliveCountMax 1
"""

# What SUSE writes: everything in one file.
SUSE = """
*.* action(type="omfile" file="/var/log/messages" template="RSYSLOG_FileFormat")
"""

# What RHEL writes: taken from the journal, with the pid that journald saw. Its sshd logs as authpriv, Debian's as auth.
# The place in the journal is stored after each record instead of after ten, so that a crash doubles nothing.
RHEL = """
global(workDirectory="/var/spool/rsyslog-rhel")
module(load="builtin:omfile" Template="RSYSLOG_TraditionalFileFormat")
module(load="imjournal" UsePid="system" StateFile="imjournal.state" PersistStateInterval="1")
auth,authpriv.* action(type="omfile" file="/var/log/secure" fileCreateMode="0600")
"""
RHEL_UNIT = """
[Unit]
Description=System Logging Service, as RHEL has it
After=systemd-journald.service

[Service]
ExecStart=/usr/sbin/rsyslogd -n -f /etc/rsyslog-rhel.conf -i /run/rsyslog-rhel.pid
StandardOutput=null

[Install]
WantedBy=multi-user.target
"""
CRON = "* * * * * root : > /run/cron-was-here\n"

# A pseudo-terminal inside the machine, with a getty on it; what is typed here is typed there.
TERMINAL = """
import os, select, subprocess, sys
master, slave = os.openpty()
name = os.ttyname(slave)[5:]
print(name, os.getpid(), flush=True)
unit = "container-getty@" + name.split("/")[1] + ".service"
subprocess.run(["systemctl", "start", "--no-block", unit], check=True)
while True:
    for ready in select.select([0, master], [], [])[0]:
        try:
            data = os.read(ready, 4096)
        except OSError:  # between a hangup and the next opening
            select.select([], [], [], 0.01)
            continue
        if ready == 0 and not data:
            subprocess.run(["systemctl", "stop", unit])
            sys.exit()
        os.write(master if ready == 0 else 1, data)
"""


def mirror() -> str:
    """Return where this host gets its packages from."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(place.read_text() for place in places if place.is_file())
    found: list[str] = re.findall(r"^(?:URIs: *|deb +(?:\[[^]]*\] +)?)(http\S+)", text, re.MULTILINE)
    return next(address for address in found if "security" not in address)


def base(suite: str, wanted: Sequence[str] = PACKAGES) -> Path:
    """Return the directory of a release with these packages, made now if it is missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    packages = ",".join([*wanted, DOAS.get(suite, "opendoas")])
    place = CACHE / f"{suite}-{zlib.crc32(packages.encode()):08x}"
    with (CACHE / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            partial = CACHE / f"{suite}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            options = ["--quiet", "--variant=minbase", "--mode=root", "--format=directory", f"--include={packages}"]
            expired = ['--aptopt=Acquire::Check-Valid-Until "false"']  # a mirror may be frozen
            subprocess.run(["mmdebstrap", *options, *expired, suite, partial, mirror()], check=True)
            partial.rename(place)
    return place


class Terminal(Dialogue):
    """A terminal of the machine, with a getty on it."""

    def __init__(self, machine: Machine, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process)
        assert process.stdout
        self.machine = machine
        self.tty, holder = process.stdout.readline().decode().split()
        self._holder = int(holder)
        self.expect(b"web01 login: ")

    def login(self, user: str, password: str) -> None:
        """Log in and wait until the shell answers."""
        self.answer(user, password)
        self.expect(b"@web01:~")  # what is typed earlier may be thrown away
        self.ready()

    def answer(self, user: str, password: str) -> None:
        """Answer the questions for name and password."""
        self.type(f"{user}\n")
        self.expect(b"Password: ")
        self.type(f"{password}\n")

    def refused(self, user: str, password: str) -> None:
        """Try to log in and be asked again."""
        self.answer(user, password)
        self.expect(b"Login incorrect")
        self.expect(b"web01 login: ")

    def exit(self) -> None:
        """Leave the shell and wait for the next getty."""
        self.type("exit\n")
        self.expect(b"web01 login: ")

    def hang_up(self) -> None:
        """Break the line, as a modem or a terminal window does."""
        self.machine.signal(self._holder, signal.SIGKILL)
        self.process.communicate(timeout=20)

    def forget(self) -> None:
        """Keep the getty of a broken line from waiting for a new terminal of the same name."""
        self.machine.run("systemctl", "stop", f"container-getty@{self.tty.rpartition('/')[2]}.service")

    def close(self) -> None:
        """Take the terminal away."""
        self.process.communicate(timeout=20)


class Machine(Clients):
    """A booted Debian, between `with` and its end."""

    packages: Sequence[str] = PACKAGES

    def __init__(self, suite: str = "bookworm") -> None:
        super().__init__()
        self.suite = suite
        self.boots = 0
        self._name = self.root.name
        self._nspawn: Optional[subprocess.Popen[bytes]] = None

    @staticmethod
    def missing() -> str:
        """Say what this host lacks for a machine; nothing if it lacks nothing."""
        if os.geteuid() != 0:
            return "a machine needs root"
        absent = [tool for tool in TOOLS if not shutil.which(tool, path=PATH)]
        if absent:
            return "a machine needs " + ", ".join(absent)
        trial = ["unshare", "--mount", "bash", "-euc", BOOT.split("mkdir", maxsplit=1)[0]]
        done = subprocess.run(trial, capture_output=True, check=False)
        return "" if done.returncode == 0 else "a machine needs namespaces and cgroup2: " + done.stderr.decode().strip()

    def start(self) -> None:
        """Dress the pristine release for the laboratory and boot it."""
        self._base = base(self.suite, self.packages)
        self._make_clients()
        self._prepare()
        self.boot()

    def stop(self) -> None:
        """End the machine at once, whatever state it is in."""
        if self._nspawn is None:
            return
        for pid in children(self._nspawn.pid) if self._nspawn.poll() is None else ():
            os.kill(pid, signal.SIGKILL)
        try:
            self._nspawn.wait(20)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        sweep = ["unshare", "--mount", "--propagation=private", "bash", "-euc", SWEEP, "sweep", self._name]
        until(lambda: subprocess.run(sweep, capture_output=True, check=False).returncode == 0, "the cgroup to empty")

    # -- building ------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        for name in ("upper", "work", "merged"):
            (self.root / name).mkdir()
        for name in ("passwd", "shadow", "group"):
            lines = (self._base / "etc" / name).read_text().splitlines()
            kept = [line for line in lines if line.split(":")[0] not in USERS]
            self._put(f"etc/{name}", "".join(f"{line}\n" for line in [*self._accounts(name), *kept]))
        self._path("etc/shadow").chmod(0o600)
        for user, uid in USERS.items():
            home = self._path("root" if user == "root" else f"home/{user}")
            (home / ".ssh").mkdir(parents=True, mode=0o700)
            shutil.copy(self.root / "id.pub", home / ".ssh/authorized_keys")
            for place in (home, home / ".ssh", home / ".ssh/authorized_keys"):
                os.chown(place, uid, uid)
            home.chmod(0o700)
        self._put("etc/hostname", "web01\n")
        self._put("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 web01\n")
        self._put("etc/machine-id", "c0ffee00c0ffee00c0ffee00c0ffee00\n")
        self._put("etc/resolv.conf", "")
        self._put("etc/default/locale", "LANG=C.UTF-8\n")
        self._put("etc/sudoers.d/lab", "alice ALL=(ALL) ALL\n")
        self._put("etc/doas.conf", "permit alice\n")
        self._path("etc/doas.conf").chmod(0o400)
        self._put("etc/cron.d/lab", CRON)
        self._put("etc/ssh/sshd_config.d/lab.conf", SSHD)
        self._edit("etc/pam.d/common-auth", "pam_unix.so nullok", "pam_unix.so nullok nodelay")
        self._edit("etc/pam.d/login", "delay=3000000", "delay=10000")
        self._put("etc/rsyslog.d/suse.conf", SUSE)
        if self.suite == "bullseye":  # its own /var/log/messages
            self._edit("etc/rsyslog.conf", "-/var/log/messages", "-/var/log/others")
        self._put("etc/rsyslog-rhel.conf", RHEL)
        self._put("etc/systemd/system/rsyslog-rhel.service", RHEL_UNIT)
        self._link("multi-user.target.wants/rsyslog-rhel.service", "../rsyslog-rhel.service")
        for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "systemd-networkd-wait-online.service"):
            self._link(unit, "/dev/null")
        self._path("var/spool/rsyslog-rhel").mkdir(parents=True)
        self._path("var/log/journal").mkdir(parents=True)

    def _accounts(self, name: str) -> list[str]:
        lines = []
        for user, uid in USERS.items():
            home, expired = "/root" if user == "root" else f"/home/{user}", "1" if user == "carol" else ""
            lines += {
                "passwd": [f"{user}:x:{uid}:{uid}::{home}:/bin/bash"],
                "shadow": [f"{user}:{hashed(self.passwords[user])}:19000:0:99999:7::{expired}:"],
                "group": [f"{user}:x:{uid}:"],
            }[name]
        return lines

    def _path(self, name: str) -> Path:
        return self.root / "upper" / name

    def _put(self, name: str, text: str) -> None:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _edit(self, name: str, old: str, new: str) -> None:
        text = (self._base / name).read_text()
        assert old in text, name
        self._put(name, text.replace(old, new))

    def _link(self, unit: str, target: str) -> None:
        path = self._path("etc/systemd/system") / unit
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    # -- power ---------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Boot, or boot again, and wait until the machine is up."""
        # If this process is killed, nspawn is told to halt the machine.
        prefix = ["setpriv", "--pdeathsig=TERM", "unshare", "--mount", "--propagation=private", "bash", "-euc", BOOT]
        with (self.root / "console.txt").open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*prefix, "boot", self._name, str(self._base), str(self.root)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self.boots += 1
        self._leader = 0
        until(self._found, "process 1 of the machine", 60)
        until(lambda: self._state() in ("running", "degraded"), "the machine to be up", 60)
        until(lambda: self.listening(22), "sshd")
        self._addresses = {"127.0.0.1", "::1"}
        for source in SERVER.values():
            self.address(source)
        if self.boots == 1:
            self._forgive()

    def _found(self) -> bool:
        assert self._nspawn
        if self._nspawn.poll() is not None:
            raise RuntimeError((self.root / "console.txt").read_text(errors="replace"))
        for pid in children(self._nspawn.pid):
            with suppress(OSError):  # it ended meanwhile
                if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                    self._leader = pid
        return self._leader != 0

    def _state(self) -> str:
        done = subprocess.run(
            self.enter("systemctl", "is-system-running"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        )
        return done.stdout.decode().strip()

    def _forgive(self) -> None:
        """Switch off what shuts out an address after some failures (since 9.8): the lab fails on purpose."""
        trial = self.enter("/usr/sbin/sshd", "-t", "-o", "PerSourcePenalties=no")
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            self.file("etc/ssh/sshd_config.d/penalties.conf").write_text("PerSourcePenalties no\n")
            self.run("systemctl", "reload", "ssh")

    def _down(self, code: int) -> None:
        assert self._nspawn
        until(self._halted, "the machine to go down", 60)
        assert self._nspawn.returncode == code

    def _halted(self) -> bool:
        # systemd stops all processes before it signals them, and nsenter stops with its child, for ever:
        # the child could not be reaped, and the machine would wait for it.
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
        return self._nspawn is not None and self._nspawn.poll() is not None

    def reboot(self) -> None:
        """Reboot in order and wait until the machine is up again."""
        self.run("systemctl", "reboot", "--no-block")
        self._down(133)
        self.boot()

    def poweroff(self) -> None:
        """Power off in order; `boot` starts it again."""
        self.run("systemctl", "poweroff", "--no-block")
        self._down(0)

    def crash(self) -> None:
        """Stop the machine from one moment to the next; `boot` starts it again."""
        os.kill(self._leader, signal.SIGKILL)
        self._down(1)

    # -- reaching in ---------------------------------------------------------------------------------------------

    @property
    def leader(self) -> int:
        """Return the pid of the machine's process 1, as this host counts."""
        return self._leader

    def enter(self, *argv: object) -> list[str]:
        """Return the command that runs `argv` in the machine: no login, no unit, no line in a log."""
        names = ["--mount", "--uts", "--ipc", "--net", "--pid"]
        words = map(str, argv)
        return ["nsenter", f"--target={self._leader}", *names, "--", "env", "-i", f"PATH={PATH}", "HOME=/root", *words]

    def unit(self, *argv: object, options: Sequence[str] = ()) -> str:
        """Run a command as a unit of its own, with its own control group."""
        return self.run("systemd-run", "--quiet", "--pipe", "--wait", *options, "--", *argv)

    def beside(self, *argv: object) -> list[str]:
        """Return the command that runs `argv` of the host in the network of the machine."""
        return ["nsenter", f"--target={self._leader}", "--net", "--", *map(str, argv)]

    def file(self, name: str) -> Path:
        """Return where the host finds a file of the running machine."""
        return Path(f"/proc/{self._leader}/root") / name

    def home(self, user: str) -> Path:
        """Return where the host finds a user's home directory."""
        return self.file("root" if user == "root" else f"home/{user}")

    def restart_sshd(self) -> None:
        """Restart the listener, as an upgrade does; sessions live on."""
        self.run("systemctl", "restart", "ssh")
        until(lambda: self.listening(22), "sshd")

    def cut(self, client: Client) -> None:
        """Cut the network of a client and wait until the server gives up."""
        table = f"cut{client.port}"
        drops = "\n".join(f"tcp {end} {client.port} drop" for end in ("sport", "dport"))
        rules = f"table inet {table} {{\nchain out {{\ntype filter hook output priority 0\n{drops}\n}}\n}}"
        self.run_beside("nft", rules)
        self.settle(client.port)
        client.kill()
        self.run_beside("nft", "delete", "table", "inet", table)

    def terminal(self) -> Terminal:
        """Return a terminal of the machine, with a getty on it."""
        process = subprocess.Popen(
            self.enter("python3", "-I", "-c", TERMINAL), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._started.append(process)
        return Terminal(self, process)

    def session(self, pid: int) -> str:
        """Return logind's id of the session that a process leads."""
        for line in self.run("loginctl", "list-sessions", "--no-legend").splitlines():
            name = line.split()[0]
            if self.run("loginctl", "show-session", name, "--property=Leader").strip() == f"Leader={pid}":
                return name
        raise AssertionError(f"no session is led by {pid}")

    def shadow(self) -> bool:
        """Say whether login(1) is shadow's, which dies without a word; util-linux's tells PAM first."""
        return self.suite in ("bullseye", "bookworm")

    def watched(self) -> bool:
        """Say whether logind ends a session as soon as its leader is gone; before, it waits for all processes."""
        return self.suite not in ("bullseye", "bookworm")

    def led_by(self, program: str) -> int:
        """Return the pid of the newest process of this name."""
        return int(self.run("pgrep", "--newest", "--exact", program))

    def state(self, session: str) -> str:
        """Return what logind calls the state of a session."""
        return self.run("loginctl", "show-session", session, "--property=State").strip().partition("=")[2]

    def forgotten(self, session: str) -> None:
        """Wait until logind has forgotten a session."""

        def gone() -> bool:
            listed = self.run("loginctl", "list-sessions", "--no-legend").splitlines()
            return session not in [line.split()[0] for line in listed]

        until(gone, "the end of the session")

    def jump(self, first: str, second: str, source: str) -> tuple[Client, Client]:
        """Log in as the second user through the first's connection (ProxyJump)."""
        port = next(self._ports)
        words = self._ssh(first, "key", source, port)
        options = [word for word in words[words.index("none") + 1 :] if word not in ("-o", "-l", first)]
        same = [f"  {option.replace('=', ' ', 1)}" for option in options if not option.startswith("Proxy")]
        proxy = [f"  {option.replace('=', ' ', 1)}" for option in options if option.startswith("Proxy")]
        hosts = [f"Host jump\n  User {first}", *proxy, f"Host {SERVER[4]}\n  User {second}\n  ProxyJump jump"]
        config = self.root / f"jump.{port}"
        config.write_text("\n".join([*hosts, "Host *", *same]) + "\n")
        words = self.beside("ssh", "-F", config, "-T", SERVER[4])
        inner = self._spawn(words, [], second, "key", SERVER[4], 0)
        inner.ready()
        outer = Client(self, inner.process, first, "key", source, port)
        links = self.run("ss", "-tnH", f"src {SERVER[4]} and dport = :22")
        inner.port = int(links.split()[3].rsplit(":", 1)[1])
        return outer, inner

    # -- what was written ----------------------------------------------------------------------------------------

    def written(self, *files: str) -> None:
        """Wait until all that happened so far is in the journal and in the files: a mark that is written now is."""
        mark = f"mark {next(self._serial)}"
        self.run("logger", "--priority", "authpriv.info", "--tag", "lab", mark)
        self.run("journalctl", "--sync")
        for name in files or ("auth.log", "secure", "messages"):
            path = self.file(f"var/log/{name}")
            until(lambda path=path: path.exists() and mark in path.read_text(errors="replace"), name)  # type: ignore[misc]

    def journal(self) -> bytes:
        """Return all that the journal holds, in JSON Lines."""
        self.run("journalctl", "--sync")
        words = self.enter("journalctl", "--output=json", "--all", "--no-pager")
        return subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout
