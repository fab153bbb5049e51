"""A small scene for each rule, and what it finds there: `python -m tests.findings` writes tests/data/findings.jsonl.

A scene is lines of a log, one batch each, and what the system says, through the left half into a store in memory. Look
at what has changed in the file before it is committed: ids, facts and the lines for `silence:` are promises.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

import yaml

from usm import config
from usm.core.alert import finding_json
from usm.core.decode import Stamps
from usm.core.look import Look
from usm.core.message import Alert
from usm.core.model import UNOBSERVED, Account, Batch, Finding, Host, Place, Seat, System, micros
from usm.core.phrasing import sentence
from usm.core.reconcile import first_look
from usm.core.route import Route
from usm.core.text import plain_text
from usm.history import begin
from usm.ingest import Intake, Watch, compare, ingest, remark
from usm.judging import Judge
from usm.outbox import Outbox
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = Path(__file__).parent / "data" / "findings.jsonl"
CST = timezone(timedelta(hours=8))
ZH, EN = Look("zh", CST), Look("en", CST)
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=CST)  # a Wednesday
HOST = Host("web01", ("192.0.2.10",), "b" * 32)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))
HOME, OTHER, THIRD, FAR = "203.0.113.5", "198.51.100.7", "192.0.2.77", "2001:db8:5::7"
KEY, ANOTHER = f"ED25519 SHA256:{'a' * 43}", f"ED25519 SHA256:{'b' * 43}"
PLACES = {
    HOME: Place("CN", 64496, 31.23, 121.47),
    OTHER: Place("US", 64497, 40.71, -74.01),
    THIRD: Place("CN", 64496, 30.25, 120.17),
}
ACCOUNTS = {"www-data": Account(33, "/usr/sbin/nologin"), "root": Account(0, "/bin/bash")}


def account_of(host: str, user: str) -> Optional[Account]:
    """Return what a host knows of a user."""
    return ACCOUNTS.get(user) if host == HOST.name else None


def policy_of(text: str) -> config.Config:
    """Load a configuration from YAML."""
    with TemporaryDirectory() as place:
        path = Path(place) / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return config.load(str(path))


class World:
    """One machine with its log, and who watches it: usual for two months already."""

    def __init__(self, text: str = "", places: Optional[Mapping[str, Place]] = None) -> None:
        self.store = Store(":memory:")
        judge = Judge(policy_of(text).policy, CST, (places or {}).get, account_of)
        self.watch = Watch(HOST, (Route("feishu"),), judge=judge, zone=CST)
        self.intake = Intake(Stamps(CST, NOON))
        self.look = first_look(NOON)
        self.number = 0
        with self.store.writing() as db:
            begin(db, micros(NOON - 60 * DAY))
        with self.store.transaction() as tx:
            tx.checkpoint("file", "0", NOON)

    def line(self, at: timedelta, tag: str, text: str) -> None:
        """Write one line into the log; it is read at once."""
        self.lines((at, tag, text))

    def lines(self, *lines: tuple[timedelta, str, str]) -> None:
        """Write several lines, which are read together."""
        self.number += 1
        data = "".join(f"{(NOON + at).isoformat()} {HOST.name} {tag}: {text}\n" for at, tag, text in lines)
        now = NOON + lines[-1][0] + SECOND
        ingest(self.store, "file", Batch(data.encode(), str(self.number)), self.intake, self.watch, now)

    def login(self, at: timedelta, user: str = "alice", ip: str = HOME, key: Optional[str] = None) -> int:
        """Log in through sshd; return the leader's pid."""
        leader = self.number + 1000
        method, extra = ("password", "") if key is None else ("publickey", f": {key}")
        self.line(at, f"sshd[{leader}]", f"Accepted {method} for {user} from {ip} port {leader} ssh2{extra}")
        return leader

    def console(self, at: timedelta, user: str) -> None:
        """Log in at the machine itself."""
        self.line(at, "login[7]", f"pam_unix(login:session): session opened for user {user}(uid=1001) by LOGIN(uid=0)")

    def close(self, at: timedelta, leader: int, user: str = "alice") -> None:
        """Let a session end without a goodbye."""
        self.line(at, f"sshd[{leader}]", f"pam_unix(sshd:session): session closed for user {user}")

    def leave(self, at: timedelta, leader: int, user: str = "alice", ip: str = HOME) -> None:
        """Log out in order."""
        self.line(at, f"sshd[{leader + 1}]", f"Disconnected from user {user} {ip} port {leader}")

    def visit(self, at: timedelta, user: str = "alice", ip: str = HOME, key: Optional[str] = None) -> None:
        """Log in, and out after ten minutes."""
        self.leave(at + 10 * MINUTE, self.login(at, user, ip, key), user, ip)

    def fail(self, at: timedelta, user: str = "alice", ip: str = HOME, *, invalid: bool = False) -> None:
        """Be refused by sshd."""
        who = f"invalid user {user}" if invalid else user
        self.line(at, "sshd[999]", f"Failed password for {who} from {ip} port {40000 + self.number} ssh2")

    def sudo(self, at: timedelta, target: str, command: str, reason: str = "", tty: str = "pts/0") -> None:
        """Act as another, or be refused."""
        facts = f"{reason}TTY={tty} ; PWD=/home/alice ; USER={target} ; COMMAND={command}"
        self.line(at, "sudo", f"   alice : {facts}")

    def system(
        self,
        at: timedelta,
        *seats: Seat,
        there: tuple[int, ...] = (),
        typed: Optional[Mapping[str, datetime]] = None,
        reason: str = "vanished",
    ) -> None:
        """Look at the system twice, five seconds apart: these are on, and the leaders `there` live."""
        begun = {seat.leader: (seat.begun, seat.start) for seat in seats}
        begun.update({s.leader: (7, s.start) for s in self.store.sessions() if s.leader in there and s.leader})
        for late in (timedelta(0), 5 * SECOND):
            system, now = System(seats, begun, typed or {}), NOON + at + late
            facts = (self.store, "file", system, self.watch, self.look, now, (seats, ()))
            _, self.look = compare(*facts, reason=reason, since=NOON - 60 * DAY)

    def remark(self, at: timedelta, rule: str, facts: Mapping[str, str], until: Optional[datetime] = None) -> None:
        """Let the monitor itself notice something."""
        remark(self.store, self.watch, rule, NOON + at, until, dict(facts), NOON + at)

    def alerts(self) -> list[Alert]:
        """Return all that was told."""
        return [d.message for d in Outbox(self.store).deliveries() if isinstance(d.message, Alert)]

    def found(self, rule: str) -> list[tuple[Alert, Finding]]:
        """Return what a rule found."""
        return [(alert, finding) for alert in self.alerts() for finding in alert.findings if finding.rule == rule]


