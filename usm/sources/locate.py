"""Which file the authentication log of a distribution is, and why it can't be read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from usm.errors import SourceError
from usm.sources import journal, rights

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTH, SECURE, MESSAGES = "/var/log/auth.log", "/var/log/secure", "/var/log/messages"
FAMILIES = {
    AUTH: ("debian", "ubuntu"),
    SECURE: ("rhel", "centos", "fedora", "rocky", "almalinux", "ol", "amzn"),
    MESSAGES: ("suse", "sles", "sle", "sled", "opensuse", "alpine"),
}


def choose(
    kind: str, log_file: Optional[str], os_release: Mapping[str, str], root: str = "/"
) -> tuple[Optional[str], str]:
    """Return the log file to follow, or None for the journal; and why.

    Raises SourceError where what is wanted can't be read, with what to do.
    """
    if kind == "file" or log_file is not None:
        return (log_file, "as configured") if log_file else (find_log(os_release, root), "this distribution's")
    problem = journal.unreadable(root)
    if problem is None:
        return None, "as configured" if kind == "journal" else "it proves who wrote a record"
    if kind == "journal":
        raise SourceError(f"the journal can't be read: {problem}")
    try:
        return find_log(os_release, root), f"the journal can't be read: {problem}"
    except SourceError as error:
        raise SourceError(f"{str(error).rstrip('.')}; nor can the journal be read: {problem}") from error


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
    raise SourceError(
        f"no authentication log was found (tried {', '.join(tried)}); "
        "install rsyslog, which writes one, or name the file in monitor.log_file."
    )


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
    group = rights.group(status.st_gid)
    seen = f"owner {rights.user(status.st_uid)}, group {group}, mode {stat.S_IMODE(status.st_mode):04o}"
    if status.st_mode & stat.S_IRGRP and group != "root":
        return f"{seen}; add this user to group {group}: {rights.join(group)}; or run as root"
    return (
        f"{seen}; run as root, or let a group read it (rsyslog: FileGroup, FileCreateMode; logrotate: create), "
        "or give the service docs/systemd/drop-ins/secure.conf (CAP_DAC_READ_SEARCH)"
    )
