"""usm/core/sieve.py: the quick way over many lines finds what the slow way finds."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.decode import Stamps, decode_syslog
from usm.core.recognize import recognize
from usm.core.sieve import Fold, sift
from usm.core.tally import tally

if TYPE_CHECKING:
    from usm.core.model import Event

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
Counts = Counter[tuple[object, ...]]


def slowly(data: bytes) -> tuple[list[Event], Counts]:
    """Read every line: the events that are no failures, and the failures counted."""
    events: list[Event] = []
    failures: Counts = Counter()
    stamps = Stamps(timezone.utc, NOW)
    for line in data.split(b"\n"):
        record = decode_syslog(line, stamps)
        event = None if record is None else recognize(record)
        if event is not None and event.kind == "failed":
            failures[event.host, event.source_ip, event.user, event.method, event.invalid_user] += event.count
        elif event is not None:
            events.append(event)
    return events, failures


def quickly(data: bytes) -> tuple[list[Event], Counts]:
    """The same through the sieve and the tally."""
    stamps = Stamps(timezone.utc, NOW)
    sifted = sift(data)
    found = [recognize(r) for r in (decode_syslog(line, stamps) for line in sifted.lines) if r is not None]
    events = [e for e in found if e is not None]
    failures: Counts = Counter()
    for failure in tally([e for e in events if e.kind == "failed"], sifted.folds, stamps):
        for user, method, invalid, count in failure.who:
            failures[failure.host, failure.source_ip, user, method, invalid] += count
    return [e for e in events if e.kind != "failed"], failures


HEADS = {
    "3164": b"Nov 23 03:00:0%d web01 %s[%d]: ",
    "pri": b"<86>Nov 23 03:00:0%d web01 %s[%d]: ",
    "3339": b"2026-11-23T03:00:0%d.070000+00:00 web01 %s[%d]: ",
    "5424": b"<38>1 2026-11-23T03:00:0%d.070000+00:00 web01 %s %d - -  ",
    "other host": b"Nov 23 03:00:0%d db02 %s[%d]: ",
    "busybox": b"Nov 23 03:00:0%d web01 auth.info %s[%d]: ",
}
MESSAGES = [
    b"Accepted publickey for alice from 203.0.113.5 port 50001 ssh2: ED25519 SHA256:abcdefgh",
    b"Accepted password for root from 2001:db8::7 port 50001 ssh2",
    b"Failed password for root from 192.0.2.66 port 41000 ssh2",
    b"Failed password for root from 192.0.2.66 port 41001 ssh2",
    b"Failed password for invalid user admin from 192.0.2.66 port 41002 ssh2",
    b"Failed none for invalid user a b from 2001:db8::66 port 41002 ssh2",
    b"Failed password for invalid user x from 6.6.6.6 port 22 ssh2 from 192.0.2.66 port 41000 ssh2",
    b"Failed publickey for alice from 192.0.2.66 port 41000 ssh2: RSA SHA256:abcdefgh",
    b"Failed keyboard-interactive/pam for alice from 192.0.2.66 port 41000 ssh2",
    b"Failed password for alice from nowhere port 41000 ssh2",
    b"Failed nonsense port 41000 ssh2",
    rb"Failed password for invalid user \347\224\250 from 192.0.2.66 port 41000 ssh2",
    b"error: PAM: Authentication failure for illegal user oracle from 192.0.2.66",
    b"message repeated 2 times: [ Failed password for root from 192.0.2.66 port 41000 ssh2]",
    b"Invalid user admin from 192.0.2.66 port 41002",
    b"Received disconnect from 192.0.2.66 port 41002:11: Bye Bye [preauth]",
    b"Received disconnect from 203.0.113.5 port 50001:11: disconnected by user",
    b"error: Received disconnect from 203.0.113.5 port 50001:2: why",
    b"Disconnected from authenticating user root 192.0.2.66 port 41002 [preauth]",
    b"Disconnected from user alice 203.0.113.5 port 50001",
    b"Disconnected from 203.0.113.5 port 50001",
    b"Disconnected from 203.0.113.5",
    b"Connection closed by 203.0.113.5 port 50001",
    b"Connection closed by user alice 203.0.113.5 port 50001",
    b"Connection closed by authenticating user root 203.0.113.5 port 50001 [preauth]",
    b"Connection reset by 203.0.113.5 port 50001",
    b"Read error from remote host 203.0.113.5 port 50001: Connection reset by peer",
    b"Timeout, client not responding from user alice 203.0.113.5 port 50001",
    b"Timeout, client not responding.",
    b"terminating inactive connection from user alice 203.0.113.5 port 50001",
    b"Disconnecting user alice 203.0.113.5 port 50001: bad packet",
    b"Exiting on signal 15",
    b"error: mm_reap: preauth child terminated by signal 9",
    b"pam_unix(sshd:session): session closed for user alice",
    b"pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
    b"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.66",
    b"Server listening on 0.0.0.0 port 22.",
    b"",
]
LINES = st.builds(
    lambda head, second, tag, pid, message, end: head % (second, tag, pid) + message + end,
    st.sampled_from(list(HEADS.values())),
    st.integers(0, 9),
    st.sampled_from([b"sshd", b"sshd-session", b"sshd-auth", b"CRON", b"su"]),
    st.integers(1, 3),
    st.sampled_from(MESSAGES),
    st.sampled_from([b"", b"", b"", b"\r", b" [preauth]"]),
)


@pytest.mark.parametrize("dress", HEADS)
def test_the_sieve_loses_nothing_of_any_dress(dress: str) -> None:
    """Every known message, each dress in turn, is found by both ways."""
    data = b"".join(HEADS[dress] % (n % 10, b"sshd", n) + m + b"\n" for n, m in enumerate(MESSAGES, 1))
    events, failures = slowly(data)
    assert len(events) == 18
    assert sum(failures.values()) == 10
    assert quickly(data) == (events, failures)


@given(st.lists(st.one_of(LINES, LINES, st.binary(max_size=60).map(lambda b: b.replace(b"\n", b" "))), max_size=40))
def test_the_quick_way_is_the_slow_way(lines: list[bytes]) -> None:
    """Whatever the lines, mixed from all dresses, programs, hosts and rubbish, both ways find the same."""
    data = b"".join(line + b"\n" for line in lines)
    assert quickly(data) == slowly(data)


def test_one_dress_is_sifted_not_read() -> None:
    """Of a chunk of attack noise no line is left to read, only what it adds up to."""
    head = b"Nov 23 03:00:01 web01 sshd[1]: "
    noise = [
        b"Invalid user admin from 192.0.2.66 port 41002",
        b"Failed password for root from 192.0.2.66 port 41000 ssh2",
        b"Failed password for invalid user admin from 192.0.2.66 port 41001 ssh2",
        b"Failed password for root from 192.0.2.66 port 41002 ssh2",
        b"Received disconnect from 192.0.2.66 port 41002:11: Bye Bye [preauth]",
    ]
    lines, folds = sift(b"".join(head + text + b"\n" for text in noise))
    assert lines == []
    assert folds == [
        Fold(
            b"192.0.2.66",
            {b"password for root": 2, b"password for invalid user admin": 1},
            head + noise[1],
            head + noise[3],
        )
    ]


def test_nothing_is_sifted_from_nothing() -> None:
    """No lines, or none that begin like a log."""
    assert sift(b"") == ([], [])
    assert sift(b"rubbish\n\nmore\n") == ([b"rubbish", b"more"], [])


@given(st.binary(max_size=2000))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    """Any bytes can be sifted."""
    quickly(data)
