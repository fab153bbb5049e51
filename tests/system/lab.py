"""A real sshd, a real rsyslogd and real ssh clients in namespaces of their own.

The lab has its own mounts (`/dev/log`, `/run`, `/var/log`, `passwd`, `shadow`), network (one loopback with addresses
meant for documentation), host name and process ids, so it changes nothing on the host, and nothing leaves it. Its
process 1 reads a pipe from here: when the pipe closes, however this process ended, the kernel ends all inside.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from tests.system.clients import USERS, Client, Clients, children, hashed, make_key, until

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DRESSES", "Client", "Lab", "children", "until"]

DRESSES = {
    "rfc3164": "RSYSLOG_TraditionalFileFormat",
    "rfc3339": "RSYSLOG_FileFormat",
    "rfc5424": "RSYSLOG_SyslogProtocol23Format",
}
TOOLS = ("bash", "ip", "nsenter", "rsyslogd", "ss", "ssh", "ssh-keygen", "sshd", "unshare")
NAMESPACES = ("--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private")

# Process 1 of the lab. It binds device nodes instead of making them: a container may forbid mknod.
# bash, because it reaps orphans, which a liveness check would otherwise take for running processes.
INIT = """
set -e
hostname web01
echo 4000 > /proc/sys/kernel/ns_last_pid || true
echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || true
ip link set lo up
ip addr add 192.0.2.10/32 dev lo
ip addr add 2001:db8::10/128 dev lo nodad
mkdir dev
mount -t tmpfs tmpfs dev
for name in null zero full random urandom tty; do : > dev/$name; mount --bind /dev/$name dev/$name; done
mkdir -m 1777 dev/shm
mkdir dev/pts
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount --rbind dev /dev
mount -t tmpfs tmpfs /run
mkdir -m 755 /run/sshd
mount -t tmpfs tmpfs /var/log
: > /run/utmp
cd etc
for name in passwd group shadow hosts resolv.conf pam.d/sshd; do mount --bind $name /etc/$name; done
echo ready
read -r _ || true
"""

# Debian's stack without the delay after a failure, without logind, and without the message of the day:
# what remains writes the same lines.
PAM = """
auth     [success=1 default=ignore] pam_unix.so nullok nodelay
auth     requisite                  pam_deny.so
auth     required                   pam_permit.so
account  required                   pam_nologin.so
account  required                   pam_unix.so
session  required                   pam_unix.so
password required                   pam_unix.so
"""

RSYSLOG = """
module(load="imuxsock" SysSock.Name="/dev/log" SysSock.RateLimit.Interval="0")
$RepeatedMsgReduction {reduce}
auth,authpriv.* action(type="omfile" file="{log}" template="{template}" fileCreateMode="0640")
"""

SSHD = """
HostKey {root}/host_key
PidFile {root}/sshd.pid
AuthorizedKeysFile {root}/keys/%u
StrictModes no
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
PermitRootLogin yes
PrintMotd no
DenyUsers mallory
MaxStartups 100
ClientAliveInterval {alive}
ClientAliveCountMax 1
Subsystem sftp internal-sftp
"""


class Lab(Clients):
    """The laboratory, between `with` and its end."""

    def __init__(self, dress: str = "rfc3339", *, reduce: bool = False, alive: int = 0, sshd: str = "") -> None:
        super().__init__()
        self.log = self.root / "auth.log"
        self.dress, self.reduce, self.alive, self.sshd = dress, reduce, alive, sshd
        self._init: Optional[subprocess.Popen[bytes]] = None

    @staticmethod
    def missing() -> str:
        """Say what this machine lacks for a lab; nothing if it lacks nothing."""
        if os.geteuid() != 0:
            return "the lab needs root"
        absent = [tool for tool in TOOLS if not shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")]
        if absent:
            return "the lab needs " + ", ".join(absent)
        done = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, check=False)
        return "" if done.returncode == 0 else "the lab needs namespaces: " + done.stderr.decode().strip()

    def start(self) -> None:
        """Start everything."""
        self._prepare()
        self._start_init()
        self._forgive()
        self.start_rsyslog()
        self.start_sshd()

    def stop(self) -> None:
        """End everything that runs in the lab."""
        if self._init:
            self._init.communicate()  # closes the pipe: process 1 ends, and the kernel ends the rest

    # -- building ------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        for name in ("etc/pam.d", "keys", "home"):
            (self.root / name).mkdir(parents=True)
        self._make_clients()
        make_key(self.root / "host_key")
        passwd, shadow, group = (
            [line for line in Path("/etc", name).read_text().splitlines() if line.split(":")[0] not in USERS]
            for name in ("passwd", "shadow", "group")
        )
        for user, uid in USERS.items():
            home = self.home(user)
            home.mkdir()
            os.chown(home, uid, uid)
            passwd.append(f"{user}:x:{uid}:{uid}::{home}:/bin/bash")
            expired = "1" if user == "carol" else ""
            shadow.append(f"{user}:{hashed(self.passwords[user])}:19000:0:99999:7::{expired}:")
            group.append(f"{user}:x:{uid}:")
            shutil.copy(self.root / "id.pub", self.root / "keys" / user)
        for name, lines in (("passwd", passwd), ("shadow", shadow), ("group", group)):
            (self.root / "etc" / name).write_text("".join(f"{line}\n" for line in lines))
        (self.root / "etc/shadow").chmod(0o600)
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 web01\n")
        (self.root / "etc/resolv.conf").write_text("")
        (self.root / "etc/pam.d/sshd").write_text(PAM)
        template, reduce = DRESSES[self.dress], "on" if self.reduce else "off"
        (self.root / "rsyslog.conf").write_text(RSYSLOG.format(log=self.log, template=template, reduce=reduce))
        config = SSHD.format(root=self.root, alive=self.alive)
        (self.root / "sshd_config").write_text(f"{self.sshd}\n{config}")  # the first value counts

    def _start_init(self) -> None:
        pipe = subprocess.PIPE
        self._init = subprocess.Popen(
            ["unshare", *NAMESPACES, "bash", "-c", INIT], cwd=self.root, stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert self._init.stdout
        if self._init.stdout.readline() != b"ready\n":
            raise RuntimeError(self._init.communicate()[1].decode())
        self._leader = children(self._init.pid)[0]

    def _forgive(self) -> None:
        """Switch off what shuts out an address after some failures (since 9.8): the lab fails on purpose."""
        config = self.root / "sshd_config"
        trial = self.enter("/usr/sbin/sshd", "-t", "-f", config, "-o", "PerSourcePenalties=no")
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            config.write_text(config.read_text() + "PerSourcePenalties no\n")

    def start_rsyslog(self) -> None:
        """Start rsyslogd and wait until it listens."""
        program = self.root / "rsyslogd"
        if not program.exists():
            # A copy: on Ubuntu AppArmor confines the program at its usual path to its usual files.
            shutil.copy(shutil.which("rsyslogd", path="/usr/sbin:/usr/bin") or "", program)
        self.run(program, "-f", self.root / "rsyslog.conf", "-i", self.root / "rsyslog.pid")
        socket = Path(f"/proc/{self._leader}/root/dev/log")
        until(lambda: socket.exists() and (self.root / "rsyslog.pid").exists(), "rsyslogd")

    def start_sshd(self) -> None:
        """Start the listening sshd and wait until it listens."""
        self.run("/usr/sbin/sshd", "-f", self.root / "sshd_config")
        until(lambda: (self.root / "sshd.pid").exists() and self.listening(22), "sshd")

    def restart_sshd(self) -> None:
        """Stop the listener, as an upgrade does, and start it again; sessions live on."""
        self.signal(self._pid("sshd"), signal.SIGTERM)
        until(lambda: not self.listening(22), "end of sshd")
        (self.root / "sshd.pid").unlink(missing_ok=True)
        self.start_sshd()

    def _pid(self, name: str) -> int:
        return int((self.root / f"{name}.pid").read_text())

    # -- reaching in ---------------------------------------------------------------------------------------------

    def enter(self, *argv: object, pid: bool = True, net: bool = True) -> list[str]:
        """Return the command that runs `argv` in the lab; without `net` it keeps the host's network."""
        flags = ["--mount", "--uts", *(["--pid"] if pid else []), *(["--net"] if net else [])]
        return ["nsenter", f"--target={self._leader}", *flags, "--", *map(str, argv)]

    def beside(self, *argv: object) -> list[str]:
        """Return the command that runs `argv` in the lab, among the host's processes."""
        return self.enter(*argv, pid=False)

    def home(self, user: str) -> Path:
        """Return where a user's home directory is."""
        return self.root / "home" / user

    def lines(self) -> list[bytes]:
        """Return the lines of the log so far."""
        return self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []

    # -- rotation ------------------------------------------------------------------------------------------------

    def rotate_rename(self, between: Optional[Callable[[], object]] = None) -> None:
        """Rotate as logrotate's `create` does; rsyslogd writes on into the renamed file until its HUP."""
        self._make_room()
        self.log.rename(self.log.with_name("auth.log.1"))
        self.log.touch(mode=0o640)
        if between:
            between()
        self.signal(self._pid("rsyslog"), signal.SIGHUP)

    def rotate_copytruncate(self) -> None:
        """Rotate as logrotate's `copytruncate` does."""
        self._make_room()
        shutil.copy(self.log, self.log.with_name("auth.log.1"))
        os.truncate(self.log, 0)

    def _make_room(self) -> None:
        for number in (2, 1):
            older = self.log.with_name(f"auth.log.{number}")
            if older.exists():
                older.rename(self.log.with_name(f"auth.log.{number + 1}"))
