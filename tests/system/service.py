"""The installed service of a booted machine, and what its operator can see of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.system.clients import until

if TYPE_CHECKING:
    from tests.system.clients import Client
    from tests.system.machine import Machine

HERE = Path(__file__).parents[2]
NAME = "user-session-monitor"
PORT = 9000
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
PIDFILE = f"/run/{NAME}/{NAME}.pid"
CONFIG = f"""
language: en
notify: {{hook: {{type: webhook, url: "http://127.0.0.1:{PORT}/", secret: {SECRET}}}}}
"""
RECEIVER = """
import http.server, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[1], "ab") as file:
            file.write(body + b"\\n")
        self.send_response(204)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Receiver).serve_forever()
"""
PATIENCE = 120.0  # seconds; what no line tells is looked for once a minute


class Service:
    """The installed service of a machine, and a receiver of what it tells."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.received = machine.root / "received.jsonl"
        self._receiver: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """Install from the source tree, and receive what it tells."""
        where = (f"DESTDIR={self.machine.file('')}", "PREFIX=/usr")
        subprocess.run(["make", "--silent", "install-service", *where], cwd=HERE, check=True, stdout=subprocess.DEVNULL)
        self.machine.run("systemd-sysusers")
        self.machine.run("systemd-tmpfiles", "--create", f"{NAME}.conf")
        self.configure(CONFIG)
        self.machine.run("systemctl", "daemon-reload")
        self.receive()

    def receive(self) -> None:
        """Receive in the machine's network; after a boot that is another one."""
        self.close()
        self._receiver = subprocess.Popen(self.machine.beside(sys.executable, "-c", RECEIVER, self.received, PORT))
        until(lambda: self.do("ss", "-tlnH", f"sport = :{PORT}")[1] != "", "the receiver")

    def close(self) -> None:
        """Receive no more."""
        if self._receiver is not None:
            self._receiver.kill()
            self._receiver.wait()

    def configure(self, text: str) -> None:
        """Write the configuration; its owner and mode stay."""
        self.machine.file(f"etc/{NAME}/config.yaml").write_text(text)

    def drop_in(self, text: str) -> None:
        """Change the unit, or with an empty text nothing of it."""
        place = self.machine.file(f"etc/systemd/system/{NAME}.service.d")
        place.mkdir(exist_ok=True)
        (place / "test.conf").write_text(text)
        self.machine.run("systemctl", "daemon-reload")

    def do(self, *argv: object) -> tuple[int, str]:
        """Run a command in the machine as root; return its exit code and all that it said."""
        done = subprocess.run(self.machine.enter(*argv), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def out(self, *argv: object) -> str:
        """Run a command in the machine as root; return what it printed, whatever else it said."""
        return subprocess.run(self.machine.enter(*argv), stdout=subprocess.PIPE, text=True, check=False).stdout

    def ctl(self, verb: str) -> int:
        """Ask systemd; return its exit code."""
        return self.do("systemctl", verb, NAME)[0]

    def said(self) -> str:
        """Return what the journal has of the service's own words."""
        self.machine.run("journalctl", "--sync")
        return self.do("journalctl", "--no-pager", "--output=cat", f"--unit={NAME}")[1]

    def show(self, name: str) -> str:
        """Return a property of the unit."""
        return self.do("systemctl", "show", f"--property={name}", "--value", NAME)[1].strip()

    def pid(self) -> int:
        """Return the daemon's process, on which systemd, the pidfile and the state agree."""
        number = int(self.show("MainPID"))
        assert int(self.machine.file(PIDFILE[1:]).read_text()) == number
        assert self.status()["pid"] == number
        return number

    def status(self) -> dict[str, Any]:
        """Return what `usm status` says."""
        found: dict[str, Any] = json.loads(self.out("usm", "status", "--format", "json"))
        return found

    def sessions(self) -> list[tuple[str, int, str]]:
        """Return all sessions that were ever recorded: user, port and how they ended."""
        lines = self.out("usm", "sessions", "--all", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines]
        return sorted((s["user"], s["source_port"], s["end_reason"]) for s in found)

    def told(self) -> list[tuple[str, str, int]]:
        """Return all events that were ever received: kind, user and port."""
        lines = self.received.read_text().splitlines() if self.received.exists() else []
        events = [e for e in map(json.loads, lines) if e["kind"] != "finding"]
        return sorted((e["kind"], e["user"], e["source_port"]) for e in events)

    def check(self, clients: list[Client], reasons: dict[int, str]) -> None:
        """Wait until these sessions are recorded and told, each once, no more and no less."""
        ended = sorted((c.user, c.port, reasons.get(c.port, "disconnected")) for c in clients)
        events = sorted((kind, c.user, c.port) for c in clients for kind in ("login", "logout"))

        def done() -> bool:
            time.sleep(0.5)
            return self.sessions() == ended and self.told() == events

        try:
            until(done, "the record", PATIENCE)
        except TimeoutError:
            assert self.sessions() == ended, self.said()
            assert self.told() == events, self.said()
