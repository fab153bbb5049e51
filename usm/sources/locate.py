"""Which file the authentication log of a distribution is, and why it can't be read."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from usm.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTH, SECURE, MESSAGES = "/var/log/auth.log", "/var/log/secure", "/var/log/messages"
FAMILIES = {
    AUTH: ("debian", "ubuntu"),
    SECURE: ("rhel", "centos", "fedora", "rocky", "almalinux", "ol", "amzn"),
    MESSAGES: ("suse", "sles", "sle", "sled", "opensuse", "alpine"),
}
# The first version that has only the journal unless rsyslog is installed; rolling ones have no number.
JOURNAL_ONLY_SINCE = {
    "debian": 12,
    "fedora": 0,
    "amzn": 2023,
    "opensuse-leap": 16,
    "sles": 16,
    "opensuse-tumbleweed": 0,
    "arch": 0,
}


def default_paths(os_release: Mapping[str, str]) -> tuple[str, ...]:
    """Return where the log may be, the likeliest first, for a distribution described by /etc/os-release."""
    known = [os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()]
    for name in known:
        for first, names in FAMILIES.items():
            if name in names or name.partition("-")[0] in names:
                return (first, *(path for path in FAMILIES if path != first))
    return tuple(FAMILIES)


def find_log(os_release: Mapping[str, str], root: str = "/") -> str:
    """Return the first candidate that exists, or say why none of them can be followed.

    One that exists but can't be read ends the search: a readable file of another purpose would be followed in silence.
    """
    tried = []
    for candidate in default_paths(os_release):
        path = str(Path(root, candidate.lstrip("/")))
        problem = unreadable(path)
        if problem is None:
            return path
        if os.path.lexists(path):
            raise SourceError(f"the authentication log can't be read: {path}: {problem}")
        tried.append(path)
    advice = "install rsyslog, which writes one, or name the file in monitor.log_file."
    if journal_only(os_release):
        name = os_release.get("PRETTY_NAME") or os_release.get("ID", "this distribution")
        advice = (
            f"{name} keeps its log only in the journal by default, and this version reads files only: "
            "install rsyslog, which writes one, or name the file in monitor.log_file."
        )
    raise SourceError(f"no authentication log was found (tried {', '.join(tried)}); {advice}")


def journal_only(os_release: Mapping[str, str]) -> bool:
    """Tell whether the distribution writes no log file by default."""
    since = JOURNAL_ONLY_SINCE.get(os_release.get("ID", ""))
    number = re.match("[0-9]+", os_release.get("VERSION_ID", ""))
    return since is not None and (number is None or int(number[0]) >= since)


def unreadable(path: str) -> Optional[str]:
    """Return why a log can't be read and what to do about it, or None if it can."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except PermissionError:
        return f"no permission ({_access(path)})"
    except OSError as error:
        return f"{error.strerror}; name another file in monitor.log_file"
    mode = os.fstat(fd).st_mode
    os.close(fd)
    if stat.S_ISDIR(mode):
        return "it is a directory; name the file in monitor.log_file"
    if not stat.S_ISREG(mode):
        return "it is not a regular file; name another one in monitor.log_file"
    return None


def _access(path: str) -> str:
    try:
        status = Path(path).stat()
    except OSError:
        return "a directory on the way to it can't be entered; run as root, or let this user enter it"
    group = _group(status.st_gid)
    seen = f"owner {_user(status.st_uid)}, group {group}, mode {stat.S_IMODE(status.st_mode):04o}"
    if status.st_mode & stat.S_IRGRP and group != "root":
        return f"{seen}; add this user to group {group}, or run as root"
    return f"{seen}; run as root, or let a group read it (rsyslog: FileGroup, FileCreateMode; logrotate: create)"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
