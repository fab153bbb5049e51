"""A made-up life of one server, the same for the same seed: four ordinary weeks, then a month with 60 incidents.

A judge of what is abnormal is measured with it: it must find every incident, and little else. So ordinary life is not
clean: people mistype passwords, close their laptops, travel, change addresses, and strangers try to get in all the
time. But nothing ordinary breaks a rule, and each incident breaks the one that it is named by.

The holidays are those of China's October. Every address is one for documentation or for measurements, but for those of
the strangers; every number of a network is one for documentation.
"""

from __future__ import annotations

import base64
import ipaddress
import random
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from usm.core.model import CLOSED, DISCONNECTED, RESET, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ZONE = timezone(timedelta(hours=8))
START = datetime(2026, 8, 24, tzinfo=ZONE)  # a Monday
PAST, MONTH = 28, 30  # days
MIDDLE, END = START + timedelta(days=PAST), START + timedelta(days=PAST + MONTH)
HOLIDAYS = tuple(date(2026, 10, day) for day in range(1, 8))
MAKE_UP = (date(2026, 10, 10), date(2026, 10, 17))  # Saturdays on which people work instead
HOST = "web01"
OFFICE, VPN = "203.0.113.0/24", "198.51.100.0/24"
BUILDERS = ("192.0.2.0/24", "198.18.0.0/24")  # from where automation comes
JUMP = "203.0.113.10"
_SECOND, _MINUTE, _HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
_APART = timedelta(hours=60)  # between two incidents of one user: what one of them leaves behind is not the other's
_FAR = timedelta(hours=30)  # nobody who was at the other end of the world is at home before
_KEYS, _PASSWORD = "publickey", "password"


class Place(NamedTuple):
    """Where a network is."""

    country: str
    asn: int
    latitude: float
    longitude: float


class Account(NamedTuple):
    """What the system's database says of a user."""

    uid: int
    shell: str


class Incident(NamedTuple):
    """Something to be found: a finding of this rule (and this user, if there is one) at a time within is the hit."""

    rule: str
    user: Optional[str]
    time: datetime
    until: datetime
    note: str


class Step(NamedTuple):
    """Something that happens.

    `line`: the log tells it. `gap`: the monitor is not running from `time` to `until`, the log goes on. `silent`: from
    `time` to `until` the system says that `user` is on, and no line ever does. `idle`: from `time` to `until` nothing
    is typed on the open session with this leader and terminal. `edited`: the log was cut behind the monitor's back.
    """

    time: datetime
    kind: str
    line: bytes = b""
    user: str = ""
    tty: str = ""
    leader: int = 0
    source_ip: str = ""
    until: Optional[datetime] = None


class Truth(NamedTuple):
    """A session that the log tells of; one that is open at the end of the month has no end and no reason."""

    user: str
    source_ip: Optional[str]
    start: datetime
    end: Optional[datetime]
    reason: str


class Life(NamedTuple):
    """`start`: of the past. `also`: to the index of an incident the further rules that are rightly found with it."""

    past: tuple[Step, ...]
    month: tuple[Step, ...]
    incidents: tuple[Incident, ...]
    also: Mapping[int, frozenset[str]]
    places: Mapping[str, Place]
    accounts: Mapping[str, Account]
    config: Mapping[str, Any]
    start: datetime
    sessions: tuple[Truth, ...]


class _Person(NamedTuple):
    """`nets`: where from, the usual one first. `address`: within that one. `town`: where home is."""

    name: str
    uid: int
    role: str
    nets: tuple[str, ...]
    address: str
    key: str
    method: str = _KEYS


class _Span(NamedTuple):
    start: datetime
    end: datetime

    def meets(self, start: datetime, end: datetime) -> bool:
        return self.start <= end and start <= self.end


def life(seed: int) -> Life:
    """Live it."""
    world = _World(random.Random(seed))
    _Incidents(world).plant_all()  # first, so that ordinary life keeps out of their way
    _Days(world).live()
    return world.told()


def works(day: date) -> bool:
    """Tell whether the office is open."""
    return day in MAKE_UP or (day.weekday() < 5 and day not in HOLIDAYS)


