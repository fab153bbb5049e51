"""Judges events, with what the store knows and the system says: the rules are pure, this brings them their facts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from usm.bursts import SOURCE, USER, Bursts
from usm.core import model
from usm.core.alert import finding_json, identify, stored
from usm.core.incident import grow
from usm.core.judge import Judged, find, judge
from usm.core.model import Event, Failure, Finding, micros, time_of
from usm.core.pair import event_of
from usm.core.policy import Policy, network_of
from usm.core.profile import CREATED, SHELL, SHORT, TARGET
from usm.core.programs.privilege import is_failed_login
from usm.core.recent import Entry
from usm.core.rules.case import IDLE, TOLD, Case, Verdict
from usm.core.rules.login import JUDGES, previous
from usm.core.rules.others import LOGOUT_JUDGES, PRIVILEGE_JUDGES, is_root_shell
from usm.history import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, tzinfo

    from usm.bursts import Found
    from usm.core.model import Account, Place, Session, System
    from usm.core.profile import Profile
    from usm.transaction import Transaction

SHORT_ONES = "short"  # the window of a user's short sessions


class Told(NamedTuple):
    """An event that is to be told, and what was found of it."""

    event: Event
    findings: tuple[Finding, ...] = ()
    learning: Optional[datetime] = None


class Judge:
    """Asks all the rules; `place_of` tells where an address is, `account_of` what a host knows of a user."""

    def __init__(
        self,
        policy: Policy,
        zone: tzinfo,
        place_of: Callable[[str], Optional[Place]] = lambda _ip: None,
        account_of: Callable[[str, str], Optional[Account]] = lambda _host, _user: None,
    ) -> None:
        self.policy, self.zone = policy, zone
        self._place_of, self._account_of = place_of, account_of
        self._bursts = Bursts(policy, zone)

    def judge(self, tx: Transaction, event: Event, *, silent: bool = False) -> list[Told]:
        """Return the event with what was found of it, and what else that shows, to be told.

        `silent`: a login of which the log says nothing.
        """
        if event.kind == model.LOGIN:
            return [self._login(tx, event, silent=silent)]
        if event.kind == model.LOGOUT:
            return [*self._tell(tx, self._bursts.ended(tx, event)), self._logout(tx, event)]
        if event.kind == model.PRIVILEGE:
            return [self._privilege(tx, event)]
        if event.kind == model.FAILED and not is_failed_login(event):
            return [*self._tell(tx, self._bursts.refused(tx, event)), Told(event)]
        return [Told(event)]

    def take(self, tx: Transaction, event: Event, *, silent: bool = False) -> list[Told]:
        """Judge whatever a line gave, one after the other, failed logins too; those are not told themselves."""
        if is_failed_login(event):
            who = ((event.user or "", event.method, event.invalid_user, event.count),)
            return self.failures(tx, [Failure(event.host, event.service, event.source_ip, event.time, event.time, who)])
        return self.judge(tx, event, silent=silent)

    def failures(self, tx: Transaction, failures: Sequence[Failure]) -> list[Told]:
        """Return what the failed logins of a batch show, together with those before."""
        return self._tell(tx, self._bursts.failures(tx, failures))

    def _tell(self, tx: Transaction, found: Iterable[Found]) -> list[Told]:
        return [told for event, verdict in found for told in self.note(tx, event, verdict)]

    def learn(self, tx: Transaction, event: Event) -> None:
        """Note what is usual, of what is history and is told to nobody."""
        profile, time = self._profile(tx, event), micros(event.time)
        tx.history.since(time)
        if event.kind == model.LOGIN:
            place = None if event.source_ip is None else self._place_of(event.source_ip)
            profile.learn_login(event, time, place)
        elif event.kind == model.LOGOUT:
            if self._is_short(event):
                profile.learn(SHORT, time)
        elif event.kind == model.PRIVILEGE:
            self._learn_privilege(profile, event)
        elif event.kind == model.ACCOUNT:
            profile.learn(CREATED, time)

    def _profile(self, tx: Transaction, event: Event) -> Profile:
        since = micros(event.time) - self.policy.history // timedelta(microseconds=1)
        return tx.history.profile(event.host, event.user or "", since)

    def _case(self, tx: Transaction, event: Event) -> Case:
        return Case(event, self._profile(tx, event), self.policy, event.time.astimezone(self.zone))

    def _learning(self, tx: Transaction, event: Event) -> Optional[datetime]:
        """Return until when it is learned what is usual, None where that is over."""
        until = time_of(tx.history.since(micros(event.time))) + self.policy.learning
        return until if event.time < until else None

    def _login(self, tx: Transaction, event: Event, *, silent: bool) -> Told:
        case, history = self._case(tx, event), tx.history
        if event.source_ip is not None:
            before = previous(case)
            case.place = self._place_of(event.source_ip)
            case.before = None if before is None else self._place_of(before.value)
            case.source = history.recent(SOURCE, event.host, event.source_ip)
            case.user = history.recent(USER, event.host, event.user or "")
            case.elsewhere = self._elsewhere(tx, case)
        case.account = self._account_of(event.host, event.user or "")
        learning = self._learning(tx, event)
        judged = judge(case, JUDGES, learning=learning is not None)
        if silent and "log-silent" in self.policy.rules:
            judged = judged.joined(
                find(Verdict("log-silent", None, {"service": event.service}), event, self.policy, case.local)
            )
        self._note(tx, event, judged)
        if judged.severity != model.CRITICAL:  # what an intruder shows must not become what is usual
            case.profile.learn_login(event, case.time, case.place)
        return Told(event, judged.findings, learning)

    def _elsewhere(self, tx: Transaction, case: Case) -> frozenset[str]:
        """Return the networks from which the user is on."""
        event = case.event
        if "many-sources" not in self.policy.rules:
            return frozenset()
        return frozenset(map(network_of, tx.sources_of(event.host, event.user or "")))

    def _logout(self, tx: Transaction, event: Event) -> Told:
        case, user = self._case(tx, event), event.user or ""
        is_short = self._is_short(event)
        if is_short:
            case.user = tx.history.recent(SHORT_ONES, event.host, user)
        judged = judge(case, LOGOUT_JUDGES, learning=False)
        for finding in judged.findings:
            if finding.rule == "short-sessions":
                judged = self._once(tx, event, judged)
            elif finding.rule == "too-long" and tx.history.incident("too-long", event.host, event.session or ""):
                judged = judged.without("too-long", TOLD)  # while it lasted
        if is_short:
            case.profile.learn(SHORT, case.time)
            case.user.add(Entry(case.time, 1))
            tx.history.touch(SHORT_ONES, event.host, user, case.time)
        self._note(tx, event, judged)
        return Told(event, judged.findings)

    def _once(self, tx: Transaction, event: Event, judged: Judged) -> Judged:
        """Leave out that sessions are short where that was told a short time ago."""
        rule, time = "short-sessions", micros(event.time)
        incident, tell = grow(tx.history.incident(rule, event.host, event.user or ""), time, time, 1, ())
        tx.history.put(rule, event.host, event.user or "", incident)
        return judged if tell else judged.without(rule, TOLD)

    def _is_short(self, event: Event) -> bool:
        return event.duration is not None and event.duration < self.policy.number("short-sessions", "shorter")

    def _privilege(self, tx: Transaction, event: Event) -> Told:
        case = self._case(tx, event)
        learning = self._learning(tx, event)
        judged = judge(case, PRIVILEGE_JUDGES, learning=learning is not None)
        self._note(tx, event, judged)
        self._learn_privilege(case.profile, event)
        return Told(event, judged.findings, learning if judged.findings else None)

    @staticmethod
    def _learn_privilege(profile: Profile, event: Event) -> None:
        if event.target is not None:
            profile.learn(TARGET, micros(event.time), event.target)
        if is_root_shell(event):
            profile.learn(SHELL, micros(event.time), "root")

    def look(self, tx: Transaction, sessions: Iterable[Session], system: System, now: datetime) -> list[Told]:
        """Return which open sessions last too long, or have nobody at them; each once."""
        told: list[Told] = []
        for session in sessions:
            setting = self.policy.rules.get("too-long")
            lasts = (now - session.start).total_seconds()
            if setting is not None and lasts >= setting.numbers["after"]:
                facts = {"lasts": f"{lasts:.0f}", "most": f"{setting.numbers['after']:.0f}"}
                told += self._of_session(tx, session, Verdict("too-long", None, facts), now)
            setting, typed = self.policy.rules.get("idle"), system.typed.get(session.tty or "")
            quiet = 0.0 if typed is None else (now - max(typed, session.start)).total_seconds()
            if setting is not None and quiet >= setting.numbers["after"]:
                facts = {"lasts": f"{quiet:.0f}", "most": f"{setting.numbers['after']:.0f}"}
                told += self._of_session(tx, session, Verdict("idle", None, facts), now)
        return told

    def _of_session(self, tx: Transaction, session: Session, verdict: Verdict, now: datetime) -> list[Told]:
        if tx.history.incident(verdict.rule, session.host, session.id) is not None:
            return []
        time = micros(now)
        tx.history.put(verdict.rule, session.host, session.id, grow(None, time, time, 1, ())[0])
        start, lasts = session.start.astimezone(now.tzinfo), (now - session.start).total_seconds()
        event = event_of(model.FINDING, now, session)._replace(start=start, duration=lasts)
        return self.note(tx, event, verdict)

    def note(self, tx: Transaction, event: Event, verdict: Verdict) -> list[Told]:
        """Return what was found beside events of the log, if it is neither off nor silenced."""
        if verdict.rule not in self.policy.rules:
            return []
        found = find(verdict, event, self.policy, event.time.astimezone(self.zone))
        if not isinstance(found, Finding):
            return []
        self._note(tx, event, Judged((found,), (verdict,)))
        return [Told(event, (found,))]

    @staticmethod
    def _note(tx: Transaction, event: Event, judged: Judged) -> None:
        """Keep how an event was judged, for whoever asks why; of what is as it should be only what is worth a word.

        A normal end says so itself, and what automation does with sudo is not told.
        """
        kept = event.kind == model.LOGIN or (event.kind == model.PRIVILEGE and event.tty is not None)
        if not judged.findings and not kept:
            return
        verdicts = [[v.rule, v.reason, v.facts] for v in judged.verdicts if v.reason not in (None, *IDLE)]
        identity, facts = None, None
        if event.kind != model.LOGIN or judged.findings or event.session is None:  # else the session says all of it
            identity, facts = identify(event, [finding.rule for finding in judged.findings]), stored(event)
        findings = [finding_json(finding) for finding in judged.findings]
        tx.history.judged(Judgement(identity, event.session, facts, findings, verdicts), micros(event.time))
        for finding in judged.findings:
            tx.count("findings", finding.rule, finding.severity)
