"""What judging remembers: written once a transaction, the same when read back, and bounded."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from usm import history
from usm.core.incident import Incident
from usm.core.profile import KEY, MOST, Seen
from usm.core.recent import Entry
from usm.history import Judgement, begin, judgements, known, latest, learned_since, merge, profiles
from usm.retention import prune
from usm.store import Store

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)
ID, SESSION, OTHER = "ff" * 8, "00c0ffee00c0ffee", "01" * 8


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store(str(tmp_path / "state.db"))


def count(store: Store, table: str) -> int:
    """Return how many rows a table has."""
    with store.reading() as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_profile_comes_back(store: Store) -> None:
    """Of its host and user only; what was learned is there within the transaction too."""
    with store.transaction() as tx:
        tx.history.profile("web01", "alice", 0).learn(KEY, 5, "a")
        tx.history.profile("web01", "alice", 0).learn(KEY, 7, "a")
        tx.history.profile("web02", "alice", 0).learn(KEY, 9, 'b"\u5f20')
        assert tx.history.profile("web01", "alice", 0).count(KEY, "a") == 2
    with store.transaction() as tx:
        assert tx.history.profile("web01", "alice", 0).values(KEY) == {"a": Seen(5, 7, 2)}
        assert tx.history.profile("web02", "alice", 0).values(KEY) == {'b"\u5f20': Seen(9, 9, 1)}
        assert tx.history.profile("web01", "bob", 0).values(KEY) == {}
        assert tx.history.profile("web01", "ALICE", 0).values(KEY) == {}


def test_a_profile_is_bounded_in_the_file_too(store: Store) -> None:
    """What makes room is removed, over however many transactions."""
    for round_ in range(3):
        with store.transaction() as tx:
            for n in range(100):
                tx.history.profile("web01", "alice", 0).learn(KEY, round_ * 100 + n, f"k{round_ * 100 + n}")
    assert count(store, "seen") == MOST
    with store.transaction() as tx:
        assert list(tx.history.profile("web01", "alice", 0).values(KEY)) == [f"k{n}" for n in range(172, 300)]


def test_what_is_too_old_is_not_read(store: Store) -> None:
    """It counts as never seen."""
    with store.transaction() as tx:
        tx.history.profile("web01", "alice", 0).learn(KEY, 5, "a")
    with store.transaction() as tx:
        assert tx.history.profile("web01", "alice", 6).values(KEY) == {}


def test_nothing_is_written_where_the_transaction_fails(store: Store) -> None:
    """All or nothing."""

    def fail() -> None:
        with store.transaction() as tx:
            tx.history.profile("web01", "alice", 0).learn(KEY, 5, "a")
            tx.history.since(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert count(store, "seen") == 0
    with store.reading() as db:
        assert learned_since(db) is None


def test_a_window_comes_back_if_it_was_touched(store: Store) -> None:
    """Each scope, host and name has its own."""
    with store.transaction() as tx:
        tx.history.recent("source", "web01", "a").add(Entry(1, 2, "x", 1))
        tx.history.touch("source", "web01", "a", 1)
        tx.history.recent("user", "web01", "a").add(Entry(1, 1))
    with store.transaction() as tx:
        assert tx.history.recent("source", "web01", "a").entries == [Entry(1, 2, "x", 1)]
        assert tx.history.recent("user", "web01", "a").entries == []


def test_a_million_sources_fill_neither_file_nor_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows that were quiet for longest are forgotten, in every batch again."""
    monkeypatch.setattr(history, "MOST_RECENT", 200)
    monkeypatch.setattr(history, "_MORE", 50)
    for batch in range(20):
        with store.transaction() as tx:
            for n in range(batch * 100, batch * 100 + 100):
                tx.history.recent("source", "web01", str(n)).add(Entry(n, 1))
                tx.history.touch("source", "web01", str(n), n)
        assert count(store, "recent") <= 250
    with store.reading() as db:
        (oldest,) = db.execute("SELECT min(last) FROM recent").fetchone()
    assert oldest == 2000 - count(store, "recent")


def test_small_batches_are_bounded_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source a second for weeks: each batch writes one window."""
    monkeypatch.setattr(history, "MOST_RECENT", 50)
    monkeypatch.setattr(history, "_MORE", 10)
    for n in range(200):
        with store.transaction() as tx:
            tx.history.recent("source", "web01", str(n)).add(Entry(n, 1))
            tx.history.touch("source", "web01", str(n), n)
    prune(store, datetime(1970, 1, 1, tzinfo=timezone.utc), timedelta(days=180))  # as once a minute
    assert count(store, "recent") == 50


def test_an_incident_comes_back(store: Store) -> None:
    """With the names that it has."""
    one = Incident(1, 2, 3, 4, 5, 6, ("a", "\u5f20"))
    with store.transaction() as tx:
        assert tx.history.incident("spraying", "web01", "") is None
        tx.history.put("spraying", "web01", "", one)
        assert tx.history.incident("spraying", "web01", "") == one
    with store.transaction() as tx:
        assert tx.history.incident("spraying", "web01", "") == one
        assert tx.history.incident("spraying", "web02", "") is None


def test_how_an_event_was_judged(store: Store) -> None:
    """By the id of its message, and of its session; the latest findings come first."""
    finding = {"rule": "root"}
    with store.transaction() as tx:
        tx.history.judged(Judgement(None, SESSION, None, [], [["root", "known", {}]]), 5)
        tx.history.judged(Judgement(ID, SESSION, {"kind": "logout"}, [finding], []), 9)
        tx.history.judged(Judgement(OTHER, None, {"kind": "finding"}, [finding], []), 7)
    with store.reading() as db:
        assert [one.event for one in judgements(db, SESSION, 5)] == [None, ID]
        assert [one.session for one in judgements(db, ID, None)] == [SESSION]
        assert judgements(db, "22" * 8, None) == []
        assert [one.event for one in latest(db, 9)] == [ID, OTHER]
        assert len(latest(db, 1)) == 1


def test_learning_began_when_the_first_thing_was_seen(store: Store) -> None:
    """The earliest counts, also one that is learned later."""
    with store.transaction() as tx:
        assert tx.history.since(50) == 50
        assert tx.history.since(90) == 50
    with store.transaction() as tx:
        assert tx.history.since(70) == 50
    with store.writing() as db:
        begin(db, 20)
        begin(db, 60)
        assert learned_since(db) == 20


def test_what_was_found_is_added_to_what_is_known(store: Store) -> None:
    """Counts are added, the span grows to both sides."""
    with store.transaction() as tx:
        tx.history.profile("web01", "alice", 0).learn(KEY, 50, "a", 2)
    rows = [("web01", "alice", KEY, "a", 10, 20, 5), ("web01", "bob", KEY, "b", 1, 2, 3)]
    with store.writing() as db:
        merge(db, rows, NOW - timedelta(days=9), {"done": "yes"})
        merge(db, [], None, {})
    with store.reading() as db:
        assert sorted(known(db)) == [("web01", "alice", KEY, "a", 10, 50, 7), ("web01", "bob", KEY, "b", 1, 2, 3)]
        assert profiles(db, "bob") == {"web01": [(KEY, "b", 1, 2, 3)]}
        assert profiles(db, "carol") == {}
        assert learned_since(db) == round((NOW - timedelta(days=9)).timestamp() * 1e6)
