"""The whole left half over files, touching nothing: what the monitor would have seen."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import zlib
from contextlib import ExitStack
from datetime import datetime, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable, Optional

from usm.core.alert import event_json, finding_json
from usm.core.decode import Stamps
from usm.core.message import Alert
from usm.core.model import ACCOUNT, gravest
from usm.core.text import plain_text
from usm.errors import SourceError
from usm.ingest import Intake, each
from usm.judging import Told
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from usm.core.look import Look
    from usm.judging import Judge

_OPENERS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7": lzma.LZMAFile,
    b"BZ": bz2.BZ2File,
}


def replay(
    files: Sequence[str], kinds: frozenset[str], form: str, look: Look, now: datetime, judge: Optional[Judge] = None
) -> Iterator[str]:
    """Yield one line of text (or block of it) for each event of `kinds`; sessions go on from one file into the next.

    With a `judge` only for those of which something was found, with what was found.
    """
    store = Store(":memory:")
    for name in files:
        with ExitStack() as stack:
            file, written = _open(name, stack)
            stamps = Stamps(look.zone, now if name == "-" else written)
            for told, line in _told(store, file, stamps, judge):
                event, severity = told.event, gravest(finding.severity for finding in told.findings)
                if event.kind not in kinds:  # also what is evidence only
                    continue
                if form == "text":
                    alert = Alert("", event, severity, findings=told.findings, learning=told.learning)
                    yield plain_text(alert, look) + "\n"
                    continue
                body = {**event_json(event), "line": line, **({} if judge is None else {"severity": severity})}
                if len(files) > 1:
                    body["file"] = name
                if judge is not None:
                    body["learning"] = None if told.learning is None else told.learning.isoformat()
                    body["findings"] = [finding_json(finding) for finding in told.findings]
                yield json.dumps(body, ensure_ascii=False)


def _told(store: Store, file: Iterator[bytes], stamps: Stamps, judge: Optional[Judge]) -> Iterator[tuple[Told, int]]:
    first = next(file, b"")
    intake = Intake(stamps, journal=first.startswith(b"{"))  # no line of syslog's begins so
    for tx, line, event in each(store, chain((first,), file), intake):
        if judge is None:
            yield Told(event), line
        elif event.kind == ACCOUNT:
            judge.learn(tx, event)
        else:
            yield from ((told, line) for told in judge.take(tx, event) if told.findings)


def _open(name: str, stack: ExitStack) -> tuple[Iterator[bytes], datetime]:
    """Open a file, or a pipe, by what it holds, not by its name; return its lines and when it was last written."""
    try:
        raw = stack.enter_context(open(0 if name == "-" else name, "rb", closefd=name != "-"))  # noqa: SIM115 - the stack closes it
        written = datetime.fromtimestamp(os.fstat(raw.fileno()).st_mtime, timezone.utc)
        opener = _OPENERS.get(raw.peek(2)[:2])
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror}") from error
    return _lines(name, raw if opener is None else stack.enter_context(opener(raw))), written


def _lines(name: str, file: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from file
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise SourceError(f"{name}: can't be read further: {getattr(error, 'strerror', None) or error}") from error
