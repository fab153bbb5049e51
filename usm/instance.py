"""One monitor for one state file: the lock that proves that it is alive.

Alive is who holds the lock, never who has a file or a process number: the kernel gives a lock back when its holder
ends, however it ends, and a number may by then be another program's.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from typing import Optional

from usm.errors import StoreError

_TRIES, _AGAIN = 20, 0.05  # how often, and after how many seconds, a lock is asked for again
_LARGEST_PID = 10  # digits


def hold(state: str) -> int:
    """Become the one monitor of a state file; return the descriptor that is this until it is closed."""
    try:
        os.makedirs(os.path.dirname(state) or ".", mode=0o750, exist_ok=True)
        lock = os.open(f"{state}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StoreError(
            f"state file {state}: {error.strerror}; run as its owner, or set `state:` to a place of this user's"
        ) from error
    try:
        _lock(lock)
    except OSError as error:
        os.close(lock)
        number = running(state)
        who = f" (process {number})" if number else ""
        text = f"state file {state}: another monitor is running with it{who}; stop that one first: usm stop"
        raise StoreError(text) from error
    with suppress(OSError):  # a full disk: it is alive all the same, only not by name
        os.ftruncate(lock, 0)
        os.write(lock, b"%d\n" % os.getpid())
    return lock


def running(state: str) -> Optional[int]:
    """Return the process number of the monitor that holds a state file, 0 where it is not known; None without one.

    For those who may ask: the lock's file is its owner's and his group's.
    """
    return holder(f"{state}.lock")


def holder(path: str) -> Optional[int]:
    """Return the process number that the holder of a locked file wrote into it; None where nobody holds it."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        number = os.read(lock, _LARGEST_PID).strip()
        return int(number) if number.isdigit() else 0
    finally:
        os.close(lock)
    return None


def _lock(descriptor: int) -> None:
    """Take the lock; the kernel gives that of a killed process back a moment after its end. Raises OSError."""
    for _ in range(_TRIES):
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_AGAIN)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
