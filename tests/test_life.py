"""The made-up life: it is what it says, every line of it is understood, and nothing ordinary breaks a rule."""

from __future__ import annotations

import ipaddress
import json
import math
from collections import Counter
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Optional

import pytest

from tests.life import END, MIDDLE, START, VPN, Life, Place, Truth, life, works
from usm.core import hours
from usm.core.look import Look
from usm.core.model import CLOSED, FAILED, LOGIN, LOGOUT, PRIVILEGE
from usm.replay import replay

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "new-user new-source new-key new-method root service-account young-account dormant off-hours impossible-travel "
    "success-after-failures slow-guessing many-sources not-allowed forwarded unusual-service failed-source failed-user "
    "enumeration spraying abnormal-end too-long idle short-sessions mass-end first-privilege privilege-failed "
    "root-shell log-silent log-edited unobserved"
)
RULES = frozenset(NAMES.split())
SEEDS = (1, 2, 3)
MINUTE = timedelta(minutes=1)
EARTH, PLANE = 6371.0, 900.0  # km, km/h
TRAVELLERS = ("tom", "uma")


@lru_cache(maxsize=len(SEEDS))
def lived(seed: int) -> Life:
    """Return one of them; nobody changes it."""
    return life(seed)


@lru_cache(maxsize=1024)
def place_of(seed: int, ip: str) -> Place:
    """Return where an address is."""
    net = ipaddress.ip_network(f"{ip}/{48 if ':' in ip else 24}", strict=False)
    return lived(seed).places[str(net)]


def kilometres(one: Place, other: Place) -> float:
    """Along the surface."""
    lat, lat2 = math.radians(one.latitude), math.radians(other.latitude)
    turn = math.radians(other.longitude - one.longitude)
    cosine = math.sin(lat) * math.sin(lat2) + math.cos(lat) * math.cos(lat2) * math.cos(turn)
    return EARTH * math.acos(max(-1.0, min(1.0, cosine)))


def planted(made: Life, user: Optional[str], time: datetime) -> bool:
    """Tell whether something is part of an incident, or led up to it."""
    early = timedelta(minutes=45)
    return any(
        i.user in (user, None) and i.time - early <= time <= max(i.until, i.time + early) for i in made.incidents
    )


def ordinary(made: Life) -> list[Truth]:
    """Return the sessions of the month that no incident is about."""
    return [s for s in made.sessions if s.start >= MIDDLE and not planted(made, s.user, s.start)]


def events(made: Life, folder: Path) -> list[dict[str, Any]]:
    """Return what `usm replay` makes of the log."""
    path = folder / "auth.log"
    path.write_bytes(b"".join(step.line for step in (*made.past, *made.month)))
    kinds = frozenset((LOGIN, LOGOUT, FAILED, PRIVILEGE))
    return [json.loads(line) for line in replay([str(path)], kinds, "json", Look("en", timezone.utc), END)]


def test_a_seed_is_one_life() -> None:
    """The same bytes for the same seed, others for another."""
    assert life(1) == lived(1)
    assert life(1).month != lived(2).month


