"""`/metrics` and `/healthz`, asked over real sockets."""

from __future__ import annotations

import errno
import logging
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Optional, Union

import pytest

from usm import listener as module
from usm.listener import Listener
from usm.status import STALE
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 25, 2, 0, tzinfo=timezone.utc)
ANYWHERE = ("127.0.0.1", 0)  # a free port, of the kernel's choice
PATIENCE = 30.0  # seconds after which a test gives up; never waited for when all is well


class Served:
    """A listener with a state file, and a clock that is set by hand."""

    def __init__(self, place: Path) -> None:
        self.now = NOW
        self.go = threading.Event()  # until it is set, whoever reads the clock waits
        self.go.set()
        self.path = place / "state.db"
        with closing(Store(str(self.path))) as store, store.transaction() as tx:
            tx.checkpoint("journal", "c", NOW)
        self.listener = Listener(str(self.path), self.clock)

    def clock(self) -> datetime:
        """Return the time."""
        assert self.go.wait(PATIENCE)
        return self.now

    def port(self) -> int:
        """Return the port that is listened on."""
        assert self.listener._open is not None
        return int(self.listener._open[0].getsockname()[1])

    def client(self, host: str = "127.0.0.1") -> socket.socket:
        """Return a connection."""
        return socket.create_connection((host, self.port()), timeout=PATIENCE)

    def ask(self, request: bytes, host: str = "127.0.0.1") -> bytes:
        """Return all that is answered to a request."""
        with self.client(host) as client:
            client.sendall(request)
            return everything(client)

    def get(self, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
        """Return the code and the text of an answer, whose form is looked at, too."""
        answer = self.ask(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), host)
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        fields = dict(line.split(": ") for line in lines)
        assert fields["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert fields["Content-Length"] == str(len(body))
        assert first.startswith("HTTP/1.1 ")
        return int(first.split()[1]), body.decode()


def everything(client: socket.socket) -> bytes:
    """Return what comes until the other side closes, however it does."""
    found = b""
    with suppress(ConnectionError):  # it did not read all that was sent
        while part := client.recv(65536):
            found += part
    return found


def threads() -> list[threading.Thread]:
    """Return the listeners' threads."""
    return [thread for thread in threading.enumerate() if thread.name == "metrics"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Give a listener, and see to it that nothing of it is left."""
    found = Served(tmp_path)
    yield found
    found.listener.close()
    assert threads() == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_pages(served: Served, host: str) -> None:
    """Over IPv4 and IPv6."""
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        pytest.skip(f"no {host} here: {error}")
    served.listener.listen((host, 0), ["ding"])
    code, page = served.get("/metrics", host)
    assert code == 200
    assert "\nusm_up 1\n" in page
    assert '\nusm_channel_state{channel="ding",state="works"} 1\n' in page
    assert served.get("/metrics?name=usm_up", host) == (200, page)
    assert served.get("/healthz", host) == (200, "ok\n")


def test_any_other_page(served: Served) -> None:
    """Is not there."""
    served.listener.listen(ANYWHERE, [])
    for path in ("/", "/metrics/", "/metric", "/healthz/x", "//metrics", "/..%2fetc/passwd"):
        assert served.get(path) == (404, "there are /metrics and /healthz\n")


def test_only_the_head(served: Served) -> None:
    """Is the same, without the text."""
    served.listener.listen(ANYWHERE, [])
    answer = served.ask(b"HEAD /healthz HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: 3\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_other_channels(served: Served) -> None:
    """A reload that leaves the address as it is changes which channels are told of, on the same socket."""
    served.listener.listen(ANYWHERE, ["old"])
    port = served.port()
    served.listener.listen(ANYWHERE, ["new"])
    assert served.port() == port
    _, page = served.get("/metrics")
    assert ('channel="new"' in page, 'channel="old"' in page) == (True, False)


def test_a_monitor_that_hangs_is_not_healthy(served: Served) -> None:
    """Where nothing was written down for long, /healthz says so; the metrics are there, with the time."""
    served.listener.listen(ANYWHERE, [])
    served.now = NOW + STALE
    assert served.get("/healthz")[0] == 200
    served.now += timedelta(seconds=1)
    text = "nothing was written down since 2026-11-25T02:00:00+00:00: the disk refuses, or the monitor hangs\n"
    assert served.get("/healthz") == (503, text)
    code, page = served.get("/metrics")
    assert code == 200
    assert f"\nusm_watched_timestamp_seconds {NOW.timestamp():.0f}\n" in page


def test_nothing_was_watched_yet(tmp_path: Path, served: Served) -> None:
    """A new state file is not healthy either."""
    Store(str(tmp_path / "new.db")).close()
    served.listener = Listener(str(tmp_path / "new.db"), lambda: NOW)
    served.listener.listen(ANYWHERE, [])
    code, text = served.get("/healthz")
    assert (code, text.split(":")[0]) == (503, "nothing was written down since never")


@pytest.mark.parametrize("content", [b"this is no database", None])
def test_a_damaged_state_file(served: Served, content: Optional[bytes]) -> None:
    """Both pages say so, with what to do; once it is there again, they are as before."""
    served.listener.listen(ANYWHERE, [])
    sound = served.path.read_bytes()
    served.path.unlink()
    if content is not None:
        served.path.write_bytes(content * 100)
    for path in ("/metrics", "/healthz"):
        code, text = served.get(path)
        assert code == 503
        assert text.startswith(f"state file {served.path}: ")
        assert ("it is damaged" if content else "check that its directory exists") in text
    served.path.write_bytes(sound)
    assert served.get("/healthz") == (200, "ok\n")


def test_a_bug_is_logged_and_the_next_is_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The monitor watches on."""
    served.listener.listen(ANYWHERE, [])
    with monkeypatch.context() as patch:
        patch.setattr(module, "unhealthy", lambda *_: 1 / 0)
        assert served.get("/healthz")[0] == 500
    assert "ZeroDivisionError" in caplog.text
    assert served.get("/healthz") == (200, "ok\n")


GARBAGE = {
    "nothing": b"",
    "another method": b"POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
    "no version": b"GET /metrics\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    "no path": b"GET  HTTP/1.1\r\n\r\n",
    "a line in it": b"GET /metrics\nX HTTP/1.1\r\n\r\n",
    "an absolute path": b"GET http://127.0.0.1/metrics HTTP/1.1\r\n\r\n",
    "an endless line": b"GET /" + b"a" * 100_000,
    "an endless head": b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_does_no_harm(served: Served, garbage: bytes) -> None:
    """It is refused or cut off, and the next one is answered."""
    served.listener.listen(ANYWHERE, [])
    with served.client() as client:
        with suppress(OSError):  # cut off
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
        answer = everything(client)
    assert answer[:13] in (b"", b"HTTP/1.1 400 ")
    assert served.get("/healthz") == (200, "ok\n")


def test_who_says_nothing_is_sent_away(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes behind such clients is answered."""
    served.listener.listen(ANYWHERE, [])
    served.go.clear()
    with ExitStack() as stack:
        first, silent, half, gone, last = (stack.enter_context(served.client()) for _ in range(5))
        first.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        half.sendall(b"GET /metrics HT")
        gone.close()
        last.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        monkeypatch.setattr(module, "_PATIENCE", 0.1)
        served.go.set()
        assert everything(first).endswith(b"\r\n\r\nok\n")
        assert everything(silent) == everything(half) == b""
        assert everything(last).endswith(b"\r\n\r\nok\n")


def test_who_says_little_at_a_time_is_sent_away(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The patience is for the whole request, not for each byte of it."""
    served.listener.listen(ANYWHERE, [])
    with monkeypatch.context() as patch, served.client() as slow, suppress(ConnectionError):
        patch.setattr(module, "_PATIENCE", 0.2)
        slow.settimeout(0.01)
        while True:
            slow.sendall(b"G")
            with suppress(socket.timeout):
                assert slow.recv(1) == b""
                break
    assert served.get("/healthz") == (200, "ok\n")


def test_a_port_in_use(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, with what to do; another port works, and so does the same one once it is free."""
    with socket.create_server(ANYWHERE) as other:
        taken = other.getsockname()
        served.listener.listen(taken, [])
        assert caplog.messages == [
            f"metrics: can't listen on 127.0.0.1 port {taken[1]}: Address already in use; "
            "set `metrics.listen` to a free port, then: usm reload"
        ]
        assert threads() == []
        served.listener.listen(ANYWHERE, [])
        assert served.get("/healthz") == (200, "ok\n")
        served.listener.listen(taken, [])
        assert threads() == []
    served.listener.listen(taken, [])
    assert served.port() == taken[1]
    assert served.get("/healthz") == (200, "ok\n")
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_an_address_that_is_none_of_ours(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, too."""
    served.listener.listen(("192.0.2.1", 9773), [])
    assert "can't listen on 192.0.2.1 port 9773: " in caplog.text
    assert threads() == []


def test_close_ends_the_thread(served: Served) -> None:
    """Nobody is answered any more, the port is free at once, and it can begin again there."""
    served.listener.listen(ANYWHERE, [])
    address = ("127.0.0.1", served.port())
    assert len(threads()) == 1
    served.get("/healthz")
    served.listener.close()
    served.listener.close()
    assert threads() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=PATIENCE)
    served.listener.listen(address, [])
    assert served.get("/healthz") == (200, "ok\n")
    served.listener.listen(None, [])
    assert threads() == []


class Refusing:
    """A listening socket that can't accept twice, then has one client, and is shut down."""

    def __init__(self, client: socket.socket) -> None:
        self.accepted: list[Union[OSError, socket.socket]] = [
            OSError(errno.EMFILE, "Too many open files"),
            OSError(errno.ECONNABORTED, "Software caused connection abort"),
            client,
            OSError(errno.EINVAL, "Invalid argument"),
        ]

    def accept(self) -> tuple[socket.socket, None]:
        """Return a client, or raise."""
        found = self.accepted.pop(0)
        if isinstance(found, OSError):
            raise found
        return found, None

    def __enter__(self) -> None:
        """As a socket does."""

    def __exit__(self, *_: object) -> None:
        """As a socket does."""


def test_what_is_refused_for_a_while(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of files that is full does not end the thread."""
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        served.listener._serve(Refusing(theirs))  # type: ignore[arg-type]
        assert everything(ours).endswith(b"\r\n\r\nok\n")


def test_what_listening_costs_to_import() -> None:
    """Nothing but what the monitor has anyway."""
    code = "import sys, usm.listener; print(*{'http', 'email', 'html', 'requests', 'ssl'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
