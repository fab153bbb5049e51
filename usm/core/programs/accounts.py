"""Programs that make accounts: nobody is told of that, but a login soon after it is worth a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from usm.core import model
from usm.core.model import Event
from usm.core.programs.row import Program, row

if TYPE_CHECKING:
    import re

    from usm.core.model import Record


def _made(record: Record, match: re.Match[str]) -> Optional[Event]:
    return Event(
        model.ACCOUNT, record.time, record.host, "useradd", match["user"], pid=record.pid, uid=int(match["uid"])
    )


USERADD = Program(
    "useradd",
    ("useradd",),
    (
        row(
            r"new user: name=(?P<user>[^\s,]{1,256}), UID=(?P<uid>\d{1,10}), GID=\d{1,10}, home=.*, shell=.*",
            _made,
            rb"new user: name=",
            of="shadow",
        ),
    ),
    frozenset(("useradd",)),
)