@pytest.mark.parametrize("seed", SEEDS)
def test_sixty_incidents_are_in_the_month(seed: int) -> None:
    """Each rule has one, and those of one user are two hours apart."""
    made = lived(seed)
    assert len(made.incidents) == 60
    assert {incident.rule for incident in made.incidents} == RULES
    assert all(MIDDLE <= incident.time <= incident.until < END for incident in made.incidents)
    assert all(also < RULES - {made.incidents[at].rule} for at, also in made.also.items())
    last: dict[Optional[str], datetime] = {}
    for incident in made.incidents:
        if incident.user is not None and incident.user in last:
            assert incident.time - last[incident.user] > timedelta(hours=2)
        last[incident.user] = incident.until
    assert {incident.user for incident in made.incidents} <= {*made.accounts, None}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_steps_are_in_their_order(seed: int) -> None:
    """Four weeks of nothing but lines, then a month."""
    made = lived(seed)
    for steps, begin, end in ((made.past, START, MIDDLE), (made.month, MIDDLE, END)):
        assert [step.time for step in steps] == sorted(step.time for step in steps)
        assert all(begin <= step.time < end for step in steps)
        assert all(step.line.endswith(b"\n") == (step.kind == "line") for step in steps)
    assert {step.kind for step in made.past} == {"line"}
    kinds = Counter(step.kind for step in made.month)
    assert (kinds["idle"], kinds["silent"], kinds["gap"], kinds["edited"]) == (2, 2, 1, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_idle_session_is_open(seed: int) -> None:
    """The step has the leader of a session that is open for longer than nothing is typed."""
    made = lived(seed)
    for step in made.month:
        if step.kind == "idle":
            assert step.until is not None
            assert step.until - step.time > timedelta(hours=13)
            tag = f" sshd[{step.leader}]: Accepted publickey for {step.user} from {step.source_ip} ".encode()
            assert sum(tag in line.line for line in made.month) == 1
            assert any(
                s.user == step.user and s.start < step.time and s.end is not None and s.end > step.until
                for s in made.sessions
            )


def test_every_line_that_matters_is_understood(tmp_path: Path) -> None:
    """Replayed, the log tells of every session, when it began and when and how it ended, and of no other."""
    made = lived(1)
    found = events(made, tmp_path)
    logins = Counter((e["user"], e["source_ip"], e["time"]) for e in found if e["kind"] == LOGIN)
    logouts = Counter((e["user"], e["start"], e["time"], e["end_reason"]) for e in found if e["kind"] == LOGOUT)
    assert logins == Counter((s.user, s.source_ip, s.start.isoformat()) for s in made.sessions)
    assert logouts == Counter(
        (s.user, s.start.isoformat(), s.end.isoformat(), s.reason) for s in made.sessions if s.end is not None
    )
    assert all((s.end is None) == (s.reason == "") for s in made.sessions)
    lines = [step.line for step in (*made.past, *made.month)]
    assert sum(e["count"] for e in found if e["kind"] == FAILED and e["service"] == "sshd") == sum(
        b": Failed password for " in line for line in lines
    )
    ran = sum(
        (b"; COMMAND=" in line and b" incorrect password " not in line) or b": (to root) " in line for line in lines
    )
    assert sum(e["kind"] == PRIVILEGE for e in found) == ran


def test_nothing_ordinary_is_an_attack(tmp_path: Path) -> None:
    """Strangers and typing errors stay under every threshold."""
    made = lived(1)
    failed = [e for e in events(made, tmp_path) if e["kind"] == FAILED and e["service"] == "sshd"]
    quiet = [e for e in failed if not planted(made, e["user"], datetime.fromisoformat(e["time"]))]
    a_day = Counter(datetime.fromisoformat(e["time"]).date() for e in quiet)
    assert len(a_day) == (END - START).days
    assert min(a_day.values()) >= 15
    assert max(a_day.values()) <= 70
    names = Counter((e["user"], datetime.fromisoformat(e["time"]).date()) for e in quiet if not e["invalid_user"])
    sources = Counter((e["source_ip"], datetime.fromisoformat(e["time"]).date()) for e in quiet)
    guessed = {i.user for i in made.incidents if i.rule == "slow-guessing"}
    assert max(times for (user, _), times in names.items() if user not in guessed) < 6
    assert max(times for (ip, _), times in sources.items()) < 6


@pytest.mark.parametrize("seed", SEEDS)
def test_every_address_has_a_place(seed: int) -> None:
    """Where somebody gets in from is known, but for this machine itself."""
    for session in lived(seed).sessions:
        if session.source_ip not in (None, "127.0.0.1", "::1"):
            assert place_of(seed, str(session.source_ip))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_incident_is_alone(seed: int) -> None:
    """In its minute nobody else comes, and no stranger tries."""
    made = lived(seed)
    for incident in made.incidents:
        near = [s.user for s in made.sessions if abs(s.start - incident.time) < MINUTE and s.user != incident.user]
        assert near == [], incident
    mass = next(incident for incident in made.incidents if incident.rule == "mass-end")
    ended = [s for s in made.sessions if s.end is not None and abs(s.end - mass.time) < MINUTE]
    assert [s.reason for s in ended] == [CLOSED] * 7
    assert len({s.user for s in ended}) == 6
    assert max(s.end for s in ended if s.end) - min(s.end for s in ended if s.end) < timedelta(seconds=3)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_login_is_what_it_is_called(seed: int) -> None:
    """By where it is from, and where the user was before."""
    made = lived(seed)
    for incident in made.incidents:
        mine = [s for s in made.sessions if s.user == incident.user]
        old = [s for s in mine if s.start < incident.time]
        now = [s for s in mine if s.start == incident.time]
        nets = {_net(s.source_ip) for s in old}
        if incident.rule in ("new-source", "root", "not-allowed", "slow-guessing", "forwarded"):
            assert len(now) == 1
            assert _net(now[0].source_ip) not in nets
        if incident.rule in ("new-key", "new-method", "off-hours", "dormant", "abnormal-end"):
            assert {_net(s.source_ip) for s in now} <= nets
        if incident.rule in ("new-user", "service-account", "young-account"):
            assert (old, len(now)) == ([], 1)
        if incident.rule == "dormant":
            assert incident.time - old[-1].start > timedelta(days=30)
        if incident.rule == "many-sources":
            on = [s for s in mine if s.start <= incident.time and s.end is not None and s.end > incident.until]
            assert len({_net(s.source_ip) for s in on}) == 3
        if incident.rule == "impossible-travel":
            far = kilometres(place_of(seed, str(old[-1].source_ip)), place_of(seed, str(now[0].source_ip)))
            assert far / ((incident.time - old[-1].start) / timedelta(hours=1)) > 5 * PLANE
        elif incident.rule in ("new-source", "root", "slow-guessing") and old[-1].source_ip is not None:
            far = kilometres(place_of(seed, str(old[-1].source_ip)), place_of(seed, str(now[0].source_ip)))
            assert far / ((incident.time - old[-1].start) / timedelta(hours=1)) < PLANE


@pytest.mark.parametrize("seed", SEEDS)
def test_ordinary_people_keep_their_hours(seed: int) -> None:
    """Each login is within the first pattern's spans, on a day off only where they are the whole week."""
    made = lived(seed)
    settings = made.config["judge"]["hours"]
    for session in ordinary(made):
        spans = next(spans for pattern, spans in settings.items() if fnmatchcase(session.user, pattern))
        parsed = [span for text in spans if (span := hours.parse(text)) is not None]
        assert len(parsed) == len(spans)
        held = any(span.hold(session.start) for span in parsed)
        today = session.start.date()
        off = today.weekday() < 5 and not works(today)
        make_up = today.weekday() == 5 and works(today)
        assert (held and not off) or make_up or spans == ["00:00-24:00"], session


@pytest.mark.parametrize("seed", SEEDS)
def test_ordinary_people_come_from_where_they_came_from(seed: int) -> None:
    """Only travellers have new providers, in countries where they were; nobody is in three networks or too fast."""
    made = lived(seed)
    before: dict[str, set[tuple[str, int]]] = {}
    for session in made.sessions:
        if session.start < MIDDLE and session.source_ip is not None:
            place = place_of(seed, session.source_ip)
            before.setdefault(session.user, set()).add((place.country, place.asn))
    last: dict[str, Truth] = {}
    for session in ordinary(made):
        if session.source_ip is None or session.user in ("intern", "vendor"):
            continue
        place = place_of(seed, session.source_ip)
        known = before[session.user]
        assert (place.country, place.asn) in known or session.user in TRAVELLERS
        assert place.country in {country for country, _ in known}
        if ipaddress.ip_address(session.source_ip) in ipaddress.ip_network(VPN):
            continue
        old = last.get(session.user)
        if old is not None:
            far = kilometres(place_of(seed, str(old.source_ip)), place)
            passed = (session.start - old.start) / timedelta(hours=1)
            assert far < 50 or far / passed < PLANE, session
        last[session.user] = session


@pytest.mark.parametrize("seed", SEEDS)
def test_ordinary_sessions_are_not_too_long_nor_in_three_networks(seed: int) -> None:
    """A day at most; in two networks at most."""
    made = lived(seed)
    mine: dict[str, list[Truth]] = {}
    for session in made.sessions:
        assert session.end is None or session.end > session.start
        if session.start < MIDDLE or not planted(made, session.user, session.start):
            mine.setdefault(session.user, []).append(session)
    long = {i.user for i in made.incidents if i.rule in ("too-long", "idle")}
    for user, sessions in mine.items():
        ends = [s.end - s.start for s in sessions if s.end is not None]
        assert max(ends) < timedelta(days=1) or user in long
        for session in sessions:
            others = [s for s in sessions if s.start <= session.start and (s.end or END) > session.start]
            assert len({place for s in others if (place := _net(s.source_ip))}) <= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_acts_as_root_did_so_in_the_past(seed: int) -> None:
    """But for those who do it for the first time in an incident."""
    made = lived(seed)
    first = {i.user for i in made.incidents if i.rule == "first-privilege"}
    told: list[set[str]] = []
    for steps in (made.past, made.month):
        lines = [step.line.decode() for step in steps if b" ; COMMAND=" in step.line and b"incorrect" not in step.line]
        told.append({line.split(" sudo: ")[1].split(" : ")[0].strip() for line in lines})
    assert told[1] - told[0] == first


def _net(ip: Optional[str]) -> Optional[str]:
    return ip and str(ipaddress.ip_network(f"{ip}/{48 if ':' in ip else 24}", strict=False))
