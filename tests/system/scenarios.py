"""What is done to the lab's sshd, and the truth about it: noted by who did it, never read from the log.

What OpenSSH 9.2 writes for a refused credential at LogLevel INFO, as observed (n = how many in one connection):

- password: `Failed password for U from A port P ssh2`. (Beside it: pam_unix `authentication failure` once, and
  `PAM n-1 more authentication failures` after the end of the connection.)
- password of an invalid user: `Failed password for invalid user U from A port P ssh2`. (`Invalid user U from A port P`
  once, `check pass; user unknown` n times.)
- keyboard-interactive: `error: PAM: Authentication failure for U from A`, without a port. From the 4th failure of a
  connection on `Failed keyboard-interactive/pam for U from A port P ssh2` as well. (pam_unix lines have another pid.)
- keyboard-interactive of an invalid user: `error: PAM: Authentication failure for illegal user U from A` and
  `Failed keyboard-interactive/pam for invalid user U from A port P ssh2`, both, always.
- key: nothing. (`Connection closed by authenticating user U A port P [preauth]`; an invalid user: `Invalid user`.)
- empty password, when it is the first credential: nothing; of an invalid user `Failed none for invalid user U`.
- a denied user (DenyUsers): as for an invalid user, and called that. (`User U from A not allowed because` once.)
- right password of an expired account: `Failed password for U`. (`fatal: Access denied for user U by PAM account`.)
- the 6th of any kind: as above. (`error: maximum authentication attempts exceeded for U from A port P ssh2 [preauth]`)

A failure that leaves no line of its own is marked `"logged": False`: nobody can be told of it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from tests.system.clients import Client, Clients

Fact = dict[str, object]  # one event, in the words of the JSON that users see
Scenario = Callable[["Clients"], list[Fact]]

METHODS = {"key": "publickey", "keyboard-interactive": "keyboard-interactive/pam"}
LIMIT = 100  # bytes of a user name that sshd writes
FORGED = "Accepted password for root from 6.6.6.6 port 22 ssh2"
NAMES = (
    FORGED,
    "john doe",
    "from",
    "x from 6.6.6.6 port 22 ssh2",
    "x [preauth]",
    "用户",
    "-".join("x" * 70),
    "root ",
    r"a\nb",
)
STRANGE_NAMES = (f"x\n{FORGED}", '<at user_id="all">', "\x1b[2J\ttab")  # only libssh2 sends them
BANNERS = (
    b"sshd[1]: Accepted password for root from 198.51.100.66 port 22 ssh2\r\n",
    b"SSH-2.0-x\r\nsshd[1]: Accepted password for root from 198.51.100.66 port 22 ssh2\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"\x16\x03\x01\x00\xee\x01\x00\r\n",
)


def fact(client: Client, kind: str, **more: object) -> Fact:
    """State something that this client did."""
    return {
        "kind": kind,
        "service": "sshd",
        "user": client.user.encode()[:LIMIT].decode("utf-8", "ignore"),
        "source_ip": client.source,
        "source_port": client.port,
        "method": METHODS.get(client.auth, client.auth),
        **more,
    }


def login(client: Client) -> Fact:
    """State that the client got in; with which key, as `ssh-keygen` tells it."""
    key = None
    if client.auth == "key":
        shown = subprocess.run(["ssh-keygen", "-lf", client.lab.root / "id.pub"], check=True, capture_output=True)
        key = shown.stdout.decode().split()[1]
    return fact(client, "login", key=key)


def logout(client: Client, reason: str) -> Fact:
    """State that the client's session ended, and how."""
    return {**login(client), "kind": "logout", "end_reason": reason}


def failed(client: Client, times: int = 1, *, invalid: bool = False, logged: bool = True) -> list[Fact]:
    """State that so many credentials of the client were refused; `invalid`: sshd calls the user that."""
    row = fact(client, "failed", invalid_user=invalid, count=1, logged=logged)
    return [unported(row)] * times


def unported(row: Fact) -> Fact:
    """Leave out what no line of this kind of failure holds: keyboard-interactive's has no port."""
    return {**row, "source_port": None} if row["method"] == METHODS["keyboard-interactive"] else row


