"""The state file: everything comes back as it went in, together or not at all; and what is not ours is left alone."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import alert_of, slots
from usm.core.alert import alert_for, dump
from usm.core.message import PENDING, SENT, Alert
from usm.core.model import CLOSED, LOGIN, LOGOUT, WARNING, Event, Failure, Host, Session
from usm.errors import StoreError
from usm.outbox import Outbox
from usm.schema import MIGRATIONS
from usm.store import APPLICATION_ID, Store

UTC = timezone.utc
NOW = datetime(2026, 11, 23, 2, 5, 7, 123456, UTC)
CST = timezone(timedelta(hours=8))
ALICE = Session(
    "00c0ffee00c0ffee",
    "web01",
    "sshd",
    "alice",
    "203.0.113.5",
    43867,
    "publickey",
    "SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME",
    None,
    125,
    NOW,
)
BARE = Session("ffffffffffffffff", "h", "sshd", "", None, None, None, None, None, None, NOW)
ROOT = os.geteuid() == 0


def open_with(path: Path, *sessions: Session) -> Store:
    """Return a store that holds these sessions."""
    store = Store(str(path))
    with store.transaction() as tx:
        for session in sessions:
            tx.put(session)
    return store


def login(number: int = 1, user: str = "alice") -> Alert:
    """Return an alert; its number makes it one of a kind."""
    event = Event(LOGIN, NOW, "web01", "sshd", user, "203.0.113.5", 40000 + number, "password", pid=number)
    alert = alert_for(event, Host("web01", ("192.0.2.10",)))
    assert alert is not None
    return alert


def enqueue(store: Store, count: int, *channels: str) -> None:
    """Put that many alerts into the outbox of the channels."""
    with store.transaction() as tx:
        for number in range(1, count + 1):
            tx.enqueue(login(number), slots(NOW, *(channels or ("feishu",))), NOW)


# -- what goes in comes out


@pytest.mark.parametrize(
    "session",
    [
        ALICE,
        BARE,
        ALICE._replace(source_ip="2001:db8::7%eth0", source_port=65535, leader=2**31),
        ALICE._replace(user="王小明", key="CORP\\bob ID 7", tty="pts/0"),
        ALICE._replace(user="a\0b\n\t'\"; DROP TABLE session; --"),
        ALICE._replace(id="8000000000000000"),
        ALICE._replace(end=NOW + timedelta(days=400, microseconds=1), end_reason=CLOSED),
        ALICE._replace(start=datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
        ALICE._replace(start=datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)),
    ],
)
def test_a_session_comes_back_as_it_was_put(tmp_path: Path, session: Session) -> None:
    """Every field survives: addresses of both kinds, absent facts, strange names, microseconds, long sessions."""
    store = open_with(tmp_path / "state.db", session)
    assert store.sessions(everything=True) == [session]


def test_a_time_in_another_zone_is_the_same_moment(tmp_path: Path) -> None:
    """Times are stored as moments: the offset of the log line is not kept."""
    store = open_with(tmp_path / "state.db", ALICE._replace(start=NOW.astimezone(CST)))
    assert [s.start.isoformat() for s in store.sessions()] == ["2026-11-23T02:05:07.123456+00:00"]


@settings(deadline=None)
@given(
    st.builds(
        Session,
        st.binary(min_size=8, max_size=8).map(bytes.hex),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.just("sshd"),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.none() | st.ip_addresses().map(str),
        st.none() | st.integers(0, 65535),
        st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        st.none() | st.integers(0, 9_999_999_999),
        st.datetimes(timezones=st.just(UTC)),
        st.none() | st.datetimes(timezones=st.just(UTC)),
        st.none() | st.just("reset"),
        until=st.none() | st.datetimes(timezones=st.just(UTC)),
        person=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        comment=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        uid=st.none() | st.integers(0, 2**32 - 1),
        seat=st.none() | st.just("c1"),
        boot=st.none() | st.just("b" * 32),
        begun=st.none() | st.integers(0, 2**62),
        hint=st.none() | st.just("terminated"),
        hinted=st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)
def test_any_session_comes_back(session: Session) -> None:
    """Whatever a session holds comes back unchanged."""
    store = Store(":memory:")
    with store.transaction() as tx:
        tx.put(session)
    assert store.sessions(everything=True) == [session]
    store.close()


def test_a_failure_comes_back_with_all_who_were_tried(tmp_path: Path) -> None:
    """A folded failure keeps its names, methods and counts."""
    failure = Failure(
        "web01",
        "sshd",
        "2001:db8::bad",
        NOW,
        NOW + timedelta(seconds=9),
        (("root", "password", False, 12), ("管理员\\", None, True, 1)),
    )
    unknown = Failure("web01", "sshd", None, NOW + timedelta(seconds=1), NOW, (("", "none", True, 3),))
    store = Store(str(tmp_path / "state.db"))
    with store.transaction() as tx:
        tx.add_failures([failure, unknown])
    assert store.failures() == [failure, unknown]


def test_an_alert_comes_back_from_the_outbox(tmp_path: Path) -> None:
    """A delivery holds the whole alert, with the offsets that its times had in the log."""
    event = Event(
        LOGOUT,
        NOW.astimezone(CST),
        "web01",
        "sshd",
        "王\\小",
        "2001:db8::7",
        1,
        "publickey",
        "SHA256:x",
        "pts/1",
        7,
        "00c0ffee00c0ffee",
        NOW.astimezone(CST) - timedelta(days=500),
        43200000.5,
        "reset",
        until=NOW,
    )
    alert = Alert("0011223344556677", event, WARNING, "192.0.2.10")
    store = Store(str(tmp_path / "state.db"))
    with store.transaction() as tx:
        tx.enqueue(alert, slots(NOW, "feishu", "night-shift"), NOW)
    first, second = Outbox(store).deliveries()
    assert (first.message, first.channel, first.state, first.attempts, first.due, first.plain) == (
        alert,
        "feishu",
        PENDING,
        0,
        NOW,
        False,
    )
    assert (second.message, second.channel) == (alert, "night-shift")
    assert alert_of(first).event.time.isoformat() == "2026-11-23T10:05:07.123456+08:00"


def test_the_open_sessions_are_the_default(tmp_path: Path) -> None:
    """A session that ended is shown only when everything is asked for, and the oldest comes first."""
    old = ALICE._replace(id="0000000000000001", start=NOW - timedelta(days=1))
    ended = BARE._replace(end=NOW, end_reason="disconnected")
    store = open_with(tmp_path / "state.db", ALICE, ended, old)
    assert [s.id for s in store.sessions()] == ["0000000000000001", "00c0ffee00c0ffee"]
    assert len(store.sessions(everything=True)) == 3


def test_closing_a_session_changes_only_its_end(tmp_path: Path) -> None:
    """A session is closed in place."""
    store = open_with(tmp_path / "state.db", ALICE)
    with store.transaction() as tx:
        tx.put(ALICE._replace(user="someone else", end=NOW, end_reason="timeout"))
    assert store.sessions(everything=True) == [ALICE._replace(end=NOW, end_reason="timeout")]


# -- the place in the log


def test_a_source_that_was_never_read_has_no_place(tmp_path: Path) -> None:
    """None tells that reading never began."""
    assert Store(str(tmp_path / "state.db")).cursor("file:/var/log/auth.log") is None


def test_every_source_has_its_own_place_and_the_last_one_counts(tmp_path: Path) -> None:
    """A checkpoint replaces the one before it."""
    store = Store(str(tmp_path / "state.db"))
    for cursor in ("one", "two"):
        with store.transaction() as tx:
            tx.checkpoint("file:a", cursor, NOW)
    with store.transaction() as tx:
        tx.checkpoint("file:b", "other", NOW)
    assert [store.cursor("file:a"), store.cursor("file:b")] == ["two", "other"]


def test_an_exception_undoes_everything_of_its_transaction(tmp_path: Path) -> None:
    """Sessions, failures, messages and the place in the log: nothing of a failed batch is there."""
    store = Store(str(tmp_path / "state.db"))
    with pytest.raises(KeyError), store.transaction() as tx:  # noqa: PT012 - the exception comes last
        tx.put(ALICE)
        tx.flush()
        tx.add_failures([Failure("h", "sshd", None, NOW, NOW, (("x", None, True, 1),))])
        tx.enqueue(login(), slots(NOW, "feishu"), NOW)
        tx.checkpoint("file:a", "1", NOW)
        raise KeyError
    assert store.sessions(everything=True) == []
    assert store.failures() == []
    assert Outbox(store).deliveries() == []
    assert store.cursor("file:a") is None
    with store.transaction() as tx:  # and the next one works
        tx.checkpoint("file:a", "2", NOW)
    assert store.cursor("file:a") == "2"


# -- which open sessions an event asks for


def evidence(**facts: object) -> Event:
    """Return a logout's evidence with these facts."""
    return Event(LOGOUT, NOW, "web01", "sshd", **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("event", "found"),
    [
        (evidence(pid=125), [ALICE]),
        (evidence(pid=126), []),
        (evidence(source_ip="203.0.113.5", source_port=43867), [ALICE]),
        (evidence(source_ip="203.0.113.5", source_port=43868, pid=125), []),
        (evidence(source_ip="203.0.113.5", pid=999), [ALICE]),
        (evidence(source_ip="198.51.100.1", pid=125), [ALICE]),
        (evidence(source_ip="198.51.100.1", pid=999), []),
        (evidence(pid=125)._replace(host="db01"), []),
        (evidence(pid=125)._replace(kind=LOGIN, source_ip="198.51.100.1", source_port=1), [ALICE]),
        (evidence(pid=1)._replace(kind=LOGIN, source_ip="203.0.113.5", source_port=43867), [ALICE]),
        (evidence(pid=125)._replace(kind=LOGIN, source_ip="203.0.113.5", source_port=43867), [ALICE]),
        (evidence(pid=1)._replace(kind=LOGIN), []),
    ],
)
def test_related_sessions_share_leader_or_address(
    tmp_path: Path, event: Event, found: list[Session], *, stored: bool, preload: bool
) -> None:
    """The answer is the same whether the session was committed before, or opened by this very batch, or preloaded."""
    ended = ALICE._replace(id="0000000000000007", end=NOW, end_reason="reset")
    store = open_with(tmp_path / "state.db", *([ended, ALICE] if stored else []))
    with store.transaction() as tx:
        if preload:
            tx.preload()
        if not stored:
            tx.put(ended)
            tx.put(ALICE)
        assert tx.related(event) == found
        assert tx.related(event) == found


