"""Where log lines come from: each source is one module, and `open_source` opens it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Callable, Optional, Protocol

from usm.core.model import micros
from usm.sources.file import FileSource
from usm.sources.journal import JournalSource

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from usm.core.model import Batch

log = logging.getLogger(__name__)
JOURNAL = "journal"


class Source(Protocol):
    """Gives every log line once and in order, and can go on from any cursor that it gave out."""

    def read(self, timeout: Optional[float]) -> Optional[Batch]:
        """Block until there are whole lines; None after `timeout` seconds or a `wake`."""
        ...

    def rest(self) -> Optional[Batch]:
        """Return what was written by now, at the end: what the others wrote who were ended just before us."""
        ...

    def wake(self) -> None:
        """Make a blocked `read` return; safe in signal handlers and from other threads."""
        ...

    def position(self) -> str:
        """Return the cursor behind all that was read."""
        ...

    def history(self, pids: Collection[int], since: datetime) -> Iterable[bytes]:
        """Return what is left of the log since then that these processes wrote, in the form of `read`; read or not."""
        ...

    def past(self, since: datetime) -> Iterable[bytes]:
        """Return the lines worth reading that are left of the log since then; from another thread, beside `read`."""
        ...

    def alarms(self) -> list[tuple[str, str]]:
        """Return what was noticed of the log since it was asked last, such as that it was cut: which, and in detail."""
        ...

    def close(self) -> None:
        """Give the descriptors back."""
        ...


def source_name(path: Optional[str]) -> str:
    """Return the name under which the place in a log file, or without a path in the journal, is stored."""
    return JOURNAL if path is None else f"file:{path}"


def open_source(
    path: Optional[str],
    cursor: Callable[[str], Optional[str]],
    watched: Optional[tuple[str, datetime]],
    identifiers: Sequence[str],
) -> tuple[str, Source]:
    """Open the log file, or without a path the journal; return the name of its cursor, and it.

    `watched`: the source that was read last and until when. Reading goes on at its cursor; another source that was
    read before it would tell the same twice. The journal goes on at that time, a file from now on.
    """
    name = source_name(path)
    last = cursor(name) if watched is None or watched[0] == name else None
    source: Source
    if path is None:
        source = JournalSource(identifiers, last, since=None if watched is None else micros(watched[1]))
        if watched is not None and watched[0] != name:
            text = "the journal is read from now on, and no longer %s: it holds this machine's lines only"
            log.warning(text, watched[0])
        return name, source
    source = FileSource(path, last)
    if last is None and watched is not None:
        text = "%s is read from now on: what was written to it since %s, when %s was read last, is not told"
        log.warning(text, path, watched[1].isoformat(timespec="seconds"), watched[0])
    return name, source
