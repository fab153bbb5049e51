"""Which files of a log are followed: the parts, oldest first, brought up to date with the directory.

The order is that of the names. The newest part of which something was read is found among the log's
generations, by inode or by its first bytes; all that comes after it is followed too. Two things make this
exact while others rename, copy and empty the files:
- A name is opened only if it still means the file that was listed, else everything is looked at anew.
- Of a file of which nothing was read, the beginning is noted *before* the directory is listed, and it is not
  read before that. If it was emptied earlier, its copy is in the listing; if later, the beginning differs.
"""

from __future__ import annotations

import errno
import logging
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from usm.sources.edited import place_in
from usm.sources.part import Part
from usm.sources.rotated import TRIES, Generation, MovedError, Plain, Reader, generations, open_log

if TYPE_CHECKING:
    from usm.sources.inotify import Watcher

log = logging.getLogger(__name__)

MOST_PARTS = 16  # files open at once; after a long downtime there may be hundreds to catch up with
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Trail:
    """The files of one log that are followed; `seen` is the latest mtime of any when it was read."""

    def __init__(self, path: str, watcher: Watcher) -> None:
        self.path = path
        self.parts: list[Part] = []
        self.seen = 0
        self.missing = False
        self.fresh = True  # no place to go on from: lines that are there already are history
        self._watcher = watcher
        self._warned: set[str] = set()
        self.alarms: list[tuple[str, str]] = []

    def look(self) -> None:
        """Find out whether the newest part is still what the path means; that is cheap and nearly always so."""
        settled = all(part.reader for part in self.parts) and any(part.offset for part in self.parts[-1:])
        try:
            status = Path(self.path).stat()
        except OSError:
            settled = False
        if not settled or self.parts[-1].ident != (status.st_dev, status.st_ino):
            self.discover()

    def discover(self) -> None:
        """Bring the parts up to date with the directory."""
        for _ in range(TRIES):
            self._watcher.watch_directories({self.path, os.path.realpath(self.path)})
            for part in self.parts:
                part.note()
            try:
                found = generations(self.path)
                done = self._start(*found) if self.fresh else self._follow(*found)
            except MovedError:
                continue
            except OSError as error:
                self.warn("path", "%s can't be read (%s): waiting until it can", self.path, error.strerror)
                break
            self._warned.discard("path")
            if done:
                self._watcher.keep_files({part.watch for part in self.parts})
                return
        for part in self.parts:
            part.unnote()  # what comes before it is not known

    def drop(self, part: Part) -> None:
        """Follow a part no longer."""
        part.detach()
        self.parts.remove(part)
        self._watcher.keep_files({one.watch for one in self.parts})

    def warn(self, key: str, text: str, *values: object) -> None:
        """Say something once."""
        if key not in self._warned:
            self._warned.add(key)
            log.warning(text, *values)

    def _start(self, older: list[Generation], current: Optional[Generation]) -> bool:
        """Step behind all there is, and return False as `_follow` does."""
        while self.parts:  # of a try that came to nothing
            self.parts.pop().detach()
        self.missing = current is None
        # With the newest rotated file, as a rotation may be going on: its writer is perhaps still at it.
        for generation in [*(one for one in older[-1:] if not one.packed), *_some(current)]:
            reader = self._open(generation)
            if reader is not None:
                part = self._attach(Part(generation.ident), generation, reader)
                part.to_end()
                self.parts.append(part)
        self.seen = max((generation.mtime for generation in [*older, *_some(current)]), default=0)
        self.fresh = False
        return False

    def _follow(self, older: list[Generation], current: Optional[Generation]) -> bool:
        """Return False if there is a new file that is not to be read before another look."""
        every = [*older, *_some(current)]
        self.missing = current is None
        if current:
            self._warned.discard("missing")
        for part in self.parts:
            if part.reader is None:
                self._find(part, every)
        if self.parts and self.parts[-1].reader is None:
            if current is None:
                return True  # perhaps it is only away for a while, and comes back
            self._warn_lost(self.parts[-1])
            self.alarms.append(("emptied", self.path))
        # The path's own file is the newest, even where a rotated one was put back.
        followed = [part for part in self.parts if part.reader]
        followed.sort(key=lambda part: current is not None and part.ident == current.ident)
        self.parts = followed
        newer = self._newer(every, current)
        added = self._added(newer, every, current)
        order = {generation.ident: index for index, generation in enumerate(newer)}
        for part in added:
            later = (at for at, one in enumerate(self.parts) if order.get(one.ident, -1) > order[part.ident])
            self.parts.insert(next(later, len(self.parts)), part)
        for part in self.parts[-1:]:
            part.left = None
        return all(part.length for part in added)

    def _find(self, part: Part, every: list[Generation]) -> None:
        """Search the file of a part: its inode first, then a copy of its content, the newest first."""
        order = sorted(every, key=lambda one: one.ident == part.ident)
        taken = {one.ident for one in self.parts if one.reader}
        for generation in order[::-1]:
            reader = None if generation.ident in taken else self._open(generation)
            if reader is None:
                continue
            if part.is_in(reader, same=generation.ident == part.ident):
                self._attach(part, generation, reader)
                return
            reader.close()

    def _newer(self, every: list[Generation], current: Optional[Generation]) -> list[Generation]:
        """Return the generations that come after all of which something was read."""
        begun = [part for part in self.parts if part.offset]
        idents = [generation.ident for generation in every]
        for part in reversed(begun):
            if part.ident in idents:
                return every[idents.index(part.ident) + 1 :]
            for index in reversed(range(len(every))):
                reader = self._open(every[index])
                if reader is None:
                    continue
                if part.is_in(reader, same=False):
                    if every[index] == current:
                        # Not a new log but a copy that took the place of the old one, as some editors leave it.
                        self._attach(part, every[index], reader)
                        self.alarms.append(("replaced", self.path))
                    else:
                        reader.close()
                    return every[index + 1 :]
                reader.close()
        known = {part.ident for part in self.parts}
        seen = max([self.seen, *(part.reader.mtime() for part in begun[-1:] if part.reader)])
        return [one for one in every if one == current or one.ident in known or one.mtime > seen]

    def _added(self, newer: list[Generation], every: list[Generation], current: Optional[Generation]) -> list[Part]:
        """Open the generations that are not followed yet."""
        added: list[Part] = []
        known = {part.ident for part in self.parts}
        unknown = [generation for generation in newer if generation.ident not in known]
        room = max(2, MOST_PARTS - len(known))
        if len(unknown) > room and unknown[-1] == newer[-1]:
            unknown = unknown[: min(room, len(unknown) - 2)]  # the last but one may be a copy of the last
        # What is written to now may be half copied, what is gone from the names may be there compressed.
        listed = {one.ident for one in every if one != current}
        twins = [part for part in self.parts if not part.offset and part.ident not in listed]
        for generation in sorted(unknown, key=lambda one: one != current):
            reader = self._open(generation)
            if reader is None:
                continue
            if generation != current and _is_copy(reader, twins):
                reader.close()
                continue
            part = self._attach(Part(generation.ident), generation, reader)
            added.append(part)
            if generation == current:
                twins.append(part)
                self._go_on(part, reader)
            else:
                part.note()
        return added

    def _go_on(self, part: Part, reader: Reader) -> None:
        """Step behind what is known of a file that took the place of the one that was read, with lines changed."""
        before = self.parts[-1] if self.parts else None
        if before is None or not isinstance(before.reader, Plain) or not isinstance(reader, Plain):
            return
        place = place_in(before.reader, before.offset, reader)
        if place is not None:
            part.step_to(place)
            self.alarms.append(("replaced", self.path))

    def _open(self, generation: Generation) -> Optional[Reader]:
        try:
            reader = open_log(generation)
        except OSError as error:
            if error.errno in NO_DESCRIPTORS:
                raise
            text = "%s can't be read (%s): its lines are not seen"
            self.warn(generation.path, text, generation.path, error.strerror)
            return None
        self._warned.discard(generation.path)
        return reader

    def _attach(self, part: Part, generation: Generation, reader: Reader) -> Part:
        size = reader.size()
        if size is not None and size < part.offset:
            self.alarms.append(("shorter", f"{generation.path}: {size} < {part.offset}"))
        watch = self._watcher.watch_file(reader.fd) if isinstance(reader, Plain) else None
        part.attach(generation.ident, reader, watch)
        return part

    def _warn_lost(self, part: Part) -> None:
        when = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=self.seen // 1000)
        log.warning(
            "%s: the file last read (device %d, inode %d, up to byte %d) was removed or emptied, and no rotated file"
            " goes on where it was left: lines written to it after %s are not known",
            self.path,
            *part.ident,
            part.offset,
            when.isoformat(timespec="seconds"),
        )


def _is_copy(reader: Reader, parts: list[Part]) -> bool:
    """Tell whether a file is empty or begins as one of which nothing was read: a copy, perhaps not yet complete."""
    head = reader.head()
    others = [part.reader.head() for part in parts if part.reader]
    return not head or any(other and (other.startswith(head) or head.startswith(other)) for other in others)


def _some(current: Optional[Generation]) -> list[Generation]:
    return [current] if current else []
