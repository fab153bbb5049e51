"""What is left of the older Go tool of the same name: it may run in this program's place, or beside it.

Its installer put a binary into /usr/local/bin, which is looked into before /usr/bin, and a unit into
/etc/systemd/system, which hides a package's unit of that name.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Optional

from usm.finding import FAIL, SERVICE, WARN, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = f"usr/local/bin/{SERVICE}"
UNIT = f"etc/systemd/system/{SERVICE}.service"
_ELF = b"\x7fELF"  # ours is a script
_MOST = 1 << 16  # bytes of a file that are looked at
_EXEC = re.compile(rb"^ExecStart=[-@:+!]*(\S+)(.*)$", re.MULTILINE)


def older(root: str = "/") -> list[Finding]:
    """Return what was found and how it is removed; nothing where there is nothing."""
    return list(_findings(root))


def _findings(root: str) -> Iterator[Finding]:
    for pid in _processes(root):
        yield (
            FAIL,
            f"older tool: the Go tool of this name runs (process {pid}), so every login is told twice: "
            f"systemctl disable --now {SERVICE}, and if it is still there: kill {pid}",
        )
    if _starts_it(root):
        yield (
            WARN,
            f"older tool: /{UNIT} is the Go tool's, and hides the unit of this program: "
            f"systemctl disable --now {SERVICE}; rm /{UNIT}; systemctl daemon-reload; systemctl enable --now {SERVICE}",
        )
    if _head(root, PROGRAM).startswith(_ELF):
        yield WARN, f"older tool: /{PROGRAM} is the Go tool's, and found before this program's: rm /{PROGRAM}"


def _starts_it(root: str) -> bool:
    """Say whether the unit is the Go tool's: it has an option of that tool, or its program is a binary."""
    started = _EXEC.search(_head(root, UNIT))
    if started is None:
        return False
    program, words = started[1].decode("utf-8", "surrogateescape"), started[2].split()
    return b"-config" in words or _head(root, program.lstrip("/")).startswith(_ELF)


def _processes(root: str) -> list[int]:
    """Return the processes of the Go tool; this program's are called after their interpreter."""
    try:
        numbers = sorted(int(name) for name in os.listdir(os.path.join(root, "proc")) if name.isdigit())
    except OSError:
        return []
    return [number for number in numbers if _runs(_head(root, f"proc/{number}/cmdline").split(b"\0"))]


def _runs(words: list[bytes]) -> bool:
    return os.path.basename(words[0]) == SERVICE.encode() and b"-config" in words


def _head(root: str, path: str) -> bytes:
    """Return how a file begins; nothing where it can't be read."""
    fd: Optional[int] = None
    try:
        fd = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return os.read(fd, _MOST)
    except (OSError, ValueError):  # also a name that no file can have
        return b""
    finally:
        if fd is not None:
            os.close(fd)
