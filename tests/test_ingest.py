"""The left half: however the log is cut into batches, and whenever it is killed, the store holds the same."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench import corpus
from tests.support import alert_of, routes
from usm.core.decode import Stamps
from usm.core.model import LOGIN, LOGOUT, Batch, Event, Host, Seat, Session, System
from usm.core.reconcile import first_look
from usm.errors import StoreError
from usm.ingest import EARLIER, Intake, Watch, compare, ingest, strangers
from usm.outbox import Outbox
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
    told = [(d.channel, alert_of(d).event) for d in Outbox(store).deliveries()]
    return Contents(store.sessions(everything=True), failures, spans, told, store.cursor("file:a"))


def take(store: Store, batches: Iterable[bytes], *, channels: Sequence[str] = ("feishu",)) -> list[Event]:
    """Ingest batches one after the other; the cursor is the number of bytes read."""
    intake, at = Intake(Stamps(UTC, NOW)), 0
    told: list[Event] = []
    for data in batches:
        at += len(data)
        told += ingest(store, "file:a", Batch(data, str(at)), intake, Watch(HOST, routes(*channels)), NOW)
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
    assert Outbox(store).deliveries() == []


def test_every_channel_gets_every_event() -> None:
    """One alert goes to each channel once."""
    store = Store(":memory:")
    told = take(store, [ALICE_IN + ALICE_OUT], channels=("a", "b"))
    assert [event.kind for event in told] == [LOGIN, LOGOUT]
    assert [(d.channel, alert_of(d).event.kind) for d in Outbox(store).deliveries()] == [
        ("a", LOGIN),
        ("b", LOGIN),
        ("a", LOGOUT),
        ("b", LOGOUT),
    ]
    assert {alert_of(d).address for d in Outbox(store).deliveries()} == {"192.0.2.10"}


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


# -- for whom


def told_of(line: bytes, watch: Watch, *, journal: bool = False) -> tuple[list[Event], Store]:
    """What one batch leads to, for this watch."""
    store = Store(":memory:")
    return ingest(store, "s", Batch(line, "1"), Intake(Stamps(UTC, NOW), journal=journal), watch, NOW), store


def test_what_happened_before_the_watch_is_told_late() -> None:
    """Of this machine only, and only what was before."""
    before = datetime(2026, 11, 23, 2, 5, 7, 123457, UTC)
    for late, host, marked in (
        (before, HOST, True),
        (before - timedelta(microseconds=1), HOST, False),
        (None, HOST, False),
        (before, Host("db01"), False),
    ):
        _, store = told_of(ALICE_IN, Watch(host, routes("feishu"), late=late))
        assert [alert_of(d).late for d in Outbox(store).deliveries()] == [marked]


def test_whose_key_it_was_is_stored_and_told_at_both_ends() -> None:
    """The logout knows it from its session."""

    def owner(user: Optional[str], key: Optional[str]) -> tuple[Optional[str], Optional[str]]:
        return (f"{user}!", f"{key}?"[:9])

    told, store = told_of(ALICE_IN + ALICE_OUT, Watch(HOST, routes("feishu"), owner))
    assert [(e.kind, e.person, e.comment) for e in told] == [
        (LOGIN, "alice!", "SHA256:WO"),
        (LOGOUT, "alice!", "SHA256:WO"),
    ]
    (session,) = store.sessions(everything=True)
    assert (session.person, session.comment) == ("alice!", "SHA256:WO")


def test_a_line_of_this_machine_is_of_its_boot() -> None:
    """Or of an earlier one, by the moment of the boot; another machine's is of none that we know."""
    then = datetime(2026, 11, 23, 2, 5, 7, 123456, UTC)
    for host, boot in (
        (Host("web01", (), "b1", then - timedelta(hours=1)), "b1"),
        (Host("web01", (), "b1", then + timedelta(seconds=3)), EARLIER),
        (Host("web01", (), "b1"), "b1"),
        (Host("db01", (), "b1"), None),
    ):
        _, store = told_of(ALICE_IN, Watch(host))
        assert [s.boot for s in store.sessions()] == [boot]


# -- who acted as whom


STAMP = b"2026-11-23T10:06:00+08:00 web01 "


