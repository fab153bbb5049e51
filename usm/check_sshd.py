"""Whether sshd writes its logins down at all, and where to."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
from typing import NamedTuple, Optional

from usm.finding import OK, WARN, Finding

CONFIG = "/etc/ssh/sshd_config"
PLACES = ("/usr/sbin/sshd", "/usr/local/sbin/sshd")  # on no user's PATH but root's
_SILENT = ("QUIET", "FATAL", "ERROR")  # logins are written at INFO
_FACILITIES = ("AUTH", "AUTHPRIV")  # what syslog daemons write into the authentication log
_LINE = re.compile(r"""\s*(?P<key>[A-Za-z]+)(?:\s*=\s*|\s+)"?(?P<value>[^"#]*?)"?\s*(?:#.*)?""")
_DEEPEST = 16  # files that include one another: as sshd has it
_TIMEOUT = 5.0  # seconds
_RELOAD = "then: systemctl reload ssh (or sshd)"


class Sshd(NamedTuple):
    """What is known of it: where it is, its version, the settings that count with their files, what was unreadable."""

    path: Optional[str] = None
    version: str = ""
    level: tuple[str, str] = ("INFO", "")
    facility: tuple[str, str] = ("AUTH", "")
    unread: tuple[str, ...] = ()


def inspect(config: str = CONFIG) -> Sshd:
    """Look for sshd and read its settings; some systems let only root do that."""
    path = shutil.which("sshd") or next(filter(os.path.exists, PLACES), None)
    if path is None:
        return Sshd()
    found: dict[str, tuple[str, str]] = {}
    unread: list[str] = []
    _read(config, os.path.dirname(config), found, unread)
    defaults = Sshd()
    return Sshd(
        path,
        _version(path),
        found.get("loglevel", defaults.level),
        found.get("syslogfacility", defaults.facility),
        tuple(unread),
    )


def _read(path: str, base: str, found: dict[str, tuple[str, str]], unread: list[str], depth: int = 0) -> None:
    """Read one file and what it includes: the first value of a setting counts."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        unread.append(path)
        return
    for match in filter(None, map(_LINE.fullmatch, lines)):
        key, value = match["key"].lower(), match["value"]
        if key == "match":  # to the end of the file: what follows is for some logins only
            return
        if key == "include" and depth < _DEEPEST:
            for pattern in value.split():
                for name in sorted(glob.glob(os.path.join(base, pattern))):
                    _read(name, base, found, unread, depth + 1)
        elif key in ("loglevel", "syslogfacility"):
            found.setdefault(key, (value.upper(), path))


def _version(path: str) -> str:
    """Return what it calls itself; older ones say it while they complain of the option."""
    try:
        done = subprocess.run(  # noqa: S603 - sshd, asked for its version
            [path, "-V"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(rb"OpenSSH_[\w.]{1,20}", done.stderr + done.stdout)
    return match[0].decode() if match else ""


def sshd(found: Sshd, log_file: Optional[str]) -> list[Finding]:
    """Judge what sshd was found to be set to; `log_file`: what is followed, None for the journal."""
    if found.path is None:
        return [(OK, "sshd: there is none here")]
    findings = []
    level, where = found.level
    if level in _SILENT:
        findings.append((WARN, f"sshd: LogLevel {level} in {where}: logins are not logged; set it to INFO, {_RELOAD}"))
    facility, where = found.facility
    if log_file is not None and facility not in _FACILITIES:
        text = f"sshd: SyslogFacility {facility} in {where}: its lines may not come to {log_file}"
        findings.append((WARN, f"{text}; set it to AUTHPRIV, {_RELOAD}"))
    if findings:
        return findings
    name = found.version or found.path
    if found.unread:
        return [(OK, f"sshd: {name}; {found.unread[0]} can't be read by this user: run the check as root")]
    return [(OK, f"sshd: {name}, LogLevel {level}")]