def test_more_open_sessions_than_are_preloaded_are_still_found(tmp_path: Path) -> None:
    """What did not fit into the preload is looked up one by one."""
    many = [
        ALICE._replace(id=f"{number:016x}", leader=number, source_port=number, start=NOW + timedelta(seconds=number))
        for number in range(1, 5003)
    ]
    store = open_with(tmp_path / "state.db", *many)
    with store.transaction() as tx:
        tx.preload()
        found = [tx.related(evidence(pid=number))[0].leader for number in (1, 2, 5001, 5002)]
    assert found == [1, 2, 5001, 5002]


# -- files


def test_an_empty_file_is_filled_in(tmp_path: Path) -> None:
    """An empty file and a missing one both become a state file of ours."""
    (tmp_path / "empty.db").touch()
    for name in ("empty.db", "missing.db"):
        store = Store(str(tmp_path / name))
        store.check()
        assert store.sessions() == []
        db = sqlite3.connect(str(tmp_path / name))
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        db.close()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    """Migrations run once."""
    open_with(tmp_path / "state.db", ALICE).close()
    assert Store(str(tmp_path / "state.db")).sessions() == [ALICE]


def test_nobody_else_may_read_a_new_state_file(tmp_path: Path) -> None:
    """Who was on is nobody else's business, whatever the umask."""
    before = os.umask(0)
    try:
        store = open_with(tmp_path / "state.db", ALICE)
        modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in os.listdir(tmp_path)}
    finally:
        os.umask(before)
    store.close()
    assert modes == {"state.db": 0o640, "state.db-wal": 0o640, "state.db-shm": 0o640}