def test_deeds_and_refusals_are_kept_and_those_on_a_terminal_told() -> None:
    """A refusal of su or sudo is no failed login."""
    told, store = told_of(
        STAMP
        + b"sudo:   alice : TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/true\n"
        + STAMP
        + b"sudo:   alice : PWD=/ ; USER=root ; COMMAND=/bin/false\n"
        + STAMP
        + b"su[7]: FAILED SU (to root) bob on pts/1\n",
        Watch(HOST, routes("feishu")),
    )
    assert [(e.kind, e.command) for e in told] == [("privilege", "/bin/true")]
    assert [(e.kind, e.service, e.user, e.target, e.command) for e in store.events()] == [
        ("privilege", "sudo", "alice", "root", "/bin/true"),
        ("privilege", "sudo", "alice", "root", "/bin/false"),
        ("failed", "su", "bob", "root", None),
    ]
    assert store.failures() == []


def entry(message: str, tag: str = "sshd", at: int = 0, **fields: str) -> bytes:
    """An entry of the journal, that many seconds after the first."""
    whole = {
        "SYSLOG_IDENTIFIER": tag,
        "SYSLOG_PID": "101",
        "MESSAGE": message,
        "_PID": "101",
        "_UID": "0",
        "_TRANSPORT": "syslog",
        "_BOOT_ID": "b1",
        "_HOSTNAME": "web01",
        "__REALTIME_TIMESTAMP": str(1795400000000000 + at * 10**6),
        **fields,
    }
    return json.dumps(whole).encode() + b"\n"


IN = entry("Accepted password for alice from 203.0.113.5 port 40001 ssh2")
KNOWN = entry("pam_unix(sshd:session): session opened for user alice(uid=2001) by (uid=0)")


@pytest.mark.parametrize("message", ["FAILED SU (to root) alice on pts/1", "(to root) alice on pts/1"])
@pytest.mark.parametrize(
    ("fields", "said"),
    [({"_UID": "2001"}, 1), ({"_UID": "2003"}, 0), ({"_UID": "2003", "_SYSTEMD_OWNER_UID": "2001"}, 1), ({}, 1)],
)
@pytest.mark.parametrize("by", ["uid", "session"])
def test_a_user_s_process_speaks_of_that_user_only(message: str, fields: dict[str, str], said: int, by: str) -> None:
    """By the account's uid, or by a session of that uid; what it says of others is dropped."""
    line = entry(message, "su", 1, **fields)
    uids = {"alice": 2001}.get if by == "uid" else (lambda _user: None)
    batch = line if by == "uid" else IN + KNOWN + line
    _, store = told_of(batch, Watch(HOST, routes("feishu"), uid_of=uids), journal=True)
    assert len(store.events()) == said
    assert [e.user for e in store.events()] == ["alice"] * said


# -- boots


def test_another_boot_in_the_journal_ends_what_was_on() -> None:
    """A crash lies between the last record before and the first behind; a shutdown was announced."""
    down = {"_TRANSPORT": "journal", "_PID": "37"}
    said = entry("The system will reboot now!", "systemd-logind", 30, **down).replace(b'"SYSLOG_PID": "101", ', b"")
    noise = entry("noise", at=60)
    other = entry("Server listening on :: port 22.", at=90, _BOOT_ID="b2")
    for batch, reason, end, until in ((IN + noise + other, "crash", 60, 90), (IN + said + other, "shutdown", 30, None)):
        told, store = told_of(batch, Watch(HOST, routes("feishu")), journal=True)
        (_, logout) = told
        assert (logout.end_reason, logout.user) == (reason, "alice")
        assert (logout.time - (logout.start or logout.time)).total_seconds() == end
        assert (logout.until is None) == (until is None)
        if logout.until is not None and until is not None:
            assert (logout.until - (logout.start or logout.until)).total_seconds() == until
        assert store.sessions() == []


def test_the_first_record_after_a_start_ends_nothing() -> None:
    """What was on before is held against the system; a line that is no record is nobody's."""
    told, store = told_of(b"nonsense\n\n" + IN, Watch(HOST, routes("feishu")), journal=True)
    assert [e.kind for e in told] == [LOGIN]
    again = Intake(Stamps(UTC, NOW), journal=True)
    assert (
        ingest(store, "s", Batch(entry("x", at=9, _BOOT_ID="b2"), "2"), again, Watch(HOST, routes("feishu")), NOW) == []
    )
    assert len(store.sessions()) == 1


