"""What the tests of the packages share: two versions, built and signed once, and a web server in a booted machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Callable, NamedTuple

import pytest

import usm
from tests.system.clients import until
from tests.system.conftest import LABELS, TITLES
from tests.system.service import HERE, NAME, PATIENCE, PORT, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.clients import Client
    from tests.system.machine import Machine

OLD, NEW = usm.__version__, "99.0.0"
WEB = 8000
URL = f"http://127.0.0.1:{WEB}"
SECRET = "signing-key-of-the-robot"
FEISHU = f"""
notify:
  feishu: {{webhook_url: "http://127.0.0.1:{PORT}/open-apis/bot/v2/hook/try-me", secret: {SECRET}, format: text}}
"""
NEWS = "# A line that only the new version's sample has.\n"


class Built(NamedTuple):
    """Source trees of two versions whose `dist` holds their packages, and a directory of repositories.

    `repositories`: `old`, `new` signed with the key that clients know; `strange` by another; `unsigned`; `altered`,
    where the packages are not those that were signed; `loose`, a list that is signed of an .rpm that is not.
    """

    old: Path
    new: Path
    repositories: Path


def run(*words: object, cwd: Path = HERE, **variables: str) -> str:
    """Run a command and return what it printed; what it complained of is shown when it fails."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def tree(place: Path) -> Path:
    """Copy the source tree as it is now, committed or not, and commit it there."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    place.mkdir(parents=True)
    names = "\0".join(name for name in listed.split("\0") if (HERE / name).is_file())
    subprocess.run(["rsync", "-a", "--from0", "--files-from=-", f"{HERE}/", place], input=names.encode(), check=True)
    run("git", "init", "--quiet", cwd=place)
    commit(place)
    return place


def commit(place: Path) -> None:
    """Commit all of a copy: what is packaged is what is committed."""
    run("git", "add", "--all", cwd=place)
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    run("git", *who, "commit", "--quiet", "--message=as it is", cwd=place)


def key(home: Path) -> dict[str, str]:
    """Make a signing key; return the variables with which gpg finds it."""
    home.mkdir(mode=0o700)
    variables = {"GNUPGHOME": str(home)}
    words = ("--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "test@localhost", "rsa3072", "sign")
    run("gpg", *words, **variables)
    return variables


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Build and sign both versions."""
    if os.geteuid() != 0:
        pytest.fail("the tests of the packages boot machines, and need root")
    place = tmp_path_factory.mktemp("packages")
    old, new, repositories = tree(place / "old"), tree(place / "new"), place / "repositories"
    run("make", "bump", f"NEW={NEW}", cwd=new)
    with (new / "usm/config.example.yaml").open("a") as sample:
        sample.write(NEWS)
    commit(new)
    repositories.mkdir()
    known, stranger = key(place / "known"), key(place / "stranger")
    for source, name in ((old, "old"), (new, "new")):
        run("make", "deb", "rpm", cwd=source)
        run("make", "repo", "KEY=test@localhost", f"URL={URL}/current", cwd=source, **known)
        (source / "dist/repo").rename(repositories / name)
    run(".ci/repository", "dist", repositories / "strange", "test@localhost", f"{URL}/current", cwd=old, **stranger)
    for name in ("unsigned", "altered"):
        run("cp", "-a", repositories / "old", repositories / name)
    for signature in ("apt/dists/stable/InRelease", "apt/dists/stable/Release.gpg", "rpm/repodata/repomd.xml.asc"):
        (repositories / "unsigned" / signature).unlink()
    for package in (repositories / "altered").rglob(f"{NAME}*.[dr][ep][bm]"):
        data = bytearray(package.read_bytes())
        data[-100] ^= 1
        package.write_bytes(data)
    loose = repositories / "loose/rpm"
    run("cp", "-a", repositories / "old", loose.parent)
    run("sh", "-c", f"cp {old}/dist/*.noarch.rpm {loose}/; createrepo_c --quiet {loose}")
    listed = loose / "repodata/repomd.xml"
    run("gpg", "--batch", "--yes", "--detach-sign", "--armor", listed, **known)
    run("cp", repositories / f"old/{NAME}.asc", f"{listed}.key")
    yield Built(old, new, repositories)
    for variables in (known, stranger):  # gpg's agents stay otherwise
        run("gpgconf", "--kill", "all", **variables)


