"""The pidfile, which names the daemon to the rest of the system: lockfile's, and locked as long as its process lives.

Whether its process lives is what the lock says: a file may be left over, and its number another program's by now.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from typing import Optional

import lockfile
from daemon.pidfile import TimeoutPIDLockFile

from usm.errors import ServiceError
from usm.instance import holder

log = logging.getLogger(__name__)
_LARGEST_PID = 10  # digits


class PidFile(TimeoutPIDLockFile):  # type: ignore[misc] # python-daemon has no types
    """The pidfile, locked as long as its process lives; one that was left behind is taken over, and said to be.

    Raises ServiceError, with what to do, where it can't be had.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, acquire_timeout=0)
        self._held: Optional[int] = None

    def acquire(self, *_args: object, **_kwargs: object) -> None:
        """Write it."""
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
            self._take_over()
            super().acquire(timeout=0)
            self._held = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            reason = error.strerror
            raise ServiceError(f"pidfile {self.path}: {reason}; see who may write there, or set `pidfile:`") from error
        except lockfile.Error as error:
            reason = getattr(error.__context__, "strerror", None) or "another process has just made it"
            raise ServiceError(f"pidfile {self.path}: {reason}; see who may write there, or set `pidfile:`") from error

    def release(self) -> None:
        """Remove it, if it is still this one."""
        try:
            super().release()
        except (lockfile.Error, OSError):
            log.warning("pidfile %s: somebody else has removed or replaced it", self.path)
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _take_over(self) -> None:
        """Remove what another process left; refuse what is alive, and what is no pidfile at all."""
        try:
            text = Path(self.path).read_bytes()[:64].strip()
        except FileNotFoundError:
            return
        found = holder(self.path)
        if found is not None:
            raise ServiceError(
                f"pidfile {self.path}: another monitor (process {found}) holds it; give this one a path of its own"
            )
        if text and not (text.isdigit() and len(text) < _LARGEST_PID):
            raise ServiceError(f"pidfile {self.path}: this file is none; remove it, or set `pidfile:` to another path")
        log.warning("pidfile %s %s: it is replaced", self.path, _left_by(int(text)) if text else "is empty")
        os.unlink(self.path)


def _left_by(number: int) -> str:
    """Say whose number a pidfile holds that no monitor has locked."""
    try:
        os.kill(number, 0)
        alive = True
    except PermissionError:
        alive = True
    except (ProcessLookupError, OverflowError):
        alive = False
    try:
        name, state = Path(f"/proc/{number}/stat").read_text(errors="replace").split("(", 1)[1].rsplit(") ", 1)
    except (OSError, ValueError, IndexError):
        name, state = "?", "?"  # another user's, where these are hidden
    if not alive or state[0] in "ZX":  # ended, and its parent has not noticed
        return f"was left behind by process {number}, which is gone"
    return f"holds the number of process {number} ({name!a}), which is no monitor"
