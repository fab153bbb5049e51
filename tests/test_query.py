"""Filters against a model in Python: each alone, all together, over any sessions and events."""

from __future__ import annotations

import ipaddress
import json
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usm import query
from usm.core.model import (
    CRITICAL,
    END_REASONS,
    INFO,
    LOGIN,
    LOGOUT,
    NORMAL_ENDS,
    PRIVILEGE,
    Event,
    Finding,
    Session,
    micros,
)
from usm.history import Judgement
from usm.query import Entry, Filter
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EXAMPLES = 60
ZERO = datetime(2026, 11, 1, tzinfo=timezone.utc)
HOUR = 3_600_000_000
USERS = ("al", "alice", "bob", "b[o]b", "王小明", "*", "O'Brien", "a\x1b[2J", "", "\ud7ff\ud7ff", "\U0001f600")
SOURCES = (
    None,
    "203.0.113.5",
    "203.0.114.5",
    "203.0.11.5",
    "2001:db8::1",
    "2001:db8:0:1::1",
    "2001:db9::1",
    "gw",
    "::1",
)
PATTERNS = (
    None,
    "al",
    "al*",
    "*",
    "?ob",
    "b[[]o]b",
    "[ab]*",
    "[!a]*",
    "王*",
    "*'*",
    "'; DROP TABLE session; --",
    "",
    "\ud7ff*",
)
ASKED: tuple[Optional[str], ...] = (
    None,
    "203.0.113.5",
    "203.0.112.0/22",
    "203.0.113.0/24",
    "203.0.113.5/32",
    "0.0.0.0/0",
    "2001:db8::/32",
    "::/0",
)
ASKED += ("2001:DB8:0::1", "2001:db8::/48", "203.0.*", "gw", "nobody", "::1/128", "2001:db8:0:1::/64")
KEYS = (None, "SHA256:abc+/", "SHA256:x")
moments = st.one_of(
    st.integers(0, 60 * 24).map(lambda hours: hours * HOUR),
    st.sampled_from([24 * HOUR - 1, HOUR + 1, 24 * HOUR + 1, 1, 7]),
)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    """Return any session: long, short, open, of no length, and one whose end nobody saw."""
    start = draw(moments)
    length = draw(st.one_of(st.none(), moments, st.sampled_from([0, HOUR, HOUR + 1, 24 * HOUR, 24 * HOUR + 1])))
    later = draw(st.one_of(st.none(), moments)) if length is not None else None
    end = None if length is None else ZERO + timedelta(microseconds=start + length)
    return Session(
        f"{draw(st.integers(0, (1 << 64) - 1)):016x}",
        draw(st.sampled_from(["web01", "web02"])),
        "sshd",
        draw(st.sampled_from(USERS)),
        draw(st.sampled_from(SOURCES)),
        None,
        None,
        draw(st.sampled_from(KEYS)),
        None,
        1,
        ZERO + timedelta(microseconds=start),
        end,
        None if end is None else draw(st.sampled_from(END_REASONS)),
        None if end is None or later is None else end + timedelta(microseconds=later),
        person=draw(st.sampled_from([None, "Alice", "al"])),
    )


def maybe(some: st.SearchStrategy[int]) -> st.SearchStrategy[Optional[int]]:
    """Return nothing, or a moment in microseconds since 1970."""
    return st.one_of(st.none(), some.map(lambda value: micros(ZERO) + value))


spans = maybe(moments)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "since": spans,
    "until": spans,
    "user": st.sampled_from(PATTERNS),
    "source": st.sampled_from(ASKED),
    "key": st.sampled_from([None, "SHA256:*", "SHA256:abc+/", "Alice", "al*"]),
    "end": st.sampled_from([None, "reset", "c*", "timeout"]),
    "host": st.sampled_from([None, "web01", "web*"]),
    "abnormal": st.booleans(),
    "open": st.booleans(),
    "limit": st.sampled_from([0, 1, 3]),
}
# Any of the fields: one alone, some, all.
filters = st.sets(st.sampled_from(sorted(FIELDS))).flatmap(
    lambda names: st.fixed_dictionaries({name: FIELDS[name] for name in sorted(names)}).map(
        lambda fields: Filter(**fields)
    )
)
at = moments.map(lambda value: Filter(since=micros(ZERO) + value, until=micros(ZERO) + value))


def like(value: Optional[str], pattern: Optional[str]) -> bool:
    """The model of a pattern."""
    return pattern is None or (value is not None and (value == pattern or fnmatchcase(value, pattern)))


def within(value: Optional[str], asked: Optional[str]) -> bool:
    """The model of a source."""
    try:
        network = ipaddress.ip_network(asked or "", strict=False)
    except ValueError:
        return like(value, asked)
    try:
        return ipaddress.ip_address(value or "") in network
    except ValueError:
        return False


