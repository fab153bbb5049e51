"""The service as an operator has it: installed in booted Debian systems, run by their systemd as its own user.

Every exit code and every text here is what a person gets to see.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support import needed
from tests.system.clients import until
from tests.system.machine import Machine
from tests.system.service import CONFIG, HERE, NAME, PIDFILE, PORT, SECRET, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.clients import Client


@pytest.fixture(params=["bullseye", "bookworm", "trixie"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return the service on a booted machine of each release that is tried live."""
    needed(Machine.missing())
    with Machine(request.param) as machine:
        installed = Service(machine)
        installed.install()
        yield installed
        installed.close()


def test_start_and_what_can_go_wrong_with_it(service: Service) -> None:  # noqa: PLR0915 - one boot for all of it
    """With each kind of configuration and log, twice, as other users, with pidfiles of others; and stop."""
    assert service.ctl("start") == 0
    pid = service.pid()
    assert "watching journal (it proves who wrote a record)" in service.said()
    assert service.do("ps", "-o", "user=", "-p", pid) == (0, "usm\n")
    code, text = service.do("usm", "status")
    assert (code, text.splitlines()[0].partition(",")[0]) == (0, f"monitor: running (process {pid}")

    # twice: systemd has nothing to do, and nobody else may
    assert service.ctl("start") == 0
    as_usm = ("runuser", "-u", "usm", "--")
    assert service.do(*as_usm, "usm", "start") == (
        1,
        f"usm: the monitor is running already (process {pid}): see usm status\n",
    )
    code, text = service.do("usm", "start")
    assert code == 1
    assert f"/var/lib/{NAME} belongs to usm, who runs the service" in text
    assert f"Use: systemctl start {NAME}, or without systemd: runuser -u usm -- usm start" in text
    code, text = service.do("runuser", "-u", "bob", "--", "usm", "status")
    assert (code, "config.yaml: Permission denied; this must be run as root" in text) == (78, True)
    assert service.pid() == pid

    # a reload of a wrong configuration changes nothing, and says what is wrong; of a good one it is the same process
    service.configure("notify: {feishu: {webhook_ur: x}}\nretention: 1h\n")
    assert service.ctl("reload") != 0
    assert "webhook_ur: is no key that is known here; did you mean `webhook_url`?" in service.said()
    assert "usm: not reloaded: the monitor goes on as it was" in service.said()
    service.machine.signal(pid, 1)  # also where the signal is sent by hand
    until(lambda: service.status()["refused"] != [], "the refusal")
    assert "not reloaded, everything goes on as it was" in service.said()
    service.configure(CONFIG)
    assert service.ctl("reload") == 0
    assert (service.pid(), service.status()["refused"]) == (pid, [])

    # stop, and stop again
    assert service.ctl("stop") == 0
    assert (service.show("ActiveState"), service.show("Result")) == ("inactive", "success")
    assert not service.machine.file(PIDFILE[1:]).exists()
    assert service.do(*as_usm, "usm", "stop") == (0, "no monitor was running\n")
    assert service.do("usm", "status")[0] == 1

    # wrong, unreadable
    service.configure("notify: {feishu: {webhook_ur: x}}\n")
    assert service.ctl("start") != 0
    assert "status=78/CONFIG" in service.said()
    service.configure(CONFIG)
    service.machine.run("chmod", "600", f"/etc/{NAME}/config.yaml")
    service.do("systemctl", "stop", NAME)
    assert service.ctl("start") != 0
    assert f"chgrp usm /etc/{NAME}/config.yaml; chmod 640 /etc/{NAME}/config.yaml" in service.said()
    service.machine.run("chmod", "640", f"/etc/{NAME}/config.yaml")

    # a log that is not there yet is waited for; one that may not be read is an error with what to do
    service.do("systemctl", "stop", NAME)
    service.configure(CONFIG + "monitor: {log_file: /var/log/later.log}\n")
    assert service.ctl("start") == 0
    assert "usm: /var/log/later.log is not there: waiting for it" in service.said()
    assert service.ctl("stop") == 0
    service.configure(CONFIG + "monitor: {log_file: /var/log/secure}\n")
    assert service.ctl("start") != 0
    assert "/var/log/secure: no permission (owner root, group root, mode 0600; run as root, or let" in service.said()
    service.do("systemctl", "stop", NAME)
    service.configure(CONFIG)

    # pidfiles that were left behind: systemd removes them itself, so without it
    pidfile = f"/run/{NAME}-by-hand/usm.pid"
    service.machine.run("install", "-d", "-o", "usm", f"/run/{NAME}-by-hand")
    service.configure(CONFIG + f"pidfile: {pidfile}\n")
    words = ("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!")
    sleeper = service.machine.unit(*words, options=["--property=KillMode=none"]).strip()
    left = {
        "999999": "was left behind by process 999999, which is gone: it is replaced",
        sleeper: f"holds the number of process {sleeper} ('sleep'), which is no monitor: it is replaced",
        "": "is empty: it is replaced",
    }
    for content, said in left.items():
        service.machine.file(pidfile[1:]).write_text(content)
        service.machine.run("chown", "usm", pidfile)
        code, text = service.do(*as_usm, "usm", "start")
        assert (code, f"usm: pidfile {pidfile} {said}" in text) == (0, True), text
        assert re.search(r"^started, process \d+: watching journal", text, re.MULTILINE)
        assert service.do(*as_usm, "usm", "stop")[0] == 0
    assert service.do("kill", "-0", sleeper)[0] == 0  # and is left alone
    service.machine.file(pidfile[1:]).write_text("root:x:0:0\n")
    code, text = service.do(*as_usm, "usm", "start")
    assert (code, text) == (
        1,
        f"usm: pidfile {pidfile}: this file is none; remove it, or set `pidfile:` to another path\n",
    )


