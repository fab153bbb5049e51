"""Sessions and events → CSV, ECS and OCSF, one line each; nothing is held but the line.

CSV is for spreadsheets: a text that begins with = + - @ or a tab gets an apostrophe in front, so that no name of a
stranger is a formula; control characters become U+FFFD. Whoever wants the exact text takes JSON.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

from usm.channels.formats import FORMATS
from usm.core.alert import event_of, identify
from usm.core.message import Alert
from usm.core.model import Event, gravest
from usm.core.pair import login_event, logout_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from usm.core.look import Look
    from usm.core.model import Session
    from usm.query import Entry

SESSION = (
    *("session", "user", "source_ip", "source_port", "method", "key", "person", "comment", "tty", "service", "host"),
    *("pid", "start", "end", "until", "duration", "end_reason"),
)
EVENT = (
    *("seq", "kind", "time", "host", "service", "user", "source_ip", "source_port", "method", "key", "tty", "pid"),
    *("session", "person", "comment", "start", "duration", "end_reason", "until", "invalid_user", "count", "target"),
    *("command", "users", "others", "findings"),
)
_FORMULA = ("=", "+", "-", "@", "\t")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return an event as it stands in the record, with its number."""
    return {"seq": entry.seq, **json.loads(entry.body)}


def csv_lines(columns: Sequence[str], objects: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the header, then a line for each object."""
    yield ",".join(columns)
    for one in objects:
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow([_cell(one.get(name)) for name in columns])
        yield text.getvalue()


def session_documents(sessions: Iterable[Session], name: str, look: Look) -> Iterator[dict[str, Any]]:
    """Yield sessions as documents: one that is open as its login, one that has ended as its logout."""
    for session in sessions:
        event = login_event(session) if session.end is None else logout_event(session)
        yield _document(FORMATS[name], event, (), look)


def event_documents(entries: Iterable[Entry], name: str, look: Look) -> Iterator[dict[str, Any]]:
    """Yield events as documents."""
    for entry in entries:
        body = entry_json(entry)
        yield _document(FORMATS[name], event_in(body), body.get("findings", ()), look)


def event_in(body: dict[str, Any]) -> Event:
    """Return the event that an entry of the record holds."""
    return event_of({name: value for name, value in body.items() if name in Event._fields and value is not None})


def _document(
    make: Callable[[Alert, Look], dict[str, Any]], event: Event, findings: Iterable[dict[str, str]], look: Look
) -> dict[str, Any]:
    """Return one document; of findings the record holds rule and severity, and `usm explain` the rest."""
    found = tuple(findings)
    rules, severity = [one["rule"] for one in found], gravest(one["severity"] for one in found)
    document = make(Alert(identify(event, rules), event, severity), look)
    if found and "ecs" in document:
        document["rule"] = {"id": rules}
        document["event"]["kind"] = "alert"
    elif found:
        document["unmapped"]["findings"] = found
    return document


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = "; ".join(f"{one['rule']}:{one['severity']}" for one in value)
    elif isinstance(value, dict):
        value = "; ".join(f"{name}={count}" for name, count in value.items())
    elif isinstance(value, bool):
        value = str(value).lower()
    if not isinstance(value, str):
        return value
    text = ("'" if value.startswith(_FORMULA) else "") + value
    return _CONTROL.sub("\ufffd", text)
