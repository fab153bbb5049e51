"""Become the user who runs the service: what he may not read or write, the service may not.

Root also does so before it opens the service's own files: who has taken the service over must not lead root anywhere.
There is no way back: what is looked at afterwards is looked at by a process that is not root's any more.
"""

from __future__ import annotations

import os
import pwd
from typing import Optional

from usm.finding import SERVICE

CREDENTIALS = f"/run/credentials/{SERVICE}.service"  # what systemd hands to the service that runs


def become_owner(directory: str) -> Optional[str]:
    """Become the owner of the state's directory for good, if this is root and that is somebody else; return his name.

    Secrets that systemd hands to the service are found as the service finds them.
    """
    try:
        status = os.stat(directory)
    except OSError:
        return None
    if os.geteuid() != 0 or status.st_uid == 0:
        return None
    try:
        owner = pwd.getpwuid(status.st_uid)
    except KeyError:
        return None  # nobody has this number any more: the state's own check says what that means
    if os.path.isdir(CREDENTIALS):
        os.environ.setdefault("CREDENTIALS_DIRECTORY", CREDENTIALS)
    os.initgroups(owner.pw_name, owner.pw_gid)
    os.setgid(owner.pw_gid)
    os.setuid(owner.pw_uid)
    return owner.pw_name