# Who there is: 30 users with a life of their own.
_DESKS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "zoe", "payroll")
_HOMES = {
    "kim": "Shanghai",
    "leo": "Suzhou",
    "mia": "Shanghai",
    "nina": "Beijing",
    "oscar": "Chengdu",
    "paul": "Hangzhou",
    "quinn": "Shanghai",
    "rita": "Shanghai",
    "sam": "Suzhou",
}
_ROLES = {
    **dict.fromkeys(_DESKS, "desk"),
    **dict.fromkeys(_HOMES, "home"),
    "tom": "traveller",
    "uma": "traveller",
    "deploy": "deploy",
    "backup": "backup",
    "ops-a": "night",
    "ops-b": "night",
    "victor": "desk",
    "wendy": "admin",
    "xavier": "admin",
    "yuri": "console",
    "root": "root",
}
_COMES_IN = {"kim": 1, "leo": 3, "mia": 2, "quinn": 4, "rita": 0, "sam": 2}  # on which day of the week, now and then
_OVER_VPN = ("kim", "mia", "oscar")
_SATURDAYS = ("leo", "quinn", "nina")
_SUDOERS = ("alice", "bob", "leo", "kim", "paul", "ops-a", "ops-b", "wendy", "xavier")
# And who turns up in incidents only: uid, shell.
_STRANGERS = {
    "yann": Account(1040, "/bin/bash"),
    "zhou": Account(1041, "/bin/bash"),
    "www-data": Account(33, "/usr/sbin/nologin"),
    "backupd": Account(999, "/bin/bash"),
    "intern": Account(1050, "/bin/bash"),
    "vendor": Account(1051, "/bin/bash"),
}
_DORMANT = {"consult": Account(1060, "/bin/bash"), "auditor": Account(1061, "/bin/bash")}
_TOWNS = {
    "Shanghai": ("CN", 31.23, 121.47),
    "Suzhou": ("CN", 31.30, 120.58),
    "Hangzhou": ("CN", 30.27, 120.15),
    "Beijing": ("CN", 39.90, 116.40),
    "Chengdu": ("CN", 30.57, 104.07),
    "Guangzhou": ("CN", 23.13, 113.26),
    "Xi'an": ("CN", 34.34, 108.94),
    "Wuhan": ("CN", 30.59, 114.30),
    "Singapore": ("SG", 1.35, 103.82),
    "Tokyo": ("JP", 35.68, 139.69),
    "Amsterdam": ("NL", 52.37, 4.90),
    "Frankfurt": ("DE", 50.11, 8.68),
    "San Francisco": ("US", 37.77, -122.42),
    "London": ("GB", 51.51, -0.13),
    "Sao Paulo": ("BR", -23.55, -46.63),
    "Mumbai": ("IN", 19.08, 72.88),
    "Warsaw": ("PL", 52.23, 21.01),
    "Sydney": ("AU", -33.87, 151.21),
}
_PROVIDERS = (64500, 64501, 64502)  # of the country, for homes and hotels
_TRIPS = {  # a new network in each; abroad only where the traveller has been in the past
    "tom": ("Beijing", "Singapore", "Chengdu", "Guangzhou", "Singapore", "Xi'an", "Wuhan", "Beijing"),
    "uma": ("Tokyo", "Wuhan", "Guangzhou", "Tokyo", "Chengdu", "Beijing", "Xi'an", "Wuhan"),
}
_COMMANDS = (
    "/usr/bin/systemctl status nginx",
    "/usr/bin/systemctl restart app",
    "/usr/bin/journalctl -u app -n 200",
    "/usr/bin/tail -n 100 /var/log/nginx/error.log",
    "/usr/bin/apt-get update",
    "/usr/bin/docker ps",
    "/usr/sbin/nginx -t",
)
_NAMES = (
    "admin administrator test test1 user user1 ubuntu debian centos oracle postgres mysql git gitlab jenkins pi "
    "ftpuser ftp guest support nagios zabbix tomcat hadoop spark elastic kafka redis mongo minecraft steam teamspeak "
    "dev developer student demo sales info web www webmaster nginx apache vagrant ansible docker k8s solana ethereum "
    "node validator odoo erp crm backup1 server system operator sysadmin vpn vnc"
)
_GUESSES = tuple(_NAMES.split())
_FIRST_OCTETS = (5, 23, 37, 45, 61, 79, 85, 91, 103, 112, 141, 159, 167, 178, 185, 193, 212, 218)
_GOODBYES = {
    DISCONNECTED: (
        "Received disconnect from {ip} port {port}:11: disconnected by user",
        "Disconnected from user {user} {ip} port {port}",
    ),
    TIMEOUT: ("Timeout, client not responding from user {user} {ip} port {port}",),
    RESET: ("Read error from remote host {ip} port {port}: Connection reset by peer",),
    CLOSED: (),
}


