"""What an access review counts: a month whose truth is known, and spans whose edges cut through something."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from tests.life import END, MIDDLE, Life, life
from tests.review_made import UTC, frame, made, session, whole
from tests.test_month import Month
from usm.core.alert import finding_json, stored
from usm.core.model import FINDING, LOGOUT, PRIVILEGE, UNOBSERVED, Event, Failure, Finding, micros
from usm.history import Judgement
from usm.review.count import review
from usm.review.data import read
from usm.review.model import OPEN, Review
from usm.store import Store

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, Review, Store]:
    """A month as it was lived through, and its review."""
    lived, place = life(1), tmp_path_factory.mktemp("month")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("usm.wtmp.logins", lambda: iter(()))
        Month(lived, place).run()
    store = Store(str(place / "state.db"), readonly=True)
    return lived, review(read(store, MIDDLE, END), frame(MIDDLE, END)), store


def test_the_totals_are_those_of_the_month(month: tuple[Life, Review, Store]) -> None:
    """Users, sessions, time, reasons, failures: nothing more, nothing less than what happened."""
    lived, found, _ = month
    truth = [one for one in lived.sessions if one.start >= MIDDLE]
    silent = [step for step in lived.month if step.kind == "silent"]  # nobody logged these; they are on till the end
    assert len(found.stays) == len(truth) + len(silent)
    assert {stay.session.user for stay in found.stays} == {one.user for one in truth} | {s.user for s in silent}
    ends = Counter(one.reason or OPEN for one in truth) + Counter(OPEN for _ in silent)
    assert dict(found.ends) == ends
    seconds = sum(((one.end or END) - one.start).total_seconds() for one in truth)
    seconds += sum((END - step.time).total_seconds() for step in silent)
    assert found.seconds == pytest.approx(seconds, abs=len(truth))  # the log's end of a session is a moment later
    assert sum(map(sum, found.hours)) == len(found.stays)
    failed = sum(step.line.count(b" Failed password for ") for step in lived.month)
    assert found.refused == failed


def test_each_user_is_told_of_rightly(month: tuple[Life, Review, Store]) -> None:
    """By user, as in total."""
    lived, found, _ = month
    truth = [one for one in lived.sessions if one.start >= MIDDLE]
    for person in found.people:
        mine = [one for one in truth if one.user == person.user]
        seats = sum(1 for step in lived.month if (step.kind, step.user) == ("silent", person.user))
        assert person.sessions == len(mine) + seats
        assert set(person.sources) >= {one.source_ip for one in mine if one.source_ip}
    assert sum(person.sessions for person in found.people) == len(found.stays)
    assert sum(origin.sessions for origin in found.origins) == len(found.stays)
    acting = {p.user for p in found.people if p.acted}
    assert {point.user for point in found.points if point.rule is None} == acting | {"root"}


def test_every_alarm_is_to_be_signed(month: tuple[Life, Review, Store]) -> None:
    """Each finding is in one point; the gravest come first; what was planted is among them."""
    lived, found, _ = month
    points = [point for point in found.points if point.rule is not None]
    assert sum(point.times for point in points) == len(found.found)
    assert points[0].severity == "critical"
    rules = {(point.user, point.rule) for point in points}
    assert all(rule.rule in {known for _, known in rules} for rule in lived.incidents)
    assert found.proof.fault is None
    assert found.proof.entries > len(found.stays)
    assert {one.finding.rule for one in found.unseen} >= {"unobserved", "log-edited", "log-silent"}


def test_a_pattern_leaves_the_others_out(month: tuple[Life, Review, Store]) -> None:
    """Users by pattern, and their failures and findings."""
    _, found, store = month
    some = review(read(store, MIDDLE, END, "ops-*"), frame(MIDDLE, END, pattern="ops-*"))
    assert {person.user for person in some.people} == {"ops-a", "ops-b"}
    assert {one.user for one in some.found} <= {"ops-a", "ops-b"}
    assert some.stays == tuple(stay for stay in found.stays if stay.session.user.startswith("ops-"))


def test_two_halves_are_the_whole(month: tuple[Life, Review, Store]) -> None:
    """What a review cuts off is in the one before or behind it."""
    _, found, store = month
    middle = MIDDLE + timedelta(days=11, hours=9, minutes=30)
    halves = [review(read(store, *span), frame(*span)) for span in ((MIDDLE, middle), (middle, END))]
    assert sum(half.seconds for half in halves) == pytest.approx(found.seconds)
    assert sum(half.refused for half in halves) == found.refused
    assert sum(len(half.found) for half in halves) == len(found.found)
    assert sum(sum(map(sum, half.hours)) for half in halves) == len(found.stays)


@pytest.mark.parametrize(
    ("start", "end", "seconds", "reason"),
    [
        (-5, 30, 86400, OPEN),  # spans both edges
        (-5, 3, 10800, "disconnected"),
        (3, 5, 7200, "disconnected"),
        (20, 30, 14400, OPEN),
        (3, None, 75600, OPEN),
        (-5, -1, None, ""),
        (24, 30, None, ""),
        (-5, 24, 86400, OPEN),  # the end does not belong to the span
        (-5, 0, 0, "disconnected"),  # the beginning does
    ],
)
def test_edges_cut(tmp_path: Path, start: float, end: float | None, seconds: float | None, reason: str) -> None:
    """Only the part within the span counts."""
    since = datetime(2026, 3, 2, tzinfo=UTC)
    until = since + timedelta(days=1)
    on = session("ann", since + timedelta(hours=start), None if end is None else since + timedelta(hours=end))
    store = made(tmp_path, [on])
    found = review(read(store, since, until), frame(since, until))
    assert [(stay.seconds, stay.reason) for stay in found.stays] == ([] if seconds is None else [(seconds, reason)])


def test_nobody_is_on_in_the_future(tmp_path: Path) -> None:
    """An open session lasts until now, where the span goes on."""
    since = datetime(2026, 3, 2, tzinfo=UTC)
    now = since + timedelta(hours=6)
    store = made(tmp_path, [session("ann", since, None)])
    found = review(read(store, since, since + timedelta(days=1)), frame(since, since + timedelta(days=1), now=now))
    assert found.seconds == 6 * 3600


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24)])
def test_a_day_on_which_the_clock_is_changed(tmp_path: Path, day: tuple[int, int, int], hours: int) -> None:
    """It has 23 or 25 hours, and the hour that comes twice holds the logins of both."""
    since = datetime(*day, tzinfo=BERLIN)
    until = since + timedelta(days=1)
    midnight = since.astimezone(timezone.utc)
    ons = [session("ann", midnight - timedelta(hours=1), None)]
    ons += [session("bob", midnight + timedelta(hours=n, minutes=5), None) for n in range(hours)]
    found = review(read(made(tmp_path, ons), since, until), frame(since, until, zone=BERLIN))
    assert next(person for person in found.people if person.user == "ann").seconds == hours * 3600
    of_day = found.hours[since.weekday()]
    assert sum(of_day) == hours
    assert of_day[2] == {23: 0, 24: 1, 25: 2}[hours]


def test_an_empty_record_makes_an_empty_review(tmp_path: Path) -> None:
    """Nobody, nothing; and it says of which host."""
    since = datetime(2026, 3, 2, tzinfo=UTC)
    found = whole(made(tmp_path, []), since, since + timedelta(days=1))
    assert (found.stays, found.people, found.origins, found.found, found.points) == ((), (), (), (), ())
    assert (found.seconds, found.refused, found.unobserved) == (0, 0, 0)
    assert found.hosts == ("box",)
    assert found.began is None


def test_gaps_are_added_up_once(tmp_path: Path) -> None:
    """Two that overlap, one that began before the span, one of which the end is not known."""
    since = datetime(2026, 3, 2, tzinfo=UTC)
    until = since + timedelta(days=1)
    gaps = [(-2, 1), (3, 6), (5, 7), (9, None), (-9, -8), (23, 30)]
    store = made(tmp_path, [])
    with store.transaction() as tx:
        for begin, end in gaps:
            time = since + timedelta(hours=begin)
            to = None if end is None else since + timedelta(hours=end)
            event = Event(FINDING, time, "box", "user-session-monitor", until=to)
            body = [finding_json(Finding("unobserved", "notice", {}))]
            tx.history.judged(Judgement(f"{begin:016d}", None, stored(event), body, []), micros(time))
    found = whole(store, since, until)
    assert found.unobserved == (1 + 4 + 1) * 3600
    assert len(found.gaps) == 5


def test_findings_privileges_and_failures_of_one_user(tmp_path: Path) -> None:
    """Alarms count, what is for information does not; root's and others' privileges are points to be signed."""
    since = datetime(2026, 3, 2, tzinfo=UTC)
    noon = since + timedelta(hours=12)
    store = made(tmp_path, [session("root", since, noon), session("ann", since, noon)])
    with store.transaction() as tx:
        tx.add_failures(
            [Failure("box", "sshd", "192.0.2.1", noon, noon, (("ann", None, False, 3), ("x", None, True, 2)))]
        )
        tx.add_event(Event(PRIVILEGE, noon, "box", "sudo", "ann", target="root", command="/bin/ls"))
        for severity in ("info", "warning"):
            event = Event(LOGOUT, noon, "box", "sshd", "ann", end_reason=UNOBSERVED)
            found = [finding_json(Finding("ended-unobserved", severity, {}))]
            tx.history.judged(Judgement(f"{severity:>16}", None, stored(event), found, []), micros(noon))
    seen = whole(store, since, since + timedelta(days=1))
    assert (len(seen.found), seen.minor) == (1, 1)
    assert seen.refused == 5
    assert [(o.source_ip, o.refused, o.invalid) for o in seen.origins if o.refused] == [("192.0.2.1", 5, 2)]
    assert [(p.user, p.rule, p.times) for p in seen.points] == [
        ("ann", "ended-unobserved", 1),
        ("ann", None, 1),
        ("root", None, 1),
    ]
    assert {p.user: p.refused for p in seen.people} == {"ann": 3, "root": 0}
