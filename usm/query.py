"""Questions to the state file: which sessions, which events. What is asked is indexed, and comes row by row.

Of a session whose end nobody saw it counts that it can have been open: up to `until`.
"""

from __future__ import annotations

import ipaddress
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from usm.core.chain import SEAL
from usm.core.model import END_REASONS, INFO, NORMAL_ENDS, SEVERITIES
from usm.transaction import COLUMNS, session_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from usm.core.model import Session

_HOUR, _DAY = 3_600_000_000, 86_400_000_000  # microseconds
_LAST = 'coalesce(until, "end")'  # as the index has it
_SPAN = f"(({_LAST} - start > {_HOUR}) + ({_LAST} - start > {_DAY}))"  # how long it took, in three classes
_REACH = (_HOUR, _DAY, None)  # how far back a session of each class can have begun that is still open
_LARGEST = 0xD7FF  # letters before the surrogates
_WILD = frozenset("*?[")
_GRAVE = " OR ".join(f"""instr(findings, '"severity":"{one}"')""" for one in SEVERITIES if one != INFO)
_UNUSUAL = ", ".join(f"'{one}'" for one in END_REASONS if one not in NORMAL_ENDS)
_FOUND = f"SELECT 1 FROM judgement WHERE found = 1 AND session = printf('%016x', s.id) AND ({_GRAVE})"  # noqa: S608 - constants
_ABNORMAL = f"end_reason IN ({_UNUSUAL}) OR EXISTS ({_FOUND})"
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Filter(NamedTuple):
    """What is asked for: a span of microseconds, both ends within, and patterns; None: whatever it is.

    `source`: an address, a network or a pattern. `key`: also of a person or a comment beside the key. `open`: only who
    is on. `limit`: the newest so many, all where it is 0.
    """

    since: Optional[int] = None
    until: Optional[int] = None
    user: Optional[str] = None
    source: Optional[str] = None
    key: Optional[str] = None
    end: Optional[str] = None
    kind: Optional[str] = None
    host: Optional[str] = None
    abnormal: bool = False
    open: bool = False
    limit: int = 0


class Entry(NamedTuple):
    """One event of the record."""

    seq: int
    time: int
    body: str


class _Where:
    """Conditions, and the values in them."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.values: list[object] = []

    def add(self, part: str, *values: object) -> None:
        """Add a condition."""
        self.parts.append(part)
        self.values += values

    def like(self, column: str, pattern: Optional[str]) -> None:
        """Let a column be a name, or match a pattern, whose beginning narrows the search; a name may look like one."""
        if pattern is None:
            return
        if not _WILD & set(pattern):
            self.add(f"{column} = ?", pattern)
            return
        self._begins(column, pattern[: min(pattern.index(c) for c in _WILD if c in pattern)])
        self.add(f"usm_like({column}, ?)", pattern)

    def source(self, column: str, text: Optional[str]) -> None:
        """Let a column be an address, be in a network, or match a pattern."""
        network = None if text is None else _network(text)
        if network is None:
            self.like(column, text)
        elif network.num_addresses == 1:
            self.add(f"{column} = ?", str(network.network_address))
        else:
            self._begins(column, _prefix(network))
            self.add(f"usm_within({column}, ?)", str(network))

    def _begins(self, column: str, prefix: str) -> None:
        """Narrow an index to a beginning; bytes are compared, and the largest letter has none after it."""
        if prefix and ord(prefix[-1]) < _LARGEST:
            self.add(f"{column} >= ? AND {column} < ?", prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))

    def text(self) -> str:
        """Return all conditions as one."""
        return " AND ".join(f"({part})" for part in self.parts) or "TRUE"


def sessions(db: sqlite3.Connection, wanted: Filter) -> Iterator[Session]:
    """Yield the sessions that were open at any moment of the span, by their beginning."""
    _prepare(db)
    yield from map(session_of, db.execute(*sessions_sql(wanted)))


def events(db: sqlite3.Connection, wanted: Filter) -> Iterator[Entry]:
    """Yield what happened within the span, in its order."""
    _prepare(db)
    yield from map(Entry._make, db.execute(*events_sql(wanted)))


def sessions_sql(wanted: Filter) -> tuple[str, list[object]]:
    """Return the query for sessions; few are open, so it is these that are sorted, not all that are walked through."""
    order = ("+start" if wanted.open else "start", "id")
    return _newest(f"SELECT {COLUMNS} FROM session s", _sessions(wanted), wanted.limit, order)  # noqa: S608 - constants


def events_sql(wanted: Filter) -> tuple[str, list[object]]:
    """Return the query for events."""
    return _newest("SELECT seq, time, body FROM record", _events(wanted), wanted.limit, ("time", "seq"))


def more(db: sqlite3.Connection, wanted: Filter, *, of_sessions: bool = False) -> bool:
    """Tell whether there are more than the limit."""
    if not wanted.limit:
        return False
    _prepare(db)
    where = (_sessions if of_sessions else _events)(wanted)
    table, order = ("session s", "start DESC, id DESC") if of_sessions else ("record", "time DESC, seq DESC")
    sql = f"SELECT 1 FROM {table} WHERE {where.text()} ORDER BY {order} LIMIT 1 OFFSET ?"  # noqa: S608 - constants
    return db.execute(sql, (*where.values, wanted.limit)).fetchone() is not None


def is_network(text: str) -> bool:
    """Tell whether a text is an address or a network."""
    return _network(text) is not None


def version(db: sqlite3.Connection) -> int:
    """Return a number that changes when somebody else has written."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def _newest(select: str, where: _Where, limit: int, order: tuple[str, str]) -> tuple[str, list[object]]:
    down, up = ", ".join(f"{name} DESC" for name in order), ", ".join(order)
    sql = f"{select} WHERE {where.text()}"
    if not limit:
        return f"{sql} ORDER BY {up}", where.values
    return f"SELECT * FROM ({sql} ORDER BY {down} LIMIT ?) ORDER BY {up}", [*where.values, limit]  # noqa: S608 - constants


