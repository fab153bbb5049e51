"""The left half: however the log is cut into batches, and whenever it is killed, the store holds the same."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench import corpus
from usm.core.decode import Stamps
from usm.core.model import LOGIN, LOGOUT, Batch, Event, Host, Session
from usm.errors import StoreError
from usm.ingest import Intake, Watch, ingest
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UTC = timezone.utc
NOW = datetime(2026, 12, 31, 12, 0, 0, tzinfo=UTC)
HOST = Host("web01", ("192.0.2.10",))
LOGS = Path(__file__).parent / "data" / "logs"
DEMO = Path(__file__).parent.parent / "usm" / "demo.log"

ALICE_IN = (
    b"2026-11-23T10:05:07.123456+08:00 web01 sshd[125]: Accepted publickey for alice from 203.0.113.5 port 43867 ssh2:"
    b" ED25519 SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME\n"
)
ALICE_OUT = (
    b"2026-11-23T10:10:19.500000+08:00 web01 sshd[127]: Received disconnect from 203.0.113.5 port 43867:11: "
    b"disconnected by user\n"
    b"2026-11-23T10:10:19.500100+08:00 web01 sshd[127]: Disconnected from user alice 203.0.113.5 port 43867\n"
    b"2026-11-23T10:10:19.500900+08:00 web01 sshd[125]: pam_unix(sshd:session): session closed for user alice\n"
)


class Contents(NamedTuple):
    """All that a store holds, in a form that does not depend on how failures were folded."""

    sessions: list[Session]
    failures: Counter[tuple[object, ...]]
    spans: dict[object, tuple[datetime, datetime]]
    told: list[tuple[str, Event]]
    cursor: object


def contents(store: Store) -> Contents:
    """Return what the store holds."""
    failures: Counter[tuple[object, ...]] = Counter()
    spans: dict[object, tuple[datetime, datetime]] = {}
    for failure in store.failures():
        for user, method, invalid, count in failure.who:
            failures[failure.host, failure.service, failure.source_ip, user, method, invalid] += count
        first, last = spans.get(failure.source_ip, (failure.time, failure.until))
        spans[failure.source_ip] = min(first, failure.time), max(last, failure.until)
    told = [(d.channel, d.alert.event) for d in store.deliveries()]
    return Contents(store.sessions(everything=True), failures, spans, told, store.cursor("file:a"))


def take(store: Store, batches: Iterable[bytes], *, channels: Sequence[str] = ("feishu",)) -> list[Event]:
    """Ingest batches one after the other; the cursor is the number of bytes read."""
    intake, at = Intake(Stamps(UTC, NOW)), 0
    told: list[Event] = []
    for data in batches:
        at += len(data)
        told += ingest(store, "file:a", Batch(data, str(at)), intake, Watch(HOST, channels), NOW)
    return told


def taken(batches: Iterable[bytes]) -> Contents:
    """Return what a new store holds after these batches."""
    store = Store(":memory:")
    take(store, batches)
    found = contents(store)
    store.close()
    return found


def split(data: bytes) -> list[bytes]:
    """Return whole lines, each with its LF."""
    return data.splitlines(keepends=True) if data.endswith(b"\n") else (data + b"\n").splitlines(keepends=True)


@lru_cache
def lines_of(name: str) -> tuple[bytes, ...]:
    """Return the lines of a log by its name."""
    return tuple(split((DEMO if name == "demo.log" else LOGS / name).read_bytes()))


@lru_cache
def whole(name: str) -> Contents:
    """Return what a log leads to when it is read line by line."""
    return taken(lines_of(name))


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[bytes, ...], corpus.Truth]:
    """Return the lines of a busy server's log, sessions among an attack, and what it holds."""
    path = tmp_path_factory.mktemp("busy") / "auth.log"
    truth = corpus.write(str(path), 3000)
    return tuple(split(path.read_bytes())), truth


REAL = ("demo.log", "openssh-9.2-rfc3164.log", "openssh-9.2-rfc3339.log", "openssh-9.2-rfc5424.log")


# -- batches


@pytest.mark.parametrize("name", REAL)
def test_a_whole_log_in_one_batch_is_the_same_as_line_by_line(name: str) -> None:
    """What is folded, preloaded or looked up one by one does not matter to what is stored and told."""
    assert taken([b"".join(lines_of(name))]) == whole(name)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(REAL), st.sets(st.integers(1, 400), max_size=12))
def test_any_cut_into_batches_gives_the_same(name: str, cuts: set[int]) -> None:
    """The batches are cut wherever the reads happen to end."""
    lines = lines_of(name)
    ends = sorted(cuts | {0, 500})
    batches = [b"".join(lines[a:b]) for a, b in zip(ends, ends[1:])]
    found, expected = taken(batches), whole(name)
    assert found == expected


def test_a_huge_batch_reads_open_sessions_at_once_and_gives_the_same(
    busy: tuple[tuple[bytes, ...], corpus.Truth],
) -> None:
    """Batches beyond 64 KiB, which preload the open sessions, lead to what small ones lead to."""
    lines, truth = busy
    data = b"".join(lines)
    assert len(data) > 4 * 65536
    third = len(lines) // 3
    huge = taken([b"".join(lines[:third]), b"".join(lines[third : 2 * third]), b"".join(lines[2 * third :])])
    small = taken(b"".join(lines[at : at + 50]) for at in range(0, len(lines), 50))
    assert huge == small
    assert huge == taken([data])
    kinds = Counter(event.kind for _, event in huge.told)
    assert (kinds[LOGIN], kinds[LOGOUT], sum(huge.failures.values())) == (truth.logins, truth.logouts, truth.failures)