class _Log:
    """Writes the lines of rsyslog, sshd, PAM, sudo and su, as Debian 12 has them, and the truth about them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.steps: list[Step] = []
        self.sessions: list[Truth] = []
        self._pids: set[int] = set()
        self._ports: set[tuple[str, int]] = set()

    def pid(self, time: datetime) -> int:
        """Return the next free one: they grow with the time, and none comes twice."""
        number = 2000 + int((time - START).total_seconds() / 2)
        while number in self._pids:
            number += 1
        self._pids.add(number)
        return number

    def line(self, time: datetime, tag: str, text: str) -> None:
        stamp = time.isoformat(timespec="microseconds")
        self.steps.append(Step(time, "line", f"{stamp} {HOST} {tag}: {text}\n".encode()))

    def _after(self, time: datetime) -> datetime:
        return time + timedelta(microseconds=self.rng.randint(200, 3000))

    def _port(self, ip: str) -> int:
        port = self.rng.randint(32768, 60999)
        while (ip, port) in self._ports:
            port = self.rng.randint(32768, 60999)
        self._ports.add((ip, port))
        return port

    def session(self, who: _Person, ip: str, start: datetime, end: datetime, reason: str) -> int:
        """Come and go through sshd; return the leader's pid."""
        leader = self.pid(start)
        child = leader if who.name == "root" else self.pid(start)
        facts = {"user": who.name, "ip": ip, "port": self._port(ip)}
        key = f": ED25519 {who.key}" if who.method == _KEYS else ""
        accepted = "Accepted {method} for {user} from {ip} port {port} ssh2{key}"
        self.line(start, f"sshd[{leader}]", accepted.format(method=who.method, key=key, **facts))
        last = self._open("sshd", "sshd", who, leader, start, "")
        self.line(last, "systemd-logind[612]", f"New session {leader} of user {who.name}.")
        time = end
        for text in _GOODBYES[reason]:
            self.line(time, f"sshd[{child}]", text.format(**facts))
            time = self._after(time)
        self._close("sshd", "sshd", who, leader, time)
        time = self._after(time)
        self.line(time, "systemd-logind[612]", f"Session {leader} logged out. Waiting for processes to exit.")
        self.line(self._after(time), "systemd-logind[612]", f"Removed session {leader}.")
        self._know(Truth(who.name, ip, start, end, reason))
        return leader

    def seat(self, service: str, who: _Person, start: datetime, end: datetime) -> None:
        """Come and go at the console, or by FTP: the end is PAM's, and a normal one."""
        pid = self.pid(start)
        self._open(service, service, who, pid, start, "LOGIN" if service == "login" else "")
        opened = self.steps[-1].time
        self._close(service, service, who, pid, end)
        self._know(Truth(who.name, None, opened, end, DISCONNECTED))

    def _open(self, tag: str, service: str, who: _Person, pid: int, start: datetime, by: str) -> datetime:
        time = self._after(start)
        text = f"session opened for user {who.name}(uid={who.uid}) by {by}(uid=0)"
        self.line(time, f"{tag}[{pid}]", f"pam_unix({service}:session): {text}")
        return self._after(time)

    def _close(self, tag: str, service: str, who: _Person, pid: int, end: datetime) -> None:
        self.line(end, f"{tag}[{pid}]", f"pam_unix({service}:session): session closed for user {who.name}")

    def _know(self, truth: Truth) -> None:
        if truth.end is not None and truth.end >= END:
            truth = truth._replace(end=None, reason="")
        self.sessions.append(truth)

    def refused(self, time: datetime, user: str, ip: str, tries: int = 1, *, invalid: bool = False) -> None:
        """One connection with so many wrong passwords."""
        tag, port = f"sshd[{self.pid(time)}]", self._port(ip)
        named, known = (f"invalid user {user}", "") if invalid else (user, f" user={user}")
        if invalid:
            self.line(time, tag, f"Invalid user {user} from {ip} port {port}")
            time = self._after(time)
            self.line(time, tag, "pam_unix(sshd:auth): check pass; user unknown")
            time = self._after(time)
        failure = "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser="
        self.line(time, tag, f"{failure} rhost={ip} {known}")
        for _ in range(tries):
            time += timedelta(seconds=self.rng.uniform(1.5, 2.5))
            self.line(time, tag, f"Failed password for {named} from {ip} port {port} ssh2")
        kind = named if invalid else f"authenticating user {user}"
        self.line(time + _SECOND / 2, tag, f"Connection closed by {kind} {ip} port {port} [preauth]")

    def sudo(self, time: datetime, who: _Person, command: str, *, reason: str = "", length: float = 0.05) -> None:
        """Run one command as root, or be refused."""
        tty = "" if who.role in ("deploy", "backup") else f"TTY={_tty(who)} ; "
        where = f"{who.name:>8} : {reason}{tty}PWD=/home/{who.name} ; USER=root ; COMMAND={command}"
        by = f"{who.name}(uid={who.uid})"
        if reason:
            self._mistyped(time, "sudo", who)
            self.line(time + _SECOND * self.rng.uniform(4, 9), "sudo", where)
            return
        service = "sudo-i" if command == "/bin/bash" else "sudo"
        self.line(time, "sudo", where)
        opened = self._after(time)
        self.line(opened, "sudo", f"pam_unix({service}:session): session opened for user root(uid=0) by {by}")
        closed = opened + _SECOND * length
        self.line(closed, "sudo", f"pam_unix({service}:session): session closed for user root")

    def su(self, time: datetime, who: _Person, length: float) -> None:
        """Be root in a shell for so many seconds."""
        tag, by = f"su[{self.pid(time)}]", f"{who.name}(uid={who.uid})"
        self.line(time, tag, f"(to root) {who.name} on {_tty(who)}")
        opened = self._after(time)
        self.line(opened, tag, f"pam_unix(su-l:session): session opened for user root(uid=0) by {by}")
        self.line(opened + _SECOND * length, tag, "pam_unix(su-l:session): session closed for user root")

    def su_refused(self, time: datetime, who: _Person) -> None:
        """Mistype root's password."""
        self._mistyped(time, "su", who)
        self.line(self._after(time), f"su[{self.pid(time)}]", f"FAILED SU (to root) {who.name} on {_tty(who)}")

    def _mistyped(self, time: datetime, service: str, who: _Person) -> None:
        text = f"pam_unix({service}:auth): authentication failure; logname={who.name} uid={who.uid} euid=0"
        about = "root" if service == "su" else who.name
        self.line(time, service, f"{text} tty=/dev/{_tty(who)} ruser={who.name} rhost=  user={about}")

    def added(self, time: datetime, user: str, uid: int) -> None:
        """Make an account."""
        tag, ids = f"useradd[{self.pid(time)}]", f"UID={uid}, GID={uid}"
        self.line(time, tag, f"new group: name={user}, GID={uid}")
        text = f"new user: name={user}, {ids}, home=/home/{user}, shell=/bin/bash, from=/dev/pts/1"
        self.line(self._after(time), tag, text)


