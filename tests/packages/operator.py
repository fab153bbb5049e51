"""Who installs the packages in a booted machine, the web server that offers them, and the Feishu that is told."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Callable, Optional

from tests.packages.conftest import URL, WEB
from tests.system.clients import until
from tests.system.conftest import LABELS, TITLES
from tests.system.service import HERE, NAME, PATIENCE, PORT, Service

if TYPE_CHECKING:
    from tests.packages.conftest import Built
    from tests.system.clients import Client
    from tests.system.machine import Machine

SECRET = "signing-key-of-the-robot"
FEISHU = f"""
notify:
  feishu: {{webhook_url: "http://127.0.0.1:{PORT}/open-apis/bot/v2/hook/try-me", secret: {SECRET}, format: text}}
"""


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


QUIETLY = {"apt": "env DEBIAN_FRONTEND=noninteractive apt -y", "dnf": "dnf -y", "zypper": "zypper --non-interactive"}


def blocks() -> list[str]:
    """Return the shell blocks of README.md."""
    return re.findall(r"^```sh\n(.*?)^```$", (HERE / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)


def away_with_the_older() -> tuple[list[str], list[str]]:
    """Return the commands by which README.md removes the older tool, and those after the installation."""
    (first, second) = blocks()[-2:]
    return first.splitlines(), second.splitlines()


def told_by_the_readme(tool: str) -> list[str]:
    """Return the commands by which README.md installs the package with this tool, to be run without questions."""
    (text,) = (block for block in blocks() if f"{tool} install {NAME}\n" in block)
    lines = text.replace("https://packages.example.com", f"{URL}/current").splitlines()
    return [re.sub(rf"^{tool}(?= )", QUIETLY[tool], line) for line in lines]


class Operator(Service):
    """Who installs the package in a booted machine, and a Feishu that is told."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.received = machine.root / "feishu.txt"

    def receive(self, secret: Optional[str] = SECRET) -> None:
        """Be Feishu in the machine's network; without a secret for a robot that demands no signature."""
        self.close()
        fake = HERE / "tests/fakes/feishu.py"
        with self.received.open("ab") as file:
            words = self.machine.beside(sys.executable, fake, "--port", PORT, *(["--secret", secret] if secret else []))
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

    def follow(self, lines: list[str]) -> None:
        """Run commands as they are written."""
        for line in lines:
            self.must("sh", "-c", line)

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
        clients: list[Client] = []
        ended = threading.Event()

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

    def recorded(self, first: Optional[Client], others: list[Client], *, still: bool) -> None:
        """Wait until each of these is recorded and told once, no more; the first was on before anybody was told."""
        sessions = [(client.user, client.port, "disconnected") for client in others]
        events = [(kind, client.user, client.port) for client in others for kind in ("login", "logout")]
        if first is not None:
            sessions.append((first.user, first.port, "" if still else "disconnected"))
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
