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
from typing import TYPE_CHECKING, Any, Callable

from usm.core.alert import event_json, finding_json
from usm.core.decode import Stamps
from usm.core.judge import gravest
from usm.core.message import Alert
from usm.core.model import ACCOUNT, INFO, Event
from usm.core.text import plain_text
from usm.errors import SourceError
from usm.ingest import Intake
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from usm.core.look import Look
    from usm.judging import Judge, Told

_OPENERS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7": lzma.LZMAFile,
    b"BZ": bz2.BZ2File,
}
_ROUND = 20000  # lines between two writes of the sessions to the store in memory


def replay(files: Sequence[str], kinds: frozenset[str], form: str, look: Look, now: datetime) -> Iterator[str]:
    """Yield one line of text (or block of it) for each event of `kinds`; sessions go on from one file into the next."""
    store = Store(":memory:")
    for name in files:
        with ExitStack() as stack:
            file, written = _open(name, stack)
            latest = now if name == "-" else written
            for event in _events(store, file, Stamps(look.zone, latest)):
                if event.kind not in kinds:  # also what is evidence only
                    continue
                if form == "text":
                    yield plain_text(Alert("", event, INFO), look) + "\n"
                    continue
                body = {**event_json(event), "line": event.line}
                if len(files) > 1:
                    body["file"] = name
                yield json.dumps(body, ensure_ascii=False)


def findings(
    files: Sequence[str], judge: Judge, kinds: frozenset[str], form: str, look: Look, now: datetime
) -> Iterator[str]:
    """Yield one line of JSON (or block of text) for each event of which something was found, with what was found."""
    store = Store(":memory:")
    for name in files:
        with ExitStack() as stack:
            file, written = _open(name, stack)
            for told, line in _judged(store, judge, file, Stamps(look.zone, now if name == "-" else written)):
                event, severity = told.event, gravest(told.findings)
                if event.kind not in kinds:
                    continue
                if form == "text":
                    alert = Alert("", event, severity, findings=told.findings, learning=told.learning)
                    yield plain_text(alert, look) + "\n"
                    continue
                found = [finding_json(finding) for finding in told.findings]
                learning = None if told.learning is None else told.learning.isoformat()
                body = {**event_json(event), "line": line, "severity": severity}
                body.update({"file": name} if len(files) > 1 else {}, learning=learning, findings=found)
                yield json.dumps(body, ensure_ascii=False)


def _judged(store: Store, judge: Judge, file: Iterable[bytes], stamps: Stamps) -> Iterator[tuple[Told, int]]:
    lines = enumerate(file, 1)
    intake = Intake(stamps)
    more = True
    while more:
        more = False
        with store.transaction() as tx:
            for number, line in lines:
                if number == 1:
                    intake.journal = line.startswith(b"{")
                for event in intake.take(tx, line.rstrip(b"\n")):
                    if event.kind == ACCOUNT:
                        judge.learn(tx, event)
                        continue
                    for told in judge.take(tx, event):
                        if told.findings:
                            yield told, event.line or number
                if number % _ROUND == 0:
                    more = True
                    break


def _events(store: Store, file: Iterable[bytes], stamps: Stamps) -> Iterator[Event]:
    lines = enumerate(file, 1)
    intake = Intake(stamps)
    more = True
    while more:
        more = False
        with store.transaction() as tx:
            for number, line in lines:
                if number == 1:  # no line of syslog's begins so
                    intake.journal = line.startswith(b"{")
                for event in intake.take(tx, line.rstrip(b"\n")):
                    yield event._replace(line=number)
                if number % _ROUND == 0:
                    more = True
                    break


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
