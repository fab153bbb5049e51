"""Real ssh clients, and what every laboratory that they log in to has in common.

A laboratory is a server with a network of its own, in which the addresses of the clients live on the loopback.
"""

from __future__ import annotations

import ctypes
import ipaddress
import itertools
import os
import re
import select
import shlex
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

    from typing_extensions import Self

SERVER = {4: "192.0.2.10", 6: "2001:db8::10"}
USERS = {
    "root": 0,
    "alice": 2001,
    "bob": 2002,
    "deploy": 2003,
    "carol": 2004,
    "mallory": 2005,
}  # all with password, key

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


def make_key(path: Path) -> None:
    """Make a key pair."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path], check=True)


def output(argv: Sequence[object]) -> str:
    """Run a command and return its output."""
    words = [str(word) for word in argv]
    return subprocess.run(
        words, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=30
    ).stdout


def children(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Dialogue:
    """A process that is typed to and read from."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._unread = b""

    @property
    def pid(self) -> int:
        """The pid of the process, as the host counts."""
        return self.process.pid

    def type(self, text: str) -> None:
        """Type into it."""
        assert self.process.stdin
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def expect(self, words: bytes) -> bytes:
        """Read what it prints until `words` appear; return what came before."""
        assert self.process.stdout
        while words not in self._unread:
            answered, _, _ = select.select([self.process.stdout], [], [], 20)
            piece = os.read(self.process.stdout.fileno(), 4096) if answered else b""
            if not piece:
                raise AssertionError(f"it ended, or hangs, before {words!r}: {self._unread!r}")
            self._unread += piece
        seen, _, self._unread = self._unread.partition(words)
        return seen

    def ready(self) -> None:
        """Wait for the shell to answer."""
        self.type("echo re''ady\n")  # the quotes tell the answer from the terminal's echo of the question
        self.expect(b"ready")


class Client(Dialogue):
    """One ssh client process and the connection it holds."""

    def __init__(
        self, lab: Clients, process: subprocess.Popen[bytes], user: str, auth: str, source: str, port: int
    ) -> None:
        super().__init__(process)
        self.lab = lab
        self.user = user
        self.auth = auth
        self.source = source
        self.port = port

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


class Clients:
    """What a laboratory offers to those who log in to it, whatever stands behind."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="usm-lab-"))
        self.root.chmod(0o755)
        self.passwords = {user: f"correct horse {user}" for user in USERS}
        self._leader = 0  # the lab's process 1, as the host counts
        self._ports = itertools.count(40001)
        self._serial = itertools.count()
        self._started: list[subprocess.Popen[bytes]] = []
        self._addresses = {"127.0.0.1", "::1", *SERVER.values()}

    def __enter__(self) -> Self:
        """Start everything, or leave nothing behind."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """End everything that runs in the lab and remove its files."""
        self.close()

    # -- what each laboratory does in its own way ------------------------------------------------------------------

    def start(self) -> None:
        """Start the server."""
        raise NotImplementedError

    def stop(self) -> None:
        """End all that runs in the lab."""
        raise NotImplementedError

    def restart_sshd(self) -> None:
        """Restart the listener; sessions live on."""
        raise NotImplementedError

    def enter(self, *argv: object) -> list[str]:
        """Return the command that runs `argv` on the server."""
        raise NotImplementedError

    def beside(self, *argv: object) -> list[str]:
        """Return the command that runs `argv` where the clients run: in the lab's network, with the host's files."""
        raise NotImplementedError

    def home(self, user: str) -> Path:
        """Return where the host finds a user's home directory."""
        raise NotImplementedError

    # -- reaching in -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything that runs in the lab and remove its files."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def _make_clients(self) -> None:
        """Make the keys and the programs of the clients."""
        for key in ("id", "id_unknown"):
            make_key(self.root / key)
        (self.root / "connect.py").write_text(CONNECT)
        (self.root / "askpass").write_text(ASKPASS)
        (self.root / "askpass").chmod(0o755)

    def run(self, *argv: object) -> str:
        """Run a command on the server and return its output."""
        return output(self.enter(*argv))

    def run_beside(self, *argv: object) -> str:
        """Run a command where the clients run and return its output."""
        return output(self.beside(*argv))

    def signal(self, pid: int, number: int) -> None:
        """Signal a process of the lab, by the pid that it has there."""
        self.run("kill", f"-{int(number)}", pid)

    def _holders(self, which: str, *options: str) -> list[int]:
        """Return the pids that hold the TCP sockets in question, highest first."""
        found = re.findall(r"pid=(\d+)", self.run("ss", "-tnpH", *options, which))
        return sorted(set(map(int, found)), reverse=True)

    def listening(self, port: int) -> bool:
        """Say whether something on the server listens on this port."""
        return self._holders(f"sport = :{port}", "-l") != []

    def server_pids(self, client: Client) -> list[int]:
        """Return the pids that serve a client: the user's process (not for root up to 9.7), then the monitor."""
        return self._holders(f"sport = :22 and dport = :{client.port}")

    def split(self) -> bool:
        """Say whether sshd has a program of its own for sessions, as it has since 9.8; it tells of killed processes."""
        return bool(self.run("sh", "-c", "ls -d /usr/lib*/*/sshd-session 2>/dev/null || :"))

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

    # -- clients ------

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
        return self.beside(program, "-F", "none", *settings, *login)

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
        client = self._spawn(words, [self.passwords.get(user, "")], user, auth, source, port)
        if not hold:
            client.wait()
        elif command is None and "-N" not in options:
            client.ready()
        return client

    def tunnel(self, user: str, source: str) -> Client:
        """Log in for a forwarding only (`-N`); the port that the server allots proves that the session is open."""
        client = self.connect(user, "key", source, options=("-N", "-R", "0:127.0.0.1:9"))
        client.expect(b"Allocated port")
        return client

    def copy(self, user: str, source: str, program: str = "scp") -> Client:
        """Copy a file from the server with `scp`, `sftp` or `rsync`."""
        port = next(self._ports)
        (self.home(user) / "file").write_text("content\n")
        ssh = "ssh" if program == "rsync" else program
        words = self._ssh(user, "key", source, port, program=ssh)
        if program == "rsync":
            at = words.index("ssh")
            words = [*words[:at], "rsync", "-e", shlex.join(words[at:])]
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
        client = self._spawn(self.beside(*words), [], user, "password", source, port)
        client.wait()
        return client

    def banner(self, data: bytes, source: str) -> int:
        """Connect, send these bytes in place of a client's banner (nothing: just leave); return the source port."""
        port = next(self._ports)
        server = SERVER[self.address(source)]
        script = self.root / "connect.py"
        self.run_beside(sys.executable, "-I", "-S", script, source, port, server, data.hex())
        self.settle(port)
        return port

    def cut(self, client: Client) -> None:
        """Make the client silent and wait until the server gives up (needs `alive`)."""
        client.process.send_signal(signal.SIGSTOP)
        self.settle(client.port)
        client.process.kill()
        client.wait()
