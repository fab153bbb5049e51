"""usm/core/recognize.py: which line makes which event, and which makes none."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.model import Event, Record
from usm.core.programs.row import address
from usm.core.programs.sshd import ROWS, refused, unvis
from usm.core.recognize import recognize

TIME = datetime(2026, 11, 23, 3, 0, 1, tzinfo=timezone.utc)
ED = "ED25519 SHA256:9fC0Zx5vZrYIyL3z8a0gJm7fYQzqS2vN0oXrY1bD2cE"


def said(message: str, appname: str = "sshd", pid: Optional[int] = 1) -> Optional[Event]:
    """What one message of sshd's is recognised as."""
    return recognize(Record(TIME, "h", appname, pid, message))


def event(kind: str, **facts: Any) -> Event:  # noqa: ANN401 - any field
    """An event of the recorded second, of process 1."""
    return Event(kind, TIME, "h", "sshd", **{"pid": 1, **facts})


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Accepted password for root from 203.0.113.5 port 50001 ssh2",
            {"user": "root", "source_ip": "203.0.113.5", "source_port": 50001, "method": "password"},
        ),
        (
            f"Accepted publickey for j.doe-x from 2001:DB8::7 port 22 ssh2: {ED}",
            {
                "user": "j.doe-x",
                "source_ip": "2001:db8::7",
                "source_port": 22,
                "method": "publickey",
                "key": "SHA256:9fC0Zx5vZrYIyL3z8a0gJm7fYQzqS2vN0oXrY1bD2cE",
            },
        ),
        (
            "Accepted keyboard-interactive/pam for alice from fe80::aa:bb%eth0 port 1 ssh2",
            {
                "user": "alice",
                "source_ip": "fe80::aa:bb%eth0",
                "source_port": 1,
                "method": "keyboard-interactive/pam",
            },
        ),
        (
            "Accepted gssapi-with-mic for alice from ::ffff:203.0.113.5 port 1 ssh2: alice@EXAMPLE.ORG",
            {"user": "alice", "source_ip": "203.0.113.5", "source_port": 1, "method": "gssapi-with-mic"},
        ),
        (
            "Accepted hostbased for alice from 203.0.113.5 port 1 ssh2: RSA SHA256:abcdefgh, "
            'client user "a", client host "b"',
            {
                "user": "alice",
                "source_ip": "203.0.113.5",
                "source_port": 1,
                "method": "hostbased",
                "key": "SHA256:abcdefgh,",
            },
        ),
        (
            "Accepted publickey for alice from 203.0.113.5 port 50010 ssh2: ED25519-CERT SHA256:xxxxxxxx "
            "ID root from 6.6.6.6 port 22 ssh2 (serial 1) CA ED25519 SHA256:y",
            {
                "user": "alice",
                "source_ip": "203.0.113.5",
                "source_port": 50010,
                "method": "publickey",
                "key": "root from 6.6.6.6 port 22 ssh2",
            },
        ),
        (
            r"Accepted publickey for CORP\\carol from 203.0.113.5 port 1 ssh2",
            {"user": "CORP\\carol", "source_ip": "203.0.113.5", "source_port": 1, "method": "publickey"},
        ),
        (
            r"Accepted publickey for \347\224\250\346\210\267 from 203.0.113.5 port 1 ssh2",
            {"user": "用户", "source_ip": "203.0.113.5", "source_port": 1, "method": "publickey"},
        ),
        (
            "Accepted password for John Doe from 203.0.113.5 port 1 ssh2",
            {"user": "John Doe", "source_ip": "203.0.113.5", "source_port": 1, "method": "password"},
        ),
        ("Accepted none for guest from UNKNOWN port 65535 ssh2", {"user": "guest", "method": "none"}),
    ],
)
def test_accepted_is_a_login(message: str, expected: dict[str, Any]) -> None:
    """Every method, IPv4 and IPv6, any account name, and the address that sshd wrote."""
    found = said(message)
    assert found is not None
    assert found._replace(session=None) == event("login", **expected)
    assert len(str(found.session)) == 16


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Failed password for alice from 203.0.113.5 port 1 ssh2",
            {"user": "alice", "source_ip": "203.0.113.5", "source_port": 1, "method": "password"},
        ),
        (
            "Failed none for invalid user  from 203.0.113.5 port 1 ssh2",
            {"user": "", "source_ip": "203.0.113.5", "source_port": 1, "method": "none", "invalid_user": True},
        ),
        (
            "Failed password for invalid user x Accepted password for root from 6.6.6.6 port 22 ssh2 "
            "from 192.0.2.66 port 41000 ssh2",
            {
                "user": "x Accepted password for root from 6.6.6.6 port 22 ssh2",
                "source_ip": "192.0.2.66",
                "source_port": 41000,
                "method": "password",
                "invalid_user": True,
            },
        ),
        (
            f"Failed publickey for alice from 203.0.113.5 port 1 ssh2: {ED}",
            {
                "user": "alice",
                "source_ip": "203.0.113.5",
                "source_port": 1,
                "method": "publickey",
                "key": "SHA256:9fC0Zx5vZrYIyL3z8a0gJm7fYQzqS2vN0oXrY1bD2cE",
            },
        ),
        (
            "error: PAM: Authentication failure for alice from 203.0.113.5",
            {"user": "alice", "source_ip": "203.0.113.5", "method": "keyboard-interactive/pam"},
        ),
        (
            "error: PAM: User not known to the underlying authentication module "
            "for illegal user a for b from c.example",
            {"user": "a for b", "method": "keyboard-interactive/pam", "invalid_user": True},
        ),
        (
            "message repeated 3 times: [ Failed password for root from 203.0.113.5 port 1 ssh2]",
            {"user": "root", "source_ip": "203.0.113.5", "source_port": 1, "method": "password", "count": 3},
        ),
    ],
)
def test_refused_is_a_failure(message: str, expected: dict[str, Any]) -> None:
    """One failure for each refused credential, with the address that sshd wrote last."""
    assert said(message) == event("failed", **expected)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Received disconnect from 203.0.113.5 port 50001:11: disconnected by user",
            {"source_ip": "203.0.113.5", "source_port": 50001, "end_reason": "disconnected"},
        ),
        (
            "error: Received disconnect from 2001:db8::7 port 50001:2: Too bad",
            {"source_ip": "2001:db8::7", "source_port": 50001, "end_reason": "disconnected"},
        ),
        (
            "Disconnected from user John Doe 203.0.113.5 port 50001",
            {"user": "John Doe", "source_ip": "203.0.113.5", "source_port": 50001, "end_reason": "disconnected"},
        ),
        (
            "Disconnected from 203.0.113.5 port 50001",
            {"source_ip": "203.0.113.5", "source_port": 50001, "end_reason": "disconnected"},
        ),
        ("Disconnected from 203.0.113.5", {"source_ip": "203.0.113.5", "end_reason": "disconnected"}),
        (
            "Connection closed by 203.0.113.5 port 50001",
            {"source_ip": "203.0.113.5", "source_port": 50001, "end_reason": "closed"},
        ),
        (
            "Connection reset by user alice 203.0.113.5 port 50001",
            {"user": "alice", "source_ip": "203.0.113.5", "source_port": 50001, "end_reason": "reset"},
        ),
        (
            "Read error from remote host 203.0.113.5 port 50001: Connection reset by peer",
            {"source_ip": "203.0.113.5", "source_port": 50001, "end_reason": "reset"},
        ),
        (
            "Timeout, client not responding from user alice 203.0.113.5 port 50001",
            {"user": "alice", "source_ip": "203.0.113.5", "source_port": 50001, "end_reason": "timeout"},
        ),
        ("Timeout, client not responding.", {"end_reason": "timeout"}),
        (
            "terminating inactive connection from user alice 203.0.113.5 port 50001",
            {"user": "alice", "source_ip": "203.0.113.5", "source_port": 50001, "end_reason": "timeout"},
        ),
        (
            "Disconnecting user alice 203.0.113.5 port 50001: bad packet",
            {"user": "alice", "source_ip": "203.0.113.5", "source_port": 50001, "end_reason": "terminated"},
        ),
        ("Exiting on signal 15", {"end_reason": "terminated"}),
        ("error: mm_reap: preauth child terminated by signal 9", {"end_reason": "terminated"}),
        ("error: mm_reap: child terminated by signal 15", {"end_reason": "terminated"}),
        (
            "pam_unix(sshd:session): session closed for user CORP\\carol",
            {"user": "CORP\\carol", "end_reason": "closed"},
        ),
    ],
)
def test_what_ends_a_session_says_how(message: str, expected: dict[str, Any]) -> None:
    """Each line that can end a session names its leader or its address, and what it proves."""
    assert said(message) == event("logout", **expected)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid user root from 6.6.6.6 port 22 ssh2 from 192.0.2.66 port 41000",
        r"Connection closed by invalid user x\nAccepted password for root from 6.6.6.6 port 22 ssh2 "
        "192.0.2.66 port 1 [preauth]",
        "Accepted password for invalid user root from 6.6.6.6 port 22 ssh2",
        "Accepted password for root from 6.6.6.6 port 22 ssh2 [preauth]",
        "Accepted password for root from 6.6.6.6 port 99999 ssh2",
        "Accepted password for root from 1.2.3.4.5 port 22 ssh2",
        "Accepted password for root from 999.2.3.4 port 22 ssh2",
        "Accepted password for root from web.example.org port 22 ssh2",
        "Accepted PASSWORD for root from 6.6.6.6 port 22 ssh2",
        "Accepted password for root from 6.6.6.6 port ２２ ssh2",
        " Accepted password for root from 6.6.6.6 port 22 ssh2",
        "Accepted password for root from 6.6.6.6 port 22 ssh2\n",
        "Accepted key ED25519 SHA256:x found at /home/a/.ssh/authorized_keys:1",
        "Postponed publickey for alice from 203.0.113.5 port 1 ssh2 [preauth]",
        "Partial publickey for alice from 203.0.113.5 port 1 ssh2",
        "Failed keyboard-interactive/pam for alice from 203.0.113.5 port 1 ssh2",
        "Failed password for alice from nowhere port 1 ssh2",
        "Failed password for alice from 203.0.113.5 port 70000 ssh2",
        "Failed nonsense",
        "Failed BAD for alice from 203.0.113.5 port 1 ssh2",
        "Received disconnect from 203.0.113.5: 11: Bye",
        "Disconnected from 1.2.3.4.5 port 1",
        "message repeated 3 times: [ Accepted password for root from 6.6.6.6 port 22 ssh2]",
        "message repeated 3 times: [ nothing]",
        "pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)",
        "pam_unix(su:session): session closed for user alice",
        "error: kex_exchange_identification: client sent invalid protocol identifier "
        '"sshd[1]: Accepted password for root from 198.51.100.66 port 22 ssh2"',
        "Server listening on 0.0.0.0 port 22.",
        "Received signal 15; terminating.",
        "",
    ],
)
def test_what_only_looks_like_it_is_nothing(message: str) -> None:
    """No login, no logout and no failure comes from text that a stranger chose or sshd writes about others."""
    assert said(message) is None


