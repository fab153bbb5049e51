"""The Ansible role against booted machines, from the signed repository, as a fleet's administrator runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.packages.conftest import NEW, URL, run
from tests.packages.masquerade import DISTRIBUTIONS, Masquerade
from tests.packages.operator import SECRET, Operator, Web
from tests.system.clients import until
from tests.system.machine import Machine
from tests.system.service import HERE, NAME, PORT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.packages.conftest import Built

TOOLS = HERE / "build/deploy/bin"
HOOK = f"http://127.0.0.1:{PORT}/open-apis/bot/v2/hook/try-me"
PREFIX = "user_session_monitor_"
LATER = "another-signing-key"


class Play:
    """The role's playbook for one machine, with what an inventory would say of it."""

    def __init__(self, place: Path, **host: object) -> None:
        self.variables: dict[str, Any] = {}
        self._place = place
        self._inventory = place / "hosts.yml"
        self._inventory.write_text(yaml.safe_dump({"all": {"hosts": {"web01": host}}}))
        self.changed = -1
        self.prefix: tuple[str, ...] = ()

    def run(self, *options: str, **variables: object) -> tuple[int, str]:
        """Run the playbook; return its exit code and all that it said, and note how much it changed."""
        file = self._place / "variables.json"
        given = {**self.variables, **variables}
        file.write_text(json.dumps({PREFIX + name: value for name, value in given.items()}))
        done = subprocess.run(
            [*self.prefix, TOOLS / "ansible-playbook", "-i", self._inventory, "-e", f"@{file}", *options, "site.yml"],
            cwd=HERE / "ansible",
            env={
                **os.environ,
                "PATH": f"{TOOLS}:{os.environ['PATH']}",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORCE_COLOR": "0",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        text = done.stdout + done.stderr
        counted = re.search(r"changed=(\d+)", text)
        self.changed = int(counted[1]) if counted else -1
        return done.returncode, text

    def must(self, *options: str, **variables: object) -> str:
        """Run the playbook, and fail as it fails."""
        code, text = self.run(*options, **variables)
        assert code == 0, text
        return text

    def refused(self, **variables: object) -> str:
        """Run the playbook, which must fail before it changes anything; return what it said, in one line."""
        code, text = self.run(**variables)
        assert (code != 0, self.changed) == (True, 0), text
        return " ".join(text.split())


@pytest.fixture(params=["bookworm", "trixie", *DISTRIBUTIONS])
def fleet(request: pytest.FixtureRequest, built: Built, tmp_path: Path) -> Iterator[tuple[Play, Operator, Web]]:
    """Return a playbook for a machine that does not know of us yet."""
    with Masquerade(request.param) if request.param in DISTRIBUTIONS else Machine(request.param) as machine:
        web, person = Web(machine, built), Operator(machine)
        if isinstance(machine, Masquerade):
            machine.platform(tmp_path)
        else:
            machine.run("sh", "-c", "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        play = Play(tmp_path, ansible_connection="community.docker.nsenter", ansible_nsenter_pid=machine.leader)
        key = tmp_path / "key.asc"
        key.write_bytes((built.repositories / f"old/{NAME}.asc").read_bytes())
        play.variables = {
            "repository_url": f"{URL}/current",
            "repository_key": str(key),
            "config": {"language": "zh", "notify": {"feishu": {"format": "text"}}},
            "secrets": {"notify": {"feishu": {"webhook_url": HOOK, "secret": SECRET}}},
        }
        yield play, person, web
        person.close()
        web.close()


def starts(person: Operator) -> int:
    """Return how often the service was started."""
    return person.said().count("Started User session monitor") + person.said().count("Started user-session-monitor.ser")


def test_a_host_from_pristine_to_absent(  # noqa: PLR0915 - one boot for all of it
    fleet: tuple[Play, Operator, Web],
) -> None:
    """Check mode, converge, again, a new secret, a wrong one, a new version, absent."""
    play, person, web = fleet
    machine = person.machine

    # What is missing is said before anything is done.
    refusals: list[tuple[dict[str, object], str]] = [
        ({"repository_url": ""}, "Set one of user_session_monitor_repository_url"),
        ({"wheel": "x.whl"}, "Set one of user_session_monitor_repository_url"),
        (
            {"repository_key": ""},
            "Set user_session_monitor_repository_key to the file with the repository's public key",
        ),
        ({"secrets": {}, "config": {}}, "No channel is configured for web01, so nobody would be told."),
    ]
    for variables, sentence in refusals:
        assert sentence in play.refused(**variables)
    release = machine.file("etc/os-release")
    known = release.read_text()
    release.write_text('NAME="Void Linux"\nID=void\nVERSION_ID="1"\n')
    assert "which this role does not know." in play.refused()
    release.write_text(known)

    # Check mode on a host that has nothing changes nothing.
    play.must("--check", "--diff")
    assert not machine.file(f"etc/{NAME}").exists()
    assert not machine.file("usr/bin/usm").exists()

    # It reports, says so, and a login is told.
    person.receive()
    text = play.must()
    assert "web01 reports: it watches journal and tells feishu." in text
    assert SECRET not in text
    client = machine.connect("alice", "key", "203.0.113.91")
    until(lambda: person.told() == [("login", "alice", client.port)], "the message")
    for name in ("config", "secrets"):
        assert person.must("stat", "-c", "%U:%G %a", f"/etc/{NAME}/{name}.yaml") == "root:usm 640\n"
    assert not machine.file(f"etc/{NAME}/.new").exists()

    # Nothing to do, and nothing done; nor would there be.
    pid = person.pid()
    play.must()
    assert (play.changed, person.pid()) == (0, pid)
    play.must("--check", "--diff")
    assert play.changed == 0

    # A new secret restarts it once, and is not shown.
    before = starts(person)
    play.variables["secrets"]["notify"]["feishu"]["secret"] = LATER
    text = play.must("--diff")
    assert LATER not in text
    assert starts(person) == before + 1
    pid = person.pid()

    # One that can't be used is refused before it lands.
    known = machine.file(f"etc/{NAME}/secrets.yaml").read_text()
    code, text = play.run("--diff", secrets={"notify": {"feishu": {"webhook_url": "ftp://nowhere/tip-top-secret"}}})
    assert code != 0
    assert "The configuration can't be used, and nothing was replaced" in text
    assert "secrets.yaml: notify.feishu: webhook_url: must begin with https://" in text, text
    assert "tip-top-secret" not in text
    assert machine.file(f"etc/{NAME}/secrets.yaml").read_text() == known
    assert not machine.file(f"etc/{NAME}/.new").exists()
    assert person.pid() == pid

    # A new version, then the file of the distribution by the unit's capability.
    web.offer("new")
    play.must(version="latest")
    assert person.must("usm", "--version") == f"{NAME} {NEW}\n"
    if getattr(machine, "distribution", None) is None or machine.distribution.log:  # type: ignore[attr-defined]
        play.must(log_source="file")
        assert person.status()["source"].startswith("file:/var/log/")
        assert machine.file(f"etc/systemd/system/{NAME}.service.d/secure.conf").exists() == isinstance(
            machine, Masquerade
        )

    # Gone, with all that it had; a second time there is nothing to do.
    play.must(state="absent", purge=True)
    found = person.out("find", "/etc", "/usr", "/opt", "/var/lib", "-name", f"*{NAME}*").splitlines()
    others = ("/var/lib/apt/", "/var/lib/dnf", "/var/lib/rpm", "/var/lib/systemd/deb-systemd", "/var/lib/dpkg/")
    assert [path for path in found if not path.startswith(others)] == []
    play.must(state="absent", purge=True)
    assert play.changed == 0


@pytest.mark.parametrize("fleet", ["bookworm"], indirect=True)
def test_from_a_wheel(fleet: tuple[Play, Operator, Web], built: Built) -> None:
    """In a virtual environment, with the distribution's libraries: reports, again changes nothing, absent."""
    play, person, _ = fleet
    machine = person.machine
    run(sys.executable, "-m", "build", "--wheel", "--outdir", "wheel", ".", cwd=built.old)
    (wheel,) = built.old.glob("wheel/*.whl")
    play.variables.update(repository_url="", wheel=str(wheel))
    play.must("--check", "--diff")
    person.receive()
    assert "web01 reports: it watches journal and tells feishu." in play.must()
    client = machine.connect("alice", "key", "203.0.113.91")
    until(lambda: person.told() == [("login", "alice", client.port)], "the message")
    assert person.must("ps", "-o", "user=", "-p", person.show("MainPID")) == "usm\n"
    play.must()
    assert play.changed == 0
    play.must(state="absent", purge=True)
    found = person.out("find", "/etc", "/usr", "/opt", "/var/lib", "-name", f"*{NAME}*").splitlines()
    assert [path for path in found if not path.startswith("/var/lib/")] == []
    play.must(state="absent", purge=True)
    assert play.changed == 0


@pytest.fixture
def nowhere(tmp_path: Path) -> Play:
    """Return a playbook for this host, in check mode and where process 1 is not systemd: nothing can be changed."""
    play = Play(tmp_path, ansible_connection="local", ansible_python_interpreter="/usr/bin/python3")
    play.prefix = ("unshare", "--pid", "--fork", "--mount-proc")
    play.variables = {"wheel": "x.whl", "secrets": {"notify": {"feishu": {"webhook_url": HOOK}}}}
    return play


def test_what_is_missing_is_said_before_anything_is_done(nowhere: Play) -> None:
    """One sentence for each: no systemd, a wrong type, a wrong word, no password of the vault."""
    cases: list[tuple[dict[str, object], str]] = [
        ({}, "web01 is not run by systemd but by"),
        ({"config": [1]}, "user_session_monitor_config"),
        ({"state": "gone"}, "value of user_session_monitor_state must be one of: present, absent"),
    ]
    for variables, sentence in cases:
        code, text = nowhere.run("--check", **variables)
        assert code != 0
        assert sentence in " ".join(text.split()), text
    code, text = nowhere.run("--check", "-i", str(HERE / "ansible/inventory/example/hosts.yml"))
    assert code != 0
    assert "vault" in text


def test_the_linters_have_nothing_to_say(tmp_path: Path) -> None:
    """yamllint, and ansible-lint by its profile for production."""
    password = tmp_path / "password"
    password.write_text("example\n")
    path = f"{TOOLS}:{os.environ['PATH']}"
    for words in (("yamllint", "--strict", "."), ("ansible-lint",)):
        done = subprocess.run(
            [TOOLS / words[0], *words[1:]],
            cwd=HERE / "ansible",
            env={**os.environ, "PATH": path, "ANSIBLE_VAULT_PASSWORD_FILE": str(password), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
