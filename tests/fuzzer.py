"""Break recorded lines in every way and see that nothing breaks: `python -m tests.fuzzer --seconds 60`.

Each round takes lines that real systems wrote, mutates them, and drives all of the left half with them: decoding, the
sieve against the slow way, recognition, pairing into a store, rendering in both languages. What raises, takes long,
ends a session twice or lets a control character through is written to tests/data/fuzz, whose files are tests then.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import re
import sys
import time
from collections import Counter
from datetime import datetime, timezone
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from tests.core.test_sieve import quickly, slowly
from usm.core.alert import event_json
from usm.core.decode import Stamps
from usm.core.model import INFO, LOGIN, LOGOUT, Alert, Batch, Host
from usm.core.text import LANGUAGES, plain_text
from usm.ingest import Intake, Watch, ingest
from usm.store import Store

if TYPE_CHECKING:
    from usm.core.model import Event

DATA = Path(__file__).parent / "data"
FOUND = DATA / "fuzz"
NOW = datetime(2026, 12, 31, tzinfo=timezone.utc)
HOST = Host("web01")
LONGEST = 0.5  # seconds of CPU for one line of at most 64 KiB, far above what any takes
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
SPLICES = (
    b"Accepted password for root from 6.6.6.6 port 22 ssh2",
    b" from 6.6.6.6 port 22 ssh2",
    b"pam_unix(sshd:session): session closed for user alice",
    b" [preauth]",
    b" ; USER=root ; COMMAND=/bin/sh",
    b" as root from /",
    b" rhost=6.6.6.6  user=root",
    b"(uid=0) by (uid=0)",
    b"sshd[1]: ",
    b"message repeated 999999 times: [ ",
    b"\xe2\x80\xa8\xc2\x85\x0b\x0c\x1c",
    b"\x00\x1b[2J\x7f",
    b"\xff\xfe\xed\xa0\x80",
    b"99999999999999999999",
    b"%n%s{}\\\\\\303",
    b" " * 40,
)


@lru_cache(maxsize=1)
def seeds() -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return recorded lines: of log files, and of the journal."""
    files = [*DATA.glob("logs/*.log"), *DATA.glob("machines/*/*.log"), Path("usm/demo.log")]
    text = {line for file in files for line in file.read_bytes().split(b"\n") if line}
    entries = {
        line
        for file in DATA.glob("machines/*/*.xz")
        for line in lzma.decompress(file.read_bytes()).split(b"\n")
        if line
    }
    return tuple(sorted(text)), tuple(sorted(entries))


def mutated(rng: random.Random, line: bytes, pool: tuple[bytes, ...]) -> bytes:
    """Break a line once or more."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        at, to = sorted((rng.randint(0, len(line)), rng.randint(0, len(line))))
        how = rng.randrange(9)
        if how == 0:
            line = line[:at] + bytes((rng.randrange(256),)) + line[at + 1 :]
        elif how == 1:
            line = line[:at] + line[to:]
        elif how == 2:
            line = line[:at] + rng.choice(SPLICES) + line[at:]
        elif how == 3:
            other = rng.choice(pool)
            line = line[:at] + other[rng.randint(0, len(other)) :]
        elif how == 4:
            line = line[:at] + line[at:to] * rng.choice((2, 3, 50, 400)) + line[to:]
        elif how == 5:
            words = line.split(b" ")
            rng.shuffle(words)
            line = b" ".join(words)
        elif how == 6:
            line = re.sub(rb"\d+", lambda _m: str(rng.choice((0, 1, 22, 65536, 2**31, 2**63, 10**30))).encode(), line)
        elif how == 7:
            words = line.split(b" ")
            words[rng.randrange(len(words))] = rng.choice(rng.choice(pool).split(b" "))
            line = b" ".join(words)
        else:
            line = line.replace(*rng.choice(((b"alice", b"a b"), (b"[", b"]["), (b": ", b" :"), (b'"', b'[1,"x"]'))))
    return line[:70000].replace(b"\n", b"")


def contents(told: list[Event]) -> None:
    """Demand that every session ends once at most, and only if it began; and that what is shown is harmless."""
    counts: Counter[tuple[str, object]] = Counter((event.kind, event.session) for event in told)
    for event in told:
        if event.kind in (LOGIN, LOGOUT):
            assert counts[event.kind, event.session] == 1, event
        if event.kind == LOGOUT:
            assert counts[LOGIN, event.session] == 1, event
            assert event.start is not None
            assert event.time >= event.start, event
        json.dumps(event_json(event), ensure_ascii=False)
        for language in LANGUAGES:
            text = plain_text(Alert("", event, INFO), language, timezone.utc)
            assert CONTROLS.search(text) is None, text


def drive(lines: list[bytes], *, journal: bool) -> None:
    """Put lines through the whole left half; raise AssertionError, or whatever breaks."""
    store = Store(":memory:")
    intake = Intake(Stamps(timezone.utc, NOW), journal=journal)
    told: list[Event] = []
    for line in lines:
        begun = time.process_time()
        told += ingest(store, "fuzz", Batch(line + b"\n", ""), intake, Watch(HOST, ("feishu",)), NOW)
        assert time.process_time() - begun < LONGEST, "slow"
    contents(told)
    if not journal:
        data = b"\n".join(lines) + b"\n"
        ways = [(events, _named(counts)) for events, counts in (quickly(data), slowly(data))]
        assert ways[0] == ways[1], "the sieve sees something else"
    for session in store.sessions(everything=True):
        assert session.end is None or session.end >= session.start
    store.close()


def _named(counts: Counter[tuple[object, ...]]) -> Counter[tuple[object, ...]]:
    """Count failures whose user is not known as those of no name, as the tally does."""
    named: Counter[tuple[object, ...]] = Counter()
    for (host, ip, user, *rest), count in counts.items():
        named[(host, ip, user or "", *rest)] += count
    return named


def broken(lines: list[bytes], *, journal: bool) -> str:
    """Say what breaks; nothing if nothing does."""
    try:
        drive(lines, journal=journal)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def smallest(lines: list[bytes], *, journal: bool) -> list[bytes]:
    """Leave out what is not needed to break it."""
    for line in list(lines):
        fewer = [one for one in lines if one is not line]
        if fewer and broken(fewer, journal=journal):
            lines = fewer
    return lines


def rounds(rng: random.Random, count: int = 20) -> tuple[list[bytes], bool]:
    """Return some neighbouring lines, a part of them broken."""
    journal = rng.random() < 0.4
    pool = seeds()[journal]
    at = rng.randrange(len(pool))
    lines = [*pool[at : at + count // 2], *(rng.choice(pool) for _ in range(count // 2))]
    return [mutated(rng, line, pool) if rng.random() < 0.7 else line for line in lines], journal


def main() -> None:
    """Run for some seconds of CPU time and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of CPU time")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    executions = found = 0
    while time.process_time() < options.seconds:
        lines, journal = rounds(rng)
        executions += len(lines)
        what = broken(lines, journal=journal)
        if what:
            found += 1
            data = b"\n".join(smallest(lines, journal=journal)) + b"\n"
            name = blake2b(data, digest_size=6).hexdigest()
            FOUND.mkdir(exist_ok=True)
            (FOUND / f"{name}.{'json' if journal else 'log'}").write_bytes(data)
            sys.stdout.write(f"{name}: {what}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{time.process_time():.0f} s of CPU, {executions} lines, {found} findings, seed {options.seed}\n")


if __name__ == "__main__":
    main()
