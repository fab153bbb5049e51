"""Where the monitor's own words go: to stderr in the foreground, to syslog (facility daemon) in the background.

ERROR: somebody must act. WARNING: an oddity that was dealt with. INFO: the life of the service. DEBUG: each event.
A record is one line, whatever it holds, and what is said over and over is counted instead.
"""

from __future__ import annotations

import logging
import os
import sys
import syslog
import time
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable

IDENT = "user-session-monitor"
_PRIORITIES = (
    (logging.CRITICAL, syslog.LOG_CRIT),
    (logging.ERROR, syslog.LOG_ERR),
    (logging.WARNING, syslog.LOG_WARNING),
    (logging.INFO, syslog.LOG_INFO),
    (logging.DEBUG, syslog.LOG_DEBUG),
)
MOST, SPAN = 10, 60.0  # so many records of one wording are let through in so many seconds


def to_stderr(level: int = logging.INFO, more: Iterable[logging.Handler] = ()) -> None:
    """Log to stderr, with priorities as sd-daemon(3) has them where that is the journal; and to more handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Calm())
    form = _OneLine("%(priority)s%(message)s") if _is_journal() else logging.Formatter("%(levelname).1s %(message)s")
    handler.setFormatter(form)
    _use([handler, *more], level)


def to_syslog(more: Iterable[logging.Handler] = ()) -> None:
    """Log to syslog, and to more handlers."""
    handler = _Syslog()
    handler.addFilter(Calm())
    handler.setFormatter(_OneLine("%(message)s"))
    _use([handler, *more], logging.INFO)


def _use(handlers: Iterable[logging.Handler], level: int) -> None:
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.raiseExceptions = False  # a terminal that is gone is no reason to write elsewhere
    logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)  # its messages hold URLs


def _priority(level: int) -> int:
    return next(priority for least, priority in _PRIORITIES if level >= least or least == logging.DEBUG)


def _is_journal() -> bool:
    """Tell whether stderr is a stream to journald, as systemd says in `JOURNAL_STREAM`."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _OneLine(logging.Formatter):
    """A record on one line: a traceback too."""

    def format(self, record: logging.LogRecord) -> str:
        record.priority = f"<{_priority(record.levelno)}>"
        return " | ".join(line for line in super().format(record).splitlines() if line)


class _Syslog(logging.Handler):
    """The system's log through syslog(3), which finds a log daemon again that was restarted."""

    def __init__(self) -> None:
        super().__init__()
        syslog.openlog(IDENT, syslog.LOG_PID, syslog.LOG_DAEMON)

    def emit(self, record: logging.LogRecord) -> None:
        syslog.syslog(_priority(record.levelno), self.format(record).encode("utf-8", "backslashreplace").decode())


class Calm(logging.Filter):
    """Lets so many records of one wording through and counts the others; the next one that passes says how many."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._said: dict[tuple[int, str], tuple[float, int]] = {}  # since when, and how many; wordings are constants

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether it is let through."""
        key, now = (record.levelno, str(record.msg)), self._monotonic()
        since, count = self._said.get(key, (now, 0))
        if now - since < SPAN:
            self._said[key] = (since, count + 1)
            return count < MOST
        self._said[key] = (now, 1)
        if count > MOST:
            record.msg = f"{record.getMessage()} (and {count - MOST} more like this before)"
            record.args = None
        return True


class Said(NamedTuple):
    """What was said last that is more than the usual: the level's name, when (seconds since 1970), and the words."""

    level: str
    time: float
    text: str


class Last(logging.Handler):
    """Keeps the last warning or error for `status`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: Optional[Said] = None

    def take(self) -> Optional[Said]:
        """Return it, if it was not taken before."""
        said, self.said = self.said, None
        return said

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.said = Said(record.levelname.lower(), record.created, record.getMessage().partition("\n")[0][:500])