def _sessions(wanted: Filter) -> _Where:
    where = _Where()
    where.like("user", wanted.user)
    where.source("source_ip", wanted.source)
    named = any(part.endswith(" = ?") for part in where.parts)
    where.like("end_reason", wanted.end)
    where.like("host", wanted.host)
    if wanted.open:
        where.add('"end" IS NULL')
    elif wanted.since is not None and not named:
        _overlap(where, wanted.since, wanted.until)
    elif wanted.since is not None:
        where.add(f'"end" IS NULL OR {_LAST} >= ?', wanted.since)
    if wanted.until is not None:
        where.add("start <= ?", wanted.until)
    if wanted.key is not None:
        key = "usm_like(key, ?) OR usm_like(person, ?) OR usm_like(comment, ?)"
        where.add(key, *(wanted.key,) * 3)
    if wanted.abnormal:
        where.add(_ABNORMAL)
    return where


def _overlap(where: _Where, since: int, until: Optional[int]) -> None:
    """Narrow the search to who was on within a span, by three classes of length: few took long, and most began near."""
    queries, values = ['SELECT id FROM session WHERE "end" IS NULL'], []
    for number, reach in enumerate(_REACH):
        part = f'SELECT id FROM session WHERE "end" IS NOT NULL AND {_SPAN} = {number} AND {_LAST} >= ?'  # noqa: S608 - constants
        values.append(since)
        if reach is not None:
            part += " AND start >= ?"
            values.append(since - reach)
        if until is not None:
            part += " AND start <= ?"
            values.append(until)
        queries.append(part)
    where.add(f"id IN ({' UNION ALL '.join(queries)})", *values)


def _events(wanted: Filter) -> _Where:
    where = _Where()
    where.like("user", wanted.user)
    where.source("source_ip", wanted.source)
    where.like("kind", wanted.kind)
    where.like("host", wanted.host)
    where.add("kind <> ?", SEAL)  # of the record itself: nothing that happened
    if wanted.since is not None:
        where.add("time >= ?", wanted.since)
    if wanted.until is not None:
        where.add("time <= ?", wanted.until)
    return where


def _network(text: str) -> Optional[Network]:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _prefix(network: Network) -> str:
    """Return what all addresses of a network begin with, as they are written; IPv6 leaves out zeros."""
    if network.version == 4:  # noqa: PLR2004 - of the protocol
        octets = str(network.network_address).split(".")[: network.prefixlen // 8]
        return "".join(f"{octet}." for octet in octets)
    words = network.network_address.exploded.split(":")[: network.prefixlen // 16]
    whole = list(takewhile(lambda word: int(word, 16), words))
    return "".join(f"{int(word, 16):x}:" for word in whole)


@lru_cache(1 << 12)
def _net(text: str) -> Network:
    return ipaddress.ip_network(text)


@lru_cache(1 << 16)
def _within(value: Optional[str], network: str) -> bool:
    try:
        return value is not None and ipaddress.ip_address(value) in _net(network)
    except ValueError:  # a name instead of an address
        return False


@lru_cache(1 << 16)
def _like(value: Optional[str], pattern: str) -> bool:
    return value is not None and (value == pattern or fnmatchcase(value, pattern))


def _prepare(db: sqlite3.Connection) -> None:
    db.create_function("usm_like", 2, _like)
    db.create_function("usm_within", 2, _within)