def served(machine: Machine, port: int) -> bool:
    """Say whether something listens, also where its process is not the machine's."""
    return machine.run("ss", "-tlnH", f"sport = :{port}") != ""


class Web:
    """A web server in a machine's network, which offers one of the repositories as `current`."""

    def __init__(self, machine: Machine, built: Built) -> None:
        self._root = machine.root / "web"
        self._root.mkdir()
        self._built = built
        self.offer("old")
        words = machine.beside(sys.executable, "-m", "http.server", WEB, "--bind", "127.0.0.1", "-d", self._root)
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: served(machine, WEB), "the web server")

    def offer(self, name: str) -> None:
        """Offer another repository from now on."""
        link = self._root / "next"
        link.symlink_to(self._built.repositories / name)
        link.rename(self._root / "current")

    def close(self) -> None:
        """Stop serving."""
        self._process.kill()
        self._process.wait()


class Operator(Service):
    """Who installs the package in a booted machine, and a Feishu that is told."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.received = machine.root / "feishu.txt"

    def receive(self) -> None:
        """Be Feishu in the machine's network."""
        self.close()
        fake = HERE / "tests/fakes/feishu.py"
        with self.received.open("ab") as file:
            words = self.machine.beside(sys.executable, fake, "--port", PORT, "--secret", SECRET)
            self._receiver = subprocess.Popen(words, stdout=file, stderr=file)
        until(lambda: served(self.machine, PORT), "Feishu")

    def told(self) -> list[tuple[str, str, int]]:
        """Return all events that Feishu was told: kind, user and port."""
        texts = re.split(r"^--- .*\n", self.received.read_text("utf-8"), flags=re.MULTILINE)[2:]
        found = []
        for text in texts:
            title, *lines = text.rstrip("\n").split("\n")
            facts = dict(line.split("：", 1) for line in lines)
            found.append((TITLES[title], facts[LABELS["user"]], int(facts[LABELS["source_port"]])))
        return sorted(found)

    def add_feishu(self) -> None:
        """Add a channel to the configuration as the package brought it."""
        config = self.machine.file(f"etc/{NAME}/config.yaml")
        config.write_text(config.read_text("utf-8") + FEISHU, "utf-8")

    def must(self, *argv: object) -> str:
        """Run a command in the machine as root; return all that it said; fail as it fails."""
        code, text = self.do(*argv)
        assert code == 0, text
        return text

    def refused(self, *argv: object) -> str:
        """Run a command in the machine as root that must fail; return all that it said."""
        code, text = self.do(*argv)
        assert code != 0, text
        return text

    def busy(self, change: Callable[[], object]) -> list[Client]:
        """Let people come and go while something changes; return them."""
        clients, ended = [], threading.Event()

        def come_and_go() -> None:
            while not ended.is_set() or len(clients) < 3:
                client = self.machine.connect("alice", "key", "203.0.113.91")
                clients.append(client)
                client.exit()

        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            change()
        finally:
            ended.set()
            thread.join()
        return clients

    def recorded(self, first: Client, others: list[Client], *, still: bool) -> None:
        """Wait until each of these is recorded and told once, no more; the first was on before anybody was told."""
        sessions = [(client.user, client.port, "disconnected") for client in others]
        sessions.append((first.user, first.port, "" if still else "disconnected"))
        events = [(kind, client.user, client.port) for client in others for kind in ("login", "logout")]
        events += [] if still else [("logout", first.user, first.port)]

        def found() -> list[tuple[str, int, str]]:
            return sorted((user, port, end or "") for user, port, end in self.sessions())

        def done() -> bool:
            time.sleep(0.5)
            return found() == sorted(sessions) and self.told() == sorted(events)

        try:
            until(done, "the record", PATIENCE)
        except TimeoutError:
            assert found() == sorted(sessions), self.said()
            assert self.told() == sorted(events), self.said()
