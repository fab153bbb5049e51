"""How the monitor does, as its state file tells: also where it runs as another user, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core.message import WORKS
from usm.outbox import ChannelState, Outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from usm.store import Store


class ChannelStatus(NamedTuple):
    """One channel: `works`, `failing` or `fault`, since when, why, and how many deliveries are in which state."""

    name: str
    state: str
    since: Optional[datetime]
    code: Optional[str]
    detail: Optional[str]
    deliveries: Mapping[str, int]


class Status(NamedTuple):
    """The whole: `watched` is until when the source is known to have been watched."""

    running: bool
    source: Optional[str]
    watched: Optional[datetime]
    sessions: int
    channels: tuple[ChannelStatus, ...]


def status(store: Store, configured: Sequence[str], *, running: bool) -> Status:
    """Return how the monitor does; channels that are configured first, then those that only have messages left."""
    outbox = Outbox(store)
    states, counts = outbox.channels(), outbox.counts()
    names = [*configured, *sorted(counts.keys() - set(configured))]
    watched = store.watched()
    return Status(
        running,
        None if watched is None else watched[0],
        None if watched is None else watched[1],
        len(store.sessions()),
        tuple(_channel(name, states.get(name), counts.get(name, {})) for name in names),
    )


def _channel(name: str, state: Optional[ChannelState], counts: Mapping[str, int]) -> ChannelStatus:
    if state is None:
        return ChannelStatus(name, WORKS, None, None, None, counts)
    return ChannelStatus(name, state.state, state.since, state.code, state.detail, counts)
