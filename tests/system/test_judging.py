"""What is abnormal, on booted machines: how sessions end, and what is usual there from before the monitor came."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.support import needed
from tests.system.clients import until
from tests.system.machine import Machine
from tests.system.service import CONFIG, NAME, PATIENCE, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.clients import Client

JUDGE = "judge: {rules: {idle: {after: 5s}}}\n"


@pytest.fixture(params=["bullseye", "bookworm", "trixie"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return a service that is not started yet, on a booted machine of each release that is tried live."""
    needed(Machine.missing())
    with Machine(request.param) as machine:
        installed = Service(machine)
        yield installed
        installed.close()


def received(service: Service, kind: str) -> list[dict[str, Any]]:
    """Return the messages of a kind that were received."""
    lines = service.received.read_text().splitlines() if service.received.exists() else []
    return [body for body in map(json.loads, lines) if body["kind"] == kind]


def rules(body: dict[str, Any]) -> list[str]:
    """Return which rules found something."""
    return [finding["rule"] for finding in body["findings"]]


def wait_for(service: Service, what: str, found: Callable[[], bool]) -> None:
    """Wait until something was received; what was told instead is said."""
    try:
        until(found, what, PATIENCE)
    except TimeoutError:
        heard = service.received.read_text() if service.received.exists() else "nothing"
        pytest.fail(f"{what}: {heard}\n{service.said()}")


def test_how_sessions_end_and_what_is_usual(service: Service) -> None:  # noqa: PLR0915 - one boot for all of it
    """Each abnormal end is told once, with its reason; who was here before is nobody new, a new account is."""
    machine = service.machine
    for user in ("alice", "root", "bob"):  # the past, before the monitor is there
        machine.connect(user, "key", "203.0.113.50").exit()
    service.install()
    service.configure(CONFIG + JUDGE)
    machine.run("systemctl", "enable", "--now", NAME)
    wait_for(service, "the past", lambda: "learned what is usual from" in service.said())
    ends: dict[int, str] = {}

    def connect(user: str, *, tty: bool = False, source: str = "203.0.113.50") -> Client:
        client = machine.connect(user, "key", source, tty=tty)
        wait_for(service, "a login", lambda: any(e["source_port"] == client.port for e in received(service, "login")))
        return client

    # Nobody is new who was here before; a normal end is nothing to speak of.
    client = connect("alice")
    client.exit()
    ends[client.port] = "disconnected"
    (login,) = (e for e in received(service, "login") if e["source_port"] == client.port)
    assert [rule for rule in rules(login) if rule.startswith(("new", "unusual"))] == []
    assert login["learning"] is not None
    text = service.out("usm", "baseline", "alice")
    assert "203.0.113.0/24" in text
    assert "publickey" in text

    client = connect("alice")
    client.kill()
    ends[client.port] = "closed"

    client = connect("bob", tty=True)
    machine.cut(client)  # the server gives up
    ends[client.port] = "timeout"

    client = connect("alice")
    pids = machine.server_pids(client)
    session = machine.session(pids[-1])
    for pid in reversed(pids):
        machine.signal(pid, signal.SIGKILL)
    client.wait()
    machine.forgotten(session)
    ends[client.port] = "closed"  # logind's word: it is over, and nobody says why

    client = connect("alice", tty=True)
    machine.run("loginctl", "terminate-session", machine.session(machine.server_pids(client)[-1]))
    client.wait()
    ends[client.port] = "terminated"

    # Nobody types: the terminal's own time tells.
    client = connect("bob", tty=True)
    wait_for(service, "idle", lambda: any("idle" in rules(e) for e in received(service, "finding")))
    (idle,) = (e for e in received(service, "finding") if "idle" in rules(e))
    assert (idle["user"], idle["source_port"]) == ("bob", client.port)
    client.exit()
    ends[client.port] = "disconnected"

    # An account that was just made.
    machine.run("useradd", "--create-home", "trudy")
    machine.run("cp", "-r", "/home/alice/.ssh", "/home/trudy/.ssh")
    machine.run("chown", "-R", "trudy", "/home/trudy")
    client = connect("trudy")
    client.exit()
    ends[client.port] = "disconnected"
    (login,) = (e for e in received(service, "login") if e["user"] == "trudy")
    assert {"new-user", "young-account"} <= set(rules(login))

    client = connect("alice")
    machine.reboot()
    ends[client.port] = "shutdown"
    service.receive()
    client = connect("alice")
    machine.crash()
    machine.boot()
    ends[client.port] = "crash"
    service.receive()

    def told() -> dict[int, str]:
        return {e["source_port"]: e["end_reason"] for e in received(service, "logout")}

    wait_for(service, "the ends", lambda: told() == ends)
    logouts = received(service, "logout")
    assert len(logouts) == len(ends)  # each once
    for body in logouts:
        abnormal = body["end_reason"] not in ("disconnected", "shutdown")
        assert ("abnormal-end" in rules(body), body["severity"]) == (abnormal, "warning" if abnormal else "info")
        if abnormal:
            text = service.out("usm", "explain", body["session"])
            assert "[abnormal-end]" in text
    assert received(service, "login")[-1]["severity"] == "info"
