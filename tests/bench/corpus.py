"""Write a real-shaped authentication log: sessions among attack noise, the same bytes every time.

The shape follows public sshd logs: an attack connection writes five or six lines (invalid user, PAM,
`Failed`, the disconnect), a session ten (sshd, PAM, logind), a cron job three.
"""

from __future__ import annotations

import argparse
import random
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Callable, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS = ["admin"] * 8 + ["ubuntu", "test", "oracle", "postgres", "git", "pi", "user"] * 3
PEOPLE = ["alice", "bob", "carol", "dave", "deploy", "j.doe", "backup-svc", "root"]
BASE = datetime(2026, 1, 2, tzinfo=timezone.utc)


class Truth(NamedTuple):
    """What the written log holds: the bench checks that nothing was missed."""

    lines: int
    logins: int
    logouts: int
    failures: int


def stamp_3164(time: datetime) -> str:
    """`Jan  2 03:04:05`, as rsyslog's traditional format writes it."""
    return f"{time:%b} {time.day:2d} {time:%H:%M:%S}"


def stamp_3339(time: datetime) -> str:
    """`2026-01-02T03:04:05.000000+00:00`, rsyslog's built-in default."""
    return time.isoformat(timespec="microseconds")


class Campaign:
    """One attacker at work: an address that tries one name, or a list of names, over and over."""

    def __init__(self, rng: random.Random) -> None:
        self.source = f"{rng.randint(1, 223)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
        self.left = 1 + int(rng.expovariate(1 / 60))
        self.single = "root" if rng.random() < 0.5 else None
        self.user, self.tries = "", 0

    def name(self, rng: random.Random) -> str:
        """Return the name to try next."""
        if self.single is not None:
            return self.single
        if self.tries == 0:
            self.user = rng.choice(USERS) if rng.random() < 0.5 else f"user{rng.randint(1, 400)}"
            self.tries = rng.randint(1, 5)
        self.tries -= 1
        return self.user


def attack(rng: random.Random, campaigns: list[Campaign]) -> Iterator[tuple[int, str]]:
    """One attack connection: (failures counted by the line, the line after the host)."""
    at = rng.randrange(len(campaigns))
    campaign = campaigns[at]
    campaign.left -= 1
    if campaign.left <= 0:
        campaigns[at] = Campaign(rng)
    source, user = campaign.source, campaign.name(rng)
    port, pid = rng.randint(1024, 65535), rng.randint(1000, 4_000_000)
    tag = f"sshd[{pid}]:"
    pam = f"{tag} pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={source} "
    if user == "root":
        yield 0, f"{pam} user=root"
        yield 1, f"{tag} Failed password for root from {source} port {port} ssh2"
        yield 0, f"{tag} Received disconnect from {source} port {port}:11: Bye Bye [preauth]"
        yield 0, f"{tag} Disconnected from authenticating user root {source} port {port} [preauth]"
        return
    yield 0, f"{tag} Invalid user {user} from {source} port {port}"
    yield 0, f"{tag} pam_unix(sshd:auth): check pass; user unknown"
    yield 0, pam
    yield 1, f"{tag} Failed password for invalid user {user} from {source} port {port} ssh2"
    yield 0, f"{tag} Received disconnect from {source} port {port}:11: Bye Bye [preauth]"
    yield 0, f"{tag} Disconnected from invalid user {user} {source} port {port} [preauth]"


class Session(NamedTuple):
    """One legitimate session, opened and not yet closed."""

    user: str
    source: str
    port: int
    pid: int
    number: int


def place(rng: random.Random, user: str) -> str:
    """Where somebody comes from: one of a few usual networks, one time in fifty from elsewhere."""
    number = PEOPLE.index(user)
    if rng.random() < 0.02:
        return f"10.{100 + number}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    return f"10.{number}.{rng.randint(0, 3)}.{rng.randint(1, 254)}"


def opening(session: Session) -> Iterator[str]:
    """The lines of a login."""
    s, tag = session, f"sshd[{session.pid}]:"
    key = f"ED25519 SHA256:{PEOPLE.index(s.user):043d}"
    yield f"{tag} Accepted publickey for {s.user} from {s.source} port {s.port} ssh2: {key}"
    yield f"{tag} pam_unix(sshd:session): session opened for user {s.user}(uid=1000) by (uid=0)"
    yield f"systemd-logind[412]: New session {s.number} of user {s.user}."
    yield f"systemd: pam_unix(systemd-user:session): session opened for user {s.user}(uid=1000) by (uid=0)"


def closing(session: Session) -> Iterator[str]:
    """The lines of a clean logout."""
    s = session
    yield f"sshd[{s.pid + 7}]: Received disconnect from {s.source} port {s.port}:11: disconnected by user"
    yield f"sshd[{s.pid + 7}]: Disconnected from user {s.user} {s.source} port {s.port}"
    yield f"sshd[{s.pid}]: pam_unix(sshd:session): session closed for user {s.user}"
    yield f"systemd-logind[412]: Session {s.number} logged out. Waiting for processes to exit."
    yield f"systemd-logind[412]: Removed session {s.number}."


def other(rng: random.Random) -> Iterator[str]:
    """What else stands in such a log."""
    pid = rng.randint(1000, 4_000_000)
    if rng.random() < 0.7:
        yield f"CRON[{pid}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"
        yield f"CRON[{pid}]: pam_unix(cron:session): session closed for user root"
        return
    yield "sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/apt update"
    yield "sudo: pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=1000)"
    yield "sudo: pam_unix(sudo:session): session closed for user root"


def write(path: str, lines: int, *, stamp: Callable[[datetime], str] = stamp_3164, noise: float = 0.7) -> Truth:
    """Write `lines` lines to `path`; `noise` 1.0 writes nothing but counted failures."""
    rng = random.Random(20260102)
    campaigns = [Campaign(rng) for _ in range(8)]
    written = logins = logouts = failures = noisy = 0
    now = BASE
    step = timedelta(seconds=300 * 86400 / lines)
    live: list[Session] = []
    with open(path, "w", encoding="ascii") as out:
        while written < lines:
            block: list[str]
            if noise >= 1.0:
                block = [text for count, text in attack(rng, campaigns) if count]
                failures += 1
                noisy += 1
            elif noisy < noise * written:
                hits = list(attack(rng, campaigns))
                block, noisy = [text for _, text in hits], noisy + len(hits)
                failures += sum(count for count, _ in hits)
            elif rng.random() < 0.35:
                block = list(other(rng))
            elif live and rng.random() < len(live) / 40:
                block = list(closing(live.pop(rng.randrange(len(live)))))
                logouts += 1
            else:
                user = rng.choice(PEOPLE)
                source = place(rng, user)
                session = Session(user, source, rng.randint(1024, 65535), 5_000_000 + logins * 11, logins)
                live.append(session)
                block = list(opening(session))
                logins += 1
            out.writelines(f"{stamp(now)} web01 {text}\n" for text in block)
            written += len(block)
            now += step * len(block)
    return Truth(written, logins, logouts, failures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--noise", type=float, default=0.7)
    parser.add_argument("--dress", choices=["3164", "3339"], default="3164")
    args = parser.parse_args()
    dress = stamp_3164 if args.dress == "3164" else stamp_3339
    sys.stdout.write(f"{write(args.path, args.lines, stamp=dress, noise=args.noise)}\n")
