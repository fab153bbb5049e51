"""The .deb as its user has it: from a signed repository into booted Debian systems, by their apt and systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.packages.conftest import NEW, NEWS, OLD
from tests.packages.operator import Operator, Web, away_with_the_older, told_by_the_readme
from tests.system.clients import until
from tests.system.machine import Machine
from tests.system.service import NAME, PORT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.packages.conftest import Built

APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y")
KEEP = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
INSTALL = (*APT, "install", NAME)
# What a purge leaves of the name, and who else keeps it: apt what it fetched, systemd its notes of units.
OTHERS = ("/var/lib/apt/lists/", "/var/cache/apt/", "/var/log/", "/usr/share/keyrings/", "/etc/apt/")


@pytest.fixture(params=["bullseye", "bookworm", "trixie"])
def operator(request: pytest.FixtureRequest, built: Built) -> Iterator[tuple[Operator, Web]]:
    """Return an operator of a machine that gets its packages from our repository only."""
    with Machine(request.param) as machine:
        web, person = Web(machine, built), Operator(machine)
        machine.run("sh", "-c", "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        yield person, web
        person.close()
        web.close()


def test_from_the_first_install_to_the_purge(operator: tuple[Operator, Web]) -> None:
    """Refuse what is wrongly signed; install, configure, upgrade, remove, install again, purge."""
    person, web = operator
    machine = person.machine
    *keys, update, install = told_by_the_readme("apt")
    person.follow(keys)
    _refuses(person, web)

    # Installed and nothing configured: it runs at once, records, and says how to be told.
    person.follow([update, install])
    assert person.show("ActiveState") == "active"
    assert person.must("systemctl", "is-enabled", NAME) == "enabled\n"
    person.pid()
    assert person.must("stat", "-c", "%U:%G %a", f"/etc/{NAME}/config.yaml") == "root:usm 640\n"
    first = machine.connect("bob", "key", "203.0.113.91")
    until(lambda: [session[0] for session in person.sessions()] == ["bob"], "the session")
    assert "channels: none, so nobody is told; add one under `notify:`" in person.do("usm", "check")[1]
    assert "notify:" in person.must("usm", "status")

    # With a channel, Feishu hears of the next login, and of the end of the first.
    person.add_feishu()
    person.receive()
    person.must("systemctl", "reload", NAME)
    second = machine.connect("alice", "key", "203.0.113.91")
    until(lambda: person.told() == [("login", "alice", second.port)], "the message")

    # Upgraded while people come and go: configuration and sessions are kept, and nobody is missed.
    config = machine.file(f"etc/{NAME}/config.yaml").read_text("utf-8")
    web.offer("new")
    person.must(*APT, "update")
    clients = person.busy(lambda: person.must(*APT, *KEEP, "--only-upgrade", "install", NAME))
    assert person.must("usm", "--version") == f"{NAME} {NEW}\n"
    assert person.must("dpkg-query", "--show", NAME) == f"{NAME}\t{NEW}\n"
    assert machine.file(f"etc/{NAME}/config.yaml").read_text("utf-8") == config
    assert NEWS in machine.file(f"etc/{NAME}/config.yaml.dpkg-dist").read_text("utf-8")
    assert person.must("stat", "-c", "%U:%G %a", f"/etc/{NAME}/config.yaml") == "root:usm 640\n"
    person.pid()
    second.exit()
    person.recorded(first, [second, *clients], still=True)

    # Removed, the state stays; installed again, it goes on where it was: the first session is still on.
    person.must(*APT, "remove", NAME)
    assert person.show("ActiveState") in ("inactive", "failed")
    assert person.do("usm", "--version")[0] != 0
    assert machine.file(f"var/lib/{NAME}/state.db").exists()
    third = machine.connect("alice", "key", "203.0.113.91")
    third.exit()
    person.must(*INSTALL)
    assert person.show("ActiveState") == "active"
    first.exit()
    person.recorded(first, [second, third, *clients], still=False)

    # Purged: nothing is left, also not of what ran.
    person.must(*APT, "purge", NAME)
    assert person.do("pgrep", "--full", "user-session-monitor")[1] == ""
    found = person.out("find", "/", "-xdev", "-name", "*user-session-monitor*").splitlines()
    assert [path for path in found if not path.startswith((*OTHERS, "/run/", "/proc/"))] == []
    assert not machine.file("usr/bin/usm").exists()
    assert machine.run("find", "/run", "/etc/systemd", "-name", f"{NAME}*").split() == []


OLDER_UNIT = f"""
[Unit]
Description=User Session Monitor
After=network.target

