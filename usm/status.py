"""How the monitor does, as its state file tells: also where it runs as another user, or not at all."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core.message import WORKS
from usm.outbox import ChannelState, Outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from usm.store import Store

STALE = timedelta(seconds=150)  # a monitor that lives says once a minute that it watches; two may be late


class ChannelStatus(NamedTuple):
    """One channel: `works`, `failing` or `fault`, since when, why, and how many deliveries are in which state.

    `queued`: since when its oldest message waits.
    """

    name: str
    state: str
    since: Optional[datetime]
    code: Optional[str]
    detail: Optional[str]
    deliveries: Mapping[str, int]
    queued: Optional[datetime] = None


class Problem(NamedTuple):
    """A warning or an error that the monitor logged."""

    level: str
    time: datetime
    text: str


class Status(NamedTuple):
    """The whole: `watched` is until when the source is known to have been watched, `why` it is that source.

    `behind`: bytes that are unread; `lag`: seconds that the last record was old when it was read. `configured`: when
    the configuration was read last, `refused`: why it was not taken. `counters`: name and labels → how often.
    """

    running: bool
    pid: Optional[int]
    version: Optional[str]
    started: Optional[datetime]
    source: Optional[str]
    why: Optional[str]
    watched: Optional[datetime]
    behind: int
    lag: float
    configured: Optional[datetime]
    refused: tuple[str, ...]
    problem: Optional[Problem]
    sessions: int
    channels: tuple[ChannelStatus, ...]
    counters: Mapping[tuple[str, ...], int]


def status(store: Store, configured: Sequence[str], *, running: bool) -> Status:
    """Return how the monitor does; channels that are configured first, then those that only have messages left."""
    outbox = Outbox(store)
    states, counts, queued = outbox.channels(), outbox.counts(), outbox.queued()
    names = [*configured, *sorted(counts.keys() - set(configured))]
    watched, facts = store.watched(), store.facts()
    behind, lag = store.behind()
    return Status(
        running,
        int(facts["pid"]) if running and "pid" in facts else None,
        facts.get("version"),
        _time(facts.get("started")),
        None if watched is None else watched[0],
        facts.get("why"),
        None if watched is None else watched[1],
        behind,
        lag.total_seconds(),
        _time(facts.get("configured")),
        tuple(filter(None, facts.get("refused", "").split("\n"))),
        _problem(facts),
        store.open_sessions(),
        tuple(_channel(name, states.get(name), counts.get(name, {}), queued.get(name)) for name in names),
        store.counters(),
    )


def unhealthy(found: Status, now: datetime) -> Optional[str]:
    """Return why the monitor does not do what it is there for, or None: trouble of a channel is not the monitor's."""
    if not found.running:
        return "the monitor is not running"
    if found.watched is None or now - found.watched > STALE:
        seen = "never" if found.watched is None else found.watched.isoformat(timespec="seconds")
        return f"nothing was written down since {seen}: the disk refuses, or the monitor hangs"
    return None


def _channel(
    name: str, state: Optional[ChannelState], counts: Mapping[str, int], queued: Optional[datetime]
) -> ChannelStatus:
    if state is None:
        return ChannelStatus(name, WORKS, None, None, None, counts, queued)
    return ChannelStatus(name, state.state, state.since, state.code, state.detail, counts, queued)


def _problem(facts: Mapping[str, str]) -> Optional[Problem]:
    if "error" not in facts:
        return None
    time = datetime.fromtimestamp(float(facts["error_time"]), timezone.utc)
    return Problem(facts["error_level"], time, facts["error"])


def _time(text: Optional[str]) -> Optional[datetime]:
    return None if text is None else datetime.fromisoformat(text)