class _World:
    """The server, its users, the networks around it, and what must not be disturbed."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.log = _Log(rng)
        self.places: dict[str, Place] = {}
        self.known: dict[str, Account] = {}
        self.planted: list[tuple[Incident, frozenset[str]]] = []
        self.quiet: list[_Span] = []  # nothing ordinary begins or ends here
        self.away: dict[str, list[_Span]] = {}  # here the user does nothing ordinary
        self._open: dict[str, list[tuple[_Span, str]]] = {}
        self._lost: list[datetime] = []
        self._made = 0
        for net, asn, town in (
            (OFFICE, 64496, "Shanghai"),
            (VPN, 64497, "Amsterdam"),
            (BUILDERS[0], 64498, "Hangzhou"),
            (BUILDERS[1], 64499, "Hangzhou"),
        ):
            self.places[net] = _place(town, asn)
        self.people = {name: self._person(name, role) for name, role in _ROLES.items()}
        for name, account in (*_STRANGERS.items(), *_DORMANT.items()):
            self.known[name] = account
            self.people[name] = self._someone(name, account.uid, "stranger", (OFFICE,))

    def network(self, town: str, asn: int, *, six: bool = False) -> str:
        """Make a network that nobody has seen."""
        self._made += 1
        first, second = divmod(self._made, 256)
        net = f"2001:db8:{self._made:x}::/48" if six else f"198.{18 + first}.{second}.0/24"
        self.places[net] = _place(town, asn)
        return net

    def address(self, net: str) -> str:
        """Return one of a network's addresses."""
        parsed = ipaddress.ip_network(net)
        return str(parsed[self.rng.getrandbits(64) | 1 << 64 if parsed.version == 6 else self.rng.randint(20, 250)])

    def fingerprint(self) -> str:
        """Return that of a new key."""
        return "SHA256:" + base64.b64encode(self.rng.randbytes(32)).decode("ascii").rstrip("=")

    def stranger(self) -> str:
        """Return an address from somewhere in the Internet."""
        rng = self.rng
        return f"{rng.choice(_FIRST_OCTETS)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"

    def _person(self, name: str, role: str) -> _Person:
        uid = 0 if name == "root" else 1001 + len(self.known)
        self.known[name] = Account(uid, "/bin/bash")
        if name in ("tom", "uma"):
            nets: tuple[str, ...] = (self.network("Shanghai", _PROVIDERS[uid % 3]),)
        elif role == "home":
            asn, six = _PROVIDERS[uid % 3], name in ("mia", "paul", "quinn")
            nets = tuple(self.network(_HOMES[name], asn, six=six) for _ in range(2))
        else:
            nets = BUILDERS if role in ("deploy", "backup") else (OFFICE,)
        who = self._someone(name, uid, role, nets)
        return who._replace(
            address=JUMP if name == "root" else who.address, method=_PASSWORD if name == "victor" else _KEYS
        )

    def _someone(self, name: str, uid: int, role: str, nets: tuple[str, ...]) -> _Person:
        return _Person(name, uid, role, nets, self.address(nets[0]), self.fingerprint())

    def stay(self, who: _Person, ip: str, start: datetime, end: datetime, reason: str = DISCONNECTED) -> int:
        """Be on, whatever else is; return the leader's pid."""
        self._open.setdefault(who.name, []).append((_Span(start, end), _network_of(ip)))
        return self.log.session(who, ip, start, end, reason)

    def ordinary(self, who: _Person, ip: str, start: datetime, end: datetime, reason: str = DISCONNECTED) -> bool:
        """Be on, if that disturbs nothing and makes no more than two networks at once."""
        if end <= start + _SECOND or not (self.calm(who, start, end) and self._near(who, ip, start, end)):
            return False
        self.stay(who, ip, start, end, reason)
        return True

    def calm(self, who: _Person, start: datetime, end: datetime) -> bool:
        """Tell whether something ordinary may begin and end so."""
        away = any(span.meets(start, end) for span in self.away.get(who.name, ()))
        return not away and start < END and not self.disturbs(start) and not self.disturbs(end)

    def disturbs(self, time: datetime) -> bool:
        """Tell whether an incident is to be alone at this time."""
        return any(span.start <= time <= span.end for span in self.quiet)

    def _near(self, who: _Person, ip: str, start: datetime, end: datetime) -> bool:
        nets = {net for span, net in self._open.get(who.name, ()) if span.meets(start, end)}
        return len(nets | {_network_of(ip)}) <= 2

    def scattered(self, time: datetime) -> bool:
        """Tell whether a connection may be lost: not together with others."""
        if any(abs(time - lost) < 10 * _MINUTE for lost in self._lost):
            return False
        self._lost.append(time)
        return True

    def told(self) -> Life:
        """Put everything into its order."""
        steps = sorted((step for step in self.log.steps if step.time < END), key=lambda step: step.time)
        planted = sorted(self.planted, key=lambda pair: pair[0].time)
        return Life(
            tuple(step for step in steps if step.time < MIDDLE),
            tuple(step for step in steps if step.time >= MIDDLE),
            tuple(incident for incident, _ in planted),
            {at: also for at, (_, also) in enumerate(planted) if also},
            self.places,
            self.known,
            _config(),
            START,
            tuple(sorted(self.log.sessions, key=lambda session: session.start)),
        )


