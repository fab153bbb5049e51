"""The running monitor on booted Debian systems: what it stored and told is what was done, from a file and the journal.

Both monitors watch the same machine at once, as units of its systemd, so that both come back by themselves after a
reboot, a power-off and a crash.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import needed
from tests.system import machine_scenarios, scenarios
from tests.system.clients import until
from tests.system.machine import Machine
from tests.system.machine_scenarios import erased
from tests.system.scenarios import login, logout
from tests.test_goldens import unmatched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.scenarios import Fact

HERE = Path(__file__).parents[2]
SUITES = ("bookworm", "trixie")
SOURCES = {"file": "source: file", "journal": "source: auto"}
UNIT = """
[Service]
Environment=PYTHONPATH=/opt PYTHONUNBUFFERED=1
ExecStart=/usr/bin/python3 -m usm -c /etc/usm-{name}.yaml run
StandardOutput=append:/var/lib/usm-{name}.txt
StandardError=append:/var/lib/usm-{name}.txt
[Install]
WantedBy=multi-user.target
"""
CONFIG = """
monitor: {{{source}}}
state: /var/lib/usm-{name}/state.db
people: {{Alice Liddell: {key}}}
notify: {{console: {{}}}}
"""
DUMP = """
import json, sys
from usm.core.alert import event_json
from usm.core.model import Event
from usm.core.pair import logout_event
from usm.store import Store
store = Store(sys.argv[1], readonly=True)
events = store.events()
for s in store.sessions(everything=True):
    facts = (s.user, s.source_ip, s.source_port, s.method, s.key, s.tty, s.leader, s.id)
    events.append(Event("login", s.start, s.host, s.service, *facts))
    events += [logout_event(s)] if s.end else []
for f in store.failures():
    for user, method, invalid, count in f.who:
        event = Event("failed", f.time, f.host, f.service, user or None, f.source_ip, method=method)
        events += [event._replace(invalid_user=invalid)] * count
for event in events:
    print(json.dumps(event_json(event)))
"""
PATIENCE = 150.0  # seconds; what no line tells is looked for once a minute


class Monitors:
    """The two monitors of a machine, and what should have come of what happened so far."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.truth: list[Fact] = []
        self.silent = 0  # sessions that were adopted without a message
        shutil.copytree(HERE / "usm", machine.file("opt/usm"), ignore=shutil.ignore_patterns("__pycache__"))
        key = machine.run("ssh-keygen", "-lf", "/home/alice/.ssh/authorized_keys").split()[1]
        for name, source in SOURCES.items():
            machine.file(f"etc/usm-{name}.yaml").write_text(CONFIG.format(name=name, source=source, key=key))
            machine.file(f"etc/systemd/system/usm-{name}.service").write_text(UNIT.format(name=name))
        machine.run("systemctl", "daemon-reload")
        self.do("enable")
        self.start()

    def do(self, verb: str) -> None:
        """Tell systemd something of both."""
        self.machine.run("systemctl", "--quiet", verb, *(f"usm-{name}.service" for name in SOURCES))

    def start(self) -> None:
        """Start both and wait until they watch."""
        before = {name: self.output(name).count("watching") for name in SOURCES}
        self.do("start")
        for name in SOURCES:
            until(lambda name=name: self.output(name).count("watching") > before[name], self.output(name))  # type: ignore[misc]

    def output(self, name: str) -> str:
        """Return what a monitor printed so far."""
        path = self.machine.file(f"var/lib/usm-{name}.txt")
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def stored(self, name: str) -> list[dict[str, Any]]:
        """Return what a monitor has recorded, as events."""
        printed = self.machine.run("env", "PYTHONPATH=/opt", "python3", "-c", DUMP, f"/var/lib/usm-{name}/state.db")
        return [json.loads(line) for line in printed.splitlines()]

    def due(self, name: str) -> list[dict[str, Any]]:
        """Return what a monitor must have recorded: also what no line tells, but the system does."""
        rows = []
        for row in self.truth:
            fact = {k: v for k, v in row.items() if k not in ("file", "journal", "scenario")}
            fact.update(row.get(name, {}))  # type: ignore[call-overload]
            logged = fact.pop("logged", True)
            if fact["kind"] == "failed" and not logged:
                continue
            if fact["kind"] == "failed":  # folded, whatever connection it was in
                fact["source_port"] = None
            if logged == "maybe":
                del fact["end_reason"]
            rows.append({**fact, "maybe": False})
        return rows

    def check(self, more: list[Fact], *, silent: int = 0) -> None:
        """Demand that all that was ever recorded and told is what was done, no more and no less."""
        self.truth += more
        self.silent += silent
        for name in SOURCES:
            with suppress(TimeoutError):  # then the assertions say what is wrong
                until(lambda name=name: self.settled(name), "the records", PATIENCE)  # type: ignore[misc]
            assert unmatched(self.stored(name), self.due(name)) == ([], []), self.output(name)
            assert self.told(name) == self.expected(name)

    def settled(self, name: str) -> bool:
        """Tell whether nothing is missing any more; not asked too often, as it is the machine that answers."""
        time.sleep(0.5)
        return not unmatched(self.stored(name), self.due(name))[1] and self.told(name) == self.expected(name)

    def told(self, name: str) -> Counter[str]:
        """Return how many messages of each kind a monitor printed."""
        titles = re.findall(r"^(用户登录通知|用户登出通知|提权通知)", self.output(name), re.MULTILINE)
        return Counter(titles)

    def expected(self, name: str) -> Counter[str]:
        """Return how many there should be."""
        stored = self.due(name)
        kinds = Counter(fact["kind"] for fact in stored)
        acted = sum(fact["kind"] == "privilege" and fact["service"] != "doas" for fact in stored)
        counted = {"用户登录通知": kinds["login"] - self.silent, "用户登出通知": kinds["logout"], "提权通知": acted}
        return Counter({title: count for title, count in counted.items() if count})


