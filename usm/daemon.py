"""Into the background: python-daemon's double fork, the pidfile, and a pipe that tells the command how it went.

The command that starts the daemon ends when the daemon watches, or with the reason why it doesn't: never before.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Callable, NoReturn

from daemon import DaemonContext
from daemon import daemon as library

from usm import logs
from usm.errors import UsmError
from usm.pidfile import PidFile

if TYPE_CHECKING:
    import io

    from usm.logs import Last
    from usm.monitor import Monitor

log = logging.getLogger(__name__)
FAILED, BUG = 1, 70


class _Pipe(logging.Handler):
    """Hands the warnings of the start on to the command, and at last its exit code."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(logging.WARNING)
        self._to = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        self.tell(record.getMessage().partition("\n")[0])

    def tell(self, text: str, code: int | None = None) -> None:
        """Send a line; one with a code is the last."""
        try:
            self._to.write(json.dumps([text, code]) + "\n")
            self._to.flush()
            if code is not None:
                self._to.close()
        except (OSError, ValueError):  # nobody waits any more
            pass


def start(
    build: Callable[[Last], Monitor], pidfile: str, tell: Callable[[str], None], warn: Callable[[str], None]
) -> int:
    """Run a monitor in the background; return 0 and tell when it watches, otherwise say why it does not.

    `warn` is called for that, and for warnings on the way.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _background(build, pidfile, write_end)
    os.close(write_end)
    code = None
    with os.fdopen(read_end, encoding="utf-8") as pipe:
        for line in pipe:
            text, code = json.loads(line)
            (warn if code != 0 else tell)(text)
    os.waitpid(child, 0)
    if code is None:
        warn(
            "the monitor ended before it watched, without a word; the system's log may have one: journalctl -t "
            + logs.IDENT
        )
        return FAILED
    return int(code)


def _background(build: Callable[[Last], Monitor], pidfile: str, write_end: int) -> NoReturn:
    """Be the daemon, to the end of this process."""
    pipe, code = _Pipe(write_end), BUG
    try:
        # Real files: what the library opens itself would be closed in the programs that are started here.
        with open(os.devnull, "r+b", buffering=0) as nothing, _context(write_end, nothing):
            last = logs.Last()
            logs.to_syslog([pipe, last])
            with PidFile(pidfile):  # not the context's: what it has to say would be heard by nobody
                monitor = build(last)
                logging.getLogger().removeHandler(pipe)
                pipe.tell(f"started, process {os.getpid()}: watching {monitor.what}", 0)
                monitor.run()
            code = 0
    except UsmError as error:
        logs.to_syslog()
        log.error("%s", error)
        pipe.tell(str(error), FAILED)
        code = FAILED
    except BaseException as error:
        log.exception("this is a bug; please report it")
        pipe.tell(f"{type(error).__name__}: this is a bug; the system's log has more (journalctl -t {logs.IDENT})", BUG)
    finally:
        os._exit(code)


def _context(kept: int, nothing: io.RawIOBase) -> DaemonContext:
    # It would set the user and group that the process has already, and has no option not to: a hardened unit forbids
    # setuid(2), and older versions of systemd can't be told to answer it with success.
    library.change_process_owner = lambda *_ids, **_options: None
    return DaemonContext(
        detach_process=True,
        umask=0o027,
        files_preserve=[kept],
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
        signal_map={},
    )
