"""The recorded day: every line is shown, every event told, through the real pipeline."""

from __future__ import annotations

import io
import os
from datetime import datetime, timezone
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from usm.demo import play

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 23, 4, 5, 7, tzinfo=timezone.utc)
RECORDED = files("usm").joinpath("demo.log").read_text(encoding="utf-8").splitlines()


def played(language: str) -> tuple[list[str], list[float]]:
    """Return what is printed, and the waits."""
    out, waits = io.StringIO(), list[float]()
    play(language, lambda: NOW, waits.append, out)
    return out.getvalue().splitlines(), waits


def test_every_recorded_line_is_shown_in_order() -> None:
    """As it was written, set in by two spaces."""
    shown, _ = played("zh")
    recorded = [line.rstrip() for line in RECORDED]
    assert [line[2:] for line in shown if line[2:] in recorded and line.startswith("  2")] == recorded


@pytest.mark.parametrize(
    ("language", "login", "logout"), [("zh", "用户登录通知", "用户登出通知"), ("en", "User login", "User logout")]
)
def test_every_session_is_told_twice(language: str, login: str, logout: str) -> None:
    """Each login is a message; each logout too, and none is told of a session that never was."""
    shown, _ = played(language)
    accepted = sum(line.split()[3] == "Accepted" for line in RECORDED)
    assert shown.count(login) == accepted
    assert 0 < sum(line.startswith(logout) for line in shown) <= accepted
    assert shown[-1].startswith(f"The day had {accepted} sessions and ")


def test_failures_are_counted_at_the_end() -> None:
    """One by one they would be noise."""
    shown, _ = played("en")
    failed = sum(": Failed " in line and "keyboard-interactive" not in line for line in RECORDED)
    assert f" and {failed} failed logins (counted, not told one by one)." in shown[-1]


def test_the_day_is_sped_up_and_nobody_waits_through_the_night() -> None:
    """No wait is longer than a second and a half, none is negative."""
    _, waits = played("zh")
    assert len(waits) == len(RECORDED) - 1
    assert min(waits) >= 0
    assert max(waits) <= 1.5


def test_the_day_is_told_in_the_time_of_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The messages show the clock of the lines, wherever they are played."""
    monkeypatch.setenv("TZ", "America/New_York")
    shown, _ = played("en")
    at = next(number for number, line in enumerate(shown) if line.split()[3:4] == ["Accepted"])
    stamp = shown[at].split()[0][:19].replace("T", " ")
    assert f"Login time: {stamp}" in shown[at : at + 10]


def test_the_demo_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state is in memory."""
    monkeypatch.chdir(tmp_path)
    played("zh")
    assert os.listdir(tmp_path) == []
