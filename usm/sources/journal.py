"""Follow systemd's journal through a journalctl child: every record once and in order, across restarts and deaths.

The cursor is the last record's own, and its time. A child is started at that record, not behind it: that it comes
first proves that nothing is missing. Where it doesn't, reading goes on by time, and what may be missing is told.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import select
import shutil
import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from usm.core.model import Batch, micros
from usm.errors import SourceError
from usm.sources import rights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

log = logging.getLogger(__name__)

FIELDS = (
    "MESSAGE,_SOURCE_REALTIME_TIMESTAMP,_HOSTNAME,_PID,_UID,_COMM,_EXE,_TRANSPORT,SYSLOG_IDENTIFIER,SYSLOG_PID,LEADER,"
    "SESSION_ID,UNIT,MESSAGE_ID,_MACHINE_ID,_SYSTEMD_OWNER_UID,_AUDIT_LOGINUID"
)
OPTIONS = ("--output=json", "--all", "--no-pager", "--quiet", f"--output-fields={FIELDS}")
# --no-tail: before systemd 257 ten records would be shown, also from a cursor on. --merge: in 252 and 257 --follow
# means --boot, whatever --boot says, and what was logged before a reboot would be lost. It lets in other machines'
# records too, which the match of this machine's id keeps out.
FOLLOW = ("--follow", "--no-tail", "--merge")
STOPPING = ("_PID=1", "MESSAGE_ID=de5b426a63be47a7b6ac3eaac82e2f6f")  # systemd stops a unit
MACHINE_ID = "/etc/machine-id"

LIMIT = 1 << 20  # bytes of a batch, and of a line
CHUNK = 1 << 16  # bytes; what a pipe holds
GRACE = 10.0  # seconds in which a child must show the record that it was started at; it takes milliseconds
PATIENCE = 5.0  # seconds for a child to end
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 60.0  # seconds between a child's death and the next child
MOST_TEXTS, LONGEST_TEXT = 100, 500

# Unmistakable: inside of a JSON string there is a backslash before each quotation mark.
_CURSOR, _TIME = re.compile(rb'"__CURSOR":"([!-~]+?)"'), re.compile(rb'"__REALTIME_TIMESTAMP":"([0-9]{1,16})"')
_LONGEST_MARK = 512  # bytes; a cursor has some 130


class Mark(NamedTuple):
    """A place: behind the record with this cursor, or without one behind all records up to a time in µs."""

    cursor: Optional[str]
    time: int

    @staticmethod
    def of(line: bytes) -> Optional[Mark]:
        """Return the place behind a record."""
        cursor, past = _CURSOR.search(line), _TIME.search(line)
        return Mark(cursor[1].decode(), int(past[1])) if cursor and past else None

    @staticmethod
    def load(text: str) -> Optional[Mark]:
        """Return what `JournalSource.position` gave out; None for anything else."""
        try:
            mark = Mark(**json.loads(text))
            sound = 0 <= mark.time < 10**16 and re.fullmatch("[!-~]+", "-" if mark.cursor is None else mark.cursor)
            return mark if sound and isinstance(mark.time, int) else None
        except (ValueError, TypeError):
            return None


class _Child:
    """A running journalctl, what it wrote, and what it complained of."""

    def __init__(self, command: Sequence[str]) -> None:
        # A session of its own: Ctrl-C is for us. It ends when nobody reads its output any more.
        self._process = subprocess.Popen(  # noqa: S603 - no shell, and only our own words and cursor
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            env=_environment(), start_new_session=True,
        )  # fmt: skip
        self._pipes = [pipe for pipe in (self._process.stdout, self._process.stderr) if pipe is not None]
        self.out, self._err = (pipe.fileno() for pipe in self._pipes)
        self.open = {self.out, self._err}
        for fd in self.open:
            os.set_blocking(fd, False)
        self.behind = 0  # whether it wrote more
        self.texts: list[str] = []  # what it complained of
        self._data = self._complaint = b""
        self._giant = False

    def read(self) -> bytes:
        """Return the whole lines that it wrote by now, up to a limit."""
        self._complain()
        lines, self.behind = b"", 1
        while self.behind and len(lines) + len(self._data) < LIMIT:
            chunk = self._chunk(self.out)
            lines += self._cut(chunk)
            self.behind = len(chunk)
        return lines

    def _chunk(self, fd: int) -> bytes:
        try:
            chunk = os.read(fd, CHUNK) if fd in self.open else b""
        except BlockingIOError:
            return b""
        if not chunk:
            self.open.discard(fd)
        return chunk

    def _cut(self, chunk: bytes) -> bytes:
        """Take off what is whole. Of a line that is too long only its place is kept, so that it counts as read."""
        end = chunk.rfind(b"\n") + 1
        lines, self._data = (self._data + chunk[:end], chunk[end:]) if end else (b"", self._data + chunk)
        if self._giant and lines:
            giant, _, lines = lines.partition(b"\n")
            lines = b"{%s}\n%s" % (b",".join(_marks(giant)), lines)
            log.warning("a record of more than %d bytes is left out", LIMIT)
        self._giant = len(self._data) >= LIMIT or (self._giant and not end)
        if self._giant:
            self._data = b",".join((*_marks(self._data), self._data[-_LONGEST_MARK:]))
        return lines

    def _complain(self) -> bytes:
        chunk = self._chunk(self._err)
        *whole, rest = (self._complaint + chunk + (b"" if self._err in self.open else b"\n")).split(b"\n")
        self._complaint = rest[:LONGEST_TEXT]
        texts = (re.sub(r"\x1b\[[0-9;]*m", "", line[:LONGEST_TEXT].decode("utf-8", "replace")) for line in whole)
        self.texts = [*self.texts, *("".join(filter(str.isprintable, text)) for text in texts if text)][:MOST_TEXTS]
        return chunk

    def end(self, *, ask: bool) -> int:
        """Wait for its end, which it is asked for or comes to by itself; return its exit code, or -signal."""
        if ask:
            self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        while self._complain():
            pass
        for pipe in self._pipes:
            pipe.close()
        return code


class JournalSource:
    """Gives the records of some programs, and of units being stopped; without a place, those written from now on."""

    def __init__(
        self,
        programs: Sequence[str],
        cursor: Optional[str],
        *,
        since: Optional[int] = None,
        command: Sequence[str] = ("journalctl",),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = (*command, *OPTIONS)
        self._matches = _matches(programs)
        self._monotonic = monotonic
        self._child: Optional[_Child] = None
        self._began = self._again = 0.0  # when the child was started; when another one may be
        self._pauses = 0
        self._due: Optional[float] = None  # until when it is open whether the child started at the right place
        self._alarms: list[tuple[str, str]] = []
        self._lost: Optional[tuple[str, int]] = None  # why and when the place was lost, until that is told
        self._told: set[str] = set()
        mark = None if cursor is None else Mark.load(cursor)
        if cursor is not None and mark is None:
            log.warning("the stored position %.80r is not one of the journal: it is read from now on", cursor)
        self._mark = mark if mark and mark.cursor else self._behind(mark.time if mark else since)
        try:
            self._start()
        except OSError as error:
            raise SourceError(f"the journal can't be read: {error}; install systemd, or follow a log file") from error
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)  # a full pipe must not block a signal handler

    def read(self, timeout: Optional[float]) -> Optional[Batch]:
        """Block until there are whole lines; None after `timeout` seconds or a `wake`."""
        deadline = None if timeout is None else self._monotonic() + timeout
        while True:
            data = self._take()
            if data:
                return Batch(data, self.position(), self._child.behind if self._child else 0)
            if not self._wait(deadline):
                return None

    def rest(self) -> Optional[Batch]:
        """Return what was written by now, also what journald has not given notice of; nothing is read after that."""
        if self._due is not None or (self._child is not None and self._child.behind):
            return None  # there is more than the end should wait for: the next start reads it
        cursor, past = self._mark
        try:
            data = self._ask("--merge", _since(past) if cursor is None else f"--cursor={cursor}", *self._matches)
        except SourceError:
            return None  # as above
        self._stop()
        self._due = self._monotonic() + GRACE  # what comes first must be the record that was read last, as of a child
        data = self._new(data)
        self._due = None
        return Batch(data, self.position(), 0) if data else None

    def wake(self) -> None:
        """Make a blocked `read` return; safe in signal handlers and from other threads."""
        if self._wake_write >= 0:
            with contextlib.suppress(BlockingIOError):  # enough wakes are waiting
                os.write(self._wake_write, b"\0")

    def position(self) -> str:
        """Return the cursor behind all that was read."""
        return json.dumps(self._mark._asdict(), separators=(",", ":"))

    def history(self, pids: Collection[int], since: datetime) -> Iterable[bytes]:
        """Return what is left of the journal since then that these processes wrote; read or not."""
        ours = self._matches[: self._matches.index("+")]
        try:
            wrote = (f"_PID={pid}" for pid in pids)
            return self._ask(_since(micros(since)), *ours, *wrote).splitlines() if pids else []
        except SourceError as error:
            log.warning("%s", error)
            return []

    def past(self, since: datetime) -> Iterator[bytes]:
        """Yield the records that are left of the journal since then; from another thread, beside `read`."""
        try:
            child = subprocess.Popen(  # noqa: S603 - no shell, and only our own words and numbers
                (*self._command, _since(micros(since)), *self._matches), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(),
            )  # fmt: skip
        except OSError as error:
            log.warning("the journal's past can't be read: %s", error)
            return
        with child:
            try:
                yield from child.stdout or ()
            finally:
                child.kill()

    def alarms(self) -> list[tuple[str, str]]:
        """Return what was noticed of the journal since it was asked last: which, and in detail."""
        alarms, self._alarms = self._alarms, []
        return alarms

    def close(self) -> None:
        """End the child and give the descriptors back."""
        self._stop()
        fds = (self._wake_read, self._wake_write)
        self._wake_read = self._wake_write = -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def _behind(self, past: Optional[int]) -> Mark:
        """Return the place behind all that is there, or behind a time if that is earlier.

        A time ahead of the journal is not waited for: the clock was wrong then, or is wrong now.
        """
        newest = Mark.of(self._ask("--lines=1"))
        return Mark(None, min((one for one in (past, newest and newest.time) if one is not None), default=0))

    def _ask(self, *options: str) -> bytes:
        """Return what journalctl answers when it does not follow."""
        try:
            return subprocess.run(  # noqa: S603 - no shell, and only our own words and numbers
                (*self._command, *options), stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60,
                env=_environment(),
            ).stdout  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            text = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip() or str(error)
            raise SourceError(f"the journal can't be read: {text}; install systemd, or follow a log file") from error

    def _start(self) -> None:
        cursor, past = self._mark
        start = _since(past) if cursor is None else f"--cursor={cursor}"
        self._child = _Child((*self._command, *FOLLOW, start, *self._matches))
        self._began = self._monotonic()
        self._due = self._began + GRACE

    def _stop(self) -> None:
        if self._child is not None:
            self._child.end(ask=True)
            self._child = None

    def _take(self) -> bytes:
        """Return the new records there are; see after the child."""
        if self._child is None and self._monotonic() >= self._again:
            try:
                self._start()
            except OSError as error:
                self._tell(f"it can't be started: {error}")
                self._pause()
        child = self._child
        if child is None:
            return b""
        data = self._new(child.read())
        if self._due is not None and self._monotonic() >= self._due:
            self._overdue()
        if self._child is child and child.out not in child.open:
            self._bury(child)
        elif self._due is None:  # before, they may be the reason for something worse
            self._tell(*child.texts)
            child.texts = []
        return data

    def _new(self, data: bytes) -> bytes:
        """Leave out what was read before, find out whether the place was lost, and move it on."""
        at = 0
        while self._due is not None and at < len(data):
            end = data.index(b"\n", at) + 1
            mark = Mark.of(data[at:end])
            if mark and self._mark.cursor is None and mark.time > self._mark.time:
                self._settle(mark.time)
                break
            at = end
            if mark and mark.cursor == self._mark.cursor:
                self._settle(None)
            elif mark and self._mark.cursor is not None:
                self._lose("another record is in its place: it was deleted, or the journal was replaced")
                return b""
        if at < len(data):
            self._pauses = 0
            start = data.rfind(b"\n", 0, max(data.rfind(b'"__CURSOR":"'), at)) + 1
            self._mark = Mark.of(data[start : data.index(b"\n", start)]) or self._mark
        return data[at:]

    def _settle(self, until: Optional[int]) -> None:
        """The child started where it should; tell what may be missing before."""
        self._due = None
        if self._lost:
            why, since = self._lost
            end = f"to {_iso(until)}" if until is not None else "on (nothing newer is there yet)"
            text = "the place in the journal is lost (%s): what was logged from %s %s was perhaps not observed"
            log.warning(text, why, _iso(since), end)
            self._lost = None

    def _overdue(self) -> None:
        if self._mark.cursor is None:  # behind a time there may be no record for days
            self._settle(None)
        else:
            self._lose("neither its record nor a later one is there: it was deleted, or the journal was replaced")

    def _lose(self, why: str) -> None:
        self._stop()
        self._lost = (why, self._mark.time)
        self._alarms.append(("lost", why))
        try:
            self._mark = self._behind(self._mark.time)
        except SourceError:
            self._mark = Mark(None, self._mark.time)
        self._due, self._again = None, self._monotonic()

    def _bury(self, child: _Child) -> None:
        """The child ended: another one goes on behind the last record."""
        code = child.end(ask=False)
        self._child = None
        refusal = next((text for text in child.texts if "cursor" in text), "")
        if refusal and code > 0 and self._due is not None and self._mark.cursor is not None:
            self._lose(f"journalctl refuses it: {refusal}")
            return
        if self._monotonic() - self._began >= LONGEST_PAUSE:
            self._told, self._pauses = set(), 0
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._tell(": ".join((f"{how}, another one is started", *child.texts[:1])), *child.texts[1:])
        self._pause()

    def _pause(self) -> None:
        self._due, self._again = None, self._monotonic() + min(FIRST_PAUSE * 2**self._pauses, LONGEST_PAUSE)
        self._pauses = min(self._pauses + 1, 10)

    def _tell(self, *texts: str) -> None:
        """Warn of each once: every new child may say the same again."""
        for text in texts:
            if text not in self._told:
                self._told = {text, *(self._told if len(self._told) < MOST_TEXTS else ())}
                log.warning("journalctl: %s", text)

    def _wait(self, deadline: Optional[float]) -> bool:
        """Return True when there is reason to look again, False at the deadline or after `wake`."""
        poll = select.poll()
        for fd in (self._wake_read, *(self._child.open if self._child else ())):
            poll.register(fd, select.POLLIN)
        times = [one for one in (deadline, self._due if self._child else self._again) if one is not None]
        ready = poll.poll(max(0.0, min(times) - self._monotonic()) * 1000 if times else None)
        if any(fd == self._wake_read for fd, _ in ready):
            os.read(self._wake_read, CHUNK)
            return False
        return bool(ready) or deadline is None or self._monotonic() < deadline


def unreadable(root: str = "/") -> Optional[str]:
    """Return why this process can't read the system's journal and what to do about it, or None if it can."""
    if shutil.which("journalctl") is None:
        return "journalctl is not on PATH: install systemd, or follow a log file"
    errors: list[OSError] = []
    found = []
    for place in ("var/log/journal", "run/log/journal"):
        for where, _, names in os.walk(os.path.join(root, place), onerror=errors.append):
            found += [os.path.join(where, name) for name in names if re.fullmatch(r"system.*\.journal", name)]
    for path in sorted(found, key=lambda path: not path.endswith("/system.journal")):  # the one that is written to
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError as error:  # noqa: PERF203 - few files, and mostly the first is it
            errors.append(error)
        else:
            return None
    refused = [error.filename for error in errors if isinstance(error, PermissionError)]
    if refused:
        how = rights.join("systemd-journal")
        return f"no permission ({refused[0]}): add this user to group systemd-journal (or adm): {how}; or run as root"
    return "there is no journal here: start systemd-journald, or follow a log file"


def _matches(programs: Sequence[str]) -> tuple[str, ...]:
    try:
        machine = Path(MACHINE_ID).read_bytes().strip().decode("ascii", "replace")
    except OSError:
        machine = ""
    ours = [f"_MACHINE_ID={machine}"] if re.fullmatch("[0-9a-f]{32}", machine) else []
    return (*(f"SYSLOG_IDENTIFIER={program}" for program in programs), *ours, "+", *STOPPING, *ours)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


def _since(past: int) -> str:
    return f"--since=@{past // 10**6}.{past % 10**6:06}"


def _marks(line: bytes) -> list[bytes]:
    return [found[0] for found in (_CURSOR.search(line), _TIME.search(line)) if found]


def _iso(past: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=past)).isoformat()