def foreign(path: Path) -> None:
    """Make another program's database."""
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE contacts (name TEXT); INSERT INTO contacts VALUES ('x');")
    db.close()


def marked(path: Path) -> None:
    """Make another program's database that has a mark and nothing else."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA application_id = 252006673")
    db.close()


def newer(path: Path) -> None:
    """Make a state file of a later version."""
    Store(str(path)).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()


def text(path: Path) -> None:
    """Make a file that is no database."""
    path.write_text("This is not a database, however long one looks at it.\n" * 100)


def headless(path: Path) -> None:
    """Make a state file whose first page is gone."""
    Store(str(path)).close()
    path.write_bytes(b"\xff" * 4096 + path.read_bytes()[4096:])


def directory(path: Path) -> None:
    """Make a directory."""
    path.mkdir()


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (foreign, "is another program's database; set `state:` in the configuration to a path of our own"),
        (marked, "is another program's database"),
        (newer, "was written by a newer version (schema 6, this one knows 5); install that version again"),
        (text, "file is not a database; it is damaged: restore it from a backup, or move it away"),
        (headless, "it is damaged: restore it from a backup, or move it away to start with empty state"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], None], said: str, *, readonly: bool
) -> None:
    """Nothing is written to it, and the operator is told what to do."""
    path = tmp_path / "state.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        Store(str(path), readonly=readonly)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("readonly", [False, True])
def test_a_directory_is_no_state_file(tmp_path: Path, *, readonly: bool) -> None:
    """A directory in its place is named, with what to do."""
    path = tmp_path / "state.db"
    directory(path)
    with pytest.raises(StoreError, match=r"state file .*state\.db: .*; check "):
        Store(str(path), readonly=readonly)


@pytest.mark.parametrize("readonly", [False, True])
def test_a_missing_directory_is_named(tmp_path: Path, *, readonly: bool) -> None:
    """The path is told, and that its directory must exist."""
    with pytest.raises(StoreError, match="check that its directory exists and that this user may write there"):
        Store(str(tmp_path / "no" / "state.db"), readonly=readonly)


def test_damage_in_the_middle_is_found_by_the_check(tmp_path: Path) -> None:
    """Flipped bytes may go unnoticed for long; `check` reads everything."""
    path = tmp_path / "state.db"
    many = [ALICE._replace(id=f"{n:016x}", leader=n, source_port=n) for n in range(500)]
    open_with(path, *many).close()
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data) - 4096, 512):
        data[at : at + 16] = b"\xa5" * 16
    path.write_bytes(data)
    store = Store(str(path), readonly=True)
    with pytest.raises(StoreError, match="it is damaged: restore it from a backup"):
        store.check()


def test_reading_does_not_write(tmp_path: Path) -> None:
    """A store that was opened for reading reads what another writes, and can't change it."""
    path = tmp_path / "with space %41?#.db"
    writer = open_with(path, ALICE)
    reader = Store(str(path), readonly=True)
    assert reader.sessions() == [ALICE]
    with writer.transaction() as tx:
        tx.put(BARE)
    assert len(reader.sessions()) == 2
    with pytest.raises(StoreError, match="readonly database; check that"), reader.transaction() as tx:
        tx.checkpoint("file:a", "1", NOW)