def model(all_of_them: Sequence[Session], grave: set[str], f: Filter) -> list[Session]:
    """Return what a filter must give."""
    found = []
    for s in all_of_them:
        last = None if s.end is None else micros(s.until or s.end)
        if f.until is not None and micros(s.start) > f.until:
            continue
        if f.since is not None and last is not None and last < f.since:
            continue
        if f.open and s.end is not None:
            continue
        if f.abnormal and not (s.end_reason not in (None, *NORMAL_ENDS) or s.id in grave):
            continue
        if not (
            like(s.user, f.user)
            and within(s.source_ip, f.source)
            and like(s.host, f.host)
            and like(s.end_reason, f.end)
        ):
            continue
        if f.key is not None and not any(like(value, f.key) for value in (s.key, s.person, s.comment)):
            continue
        found.append(s)
    found.sort(key=lambda s: (s.start, int.from_bytes(bytes.fromhex(s.id), "big", signed=True)))
    return found


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(sessions(), max_size=12, unique_by=lambda s: s.id),
    st.lists(filters | at, min_size=1, max_size=8),
    st.data(),
)
def test_sessions_are_those_of_the_model(made: list[Session], asked: list[Filter], data: st.DataObject) -> None:
    """Each filter alone and combined, in order, and whether there are more."""
    store = Store(":memory:")
    judged = {s.id: data.draw(st.sampled_from([None, INFO, CRITICAL]), label=s.id) for s in made}
    with store.transaction() as tx:
        for session in made:
            tx.put(session)
            severity = judged[session.id]
            if severity is not None:
                facts = {"evil": '"severity":"critical"'}
                findings = [{"rule": "new-key", "severity": severity, "facts": facts}]
                tx.history.judged(Judgement(None, session.id, {}, findings, []), micros(session.start))
    grave = {identity for identity, severity in judged.items() if severity == CRITICAL}
    with store.reading() as db:
        for f in asked:
            expected = model(made, grave, f)
            found = list(query.sessions(db, f))
            assert found == (expected[-f.limit :] if f.limit else expected), f
            assert query.more(db, f, of_sessions=True) == bool(f.limit and len(expected) > f.limit)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.tuples(
            moments,
            st.sampled_from([LOGIN, LOGOUT, PRIVILEGE]),
            st.one_of(st.none(), st.sampled_from(USERS)),
            st.sampled_from(SOURCES),
            st.sampled_from(["web01", "web02"]),
        ),
        max_size=12,
    ),
    st.lists(filters, min_size=1, max_size=8),
    st.sampled_from([None, LOGIN, "log*", "seal"]),
)
def test_events_are_those_of_the_model(
    made: list[tuple[int, str, Optional[str], Optional[str], str]], asked: list[Filter], kind: Optional[str]
) -> None:
    """By time, then in the order of the record."""
    store = Store(":memory:")
    events = [
        Event(what, ZERO + timedelta(microseconds=time), host, "sshd", user, source)
        for time, what, user, source, host in made
    ]
    with store.transaction() as tx:
        for event in events:
            tx.record(event, [Finding("new-key", INFO, {})])
    numbered = sorted(enumerate(events, 1), key=lambda item: (item[1].time, item[0]))
    with store.reading() as db:
        for one in asked:
            f = one._replace(kind=kind)
            expected = [
                seq
                for seq, e in numbered
                if (f.since is None or micros(e.time) >= f.since)
                and (f.until is None or micros(e.time) <= f.until)
                and like(e.user, f.user)
                and within(e.source_ip, f.source)
                and like(e.host, f.host)
                and like(e.kind, f.kind)
            ]
            assert [e.seq for e in query.events(db, f)] == (expected[-f.limit :] if f.limit else expected), f
            assert query.more(db, f) == bool(f.limit and len(expected) > f.limit)


def test_an_entry_is_as_it_was_written() -> None:
    """With what was found."""
    store = Store(":memory:")
    with store.transaction() as tx:
        tx.record(Event(LOGIN, ZERO, "web01", "sshd", "al"), [Finding("new-key", CRITICAL, {})])
    with store.reading() as db:
        (entry,) = query.events(db, Filter())
    assert entry == Entry(1, micros(ZERO), entry.body)
    assert json.loads(entry.body)["findings"] == [{"rule": "new-key", "severity": CRITICAL}]


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(since=5, until=5),
        Filter(user="al"),
        Filter(user="al", since=5, until=5),
        Filter(source="203.0.113.5"),
        Filter(source="203.0.113.0/24"),
        Filter(open=True),
        Filter(since=5, limit=10),
    ],
)
def test_an_index_answers(wanted: Filter) -> None:
    """No question that is often asked reads all sessions, or all events."""
    store = Store(":memory:")
    with store.reading() as db:
        list(query.sessions(db, wanted))  # makes the functions known
        for text, values in (query.sessions_sql(wanted), query.events_sql(wanted._replace(open=False))):
            steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {text}", values)]
            assert [step for step in steps if step in ("SCAN s", "SCAN session", "SCAN record")] == []


def test_the_version_changes_when_another_writes(tmp_path: Path) -> None:
    """Not by reading."""
    path = f"{tmp_path}/state.db"
    writer = Store(path)
    reader = Store(path, readonly=True)
    with reader.reading() as db:
        before = query.version(db)
        assert query.version(db) == before
        writer.note(version="2")
        assert query.version(db) != before
    writer.close()
    reader.close()