class Scene(NamedTuple):
    """Where a rule finds something; `judge`: what that needs of the configuration, below `judge:`."""

    play: Callable[[World], None]
    judge: Mapping[str, Any] = {}
    places: Mapping[str, Place] = {}


def _new_user(world: World) -> None:
    world.login(0 * DAY, "bob")


def _new_source(world: World) -> None:
    for day in range(5):
        world.visit(-10 * DAY + day * DAY, ip=(HOME, THIRD, FAR, "203.0.113.99", HOME)[day])
    world.login(0 * DAY, ip=OTHER)


def _new_key(world: World) -> None:
    world.visit(-2 * DAY, key=KEY)
    world.visit(-1 * DAY, key=KEY)
    world.login(0 * DAY, key=ANOTHER)


def _new_method(world: World) -> None:
    for day in range(-6, 0):
        world.visit(day * DAY, key=KEY)
    world.login(0 * DAY)


def _unusual_service(world: World) -> None:
    for day in range(-6, 0):
        world.visit(day * DAY)
    world.line(0 * DAY, "dropbear[2000]", f"Password auth succeeded for 'alice' from {HOME}:43867")


def _root(world: World) -> None:
    world.visit(-1 * DAY, "root")
    world.login(0 * DAY, "root")


def _service_account(world: World) -> None:
    world.visit(-1 * DAY, "www-data")
    world.login(0 * DAY, "www-data")


