"""What several test files need: routes, slots, the alert in a delivery; another user, and a place that he may enter."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from usm.core.message import PENDING, Alert
from usm.core.route import Route, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from usm.outbox import Delivery


def routes(*channels: str) -> tuple[Route, ...]:
    """Return a route without rules for each channel."""
    return tuple(map(Route, channels))


def slots(now: datetime, *channels: str, urgent: bool = False) -> list[Slot]:
    """Return a place in each channel's queue."""
    return [Slot(channel, PENDING, now, urgent) for channel in channels]


def alert_of(delivery: Delivery) -> Alert:
    """Return the alert that a delivery is about."""
    assert isinstance(delivery.message, Alert)
    return delivery.message


def needed(missing: str) -> None:
    """Skip a test for what is `missing` here, or fail it where it must run; nothing where nothing is."""
    if missing and os.environ.get("USM_REQUIRE_SYSTEM") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user without rights for a while."""
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(65534, 65534, 0)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@contextmanager
def open_place() -> Iterator[Path]:
    """Give a directory that everybody may enter: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield Path(path)
