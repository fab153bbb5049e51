"""Record → Event: what the line says happened to an account, or None.

The name that a record is signed with chooses the program, the first word of its message the rows of that program's
table, and a row's pattern must match the whole message. Nothing is ever searched. A new log message is one row in
`core/programs` and one golden in tests/data.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from usm.core import model
from usm.core.programs import PROGRAMS

if TYPE_CHECKING:
    from usm.core.model import Event, Record
    from usm.core.programs import Program, Row

# Rsyslog's folding: the same message N times more. Only failures can repeat, a login's port is its own.
REPEATED = "message repeated "
_REPEATED = re.compile(r"message repeated (?P<times>\d{1,6}) times: \[ (?P<message>.*)\]", re.ASCII | re.DOTALL)

BY_TAG: dict[str, Program] = {tag: program for program in PROGRAMS for tag in program.tags}
_ROWS: dict[tuple[str, Optional[str]], tuple[Row, ...]] = {
    (tag, word): tuple(row for row in program.rows if row.word in (word, None))
    for tag, program in BY_TAG.items()
    for word in {row.word for row in program.rows} | {None}
}
_HINTS = {
    tag: re.compile(b"|".join(hints))
    for tag, program in BY_TAG.items()
    if (hints := [row.hint for row in program.rows if row.hint])
}


def recognize(record: Record) -> Optional[Event]:
    """Return the event that this record tells of, or None: an unknown line is not an error."""
    program = BY_TAG.get(record.appname)
    if program is None or (record.pid is None and not program.unnumbered):
        return None
    message = record.message
    if message.startswith(REPEATED):
        return _repeated(record)
    tag, word = record.appname, message.partition(" ")[0]
    for row in _ROWS.get((tag, word)) or _ROWS[tag, None]:
        if record.uid and not row.anyone:  # in the journal it is known who wrote it
            continue
        match = row.pattern.fullmatch(message)
        if match is not None:
            return row.build(record, match)
    return None


def resembles(record: Record) -> bool:
    """Tell whether a record that is not recognised begins like one that is: a new version may word it otherwise."""
    hint = _HINTS.get(record.appname)
    return (
        hint is not None
        and not record.uid
        and hint.match(record.message.encode("utf-8", "backslashreplace")) is not None
    )


def _repeated(record: Record) -> Optional[Event]:
    match = _REPEATED.fullmatch(record.message)
    if match is None or match["message"].startswith(REPEATED):
        return None
    event = recognize(record._replace(message=match["message"]))
    if event is None or event.kind != model.FAILED:
        return None
    return event._replace(count=event.count * int(match["times"]))