def test_reading_does_not_make_a_file(tmp_path: Path) -> None:
    """A look at a state file that is not there leaves no file behind."""
    with pytest.raises(StoreError):
        Store(str(tmp_path / "state.db"), readonly=True)
    assert os.listdir(tmp_path) == []


# -- the disk and the neighbours


def test_a_full_disk_refuses_the_batch_and_later_takes_it(tmp_path: Path) -> None:
    """The error says to free space; nothing of the batch is there; the same batch succeeds when there is space."""
    store = open_with(tmp_path / "state.db", ALICE)
    store._db.execute("PRAGMA max_page_count = 20").fetchone()
    batch = [Failure("web01", "sshd", "198.51.100.23", NOW, NOW, (("x" * 3000, None, True, n),)) for n in range(100)]
    with pytest.raises(StoreError, match="is full; free space on its disk"), store.transaction() as tx:  # noqa: PT012 - the last one
        tx.put(BARE)
        tx.checkpoint("file:a", "1", NOW)
        tx.add_failures(batch)
    assert (store.sessions(), store.failures(), store.cursor("file:a")) == ([ALICE], [], None)
    store._db.execute("PRAGMA max_page_count = 100000").fetchone()
    with store.transaction() as tx:
        tx.put(BARE)
        tx.checkpoint("file:a", "1", NOW)
        tx.add_failures(batch)
    assert (len(store.sessions()), len(store.failures()), store.cursor("file:a")) == (2, 100, "1")