def _young_account(world: World) -> None:
    world.line(-2 * HOUR, "useradd[900]", "new user: name=eve, UID=1009, GID=1009, home=/home/eve, shell=/bin/bash")
    world.visit(-1 * HOUR, "eve")
    world.login(0 * DAY, "eve")


def _dormant(world: World) -> None:
    world.visit(-40 * DAY)
    world.login(0 * DAY)


def _off_hours(world: World) -> None:
    world.visit(-1 * DAY)
    world.login(10 * HOUR)


def _impossible_travel(world: World) -> None:
    world.visit(-9 * DAY, ip=OTHER)
    world.visit(-1 * HOUR)
    world.login(0 * DAY, ip=OTHER)


def _success_after_failures(world: World) -> None:
    world.visit(-1 * DAY)
    for n in range(-6, -1):
        world.fail(n * MINUTE, "alice" if n % 2 else "bob")
    world.login(0 * DAY)


def _slow_guessing(world: World) -> None:
    world.visit(-1 * DAY)
    for n in range(-10, 0):
        world.fail(n * HOUR - 30 * MINUTE, ip=f"192.0.2.{n % 5}")
    world.login(0 * DAY, ip=OTHER)


def _many_sources(world: World) -> None:
    for day, ip in ((-3, HOME), (-2, OTHER), (-1, THIRD)):
        world.visit(day * DAY, ip=ip)
    for minute, ip in ((-2, HOME), (-1, OTHER), (0, THIRD)):
        world.login(minute * MINUTE, ip=ip)


def _not_allowed(world: World) -> None:
    world.visit(-1 * DAY)
    world.login(0 * DAY)


def _forwarded(world: World) -> None:
    world.visit(-1 * DAY, ip="127.0.0.1")
    world.login(0 * DAY, ip="127.0.0.1")


def _failed_source(world: World) -> None:
    for n in range(10):
        world.fail(n * 10 * SECOND, ("root", "alice", "bob")[n % 3], OTHER)


def _failed_user(world: World) -> None:
    for n in range(20):
        world.fail(n * 10 * SECOND, "alice", f"192.0.2.{n % 5}")


def _enumeration(world: World) -> None:
    for n in range(5):
        world.fail(n * 10 * SECOND, f"guess{n}", OTHER, invalid=True)


def _spraying(world: World) -> None:
    for n, user in enumerate(("root", "alice", "bob", "carol", "dave")):
        world.fail(n * 10 * SECOND, user, OTHER)


def _abnormal_end(world: World) -> None:
    world.visit(-1 * DAY)
    world.close(0 * DAY, world.login(-1 * HOUR))


def _ended_unobserved(world: World) -> None:
    world.visit(-1 * DAY)
    world.login(-1 * HOUR)
    world.system(0 * DAY, reason=UNOBSERVED)


def _too_long(world: World) -> None:
    world.visit(-5 * DAY)
    leader = world.login(-4 * DAY)
    world.system(0 * DAY, there=(leader,))


def _idle(world: World) -> None:
    world.visit(-2 * DAY)
    leader = world.login(-15 * HOUR)
    seat = Seat(leader, 7, NOON - 15 * HOUR, "alice", "sshd", HOME, leader, "pts/0")
    world.system(0 * DAY, seat, there=(leader,), typed={"pts/0": NOON - 13 * HOUR})


def _short_sessions(world: World) -> None:
    for day in range(-7, 0):
        world.visit(day * DAY)
    for n in range(5):
        world.leave(n * MINUTE + 2 * SECOND, world.login(n * MINUTE))


def _mass_end(world: World) -> None:
    users = ("alice", "bob", "carol", "dave", "erin")
    leaders = [(world.login((n - 60) * MINUTE, user, f"203.0.113.{n + 1}"), user) for n, user in enumerate(users)]
    for n, (leader, user) in enumerate(leaders):
        world.close(n * 2 * SECOND, leader, user)