[Service]
Type=simple
ExecStart=/usr/local/bin/{NAME} run -config /etc/{NAME}/config.yaml
WorkingDirectory=/etc/{NAME}
Restart=always

[Install]
WantedBy=multi-user.target
"""
OLDER_CONFIG = f"""
feishu:
  webhook_url: "http://127.0.0.1:{PORT}/open-apis/bot/v2/hook/try-me"
monitor:
  log_file: "/var/log/auth.log"
"""


@pytest.mark.parametrize("operator", ["bookworm"], indirect=True)
def test_from_the_older_go_tool(operator: tuple[Operator, Web]) -> None:
    """Installed over it, `usm check` names what is in the way; README.md's commands remove it, and its file works."""
    person, _ = operator
    machine = person.machine
    machine.file(f"etc/{NAME}").mkdir()
    machine.file(f"etc/{NAME}/config.yaml").write_text(OLDER_CONFIG)
    machine.file(f"etc/{NAME}/config.yaml").chmod(0o644)
    machine.file(f"etc/{NAME}/run").write_text("while :; do sleep 9; done\n")  # a shell passes for the binary
    machine.run("cp", "/bin/dash", f"/usr/local/bin/{NAME}")
    machine.file(f"etc/systemd/system/{NAME}.service").write_text(OLDER_UNIT)
    machine.run("systemctl", "enable", "--now", NAME)
    older = person.show("MainPID")

    *keys, update, _ = told_by_the_readme("apt")
    person.follow([*keys, update])
    assert "is used in place of this package's unit" in person.must(*APT, *KEEP, "install", NAME)
    assert machine.file(f"etc/{NAME}/config.yaml").read_text() == OLDER_CONFIG
    code, text = person.do("usm", "check")
    assert code == 1
    assert f"fail  older tool: the Go tool of this name runs (process {older})" in text
    assert f"warn  older tool: /etc/systemd/system/{NAME}.service is the Go tool's" in text
    assert f"warn  older tool: /usr/local/bin/{NAME} is the Go tool's" in text

    remove, again = away_with_the_older()
    person.follow(remove)
    person.receive(secret=None)
    person.follow(again[1:])
    code, text = person.do("usm", "check")
    assert "older tool" not in text
    assert person.must("systemctl", "is-enabled", NAME) == "enabled\n"
    assert person.status()["source"] == "file:/var/log/auth.log"
    client = machine.connect("alice", "key", "203.0.113.91")
    client.exit()
    person.recorded(None, [client], still=False)


def _refuses(person: Operator, web: Web) -> None:
    """Neither a list of another's, nor one that nobody signed, nor another package than the listed one gets in."""
    for name, why in (("strange", "NO_PUBKEY"), ("unsigned", "is not signed")):
        web.offer(name)
        text = person.refused(*APT, "update")
        assert why in text or "signature" in text.lower(), text
        assert "Unable to locate package" in person.refused(*INSTALL)
    web.offer("old")
    person.must(*APT, "update")
    web.offer("altered")
    text = person.refused(*INSTALL)
    assert "Hash Sum mismatch" in text or "unexpected size" in text, text
    assert person.do("dpkg-query", "--show", NAME)[0] != 0
    assert OLD in person.must("apt-cache", "policy", NAME)
    web.offer("old")
