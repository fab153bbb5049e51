"""A recorded day, sped up, through the same pipeline as the real thing: for those who have no log to watch yet.

`demo.log` holds lines that a real sshd wrote in our laboratory; only their stamps were spread over a day.
"""

from __future__ import annotations

from datetime import timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Callable, TextIO

from usm.channels.console import Console
from usm.core.decode import Stamps
from usm.core.look import Look
from usm.core.model import Batch, Host
from usm.core.route import Route
from usm.deliver import Outlet, Worker
from usm.ingest import Intake, Watch, ingest
from usm.store import Store
from usm.transport import Transport

if TYPE_CHECKING:
    from datetime import datetime


_HOST = Host("web01", ("192.0.2.10",))
SPEED = 3600.0  # an hour of the recorded day takes a second
_LONGEST = 1.5  # seconds; nobody waits through a recorded night


def play(language: str, clock: Callable[[], datetime], sleep: Callable[[float], None], out: TextIO) -> None:
    """Play the day: every line is shown as it was written, every event as it would be told."""
    lines = files("usm").joinpath("demo.log").read_bytes().split(b"\n")[:-1]
    zone = getattr(Stamps(timezone.utc, clock()).of(lines[0]), "tzinfo", None) or timezone.utc  # the recorded place's
    store, stamps, look = Store(":memory:"), Stamps(zone, clock()), Look(language, zone)
    intake = Intake(stamps)
    worker = Worker([Outlet("console", Console(), (), look)], store, Transport(out).send, clock, lambda: 0.0)
    previous = None
    for line in lines:
        time = stamps.of(line)
        if time is not None and previous is not None:
            sleep(min(_LONGEST, max(0.0, (time - previous).total_seconds() / SPEED)))
        previous = time or previous
        out.write(f"  {line.decode('utf-8', 'backslashreplace').rstrip()}\n")
        ingest(store, "demo", Batch(line + b"\n", ""), intake, Watch(_HOST, (Route("console"),)), clock())
        while worker.step() == 0.0:
            pass
    failed = sum(count for failure in store.failures() for *_, count in failure.who)
    sessions = store.sessions(everything=True)
    out.write(f"The day had {len(sessions)} sessions and {failed} failed logins (counted, not told one by one).\n")
