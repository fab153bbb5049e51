"""An access review: what happened in a span, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timezone
from typing import TYPE_CHECKING, Optional

from usm.core.message import DEAD, GROUPED, PENDING, SENT, SUPPRESSED, WAITING
from usm.core.model import INFO, SEVERITIES, UNOBSERVED
from usm.review.model import OPEN, Found, Frame, Gap, Origin, Person, Point, Review, Stay, Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from usm.core.model import Session
    from usm.review.data import Judged, Material

ROOT = "root"


def review(material: Material, frame: Frame) -> Review:
    """Count."""
    edge = min(frame.until, max(frame.made, frame.since))  # nobody was on in the future
    stays = tuple(_stay(session, frame, edge) for session in material.sessions)
    every = tuple(_found(material.judged))
    found = tuple(one for one in every if one.finding.severity != INFO)
    people = _people(stays, material, found)
    hosts = {session.host for session in material.sessions} | {one.host for one in every}
    return Review(
        frame,
        tuple(sorted(hosts)) or (frame.host,),
        stays,
        people,
        _origins(stays, material),
        _hours(stays, frame),
        tuple(Counter(stay.reason for stay in stays).most_common()),
        found,
        len(every) - len(found),
        tuple(Gap(one.event.time, one.event.until) for one in material.gaps),
        _told(material.deliveries),
        material.proof,
        material.began,
        _points(found, people),
    )


def _stay(session: Session, frame: Frame, edge: datetime) -> Stay:
    """Cut a session to the span. In UTC: two times of one zone would be told apart by their clocks, not by time."""
    start = session.start.astimezone(timezone.utc)
    begin = max(start, frame.since.astimezone(timezone.utc))
    last = edge.astimezone(timezone.utc)
    end = last if session.end is None else min(session.end.astimezone(timezone.utc), last)
    within = session.end is not None and session.end < frame.until
    return Stay(session, begin, max(begin, end), (session.end_reason or UNOBSERVED) if within else OPEN)


def _found(judged: Iterable[Judged]) -> Iterable[Found]:
    for one in judged:
        for finding in one.findings:
            yield Found(one.id, one.event.time, one.event.host, one.event.user, finding)


def _people(stays: Sequence[Stay], material: Material, found: Sequence[Found]) -> tuple[Person, ...]:
    """Return who was on or acted as somebody else, who was on for longest first."""
    of: dict[str, list[Stay]] = defaultdict(list)
    for stay in stays:
        of[stay.session.user].append(stay)
    acted: dict[str, Counter[str]] = defaultdict(Counter)
    for (_, user, target), times in material.acted.items():
        acted[user][target] += times
    marks = Counter(one.user for one in found)
    refused: Counter[str] = Counter()
    for one in material.refused:
        refused[one.user] += one.times
    people = [
        Person(
            user,
            len(mine),
            sum(stay.seconds for stay in mine),
            _often(stay.session.source_ip for stay in mine),
            _often(stay.session.method or stay.session.service for stay in mine),
            _often(stay.session.key for stay in mine),
            _often(stay.session.person or stay.session.comment for stay in mine),
            max((stay.session.start for stay in mine), default=None),
            marks[user],
            refused[user],
            tuple(acted[user].most_common()),
        )
        for user, mine in ((user, of.get(user, [])) for user in sorted({*of, *acted}))
    ]
    return tuple(sorted(people, key=lambda person: (-person.seconds, person.user)))


def _often(values: Iterable[Optional[str]]) -> tuple[str, ...]:
    """Return the different values, the most frequent first."""
    return tuple(value for value, _ in Counter(value for value in values if value).most_common())


def _origins(stays: Sequence[Stay], material: Material) -> tuple[Origin, ...]:
    """Return from where sessions came and logins failed, the most sessions first."""
    sessions = Counter(stay.session.source_ip for stay in stays)
    users: dict[Optional[str], dict[str, None]] = defaultdict(dict)
    for stay in stays:
        users[stay.session.source_ip][stay.session.user] = None
    refused: Counter[Optional[str]] = Counter()
    invalid: Counter[Optional[str]] = Counter()
    for one in material.refused:
        refused[one.source_ip] += one.times
        invalid[one.source_ip] += one.times if one.invalid else 0
    origins = [
        Origin(source, sessions[source], refused[source], invalid[source], tuple(users.get(source, ())))
        for source in {*sessions, *refused}
    ]
    return tuple(sorted(origins, key=lambda one: (-one.sessions, -one.refused, one.source_ip or "")))


def _hours(stays: Sequence[Stay], frame: Frame) -> tuple[tuple[int, ...], ...]:
    """Count the logins within the span by the clock on the wall."""
    count: Counter[tuple[int, int]] = Counter()
    for stay in stays:
        if stay.session.start >= frame.since:
            local = stay.session.start.astimezone(frame.zone)
            count[local.weekday(), local.hour] += 1
    return tuple(tuple(count[day, hour] for hour in range(24)) for day in range(7))


def _told(deliveries: Counter[tuple[str, str]]) -> tuple[Told, ...]:
    def of(channel: str, *states: str) -> int:
        return sum(deliveries[channel, state] for state in states)

    return tuple(
        Told(name, of(name, SENT), of(name, PENDING, WAITING), *(of(name, s) for s in (DEAD, GROUPED, SUPPRESSED)))
        for name in sorted({channel for channel, _ in deliveries})
    )


def _points(found: Sequence[Found], people: Sequence[Person]) -> tuple[Point, ...]:
    """Return what somebody should sign: the gravest first, then who was root or acted as somebody else."""
    alike: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for one in found:
        alike[one.user or "", one.finding.rule].append(one)
    points = [
        Point(
            user or None,
            rule,
            max((one.finding.severity for one in ones), key=SEVERITIES.index),
            len(ones),
            ones[0].time,
            ones[-1].time,
        )
        for (user, rule), ones in alike.items()
    ]
    points.sort(key=lambda one: (-SEVERITIES.index(one.severity), one.user or "", one.rule or ""))
    acting = [person for person in people if person.user == ROOT or person.acted]
    uses = [(person, sum(times for _, times in person.acted) or person.sessions) for person in acting]
    return (*points, *(Point(person.user, None, INFO, times, None, person.last) for person, times in uses))
