"""What was asked about → text for the terminal and objects for programs: events, a person's page, sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from usm.columns import cells, lines, table
from usm.core.look import duration
from usm.core.model import FAILED, FINDING, LOGIN, LOGOUT, PRIVILEGE, time_of
from usm.core.tame import clean
from usm.export import entry_json
from usm.report import iso, session_json, session_lines, short
from usm.summary import DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, timedelta, tzinfo

    from usm.core.look import Look
    from usm.query import Entry
    from usm.summary import Page, Stats

_USUAL = (("address", "sources"), ("key", "keys"), ("method", "methods"), ("country", "countries"))
_SHOWN = 5  # values of a fact
_BAR = 40  # cells of the longest bar


def event_lines(entries: Iterable[Entry], look: Look, width: Optional[int] = None) -> Iterator[str]:
    """Yield a table of events, however many there are."""
    rows = (
        (
            str(entry.seq),
            short(time_of(entry.time), look.zone),
            body["kind"],
            clean(body.get("user") or "-"),
            clean(body.get("source_ip") or body.get("tty") or "-"),
            clean(body["host"]),
            clean(_what(body, look), 200),
        )
        for entry in entries
        for body in (entry_json(entry),)
    )
    return lines(("SEQ", "TIME", "KIND", "USER", "FROM", "HOST", "WHAT"), rows, width)


def _what(body: dict[str, Any], look: Look) -> str:
    """Return what was special about an event."""
    kind = body["kind"]
    said: list[Optional[str]] = []
    if kind == LOGIN:
        said += [
            body.get("method") or body.get("service"),
            body.get("person") or body.get("comment") or body.get("key"),
        ]
    elif kind == LOGOUT:
        said += [body.get("end_reason"), f"after {duration(body.get('duration') or 0, look.language)}"]
    elif kind == PRIVILEGE or (kind == FAILED and body.get("target")):
        said += [f"as {body.get('target') or '-'}", body.get("command")]
    elif kind == FAILED:
        users = ", ".join(f"{name} \u00d7{count}" for name, count in body.get("users", {}).items())
        said += [f"\u00d7{body.get('count', 1)}", users]
    elif kind == FINDING and body.get("count", 1) > 1:
        said += [f"\u00d7{body['count']}"]
    said += [f"[{one['rule']}: {one['severity']}]" for one in body.get("findings", ())]
    return " ".join(filter(None, said)) or "-"


def page_text(found: Page, account: dict[str, Any], now: datetime, look: Look, width: Optional[int]) -> Iterator[str]:
    """Yield a person's page."""

    def spent(length: timedelta) -> str:
        return duration(length.total_seconds(), look.language)

    here = f"uid {account['uid']}, {clean(account['shell'])}" if account else "no account of this machine"
    yield f"user: {clean(found.user)} ({here})"
    last = found.last
    if last is not None:
        source = clean(last.source_ip or last.tty or "-")
        yield f"last login: {short(last.start, look.zone)} from {source}, {clean(last.method or last.service)}"
    for fact, name in _USUAL:
        rows = sorted((one for one in found.usual if one.fact == fact), key=lambda one: (-one.times, one.value))
        shown = ", ".join(f"{clean(one.value, 60)} \u00d7{one.times}" for one in rows[:_SHOWN])
        if shown:
            yield f"usual {name}: {shown}" + (f", and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
    ends = ", ".join(f"{count} {reason}" for reason, count in found.ends)
    lasted = f"; together {spent(found.total)}, the longest {spent(found.longest)}" if found.sessions else ""
    yield f"sessions in {DAYS} days: {found.sessions}{f' ({ends})' if ends else ''}{lasted}"
    since = "" if found.last_failure is None else f", the last {short(found.last_failure, look.zone)}"
    tried = f" from {found.sources} sources{since}" if found.failures else ""
    yield f"failed logins in {DAYS} days: {found.failures}{tried}"
    yield f"acted as another in {DAYS} days: {found.privileges} times, refused: {found.refused}"
    for command, count in found.commands:
        yield f"  \u00d7{count} {clean(command, 100)}"
    if found.open:
        yield from ("", *session_lines(found.open, now, look.zone, look.language, width))
    else:
        yield "not on now"
    if found.findings:
        yield from ("", "latest findings:", *event_lines(found.findings, look, width))


def stats_text(found: Stats, look: Look, *, blocks: bool) -> Iterator[str]:
    """Yield the sums of a span; `blocks`: whether bars may be more than ASCII."""
    yield f"from {short(found.since, look.zone)} to {short(found.until, look.zone)}"
    sums = ("logins", found.logins), ("logouts", found.logouts), ("failed", found.failed)
    yield ", ".join(f"{name}: {count}" for name, count in (*sums, ("privileges", found.privileges)))
    tables: tuple[tuple[tuple[str, ...], Sequence[tuple[str, ...]]], ...] = (
        (("FINDING", "SEVERITY", "COUNT"), [(rule, grave, str(count)) for (rule, grave), count in found.findings]),
        (("USER", "LOGINS"), [(clean(name), str(count)) for name, count in found.users]),
        (("SOURCE", "LOGINS"), [(clean(name), str(count)) for name, count in found.sources]),
    )
    for head, rows in tables:
        if rows:
            yield from ("", table(head, rows))
    if any(found.hours):
        yield from ("", "logins by hour of the day", *bars(found.hours, blocks=blocks))


def bars(counts: Sequence[int], *, blocks: bool) -> Iterator[str]:
    """Yield a line for each hour: what is not zero is at least one block long."""
    most, wide = max(counts), max(cells(str(count)) for count in counts)
    for hour, count in enumerate(counts):
        bar = ("\u2588" if blocks else "#") * -(-count * _BAR // most)
        yield f"{hour:02}  {count:>{wide}}  {bar}".rstrip()


def page_json(found: Page, account: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    """Return a person's page for programs."""
    return {
        "user": found.user,
        "account": account or None,
        "open": [session_json(one, zone) for one in found.open],
        "last": None if found.last is None else session_json(found.last, zone),
        "usual": [{**one._asdict(), "last": iso(one.last, zone)} for one in found.usual],
        "days": DAYS,
        "sessions": found.sessions,
        "total": found.total.total_seconds(),
        "longest": found.longest.total_seconds(),
        "ends": dict(found.ends),
        "failures": {"count": found.failures, "sources": found.sources, "last": iso(found.last_failure, zone)},
        "privileges": found.privileges,
        "refused": found.refused,
        "commands": dict(found.commands),
        "findings": [entry_json(one) for one in found.findings],
    }


def stats_json(found: Stats, zone: tzinfo) -> dict[str, Any]:
    """Return what went on for programs."""
    return {
        **found._asdict(),
        "since": iso(found.since, zone),
        "until": iso(found.until, zone),
        "findings": [{"rule": r, "severity": severity, "count": count} for (r, severity), count in found.findings],
        "users": [{"value": name, "count": count} for name, count in found.users],
        "sources": [{"value": name, "count": count} for name, count in found.sources],
    }
