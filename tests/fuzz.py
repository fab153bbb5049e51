"""Mutates recorded logs and drives the left half with them: `python -m tests.fuzz --seconds N [--seed S]`.

Looked for: exceptions, sessions closed twice or never opened, control characters in what is rendered, a sieve that
finds another truth than the slow way, and work that grows faster than the line. What fails is written to
tests/data/fuzz, where tests/test_fuzz.py replays it.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import re
import sys
import time
import traceback
from collections import Counter
from datetime import datetime, timezone
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tests.core.test_sieve import Counts, quickly, slowly
from tests.support import routes
from usm.core import model
from usm.core.alert import alert_for, event_json
from usm.core.decode import Stamps, decode_syslog
from usm.core.look import Look
from usm.core.message import Alert
from usm.core.model import INFO, Batch, Event, Host
from usm.core.recognize import recognize
from usm.core.text import plain_text
from usm.ingest import Intake, Watch, ingest
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
SEEDS = HERE / "data" / "fuzz"
NOW = datetime(2026, 12, 31, 12, tzinfo=timezone.utc)
HOST = Host("web01", ("192.0.2.10",), "b" * 32)
WATCH = Watch(HOST, routes("console"))
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]")  # all but the LF between facts
_ALLOWED = 2.0  # seconds for a megabyte of lines, and this much for a short one: very generous
_RATIO = 16.0  # four times as long a line may take at most this many times as long
_NOTABLE = 0.02  # seconds; below, a measured ratio is noise
_TOKENS = (
    b" from ",
    b" as x from ",
    b" ; USER=",
    b" ; COMMAND=",
    b" ; PWD=",
    b"(uid=",
    b" port 22 ssh2",
    b" [preauth]",
    b"\r",
    b"\0",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xff",
    b"\xed\xa0\x80",
    b"\x1b[31m",
    b"'",
    b" for ",
    b"invalid user ",
    b"]: ",
    b"message repeated 2 times: [ ",
    b"sshd[1]: ",
    b"(to root) ",
    b" on pts/0",
    b'"',
    b"\\",
    b"\\u0000",
    b"null",
    b"[]",
    b"{}",
    b"99999999999999999999",
    b"-1",
    b"0",
    b"65536",
    b"1e999",
    b"NaN",
    b"%eth0",
    b"::ffff:1.2.3.4",
    b"#012",
    "用户".encode(),
    "\u202e".encode(),
    "１".encode(),
    b" : ",
    b"\t",
    b"  ",
    b"@",
    b"://",
    b"Feb 29 ",
    b"23:59:60",
)


class Wrong(AssertionError):  # noqa: N818 - it is what the fuzzer finds
    """What must hold does not."""


def corpus() -> list[list[bytes]]:
    """Return the lines of every recording, a list for each."""
    paths = [*sorted((HERE / "data" / "logs").glob("*.log")), *sorted((HERE / "data" / "machines").glob("*/*.log"))]
    texts = [path.read_bytes() for path in [*paths, HERE.parent / "usm" / "demo.log"]]
    texts += [lzma.decompress(p.read_bytes()) for p in sorted((HERE / "data" / "machines").glob("*/*journal.json.xz"))]
    return [[line for line in text.split(b"\n") if line] for text in texts]


def mutate(rng: random.Random, lines: Sequence[bytes], other: Sequence[bytes]) -> bytes:
    """Take some neighbouring lines and spoil them; mostly a little, so that the most of each stays as it was."""
    start = rng.randrange(len(lines))
    found = list(islice(lines, start, start + rng.randint(1, 12)))
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(found))
        found[at] = _spoil(rng, found[at], rng.choice(other))
    if rng.random() < 0.2:
        rng.shuffle(found)
    if rng.random() < 0.2:
        found.append(rng.choice(found))
    return b"\n".join(found) + b"\n"


def _spoil(rng: random.Random, line: bytes, other: bytes) -> bytes:  # noqa: C901 - one way of spoiling after the other
    if not line:
        return rng.choice(_TOKENS)
    a, b = sorted((rng.randrange(len(line) + 1), rng.randrange(len(line) + 1)))
    kind = rng.randrange(10)
    if kind == 0:  # a bit or byte
        a = min(a, len(line) - 1)
        return line[:a] + bytes((rng.choice((line[a] ^ 1 << rng.randrange(8), rng.randrange(256))),)) + line[a + 1 :]
    if kind == 1:  # two lines spliced
        return line[:a] + other[rng.randrange(len(other) + 1) :]
    if kind == 2:  # a word swapped for one of another line
        words, more = line.split(b" "), other.split(b" ")
        words[rng.randrange(len(words))] = rng.choice(more)
        return b" ".join(words)
    if kind == 3:  # a part repeated
        return line[:a] + line[a : a + 40] * rng.choice((2, 3, 20, 200)) + line[a:]
    if kind == 4:  # truncated
        return line[:b] if rng.random() < 0.7 else line[a:]
    if kind == 5:  # a token put in
        return line[:a] + rng.choice(_TOKENS) + line[a:]
    if kind == 6:  # a token many times
        return line[:a] + rng.choice(_TOKENS) * rng.choice((10, 300, 1500)) + line[b if rng.random() < 0.3 else a :]
    if kind == 7:  # a number changed
        numbers = list(re.finditer(rb"\d+", line))
        if not numbers:
            return line + b"0"
        number = rng.choice(numbers)
        new = rng.choice((b"0", b"1", b"65536", b"4294967295", b"9" * 17, b"9" * 40, b"-1", b"00"))
        return line[: number.start()] + new + line[number.end() :]
    if kind == 8:  # a field of a journal's entry becomes something else
        fields = list(re.finditer(rb'"[A-Z_]+":("(?:[^"\\]|\\.)*")', line))
        if not fields:
            return line[:a] + line[b:]
        field = rng.choice(fields)
        new = rng.choice((b"null", b"[]", b"{}", b"1", b"[%s,%s]" % (field[1], field[1]), b"true", b"-1.5", b'""'))
        return line[: field.start(1)] + new + line[field.end(1) :]
    return line[:a] + other[: rng.randint(0, 200)] + line[b:]  # a field of another line


def check(data: bytes) -> int:
    """Read the lines in every way and hold what comes out against what must be; return the number of events."""
    journal = data.lstrip().startswith(b"{")
    intake = Intake(Stamps(timezone.utc, NOW), journal=journal)
    count = 0
    opened: set[str] = set()
    closed: set[str] = set()
    for each in (intake, Intake(Stamps(timezone.utc, NOW), journal=not journal)):
        for line in data.split(b"\n"):
            record = each.decode(line)
            event = None if record is None else recognize(record)
            if event is not None:
                _render(event)
                count += 1
    if not journal:
        _same(data)
    store = Store(":memory:")
    intake = Intake(Stamps(timezone.utc, NOW), journal=journal)
    with store.transaction() as tx:
        for line in data.split(b"\n"):
            for event in intake.take(tx, line, WATCH):
                _render(event)
                _follow(event, opened, closed)
    sessions = store.sessions(everything=True)
    if {s.id for s in sessions} != opened or {s.id for s in sessions if s.end is not None} != closed:
        raise Wrong("the store holds other sessions than were told")
    store.close()
    store = Store(":memory:")
    intake = Intake(Stamps(timezone.utc, NOW), journal=journal)
    ingest(store, "fuzz", Batch(data, "1"), intake, WATCH, NOW)
    if {(s.id, s.end) for s in store.sessions(everything=True)} != {(s.id, s.end) for s in sessions}:
        raise Wrong("a batch leads to other sessions than its lines one by one")
    store.close()
    return count


def _same(data: bytes) -> None:
    """Hold the sieve's findings against the slow way's.

    A failure whose stamp no calendar has is no record line by line; among others of its source the sieve counts it.
    """
    (quick, counted), (slow, expected) = quickly(data), slowly(data)
    if quick != slow:
        raise Wrong("the sieve finds other events")
    stamps = Stamps(timezone.utc, NOW)
    damaged = sum(decode_syslog(line, stamps) is None for line in data.split(b"\n"))
    more, less = _named(counted) - _named(expected), _named(expected) - _named(counted)
    if less or sum(more.values()) > damaged:
        raise Wrong("the sieve counts other failures")


def _named(failures: Counts) -> Counts:
    """Count a name that is unknown as the tally does."""
    known: Counts = Counter()
    for (host, ip, user, *more), count in failures.items():
        known[(host, ip, user or "", *more)] += count
    return known


def _follow(event: Event, opened: set[str], closed: set[str]) -> None:
    if event.kind == model.LOGIN:
        if event.session is None or event.session in opened:
            raise Wrong("a session was opened twice")
        opened.add(event.session)
    if event.kind == model.LOGOUT:
        if event.session not in opened or event.session in closed:
            raise Wrong("a session was closed that was not open")
        closed.add(event.session)
        if event.duration is None or event.duration < 0:
            raise Wrong("a session of no duration")


def _render(event: Event) -> None:
    if event.kind not in model.KINDS or (event.kind == model.LOGOUT and event.session is None):
        return
    alert = alert_for(event, HOST) or Alert("", event, INFO)
    for language in ("zh", "en"):
        if _CONTROL.search(plain_text(alert, Look(language, timezone.utc))):
            raise Wrong("a control character was rendered")
    text = json.dumps(event_json(event), ensure_ascii=False)
    if "\n" in text:
        raise Wrong("JSON of several lines")
    text.encode("utf-8")


def measure(line: bytes, part: bytes, at: int) -> float:
    """Return how many times as long a line takes whose repeated part is four times as long; 0 where both are quick."""
    times = []
    for count in (1, 4):
        long = line[:at] + part * (count * 4000 // len(part)) + line[at:]
        begin = time.process_time()
        for journal in (False, True):
            record = Intake(Stamps(timezone.utc, NOW), journal=journal).decode(long)
            if record is not None:
                recognize(record)
        Intake(Stamps(timezone.utc, NOW)).sift(long + b"\n")
        times.append(time.process_time() - begin)
    return times[1] / max(times[0], 1e-4) if times[1] > _NOTABLE else 0.0


def run(seed: int, more: Callable[[int], bool], *, timed: bool, found: Callable[[str, bytes], None]) -> tuple[int, int]:
    """Mutate and check as long as `more` of the number of executions; return it and the number of events."""
    rng = random.Random(seed)
    logs = corpus()
    number = events = 0
    while more(number):
        number += 1
        lines, other = rng.choice(logs), rng.choice(logs)
        data = mutate(rng, lines, other)
        begin = time.process_time()
        try:
            events += check(data)
        except Exception as error:  # whatever it is, it is what is looked for  # noqa: BLE001 - whatever it is
            where = traceback.extract_tb(error.__traceback__)[-1]
            found(f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})", data)
        if not timed:
            continue
        if time.process_time() - begin > _ALLOWED * (1 + len(data) / 1e6):
            found("slow", data)
        if number % 10 == 0:
            line = rng.choice(lines)
            at, part = rng.randrange(len(line)), rng.choice(_TOKENS)
            if measure(line, part, at) > _RATIO and measure(line, part, at) > _RATIO:
                found("super-linear", line[:at] + part * (16000 // len(part)) + line[at:] + b"\n")
    return number, events


def main() -> int:
    """Run for some CPU seconds; say what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60, help="of CPU time")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    seen: dict[str, int] = {}

    def found(what: str, data: bytes) -> None:
        seen[what] = seen.get(what, 0) + 1
        if seen[what] == 1:
            path = SEEDS / f"found-{blake2b(data, digest_size=4).hexdigest()}"
            path.write_bytes(data)
            print(f"{what}: {path}", flush=True)  # noqa: T201 - prints what it found

    end = time.process_time() + arguments.seconds
    number, events = run(arguments.seed, lambda _n: time.process_time() < end, timed=True, found=found)
    print(f"seed {arguments.seed}: {number} executions, {events} events, {time.process_time():.1f} s of CPU, {seen}")  # noqa: T201 - as above
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main())