def _first_privilege(world: World) -> None:
    world.sudo(-1 * DAY, "root", "/usr/bin/id")
    world.sudo(0 * DAY, "postgres", "/usr/bin/psql")


def _root_shell(world: World) -> None:
    world.sudo(-1 * DAY, "root", "/usr/bin/id")
    world.sudo(0 * DAY, "root", "/bin/bash")


def _privilege_failed(world: World) -> None:
    for n in range(3):
        world.sudo(n * MINUTE, "root", "/bin/bash", "1 incorrect password attempt ; ")


def _log_silent(world: World) -> None:
    world.visit(-1 * DAY)
    world.system(0 * DAY, Seat(4000, 7, NOON - MINUTE, "alice", "sshd", HOME, tty="pts/0"))


def _log_edited(world: World) -> None:
    world.remark(0 * DAY, "log-edited", {"how": "emptied", "what": "/var/log/auth.log"})


def _unobserved(world: World) -> None:
    world.remark(-2 * HOUR, "unobserved", {}, NOON)


SCENES: Mapping[str, Scene] = {
    "new-user": Scene(_new_user),
    "new-source": Scene(_new_source),
    "new-key": Scene(_new_key),
    "new-method": Scene(_new_method),
    "unusual-service": Scene(_unusual_service),
    "root": Scene(_root),
    "service-account": Scene(_service_account),
    "young-account": Scene(_young_account),
    "dormant": Scene(_dormant),
    "off-hours": Scene(_off_hours, {"hours": {"ops-*": "00:00-24:00", "*": "mon-fri 08:00-18:00"}}),
    "impossible-travel": Scene(_impossible_travel, places=PLACES),
    "success-after-failures": Scene(_success_after_failures),
    "slow-guessing": Scene(_slow_guessing),
    "many-sources": Scene(_many_sources),
    "not-allowed": Scene(_not_allowed, {"allow": {"alice": ["10.0.0.0/8", "local"]}}),
    "forwarded": Scene(_forwarded),
    "failed-source": Scene(_failed_source),
    "failed-user": Scene(_failed_user),
    "enumeration": Scene(_enumeration),
    "spraying": Scene(_spraying),
    "abnormal-end": Scene(_abnormal_end),
    "ended-unobserved": Scene(_ended_unobserved),
    "too-long": Scene(_too_long),
    "idle": Scene(_idle),
    "short-sessions": Scene(_short_sessions),
    "mass-end": Scene(_mass_end),
    "first-privilege": Scene(_first_privilege),
    "root-shell": Scene(_root_shell),
    "privilege-failed": Scene(_privilege_failed),
    "log-silent": Scene(_log_silent),
    "log-edited": Scene(_log_edited),
    "unobserved": Scene(_unobserved),
}


def play(rule: str, setting: object = None, silence: str = "") -> list[tuple[Alert, Finding]]:
    """Play a rule's scene, with a setting of the rule's own and a line below `silence:`; return what the rule found."""
    scene = SCENES[rule]
    rules = {} if setting is None else {"rules": {rule: setting}}
    text = yaml.safe_dump({"judge": {**scene.judge, **rules}}, allow_unicode=True)
    world = World(text + (f"silence:\n{silence}\n" if silence else ""), scene.places)
    scene.play(world)
    return world.found(rule)


def row(rule: str) -> dict[str, Any]:
    """Return what is promised of a rule: the last that it finds, in words and for programs, and the whole message."""
    alert, finding = play(rule)[-1]
    return {
        "rule": rule,
        "kind": alert.event.kind,
        "finding": finding_json(finding),
        "zh": sentence(finding, ZH),
        "en": sentence(finding, EN),
        "message_zh": plain_text(alert, ZH).splitlines(),
        "message_en": plain_text(alert, EN).splitlines(),
    }


if __name__ == "__main__":
    rows = "".join(json.dumps(row(rule), ensure_ascii=False) + "\n" for rule in SCENES)
    GOLDEN.write_text(rows, encoding="utf-8")
