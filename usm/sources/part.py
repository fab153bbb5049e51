"""One file that is followed, and the place up to which it was read."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any, Optional

from usm.sources.rotated import HEAD, Ident, Plain, Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

MAX_LINE = 1 << 20  # a longer line is dropped whole; also the most that is read at once


class TruncatedError(Exception):
    """What was read of a part is no longer what its file begins with."""


class Part:
    """A place in a file; `digest` of the first `length` bytes tells its content from another's."""

    def __init__(self, ident: Ident, offset: int = 0, length: int = 0, digest: str = "", *, skip: bool = False) -> None:
        self.ident = ident
        self.offset = offset
        self.length = length
        self.digest = digest or _digest(b"")
        self.skip = skip  # inside a line that is too long, up to its LF
        self.reader: Optional[Reader] = None
        self.watch: Optional[int] = None
        self.left: Optional[float] = None  # since when a newer part has given lines

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Part:
        """Make a part from what `saved` gave; its file has to be found first."""
        ident = (int(saved["dev"]), int(saved["ino"]))
        return cls(ident, int(saved["offset"]), int(saved["length"]), str(saved["head"]), skip=bool(saved["skip"]))

    def saved(self) -> dict[str, Any]:
        """Return what is needed to go on here after a restart."""
        device, inode = self.ident
        return {
            "dev": device,
            "ino": inode,
            "offset": self.offset,
            "length": self.length,
            "head": self.digest,
            "skip": self.skip,
        }

    def is_in(self, reader: Reader, *, same: bool) -> bool:
        """Tell whether a file has the content that was read; a copy (not the `same` inode) must have all of it."""
        if _digest(reader.head()[: self.length]) != self.digest:
            return False
        return same or self.offset == 0 or len(reader.peek(self.offset - 1, 1)) == 1

    def note(self) -> None:
        """Note how the file begins, if nothing was read of it yet."""
        if self.offset == 0 and self.reader is not None:
            head = self.reader.head()
            self.length, self.digest = len(head), _digest(head)

    def unnote(self) -> None:
        """Keep a file from being read of which nothing was read yet."""
        if self.offset == 0 and self.reader is not None:
            self.length, self.digest = 0, _digest(b"")

    def attach(self, ident: Ident, reader: Reader, watch: Optional[int]) -> None:
        """Go on in this file."""
        self.detach()
        self.ident, self.reader, self.watch = ident, reader, watch
        size = reader.size()
        if size is not None and size < self.offset:
            # A power loss can take what was already read; new lines come behind what is left.
            self._place(size, reader.head())

    def detach(self) -> None:
        """Close the file; the place stays."""
        if self.reader is not None:
            self.reader.close()
        self.reader = None

    def unread(self) -> int:
        """Return how many bytes are known to be unread."""
        size = self.reader.size() if self.reader else None
        return 0 if size is None else max(0, size - self.offset)

    def to_end(self) -> None:
        """Step behind all lines there are. One that is half written is not history: it is read when it is whole."""
        if isinstance(self.reader, Plain):
            size = self.reader.size() or 0
            tail = self.reader.peek(max(0, size - MAX_LINE), MAX_LINE)
            whole = tail.rfind(b"\n") + 1
            self.skip = not whole and len(tail) == MAX_LINE
            self._place(size if self.skip else size - len(tail) + whole, self.reader.head())

    def step_to(self, offset: int) -> None:
        """Go on at a place."""
        if self.reader is not None:
            self._place(offset, self.reader.head())

    def lines(self, reader: Reader, limit: Optional[int]) -> bytes:
        """Return the next whole lines before the offset `limit`, and step behind them."""
        while True:
            chunk = reader.peek(self.offset, MAX_LINE)
            # Read after the chunk: if the beginning is as before, so was the chunk.
            head = reader.head() if self.offset else chunk[:HEAD]
            size = reader.size()
            if _digest(head[: self.length]) != self.digest or (size is not None and size < self.offset):
                raise TruncatedError
            if limit is not None:
                chunk = chunk[: max(0, limit - self.offset)]
            if not chunk or not self.length:  # length 0: not yet noted, or empty when it was
                return b""
            if self.skip:
                end = chunk.find(b"\n") + 1
                self.skip = not end
                self._place(self.offset + (end or len(chunk)), head)
                continue
            end = chunk.rfind(b"\n") + 1
            if end:
                self._place(self.offset + end, head)
                return chunk[:end]
            if len(chunk) < MAX_LINE:
                return b""
            log.warning("%s: a line longer than %d bytes is dropped (from byte %d)", reader.path, MAX_LINE, self.offset)
            self.skip = True

    def _place(self, offset: int, head: bytes) -> None:
        self.offset = offset
        self.length = min(offset, HEAD)
        self.digest = _digest(head[: self.length])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
