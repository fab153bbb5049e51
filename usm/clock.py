"""The clock: nobody but the command line reads it, and hands it down."""

from __future__ import annotations

from datetime import datetime, timezone


def now() -> datetime:
    """Return the clock's time, aware, in UTC."""
    return datetime.now(timezone.utc)  # noqa: TID251 - the one place
