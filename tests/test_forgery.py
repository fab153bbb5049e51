"""What strangers and local users can write into a log, and what is made of it: nothing, or exactly what is true.

Each family has a genuine twin that does lead to an event, so that no case is empty; each hostile variant names the
events that it must lead to. In a log file a local forger who writes as sshd wins by nature, so those are not here;
the journal knows who wrote.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional

import pytest

from tests.support import routes
from usm.core.decode import Stamps
from usm.core.model import Batch, Host
from usm.ingest import Intake, Watch, ingest
from usm.store import Store

NOW = datetime(2026, 12, 31, 12, tzinfo=timezone.utc)
UIDS = {"root": 0, "alice": 1000, "bob": 1001, "mallory": 2005}
WATCH = Watch(Host("web01"), routes("console"), uid_of=UIDS.get)
H = "Nov 23 03:00:01 web01 "
Fact = tuple[str, Optional[str], Optional[str]]  # kind, user, address

OPEN = (
    "Nov 23 03:00:00 web01 sshd[125]: Accepted publickey for alice from 203.0.113.5 port 43867 ssh2: RSA SHA256:abcdefgh",  # noqa: E501 - a line as it is written
    "Nov 23 03:00:00 web01 sshd-session[300]: Accepted password for root from 198.51.100.9 port 50000 ssh2",
    "Nov 23 03:00:00 web01 login[700]: pam_unix(login:session): session opened for user bob(uid=1001) by LOGIN(uid=0)",
)


class Family(NamedTuple):
    """A genuine line and what it leads to; hostile ones, each with what it must lead to (mostly nothing)."""

    name: str
    twin: str
    fact: Fact
    hostile: tuple[tuple[str, tuple[Fact, ...]], ...]


def none(*lines: str) -> tuple[tuple[str, tuple[Fact, ...]], ...]:
    """Return hostile lines that must lead to nothing."""
    return tuple((line, ()) for line in lines)


def take(lines: list[bytes], *, journal: bool = False) -> list[Fact]:
    """Return what is recognised of the last line, after the others, line by line."""
    store = Store(":memory:")
    intake = Intake(Stamps(timezone.utc, NOW), journal=journal)
    with store.transaction() as tx:
        for line in lines[:-1]:
            intake.take(tx, line, WATCH)
        events = intake.take(tx, lines[-1], WATCH)
    store.close()
    return [(e.kind, e.user, e.source_ip) for e in events]


def batch(lines: list[bytes], *, journal: bool = False) -> list[Fact]:
    """Return the logins and ends that the last line is told for, through the sieve and the store."""
    store = Store(":memory:")
    intake = Intake(Stamps(timezone.utc, NOW), journal=journal)
    data = b"\n".join(lines[:-1]) + b"\n"
    ingest(store, "s", Batch(data, "1"), intake, WATCH, NOW)
    told = ingest(store, "s", Batch(lines[-1] + b"\n", "2"), intake, WATCH, NOW)
    store.close()
    return [(e.kind, e.user, e.source_ip) for e in told if e.kind in ("login", "logout")]


A = "Accepted password for root from 6.6.6.6 port 22 ssh2"
IN: Fact = ("login", "root", "6.6.6.6")
OUT: Fact = ("logout", "alice", "203.0.113.5")
CLOSED = "pam_unix(sshd:session): session closed for user alice"


def bad(user: str, ip: str = "192.0.2.66") -> tuple[Fact, ...]:
    """Return one failed login."""
    return (("failed", user, ip),)


FAMILIES = (
    Family(
        "tag",
        H + "sshd[1]: " + A,
        IN,
        none(
            *(
                H + tag + A
                for tag in (
                    "sshd: ",
                    "(sshd): ",
                    "(sshd)[1]: ",
                    "root: sshd[1]: ",
                    "CRON[1]: (m) CMD (echo sshd[1]: ",
                    "xsshd[1]: ",
                    "sshd1[1]: ",
                    "SSHD[1]: ",
                    "sshd[-1]: ",
                    "sshd[]: ",
                    "sshd[1x]: ",
                    "sshd [1]: ",
                    "sshd[[1]]: ",
                    "[sshd][1]: ",
                    "sshd[1]:",
                    "sshd[1] ",
                    "sshd[12345678901]: ",
                    "ѕshd[1]: ",
                    "ssһd[1]: ",
                    "sshd\u200b[1]: ",
                    "sshd[１]: ",
                    "sshd[1]: sshd[1]: ",
                    "sshd[1]:  ",
                    "sshd[1]: \t",
                    "sshd[1]: error: ",
                    "kernel: sshd[1]: ",
                    "sudo: sshd[1]: ",
                    "sshd-session: ",
                    "sshd-sessions[1]: ",
                    "sshd/1[1]: ",
                    "./sshd[1]: ",
                    "sshd\\[1\\]: ",
                    "'sshd'[1]: ",
                    "su[1]: ",
                    "dropbear[1]: ",
                )
            )
        ),
    ),
    Family(
        "header",
        H + "sshd[1]: " + A,
        IN,
        none(
            "Nov 31 03:00:01 web01 sshd[1]: " + A,
            "Nov 23 25:00:01 web01 sshd[1]: " + A,
            "Nov 23 03:61:01 web01 sshd[1]: " + A,
            "Nou 23 03:00:01 web01 sshd[1]: " + A,
            "nov 23 03:00:01 web01 sshd[1]: " + A,
            "Nov 2３ 03:00:01 web01 sshd[1]: " + A,
            "x Nov 23 03:00:01 web01 sshd[1]: " + A,
            "Nov 23 03:00:01 web01 Nov 23 03:00:01 web01 sshd[1]: " + A,
            "Nov 23 03:00:01  sshd[1]: " + A,
            "2026-13-23T03:00:01+00:00 web01 sshd[1]: " + A,
            "2026-11-23T03:00:01 web01 sshd[1]: " + A,
            "2026-11-23T03:00:01+99:99 web01 sshd[1]: " + A,
            "<9999>Nov 23 03:00:01 web01 sshd[1]: " + A,
            "Nov 23 03:00:01 " + "h" * 256 + " sshd[1]: " + A,
            "\rNov 23 03:00:01 web01 sshd[1]: " + A,
            "\u2028Nov 23 03:00:01 web01 sshd[1]: " + A,
            "0000-11-23T03:00:01Z web01 sshd[1]: " + A,
        ),
    ),
    Family(
        "structured",
        "<38>1 2026-11-23T03:00:01Z web01 sshd 1 - -  " + A,
        IN,
        none(
            '<38>1 2026-11-23T03:00:01Z web01 root - - [x y="] sshd 1 - - "] ' + A,
            '<38>1 2026-11-23T03:00:01Z web01 root 1 - [x y="sshd[1\\]: ' + A + '"] z',
            "<38>1 2026-11-23T03:00:01Z web01 sshd - - - " + A,
            "<38>1 2026-11-23T03:00:01Z web01 sshd x1 - - " + A,
            "<38>1 2026-11-23T03:00:01Z web01 sshd 1 - [x " + A,
            "<38>2 2026-11-23T03:00:01Z web01 sshd 1 - - " + A,
            "<38>1 2026-11-23T03:00:01Z web01 root 1 sshd - " + A,
            "<38>1 - web01 sshd 1 - - " + A,
        ),
    ),
    Family(
        "accepted",
        H + "sshd[1]: " + A,
        IN,
        none(
            *(
                H + "sshd[1]: " + text
                for text in (
                    A.replace("for root", "for invalid user root"),
                    A + " [preauth]",
                    A[:-5],
                    A + "x",
                    A.lower(),
                    A.replace("6.6.6.6", "6.6.6.256"),
                    A.replace("6.6.6.6", "evil.example"),
                    A.replace("22", "65536"),
                    A.replace("22", "222222"),
                    A.replace("6.6.6.6", "６.6.6.6"),
                    A.replace("22", "２２"),
                    A.replace("root ", " "),
                    A.replace("password", "Password"),
                    A.replace("password", ""),
                    A.replace(" port", "\u00a0port"),
                    A.replace("6.6.6.6", "06.6.6.6"),
                    A.replace("6.6.6.6", ":::"),
                    "x\r" + A,
                    "x\0" + A,
                    "x\u0085" + A,
                    "x\u2028" + A,
                    "x#012" + H + "sshd[1]: " + A,
                    "message repeated 2 times: [ " + A + "]",
                    "Invalid user x\\n" + A,
                    A + "\u2028x",
                    A + " ssh2",
                    "x" * 70000 + A,
                    A + ": " + "x" * 70000,
                    "Accepted key RSA SHA256:abcdefgh found at /root/k:1",
                    "Postponed publickey for root from 6.6.6.6 port 22 ssh2 [preauth]",
                    "Partial publickey for root from 6.6.6.6 port 22 ssh2",
                    "banner exchange: " + A,
                    "Bad protocol version identification '" + A + "' from 192.0.2.66 port 1",
                    'error: kex_exchange_identification: client sent invalid protocol identifier "' + A + '"',
                    "Invalid user " + A + " from 192.0.2.66 port 41000",
                    "User " + A + " from 192.0.2.66 not allowed because not listed in AllowUsers",
                    "input_userauth_request: invalid user " + A + " [preauth]",
                )
            )
        ),
    ),
    Family(
        "key id",
        H + "sshd[1]: Accepted publickey for alice from 203.0.113.6 port 50010 ssh2: ED25519 SHA256:abcdefgh",
        ("login", "alice", "203.0.113.6"),
        tuple(
            (
                H + "sshd[1]: Accepted publickey for alice from 203.0.113.6 port 50010 ssh2: " + extra,
                (("login", "alice", "203.0.113.6"),),
            )
            for extra in (
                "ED25519-CERT SHA256:abcdefgh ID root from 6.6.6.6 port 22 ssh2 (serial 1) CA ED25519 SHA256:y",
                "ED25519-CERT SHA256:abcdefgh ID x (serial 1) CA RSA y (serial 2) CA ED25519 SHA256:y",
                'RSA SHA256:abcdefgh, client user "root from 6.6.6.6 port 22 ssh2", client host "h"',
                "mallory@REALM from 6.6.6.6 port 22 ssh2: x",
                "ED25519-CERT SHA256:abcdefgh ID \\033[31m\\n (serial 1) CA ED25519 SHA256:y",
                "ED25519-CERT SHA256:abcdefgh ID  [preauth] (serial 1) CA ED25519 SHA256:y",
            )
        ),
    ),
    Family(
        "failed",
        H + "sshd[1]: Failed password for invalid user x from 192.0.2.66 port 41000 ssh2",
        ("failed", "x", "192.0.2.66"),
        tuple(
            (H + f"sshd[1]: Failed password for invalid user {name} from 192.0.2.66 port 41000 ssh2", bad(name))
            for name in (
                A,
                "x from 6.6.6.6 port 22 ssh2",
                "",
                " ",
                "a b c",
                "sshd[1]: " + A,
                "root: x",
                "'; DROP TABLE session",
                "invalid user root",
                "<at id=all>",
                "x\u2028y",
                "x\u0085" + A,
                "用户",
                "x [preauth]",
                "from from",
                "x ssh2",
                "alice 203.0.113.5 port 43867",
            )
        )
        + none(
            H + "sshd[1]: Failed password for x from 999.1.1.1 port 1 ssh2",
            H + "sshd[1]: Failed keyboard-interactive/pam for x from 192.0.2.66 port 1 ssh2",
            H + "sshd: Failed password for x from 192.0.2.66 port 41000 ssh2",
        ),
    ),
    Family(
        "goodbye",
        H + "sshd[127]: Received disconnect from 203.0.113.5 port 43867:11: disconnected by user",
        OUT,
        none(
            *(
                H + "sshd[127]: " + text
                for text in (
                    "Received disconnect from 203.0.113.5 port 43867:11: bye [preauth]",
                    "Received disconnect from 192.0.2.66 port 41000:11: disconnected by user" + "\\001" * 110,
                    "Received disconnect from 192.0.2.66 port 41000:11: x from 203.0.113.5 port 43867:11: bye",
                    "Received disconnect from 192.0.2.66 port 41000:11: Disconnected from user alice 203.0.113.5 port 43867",  # noqa: E501 - a line as it is written
                    "Received disconnect from 203.0.113.5 port 43868:11: bye",
                    "Received disconnect from 203.0.113.55 port 43867:11: bye",
                    "Received disconnect from 203.0.113.5: 11: bye [preauth]",
                    "Disconnected from invalid user alice 203.0.113.5 port 43867 [preauth]",
                    "Disconnected from user alice 203.0.113.5 port 43867 192.0.2.66 port 41000",
                    "Disconnected from authenticating user x 203.0.113.5 port 43867 192.0.2.66 port 41000 [preauth]",
                    "Connection closed by invalid user x 203.0.113.5 port 43867 192.0.2.66 port 41000 [preauth]",
                    "Connection closed by 203.0.113.5 port 43867 [preauth]",
                    "Connection closed by 203.0.113.5 port 4386",
                    "Connection closed by 192.0.2.66 port 41000",
                    "Connection reset by user alice 203.0.113.5 port 43868",
                    "Timeout, client not responding from user alice 192.0.2.66 port 43867",
                    "Timeout before authentication for 203.0.113.5 port 43867",
                    "Connection from 203.0.113.5 port 43867 on 192.0.2.10 port 22",
                    "Invalid user Disconnected from user alice 203.0.113.5 port 43867 from 192.0.2.66 port 41000",
                    "Read error from remote host 192.0.2.66 port 41000: 203.0.113.5 port 43867",
                    "Exiting on signal 15",
                )
            )
        ),
    ),
    Family(
        "close",
        H + "sshd[125]: " + CLOSED,
        OUT,
        none(
            H + "su[125]: pam_unix(su:session): session closed for user alice",
            H + "su[125]: " + CLOSED,
            H + "CRON[125]: pam_unix(cron:session): session closed for user alice",
            H + "CRON[125]: " + CLOSED,
            H + "login[125]: pam_unix(login:session): session closed for user alice",
            H + "login[125]: " + CLOSED,
            H + "sshd[125]: pam_unix(su:session): session closed for user alice",
            H + "sshd[125]: pam_unix(login:session): session closed for user alice",
            H + "sshd[126]: " + CLOSED,
            H + "sshd[125]: " + CLOSED + "x",
            H + "sshd[125]: " + CLOSED.replace("alice", "root"),
            H + "sshd: " + CLOSED,
            H + "sshd[700]: pam_unix(sshd:session): session closed for user bob",
            H + "vsftpd[125]: pam_unix(vsftpd:session): session closed for user alice",
            H + "dropbear[125]: Exit (alice): Disconnect received",
            H.replace("web01", "web02") + "sshd[125]: " + CLOSED,
            H + "systemd-user[125]: pam_unix(systemd-user:session): session closed for user alice",
            H + "sshd[125]: pam_unix(sshd:auth): session closed for user alice",
        ),
    ),
    Family(
        "privilege",
        H + "su[9]: (to root) alice on pts/1",
        ("privilege", "alice", None),
        (
            *none(
                H + "su[9]: (to root) alice on pts/1 x",
                H + "su[9]: FAILED SU (to root) alice on pts/1 x",
                H + "su[9]: (to root) a b on pts/1",
                H + "su[9]: (to root)\u2028alice on pts/1",
                H + "sudo: (to root) alice on pts/1",
                H + "cron[9]: (to root) alice on pts/1",
            ),
            (H + "su[9]: FAILED SU (to x) bob on pts/2 (to root) alice on pts/1", (("failed", "alice", None),)),
            (
                H + "sudo:  mallory : TTY=pts/3 ; PWD=/ ; USER=bob ; COMMAND=x ; COMMAND=/bin/sh sshd[1]: " + A,
                (("privilege", "mallory", None),),
            ),
            (
                H + "sudo:  mallory : TTY=pts/3 ; PWD=/x ; USER=root ; COMMAND=y ; USER=bob ; COMMAND=z",
                (("privilege", "mallory", None),),
            ),
            (
                H + "sudo:  mallory : TTY=pts/3 ; PWD=/ ; USER=root ; COMMAND=/bin/echo x#012" + H + "sshd[1]: " + A,
                (("privilege", "mallory", None),),
            ),
            (H + "doas: mallory ran command x as bob from / as root from /", (("privilege", "mallory", None),)),
            (
                H + "sudo:  mallory : command not allowed ; TTY=pts/3 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
                (("failed", "mallory", None),),
            ),
        ),
    ),
)
CASES = [(f.name, line, facts) for f in FAMILIES for line, facts in f.hostile]


def raw(*lines: str) -> list[bytes]:
    """Return the open sessions' lines and these."""
    return [line.encode() for line in (*OPEN, *lines)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_the_genuine_twin_is_seen(family: Family) -> None:
    """Without this the hostile ones would prove nothing."""
    assert take(raw(family.twin)) == [family.fact]
    if family.fact[0] in ("login", "logout"):
        assert batch(raw(family.twin)) == [family.fact]


@pytest.mark.parametrize(("name", "line", "facts"), CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)])
def test_a_hostile_line_leads_to_what_is_true(name: str, line: str, facts: tuple[Fact, ...]) -> None:
    """Line by line and in a batch; and the open sessions stay open for their genuine end."""
    assert take(raw(line)) == list(facts), name
    assert batch(raw(line)) == [f for f in facts if f[0] in ("login", "logout")]
    if all(fact[0] != "login" for fact in facts):
        assert take(raw(line, H + "sshd[125]: " + CLOSED)) == [OUT]


