"""Apprise in its child process: a real one, one that is missing, one that hangs; and no address where others see it."""

from __future__ import annotations

import io
import json
import os
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from usm.core.message import Handover
from usm.core.model import Secret
from usm.errors import TransportError
from usm.transport import Transport, apprise_child, handover

if TYPE_CHECKING:
    from collections.abc import Iterator


class Receiver(HTTPServer):
    """Keeps what it is sent, and what could be seen of other processes meanwhile."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.bodies = 200, list[Any]()
        self.seen = b""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Take a message; look around."""
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        for number in filter(str.isdigit, os.listdir("/proc")):  # any of them may end meanwhile
            for name in ("cmdline", "environ"):
                with suppress(OSError):
                    self.server.seen += Path("/proc", number, name).read_bytes()
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Give a receiver for Apprise's own JSON."""
    made = Receiver()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


def ask(*urls: str) -> Any:  # noqa: ANN401 - JSON
    """Hand a message over and return what Apprise says."""
    request = Handover(tuple(Secret(url) for url in urls), "a title", "line 1\nline <2>")
    return json.loads(Transport(io.StringIO()).send(request).body)


def test_a_real_apprise_hands_it_on(receiver: Receiver) -> None:
    """Title and text arrive as they are; the address stands in no command line and no environment."""
    url = f"json://user:s3cr3t-token@127.0.0.1:{receiver.server_port}/"
    assert ask(url) == {"outcome": "sent", "number": 1}
    (body,) = receiver.bodies
    assert (body["title"], body["message"]) == ("a title", "line 1\nline <2>")
    assert receiver.seen
    assert b"s3cr3t-token" not in receiver.seen


def test_a_refusal_is_counted(receiver: Receiver) -> None:
    """By a status: that much Apprise reads."""
    receiver.status = 500
    url = f"json://127.0.0.1:{receiver.server_port}/"
    assert ask(url) == {"outcome": "failed", "number": 0}


def test_an_address_that_apprise_does_not_know() -> None:
    """Nothing is sent to those behind it."""
    assert ask("nosuchservice://x", "json://127.0.0.1:1/") == {"outcome": "not understood", "number": 0}


def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put another program in the child's place."""
    (tmp_path / "child.py").write_text(text)
    monkeypatch.setattr(apprise_child, "__file__", str(tmp_path / "child.py"))


def test_without_apprise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same child, in an interpreter that has no such package."""
    text = Path(apprise_child.__file__).read_text("utf-8")
    child(
        tmp_path,
        monkeypatch,
        "import sys; sys.modules['apprise'] = None\n" + text.replace("from __future__ import annotations", ""),
    )
    assert ask("json://127.0.0.1:1/") == {"outcome": "not installed", "number": 0}


@pytest.mark.parametrize("text", ["import time; time.sleep(600)", "raise SystemExit(3)"], ids=["hangs", "dies"])
def test_a_child_that_does_not_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """It is ended, and nothing of it is left."""
    monkeypatch.setattr(handover, "PATIENCE", 0.3)
    child(tmp_path, monkeypatch, text)
    with pytest.raises(TransportError, match="Apprise did not finish"):
        ask("json://127.0.0.1:1/")


def test_an_interruption_ends_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever interrupts: no child is left behind."""
    child(tmp_path, monkeypatch, "import time; time.sleep(600)")

    def interrupted(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("subprocess.Popen.communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask("json://127.0.0.1:1/")
