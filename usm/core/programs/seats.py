"""Programs whose logins and logouts PAM writes down: the console, graphical logins, cockpit, FTP.

`pam_unix(SERVICE:session): session opened …` is the login, `… closed …` of the same process the logout. The service
is compared, so a greeter, a cron job or a user manager is nobody's login. A close without a goodbye is how each of
them ends, so it counts as a normal one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from usm.core import model
from usm.core.model import Event
from usm.core.programs.row import Build, Program, Row, address, evidence, login, row

if TYPE_CHECKING:
    from usm.core.model import Record


def _opened(service: str, method: Optional[str]) -> Build:
    def build(record: Record, match: re.Match[str]) -> Optional[Event]:
        uid = match["uid"]
        return login(record, service, match["user"], method=method, uid=int(uid) if uid and uid.isdigit() else None)

    return build


def _closed(service: str) -> Build:
    def build(record: Record, match: re.Match[str]) -> Optional[Event]:
        return evidence(record, service, model.DISCONNECTED, user=match["user"])

    return build


def _refused(service: str, method: Optional[str]) -> Build:
    """PAM names the account only if there is one; what was typed instead is in `ruser`, if anywhere."""

    def build(record: Record, match: re.Match[str]) -> Optional[Event]:
        user = match["user"]
        return Event(
            model.FAILED,
            record.time,
            record.host,
            service,
            match["ruser"] if user is None else user,
            address(match["host"]) if match["host"] else None,
            method=method,
            tty=match["tty"] or None,
            pid=record.pid,
            invalid_user=user is None,
        )

    return build


def pam(service: str, module: str, method: Optional[str] = None, *, refusals: bool = True) -> tuple[Row, ...]:
    """Return the rows of a PAM service: `module` is its name in PAM, `service` ours."""
    begin = rf"pam_unix\({module}:session\): session"
    hint = re.escape(f"pam_unix({module}:session): session ".encode())
    opened = row(
        rf"{begin} opened for user (?P<user>.+?)(?:\(uid=(?P<uid>\d{{1,10}}|getpwnam error)\))? by \S*\(uid=\d+\)",
        _opened(service, method),
        hint,
    )
    closed = row(rf"{begin} closed for user (?P<user>.+)", _closed(service), b"")
    failed = row(
        rf"pam_unix\({module}:auth\): authentication failure; logname=\S* uid=\d+ euid=\d+ tty=(?P<tty>\S*) "
        r"ruser=(?P<ruser>.*) rhost=(?P<host>\S*)(?: +user=(?P<user>.*)| ?)",
        _refused(service, method),
        re.escape(f"pam_unix({module}:auth): authentication failure".encode()),
    )
    return (opened, closed, failed) if refusals else (opened, closed)


def _console_failed(record: Record, match: re.Match[str]) -> Optional[Event]:
    """Unknown names are not written: they may be passwords, typed too early."""
    groups = match.groupdict()
    user, place = groups["user"], groups.get("tty") or ""
    unknown = user in ("UNKNOWN", "(unknown)")
    ip = address(groups.get("host") or place)
    tty = None if ip is not None else place.rpartition("/dev/")[2] or None
    return Event(
        model.FAILED,
        record.time,
        record.host,
        "login",
        None if unknown else user,
        ip,
        tty=tty,
        pid=record.pid,
        invalid_user=unknown,
    )


def _console_tty(record: Record, match: re.Match[str]) -> Optional[Event]:
    """Util-linux names the terminal in a line of its own, behind PAM's."""
    return Event(model.DETAIL, record.time, record.host, "login", tty=match["tty"], pid=record.pid)


LOGIN = Program(
    "login",
    ("login",),
    (
        *pam("login", "login", refusals=False),
        *pam("login", "remote", refusals=False),
        row(r"(?:ROOT )?LOGIN ON (?P<tty>[\w/.-]{1,32})(?: BY .*)?", _console_tty, b"(?:ROOT )?LOGIN ON ", free=True),
        row(
            r"FAILED LOGIN \(\d+\) on '(?P<tty>[^']{1,64})'(?: from '(?P<host>[^']{1,255})')? FOR '(?P<user>.*)', .*",
            _console_failed,
            rb"FAILED LOGIN ",
            of="shadow",
        ),
        row(
            r"FAILED LOGIN (?:\d+|SESSION) FROM (?P<tty>\S{1,255}) FOR (?P<user>.*), .*",
            _console_failed,
            b"",
            of="util-linux",
        ),
        row(
            r"TOO MANY LOGIN TRIES \(\d+\) on '(?P<tty>[^']{1,64})'(?: from '(?P<host>[^']{1,255})')?"
            r" FOR '(?P<user>.*)'",
            _console_failed,
            of="shadow",
        ),
        row(
            r"TOO MANY LOGIN TRIES \(\d+\) FROM (?P<tty>\S{1,255}) FOR (?P<user>.*), .*",
            _console_failed,
            b"",
            of="util-linux",
        ),
    ),
    frozenset(("login",)),
    unnumbered=True,  # util-linux's, Debian 13 and later
)
# gdm signs each worker with the name of its PAM service and a stray `]`, which `decode` drops.
GDM = Program(
    "gdm",
    ("gdm-password", "gdm-autologin", "gdm-fingerprint", "gdm-smartcard"),
    (
        *pam("gdm", "gdm-password", "password"),
        *pam("gdm", "gdm-autologin", "autologin"),
        *pam("gdm", "gdm-fingerprint", "fingerprint"),
        *pam("gdm", "gdm-smartcard", "smartcard"),
    ),
    frozenset(("gdm-session-worker",)),
    unnumbered=True,
)
LIGHTDM = Program(
    "lightdm",
    ("lightdm",),
    (*pam("lightdm", "lightdm"), *pam("lightdm", "lightdm-autologin", "autologin")),
    frozenset(("lightdm",)),
    unnumbered=True,
)
SDDM = Program(
    "sddm",
    ("sddm", "sddm-helper"),
    (*pam("sddm", "sddm"), *pam("sddm", "sddm-autologin", "autologin")),
    frozenset(("sddm", "sddm-helper")),
    unnumbered=True,
)
COCKPIT = Program(
    "cockpit", ("cockpit-session",), pam("cockpit", "cockpit"), frozenset(("cockpit-session",)), unnumbered=True
)
# It opens PAM sessions only with `session_support=YES`; without, there are only its refusals.
VSFTPD = Program("vsftpd", ("vsftpd",), pam("vsftpd", "vsftpd", "password"), frozenset(("vsftpd",)), unnumbered=True)