class _Incidents:
    """The 60, each at a time of its own."""

    def __init__(self, world: _World) -> None:
        self.world, self.rng, self.log = world, world.rng, world.log
        self._taken: dict[str, list[_Span]] = {}
        self._asn = 65536

    def plant_all(self) -> None:
        """Plant what takes long first, as it is harder to place."""
        for name in _DORMANT:
            self._was_here(name)
        for part in (self._long, self._mass, self._guessing, self._logins, self._foreign):
            part()
        for part in (self._attacks, self._ends, self._privileges, self._system):
            part()

    def _free(
        self,
        users: Sequence[str] = (),
        before: timedelta = _HOUR,
        after: timedelta = _HOUR,
        *,
        days: Optional[Sequence[int]] = None,
        hours: tuple[float, float] = (9.5, 16.5),
    ) -> datetime:
        """Return a time with nothing planted near it, nor near anything else of these users."""
        for _ in range(5000):
            time = _at(self.rng, self.rng.choice(days or _WORKDAYS), self.rng.uniform(*hours))
            span, alone = _Span(time - before, time + after), _Span(time - 10 * _MINUTE, time + 10 * _MINUTE)
            near = (
                old
                for user in users
                for old in self._taken.get(user, ())
                if old.meets(span.start - _APART, span.end + _APART)
            )
            if span.end < END and next(near, None) is None and not any(q.meets(*alone) for q in self.world.quiet):
                for user in users:
                    self._taken.setdefault(user, []).append(span)
                return time
        raise AssertionError(f"no room for {users}")

    def _plant(
        self,
        rule: str,
        user: Optional[str],
        time: datetime,
        until: datetime,
        note: str,
        also: Sequence[str] = (),
    ) -> None:
        self.world.planted.append((Incident(rule, user, time, until, note), frozenset(also)))
        self._hush(time, until if until - time <= 20 * _MINUTE else time)
        self._hush(until, until)

    def _hush(self, start: datetime, end: datetime) -> None:
        self.world.quiet.append(_Span(start - _MINUTE, end + _MINUTE))

    def _away(self, user: str, start: datetime, end: datetime) -> None:
        self.world.away.setdefault(user, []).append(_Span(start, end))

    def _visit(self, who: _Person, ip: str, start: datetime, end: datetime, reason: str = DISCONNECTED) -> int:
        self._hush(start, start)
        self._hush(end, end)
        return self.world.stay(who, ip, start, end, reason)

    def _around(self, who: _Person, ip: str, start: datetime, end: datetime) -> int:
        """Visit so long or a little longer: what an incident needs besides must not come into another one's minute."""
        return self._visit(who, ip, self._aside(start, -_MINUTE), self._aside(end, _MINUTE))

    def _aside(self, time: datetime, step: timedelta) -> datetime:
        while self.world.disturbs(time):
            time += step
        return time

    def _elsewhere(self, town: str) -> str:
        """Return an address in a network that nobody has seen, of a provider that nobody has seen."""
        self._asn += 1
        return self.world.address(self.world.network(town, self._asn))

    def _login(
        self,
        rule: str,
        who: _Person,
        note: str,
        ip: str = "",
        *,
        also: Sequence[str] = (),
        away: timedelta = 3 * _HOUR,
        time: Optional[datetime] = None,
        days: Optional[Sequence[int]] = None,
        hours: tuple[float, float] = (9.5, 16.5),
    ) -> None:
        """Plant a login: nothing ordinary of the user is near it."""
        time = self._free((who.name,), days=days, hours=hours) if time is None else time
        self._away(who.name, time - away, time + away)
        self._plant(rule, who.name, time, time + _MINUTE, note, also)
        end = self._aside(time + _MINUTE * self.rng.uniform(5, 40), _MINUTE)
        self._visit(who, ip or who.address, time, end)

    def _was_here(self, name: str) -> None:
        """Log in on the first days only."""
        for day in range(3):
            start = _at(self.rng, day, self.rng.uniform(9, 16))
            who = self.world.people[name]
            self.world.stay(who, who.address, start, start + _MINUTE * self.rng.uniform(10, 60))

    def _long(self) -> None:
        people = self.world.people
        for name in ("grace", "nina"):
            length = timedelta(days=3, hours=self.rng.uniform(4, 9))
            start = self._free((name,), after=length)
            self._visit(people[name], people[name].address, start, start + length)
            note = "nobody closes this session"
            self._plant("too-long", name, start + timedelta(days=3), start + length + _MINUTE, note)
        for name in ("heidi", "sam"):
            who, length = people[name], timedelta(hours=self.rng.uniform(13.2, 15))
            since = self._free((name,), after=length + _HOUR, hours=(17.0, 18.5))
            leader = self._around(who, who.address, since - 2 * _HOUR, since + length + 10 * _MINUTE)
            until = since + length
            self.log.steps.append(Step(since, "idle", b"", name, _tty(who), leader, who.address, until))
            self._plant("idle", name, since, until, "left on over night, nothing typed")

    def _mass(self) -> None:
        users = ("alice", "carol", "dave", "erin", "heidi", "zoe")
        time = self._free(users, before=3 * _HOUR, hours=(12.5, 16))
        for at, name in enumerate((*users, "alice")):
            who, start = self.world.people[name], time - _HOUR - _MINUTE * self.rng.uniform(5, 50)
            start = self._aside(start, -_MINUTE)
            end = time + _SECOND * (0.1 + 0.4 * at)
            self._visit(who, who.address, start, end, CLOSED)
        self._plant("mass-end", None, time, time + _MINUTE, "mass", ("abnormal-end",))

    def _guessing(self) -> None:
        world = self.world
        for name, town, more in (("victor", "Warsaw", []), ("paul", "Mumbai", ["new-method"])):
            who = world.people[name]._replace(method=_PASSWORD)
            guests = [world.stranger() for _ in range(6)]
            time = self._free((name,), before=23 * _HOUR, days=_WORKDAYS[2:])
            for at in range(16):
                when = time - timedelta(minutes=82 * (16 - at) + self.rng.uniform(0, 20))
                when = self._aside(when, _MINUTE)
                self.log.refused(when, name, guests[at % 6])
                self._hush(when, when)
            note, also = "one try an hour from six addresses, then in", ["new-source", *more]
            self._login("slow-guessing", who, note, self._elsewhere(town), also=also, away=_FAR, time=time)
        for name, ip, more, away in (
            ("victor", "", [], 3 * _HOUR),
            ("oscar", self._elsewhere("London"), ["new-source", "new-method"], _FAR),
        ):
            who = world.people[name]._replace(method=_PASSWORD)
            time = self._free((name,))
            for at in range(7):
                self.log.refused(time - _SECOND * (300 - 40 * at), name, ip or who.address)
            self._hush(time - 6 * _MINUTE, time)
            note = "seven wrong passwords, then the right one"
            self._login("success-after-failures", who, note, ip, also=more, away=away, time=time)

    def _logins(self) -> None:
        people, world = self.world.people, self.world
        home = world.address(world.network("Shanghai", _PROVIDERS[0]))
        self._login("new-user", people["yann"], "never seen, in the office")
        self._login("new-user", people["zhou"], "never seen, at home", home)
        for name in ("bob", "quinn"):
            self._login("new-key", people[name]._replace(key=world.fingerprint()), "from the usual place")
        for name in ("dave", "rita"):
            self._login("new-method", people[name]._replace(method=_PASSWORD), "a password where it was a key")
        for name in ("www-data", "backupd"):
            self._login("service-account", people[name], "an account of a service", also=("new-user",))
        for name in ("intern", "vendor"):
            self._young(people[name])
        for name in _DORMANT:
            late = [day for day in _WORKDAYS if day > 40]
            self._login("dormant", people[name], "only seen in the first three days", days=late)
        for name, days, hours in (
            ("erin", [day for day in _WORKDAYS if _date(day).weekday() < 4], (2.8, 3.3)),
            ("zoe", [day for day in _MONTH_DAYS if _date(day) in HOLIDAYS[2:6] and _date(day).weekday() < 5], (9, 17)),
            ("heidi", [day for day in _MONTH_DAYS if _date(day).weekday() == 6 and day < 56], (10, 16)),
        ):
            self._login("off-hours", people[name], "from the usual place", days=days, hours=hours)
        for name, ip in (("frank", "127.0.0.1"), ("wendy", "::1")):
            self._login("forwarded", people[name], "through a forwarded port", ip)
        for name, service, note in (("victor", "vsftpd", "by FTP"), ("carol", "login", "at the console")):
            time = self._free((name,))
            self._away(name, time - 2 * _HOUR, time + 2 * _HOUR)
            self._plant("unusual-service", name, time, time + _MINUTE, note)
            self.log.seat(service, people[name], time, time + 20 * _MINUTE)

    def _young(self, who: _Person) -> None:
        wendy = self.world.people["wendy"]
        time = self._free((who.name, "wendy"), before=4 * _HOUR, hours=(12, 16.5))
        made = self._aside(time - timedelta(hours=self.rng.uniform(2, 3.5)), -_MINUTE)
        self._around(wendy, wendy.address, made - 5 * _MINUTE, made + 10 * _MINUTE)
        self.log.sudo(made, wendy, f"/usr/sbin/useradd -m -u {who.uid} -s /bin/bash {who.name}")
        self.log.added(made + _SECOND * 0.02, who.name, who.uid)
        self._login("young-account", who, "made a few hours ago", also=("new-user",), time=time)

    def _foreign(self) -> None:
        people, world = self.world.people, self.world
        far: dict[str, Any] = {"away": _FAR, "also": ("new-source",)}
        for name, town in (("alice", "Sao Paulo"), ("leo", "Frankfurt")):
            note = f"from {town}, never seen"
            self._login("new-source", people[name], note, self._elsewhere(town), away=_FAR)
        for town in ("London", "Beijing"):
            self._login("root", people["root"], f"not from the jump host, but {town}", self._elsewhere(town), **far)
        for name, town in (("kim", "Frankfurt"), ("tom", "San Francisco")):
            who, ip = people[name], self._elsewhere(town)
            time = self._free((name,), before=2 * _HOUR)
            self._around(who, who.address, time - 40 * _MINUTE, time - 6 * _MINUTE)
            self._login("impossible-travel", who, f"Shanghai, 40 minutes later {town}", ip, time=time, **far)
        self._login("not-allowed", people["payroll"], "from abroad", self._elsewhere("Warsaw"), **far)
        other = self._elsewhere("Hangzhou")
        self._login("not-allowed", people["backup"], "from another cloud", other, also=("new-source",))
        for name in ("rita", "mia"):
            who = people[name]
            time = self._free((name,), before=2 * _HOUR, after=3 * _HOUR)
            self._away(name, time - 14 * _HOUR, time + 14 * _HOUR)
            for net, ago in zip(who.nets, (70, 30)):
                self._around(who, world.address(net), time - ago * _MINUTE, time + (60 + ago) * _MINUTE)
            note = "both networks at home, and the office"
            self._login("many-sources", who, note, world.address(OFFICE), time=time)

    def _attacks(self) -> None:
        world, rng, refuse = self.world, self.rng, self.log.refused
        anytime: dict[str, Any] = {"days": _MONTH_DAYS, "hours": (0.5, 23)}
        for names in (("root",), ("bob", "alice")):
            time, ip = self._free(names, **anytime), world.stranger()
            for at in range(30):
                refuse(time + _SECOND * (1 + 9.3 * at), names[at % len(names)], ip)
            self._plant("failed-source", None, time, time + 6 * _MINUTE, "30 from one address", ("failed-user",))
        for name in ("frank", "xavier"):
            time, guests = self._free((name,), **anytime), [world.stranger() for _ in range(25)]
            for at in range(30):
                refuse(time + _SECOND * (1 + 15 * at), name, guests[at % 25])
            self._plant("failed-user", name, time, time + 9 * _MINUTE, "30 from 25 addresses")
        for _ in range(2):
            time, ip = self._free(**anytime), world.stranger()
            for at, guess in enumerate(rng.sample(_GUESSES, 12)):
                refuse(time + _SECOND * (1 + 22 * at), guess, ip, invalid=True)
            self._plant("enumeration", None, time, time + 6 * _MINUTE, "12 names that do not exist")
        for _ in range(2):
            time, ip = self._free(**anytime), world.stranger()
            for at, name in enumerate(rng.sample(sorted({*_DESKS, *_HOMES}), 8)):
                refuse(time + _SECOND * (1 + 33 * at), name, ip)
            self._plant("spraying", None, time, time + 6 * _MINUTE, "8 users, one try each")

    def _ends(self) -> None:
        people = self.world.people
        for name, reason in (("mia", TIMEOUT), ("xavier", RESET)):
            who, end = people[name], self._free((name,), before=2 * _HOUR)
            start = self._aside(end - _MINUTE * self.rng.uniform(50, 100), -_MINUTE)
            self._visit(who, who.address, start, end, reason)
            self._plant("abnormal-end", name, end, end + _MINUTE, reason)
        for name in ("erin", "kim"):
            who, time = people[name], self._free((name,))
            self._away(name, time - _HOUR, time + _HOUR)
            for at in range(6):
                start = time + _SECOND * (38 * at)
                self._visit(who, who.address, start, start + _SECOND * self.rng.uniform(0.5, 1.7))
            self._plant("short-sessions", name, time, start + _MINUTE, "six of them, none of two seconds")

    def _privileges(self) -> None:
        people, log = self.world.people, self.log

        def during(rule: str, name: str, note: str, act: Callable[[datetime, _Person], None], span: timedelta) -> None:
            who, time = people[name], self._free((name,))
            self._away(name, time - 2 * _HOUR, time + 2 * _HOUR)
            self._around(who, who.address, time - 20 * _MINUTE, time + 40 * _MINUTE)
            act(time, who)
            self._plant(rule, name, time, time + span + _MINUTE, note)

        def wrong(time: datetime, who: _Person) -> None:
            for at in range(4):
                log.sudo(time + 55 * at * _SECOND, who, _COMMANDS[at], reason="3 incorrect password attempts ; ")

        def wrong_su(time: datetime, who: _Person) -> None:
            for at in range(5):
                log.su_refused(time + 40 * at * _SECOND, who)

        for name in ("carol", "mia"):
            during("first-privilege", name, "sudo", lambda t, who: log.sudo(t, who, _COMMANDS[2]), _SECOND)
        during("privilege-failed", "leo", "sudo, four times", wrong, 3 * _MINUTE)
        during("privilege-failed", "frank", "su, five times", wrong_su, 3 * _MINUTE)
        during("root-shell", "bob", "sudo -i", lambda t, who: log.sudo(t, who, "/bin/bash", length=900), _SECOND)
        during("root-shell", "paul", "su -", lambda t, who: log.su(t, who, 900), _SECOND)

    def _system(self) -> None:
        log = self.log
        for name in ("zoe", "quinn"):
            who, time = self.world.people[name], self._free((name,), after=3 * _HOUR)
            until = time + 2 * _HOUR
            self._away(name, time - _HOUR, until + _HOUR)
            log.steps.append(Step(time, "silent", b"", name, _tty(who), log.pid(time), who.address, until))
            self._plant("log-silent", name, time, until, "on, and no line says so")
        time = self._free(days=_MONTH_DAYS, hours=(0.5, 23))
        log.steps.append(Step(time, "edited"))
        self._plant("log-edited", None, time, time + 15 * _MINUTE, "cut")
        sundays = [day for day in _MONTH_DAYS if _date(day).weekday() == 6]
        time = self._free(days=sundays, hours=(6, 7.5), after=2 * _HOUR)
        until = time + 20 * _MINUTE
        log.steps.append(Step(time, "gap", until=until))
        for minute in (4, 13):
            log.refused(time + minute * _MINUTE, "root", self.world.stranger())
        self._hush(time, until)
        self._plant("unobserved", None, time, until + 10 * _MINUTE, "the monitor is not running")


