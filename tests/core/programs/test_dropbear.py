"""usm/core/programs/dropbear.py: real lines of 2022.83, 2025.89 and 2026.94, and hostile ones."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

import pytest

from usm.core.model import Event, Record
from usm.core.recognize import recognize

if TYPE_CHECKING:
    from collections.abc import Mapping

TIME = datetime(2026, 11, 25, 2, 0, tzinfo=timezone.utc)
KEY = "SHA256:yHl6Q4QmZ0PpU5v2TqXhYJ0c9m1s3d5f7g9h1j3kIgWo"


def told(message: str, uid: Optional[int] = None, pid: Optional[int] = 407) -> Optional[Event]:
    """What a message of dropbear's is recognised as."""
    return recognize(Record(TIME, "h", "dropbear", pid, message, uid))


def facts(event: Optional[Event], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return these fields of an event."""
    assert event is not None
    return {name: getattr(event, name) for name in names}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            f"Pubkey auth succeeded for 'alice' with ssh-ed25519 key {KEY} from 198.51.100.7:58485",
            {"user": "alice", "source_ip": "198.51.100.7", "source_port": 58485, "method": "publickey", "key": KEY},
        ),
        (
            "Pubkey auth succeeded for 'alice' with key md5 aa:bb:cc:dd:ee:ff:00:11 from 198.51.100.7:58485",
            None,
        ),
        (
            "Pubkey auth succeeded for 'alice' with ssh-rsa key md5 aa:bb:cc:dd:ee:ff:00:11 from 198.51.100.7:58485",
            {"user": "alice", "source_port": 58485, "method": "publickey", "key": "aa:bb:cc:dd:ee:ff:00:11"},
        ),
        (
            "Password auth succeeded for 'bob' from 198.51.100.8:37299",
            {"user": "bob", "source_ip": "198.51.100.8", "source_port": 37299, "method": "password", "key": None},
        ),
        ("PAM password auth succeeded for 'bob' from 198.51.100.8:37299", {"method": "password", "user": "bob"}),
        (
            "Password auth succeeded for 'alice' from 2001:db8::7:42179",
            {"source_ip": "2001:db8::7", "source_port": 42179},
        ),
        (  # 2026.94 cuts two digits of the port off, so none is believed
            f"Pubkey auth succeeded for 'alice' with ssh-ed25519 key {KEY} from [2001:db8::7]:424",
            {"source_ip": "2001:db8::7", "source_port": None, "method": "publickey"},
        ),
        (  # where standard error goes to the journal it writes its own stamp
            "[540] Nov 25 01:57:35 Password auth succeeded for 'bob' from 198.51.100.8:37299",
            {"user": "bob", "source_port": 37299},
        ),
        ("Password auth succeeded for 'bob' from 198.51.100.8:65536", None),
        ("Password auth succeeded for 'bob' from 198.51.100.999:1", None),
        ("Password auth succeeded for 'bob' from 198.51.100.8:37299 ", None),
        ("Password auth succeeded for 'bob' from 198.51.100.8:", None),
        (" Password auth succeeded for 'bob' from 198.51.100.8:37299", None),
    ],
)
def test_a_login(message: str, expected: Optional[dict[str, Any]]) -> None:
    """Every version's form; an impossible address, or one byte more or less, is nothing."""
    event = told(message)
    assert (event is None) == (expected is None)
    if expected is not None:
        assert facts(event, {"kind": 0, **expected}) == {"kind": "login", **expected}
    assert told(message, 1000) is None  # a user's process logs nobody in


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("Disconnect received", "disconnected"),
        ("Exited normally", "closed"),
        ("Terminated by signal", "terminated"),
        ("Killed by signal", "terminated"),
        ("Keepalive timeout", "timeout"),
        ("Idle timeout", "timeout"),
        ("Error reading: Connection reset by peer", "reset"),
        ("Error writing: Broken pipe", "reset"),
        ("Connection reset by peer", "reset"),
        ("Bad packet size 7", "closed"),
    ],
)
@pytest.mark.parametrize("whence", [" from <198.51.100.7:58485>", " from <[2001:db8::7]:424>", ""])
def test_an_end(why: str, reason: str, whence: str) -> None:
    """`Exited normally` is what it says of a client that is just gone; the user's own process writes it too."""
    event = told(f"Exit (alice){whence}: {why}")
    want = {"kind": "logout", "user": "alice", "pid": 407, "end_reason": reason, "source_ip": None}
    assert facts(event, want) == want
    hint = told(f"Exit (alice){whence}: {why}", 1000)
    assert facts(hint, {**want, "uid": 0}) == {**want, "kind": "hint", "uid": 1000}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Bad password attempt for 'alice' from 198.51.100.9:40119",
            {"user": "alice", "source_ip": "198.51.100.9", "source_port": 40119, "invalid_user": False},
        ),
        ("Bad PAM password attempt for 'alice' from 198.51.100.9:40119", {"user": "alice", "method": "password"}),
        (
            "Login attempt for nonexistent user from 198.51.100.9:51157",
            {"user": None, "source_ip": "198.51.100.9", "source_port": 51157, "method": None, "invalid_user": True},
        ),
        ("Login attempt for nonexistent user", {"user": None, "source_ip": None, "invalid_user": True}),  # 2022.83
        (  # a name is a stranger's: it ends at the last quote
            "Bad password attempt for 'x' from 203.0.113.1:1' from 198.51.100.9:40119",
            {"user": "x' from 203.0.113.1:1", "source_ip": "198.51.100.9", "source_port": 40119},
        ),
    ],
)
def test_a_refusal(message: str, expected: dict[str, Any]) -> None:
    """Who is counted, by the address that dropbear itself wrote."""
    assert facts(told(message), {"kind": 0, **expected}) == {"kind": "failed", **expected}
    assert told(message, 1000) is None


@pytest.mark.parametrize(
    "message",
    [
        "Child connection from 198.51.100.7:58485",
        "Not backgrounding",
        "Early exit: Terminated by signal",
        "Exit before auth from <198.51.100.9:40119>: (user 'alice', 1 fails): Exited normally",
        "Exit before auth from <198.51.100.9:51157>: Exited normally",
        "Login attempt for nonexistent user from 198.51.100.999:51157",
        "Login attempt for nonexistent user Password auth succeeded for 'root' from 198.51.100.9:1",
        "Bad password attempt for 'alice' from 198.51.100.9:99999",
        "syslogin_perform_logout: logout(pts/1) returned an error: No such file or directory",
        "bad Password auth succeeded for 'root' from 198.51.100.9:1",
    ],
)
def test_noise_is_nothing(message: str) -> None:
    """Connections, ends before a login, impossible peers."""
    assert told(message) is None


def test_a_record_without_a_pid_is_not_dropbear_s() -> None:
    """It writes its pid into every tag."""
    assert told("Password auth succeeded for 'bob' from 198.51.100.8:37299", pid=None) is None