# -- the journal


def entry(message: Any, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return an entry of sshd's as root's journald has it; a field that is None is left out."""
    found = {
        "SYSLOG_IDENTIFIER": "sshd",
        "SYSLOG_PID": "1",
        "_PID": "1",
        "_UID": "0",
        "_TRANSPORT": "syslog",
        "_COMM": "sshd",
        "_EXE": "/usr/sbin/sshd",
        "_HOSTNAME": "web01",
        "_BOOT_ID": "b" * 32,
        "MESSAGE": message,
        "__REALTIME_TIMESTAMP": "1795000000000000",
        **fields,
    }
    return {name: value for name, value in found.items() if value is not None}


def pid(number: int) -> dict[str, str]:
    """Return both fields of a process id."""
    return {"SYSLOG_PID": str(number), "_PID": str(number)}


def entries(*found: dict[str, Any]) -> list[bytes]:
    """Return alice's open session of the journal, and these entries."""
    first = entry("Accepted publickey for alice from 203.0.113.5 port 43867 ssh2", **pid(125))
    uid = entry("pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)", **pid(125))
    return [json.dumps(e).encode() for e in (first, uid, *found)]


SU = {"SYSLOG_IDENTIFIER": "su", "_COMM": "su", "_EXE": "/usr/bin/su"}
LOGIND = {
    "SYSLOG_IDENTIFIER": "systemd-logind",
    "_COMM": "systemd-logind",
    "_EXE": "/usr/lib/systemd/systemd-logind",
    "_TRANSPORT": "journal",
    "SYSLOG_PID": None,
    "LEADER": "125",
    "SESSION_ID": "5",
}
WRONG: tuple[dict[str, Any], ...] = (
    {"_UID": "2005"},
    {"_UID": None},
    {"_UID": ""},
    {"_UID": ["0", "0"]},
    {"_UID": 0},
    {"_UID": "-0"},
    {"_UID": " 0"},
    {"_UID": "٠"},
    {"_UID": None, "UID": "0"},
    {"_PID": "2"},
    {"_PID": None},
    {"_PID": ["1", "1"]},
    {"_PID": 1},
    {"SYSLOG_PID": "4242"},
    {"SYSLOG_PID": None},
    {"SYSLOG_PID": ["1", "2"]},
    {"SYSLOG_PID": "1x"},
    {"_TRANSPORT": "stdout"},
    {"_TRANSPORT": "journal"},
    {"_TRANSPORT": "kernel"},
    {"_TRANSPORT": None},
    {"_TRANSPORT": ["syslog"]},
    {"_COMM": "logger"},
    {"_COMM": ["sshd"]},
    {"_COMM": "sshd "},
    {"_COMM": ""},
    {"_EXE": "/tmp/sshd"},
    {"_EXE": "/home/mallory/usr/sbin/sshd"},
    {"_EXE": "/usr/local/sbin/sshd"},
    {"_EXE": "/usr/bin/logger"},
    {"_EXE": ["/usr/sbin/sshd"]},
    {"_EXE": ""},
    {"_EXE": "usr/sbin/sshd"},
    {"SYSLOG_IDENTIFIER": None},
    {"SYSLOG_IDENTIFIER": ["sshd", "sshd"]},
    {"SYSLOG_IDENTIFIER": "SSHD"},
    {"SYSLOG_IDENTIFIER": " sshd"},
    {"__REALTIME_TIMESTAMP": None},
    {"__REALTIME_TIMESTAMP": "x"},
    {"__REALTIME_TIMESTAMP": ["1", "2"]},
    {"MESSAGE": None},
    {"MESSAGE": [A, A]},
    {"MESSAGE": [256]},
    {"MESSAGE": {}},
    {"MESSAGE": 1},
    {"MESSAGE": [list(A.encode())]},
    {"_COMM": None, "_EXE": None, "_UID": "2005"},
)
OPENED = "pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)"


@pytest.mark.parametrize("also", [{}, {"_EXE": None}, {"_COMM": None}, {"_COMM": None, "_EXE": None}], ids=str)
def test_a_genuine_entry_is_seen_whatever_journald_was_too_late_for(also: dict[str, Any]) -> None:
    """The twin of the forged ones."""
    assert take(entries(entry(A, **also)), journal=True) == [IN]
    assert take(entries(entry(list(A.encode()), **also)), journal=True) == [IN]
    assert take(entries(entry(CLOSED, **pid(125), **also)), journal=True) == [OUT]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_one_wrong_field_makes_an_entry_nobodys(wrong: dict[str, Any]) -> None:
    """Each field in turn, the text being perfect."""
    assert take(entries(entry(A, **wrong)), journal=True) == []
    assert batch(entries(entry(A, **wrong)), journal=True) == []


JOURNAL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("own sshd on a high port", entry(A, _UID="2005")),
    ("end of another's session", entry(CLOSED, **pid(125), _UID="2005", _COMM=None, _EXE=None)),
    ("end by another's process", entry("Disconnected from user alice 203.0.113.5 port 43867", **pid(9), _UID="2005")),
    ("end by root's process of another peer", entry("Disconnected from user alice 192.0.2.66 port 43867", **pid(9))),
    ("su for another", entry("(to root) alice on pts/1", **{**SU, "_UID": "2005"})),
    ("su for nobody", entry("(to root) ghost on pts/1", **{**SU, "_UID": "2005"})),
    ("su for nobody by a daemon", entry("(to root) ghost on pts/1", **{**SU, "_UID": "33"})),
    ("su from /tmp", entry("(to root) mallory on pts/1", **{**SU, "_UID": "2005", "_EXE": "/tmp/su"})),
    ("su of another program", entry("(to root) mallory on pts/1", **{**SU, "_UID": "2005", "_COMM": "sh"})),
    ("logind by a user", entry("Removed session 5.", **{**LOGIND, "_UID": "2005"})),
    ("logind through syslog", entry("Removed session 5.", **{**LOGIND, "_TRANSPORT": "syslog"})),
    ("logind by another program", entry("Removed session 5.", **{**LOGIND, "_EXE": "/usr/bin/logger"})),
    ("logind of no leader", entry("Removed session 5.", **{**LOGIND, "LEADER": None})),
    ("logind of two leaders", entry("Removed session 5.", **{**LOGIND, "LEADER": ["125", "1"]})),
    ("logind of another leader", entry("Removed session 5.", **{**LOGIND, "LEADER": "126"})),
)