# -- the comparison with the system


SEAT = Seat(7, 500, NOW, "bob", "sshd", "203.0.113.9", tty="pts/2", id="c2")


def compared(
    store: Store, *looks: tuple[System, int], since: datetime = NOW, lines: Sequence[Event] = ()
) -> tuple[list[Event], list[list[Seat]]]:
    """What several looks tell, and which seats were asked about."""
    watch = Watch(Host("web01", ("192.0.2.10",)), routes("feishu"), lambda user, _key: (f"{user}!", None))
    look, told, asked = first_look(NOW), [], []

    def inquire(seats: Sequence[Seat]) -> tuple[Sequence[Seat], Sequence[Event]]:
        asked.append(list(seats))
        return [seat._replace(source_port=1) for seat in seats], lines

    for system, at in looks:
        now = NOW + timedelta(seconds=at)
        found = strangers(store, system, look)
        events, look = compare(
            store, "s", system, watch, look, now, inquire(found) if found else ((), ()), reason="vanished", since=since
        )
        told += events
    return told, asked


def empty() -> Store:
    """Return a store that has read nothing yet."""
    store = Store(":memory:")
    with store.transaction() as tx:
        tx.checkpoint("s", "1", NOW)
    return store


def test_a_session_that_is_gone_twice_is_told_and_committed() -> None:
    """And the looks are noted as watching."""
    _, store = told_of(ALICE_IN, Watch(HOST))
    gone = System((), {})
    told, asked = compared(store, (gone, 60), (gone, 65), (gone, 125))
    assert [(e.kind, e.user, e.end_reason) for e in told] == [(LOGOUT, "alice", "vanished")]
    assert [alert_of(d).event.kind for d in Outbox(store).deliveries()] == [LOGOUT]
    assert store.sessions() == []
    assert asked == []
    assert store.watched() == ("s", NOW + timedelta(seconds=125))


def test_who_is_on_unknown_twice_is_asked_about_and_told_once() -> None:
    """With what was found out of him."""
    store = empty()
    here = System((SEAT,), {7: (500, NOW)})
    assert compared(store, (here, 50)) == ([], [])  # the log may tell it in a moment
    told, asked = compared(store, (here, 60), (here, 65), (here, 70))
    assert asked == [[SEAT]]
    assert [(e.kind, e.user, e.source_port, e.person) for e in told] == [(LOGIN, "bob", 1, "bob!")]
    (session,) = store.sessions()
    assert (session.leader, session.begun, session.seat, session.person) == (7, 500, "c2", "bob!")


def test_who_was_on_before_the_first_start_is_taken_over_without_a_word() -> None:
    """He is history, and his logout will be told."""
    store = empty()
    here = System((SEAT,), {7: (500, NOW)})
    told, _ = compared(store, (here, 60), (here, 65), since=NOW + timedelta(seconds=1))
    assert told == []
    assert [s.user for s in store.sessions()] == ["bob"]


def test_who_has_just_gone_is_not_taken_for_new() -> None:
    """The log told login and logout; the process is a moment late."""
    store = empty()
    over = Session("00" * 8, "web01", "sshd", "bob", None, None, None, None, None, 7, NOW, NOW, "closed")
    with store.transaction() as tx:
        tx.put(over)
    here = System((SEAT,), {7: (500, NOW)})
    assert compared(store, (here, 60), (here, 65)) == ([], [])
    assert store.sessions() == []


def test_a_line_that_the_log_still_has_tells_more_of_him() -> None:
    """Its key, its method and its moment."""
    store = empty()
    line = Event(LOGIN, NOW, "web01", "sshd", "bob", "203.0.113.9", 2, "publickey", "SHA256:k", pid=7, session="7" * 16)
    here = System((SEAT,), {7: (500, NOW)})
    told, _ = compared(store, (here, 60), (here, 65), lines=[line])
    assert [(e.key, e.source_port, e.session, e.tty) for e in told] == [("SHA256:k", 2, "7" * 16, "pts/2")]