def test_nothing_is_missed_under_load(service: Service) -> None:
    """Restarted, reloaded and killed while people come and go: every session is recorded and told, once."""
    assert service.ctl("start") == 0
    machine, clients = service.machine, []
    for number in range(18):
        client = machine.connect("alice" if number % 2 else "bob", "key", "203.0.113.91")
        clients.append(client)
        if number % 3 == 0:
            assert service.ctl("restart") == 0
        elif number % 3 == 1:
            service.configure(CONFIG + f"people: {{somebody: [SHA256:{number}]}}\n")
            assert service.ctl("reload") == 0
        else:
            machine.signal(service.pid(), 9)
        if number >= 3:
            clients[number - 3].exit()
        # systemd starts a killed service again after a second, and not more than five times in ten
        until(lambda: service.show("ActiveState") == "active", "the restart")
        machine.run("systemctl", "reset-failed", NAME)
    for client in clients[-3:]:
        client.exit()
    service.check(clients, {})


def test_a_monitor_that_hangs_is_restarted(service: Service) -> None:
    """By systemd's watchdog; one that lives is left alone for longer than that."""
    service.drop_in("[Service]\nWatchdogSec=10\n")
    assert service.ctl("start") == 0
    first = service.pid()
    client = service.machine.connect("alice", "key", "203.0.113.91")
    until(lambda: len(service.sessions()) == 1, "the login")
    heard: set[str] = set()

    def lives() -> bool:
        heard.add(service.show("WatchdogTimestampMonotonic"))
        return len(heard) > 3

    until(lives, "what it says of its life", 60)
    assert service.pid() == first
    service.machine.signal(first, 19)
    client.exit()
    until(lambda: service.show("NRestarts") == "1" and service.show("ActiveState") == "active", "the restart", 60)
    assert "Watchdog timeout" in service.said()
    service.check([client], {})


def test_in_the_foreground_and_with_a_credential(service: Service) -> None:
    """The documented changes of the unit work as they are written."""
    texts = {path.stem: path.read_text() for path in (HERE / "docs/systemd/drop-ins").glob("*.conf")}
    service.drop_in(texts["foreground"].replace("@PREFIX@", "/usr") + texts["credential"])
    service.machine.file(f"etc/{NAME}/webhook").write_text(f"http://127.0.0.1:{PORT}/\n")
    service.machine.file(f"etc/{NAME}/webhook").chmod(0o600)
    service.configure(f"notify: {{hook: {{type: webhook, url_file: webhook, secret: {SECRET}}}}}\n")
    assert service.ctl("start") == 0
    assert service.show("StatusText").startswith("watching journal")
    assert "usm run" in service.do("ps", "-o", "args=", "-p", service.show("MainPID"))[1].replace(NAME, "usm")
    client = service.machine.connect("alice", "key", "203.0.113.91")
    assert service.ctl("reload") == 0
    client.exit()
    service.check([client], {})
    assert service.ctl("stop") == 0
    assert service.show("Result") == "success"

    service.drop_in(texts["secure"])
    service.configure(CONFIG + "monitor: {log_file: /var/log/secure}\n")
    assert service.ctl("start") == 0
    assert service.status()["source"] == "file:/var/log/secure"


def test_who_is_on_when_the_machine_goes_down(service: Service) -> None:
    """A reboot and a power-off with open sessions: each ends once, as a shutdown, and is told before it is dark."""
    machine = service.machine
    machine.run("systemctl", "enable", "--now", NAME)
    clients: list[Client] = []
    reasons: dict[int, str] = {}

    for verb, code in (("reboot", 133), ("poweroff", 0)):  # what a container's end says of each
        client = machine.connect("alice", "key", "203.0.113.91")
        until(lambda: len(service.sessions()) == len(clients) + 1, "the login")
        clients.append(client)
        reasons[client.port] = "shutdown"
        machine.run("systemctl", verb, "--no-block")
        machine._down(code)
        assert service.told() == sorted((kind, c.user, c.port) for c in clients for kind in ("login", "logout"))
        machine.boot()
        service.receive()
        assert service.show("ActiveState") == "active"
        service.check(clients, reasons)


def test_the_unit_is_hardened(service: Service) -> None:
    """As this release's systemd measures it; and its groups are enough."""
    assert service.ctl("start") == 0
    text = service.do("systemd-analyze", "security", "--no-pager", NAME)[1]
    exposure = re.search(r"Overall exposure level for \S+: (\d+\.\d)", text)
    assert exposure is not None, text
    assert float(exposure[1]) <= 1.2, text
    text = service.machine.file(f"proc/{service.pid()}/status").read_text()
    assert re.search(r"^CapEff:\s+0+$", text, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", text, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", text, re.MULTILINE)