def whole(client: Client) -> list[Fact]:
    """State that the client got in and said goodbye."""
    return [login(client), logout(client, "disconnected")]


# -- sessions ----------------------------------------------------------------------------------------------------------


def password(lab: Clients) -> list[Fact]:
    """Log in by password over IPv4, leave with `exit`."""
    client = lab.connect("alice", "password", "203.0.113.5")
    client.exit()
    return whole(client)


def key(lab: Clients) -> list[Fact]:
    """Log in by key over IPv6."""
    client = lab.connect("alice", "key", "2001:db8::7")
    client.exit()
    return whole(client)


def keyboard_interactive(lab: Clients) -> list[Fact]:
    """Log in by keyboard-interactive on a terminal."""
    client = lab.connect("bob", "keyboard-interactive", "198.51.100.7", tty=True)
    client.exit()
    return whole(client)


def root(lab: Clients) -> list[Fact]:
    """Log in as root, by key and by password; root has one process instead of two."""
    by_key = lab.connect("root", "key", "203.0.113.9", tty=True)
    by_key.exit()
    by_password = lab.connect("root", "password", "2001:db8::9")
    by_password.exit()
    return whole(by_key) + whole(by_password)


def command(lab: Clients) -> list[Fact]:
    """Run one command."""
    return whole(lab.connect("bob", "key", "203.0.113.6", "true", hold=False))


def copies(lab: Clients) -> list[Fact]:
    """Copy with scp and with sftp."""
    return whole(lab.copy("deploy", "203.0.113.20")) + whole(lab.copy("deploy", "203.0.113.20", "sftp"))


def tunnel(lab: Clients) -> list[Fact]:
    """Forward a port without a shell, and stop it with a signal to the client, which says goodbye."""
    client = lab.tunnel("alice", "203.0.113.5")
    client.terminate()
    return whole(client)


def shared(lab: Clients) -> list[Fact]:
    """Run three channels over one connection: one session."""
    path = f"{lab.root}/master"
    client = lab.connect("alice", "key", "203.0.113.5", options=("-M", "-S", path))
    for _ in range(2):
        lab.run_beside("ssh", "-F", "none", "-S", path, "web01", "true")
    client.exit()
    return whole(client)


def pairs(lab: Clients) -> list[Fact]:
    """Hold two sessions of one user from one address; end them in either order."""
    truth = []
    for order in ((0, 1), (1, 0)):
        clients = [lab.connect("alice", "key", "203.0.113.5"), lab.connect("alice", "key", "203.0.113.5")]
        truth += [login(client) for client in clients]
        for number in order:
            clients[number].exit()
            truth.append(logout(clients[number], "disconnected"))
    return truth


def killed(lab: Clients) -> list[Fact]:
    """Kill the client; up to 9.7 only PAM tells of the end.

    Without a terminal, so that no prompt is on its way: what a dead client has not read makes a reset of the end.
    """
    truth = []
    for user in ("alice", "root"):
        client = lab.connect(user, "key", "203.0.113.30")
        client.kill()
        truth += [login(client), logout(client, "closed")]
    return truth


def silent(lab: Clients) -> list[Fact]:
    """Let the client go silent until the server gives up."""
    client = lab.connect("bob", "password", "203.0.113.31", tty=True)
    lab.cut(client)
    return [login(client), logout(client, "timeout")]


def signalled(lab: Clients) -> list[Fact]:
    """End the server's processes of a session: the user's, the monitor, and root's single one.

    Up to 9.7 PAM's line is all there is for users, and root's process says which signal it was; since 9.8 all say it.
    """
    truth = []
    told = "terminated" if lab.split() else "closed"
    for user, which, reason in (("alice", 0, told), ("alice", 1, told), ("root", 0, "terminated")):
        client = lab.connect(user, "key", "203.0.113.32")
        lab.signal(lab.server_pids(client)[which], signal.SIGTERM)
        client.wait()
        truth += [login(client), logout(client, reason)]
    return truth


