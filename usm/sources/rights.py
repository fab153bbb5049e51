"""Who a process is and who may read a file, by name; and what gives a user the right to read one."""

from __future__ import annotations

import grp
import os
import pwd


def user(uid: int) -> str:
    """Return a user's name, the number where he has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group(gid: int) -> str:
    """Return a group's name, the number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def join(name: str) -> str:
    """Say how this process' user gets into a group: only what is started afterwards is in it."""
    return f"usermod -aG {name} {user(os.geteuid())}, then start it anew (systemctl restart user-session-monitor)"