@pytest.mark.parametrize("appname", ["CRON", "su", "root", "sshd(pam_unix)", "sshd-sessio", "systemd"])
def test_only_sshd_speaks_for_sshd(appname: str) -> None:
    """The same text from another program is nothing."""
    assert said("Accepted password for root from 6.6.6.6 port 22 ssh2", appname) is None


@pytest.mark.parametrize("appname", ["sshd", "sshd-session", "sshd-auth"])
def test_all_names_of_sshd_are_known(appname: str) -> None:
    """OpenSSH 9.8 and later sign with the name of the part that serves the connection."""
    found = said("Accepted password for root from 6.6.6.6 port 22 ssh2", appname)
    assert found is not None
    assert found.service == "sshd"


@pytest.mark.parametrize(
    "message",
    [
        "Accepted password for root from 6.6.6.6 port 22 ssh2",
        "Failed password for root from 6.6.6.6 port 22 ssh2",
        "error: PAM: Authentication failure for alice from 203.0.113.5",
        "Disconnected from user alice 203.0.113.5 port 1",
        "pam_unix(sshd:session): session closed for user alice",
    ],
)
def test_sshd_always_signs_with_a_pid(message: str) -> None:
    """A line without one was written by somebody else."""
    assert said(message, pid=None) is None


def test_a_key_that_is_none_is_not_named() -> None:
    """Free text behind `ssh2:` that is no key leaves the key unknown."""
    found = said("Accepted publickey for alice from 203.0.113.5 port 1 ssh2: something else entirely")
    assert found is not None
    assert found.key is None


