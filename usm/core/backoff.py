"""When to try again, and how fast to go: pure arithmetic, in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE, CAP = 1.0, 300.0
FAULT = 300.0  # a wrong setting is probed this often: somebody has to mend it first


def delay(attempts: int, jitter: float, *, demanded: float = 0.0, fault: bool = False) -> float:
    """Return the wait after the `attempts`-th failed try (1 is the first); `jitter` is random in [0, 1).

    Full jitter, so that a thousand hosts do not come back together; what the other side demands is a minimum.
    """
    ceiling = FAULT if fault and attempts > 1 else min(CAP, BASE * 2.0 ** min(attempts, 16))
    return max(demanded, ceiling * (0.5 + 0.5 * jitter) if fault else ceiling * jitter)


def budget_wait(sent: Sequence[float], now: float, limits: Sequence[tuple[int, float]]) -> float:
    """Return how long to wait before one more may go: for each (count, seconds) at most that many in any such span.

    `sent`: times of the latest tries in ascending order, at least as many as the largest count.
    """
    wait = 0.0
    for count, seconds in limits:
        if len(sent) >= count:
            wait = max(wait, min(sent[-count] + seconds - now, seconds))  # a clock set back must not hold for hours
    return wait


def reserved(limits: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Return what ordinary messages may use of the limits: a quarter, at least one, is kept for critical ones."""
    return tuple((count - max(1, count // 4) if count > 1 else count, seconds) for count, seconds in limits)


def capacity(sent: Sequence[float], now: float, limits: Sequence[tuple[int, float]], horizon: float) -> int:
    """Return how many more messages the limits (at least one) allow within the next `horizon` seconds."""
    free = []
    for count, seconds in limits:
        spans = max(1, int(horizon // seconds))
        used = sum(1 for time in sent if time > now + min(horizon, seconds) - seconds) if seconds > horizon else 0
        free.append(count * spans - used)
    return max(0, min(free))
