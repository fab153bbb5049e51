"""usm/core/programs/seats.py: real lines of login(1), display managers, cockpit and vsftpd, and hostile ones."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

import pytest

from usm.core.model import Record
from usm.core.recognize import recognize

if TYPE_CHECKING:
    from usm.core.model import Event

TIME = datetime(2026, 11, 25, 2, 0, tzinfo=timezone.utc)
SEATS = [  # tag, service of PAM, ours, method
    ("login", "login", "login", None),
    ("login", "remote", "login", None),
    ("gdm-password", "gdm-password", "gdm", "password"),
    ("gdm-autologin", "gdm-autologin", "gdm", "autologin"),
    ("gdm-fingerprint", "gdm-fingerprint", "gdm", "fingerprint"),
    ("gdm-smartcard", "gdm-smartcard", "gdm", "smartcard"),
    ("lightdm", "lightdm", "lightdm", None),
    ("lightdm", "lightdm-autologin", "lightdm", "autologin"),
    ("sddm-helper", "sddm", "sddm", None),
    ("sddm-helper", "sddm-autologin", "sddm", "autologin"),
    ("cockpit-session", "cockpit", "cockpit", None),
    ("vsftpd", "vsftpd", "vsftpd", "password"),
]


def told(appname: str, message: str, pid: Optional[int] = None, uid: Optional[int] = None) -> Optional[Event]:
    """What a message is recognised as."""
    return recognize(Record(TIME, "h", appname, pid, message, uid))


def facts(event: Optional[Event], **names: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    """Return these fields of an event."""
    assert event is not None
    return {name: getattr(event, name) for name in names}


@pytest.mark.parametrize(("tag", "module", "service", "method"), SEATS)
@pytest.mark.parametrize("pid", [None, 1997])
def test_a_login_and_its_end(tag: str, module: str, service: str, method: Optional[str], pid: Optional[int]) -> None:
    """PAM's two lines, with and without a pid in the tag, before and since Linux-PAM 1.4."""
    for whose, uid in (("alice(uid=1000)", 1000), ("alice", None), ("alice(uid=getpwnam error)", None)):
        for by in ("alice(uid=0)", "(uid=0)"):
            opened = told(tag, f"pam_unix({module}:session): session opened for user {whose} by {by}", pid)
            want = {"kind": "login", "service": service, "user": "alice", "method": method, "uid": uid, "pid": pid}
            assert facts(opened, **want) == want
    closed = told(tag, f"pam_unix({module}:session): session closed for user alice", pid)
    want = {"kind": "logout", "service": service, "user": "alice", "end_reason": "disconnected", "pid": pid}
    assert facts(closed, **want) == want


@pytest.mark.parametrize(("tag", "module", "service", "method"), SEATS)
def test_only_root_s_process_logs_in_or_out(tag: str, module: str, service: str, method: Optional[str]) -> None:
    """In the journal: neither a login, an end nor a refusal by a user's process."""
    del service, method
    for message in (
        "session): session opened for user root(uid=0) by (uid=0)",
        "session): session closed for user root",
        "auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=  user=root",
    ):
        assert told(tag, f"pam_unix({module}:{message}", 7, 1000) is None


@pytest.mark.parametrize(
    ("tag", "module"),
    [
        ("gdm-launch-environment", "gdm-launch-environment"),
        ("gdm-password", "gdm-launch-environment"),
        ("gdm-password", "gdm-passwor"),
        ("lightdm", "lightdm-greeter"),
        ("sddm-helper", "sddm-greeter"),
        ("login", "systemd-user"),
        ("login", "su"),
        ("CRON", "cron"),
        ("cron", "cron"),
        ("atd", "atd"),
        ("(systemd)", "systemd-user"),
        ("systemd", "systemd-user"),
        ("(sleep)", "login"),
        ("(sd-pam", "login"),
        ("(o-bridge)", "login"),
        ("polkitd", "polkit-1"),
        ("polkit-agent-helper-1", "polkit-1"),
        ("vsftpd", "login"),
        ("cockpit-session", "sshd"),
    ],
)
def test_greeters_jobs_and_user_managers_are_nobody_s_login(tag: str, module: str) -> None:
    """Nor is another program's service under a known tag, or a known service under another tag."""
    assert told(tag, f"pam_unix({module}:session): session opened for user alice(uid=1000) by (uid=0)", 7) is None
    assert told(tag, f"pam_unix({module}:session): session closed for user alice", 7) is None


@pytest.mark.parametrize(
    "message",
    [
        "pam_unix(login:session): session opened for user  by (uid=0)"[:-1],
        "pam_unix(login:session): session opened for user alice(uid=1000) by (uid=0) ",
        " pam_unix(login:session): session opened for user alice(uid=1000) by (uid=0)",
        "pam_unix(login:session): session opened for user alice(uid=1000)",
        "pam_unix(login:session): session closed for user ",
        "pam_unix(login:account): session opened for user alice(uid=1000) by (uid=0)",
        "pam_succeed_if(login:auth): requirement not met",
        "pam_env(login:session): Unable to open env file: /etc/default/locale",
    ],
)
def test_a_byte_too_many_or_too_few_is_nothing(message: str) -> None:
    """The whole message must fit."""
    assert told("login", message, 7) is None


