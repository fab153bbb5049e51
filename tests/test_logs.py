"""The monitor's own words: one line each, counted when they repeat, to the right place and with the right level."""

from __future__ import annotations

import io
import logging
import os
import sys
import syslog
import tempfile
from typing import TYPE_CHECKING

import pytest

from usm import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = True


def test_in_the_foreground(capsys: pytest.CaptureFixture[str]) -> None:
    """A letter for the level; DEBUG only on demand."""
    logs.to_stderr()
    logging.getLogger("usm.x").warning("the %s", "oddity")
    logging.getLogger("usm.x").debug("an event")
    logs.to_stderr(logging.DEBUG)
    logging.getLogger("usm.x").debug("an event")
    logging.getLogger("urllib3.connectionpool").error("https://open.feishu.cn/secret")
    assert capsys.readouterr().err == "W the oddity\nD an event\n"


def test_in_the_journal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With sd-daemon's priorities, and a traceback is one line."""
    with tempfile.TemporaryFile() as file:
        number = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            status = os.fstat(2)
            monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
            logs.to_stderr()
        finally:
            os.dup2(number, 2)
            os.close(number)
    try:
        int("two\nlines")
    except ValueError:
        logging.getLogger("usm.x").exception("a bug")
    logging.getLogger("usm.x").info("watching")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("<3>a bug | Traceback (most recent call last): | ")
    assert "ValueError: invalid literal for int()" in first
    assert second == "<6>watching"


def test_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """To syslog, facility daemon, under the service's name and process; every level has its own."""
    opened: list[tuple[object, ...]] = []
    said: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *words: opened.append(words))
    monkeypatch.setattr(syslog, "syslog", lambda level, text: said.append((level, text)))
    last = logs.Last()
    logs.to_syslog([last])
    for level in LEVELS:
        logging.getLogger("usm.x").log(level, "text\nof %s\udc80", level)
    assert opened == [("user-session-monitor", syslog.LOG_PID, syslog.LOG_DAEMON)]
    assert said == [
        (priority, f"text | of {level}\\udc80")
        for level, priority in zip(LEVELS, (syslog.LOG_CRIT, syslog.LOG_ERR, syslog.LOG_WARNING, syslog.LOG_INFO))
    ]
    assert last.said is not None
    assert (last.said.level, last.said.text) == ("warning", "text")  # what is less is not kept


def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it complained of elsewhere."""
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    logs.to_stderr()
    stderr.close()
    logging.getLogger("usm.x").error("nobody hears this")


def test_what_repeats_is_counted() -> None:
    """Ten of one wording in a minute; then the next one says how many were left out."""
    time = [1000.0]
    calm = logs.Calm(lambda: time[0])

    def say(text: str, *values: object, level: int = logging.WARNING) -> str:
        record = logging.LogRecord("usm.x", level, "", 0, text, values, None)
        return record.getMessage() if calm.filter(record) else ""

    assert [say("no %s", n) for n in range(12)] == [*(f"no {n}" for n in range(10)), "", ""]
    assert say("another") == "another"
    assert say("no %s", 0, level=logging.ERROR) == "no 0"  # of another level it is another one
    time[0] += 59
    assert say("no %s", 13) == ""
    time[0] += 1
    assert say("no %s", 14) == "no 14 (and 3 more like this before)"
    time[0] += 60
    assert say("no %s", 15) == "no 15"
