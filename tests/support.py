"""What several test files need: routes and slots without rules, and the alert in a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usm.core.message import PENDING, Alert
from usm.core.route import Route, Slot

if TYPE_CHECKING:
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
