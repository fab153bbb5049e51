"""usm/core/journal.py: what the journal proves; every real entry is kept, every forged one is not."""

from __future__ import annotations

import json
import lzma
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.core.journal import decode_journal
from usm.core.model import FAILED, PRIVILEGE, Record
from usm.core.recognize import BY_TAG, recognize

MACHINES = sorted((Path(__file__).parent.parent / "data" / "machines").iterdir())
CST = timezone(timedelta(hours=8))
# A real entry of OpenSSH 10 on Debian 13, without the fields that nobody asks for.
ACCEPTED = {
    "_HOSTNAME": "web01",
    "_SYSTEMD_UNIT": "ssh.service",
    "_BOOT_ID": "530e954eb3ec49dc9615f946375727c6",
    "MESSAGE": "Accepted password for alice from 203.0.113.5 port 40001 ssh2",
    "__REALTIME_TIMESTAMP": "1795575446617025",
    "_EXE": "/usr/lib/openssh/sshd-session",
    "SYSLOG_IDENTIFIER": "sshd-session",
    "_CMDLINE": '"sshd-session: alice [priv]"',
    "SYSLOG_PID": "101",
    "_SOURCE_REALTIME_TIMESTAMP": "1795575446616960",
    "_UID": "0",
    "_TRANSPORT": "syslog",
    "_GID": "0",
    "_PID": "101",
    "_COMM": "sshd-session",
}
SU = {
    **ACCEPTED,
    "MESSAGE": "(to root) alice on pts/1",
    "SYSLOG_IDENTIFIER": "su",
    "_UID": "2001",
    "_EXE": "/usr/bin/su",
    "_COMM": "su",
    "_SYSTEMD_OWNER_UID": "2001",
}
REMOVED = {
    **ACCEPTED,
    "MESSAGE": "Removed session c1.",
    "SYSLOG_IDENTIFIER": "systemd-logind",
    "_TRANSPORT": "journal",
    "_EXE": "/usr/lib/systemd/systemd-logind",
    "_COMM": "systemd-logind",
    "LEADER": "101",
    "SESSION_ID": "c1",
    "SYSLOG_PID": None,
}
STOPPING = {
    **REMOVED,
    "MESSAGE": "Stopping session-c35.scope - Session c35 of User alice...",
    "SYSLOG_IDENTIFIER": "systemd",
    "_EXE": "/usr/lib/systemd/systemd",
    "_COMM": "systemd",
    "_PID": "1",
    "UNIT": "session-c35.scope",
    "LEADER": None,
    "SESSION_ID": None,
}


def decoded(entry: dict[str, Any], **changed: Any) -> Optional[Record]:  # noqa: ANN401 - any JSON
    """The record of an entry with some fields changed; None takes a field out."""
    fields = {name: value for name, value in {**entry, **changed}.items() if value is not None}
    return decode_journal(json.dumps(fields).encode(), CST)


@lru_cache
def entries(path: Path) -> tuple[bytes, ...]:
    """The lines of a recorded journal."""
    return tuple(lzma.decompress(path.read_bytes()).splitlines())


def test_a_real_entry_is_a_record() -> None:
    """All that it says, the time as the writer sent it, in the zone that was asked for."""
    time = datetime(2026, 11, 25, 10, 57, 26, 616960, CST)
    assert decoded(ACCEPTED) == Record(
        time, "web01", "sshd-session", 101, str(ACCEPTED["MESSAGE"]), 0, str(ACCEPTED["_BOOT_ID"])
    )
    record = decoded(ACCEPTED)
    assert record is not None
    assert record.time.utcoffset() == timedelta(hours=8)


def test_without_the_sender_s_time_it_is_journald_s() -> None:
    """A few microseconds later."""
    record = decoded(ACCEPTED, _SOURCE_REALTIME_TIMESTAMP=None)
    assert record is not None
    assert record.time.microsecond == 617025


@pytest.mark.parametrize("machine", MACHINES, ids=lambda path: path.name)
def test_every_real_entry_of_a_program_that_can_be_recognised_is_kept(machine: Path) -> None:
    """Sorted out are only other programs', and what a program wrote before or behind its time as that program."""
    lost = []
    for line in entries(machine / "journal.json.xz"):
        fields = json.loads(line)
        tag, message = fields.get("SYSLOG_IDENTIFIER"), fields.get("MESSAGE")
        if tag in BY_TAG and decode_journal(line, CST) is None and isinstance(message, str):
            time = datetime(2026, 11, 25, tzinfo=CST)
            number = int(fields["_PID"])
            told = recognize(Record(time, "h", tag, number, message))
            # PAM's own wrong-password line of login has another process' name; login says it again itself.
            lost += [message] if told is not None and fields.get("_UID") == "0" else []
    assert [message for message in lost if not message.startswith("Stopping ")] == []