@pytest.mark.parametrize(("name", "forged"), JOURNAL, ids=[name for name, _ in JOURNAL])
def test_a_forged_entry_leads_to_nothing(name: str, forged: dict[str, Any]) -> None:
    """Nor does it change how the session ends that is open: it still ends, once, when root says so."""
    assert take(entries(forged), journal=True) == [], name
    assert take(entries(forged, entry(CLOSED, **pid(125))), journal=True) == [OUT]


@pytest.mark.parametrize(
    ("genuine", "fact"),
    [
        (entry("Disconnected from user alice 203.0.113.5 port 43867", **pid(9)), OUT),
        (entry("(to root) mallory on pts/1", **{**SU, "_UID": "2005"}), ("privilege", "mallory", None)),
        (entry("Removed session 5.", **LOGIND), OUT),
    ],
    ids=["end", "su", "logind"],
)
def test_the_genuine_entry_is_seen(genuine: dict[str, Any], fact: Fact) -> None:
    """The twins of the forged ones."""
    assert take(entries(genuine), journal=True) == [fact]


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b"[" * 100000, b'{"MESSAGE":' * 5000, b"\xff{}", b'{"_UID":NaN}'],
    ids=range(11),
)
def test_what_is_no_entry_leads_to_nothing(line: bytes) -> None:
    """JSON that is none, or of another shape."""
    assert take([*entries(), line], journal=True) == []


def test_there_are_enough_and_no_two_are_the_same() -> None:
    """A hundred at least."""
    lines = {line for _, line, _ in CASES}
    assert len(lines) == len(CASES)
    assert len(CASES) + len(WRONG) + len(JOURNAL) >= 100
