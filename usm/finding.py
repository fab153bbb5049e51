"""What `usm check` finds: a level and one line, `topic: text`; whatever is not in order says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

OK, WARN, FAIL = "ok", "warn", "fail"
Finding = tuple[str, str]
SERVICE = "user-session-monitor"  # what systemd calls it


def span(delta: timedelta) -> str:
    """Return a length of time in its greatest unit, rounded down."""
    seconds = int(abs(delta).total_seconds())
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit != "days"):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def size(count: int) -> str:
    """Return a number of bytes as people write it."""
    for unit, bytes_of_it in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= bytes_of_it:
            return f"{count / bytes_of_it:.1f} {unit}"
    return f"{count} bytes"
