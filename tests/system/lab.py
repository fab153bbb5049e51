"""A real sshd, a real rsyslogd and real ssh clients in namespaces of their own.

The lab has its own mounts (`/dev/log`, `/run`, `/var/log`, `passwd`, `shadow`), network (one loopback with addresses
meant for documentation), host name and process ids, so it changes nothing on the host, and nothing leaves it. Its
process 1 reads a pipe from here: when the pipe closes, however this process ended, the kernel ends all inside.
"""

from __future__ import annotations

import ctypes
import ipaddress
import itertools
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

DRESSES = {
    "rfc3164": "RSYSLOG_TraditionalFileFormat",
    "rfc3339": "RSYSLOG_FileFormat",
    "rfc5424": "RSYSLOG_SyslogProtocol23Format",
}
SERVER = {4: "192.0.2.10", 6: "2001:db8::10"}
USERS = {
    "root": 0,
    "alice": 2001,
    "bob": 2002,
    "deploy": 2003,
    "carol": 2004,
    "mallory": 2005,
}  # all with password, key
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

# Makes the connection for ssh, so that the driver chooses its source port instead of having to find it out;
# ssh is handed the socket itself (ProxyUseFdpass). With a fourth argument: sends these bytes and waits for the end.
CONNECT = """
import socket, sys
source, port, server = sys.argv[1], int(sys.argv[2]), sys.argv[3]
link = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
link.bind((source, port))
link.connect((server, 22))
if len(sys.argv) > 4:
    link.recv(1000)
    if sys.argv[4]:
        link.sendall(bytes.fromhex(sys.argv[4]))
        try:
            while link.recv(1000):
                pass
        except ConnectionResetError:
            pass
else:
    socket.send_fds(socket.socket(fileno=1), [b"x"], [link.fileno()])
"""

# The one password of the moment, from a file of one password per line, the last of which stays.
ASKPASS = """#!/bin/sh
head -n 1 "$LAB_PASSWORDS"
[ "$(wc -l < "$LAB_PASSWORDS")" -lt 2 ] || sed -i 1d "$LAB_PASSWORDS"
"""


def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait until `condition` holds; give up loudly."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)


def hashed(password: str) -> str:
    """Hash a password as `shadow` wants it."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    value: bytes = crypt(password.encode(), b"$6$laboratory$")
    return value.decode()


class Client:
    """One ssh client process and the connection it holds."""

    def __init__(
        self, lab: Lab, process: subprocess.Popen[bytes], user: str, auth: str, source: str, port: int
    ) -> None:
        self.lab = lab
        self.process = process
        self.user = user
        self.auth = auth
        self.source = source
        self.port = port

    @property
    def pid(self) -> int:
        """The pid of the client, as the host counts."""
        return self.process.pid

    def type(self, text: str) -> None:
        """Type into the client."""
        assert self.process.stdin
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def expect(self, words: bytes) -> None:
        """Read what the client prints until `words` appear."""
        assert self.process.stdout
        seen = b""
        while words not in seen:
            answered, _, _ = select.select([self.process.stdout], [], [], 20)
            piece = os.read(self.process.stdout.fileno(), 4096) if answered else b""
            if not piece:
                raise AssertionError(f"the client ended, or hangs, before {words!r}: {seen!r}")
            seen += piece

    def exit(self) -> None:
        """Leave the remote shell; ssh says goodbye."""
        self.type("exit\n")
        self.wait()

    def terminate(self) -> None:
        """Ask the client to end; ssh says goodbye."""
        self.process.terminate()
        self.wait()

    def kill(self) -> None:
        """Kill the client, which has no time for a goodbye."""
        self.process.kill()
        self.wait()

    def wait(self) -> None:
        """Wait for the client's end and for the server to have written down all it will."""
        self.process.communicate(timeout=30)
        self.lab.settle(self.port)


