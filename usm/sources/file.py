"""Follow a log file: every whole line once and in order, across rotation, truncation, restarts and kills.

What is followed is a list of parts, oldest first: open files, each with the place up to which it was read.
Usually there is one. After a rotation the old file stays in the list until it was quiet for a while, because
the writer is told of the rotation later than we see it. A part whose file is not known (after a restart, or
as it was truncated under us) is searched among the log's generations by inode and by its first bytes; all
that is newer than the newest part is appended. The cursor is this list, so it alone is what a kill leaves.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, Optional

from usm.core.model import Batch
from usm.errors import SourceError
from usm.sources.inotify import Watcher
from usm.sources.locate import unreadable
from usm.sources.part import Part, TruncatedError
from usm.sources.rotated import TRIES, Generation, Ident, MovedError, Plain, Reader, generations, open_log

log = logging.getLogger(__name__)

LINGER = 10.0  # seconds that a rotated file is still watched for late lines
MOST_PARTS = 16  # files open at once; after a long downtime there may be hundreds to catch up with
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class FileSource:
    """Gives the lines of a log file; without a cursor, those written from now on."""

    def __init__(self, path: str, cursor: Optional[str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = str(Path(path).absolute())
        self._monotonic = monotonic
        self._parts: list[Part] = []
        self._seen = 0  # the latest mtime of a file when it was read, in nanoseconds
        self._missing = False
        self._warned: set[str] = set()
        problem = unreadable(self._path)
        if problem not in (None, "missing"):
            raise SourceError(f"{self._path}: {problem}")
        directory = Path(self._path).parent
        if directory.is_dir() and not os.access(directory, os.R_OK, effective_ids=True):
            log.warning("%s can't be listed: after a downtime, rotated files are not found", directory)
        self._watcher = Watcher(monotonic)
        self._fresh = cursor is None or not self._restore(cursor)
        self._discover()
        if self._missing:
            self._warn_missing()

    # -- what others call

    def read(self, timeout: Optional[float]) -> Optional[Batch]:
        """Block until there are whole lines; None after `timeout` seconds or a `wake`."""
        deadline = None if timeout is None else self._monotonic() + timeout
        while True:
            self._look()
            batch = self._take()
            if batch is not None:
                return batch
            if not self._watcher.wait(deadline):
                if self._missing:  # not in the moment between the two halves of a rotation
                    self._warn_missing()
                return None

    def wake(self) -> None:
        """Make a blocked `read` return; safe in signal handlers and from other threads."""
        self._watcher.wake()

    def position(self) -> str:
        """Return the cursor behind all that was read."""
        # A part of which nothing was read can't be recognised, and need not be: it is newer than the others.
        files = [part.saved() for part in self._parts if part.offset]
        return json.dumps({"path": self._path, "read_at": self._seen, "files": files}, separators=(",", ":"))

    def close(self) -> None:
        """Give the descriptors back."""
        self._watcher.close()
        for part in self._parts:
            part.detach()

    # -- where to start

    def _restore(self, cursor: str) -> bool:
        try:
            saved = json.loads(cursor)
            if saved["path"] != self._path:
                log.warning("the stored position is of %s: %s is read from now on", saved["path"], self._path)
                return False
            self._seen = int(saved["read_at"])
            self._parts = [Part.load(file) for file in saved["files"]]
        except (ValueError, TypeError, KeyError):
            log.warning(
                "the stored position %.80r is not one of a log file: %s is read from now on", cursor, self._path
            )
            return False
        self._leave(self._parts[:-1])
        return True

    def _start(self, older: list[Generation], current: Optional[Generation]) -> None:
        while self._parts:  # of a try that came to nothing
            self._parts.pop().detach()
        self._missing = current is None
        self._seen = max((generation.mtime for generation in [*older, *_some(current)]), default=0)
        # With the newest rotated file, as a rotation may be going on: its writer is perhaps still at it.
        for generation in [*(one for one in older[-1:] if not one.packed), *_some(current)]:
            self._append(generation)
        for part in self._parts:
            part.to_end()
        self._leave(self._parts[:-1])
        self._fresh = False

    # -- which files to follow

    def _look(self) -> None:
        """Find out whether the newest part is still what the path means; that is cheap and nearly always so."""
        # An untouched file could have been filled, copied and emptied: it has no beginning that would tell.
        settled = all(part.reader for part in self._parts) and any(part.offset for part in self._parts[-1:])
        try:
            status = Path(self._path).stat()
        except OSError:
            settled = False
        if not settled or self._parts[-1].ident != (status.st_dev, status.st_ino):
            self._discover()

    def _discover(self) -> None:
        act = self._start if self._fresh else self._follow
        for _ in range(TRIES):
            self._watcher.watch_directories({self._path, os.path.realpath(self._path)})
            try:
                act(*generations(self._path))
            except MovedError:
                continue
            except OSError as error:
                self._warn("path", "%s can't be read (%s): waiting until it can", self._path, error.strerror)
            else:
                self._warned.discard("path")
            break
        self._watcher.keep_files({part.watch for part in self._parts})

    def _follow(self, older: list[Generation], current: Optional[Generation]) -> None:
        every = [*older, *_some(current)]
        self._missing = current is None
        if current:
            self._warned.discard("missing")
        for part in self._parts:
            if part.reader is None:
                self._find(part, every)
        if self._parts and self._parts[-1].reader is None:
            if current is None:
                return  # perhaps it is only away for a while, and comes back
            self._warn_lost(self._parts[-1])
        self._parts = [part for part in self._parts if part.reader]
        if current:
            # The path's own file is the newest, even where a rotated one was put back.
            self._parts.sort(key=lambda part: part.ident == current.ident)
        there = {generation.ident for generation in every}
        untouched = set()
        while self._parts and not self._parts[-1].offset and self._parts[-1].ident in there:
            untouched.add(self._parts[-1].ident)
            self._parts.pop().detach()  # taken up again behind what turned up before it
        for part in self._parts[-1:]:
            part.left = None
        for generation in self._newer(every, current, untouched)[: max(1, MOST_PARTS - len(self._parts))]:
            self._append(generation)

    def _find(self, part: Part, every: list[Generation]) -> None:
        """Search the file of a part: its inode first, then a copy of its content, the newest first."""
        order = sorted(every, key=lambda one: one.ident == part.ident)
        for generation in order[::-1]:
            reader = self._open(generation)
            if reader is None:
                continue
            if part.is_in(reader, same=generation.ident == part.ident):
                self._attach(part, generation, reader)
                return
            reader.close()

    def _newer(self, every: list[Generation], current: Optional[Generation], untouched: set[Ident]) -> list[Generation]:
        """Return the generations that come after the newest part."""
        seen = self._seen
        if self._parts:
            last = self._parts[-1]
            for index, generation in enumerate(every):
                if generation.ident == last.ident:
                    return every[index + 1 :]
            for index in reversed(range(len(every))):
                reader = self._open(every[index]) if last.length else None
                if reader is None:
                    continue
                if not last.is_in(reader, same=False):
                    reader.close()
                elif every[index] == current:
                    # Not a new log but a copy that took the place of the old one, as some editors leave it.
                    self._attach(last, every[index], reader)
                    return []
                else:
                    reader.close()
                    return every[index + 1 :]
            if last.reader and last.offset:
                seen = max(seen, last.reader.mtime())
        known = {part.ident for part in self._parts}
        return [
            generation
            for generation in every
            if generation.ident not in known
            and (generation == current or generation.ident in untouched or generation.mtime > seen)
        ]

    def _open(self, generation: Generation) -> Optional[Reader]:
        try:
            reader = open_log(generation)
        except OSError as error:
            if error.errno in NO_DESCRIPTORS:
                raise
            self._warn(
                generation.path, "%s can't be read (%s): its lines are not seen", generation.path, error.strerror
            )
            return None
        self._warned.discard(generation.path)
        return reader

    def _append(self, generation: Generation) -> None:
        reader = self._open(generation)
        if reader is not None:
            part = Part(generation.ident)
            self._attach(part, generation, reader)
            self._parts.append(part)

    def _attach(self, part: Part, generation: Generation, reader: Reader) -> None:
        watch = self._watcher.watch_file(reader.fd) if isinstance(reader, Plain) else None
        part.attach(generation.ident, reader, watch)

    # -- what they hold

    def _take(self) -> Optional[Batch]:
        """Return the next lines there are: of the oldest part that has any."""
        # Sizes from the newest to the oldest: what an older part gets after that comes after these bytes.
        limits = [part.offset + part.unread() for part in reversed(self._parts)][::-1]
        for index, part in enumerate(list(self._parts)):
            if part.reader is None:
                continue
            limit = limits[index] if index and isinstance(part.reader, Plain) else None
            seen = part.reader.mtime()
            try:
                data = part.lines(part.reader, limit)
            except TruncatedError:
                part.detach()
                self._discover()
                return self._take()
            if data:
                self._seen = max(self._seen, seen)
                self._leave(self._parts[: self._parts.index(part)])
                behind = sum(one.unread() for one in self._parts)
                return Batch(data, self.position(), behind)
            if part.left is not None and self._quiet(part.left):
                part.detach()
                self._parts.remove(part)
                self._watcher.keep_files({one.watch for one in self._parts})
        return None

    def _leave(self, parts: list[Part]) -> None:
        now = self._monotonic()
        for part in parts:
            part.left = now if part.left is None else part.left

    def _quiet(self, since: float) -> bool:
        return self._monotonic() - since >= LINGER or len(self._parts) > MOST_PARTS // 2

    # -- what to tell

    def _warn(self, key: str, text: str, *values: object) -> None:
        if key not in self._warned:
            self._warned.add(key)
            log.warning(text, *values)

    def _warn_missing(self) -> None:
        self._warn("missing", "%s is not there: waiting for it", self._path)

    def _warn_lost(self, part: Part) -> None:
        when = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=self._seen // 1000)
        log.warning(
            "%s: the file last read (device %d, inode %d, up to byte %d) was removed or emptied, and no rotated file"
            " goes on where it was left: lines written to it after %s are not known",
            self._path,
            *part.ident,
            part.offset,
            when.isoformat(timespec="seconds"),
        )


def _some(current: Optional[Generation]) -> list[Generation]:
    return [current] if current else []