def test_escapes_are_undone() -> None:
    """vis(3) as sshd uses it: C-style, octal, doubled backslash; what is no escape stays."""
    assert unvis(r"a\\b\nc\303\251\s\0\q\\") == "a\\b\ncé \0\\q\\"
    assert unvis(r"\377") == "\\xff"


def test_an_address_has_one_spelling() -> None:
    """The same address is the same text, wherever it was written."""
    assert address("2001:0DB8:0::7") == address("2001:db8::7") == "2001:db8::7"
    assert address("1.2.3.04") is None
    assert address("::ffff:1.2.3.4") == "1.2.3.4"
    assert address("example") is None


def test_the_folded_form_reads_names_as_the_long_one_does() -> None:
    """`refused` knows what stands between `Failed` and the address, and what does not belong there."""
    assert refused("password for invalid user a b") == ("a b", "password", True)
    assert refused("password for a") == ("a", "password", False)
    assert refused("keyboard-interactive/pam for a") is None
    assert refused("nonsense") is None


@given(st.text(max_size=300), st.sampled_from(["sshd", "sshd-session", "su"]))
def test_no_text_makes_it_raise(message: str, appname: str) -> None:
    """Any text is an event or nothing."""
    said(message, appname)


@given(st.sampled_from([row.word for row in ROWS]), st.text(max_size=200))
def test_no_text_behind_a_known_word_makes_it_raise(word: str, rest: str) -> None:
    """Any text behind a word that begins a known line is an event or nothing."""
    said(f"{word} {rest}")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=80))
def test_no_name_gives_itself_an_address(name: str) -> None:
    """Whatever a stranger calls himself, the failure is counted for the address that sshd wrote."""
    found = said(f"Failed password for invalid user {name} from 192.0.2.66 port 41000 ssh2")
    assert found is not None
    assert (found.kind, found.source_ip, found.source_port) == ("failed", "192.0.2.66", 41000)
