"""Whether there is a source, whether this user can read it, and whether anybody still writes to it."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Optional

from usm.errors import SourceError
from usm.finding import FAIL, OK, WARN, Finding, span
from usm.host import os_release
from usm.sources.locate import choose, unreadable
from usm.sources.rotated import MovedError, rotated

if TYPE_CHECKING:
    from usm.config import Config

QUIET = timedelta(hours=26)  # cron alone writes every hour, and a day's only login may be a little late
AHEAD = timedelta(minutes=5)  # of the clock: more is not the moment between two looks
_TIMEOUT = 10.0  # seconds for journalctl
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FORGED = "source: a log file can't prove who wrote a line; local users can forge one with logger(1)"
_JOURNAL = ("journalctl", "--quiet", "--no-pager", "--lines=1", "--output=json", "--output-fields=__REALTIME_TIMESTAMP")


def source(config: Config, now: datetime) -> tuple[list[Finding], Optional[str]]:
    """Look at the source; return the log file, too, if it is one that can be followed."""
    try:
        path, why = choose(config.source, config.log_file, os_release())
    except SourceError as error:
        return [(FAIL, f"source: {error}")], None
    if path is None:
        return [(OK, f"source: the journal ({why})"), *_journal(now)], None
    problem = unreadable(path)
    if problem == "missing":
        waits = f"source: {path} is missing; the monitor waits for it. Is rsyslog installed and running?"
        return [(WARN, f"{waits} systemctl status rsyslog")], path
    if problem is not None:
        return [(FAIL, f"source: {path}: {problem}")], None
    return [(OK, f"source: {path} ({why})"), (WARN, _FORGED), *_file(path, now)], path


def _file(path: str, now: datetime) -> list[Finding]:
    daemon = "rsyslog (systemctl status rsyslog)"
    last = last_write(path)
    if last is None:
        return [(WARN, f"log: {path} is empty, nothing was ever written to it; {_try(daemon)}")]
    return written(path, last, now, daemon)


def last_write(path: str) -> Optional[datetime]:
    """Return when a log was written to last, before its rotation if nothing came since; None where never."""
    times = []
    with suppress(OSError, MovedError):
        status = os.stat(path)
        if status.st_size:
            return _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
        times = [generation.mtime for generation in rotated(os.path.realpath(path))]
    return _EPOCH + timedelta(microseconds=max(times) // 1000) if times else None


def _journal(now: datetime) -> list[Finding]:
    daemon = "journald (systemctl status systemd-journald)"
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            _JOURNAL,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        )
        micros = int(json.loads(done.stdout)["__REALTIME_TIMESTAMP"]) if done.stdout.strip() else None
    except subprocess.TimeoutExpired:
        return [(WARN, f"log: journalctl gave no answer within {_TIMEOUT:.0f} s; look at {daemon}")]
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError, TypeError):
        return [(WARN, f"log: journalctl can't say what was written last; try it: {' '.join(_JOURNAL)}")]
    if micros is None:
        return [(WARN, f"log: the journal is empty; {_try(daemon)}")]
    return written("the journal", _EPOCH + timedelta(microseconds=micros), now, daemon)


def written(what: str, last: datetime, now: datetime, daemon: str) -> list[Finding]:
    """Judge when a log was written to last."""
    if last - now > AHEAD:
        return [ahead(f"the last line of {what}", last, now)]
    if now - last > QUIET:
        return [(WARN, f"log: nothing was written to {what} for {span(now - last)}; {_try(daemon)}")]
    return [(OK, f"log: {what} was written to {span(now - last)} ago")]


def ahead(what: str, time: datetime, now: datetime) -> Finding:
    """Say that something lies in the future of the clock."""
    lead = f"clock: {what} is {span(time - now)} ahead of this machine's clock"
    return WARN, f"{lead}; compare it with the true time (date -u), and have it set: timedatectl set-ntp true"


def _try(daemon: str) -> str:
    return f"try it: logger -p auth.info test; if that does not arrive, look at {daemon}"