def restarted(lab: Clients) -> list[Fact]:
    """Restart sshd while a session is open: it lives on."""
    client = lab.connect("alice", "key", "203.0.113.33")
    lab.restart_sshd()
    other = lab.connect("bob", "password", "203.0.113.34")
    client.exit()
    other.exit()
    gone = [logout(client, "disconnected"), logout(other, "disconnected")]
    return [login(client), login(other), *gone]


# -- failures ----------------------------------------------------------------------------------------------------------


def wrong_password(lab: Clients) -> list[Fact]:
    """Try wrong passwords: of users, of root, of nobody; once, several times, too often."""
    source = "198.51.100.20"
    truth = []
    for user, invalid in (("alice", False), ("root", False), ("oracle", True)):
        for passwords in ("a", "abc", "abcdefg"):
            client = lab.attempt(user, source, passwords=tuple(passwords))
            truth += failed(client, min(len(passwords), 6), invalid=invalid)
    return truth


def wrong_answer(lab: Clients) -> list[Fact]:
    """Try the same by keyboard-interactive."""
    source = "198.51.100.21"
    truth = []
    for user, invalid in (("alice", False), ("root", False), ("admin", True)):
        for passwords in ("a", "abcdefg"):
            client = lab.attempt(user, source, "keyboard-interactive", tuple(passwords))
            truth += failed(client, min(len(passwords), 6), invalid=invalid)
    return truth


def wrong_then_right(lab: Clients) -> list[Fact]:
    """Mistype the password once."""
    client = lab.attempt("bob", "203.0.113.6", passwords=("wrong", lab.passwords["bob"]))
    return failed(client) + whole(client)


def unknown_key(lab: Clients) -> list[Fact]:
    """Offer a key that nobody knows."""
    source = "2001:db8::bad"
    truth = []
    for user, invalid in (("alice", False), ("root", False), ("oracle", True)):
        client = lab.attempt(user, source, "key", key="id_unknown")
        truth += failed(client, invalid=invalid, logged=False)
    return truth


def empty_password(lab: Clients) -> list[Fact]:
    """Send an empty password, which sshd counts as no method at all when it is the first."""
    known = lab.attempt("alice", "198.51.100.22", passwords=("",))
    unknown = lab.attempt("oracle", "198.51.100.22", passwords=("",))
    return failed(known, logged=False) + [{**row, "method": "none"} for row in failed(unknown, invalid=True)]


def refused_account(lab: Clients) -> list[Fact]:
    """Know the password, and be refused all the same: denied by configuration, expired."""
    denied = lab.attempt("mallory", "198.51.100.23", passwords=(lab.passwords["mallory"],))
    expired = lab.attempt("carol", "198.51.100.23", passwords=(lab.passwords["carol"],))
    return failed(denied, invalid=True) + failed(expired)


def hostile_names(lab: Clients) -> list[Fact]:
    """Try user names that were chosen to be misread."""
    truth = []
    for name in NAMES:
        truth += failed(lab.attempt(name, "198.51.100.66"), invalid=True)
    for name in STRANGE_NAMES if shutil.which("curl") else ():
        client = lab.stranger(name, "198.51.100.66")
        truth += failed(client, invalid=True)
        answers = [{**row, "method": METHODS["keyboard-interactive"]} for row in failed(client, invalid=True)]
        truth += map(unported, answers)
    return truth


def hostile_banners(lab: Clients) -> list[Fact]:
    """Send other things than a banner."""
    for data in BANNERS:
        lab.banner(data, "198.51.100.66")
    return []


def scan(lab: Clients) -> list[Fact]:
    """Connect and leave, as a port scan does."""
    for source in ("198.51.100.77", "2001:db8::77"):
        lab.banner(b"", source)
    return []


SESSIONS: tuple[Scenario, ...] = (
    password,
    key,
    keyboard_interactive,
    root,
    command,
    copies,
    tunnel,
    shared,
    pairs,
    killed,
    silent,
    signalled,
    restarted,
)
FAILURES: tuple[Scenario, ...] = (
    wrong_password,
    wrong_answer,
    wrong_then_right,
    unknown_key,
    empty_password,
    refused_account,
    hostile_names,
    hostile_banners,
    scan,
)
ALL = (*SESSIONS, *FAILURES)
