"""The generations of a log: which files belong to it, from the oldest to the newest, and how each is read."""

from __future__ import annotations

import bz2
import errno
import gzip
import logging
import lzma
import os
import re
import stat
import zlib
from pathlib import Path
from typing import IO, Callable, NamedTuple, Optional, Union, cast

log = logging.getLogger(__name__)

HEAD = 1024  # bytes at the beginning by which content is recognised
PIECE = 1 << 16
TRIES = 5
OPENERS = cast(
    "dict[str, Callable[[IO[bytes]], IO[bytes]]]",
    {".gz": gzip.open, ".xz": lzma.open, ".lzma": lzma.open, ".bz2": bz2.open},
)
UNREADABLE = (".zst", ".lz4", ".Z")  # no decompressor for these in Python's own library

Ident = tuple[int, int]

# .1  .2.gz  -20261122  -20261122.xz  -2026-11-22  .20261122  -20261122-1795312800
_ending = re.compile(
    r"(?:\.(?P<number>\d{1,5})|[-._](?P<date>\d{4}-?\d\d-?\d\d(?:[-_.T]?\d)*))(?P<packed>\.(?:gz|xz|lzma|bz2|zst|lz4|Z))?",
    re.ASCII,
)


class MovedError(Exception):
    """The directory changed while it was being looked at: look again."""


class Generation(NamedTuple):
    """One file of a log, as the directory showed it; `ident` is (device, inode), `mtime` in nanoseconds."""

    path: str
    ident: Ident
    mtime: int

    @property
    def packed(self) -> bool:
        """Tell whether it is compressed, so that nobody writes to it any more."""
        return self.path.endswith((*OPENERS, *UNREADABLE))


def generations(path: str) -> tuple[list[Generation], Optional[Generation]]:
    """Return the rotated files of a log, oldest first, and the current one if it is there.

    One listing can miss a file that is being renamed, so two in a row have to agree.
    """
    previous = None
    for _ in range(TRIES):
        found = _list(path)
        named = [(generation.path, generation.ident) for generation in _all(found)]
        if named == previous:
            return found
        previous = named
    raise MovedError  # a file that was missed would be passed over for good


def _all(found: tuple[list[Generation], Optional[Generation]]) -> list[Generation]:
    older, current = found
    return [*older, current] if current else older


def _list(path: str) -> tuple[list[Generation], Optional[Generation]]:
    real = os.path.realpath(path)
    older = rotated(real)
    try:
        status = Path(real).stat()
    except (FileNotFoundError, NotADirectoryError):
        return older, None
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    return older, Generation(real, (status.st_dev, status.st_ino), status.st_mtime_ns)


def rotated(path: str) -> list[Generation]:
    """Return the rotated files of a log, oldest first: by number or date, or by mtime where both are mixed."""
    directory, base = os.path.split(path)
    found: list[tuple[re.Match[str], Generation]] = []
    try:
        names = {entry.name for entry in os.scandir(directory) if entry.name.startswith(base)}
    except OSError:
        return []  # said at the start; the file itself may be readable all the same
    for name in names:
        match = _ending.fullmatch(name, len(base))
        # A packed file beside the plain one is still being written.
        if match is None or (match["packed"] and name[: -len(match["packed"])] in names):
            continue
        try:
            status = Path(directory, name).stat()
        except FileNotFoundError as error:
            if os.path.islink(Path(directory, name)):
                continue  # to nothing
            raise MovedError from error
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            ident = (status.st_dev, status.st_ino)
            found.append((match, Generation(f"{directory}/{name}", ident, status.st_mtime_ns)))
    if all(match["number"] for match, _ in found):
        found.sort(key=lambda item: -int(item[0]["number"]))
    elif all(match["date"] for match, _ in found):
        found.sort(key=lambda item: [int(digits) for digits in re.findall("[0-9]+", item[0]["date"])])
    else:
        found.sort(key=lambda item: item[1].mtime)
    return [generation for _, generation in found]


class Plain:
    """An open file of which any part can be read."""

    def __init__(self, fd: int, path: str) -> None:
        self.fd = fd
        self.path = path

    def peek(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on."""
        return os.pread(self.fd, size, offset)

    def head(self) -> bytes:
        """Return the beginning."""
        return os.pread(self.fd, HEAD, 0)

    def size(self) -> Optional[int]:
        """Return how many bytes there are now."""
        return os.fstat(self.fd).st_size

    def mtime(self) -> int:
        """Return when it was last written to, in nanoseconds."""
        return os.fstat(self.fd).st_mtime_ns

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


class Packed:
    """A compressed file, unpacked piece by piece: offsets count unpacked bytes and only go forward."""

    def __init__(self, raw: IO[bytes], path: str) -> None:
        self.path = path
        self._raw = raw
        self._stream: Optional[IO[bytes]] = OPENERS[Path(path).suffix](raw)
        self._head = b""
        self._start = 0
        self._buffer = bytearray()

    def peek(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on."""
        while len(self._buffer) < offset - self._start + size:
            piece = self._piece()
            if not piece:
                break
            self._head += piece[: HEAD - len(self._head)]
            self._buffer += piece
            self._forget(offset)
        self._forget(offset)
        return bytes(self._buffer[:size]) if self._start == offset else b""

    def _forget(self, offset: int) -> None:
        passed = min(offset - self._start, len(self._buffer))
        del self._buffer[:passed]
        self._start += passed

    def _piece(self) -> bytes:
        if self._stream is None:
            return b""
        try:
            return cast("gzip.GzipFile", self._stream).read1(PIECE)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            log.warning("%s is damaged (%s): its lines from there on are lost", self.path, error)
            self._stream = None
            return b""

    def head(self) -> bytes:
        """Return the beginning."""
        if not self._head:
            self.peek(0, HEAD)
        return self._head

    def size(self) -> Optional[int]:
        """Return None: it is not known without unpacking."""
        return None

    def mtime(self) -> int:
        """Return when it was last written to, in nanoseconds."""
        return os.fstat(self._raw.fileno()).st_mtime_ns

    def close(self) -> None:
        """Give the descriptor back."""
        self._raw.close()


Reader = Union[Plain, Packed]


def open_log(generation: Generation) -> Reader:
    """Open exactly the file that the directory showed, or raise MovedError if the name means another one now."""
    path = generation.path
    if path.endswith(UNREADABLE):
        raise OSError(errno.EINVAL, "this compression can't be unpacked; gzip, xz and bzip2 can")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # NONBLOCK: a FIFO of that name must not hang us
    except FileNotFoundError as error:
        raise MovedError from error
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != generation.ident:
        os.close(fd)
        raise MovedError
    if path.endswith(tuple(OPENERS)):
        return Packed(os.fdopen(fd, "rb"), path)
    return Plain(fd, path)
