"""The weekly review: begun when it is due, once; followed; tried again when it failed; with a real child at last."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Optional

import pytest

from usm.store import Store
from usm.weekly import Plan, Weekly, arguments

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

CST = timezone(timedelta(hours=8))
WEDNESDAY = datetime(2026, 11, 25, 12, tzinfo=CST)
MONDAY = datetime(2026, 11, 30, 7, tzinfo=CST)
PLAN = Plan(0, 7 * 60, "/srv/reports")
MINUTE = timedelta(minutes=1)


class Child:
    """What the reviews are made by, as far as it is looked at."""

    def __init__(self) -> None:
        self.code: Optional[int] = None
        self.killed = False

    def poll(self) -> Optional[int]:
        """Tell how it ended."""
        return self.code

    def kill(self) -> None:
        """End it."""
        self.killed, self.code = True, -9

    def wait(self) -> int:
        """Wait for it."""
        return self.code or 0


@pytest.fixture
def store() -> Iterator[Store]:
    """Return a state file in memory."""
    made = Store(":memory:")
    yield made
    made.close()


@pytest.fixture
def begun() -> list[tuple[list[str], Child]]:
    """Return what was begun."""
    return []


@pytest.fixture
def weekly(begun: list[tuple[list[str], Child]]) -> Weekly:
    """Begin nothing real."""

    def start(words: list[str]) -> subprocess.Popen[bytes]:
        child = Child()
        begun.append((words, child))
        return child  # type: ignore[return-value] # as far as it is looked at

    return Weekly(start)


def test_it_is_made_once_a_week(weekly: Weekly, store: Store, begun: list[tuple[list[str], Child]]) -> None:
    """From the first day on that has a whole week behind it, or at the next start."""
    weekly.look(store, PLAN, None, WEDNESDAY)
    weekly.look(store, PLAN, None, MONDAY - MINUTE)
    assert begun == []
    weekly.look(store, PLAN, None, MONDAY)
    assert len(begun) == 1
    begun[0][1].code = 0
    weekly.look(store, PLAN, None, MONDAY + MINUTE)
    weekly.look(store, PLAN, None, MONDAY + 2 * MINUTE)
    assert len(begun) == 1
    Weekly(weekly._start).look(store, PLAN, None, MONDAY + timedelta(days=9))
    assert len(begun) == 2


def test_one_that_fails_is_tried_again_in_an_hour(
    weekly: Weekly, store: Store, begun: list[tuple[list[str], Child]], caplog: pytest.LogCaptureFixture
) -> None:
    """And one that takes too long is ended."""
    weekly.look(store, PLAN, None, WEDNESDAY)
    weekly.look(store, PLAN, None, MONDAY)
    begun[0][1].code = 1
    weekly.look(store, PLAN, None, MONDAY + MINUTE)
    assert "of the week before 2026-11-30 could not be made (exit code 1); tried again in an hour" in caplog.text
    weekly.look(store, PLAN, None, MONDAY + 30 * MINUTE)
    assert len(begun) == 1
    weekly.look(store, PLAN, None, MONDAY + 62 * MINUTE)
    assert len(begun) == 2
    weekly.look(store, PLAN, None, MONDAY + 70 * MINUTE)
    assert not begun[1][1].killed
    weekly.look(store, PLAN, None, MONDAY + 73 * MINUTE)
    assert begun[1][1].killed


def test_a_child_ends_with_the_monitor(weekly: Weekly, store: Store, begun: list[tuple[list[str], Child]]) -> None:
    """The next start makes it."""
    weekly.look(store, PLAN, None, WEDNESDAY)
    weekly.look(store, PLAN, None, MONDAY)
    weekly.close()
    assert begun[0][1].killed
    weekly.close()


def test_nothing_without_a_plan(weekly: Weekly, store: Store, begun: list[tuple[list[str], Child]]) -> None:
    """Nor is anything noted."""
    weekly.look(store, None, None, MONDAY)
    assert begun == []
    assert "report" not in store.facts()


def test_what_the_child_is_told() -> None:
    """Whole days, the seven before."""
    words = arguments(Plan(0, 420, "/srv/reports", "email"), "/etc/usm.yaml", datetime(2026, 11, 30, 7))
    assert words == [
        *("report", "--format", "html", "--since", "2026-11-23T00:00:00", "--until", "2026-11-29T23:59:59.999999"),
        *("--output", "/srv/reports/review-2026-11-29.html", "--mail", "email", "--config", "/etc/usm.yaml"),
    ]


def test_a_real_child_makes_a_real_page(tmp_path: Path, store: Store) -> None:
    """In an interpreter of its own that finds the same program."""
    config, place = tmp_path / "config.yaml", tmp_path / "reports"
    place.mkdir()
    config.write_text(f"state: {tmp_path}/state.db\nlanguage: en\n", encoding="utf-8")
    Store(str(tmp_path / "state.db")).close()
    weekly = Weekly()
    plan = Plan(0, 7 * 60, str(place))
    weekly.look(store, plan, str(config), WEDNESDAY)
    weekly.look(store, plan, str(config), MONDAY)
    child = weekly._child
    assert child is not None
    assert child.wait(60) == 0, sys.executable
    weekly.look(store, plan, str(config), MONDAY + MINUTE)
    assert [path.name for path in place.iterdir()] == ["review-2026-11-29.html"]
    assert "<html" in (place / "review-2026-11-29.html").read_text(encoding="utf-8")
    assert store.facts()["report"] == (MONDAY + MINUTE).replace(tzinfo=None).isoformat()
