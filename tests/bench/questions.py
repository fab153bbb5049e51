"""How long questions take of a large state file: `python tests/bench/questions.py [EVENTS [FILE]]` prints p50 and p99.

The events (5,000,000 by default) of a year: logins and logouts of 2,000 users from 20,000 addresses, and what they do
as root. They are written straight into the tables, with made-up hashes; the file is kept where it is named.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from usm import query, summary
from usm.query import Filter
from usm.store import Store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

EVENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
TIMES = 200  # of each question
USERS, SOURCES = 2000, 20_000
NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)
END = int(NOW.timestamp()) * 1_000_000
YEAR, DAY, HOUR = 365 * 86_400_000_000, 86_400_000_000, 3_600_000_000
REASONS = ("disconnected",) * 20 + ("timeout", "reset", "closed", "vanished")
Row = tuple[Any, ...]


def source(rng: random.Random) -> str:
    """Return one of the addresses."""
    number = rng.randrange(SOURCES)
    return f"10.{number >> 12}.{number >> 6 & 63}.{number & 63}"


def happened(rng: random.Random, count: int) -> Iterator[tuple[Row, list[Row]]]:
    """Yield a session and its events, until there are so many."""
    made = 0
    sessions = count * 2 // 5
    for number in range(sessions):
        start = END - YEAR + YEAR * number // sessions
        length = rng.choice((30_000_000, 600_000_000, HOUR // 2, 4 * HOUR, 9 * HOUR, HOUR))
        length = rng.randrange(DAY, 40 * DAY) if rng.random() < 0.005 else rng.randrange(length) + 1
        end = start + length if start + length < END and rng.random() > 0.0001 else None
        user, ip = f"user{min(rng.randrange(USERS), rng.randrange(USERS)):04}", source(rng)
        identity = rng.getrandbits(64) - (1 << 63)
        name = (identity & (1 << 64) - 1).to_bytes(8, "big").hex()
        reason = None if end is None else rng.choice(REASONS)
        facts = ("web01", "sshd", user, ip, rng.randrange(1024, 65536), "publickey", "SHA256:" + "a" * 43, None)
        row = (identity, *facts, 4000 + number % 60000, start, end, reason)
        body: dict[str, Any] = {
            "kind": "login",
            "time": "2026-01-01T00:00:00+00:00",
            "host": "web01",
            "service": "sshd",
            "user": user,
        }
        body |= {"source_ip": ip, "source_port": facts[4], "method": facts[5], "key": facts[6], "tty": None, "pid": 1}
        body |= {"session": name, "person": None, "comment": None, "findings": []}
        text = json.dumps(body, separators=(",", ":"))
        events: list[Row] = [(start, "login", "web01", user, ip, name, text)]
        if number % 2:
            sudo = {**body, "kind": "privilege", "target": "root", "command": "/usr/bin/id"}
            events.append((start + 1, "privilege", "web01", user, None, None, json.dumps(sudo, separators=(",", ":"))))
        if end is not None:
            events.append(
                (
                    end,
                    "logout",
                    "web01",
                    user,
                    ip,
                    name,
                    json.dumps({**body, "kind": "logout", "end_reason": reason}, separators=(",", ":")),
                )
            )
        made += len(events)
        yield row, events
    sys.stderr.write(f"{made} events of {sessions} sessions\n")


def fill(db: sqlite3.Connection, count: int) -> None:
    """Write them all, the events in the order of time, as nearly as a record has them."""
    rng = random.Random(1)
    sessions: list[Row] = []
    waiting: list[Row] = []
    names = 'id, host, service, user, source_ip, source_port, method, key, tty, leader, start, "end", end_reason'
    seq = 0

    def flush(before: int) -> None:
        nonlocal seq, waiting
        waiting.sort()
        ready = [row for row in waiting if row[0] <= before]
        waiting = [row for row in waiting if row[0] > before]
        rows = [(seq + n, *row, b"\0" * 32) for n, row in enumerate(ready, 1)]
        db.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.executemany(
            f"INSERT OR IGNORE INTO session ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", sessions
        )
        seq += len(rows)
        sessions.clear()

    for row, events in happened(rng, count):
        sessions.append(row)
        waiting += events
        if len(sessions) == 20_000:
            flush(row[10])
    flush(END + YEAR)
    failures = []
    for number in range(count // 100):
        time_, who = (
            END - YEAR + YEAR * number // (count // 100),
            [["root", "password", False, 9], ["admin", None, True, 3]],
        )
        failures.append(("web01", "sshd", source(rng), time_, time_ + HOUR, 12, json.dumps(who), 1))
    db.executemany(
        "INSERT INTO failure (host, service, source_ip, time, until, count, who, recorded) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        failures,
    )
    found = json.dumps([{"rule": "new-source", "severity": "notice"}], separators=(",", ":"))
    judged = [(END - YEAR + YEAR * n // (count // 200), True, "{}", found, "[]") for n in range(count // 200)]
    db.executemany("INSERT INTO judgement (time, found, facts, findings, verdicts) VALUES (?, ?, ?, ?, ?)", judged)


def questions(db: sqlite3.Connection, rng: random.Random) -> dict[str, Callable[[], object]]:
    """Return each question, with another moment or name each time."""

    def when(most: int = YEAR) -> int:
        return END - rng.randrange(most)

    def user() -> str:
        return f"user{rng.randrange(USERS):04}"

    def at() -> object:
        moment = when()
        return list(query.sessions(db, Filter(since=moment, until=moment)))

    def events(**asked: Any) -> object:  # noqa: ANN401 - any filter
        wanted = Filter(limit=100, **asked)
        return list(query.events(db, wanted)), query.more(db, wanted)

    return {
        "sessions": lambda: list(query.sessions(db, Filter(open=True))),
        "sessions --at": at,
        "sessions --user": lambda: list(query.sessions(db, Filter(user=user(), limit=100))),
        "sessions --user --at": lambda: list(query.sessions(db, Filter(user=user(), since=(t := when()), until=t))),
        "sessions --source": lambda: list(query.sessions(db, Filter(source=source(rng)))),
        "sessions --source NETWORK/24": lambda: list(query.sessions(db, Filter(source=f"{source(rng)}/24"))),
        "events": events,
        "events --user": lambda: events(user=user()),
        "events --since": lambda: events(since=when()),
        "events --source": lambda: events(source=source(rng)),
        "events --kind --since": lambda: events(kind="privilege", since=when()),
        "user": lambda: summary.page(db, user(), NOW),
        "stats (7 days)": lambda: summary.stats(db, NOW - timedelta(days=7), NOW, timezone.utc),
    }


def measured(db: sqlite3.Connection) -> None:
    """Ask each question often, and print how long it took."""
    print(f"{'question':30} {'p50 ms':>8} {'p99 ms':>8}")
    for name, ask in questions(db, random.Random(2)).items():
        took = []
        for _ in range(TIMES):
            begin = time.perf_counter()
            ask()
            took.append((time.perf_counter() - begin) * 1e3)
        took.sort()
        print(f"{name:30} {took[TIMES // 2]:8.2f} {took[TIMES * 99 // 100]:8.2f}", flush=True)


def sizes(db: sqlite3.Connection) -> None:
    """Print how large the tables and indexes are, where this SQLite can tell."""
    with contextlib.suppress(Exception):
        sql = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 12"
        for name, size in db.execute(sql):
            print(f"{name:30} {size / 1e6:8.1f} MB")


def main(path: str) -> None:
    """Make the file, ask, and see that reading all of it needs no memory."""
    if not os.path.exists(path):
        store = Store(path)
        begin = time.perf_counter()
        with store.writing() as db:
            fill(db, EVENTS)
        store.close()
        sys.stderr.write(f"written in {time.perf_counter() - begin:.0f} s, {os.path.getsize(path) / 1e6:.0f} MB\n")
    store = Store(path, readonly=True)
    with store.reading() as db:
        measured(db)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        count = sum(1 for _ in query.events(db, Filter()))
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"all {count} events read in {time.perf_counter() - begin:.1f} s; the peak of memory grew by {more} kB")
        sizes(db)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main(sys.argv[2])
    else:
        with tempfile.TemporaryDirectory() as place:
            main(f"{place}/state.db")
