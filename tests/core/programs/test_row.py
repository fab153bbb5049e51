"""usm/core/programs/row.py: what all tables are made of."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Optional

import pytest

from usm.core.model import Event, Record, session_id
from usm.core.programs import IDENTIFIERS, PROGRAMS
from usm.core.programs.row import address, evidence, login, peer, row

TIME = datetime(2026, 11, 25, 2, 0, tzinfo=timezone.utc)
RECORD = Record(TIME, "h", "p", 7, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("203.0.113.256", None),
        ("203.0.113.05", None),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("web01.example.org", None),
        ("", None),
    ],
)
def test_an_address_has_one_spelling(text: str, expected: object) -> None:
    """IPv4 over IPv6 is IPv4, a zone is kept, a name is no address."""
    assert address(text) == expected


def test_an_impossible_address_or_port_is_nobody_s_line() -> None:
    """65535 is the last port; sshd's word for no socket is a line of its own, without an address."""
    assert peer("203.0.113.5", "65535") == ("203.0.113.5", 65535)
    assert peer("203.0.113.5", "65536") is None
    assert peer("203.0.113.256", "1") is None
    assert peer("UNKNOWN", "65535") == (None, None)


def test_a_login_carries_its_boot_and_the_same_id_whenever_it_is_read() -> None:
    """The id is made of what the line says."""
    event = login(RECORD._replace(boot="b"), "p", "alice", source_ip="203.0.113.5", source_port=1)
    assert event.session == session_id(TIME, "h", "p", "alice", "203.0.113.5", 1, 7)
    assert (event.boot, event.pid, event.kind) == ("b", 7, "login")


@pytest.mark.parametrize(("uid", "kind", "said"), [(None, "logout", None), (0, "logout", None), (1000, "hint", 1000)])
def test_who_wrote_it_decides_between_evidence_and_a_hint(uid: Optional[int], kind: str, said: Optional[int]) -> None:
    """A log file does not know who, root's process may say it, a user's only explains."""
    event = evidence(RECORD._replace(uid=uid), "p", "closed", user="alice")
    assert (event.kind, event.uid, event.end_reason, event.user) == (kind, said, "closed", "alice")


def test_the_first_word_of_a_row_is_its_pattern_s() -> None:
    """Unless it is free; and the sieve's hint begins with it."""

    def build(_record: object, _match: object) -> Event:
        return Event("login", TIME, "h", "p")

    assert row(r"pam_unix\(x:y\): opened", build).word == "pam_unix(x:y):"
    assert row("Accepted .*", build).hint == rb"Accepted\ "
    assert (row(".*", build, b"", free=True).word, row(".*", build, b"", free=True).hint) == (None, b"")
    assert row("A b", build).pattern.fullmatch("A b") is not None


def test_every_program_signs_with_its_own_names() -> None:
    """No tag is two programs', and gdm's are asked for in the form that its workers really write."""
    tags = [tag for program in PROGRAMS for tag in program.tags]
    assert len(tags) == len(set(tags))
    assert "gdm-password]" in IDENTIFIERS
    assert "gdm-password" not in IDENTIFIERS
    assert {"sshd", "sshd-session", "su", "sudo", "doas", "login", "systemd", "systemd-logind"} <= set(IDENTIFIERS)