@pytest.mark.parametrize(
    ("tag", "message", "want"),
    [
        (
            "vsftpd",
            "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=alice"
            " rhost=198.51.100.7  user=alice",
            {"service": "vsftpd", "user": "alice", "source_ip": "198.51.100.7", "tty": "ftp", "invalid_user": False},
        ),
        (  # rsyslog keeps PAM's blank at the end, journald does not
            "vsftpd",
            "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=nobodyhere"
            " rhost=198.51.100.7 ",
            {"user": "nobodyhere", "source_ip": "198.51.100.7", "invalid_user": True},
        ),
        (
            "vsftpd",
            "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=nobodyhere"
            " rhost=198.51.100.7",
            {"user": "nobodyhere", "source_ip": "198.51.100.7", "invalid_user": True},
        ),
        (
            "cockpit-session",
            "pam_unix(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser="
            " rhost=::ffff:198.51.100.8  user=alice",
            {"service": "cockpit", "user": "alice", "source_ip": "198.51.100.8", "tty": None},
        ),
        (
            "lightdm",
            "pam_unix(lightdm:auth): authentication failure; logname= uid=0 euid=0 tty=:0 ruser= rhost=  user=alice",
            {"service": "lightdm", "user": "alice", "source_ip": None, "tty": ":0"},
        ),
        (
            "gdm-password",
            "pam_unix(gdm-password:auth): authentication failure; logname= uid=0 euid=0 tty=/dev/tty2 ruser= rhost="
            "  user=alice",
            {"service": "gdm", "method": "password", "user": "alice"},
        ),
        (  # the name that was typed holds what PAM writes: the address is the last one
            "vsftpd",
            "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp"
            " ruser=x rhost=203.0.113.1 user=root rhost=198.51.100.7",
            {"user": "x rhost=203.0.113.1 user=root", "source_ip": "198.51.100.7", "invalid_user": True},
        ),
        (
            "login",
            "pam_unix(login:auth): authentication failure; logname= uid=0 euid=0 tty=/dev/pts/1 ruser= rhost=  user=x",
            None,  # login counts them in its own words
        ),
        (
            "login",
            "FAILED LOGIN (1) on '/dev/pts/1' FOR 'alice', Authentication failure",
            {"user": "alice", "tty": "pts/1", "source_ip": None, "invalid_user": False},
        ),
        (
            "login",
            "FAILED LOGIN (1) on '/dev/pts/1' FOR 'UNKNOWN', Authentication failure",
            {"user": None, "tty": "pts/1", "invalid_user": True},
        ),
        (
            "login",
            "FAILED LOGIN (1) on '/dev/pts/1' from '203.0.113.5' FOR 'alice', Authentication failure",
            {"user": "alice", "source_ip": "203.0.113.5", "tty": None},
        ),
        ("login", "TOO MANY LOGIN TRIES (5) on '/dev/pts/1' FOR 'alice'", {"user": "alice", "tty": "pts/1"}),
        (
            "login",
            "FAILED LOGIN 1 FROM 203.0.113.5 FOR alice, Authentication failure",
            {"user": "alice", "source_ip": "203.0.113.5", "tty": None},
        ),
        (
            "login",
            "FAILED LOGIN SESSION FROM /dev/pts/1 FOR (unknown), User not known to the underlying module",
            {"user": None, "tty": "pts/1", "invalid_user": True},
        ),
        (
            "login",
            "TOO MANY LOGIN TRIES (3) FROM 203.0.113.5 FOR alice, Authentication failure",
            {"user": "alice", "source_ip": "203.0.113.5"},
        ),
        ("login", "FAILED LOGIN 1 FROM 203.0.113.5 FOR alice", None),
        ("login", "FAILED LOGIN () on '/dev/pts/1' FOR 'alice', Authentication failure", None),
        ("cockpit-session", "pam_listfile(cockpit:auth): Refused user root for service cockpit", None),
        ("vsftpd", '[alice] OK LOGIN: Client "198.51.100.7"', None),
    ],
)
def test_a_refusal(tag: str, message: str, want: Optional[dict[str, Any]]) -> None:
    """Who is counted; what a stranger typed is a name at most."""
    event = told(tag, message, 7)
    assert (event is None) == (want is None)
    if want is not None:
        assert facts(event, kind=0, **want) == {"kind": "failed", **want}


@pytest.mark.parametrize(
    ("message", "tty"),
    [
        ("ROOT LOGIN ON pts/1", "pts/1"),
        ("LOGIN ON tty1 BY alice", "tty1"),
        ("ROOT LOGIN  on '/dev/pts/1'", None),
        ("LOGIN ON tty1 by alice", None),
        ("LOGIN ON " + "t" * 33, None),
    ],
)
def test_login_names_its_terminal_in_a_line_of_its_own(message: str, tty: Optional[str]) -> None:
    """Util-linux's; shadow writes its own from another process, which joins nothing."""
    event = told("login", message, 7)
    assert (event is None) == (tty is None)
    if tty is not None:
        assert facts(event, kind=0, tty=0, pid=0) == {"kind": "detail", "tty": tty, "pid": 7}
