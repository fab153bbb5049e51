"""Who is on without our knowing: what sshd's process is connected to, and what the log still has of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usm.core.recognize import recognize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usm.core.model import Event, Seat
    from usm.ingest import Intake
    from usm.sources import Source
    from usm.system import Presence


def inquire(
    seats: Sequence[Seat], source: Source, presence: Presence, intake: Intake
) -> tuple[list[Seat], list[Event]]:
    """Return the seats with what their processes tell of them, and the events that the log has of these processes."""
    if not seats:
        return [], []
    lines = source.history([seat.leader for seat in seats], min(seat.start for seat in seats))
    records = (intake.decode(line) for line in lines)
    events = (recognize(record) for record in records if record is not None)
    found = []
    for seat in seats:
        ip, port = presence.peer(seat.leader) if seat.service == "sshd" else (None, None)
        found.append(seat._replace(source_ip=ip or seat.source_ip, source_port=port))
    return found, [event for event in events if event is not None]
