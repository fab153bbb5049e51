"""The .rpm by dnf and zypper, from a signed repository, into booted machines that pass for other distributions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.packages.conftest import NEW, NEWS, OLD
from tests.packages.masquerade import DISTRIBUTIONS, Masquerade
from tests.packages.operator import Operator, Web, told_by_the_readme
from tests.system.clients import until
from tests.system.service import HERE, NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.packages.conftest import Built

# verb: how each tool is told, without questions
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "dnf": {
        "refresh": ("dnf", "-y", "makecache", "--refresh"),
        "install": ("dnf", "-y", "install", NAME),
        "upgrade": ("dnf", "-y", "upgrade", NAME),
        "erase": ("dnf", "-y", "remove", NAME),
    },
    "zypper": {
        "refresh": ("zypper", "--non-interactive", "refresh", "--force"),
        "install": ("zypper", "--non-interactive", "install", NAME),
        "upgrade": ("zypper", "--non-interactive", "update", NAME),
        "erase": ("zypper", "--non-interactive", "remove", NAME),
    },
}


@pytest.fixture(params=list(DISTRIBUTIONS))
def operator(
    request: pytest.FixtureRequest, built: Built, tmp_path: Path
) -> Iterator[tuple[Masquerade, Operator, Web]]:
    """Return an operator of a machine that knows our repository and its key."""
    with Masquerade(request.param) as machine:
        web, person = Web(machine, built), Operator(machine)
        machine.platform(tmp_path)
        yield machine, person, web
        person.close()
        web.close()


def test_from_the_first_install_to_the_erasure(  # noqa: PLR0915 - one boot for all of it
    operator: tuple[Masquerade, Operator, Web],
) -> None:
    """Refuse what is wrongly signed; install, start, configure, upgrade, read the log's file too, erase."""
    machine, person, web = operator
    words = WORDS[machine.distribution.tool]
    *keys, install, start = told_by_the_readme(machine.distribution.tool)
    person.follow(keys)
    _refuses(person, web, words)

    # Installed, it waits for the administrator, as the presets of these distributions want it.
    person.must(*words["refresh"])
    person.follow([install])
    assert person.must("rpm", "--query", NAME) == f"{NAME}-{OLD}-1.noarch\n"
    assert person.do("rpm", "--verify", NAME) == (0, "")
    assert person.do("systemctl", "is-enabled", NAME)[1] == "disabled\n"
    assert person.show("ActiveState") == "inactive"
    assert person.must("id", "-Gn", "usm").split() == ["usm", "adm", "systemd-journal"]
    person.follow([start])
    person.pid()
    first = machine.connect("bob", "key", "203.0.113.91")
    until(lambda: [session[0] for session in person.sessions()] == ["bob"], "the session")

    # With a channel, Feishu hears of the next login.
    person.add_feishu()
    person.receive()
    person.must("systemctl", "reload", NAME)
    second = machine.connect("alice", "key", "203.0.113.91")
    until(lambda: person.told() == [("login", "alice", second.port)], "the message")
    assert person.status()["source"] == "journal"

    # Upgraded while people come and go.
    config = machine.file(f"etc/{NAME}/config.yaml").read_text("utf-8")
    web.offer("new")
    person.must(*words["refresh"])
    clients = person.busy(lambda: person.must(*words["upgrade"]))
    assert person.must("rpm", "--query", NAME) == f"{NAME}-{NEW}-1.noarch\n"
    assert person.must("usm", "--version") == f"{NAME} {NEW}\n"
    assert machine.file(f"etc/{NAME}/config.yaml").read_text("utf-8") == config
    assert NEWS in machine.file(f"etc/{NAME}/config.yaml.rpmnew").read_text("utf-8")
    person.pid()
    second.exit()
    person.recorded(first, [second, *clients], still=True)

    # Only the configuration differs from what was installed: running it left nothing among the package's files.
    changed = person.do("rpm", "--verify", NAME)[1].split()
    assert changed[1:] == ["c", f"/etc/{NAME}/config.yaml"]

    # The distribution's own file, where it has one, by the documented drop-in, for it is root's alone.
    if machine.distribution.log:
        drop_in = (HERE / "docs/systemd/drop-ins/secure.conf").read_text("utf-8")
        person.drop_in(drop_in)
        machine.file(f"etc/{NAME}/config.yaml").write_text(config + "monitor: {source: file}\n", "utf-8")
        person.must("systemctl", "restart", NAME)
        assert person.status()["source"] == f"file:/var/log/{machine.distribution.log}"
    first.exit()
    third = machine.connect("alice", "key", "203.0.113.91")
    third.exit()
    person.recorded(first, [second, third, *clients], still=False)

    # Erased: the program is gone, what was recorded and configured stays.
    if machine.distribution.log:
        machine.run("rm", "-r", f"/etc/systemd/system/{NAME}.service.d")
    person.must(*words["erase"])
    assert person.do("rpm", "--query", NAME)[0] == 1
    assert person.do("pgrep", "--full", f"bin/{NAME}")[1] == ""
    found = person.out("find", "/", "-xdev", "-name", "*user-session-monitor*", "-not", "-path", "/var/*").split()
    kept = [f"/etc/{NAME}"]
    assert (
        sorted(path for path in found if not path.startswith(("/proc/", "/etc/yum", "/etc/zypp", "/etc/pki"))) == kept
    )
    assert machine.run("ls", f"/etc/{NAME}").split() == ["config.yaml.rpmnew", "config.yaml.rpmsave"]
    assert machine.file(f"var/lib/{NAME}/state.db").exists()


def _refuses(person: Operator, web: Web, words: dict[str, tuple[str, ...]]) -> None:
    """Neither a list of another's or nobody's, nor a package that is not signed or not the listed one, gets in."""
    for name in ("strange", "unsigned"):
        web.offer(name)
        text = person.do(*words["refresh"])[1]  # dnf goes on without a repository, as Debian's dnf is set up
        assert "gpg" in text.lower() or "signature" in text.lower(), text
        person.refused(*words["install"])
    for name, why in (("loose", "not signed"), ("altered", "checksum|Signature verification failed")):
        web.offer(name)
        person.must(*words["refresh"])
        text = person.refused(*words["install"])
        assert re.search(why, text), text
    assert person.do("rpm", "--query", NAME)[0] == 1
    web.offer("old")