class _Days:
    """What everybody does all day."""

    def __init__(self, world: _World) -> None:
        self.world, self.rng, self.log = world, world.rng, world.log
        self._trips = {name: self._trip(world.people[name], towns) for name, towns in _TRIPS.items()}
        self._at: dict[str, str] = {}

    def live(self) -> None:
        """Live all of them."""
        lives: dict[str, Callable[[_Person, int], None]] = {
            "desk": self._desk,
            "home": self._home,
            "traveller": self._traveller,
            "admin": self._desk,
            "console": self._console,
            "night": self._night,
            "deploy": self._deploy,
            "backup": self._backup,
            "root": self._root,
        }
        for day in range(PAST + MONTH):
            for name, role in _ROLES.items():
                lives[role](self.world.people[name], day)
            self._noise(day)
            self._cron(day)

    def _be(self, who: _Person, ip: str, day: int, begin: float, end: float) -> None:
        """A session of somebody at a keyboard, from one hour of the day to another."""
        rng, world = self.rng, self.world
        start, until = _at(rng, day, begin), _at(rng, day, end)
        long = until - start > 10 * _MINUTE  # who closes his laptop had opened it before
        lost = long and rng.random() < 0.022 and not world.disturbs(until) and world.scattered(until)
        if not world.ordinary(who, ip, start, until, CLOSED if lost else DISCONNECTED):
            return
        wrong = rng.random() < (0.1 if who.method == _PASSWORD else 0.02)
        if wrong and world.calm(who, start - _MINUTE, start):
            self.log.refused(start - 15 * _SECOND, who.name, ip, rng.randint(1, 2))
        if long and who.name in _SUDOERS:
            self._privileged(who, start, until)

    def _privileged(self, who: _Person, start: datetime, until: datetime) -> None:
        rng, length = self.rng, until - start
        if rng.random() < 0.45:
            for at in sorted(rng.uniform(0.05, 0.95) for _ in range(rng.randint(1, 4))):
                time = start + length * at
                if self.world.calm(who, time, time + _MINUTE):
                    self.log.sudo(time, who, rng.choice(_COMMANDS))
        time = start + length * rng.uniform(0.1, 0.7)
        seconds = length.total_seconds() * rng.uniform(0.05, 0.2)
        if rng.random() > 0.35 or not self.world.calm(who, time, time + _SECOND * seconds):
            return
        if who.name == "wendy":
            self.log.sudo(time, who, "/bin/bash", length=seconds)
        elif who.name == "xavier":
            self.log.su(time, who, seconds)
        elif rng.random() < 0.04:
            self.log.sudo(time, who, _COMMANDS[0], reason="1 incorrect password attempt ; ")

    def _office_hours(self, who: _Person, ip: str, day: int) -> None:
        rng = self.rng
        if day >= 14 and rng.random() < 0.05:  # ill, in a meeting, on leave
            return
        for begin, end in self._spans(rng.uniform(7.6, 9.8), rng.uniform(17.3, 19.2)):
            self._be(who, ip, day, begin, end)

    def _spans(self, begin: float, leave: float) -> Iterator[tuple[float, float]]:
        rng = self.rng
        if rng.random() < 0.55:  # lunch
            yield begin, rng.uniform(11.6, 12.2)
            yield rng.uniform(12.9, 13.6), leave
        else:
            yield begin, leave
        for _ in range(rng.randrange(3)):  # one more window
            at = rng.uniform(begin, leave - 0.5)
            yield at, at + min(0.05 + rng.expovariate(1.6), 4)
        if rng.random() < 0.12:  # in the evening
            at = rng.uniform(19.5, 21.2)
            yield at, at + rng.uniform(0.2, 1.5)
        if rng.random() < 0.08:  # a file is copied
            at = rng.uniform(begin, leave)
            yield at, at + rng.uniform(4, 25) / 3600
        if rng.random() < 0.02:  # left on over night
            yield leave - rng.uniform(0.5, 2), leave + rng.uniform(13, 16)

    def _desk(self, who: _Person, day: int) -> None:
        if works(_date(day)):
            self._office_hours(who, self._address(who, who.nets, 0.03), day)

    def _home(self, who: _Person, day: int) -> None:
        rng, today = self.rng, _date(day)
        saturday = today.weekday() == 5 and today not in HOLIDAYS and who.name in _SATURDAYS and rng.random() < 0.4
        if not works(today) and not saturday:
            return
        # The first two weeks of the past have both, so that nothing of it is new in the month.
        comes = today.weekday() == _COMES_IN.get(who.name) and (day < 14 or rng.random() < 0.5)
        nets = who.nets[1:] if day == 9 else who.nets
        ip = self.world.address(OFFICE) if comes else self._address(who, nets, 0.15)
        self._office_hours(who, ip, day)
        if who.name in _OVER_VPN and not comes and (day < 5 or rng.random() < 0.3):
            at = rng.uniform(9, 17)
            self._be(who, self.world.address(VPN), day, at, at + rng.uniform(0.2, 2))

    def _address(self, who: _Person, nets: Sequence[str], change: float) -> str:
        """Return where somebody is today: mostly where he was; else mostly in the same network."""
        here = self._at.get(who.name, who.address)
        if self.rng.random() < change or _network_of(here) not in nets:
            here = self.world.address(nets[0] if self.rng.random() < 0.75 else nets[-1])
        self._at[who.name] = here
        return here

    def _trip(self, who: _Person, towns: Sequence[str]) -> list[str]:
        """Return the address of each day: some days at home, some in a town, and so on."""
        rng, world, days = self.rng, self.world, [who.address] * 3
        for town in towns:
            country = _TOWNS[town][0]
            asn = {"SG": 64503, "JP": 64504}.get(country, rng.choice(_PROVIDERS))
            days += [world.address(world.network(town, asn))] * rng.randint(3, 5)
            days += [who.address] * rng.randint(2, 5)
        return days + [who.address] * (PAST + MONTH)

    def _traveller(self, who: _Person, day: int) -> None:
        rng, today, days = self.rng, _date(day), self._trips[who.name]
        if today in HOLIDAYS or (today.weekday() > 4 and rng.random() < 0.6 and days[day] == days[day - 1]):
            return
        here = days[day]
        if day == 0 or days[day - 1] == here:
            self._office_hours(who, here, day)
            return
        at = rng.uniform(6.5, 7.2)  # before the plane
        self._be(who, days[day - 1], day, at, at + rng.uniform(0.3, 1))
        at = rng.uniform(18, 20)
        self._be(who, here, day, at, at + rng.uniform(0.5, 2))

    def _console(self, who: _Person, day: int) -> None:
        self._desk(who, day)
        if not works(_date(day)) or (day > 4 and self.rng.random() < 0.6):
            return
        begin = self.rng.uniform(9, 17)
        start, end = _at(self.rng, day, begin), _at(self.rng, day, begin + self.rng.uniform(0.1, 0.8))
        if self.world.calm(who, start, end):
            self.log.seat("login", who, start, end)

    def _night(self, who: _Person, day: int) -> None:
        if day % 2 != (who.name == "ops-b"):
            return
        at, over = self.rng.uniform(20, 20.6), 31.8
        while at < over:
            end = min(at + self.rng.uniform(0.3, 3), over + 0.1)
            self._be(who, who.address, day, at, end)
            at = end + self.rng.uniform(0.05, 1)

    def _root(self, who: _Person, day: int) -> None:
        if not works(_date(day)):
            return
        for _ in range(self.rng.randint(1, 2)):
            at = self.rng.uniform(9, 17.5)
            self._be(who, JUMP, day, at, at + self.rng.uniform(0.15, 0.8))

    def _deploy(self, who: _Person, day: int) -> None:
        rng = self.rng
        for _ in range(rng.randint(5, 11)):
            at, ip = rng.uniform(0, 24), self.world.address(rng.choice(who.nets))
            for _ in range(rng.randint(1, 3)):  # a deployment comes several times
                start = _at(rng, day, at)
                end = start + _SECOND * rng.choice((rng.uniform(1.2, 4), rng.uniform(5, 90)))
                at += rng.uniform(100, 240) / 3600
                known = self.world.ordinary(who, ip, start, end)
                if known and end - start > 5 * _SECOND and rng.random() < 0.3:
                    self.log.sudo(start + 2 * _SECOND, who, _COMMANDS[1])

    def _backup(self, who: _Person, day: int) -> None:
        rng = self.rng
        for hour in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 10.0, 16.0):
            start = _at(rng, day, hour + rng.uniform(0, 0.03))
            ip = self.world.address(rng.choice(who.nets))
            self.world.ordinary(who, ip, start, start + _MINUTE * rng.uniform(1, 25))

    def _noise(self, day: int) -> None:
        """Strangers: few tries of each, few of each name."""
        rng, left = self.rng, self.rng.randint(20, 57)
        spared = {"root": 5, "deploy": 1, "backup": 1, **dict.fromkeys(_GUESSES, 4)}
        while left > 0:
            weights = (0.55, 0.41, 0.02, 0.02)
            name = rng.choices((rng.choice(_GUESSES), "root", "deploy", "backup"), weights)[0]
            tries, time = rng.randint(1, 3), _at(rng, day, rng.uniform(0, 23.9))
            name = name if spared[name] >= tries else rng.choice(_GUESSES)
            if spared[name] < tries or self.world.disturbs(time):
                continue
            spared[name] -= tries
            left -= tries
            self.log.refused(time, name, self.world.stranger(), tries, invalid=name in _GUESSES)
        for _ in range(rng.randint(3, 12)):  # who only looks whether there is a server
            time = _at(rng, day, rng.uniform(0, 23.9))
            text = f"Connection closed by {self.world.stranger()} port {rng.randint(1024, 65535)} [preauth]"
            if not self.world.disturbs(time):
                self.log.line(time, f"sshd[{self.log.pid(time)}]", text)

    def _cron(self, day: int) -> None:
        for hour in range(24):
            time = _at(self.rng, day, hour + 17 / 60)
            if not self.world.disturbs(time):
                tag = f"CRON[{self.log.pid(time)}]"
                about = "pam_unix(cron:session): session"
                self.log.line(time, tag, f"{about} opened for user root(uid=0) by (uid=0)")
                self.log.line(time + _SECOND / 20, tag, f"{about} closed for user root")