class Lab:
    """The laboratory, between `with` and its end."""

    def __init__(self, dress: str = "rfc3339", *, reduce: bool = False, alive: int = 0, sshd: str = "") -> None:
        self.root = Path(tempfile.mkdtemp(prefix="usm-lab-"))
        self.log = self.root / "auth.log"
        self.dress, self.reduce, self.alive, self.sshd = dress, reduce, alive, sshd
        self.passwords = {user: f"correct horse {user}" for user in USERS}
        self._init: Optional[subprocess.Popen[bytes]] = None
        self._leader = 0
        self._ports = itertools.count(40001)
        self._serial = itertools.count()
        self._started: list[subprocess.Popen[bytes]] = []
        self._addresses = {"127.0.0.1", "::1", *SERVER.values()}

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

    def __enter__(self) -> Lab:  # noqa: PYI034 (Self is 3.11's)
        """Start everything, or leave nothing behind."""
        try:
            self._prepare()
            self._start_init()
            self._forgive()
            self.start_rsyslog()
            self.start_sshd()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """End everything that runs in the lab and remove its files."""
        self.close()

    def close(self) -> None:
        """End everything that runs in the lab and remove its files."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        if self._init:
            self._init.communicate()  # closes the pipe: process 1 ends, and the kernel ends the rest
        shutil.rmtree(self.root, ignore_errors=True)

    # -- building ------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.root.chmod(0o755)
        for name in ("etc/pam.d", "keys", "home"):
            (self.root / name).mkdir(parents=True)
        for key in ("host_key", "id", "id_unknown"):
            comment = ["-C", "lab", "-f", str(self.root / key)]
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", *comment], check=True)
        passwd, shadow, group = (
            [line for line in Path("/etc", name).read_text().splitlines() if line.split(":")[0] not in USERS]
            for name in ("passwd", "shadow", "group")
        )
        for user, uid in USERS.items():
            home = self.root / "home" / user
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
        (self.root / "connect.py").write_text(CONNECT)
        (self.root / "askpass").write_text(ASKPASS)
        (self.root / "askpass").chmod(0o755)
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
        until(lambda: (self.root / "sshd.pid").exists() and self._holders("sport = :22", "-l") != [], "sshd")

    def restart_sshd(self) -> None:
        """Stop the listener, as an upgrade does, and start it again; sessions live on."""
        self.signal(self._pid("sshd"), signal.SIGTERM)
        until(lambda: not self._holders("sport = :22", "-l"), "end of sshd")
        (self.root / "sshd.pid").unlink(missing_ok=True)
        self.start_sshd()

    def _pid(self, name: str) -> int:
        return int((self.root / f"{name}.pid").read_text())

    # -- reaching in ---------------------------------------------------------------------------------------------

    def enter(self, *argv: object, pid: bool = True, net: bool = True) -> list[str]:
        """Return the command that runs `argv` in the lab; without `net` it keeps the host's network."""
        flags = ["--mount", "--uts", *(["--pid"] if pid else []), *(["--net"] if net else [])]
        return ["nsenter", f"--target={self._leader}", *flags, "--", *map(str, argv)]

    def run(self, *argv: object) -> str:
        """Run a command in the lab and return what it printed."""
        return subprocess.run(
            self.enter(*argv), check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=30
        ).stdout

    def signal(self, pid: int, number: int) -> None:
        """Signal a process of the lab, by the pid that it has there."""
        self.run("kill", f"-{int(number)}", pid)

    def lines(self) -> list[bytes]:
        """Return the lines of the log so far."""
        return self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []

    def _holders(self, which: str, *options: str) -> list[int]:
        """Return the pids that hold the TCP sockets in question, highest first."""
        found = re.findall(r"pid=(\d+)", self.run("ss", "-tnpH", *options, which))
        return sorted(set(map(int, found)), reverse=True)

    def server_pids(self, client: Client) -> list[int]:
        """Return the pids that serve a client: the user's process (not for root up to 9.7), then the monitor."""
        return self._holders(f"sport = :22 and dport = :{client.port}")

    def settle(self, port: int) -> None:
        """Wait until no process serves this connection: then all about it has been written."""
        until(lambda: not self._holders(f"sport = :22 and dport = :{port}"), f"end of the server of port {port}")

    def address(self, source: str) -> int:
        """Put an address on the loopback if it is not there, and return its IP version."""
        version = ipaddress.ip_address(source).version
        if source not in self._addresses:
            self._addresses.add(source)
            wide = f"{source}/32" if version == 4 else f"{source}/128"
            self.run("ip", "addr", "add", wide, "dev", "lo", *(["nodad"] if version == 6 else []))
        return version

    # -- clients -------------------------------------------------------------------------------------------------

    def _ssh(
        self, user: str, auth: str, source: str, port: int, key: str = "id", tries: int = 1, program: str = "ssh"
    ) -> list[str]:
        """Return the beginning of an ssh, scp or sftp command line: everything up to the options of the case."""
        version = self.address(source)
        method = {"key": "publickey"}.get(auth, auth)
        proxy = f"{sys.executable} -I -S {self.root}/connect.py {source} {port} {SERVER[version]}"
        options = {
            "ProxyCommand": proxy,
            "ProxyUseFdpass": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "IdentityFile": self.root / key,
            "PreferredAuthentications": method,
            "NumberOfPasswordPrompts": tries,
            "LogLevel": "INFO",
            "KexAlgorithms": "curve25519-sha256",  # the default takes 0.1 s longer, a hundred times
        }
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        login = ["-l", user] if program == "ssh" else ["-o", f"User={user}"]
        return self.enter(program, "-F", "none", *settings, *login, pid=False)

    def _spawn(
        self, argv: Sequence[object], passwords: Sequence[str], user: str, auth: str, source: str, port: int
    ) -> Client:
        secrets = self.root / f"passwords.{next(self._serial)}"
        secrets.write_text("".join(f"{password}\n" for password in passwords))
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "SSH_ASKPASS": str(self.root / "askpass"),
            "SSH_ASKPASS_REQUIRE": "force",
            "LAB_PASSWORDS": str(secrets),
        }
        process = subprocess.Popen(
            [str(word) for word in argv],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._started.append(process)
        return Client(self, process, user, auth, source, port)

    def connect(
        self,
        user: str,
        auth: str = "password",
        source: str = "203.0.113.5",
        command: Optional[str] = None,
        *,
        tty: bool = False,
        hold: bool = True,
        options: Sequence[str] = (),
    ) -> Client:
        """Log in. With `hold` return once the shell answers; otherwise once the command is done."""
        port = next(self._ports)
        words = [*self._ssh(user, auth, source, port), "-tt" if tty else "-T", *options, "web01"]
        words += [command] if command else []
        client = self._spawn(words, [self.passwords[user]], user, auth, source, port)
        if not hold:
            client.wait()
        elif command is None and "-N" not in options:
            client.type("echo re''ady\n")  # the quotes tell the answer from the terminal's echo of the question
            client.expect(b"ready")
        return client

    def tunnel(self, user: str, source: str) -> Client:
        """Log in for a forwarding only (`-N`); the port that the server allots proves that the session is open."""
        client = self.connect(user, "key", source, options=("-N", "-R", "0:127.0.0.1:9"))
        client.expect(b"Allocated port")
        return client

    def copy(self, user: str, source: str, program: str = "scp") -> Client:
        """Copy a file from the server with `scp` or `sftp`."""
        port = next(self._ports)
        (self.root / "home" / user / "file").write_text("content\n")
        words = self._ssh(user, "key", source, port, program=program)
        client = self._spawn([*words, "web01:file", self.root / "copied"], [], user, "key", source, port)
        client.wait()
        assert client.process.returncode == 0
        return client

    def attempt(
        self, user: str, source: str, auth: str = "password", passwords: Sequence[str] = ("wrong",), key: str = "id"
    ) -> Client:
        """Try to log in with these passwords one after the other (or a key); return when the server is done."""
        port = next(self._ports)
        words = self._ssh(user, auth, source, port, key, len(passwords))
        client = self._spawn([*words, "-T", "web01", "true"], passwords, user, auth, source, port)
        client.wait()
        return client

    def stranger(self, user: str, source: str) -> Client:
        """Try a wrong password with libssh2 (curl), which sends any user name; OpenSSH's client refuses some.

        It is refused twice: the password first, then the same as the answer to keyboard-interactive.
        """
        port = next(self._ports)
        url = f"sftp://{SERVER[self.address(source)]}/"
        words = ["curl", "-sk", "--interface", source, "--local-port", port, "-u", f"{user}:wrong", url]
        client = self._spawn(self.enter(*words, pid=False), [], user, "password", source, port)
        client.wait()
        return client

    def banner(self, data: bytes, source: str) -> int:
        """Connect, send these bytes in place of a client's banner (nothing: just leave); return the source port."""
        port = next(self._ports)
        server = SERVER[self.address(source)]
        script = self.root / "connect.py"
        self.run(sys.executable, "-I", "-S", script, source, port, server, data.hex())
        self.settle(port)
        return port

    def cut(self, client: Client) -> None:
        """Make the client silent and wait until the server gives up (needs `alive`)."""
        client.process.send_signal(signal.SIGSTOP)
        self.settle(client.port)
        client.process.kill()
        client.wait()

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


def children(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