def test_failures_are_counted_by_source_user_and_method() -> None:
    """An attack of thousands is a handful of rows, from its first line to its last, and nobody is told."""
    failed = (
        "2026-11-23T10:00:%02d.000000+00:00 web01 sshd[9]: Failed password for %s from 198.51.100.23 port %d ssh2\n"
    )
    data = b"".join(
        (failed % (n % 60, "root" if n % 3 else "invalid user 管理员", 1024 + n)).encode() for n in range(600)
    )
    found = taken([data])
    assert found.failures == {
        ("web01", "sshd", "198.51.100.23", "root", "password", False): 400,
        ("web01", "sshd", "198.51.100.23", "管理员", "password", True): 200,
    }
    assert found.spans == {
        "198.51.100.23": (
            datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC),
            datetime(2026, 11, 23, 10, 0, 59, tzinfo=UTC),
        )
    }
    assert found.told == []


def test_noise_moves_the_place_in_the_log_on() -> None:
    """Lines that tell nothing are not read again."""
    found = taken([b"nothing that anybody knows\n", b"\n", b"\0\0\0\n", b"x" * 100_000 + b"\n"])
    assert found == Contents([], Counter(), {}, [], str(27 + 1 + 4 + 100_001))


def test_without_channels_sessions_are_kept_and_nobody_is_told() -> None:
    """Who is on is recorded also where no channel is configured."""
    store = Store(":memory:")
    assert take(store, [ALICE_IN], channels=()) == []
    assert [s.user for s in store.sessions()] == ["alice"]
    assert store.deliveries() == []


def test_every_channel_gets_every_event() -> None:
    """One alert goes to each channel once."""
    store = Store(":memory:")
    told = take(store, [ALICE_IN + ALICE_OUT], channels=("a", "b"))
    assert [event.kind for event in told] == [LOGIN, LOGOUT]
    assert [(d.channel, d.alert.event.kind) for d in store.deliveries()] == [
        ("a", LOGIN),
        ("b", LOGIN),
        ("a", LOGOUT),
        ("b", LOGOUT),
    ]
    assert {d.alert.address for d in store.deliveries()} == {"192.0.2.10"}


# -- restarts


@pytest.mark.parametrize("filler", [b"", b"2026-11-23T10:06:00+08:00 web01 cron[1]: " + b"x" * 8000 + b"\n"])
def test_a_logout_after_a_restart_knows_its_login(tmp_path: Path, filler: bytes) -> None:
    """Address, login time and duration come from the state file, in a small batch and in a huge one."""
    path = str(tmp_path / "state.db")
    store = Store(path)
    take(store, [ALICE_IN])
    store.close()
    (logout,) = take(Store(path), [filler * 10 + ALICE_OUT])
    assert (logout.user, logout.source_ip, logout.source_port, logout.end_reason) == (
        "alice",
        "203.0.113.5",
        43867,
        "disconnected",
    )
    assert logout.key == "SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME"
    assert logout.start is not None
    assert logout.start.isoformat() == "2026-11-23T10:05:07.123456+08:00"
    assert logout.duration == 312.376544


def test_a_second_restart_tells_the_logout_only_once(tmp_path: Path) -> None:
    """The lines behind the first that ended a session find it closed, also when they come after a restart."""
    path = str(tmp_path / "state.db")
    told: list[str] = []
    for line in split(ALICE_IN + ALICE_OUT):
        store = Store(path)
        told += [event.kind for event in take(store, [line])]
        store.close()
    assert told == [LOGIN, LOGOUT]


def test_the_same_lines_again_tell_nothing_new(tmp_path: Path) -> None:
    """A log that is read twice (a copied file, a lost checkpoint) opens no session twice."""
    store = Store(str(tmp_path / "state.db"))
    take(store, [ALICE_IN + ALICE_OUT])
    before = contents(store).sessions
    assert take(store, [ALICE_IN]) == []
    assert contents(store).sessions == before


def test_a_line_that_is_written_twice_is_one_login() -> None:
    """Two rules of a syslog daemon that write to one file, within one batch and across two."""
    found = taken([ALICE_IN + ALICE_IN, ALICE_IN + ALICE_OUT + ALICE_OUT])
    assert [event.kind for _, event in found.told] == [LOGIN, LOGOUT]
    assert len(found.sessions) == 1


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("at", range(1, 12))
def test_cut_off_before_the_commit_nothing_happened_and_again_gives_the_same(
    tmp_path: Path, at: int, *, stubborn: bool
) -> None:
    """Whichever statement the disk refuses (if stubborn, the rollback too), nothing of the batch is there after it.

    The batch again gives what it should.
    """
    path = str(tmp_path / "state.db")
    batches = [ALICE_IN, ALICE_OUT + b"".join(lines_of("demo.log")[:60])]
    store = Store(path)
    take(store, batches[:1])
    before = contents(store)
    left = [at]

    def count(_statement: str) -> None:
        left[0] -= 1

    def abort() -> int:
        if left[0] > 0:
            return 0
        left[0] = 0 if stubborn else 1_000_000
        return 1

    store._db.set_trace_callback(count)
    store._db.set_progress_handler(abort, 1)
    with pytest.raises(StoreError, match="interrupted"):
        take(store, batches[1:])
    store._db.set_progress_handler(None, 1)
    store._db.set_trace_callback(None)
    assert contents(store) == before
    take(store, batches[1:])
    again = contents(store)
    store.close()
    expected = taken(batches)
    assert again._replace(cursor=None) == expected._replace(cursor=None)
    assert contents(Store(path)) == again