@pytest.mark.parametrize("machine", MACHINES, ids=lambda path: path.name)
def test_no_recorded_forgery_logs_anybody_in(machine: Path) -> None:
    """A user's process may explain an end, and speak of su, sudo and doas with its own uid; nothing else."""
    kinds = set()
    for line in entries(machine / "forged.journal.json.xz"):
        fields = json.loads(line)
        record = decode_journal(line, CST)
        event = recognize(record) if record is not None else None
        if event is None or fields.get("_UID") == "0":
            continue
        kinds.add(event.kind)
        assert event.kind in ("hint", PRIVILEGE, FAILED)
        assert event.kind == "hint" or event.service in ("su", "sudo", "doas")
        assert event.uid == int(fields["_UID"])
    assert "login" not in kinds


@pytest.mark.parametrize(
    "changed",
    [
        {"_TRANSPORT": "journal"},
        {"_TRANSPORT": "stdout"},
        {"_TRANSPORT": "kernel"},
        {"_TRANSPORT": None},
        {"SYSLOG_PID": "102"},
        {"SYSLOG_PID": None},
        {"SYSLOG_PID": ["101", "102"]},
        {"SYSLOG_PID": "101x"},
        {"_COMM": "logger"},
        {"_COMM": "sshd-sessio"},
        {"_COMM": ["sshd-session"]},
        {"_EXE": "/usr/bin/logger"},
        {"_EXE": "/home/mallory/sshd-session"},
        {"_EXE": "/home/mallory/usr/bin/sshd-session"},
        {"_EXE": "/usr/local/sbin/sshd-session"},
        {"_EXE": "/tmp/sshd-session (deleted)"},
        {"_EXE": "/usr/lib/openssh/sshd-session.d"},
        {"_EXE": "/usr/lib/openssh/sshd-session/x"},
        {"_EXE": ["/usr/lib/openssh/sshd-session"]},
        {"_EXE": "usr/lib/openssh/sshd-session"},
        {"_UID": None},
        {"_UID": ["0", "2003"]},
        {"_UID": "-1"},
        {"_UID": "٠"},
        {"_UID": 0},
        {"_PID": None},
        {"_PID": "9" * 18},
        {"__REALTIME_TIMESTAMP": None},
        {"__REALTIME_TIMESTAMP": "soon"},
        {"SYSLOG_IDENTIFIER": None},
        {"SYSLOG_IDENTIFIER": ["sshd", "sshd"]},
        {"SYSLOG_IDENTIFIER": "mallory"},
        {"SYSLOG_IDENTIFIER": "sshd-session "},
        {"SYSLOG_IDENTIFIER": "login"},
        {"MESSAGE": None},
        {"MESSAGE": [65, 256]},
        {"MESSAGE": [65, -1]},
        {"MESSAGE": ["Accepted password for root from 203.0.113.5 port 1 ssh2"]},
        {"MESSAGE": {"text": "x"}},
        {"MESSAGE": 7},
    ],
    ids=json.dumps,
)
def test_what_speaks_against_its_program_is_no_record(changed: dict[str, Any]) -> None:
    """Another way, another pid, another process, a program file where users may write, fields that came twice."""
    assert decoded(ACCEPTED) is not None
    assert decoded(ACCEPTED, **changed) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"_COMM": None},
        {"_EXE": None},
        {"_COMM": None, "_EXE": None},
        {"_EXE": "/usr/lib/openssh/sshd-session (deleted)"},
        {"_EXE": "/nix/store/abc-openssh/libexec/sshd-session"},
        {"_EXE": "/usr/sbin/sshd", "_COMM": "sshd"},
        {"_EXE": "/sbin/sshd"},
        {"_SYSTEMD_UNIT": "session-c1.scope"},
    ],
    ids=json.dumps,
)
def test_what_is_not_known_of_a_process_does_not_speak_against_it(changed: dict[str, Any]) -> None:
    """A process that was quick to end, a program that was upgraded, a session's scope."""
    assert decoded(ACCEPTED, **changed) == decoded(ACCEPTED)


def test_another_user_s_record_keeps_its_uid() -> None:
    """So `recognize` can hold it to what a user may say."""
    record = decoded(ACCEPTED, _UID="2003")
    assert record is not None
    assert record.uid == 2003
    assert recognize(record) is None


@pytest.mark.parametrize(
    "line", [b"", b"null", b"[]", b'"x"', b"7", b"{", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"MESSAGE": NaN}']
)
def test_what_is_no_entry_is_no_record(line: bytes) -> None:
    """Half a line, another kind of JSON, nested too deep."""
    assert decode_journal(line, CST) is None


def test_a_message_that_is_not_clean_text_comes_as_bytes() -> None:
    """Journalctl prints it as a list; what is no UTF-8 is escaped."""
    record = decoded(ACCEPTED, MESSAGE=[*b"pam \xe7\x8e\x8b ", 255, 27])
    assert record is not None
    assert record.message == "pam 王 \\xff\x1b"


