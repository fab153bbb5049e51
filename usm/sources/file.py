"""Follow a log file: every whole line once and in order, across rotation, truncation, restarts and kills.

What is followed is a list of parts, oldest first: open files, each with the place up to which it was read.
Usually there is one. After a rotation the old file stays in the list until it was quiet for a while, because
the writer is told of the rotation later than we see it. The cursor is this list, so it alone is what a kill
leaves. Which files belong into the list is told in `trail`, how one is read in `part`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from usm.core.model import Batch
from usm.core.sieve import sift
from usm.errors import SourceError
from usm.sources.inotify import Watcher
from usm.sources.locate import unreadable
from usm.sources.part import Part, TruncatedError
from usm.sources.rotated import MovedError, Plain, generations, open_log
from usm.sources.trail import MOST_PARTS, Trail

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

log = logging.getLogger(__name__)

LINGER = 10.0  # seconds that a rotated file is still watched for late lines


class FileSource:
    """Gives the lines of a log file; without a cursor, those written from now on."""

    def __init__(self, path: str, cursor: Optional[str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = str(Path(path).absolute())
        self._monotonic = monotonic
        problem = unreadable(self._path)
        if problem not in (None, "missing"):
            raise SourceError(f"{self._path}: {problem}")
        directory = Path(self._path).parent
        if directory.is_dir() and not os.access(directory, os.R_OK, effective_ids=True):
            log.warning("%s can't be listed: after a downtime, rotated files are not found", directory)
        self._watcher = Watcher(monotonic)
        self._trail = Trail(self._path, self._watcher)
        if cursor is not None:
            self._restore(cursor)
        self._trail.discover()
        if self._trail.missing:
            self._warn_missing()

    def read(self, timeout: Optional[float]) -> Optional[Batch]:
        """Block until there are whole lines; None after `timeout` seconds or a `wake`."""
        deadline = None if timeout is None else self._monotonic() + timeout
        while True:
            self._trail.look()
            batch = self._take()
            if batch is not None or self._trail.alarms:
                return batch
            if not self._watcher.wait(deadline):
                if self._trail.missing:  # not in the moment between the two halves of a rotation
                    self._warn_missing()
                return None

    def rest(self) -> Optional[Batch]:
        """Return what was written by now: of a file that is what `read` gives without waiting."""
        return self.read(0)

    def wake(self) -> None:
        """Make a blocked `read` return; safe in signal handlers and from other threads."""
        self._watcher.wake()

    def position(self) -> str:
        """Return the cursor behind all that was read."""
        # A part of which nothing was read can't be recognised, and need not be: it is newer than the others.
        files = [part.saved() for part in self._trail.parts if part.offset]
        return json.dumps({"path": self._path, "read_at": self._trail.seen, "files": files}, separators=(",", ":"))

    def history(self, pids: Collection[int], since: datetime) -> Iterator[bytes]:
        """Yield the lines that name one of these processes, from all that is left of the log since then."""
        numbers = b"|".join(b"%d" % pid for pid in pids)
        named = re.compile(rb"^.*(?:\[(?:%s)\]: | (?:%s) \S+ -).*$" % (numbers, numbers), re.MULTILINE)
        for data in self._blocks(since):
            yield from named.findall(data)

    def past(self, since: datetime) -> Iterator[bytes]:
        """Yield the lines worth reading that are left of the log since then; from another thread, beside `read`."""
        for data in self._blocks(since):
            yield from sift(data).lines

    def _blocks(self, since: datetime) -> Iterator[bytes]:
        older, current = generations(self._path)
        for generation in [*older, *([current] if current else [])]:
            if generation.mtime < since.timestamp() * 1e9:
                continue
            try:
                reader = open_log(generation)
            except (OSError, MovedError):
                continue
            part = Part(generation.ident)
            part.attach(generation.ident, reader, None)
            part.note()
            try:
                yield from iter(lambda: part.lines(reader, None), b"")  # noqa: B023 - used at once
            finally:
                part.detach()

    def alarms(self) -> list[tuple[str, str]]:
        """Return what was noticed of the log since it was asked last, such as that it was cut: which, and in detail."""
        alarms, self._trail.alarms = self._trail.alarms, []
        return alarms

    def close(self) -> None:
        """Give the descriptors back."""
        self._watcher.close()
        for part in self._trail.parts:
            part.detach()

    def _restore(self, cursor: str) -> None:
        try:
            saved = json.loads(cursor)
            path, seen = str(saved["path"]), int(saved["read_at"])
            parts = [Part.load(file) for file in saved["files"]]
        except (ValueError, TypeError, KeyError):
            text = "the stored position %.80r is not one of a log file: %s is read from now on"
            log.warning(text, cursor, self._path)
            return
        if path != self._path:
            log.warning("the stored position is of %s: %s is read from now on", path, self._path)
            return
        self._trail.parts, self._trail.seen, self._trail.fresh = parts, seen, False
        self._leave(parts[:-1])

    def _take(self) -> Optional[Batch]:
        """Return the next lines there are: of the oldest part that has any."""
        parts = list(self._trail.parts)
        # Sizes from the newest to the oldest: what an older part gets after that comes after these bytes.
        limits = [part.offset + part.unread() for part in reversed(parts)][::-1]
        for index, part in enumerate(parts):
            if part.reader is None:
                continue
            limit = limits[index] if index and isinstance(part.reader, Plain) else None
            seen = part.reader.mtime()
            try:
                data = part.lines(part.reader, limit)
            except TruncatedError:
                part.detach()
                self._trail.discover()
                return self._take()
            if data:
                self._trail.seen = max(self._trail.seen, seen)
                self._leave(parts[:index])
                return Batch(data, self.position(), sum(one.unread() for one in self._trail.parts))
            if part.left is not None and self._is_over(part.left):
                self._trail.drop(part)
        return None

    def _leave(self, parts: list[Part]) -> None:
        now = self._monotonic()
        for part in parts:
            part.left = now if part.left is None else part.left

    def _is_over(self, left: float) -> bool:
        return self._monotonic() - left >= LINGER or len(self._trail.parts) > MOST_PARTS // 2

    def _warn_missing(self) -> None:
        self._trail.warn("missing", "%s is not there: waiting for it", self._path)
