"""A month of life with 60 planted incidents: every one is found, and few other things are; printed, and compared.

Recall and false alerts are counted as an operator would: an alert is what has a finding that is more than `info`.
"""

from __future__ import annotations

import copy
import sys
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Optional

import pytest
import yaml

from tests.life import HOST, ZONE, Incident, Life, Step, life
from usm import config
from usm.core.decode import Stamps
from usm.core.message import Alert
from usm.core.model import INFO, Account, Batch, Host, Place, Seat, System, micros
from usm.core.policy import network_of
from usm.core.reconcile import first_look
from usm.core.route import Route
from usm.ingest import Intake, Watch, compare, ingest, remark
from usm.judging import Judge
from usm.outbox import Outbox
from usm.seed import seed
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from usm.core.reconcile import Look

SEED = 1
WEEKS = 30 / 7
SLACK = timedelta(minutes=5)  # a system's look may come so late
TICK = timedelta(hours=1)  # the simulated looks at the system
SOON = timedelta(seconds=1)


class Outcome(NamedTuple):
    """What the month brought."""

    life: Life
    alerts: tuple[Alert, ...]
    naive: int


def configured(made: Life, place: Path) -> config.Config:
    """Write the life's configuration down as an operator would, and load it."""
    tree = copy.deepcopy(dict(made.config))
    (place / "holidays").write_text(tree["judge"]["holidays"], encoding="utf-8")
    tree["judge"]["holidays"] = "holidays"
    path = place / "config.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return config.load(str(path))


class Month:
    """Drives the left half through a life, line by line, as the monitor does."""

    def __init__(self, made: Life, place: Path) -> None:
        self.life = made
        places = dict(made.places)

        def place_of(source: str) -> Optional[Place]:
            found = places.get(network_of(source))
            return None if found is None else Place(*found)

        def account_of(_host: str, user: str) -> Optional[Account]:
            found = made.accounts.get(user)
            return None if found is None else Account(*found)

        self.judge = Judge(configured(made, place).policy, ZONE, place_of, account_of)
        self.host = Host(HOST, ("192.0.2.10",), "b" * 32)
        self.path = str(place / "state.db")
        self.now = made.month[0].time
        past = [step.line for step in made.past if step.kind == "line"]
        seed(self.path, self.judge, past, self.host, ZONE, self.now, journal=False)
        self.store = Store(self.path)
        self.intake = Intake(Stamps(ZONE, self.now))
        self.watch = Watch(self.host, (Route("feishu"),), judge=self.judge, zone=ZONE)
        self.look: Look = first_look(self.now)
        self.silent: tuple[Seat, ...] = ()
        self.idle: list[Step] = []
        self.due = self.now + TICK
        self.number = 0
        with self.store.transaction() as tx:
            tx.checkpoint("file", "0", self.now)

    def run(self) -> list[Alert]:
        """Live the month; return what was told."""
        for step in self.life.month:
            while self.due <= step.time:
                self.system(self.due)
                self.due += TICK
            self.take(step)
        deliveries = Outbox(self.store).deliveries(("pending", "waiting"))
        self.store.close()
        return [one.message for one in deliveries if isinstance(one.message, Alert)]

    def take(self, step: Step) -> None:
        """Let one thing happen."""
        self.now = step.time
        if step.kind == "line":
            self.number += 1
            ingest(self.store, "file", Batch(step.line, str(self.number)), self.intake, self.watch, step.time + SOON)
        elif step.kind == "silent":
            ticks = micros(step.time)
            seat = Seat(step.leader, ticks, step.time, step.user, "sshd", step.source_ip, tty=step.tty)
            self.silent = (*self.silent, seat)
            for _ in range(2):
                self.system(step.time + SLACK / 2)
        elif step.kind == "idle":
            self.idle.append(step)
        elif step.kind == "gap":
            self.remark("unobserved", step, {})
        elif step.kind == "edited":
            self.remark("log-edited", step, {"how": "emptied", "what": "/var/log/auth.log"})

    def remark(self, rule: str, step: Step, facts: dict[str, str]) -> None:
        """Let the monitor itself notice something."""
        moment = step.until or step.time
        remark(self.store, self.watch, rule, moment, None, facts, moment)

    def system(self, now: datetime) -> None:
        """Let the system be looked at: all whom the log knows are there, and those whom it does not."""
        sessions = self.store.sessions()
        begun = {s.leader: (micros(s.start), s.start) for s in sessions if s.leader is not None}
        begun.update({seat.leader: (seat.begun, seat.start) for seat in self.silent})
        idle = [step for step in self.idle if step.time <= now <= (step.until or now) and step.leader in begun]
        at = [Seat(s.leader, *begun[s.leader], s.user, "sshd", tty=s.tty) for s in idle]
        found = (self.silent, ())
        system = System((*self.silent, *at), begun, {step.tty: step.time for step in idle})
        facts = (self.store, "file", system, self.watch, self.look, now, found)
        _, self.look = compare(*facts, reason="vanished", since=self.life.month[0].time)


