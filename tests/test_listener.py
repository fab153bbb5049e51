"""`/metrics` and `/healthz`, asked over real sockets."""

from __future__ import annotations

import http.client
import socket
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from usm.listener import Listener
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 23, 2, 5, 7, tzinfo=timezone.utc)


class Clock:
    """A time that is set."""

    now = NOW

    def __call__(self) -> datetime:
        """Return it."""
        return self.now


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def ask(address: tuple[str, int], path: str) -> tuple[int, str]:
    """Return status and body."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


@pytest.fixture
def clock() -> Clock:
    """Return the listener's clock."""
    return Clock()


@pytest.fixture
def listener(tmp_path: Path, clock: Clock) -> Iterator[Listener]:
    """Return a listener of a state file that was just written."""
    store = Store(str(tmp_path / "state.db"))
    with store.transaction() as tx:
        tx.checkpoint("journal", "c", NOW)
    store.close()
    made = Listener(store.path, clock)
    yield made
    made.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_metrics_and_health(listener: Listener, clock: Clock, host: str) -> None:
    """Both kinds of addresses; what is stale is unhealthy, and says why."""
    address = (host, free_port(host))
    listener.listen(address, ["feishu"])
    code, text = ask(address, "/metrics?x=1")
    assert (code, 'usm_channel_state{channel="feishu",state="works"} 1' in text) == (200, True)
    assert ask(address, "/healthz") == (200, "ok\n")
    assert ask(address, "/")[0] == 404
    clock.now = NOW + timedelta(seconds=151)
    code, text = ask(address, "/healthz")
    assert (code, text.startswith("nothing was written down since 2026-11-23T02:05:07+00:00")) == (503, True)


def test_a_state_file_that_is_damaged_is_unhealthy(listener: Listener, tmp_path: Path) -> None:
    """And the next question is answered all the same."""
    address = ("127.0.0.1", free_port())
    listener.listen(address, [])
    (tmp_path / "state.db").write_bytes(b"no database" * 1000)
    for path in ("/metrics", "/healthz"):
        code, text = ask(address, path)
        assert (code, "damaged" in text) == (503, True)


def test_a_strange_client_keeps_nobody_for_long(listener: Listener) -> None:
    """One that says nothing, one that says nonsense, one that goes away."""
    address = ("127.0.0.1", free_port())
    listener.listen(address, [])
    silent = socket.create_connection(address)
    for data in (b"\0\0\r\n\r\n", b"GET", b"POST /metrics HTTP/1.1\r\n\r\n"):
        with socket.create_connection(address) as strange:
            strange.sendall(data)
    assert ask(address, "/healthz")[0] == 200
    silent.close()


def test_a_port_that_is_taken_is_said_and_can_be_changed(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    """No reason to watch no logins. Whoever is told to listen elsewhere does so, or no more."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()
        listener.listen(taken, [])
        assert f"metrics: can't listen on 127.0.0.1 port {taken[1]}: Address already in use" in caplog.text
    listener.listen(taken, [])  # it is free now
    assert ask(taken, "/healthz")[0] == 200
    address = ("127.0.0.1", free_port())
    listener.listen(address, [])
    assert ask(address, "/healthz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(taken, "/healthz")
    listener.listen(None, [])
    with pytest.raises(ConnectionRefusedError):
        ask(address, "/healthz")
    assert not [thread for thread in threading.enumerate() if thread.name == "metrics" and thread.is_alive()]