@pytest.mark.parametrize("limit", [0, 4096, 30000])
def test_a_limit_on_file_sizes_is_told_like_a_disk_error(tmp_path: Path, limit: int) -> None:
    """Where the kernel refuses to let the file grow, the batch fails whole with a StoreError, at any point."""
    path = str(tmp_path / "state.db")
    open_with(tmp_path / "state.db", ALICE)
    child = os.fork()
    if child == 0:  # the limit can't be taken back, so a child bears it
        code = 9
        try:
            code = write_with_limit(path, limit)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store = Store(path)
    store.check()
    assert (store.sessions(), store.failures(), store.cursor("file:a")) == ([ALICE], [], None)


def write_with_limit(path: str, limit: int) -> int:
    """Return 0 if a batch that can't fit is refused as it should be."""
    import resource  # noqa: PLC0415 - only the child needs it
    import signal  # noqa: PLC0415 - as above

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = Store(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with store.transaction() as tx:
            tx.checkpoint("file:a", "1", NOW)
            tx.add_failures([Failure("h", "sshd", None, NOW, NOW, (("x" * 90000, None, True, 1),))])
    except StoreError as error:
        return 0 if "check the disk" in str(error) or "free space" in str(error) else 1
    return 2


def test_a_writer_that_does_not_let_go_is_named(tmp_path: Path) -> None:
    """A lock that is held too long ends in a question that helps."""
    path = tmp_path / "state.db"
    holder, store = open_with(path, ALICE), Store(str(path))
    store._db.execute("PRAGMA busy_timeout = 0")
    with holder.transaction():
        with pytest.raises(StoreError, match="is a second monitor running"), store.transaction():
            pass
        assert store.sessions() == [ALICE]  # reading goes on


def test_another_process_that_comes_and_goes_takes_nothing_away(tmp_path: Path) -> None:
    """While the monitor has several connections, `usm outbox` opens the file and closes it: what follows is kept.

    SQLite's last connection deletes its log. Were our locks lost, the visitor would think that it was the last.
    """
    path = str(tmp_path / "state.db")
    connections = [Store(path), Store(path), Store(path)]
    visit = f"from usm.store import Store; s = Store({path!r}); print([x.user for x in s.sessions()]); s.close()"
    call = [sys.executable, "-c", visit]
    seen = []
    for number, store in enumerate(connections):
        with store.transaction() as tx:
            tx.put(ALICE._replace(id=f"{number:016x}", user=f"user{number}", leader=number, source_port=number))
        seen.append(subprocess.run(call, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert seen == ["['user0']\n", "['user0', 'user1']\n", "['user0', 'user1', 'user2']\n"]


def test_two_threads_write_through_their_own_connections(tmp_path: Path) -> None:
    """The reading side commits batches while a worker settles deliveries, and neither sees an error or loses a row."""
    path = str(tmp_path / "state.db")
    left, right = Store(path), Store(path)
    enqueue(left, 50)
    errors: list[BaseException] = []

    def deliver() -> None:
        try:
            for _ in range(50):
                delivery = Outbox(right).first("feishu")
                assert delivery is not None
                Outbox(right).settle(delivery._replace(state=SENT, attempts=1), NOW)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            errors.append(error)

    thread = threading.Thread(target=deliver)
    thread.start()
    for number in range(50):
        with left.transaction() as tx:
            tx.put(ALICE._replace(id=f"{number:016x}", leader=number, source_port=number))
            tx.checkpoint("file:a", str(number), NOW)
    thread.join()
    assert errors == []
    assert (len(left.sessions()), Outbox(left).deliveries(), left.cursor("file:a")) == (50, [], "49")


@pytest.mark.skipif(not ROOT, reason="needs to become another user")
def test_a_user_without_permission_is_told_so() -> None:
    """Neither a file nor a directory of somebody else is opened for writing."""
    said: list[str] = []
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are closed to others
        os.chmod(directory, 0o755)
        open_with(Path(directory, "state.db"), ALICE).close()
        os.setegid(65534)
        os.seteuid(65534)
        try:
            for name in ("state.db", "new.db"):
                with pytest.raises(StoreError) as caught:
                    Store(os.path.join(directory, name))
                said.append(str(caught.value))
        finally:
            os.seteuid(0)
            os.setegid(0)
    assert all("this user may write there" in text for text in said)


# -- sessions that a batch asks for


def related(store: Store, event: Event) -> set[str]:
    """The first digits of the sessions that are related to an event."""
    with store.transaction() as tx:
        return {session.id[0] for session in tx.related(event)}


def test_what_is_related_to_evidence(tmp_path: Path) -> None:
    """By seat, by machine, by service and user, by leader, by address; and never of another machine."""
    one = ALICE._replace(id="1" * 16, seat="c1", uid=2001)
    two = BARE._replace(id="2" * 16, host="web01", service="login", user="alice", uid=2001)
    three = BARE._replace(id="3" * 16, host="web01", service="login", user="bob", leader=7, seat="c3")
    other = ALICE._replace(id="4" * 16, host="db01", seat="c1", uid=2001)
    closed = ALICE._replace(id="5" * 16, leader=9, source_port=1, seat="c1", end=NOW, end_reason=CLOSED)
    store = open_with(tmp_path / "state.db", one, two, three, other, closed)
    hint = Event("hint", NOW, "web01", "", end_reason="terminated")
    assert related(store, hint._replace(seat="c1")) == {"1"}
    assert related(store, hint) == {"1", "2", "3"}
    assert related(store, hint._replace(pid=7)) == {"3"}
    logout = Event(LOGOUT, NOW, "web01", "login", "alice", end_reason="disconnected")
    assert related(store, logout) == {"2"}
    assert related(store, logout._replace(pid=7)) == {"3"}
    assert related(store, logout._replace(pid=9)) == set()
    assert related(store, logout._replace(service="sshd", source_ip=ALICE.source_ip, source_port=43867)) == {"1"}
    assert related(store, logout._replace(service="sshd", source_ip=ALICE.source_ip, pid=7)) == {"1", "3"}
    login_ = Event(LOGIN, NOW, "web01", "login", "alice", session="6" * 16)
    assert related(store, login_) == {"2"}
    assert related(store, login_._replace(session="5" * 16)) == {"5"}
    with store.transaction() as tx:
        assert [s.id[0] for s in tx.of_uid("web01", 2001)] == ["1", "2"]
        assert tx.of_uid("web01", None) == []
        assert {s.id[0] for s in tx.open()} == {"1", "2", "3", "4"}


def test_a_leader_is_known_after_its_session_ended(tmp_path: Path) -> None:
    """Who has just gone is not adopted again; a later process of the same pid may be."""
    store = open_with(tmp_path / "state.db", ALICE._replace(end=NOW, end_reason=CLOSED))
    assert store.was_led(125, NOW)
    assert not store.was_led(125, NOW + timedelta(seconds=1))
    assert not store.was_led(126, NOW)
    with store.transaction() as tx:
        tx.put(BARE._replace(leader=126))
    assert store.was_led(126, NOW)


def test_what_becomes_known_of_a_session_later_is_written(tmp_path: Path) -> None:
    """Terminal, leader, seat, hint, the window of its end; who it was never changes."""
    later = ALICE._replace(
        source_ip="203.0.113.6", tty="pts/1", leader=126, uid=1, seat="c1", boot="b", begun=5, hint="reset", hinted=NOW
    )._replace(end=NOW, end_reason="vanished", until=NOW + timedelta(seconds=60))
    store = open_with(tmp_path / "state.db", ALICE)
    with store.transaction() as tx:
        tx.put(later._replace(person="x", method="none"))
    assert store.sessions(everything=True) == [later]


# -- who acted as whom; and until when was watched


def test_events_come_back_oldest_first(tmp_path: Path) -> None:
    """All that is stored of a deed and of a refusal."""
    acted = Event(
        "privilege", NOW, "web01", "sudo", "alice", tty="pts/1", pid=7, target="root", command="/bin/sh -c '王'"
    )
    refused = Event("failed", NOW - timedelta(seconds=1), "web01", "su", "bob", count=3, target="root")
    store = Store(str(tmp_path / "state.db"))
    with store.transaction() as tx:
        tx.add_event(acted)
        tx.add_event(refused)
        tx.add_event(acted._replace(tty=None, pid=None, target=None, command=None))
    found = store.events()
    assert found[:2] == [refused, acted]
    assert found[2].target is None


def test_until_when_a_source_was_watched(tmp_path: Path) -> None:
    """The last one counts; a look moves the time on, and not the place."""
    store = Store(str(tmp_path / "state.db"))
    assert store.watched() is None
    with store.transaction() as tx:
        tx.checkpoint("file:a", "one", NOW)
        tx.checkpoint("journal", "two", NOW - timedelta(seconds=5))
    assert store.watched() == ("file:a", NOW)
    with store.transaction() as tx:
        tx.watched("journal", NOW + timedelta(seconds=60))
        tx.watched("file:unknown", NOW + timedelta(days=1))
    assert store.watched() == ("journal", NOW + timedelta(seconds=60))
    assert store.cursor("journal") == "two"


def test_an_older_state_file_is_brought_up_to_date_and_keeps_all(tmp_path: Path) -> None:
    """Sessions, failures, messages and the place of the first schema are there after the second."""
    path = tmp_path / "state.db"
    db = sqlite3.connect(path)
    db.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1; PRAGMA application_id = {APPLICATION_ID};")
    micros = (NOW - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    number = int.from_bytes(bytes.fromhex(ALICE.id), "big", signed=True)
    db.execute(f"INSERT INTO session VALUES ({', '.join('?' * 13)})", (number, *ALICE[1:10], micros, None, None))
    db.execute("INSERT INTO checkpoint VALUES ('file:a', 'here', ?)", (micros,))
    who = '[["root", "password", false, 2]]'
    db.execute("INSERT INTO failure VALUES (1, 'web01', 'sshd', '203.0.113.5', ?, ?, 2, ?)", (micros, micros, who))
    alert = login()
    db.execute("INSERT INTO alert VALUES (1, ?)", (dump(alert),))
    db.execute(f"INSERT INTO outbox VALUES (1, 1, 'feishu', '{PENDING}', 0, ?, 0, NULL, NULL, NULL)", (micros,))
    db.commit()
    db.close()
    for _ in range(2):  # and is not migrated again
        store = Store(str(path))
        assert store.sessions() == [ALICE]
        assert store.failures() == [
            Failure("web01", "sshd", "203.0.113.5", NOW, NOW, (("root", "password", False, 2),))
        ]
        assert [d.message for d in Outbox(store).deliveries()] == [alert]
        assert (store.cursor("file:a"), store.watched()) == ("here", ("file:a", NOW))
        assert store.events() == []
        store.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    db.close()


def test_a_forgotten_store_may_be_closed_by_any_thread(tmp_path: Path) -> None:
    """The garbage collector runs in whichever thread it likes."""
    path = str(tmp_path / "state.db")
    Store(path).close()
    for readonly in (False, True):
        forgotten = [Store(path, readonly=readonly)]
        thread = threading.Thread(target=forgotten.clear)
        thread.start()
        thread.join()
        assert forgotten == []