def _at(rng: random.Random, day: int, hour: float) -> datetime:
    """Return a moment of a day; it is one of the clock, not of the second."""
    return START + timedelta(days=day, hours=hour, microseconds=rng.randrange(1_000_000))


def _date(day: int) -> date:
    return (START + timedelta(days=day)).date()


def _tty(who: _Person) -> str:
    return f"pts/{who.uid % 40}"


def _place(town: str, asn: int) -> Place:
    country, latitude, longitude = _TOWNS[town]
    return Place(country, asn, latitude, longitude)


def _network_of(ip: str) -> str:
    return str(ipaddress.ip_network(f"{ip}/{48 if ':' in ip else 24}", strict=False))


def _config() -> dict[str, Any]:
    hours = {
        **dict.fromkeys(("ops-*", "deploy", "backup"), "00:00-24:00"),
        **dict.fromkeys(_TRIPS, "mon-sun 06:00-24:00"),
        **dict.fromkeys(_SATURDAYS, "mon-sat 07:00-23:00"),
        "*": "mon-fri 07:00-22:00",
    }
    days = [f"{day} off" for day in HOLIDAYS] + [f"{day} work" for day in MAKE_UP]
    return {
        "judge": {
            "learning": "7d",
            "allow": {"payroll": [OFFICE], "backup": list(BUILDERS)},
            "trusted": [VPN],
            "hours": {pattern: [span] for pattern, span in hours.items()},
            "holidays": "".join(f"{day}\n" for day in days),
        }
    }


_MONTH_DAYS = range(PAST + 1, PAST + MONTH - 1)
_WORKDAYS = [day for day in _MONTH_DAYS if works(_date(day))]