@pytest.fixture(params=SUITES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Return a booted machine of each release that is tried live."""
    needed(Machine.missing())
    with Machine(request.param) as booted:
        yield booted


def test_a_machine_is_watched(machine: Machine) -> None:
    """All that can happen to a session, from before the first start to after a crash."""
    before = machine.connect("bob", "key", "203.0.113.90", tty=True)
    console = machine.terminal()
    console.login("bob", machine.passwords["bob"])
    monitors = Monitors(machine)
    for name in SOURCES:
        until(lambda name=name: len(monitors.stored(name)) == 2, "the adoption")  # type: ignore[misc]
    before.exit()
    console.exit()
    console.close()
    adopted = [login(before), machine_scenarios.seat("bob")]
    monitors.check([*adopted, logout(before, "disconnected"), machine_scenarios.left("bob")], silent=2)

    for act in (*scenarios.ALL, *machine_scenarios.SSH, *machine_scenarios.LOCAL):
        monitors.truth += act(machine)
    monitors.check([])
    assert "使用者：Alice Liddell" in monitors.output("journal")

    stays = machine.connect("alice", "key", "203.0.113.91")
    monitors.check([login(stays)])
    monitors.do("stop")
    stays.exit()
    missed = scenarios.command(machine)
    machine.written()
    monitors.start()
    monitors.check([logout(stays, "disconnected"), *missed])
    assert monitors.output("journal").count("补报") == 3

    for power in machine_scenarios.POWER:
        monitors.check(power(machine))


def test_who_ended_while_nobody_watched(machine: Machine) -> None:
    """The processes of a session are killed while the monitors are down, and the log says nothing of it."""
    monitors = Monitors(machine)
    monitors.check(scenarios.key(machine))
    monitors.do("stop")
    truth = erased(machine)
    machine.written()
    monitors.start()
    for row in truth:
        if row["kind"] == "logout":
            row["end_reason"] = "unobserved"
    monitors.check(truth)
    assert "至" in monitors.output("file").rpartition("登出时间：")[2].split("\n")[0]
