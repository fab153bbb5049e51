"""Waiting for files and directories to change, without polling, through Linux's inotify.

A watch is always added before the thing is looked at: what changes in between is an event in the queue,
so nothing is missed. Where inotify can't be had, waiting becomes a look once a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import select
import struct
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

MODIFY, ATTRIB = 0x2, 0x4
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF = 0x400, 0x800
OVERFLOW = 0x4000
ONLYDIR = 0x1000000

FILE = MODIFY | ATTRIB | MOVE_SELF
DIRECTORY = CREATE | MOVED_TO | MOVED_FROM | DELETE | ATTRIB | DELETE_SELF | MOVE_SELF | ONLYDIR

BLIND_INTERVAL = 1.0  # seconds between looks where inotify can't be had
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP)

_header = struct.Struct("iIII")  # watch, mask, cookie, length of the name


class Event(NamedTuple):
    """One change: `name` is the entry of a watched directory, empty where the watched thing itself changed."""

    watch: int
    mask: int
    name: bytes


class Inotify:
    """The three system calls; any failure is an OSError."""

    def __init__(self) -> None:
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            init, self._add, self._remove = (
                getattr(self._libc, name) for name in ("inotify_init1", "inotify_add_watch", "inotify_rm_watch")
            )
        except AttributeError as error:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from error
        self.fd = self._checked(init(os.O_CLOEXEC | os.O_NONBLOCK))

    @staticmethod
    def _checked(result: Any) -> int:  # noqa: ANN401 - ctypes has no types
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(result)

    def add(self, path: str, mask: int) -> int:
        """Watch a path; the same file or directory always gets the same number."""
        return self._checked(self._add(self.fd, os.fsencode(path), ctypes.c_uint32(mask)))

    def remove(self, watch: int) -> None:
        """End a watch; that it ended by itself before (the file was deleted) does not matter."""
        self._remove(self.fd, watch)

    def events(self) -> Iterator[Event]:
        """Take all the events that are in the queue."""
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _header.unpack_from(data, at)
                at += _header.size + length
                yield Event(watch, mask, data[at - length : at].rstrip(b"\0"))


class Watcher:
    """Blocks until a followed file or a name of interest changes, until `wake`, or until a time is reached."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._files: set[int] = set()
        self._directories: dict[int, set[bytes]] = {}  # watch → beginnings of the names of interest in it
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)  # a full pipe must not block a signal handler
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self._inotify: Optional[Inotify] = None
        self._blind = False
        try:
            self._inotify = Inotify()
            self._poll.register(self._inotify.fd, select.POLLIN)
        except OSError as error:
            self._go_blind(error)

    def _go_blind(self, error: OSError) -> None:
        if not self._blind:
            self._blind = True
            log.warning("no inotify (%s): looking at the log once a second instead", error.strerror)

    def _add(self, path: str, mask: int) -> Optional[int]:
        if self._inotify is None:
            return None
        try:
            return self._inotify.add(path, mask)
        except OSError as error:
            if mask == FILE or error.errno not in ABSENT:
                self._go_blind(error)
            return None

    def watch_file(self, fd: int) -> Optional[int]:
        """Watch an open file: by its descriptor, as its name may already mean another file."""
        watch = self._add(f"/proc/self/fd/{fd}", FILE)
        if watch is not None:
            self._files.add(watch)
        return watch

    def keep_files(self, watches: set[Optional[int]]) -> None:
        """End the watches of all files but these."""
        for watch in self._files - watches:
            self._remove(watch)
        self._files &= watches

    def watch_directories(self, paths: Iterable[str]) -> None:
        """Watch every existing directory that leads to the paths, in place of those watched before.

        From the root down: a directory that appears below one already watched is an event.
        """
        wanted: dict[int, set[bytes]] = {}
        for path in paths:
            steps = [os.path.split(path)]
            while steps[-1][0] != "/":
                steps.append(os.path.split(steps[-1][0]))
            for directory, name in reversed(steps):
                watch = self._add(directory, DIRECTORY)
                if watch is not None:
                    wanted.setdefault(watch, set()).add(os.fsencode(name))
        for watch in self._directories.keys() - wanted.keys():
            self._remove(watch)
        self._directories = wanted

    def _remove(self, watch: int) -> None:
        if self._inotify is not None:
            self._inotify.remove(watch)

    def wait(self, deadline: Optional[float]) -> bool:
        """Return True when there is reason to look again, False at the deadline or after `wake`."""
        # Both moments are fixed before: what does not matter may change more often than once a second.
        look = self._monotonic() + BLIND_INTERVAL if self._blind else None
        nap = look is not None and (deadline is None or look < deadline)
        end = look if nap else deadline
        while True:
            left = None if end is None else max(0.0, end - self._monotonic())
            ready = [fd for fd, _ in self._poll.poll(None if left is None else left * 1000)]
            if self._wake_read in ready:
                os.read(self._wake_read, 1 << 16)
                return False
            if ready and self._any_relevant():
                return True
            if not ready or left == 0:
                return nap

    def _any_relevant(self) -> bool:
        # The whole queue is taken, and only names of interest count: a busy directory causes no reading.
        events = list(self._inotify.events()) if self._inotify is not None else []
        return any(self._relevant(event) for event in events)

    def _relevant(self, event: Event) -> bool:
        if event.mask & OVERFLOW or event.watch in self._files:
            return True
        names = self._directories.get(event.watch, set())
        return any(event.name.startswith(name) or not event.name for name in names)

    def wake(self) -> None:
        """Make `wait` return; safe in signal handlers and from other threads."""
        if self._wake_write >= 0:
            with contextlib.suppress(BlockingIOError):  # enough wakes are waiting
                os.write(self._wake_write, b"\0")

    def close(self) -> None:
        """Give the descriptors back."""
        fds = [self._wake_read, self._wake_write]
        self._wake_read = self._wake_write = -1
        if self._inotify is not None:
            fds.append(self._inotify.fd)
            self._inotify = None
        for fd in fds:
            if fd >= 0:
                os.close(fd)