@pytest.fixture(scope="module", params=[1, 2])
def month(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A month as it was judged; this machine's own wtmp is none of that life's."""
    made = life(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("usm.wtmp.logins", lambda: iter(()))
        alerts = tuple(Month(made, tmp_path_factory.mktemp("month")).run())
    return Outcome(made, alerts, naive(made))


def naive(made: Life) -> int:
    """Count what alerting on every address that a user was never seen from would have said in the month."""
    seen: set[tuple[str, Optional[str]]] = set()
    count = 0
    for session in made.sessions:
        known = (session.user, session.source_ip)
        if known not in seen and session.start >= made.month[0].time and session.source_ip is not None:
            count += 1
        seen.add(known)
    return count


def hits(incident: Incident, alert: Alert, rules: Sequence[str]) -> bool:
    """Tell whether an alert tells of an incident."""
    event = alert.event
    times = (event.time, event.until or event.time)
    near = times[1] >= incident.time - SLACK and times[0] <= incident.until + SLACK
    mine = incident.user in (None, event.user)
    return near and mine and any(f.rule in rules for f in alert.findings)


def rules(made: Life, number: int) -> set[str]:
    """Return all rules that rightly find something in an incident."""
    incident = made.incidents[number]
    mass = ("abnormal-end",) if incident.note == "mass" else ()
    return {incident.rule, *made.also.get(number, ()), *mass}


def test_every_incident_is_found_and_few_others(month: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    """Recall is 100 %, false alerts at most one per user and week; naive alerting is printed beside it."""
    missed = [
        f"{incident.rule} {incident.user} {incident.time}"
        for incident in month.life.incidents
        if not any(hits(incident, alert, (incident.rule,)) for alert in month.alerts)
    ]
    false: Counter[str] = Counter()
    whose: Counter[Optional[str]] = Counter()
    for alert in month.alerts:
        if alert.severity == INFO:
            continue
        for finding in alert.findings:
            rules = [
                {
                    incident.rule,
                    *month.life.also.get(number, ()),
                    *(("abnormal-end",) if incident.note == "mass" else ()),
                }
                for number, incident in enumerate(month.life.incidents)
                if hits(incident, alert, (finding.rule,))
            ]
            if finding.severity != INFO and not any(finding.rule in allowed for allowed in rules):
                false[finding.rule] += 1
                whose[alert.event.user] += 1
    users = len({session.user for session in month.life.sessions})
    rate = sum(false.values()) / users / WEEKS
    planted = len(month.life.incidents)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{planted - len(missed)} of {planted} incidents found; false alerts: {sum(false.values())}, {rate:.3f} "
            f"per user and week ({dict(false)}), at most {max(whose.values(), default=0)} of one user\n"
            f"first-seen address alone: {month.naive} alerts, {month.naive / users / WEEKS:.3f} per user and week\n"
        )
    assert missed == []
    assert rate <= 1
    assert all(count <= WEEKS + 1 for count in whose.values())


def test_nobody_is_new_on_the_first_day(month: Outcome) -> None:
    """With the past learned, the first day tells of nothing that is seen for the first time."""
    first = month.life.month[0].time
    planted = {incident.user for incident in month.life.incidents if incident.time < first + timedelta(days=1)}
    new = [
        (finding.rule, alert.event.user)
        for alert in month.alerts
        for finding in alert.findings
        if alert.event.time < first + timedelta(days=1) and finding.rule.startswith("new-")
    ]
    assert [one for one in new if one[1] not in planted] == []