def test_huge_numbers_are_cut_and_break_nothing() -> None:
    """A time of a clock gone wild is still a time."""
    record = decoded(ACCEPTED, _SOURCE_REALTIME_TIMESTAMP="9" * 17)
    assert record is not None
    assert record.time.year == 2255
    later = decoded(ACCEPTED, _SOURCE_REALTIME_TIMESTAMP="9" * 18)
    assert later is not None
    assert later.time.microsecond == 617025


@pytest.mark.parametrize("name", ["_HOSTNAME", "_BOOT_ID"])
def test_a_name_that_came_twice_is_nobody_s(name: str) -> None:
    """It is as good as absent."""
    assert decoded(ACCEPTED, **{name: ["a", "b"]}) == decoded(ACCEPTED, **{name: None})


# -- programs that anybody may start


def test_su_has_the_uid_of_who_started_it() -> None:
    """And of whose login that was: by logind, else by the kernel's login uid, if there was a login at all."""
    record = decoded(SU)
    assert record is not None
    assert (record.uid, record.owner) == (2001, 2001)
    for fields, owner in (
        ({"_AUDIT_LOGINUID": "2001"}, 2001),
        ({"_AUDIT_LOGINUID": "4294967295"}, None),
        ({"_SYSTEMD_OWNER_UID": "2005", "_AUDIT_LOGINUID": "2001"}, 2005),
        ({}, None),
    ):
        other = decoded(SU, **{"_SYSTEMD_OWNER_UID": None, **fields})
        assert other is not None
        assert other.owner == owner


def test_root_s_word_on_su_sudo_and_doas_needs_no_other_proof() -> None:
    """The process may already be what it was to start (doas writes when it has become its target)."""
    doas = {"SYSLOG_IDENTIFIER": "doas", "_COMM": "id", "_EXE": "/usr/bin/id"}
    assert decoded(SU, _UID="0", **doas) is not None
    assert decoded(SU, _UID="2003", **doas) is None
    assert decoded(SU, _UID="2003", _COMM="su", _EXE="/home/mallory/su") is None
    assert decoded(SU, _UID="0", SYSLOG_PID="7") is None


def test_a_program_that_writes_no_pid_into_its_tag() -> None:
    """Sudo and su write none in PAM's lines; where there is one it must be the process' own."""
    assert decoded(SU, SYSLOG_PID=None) is not None
    assert decoded(SU, SYSLOG_PID="102") is None


# -- logind, systemd, gdm


def test_logind_s_record_names_leader_and_seat() -> None:
    """It comes the journal's own way, without a pid of its own."""
    record = decoded(REMOVED)
    assert record is not None
    assert (record.leader, record.seat, record.pid) == (101, "c1", 101)
    assert decoded(REMOVED, _TRANSPORT="syslog") is None
    assert decoded(REMOVED, SYSLOG_PID="7") is None
    forged = decoded(REMOVED, _UID="2003")
    assert forged is not None
    assert recognize(forged) is None


@pytest.mark.parametrize(
    ("unit", "seat"),
    [
        ("session-c35.scope", "c35"),
        ("session-1730.scope", "1730"),
        ("session-.scope", None),
        ("session-c35.scope.d", None),
        ("ssh.service", None),
        (["session-c35.scope", "x"], None),
        (None, None),
    ],
)
def test_a_unit_of_a_session_names_the_seat(unit: object, seat: Optional[str]) -> None:
    """Systemd speaks of scopes."""
    record = decoded(STOPPING, UNIT=unit)
    assert record is not None
    assert record.seat == seat


def test_gdm_s_stray_bracket_is_dropped() -> None:
    """Its workers sign `gdm-password]`; the program is one, whichever of its names it was."""
    gdm = {"_COMM": "gdm-session-wor", "_EXE": "/usr/libexec/gdm-session-worker", "SYSLOG_PID": None}
    message = "pam_unix(gdm-password:session): session opened for user alice(uid=1000) by (uid=0)"
    for tag in ("gdm-password]", "gdm-password", "gdm-fingerprint]"):
        record = decoded(ACCEPTED, SYSLOG_IDENTIFIER=tag, MESSAGE=message, **gdm)
        assert record is not None
        event = recognize(record)
        assert event is not None
        assert (event.service, event.user, event.uid) == ("gdm", "alice", 1000)
    assert decoded(ACCEPTED, SYSLOG_IDENTIFIER="gdm-password]", MESSAGE=message, **{**gdm, "_COMM": "gdm"}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted({*ACCEPTED, *STOPPING, "_AUDIT_LOGINUID"})), JSON)
def test_whatever_a_field_holds_nothing_breaks(name: str, value: object) -> None:
    """An entry is a record or nobody's."""
    for entry in (ACCEPTED, SU, STOPPING):
        record = decode_journal(json.dumps({**entry, name: value}).encode(), CST)
        assert record is None or isinstance(record.message, str)
