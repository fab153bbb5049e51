"""Whether the log is being written: how long ago, and what to look at."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from usm import check_source
from usm.check_source import source
from usm.config import Config
from usm.finding import FAIL, OK, WARN
from usm.sources import journal, locate

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=timezone.utc)
HOUR_AGO = int((NOW - timedelta(hours=1)).timestamp()) * 10**6


def written(path: Path, ago: timedelta, text: str = "x") -> None:
    """Write to a log some time ago."""
    path.write_text(text)
    os.utime(path, (0, (NOW - ago).timestamp()))


def log(path: Path) -> tuple[str, str]:
    """Return what is found of how it is written."""
    found, followed = source(Config(log_file=str(path)), NOW)
    assert followed == str(path)
    return found[-1]


def test_a_log_that_is_written(tmp_path: Path) -> None:
    """Lately, or before its rotation."""
    path = tmp_path / "auth.log"
    written(path, timedelta(minutes=5))
    assert log(path) == (OK, f"log: {path} was written to 5 min ago")
    written(path.with_name("auth.log.1"), timedelta(hours=3))
    written(path, timedelta(seconds=1), "")
    assert log(path) == (OK, f"log: {path} was written to 3 h ago")


def test_a_log_that_nobody_writes(tmp_path: Path) -> None:
    """With how to try it, and whom to look at."""
    path = tmp_path / "auth.log"
    written(path, timedelta(days=3))
    level, text = log(path)
    assert (level, text.partition(";")[0]) == (WARN, f"log: nothing was written to {path} for 3 days")
    assert "try it: logger -p auth.info test" in text
    assert "systemctl status rsyslog" in text
    path.write_text("")
    assert log(path)[1].startswith(f"log: {path} is empty, nothing was ever written to it; try it: logger")


def test_a_log_from_the_future(tmp_path: Path) -> None:
    """The clock is wrong, or was when it was written."""
    path = tmp_path / "auth.log"
    written(path, -timedelta(hours=2))
    level, text = log(path)
    assert (level, text.partition(";")[0]) == (
        WARN,
        f"clock: the last line of {path} is 2 h ahead of this machine's clock",
    )
    assert "timedatectl set-ntp true" in text


@pytest.mark.parametrize(
    ("script", "level", "said"),
    [
        (f'echo \'{{"__REALTIME_TIMESTAMP":"{HOUR_AGO}"}}\'', OK, "1 h ago"),
        ("true", WARN, "the journal is empty; try it"),
        ("echo nonsense", WARN, "journalctl can't say what was written last; try it: journalctl"),
        ("exit 1", WARN, "journalctl can't say what was written last"),
    ],
)
def test_the_journal_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, level: str, said: str
) -> None:
    """For its last record."""
    (tmp_path / "journalctl").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(journal, "unreadable", lambda _root: None)
    found, followed = source(Config(), NOW)
    assert followed is None
    assert found[0] == (OK, "source: the journal (it proves who wrote a record)")
    assert (found[1][0], said in found[1][1]) == (level, True), found[1]


def test_no_source_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """One finding, with what was tried."""
    monkeypatch.setattr(journal, "unreadable", lambda _root: "there is none")
    monkeypatch.setattr(check_source, "os_release", dict)
    monkeypatch.setattr(locate, "unreadable", lambda _path: "missing")
    ((level, text),), followed = source(Config(), NOW)
    assert (level, followed) == (FAIL, None)
    assert "no authentication log was found" in text
