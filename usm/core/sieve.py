"""Many lines → the few that can matter, without looking at each in Python.

Catching up with a million lines is affordable only if the noise never becomes a Python object. One
expression, built for the header that the chunk's lines share (length of the stamp, host name), runs over
the whole chunk; it asks the beginning of each message against the hints of the rows in `core/programs`.
A line of another shape always passes, so the sieve decides nothing: `decode` and `recognize` read every
line that passes from its first byte, and a test holds both ways against each other.

Failures that differ only in time, pid and port are folded: one attack writes thousands.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import NamedTuple, Optional

from usm.core.decode import STAMP_3164, STAMP_3339
from usm.core.programs import PROGRAMS
from usm.core.programs.sshd import SSHD
from usm.core.recognize import REPEATED

_BSD = re.compile(rb"(?:<\d{1,3}>)?(" + STAMP_3164 + rb"|" + STAMP_3339 + rb") (\S{1,255}) ")
_IETF = re.compile(rb"<\d{1,3}>1 (" + STAMP_3339 + rb") (\S{1,255}) ")

_PORT = rb"(?:\d{1,4}|[0-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"


class Fold(NamedTuple):
    """The failures from one source: `who` was refused how often, and the first and the last of the lines."""

    source: bytes
    who: dict[bytes, int]
    first: bytes
    last: bytes


class Sifted(NamedTuple):
    """`lines` in the order of the log; `folds` in the order of first appearance."""

    lines: list[bytes]
    folds: list[Fold]


@lru_cache(maxsize=32)
def _expression(stamp: bytes, host: bytes, *, ietf: bool) -> re.Pattern[bytes]:
    """Groups: a line that passes · in it, the facts that a foldable failure is counted by · a line of another shape."""
    name = re.escape(host)
    if ietf:
        head, level = rb"<\d{1,3}>1 %s %s " % (stamp, name), b""
        number, maybe = rb" \d{1,10} \S{1,32} -  ?", rb" \S{1,128} \S{1,32} -  ?"
    else:
        head, level = rb"%s %s " % (stamp, name), rb"(?:[a-z0-9]{1,9}\.[a-z]{1,9} )?"
        number, maybe = rb"\]?\[\d{1,10}\]: ", rb"\]?(?:\[\d{1,10}\])?: "
    failed = rb"Failed (?!keyboard-interactive/pam )(.*) port " + _PORT + rb" ssh2(?=\n)"
    tails = []
    for program in PROGRAMS:
        hints = [row.hint for row in program.rows if row.hint]
        if hints:
            tags = b"(?:" + b"|".join(re.escape(tag.encode()) for tag in program.tags) + b")"
            tails.append(tags + (maybe if program.unnumbered else number))
            fold = failed + b"|" if program is SSHD else b""
            tails[-1] += b"(?:" + fold + b"(?:" + b"|".join((*hints, re.escape(REPEATED.encode()))) + b").*)"
    return re.compile(rb"\n(?:(%s%s(?:%s))|((?!%s).+))" % (head, level, b"|".join(tails), head))


def _shape(data: bytes) -> Optional[tuple[bytes, bytes, bool]]:
    """Form of the stamp (with the priority before it), host and dress of the first line."""
    match = _IETF.match(data)
    if match is not None:
        return _form(match[1]), match[2], True
    match = _BSD.match(data)
    if match is not None:
        return _form(data[: match.end(1)]), match[2], False
    return None


def _form(stamp: bytes) -> bytes:
    """`<86>Nov  3 …` → what every stamp of this length and dress looks like: no other text passes for one."""
    priority, end, bare = stamp.rpartition(b">")
    if not bare[:1].isdigit():
        bare = rb"[A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d"
    else:
        bare = re.sub(rb"\d", rb"\\d", bare.replace(b".", rb"\.").replace(b"+", b"-")).replace(b"-", b"[+-]")
    return re.sub(rb"\d", rb"\\d", priority) + end + bare


def sift(data: bytes, *, fold: bool = True) -> Sifted:
    """Whole lines → what is worth reading, every such line once; with `fold`, failures that are alike together."""
    shape = _shape(data)
    if shape is None:
        return Sifted([line for line in data.split(b"\n") if line], [])
    found = _expression(shape[0], shape[1], ietf=shape[2]).findall(b"\n" + data)
    if not fold:
        return Sifted([line or other for line, _, other in found], [])
    failures = [(line, key) for line, key, _ in found if key]
    lines = [line or other for line, key, other in found if not key] if len(failures) < len(found) else []
    return Sifted(lines, _fold(failures) if failures else [])


def _fold(failures: list[tuple[bytes, bytes]]) -> list[Fold]:
    """Group by source. Counting and ordering are left to dict and Counter, in C: an attack writes a million of these.

    A dict keeps the order of the first insertion and the value of the last: run forwards it gives each key's last
    line in the order of first appearance, run backwards each key's first line in the order of last appearance.
    """
    lines, keys = zip(*failures)
    last = dict(zip(keys, lines))
    first = dict(zip(reversed(keys), reversed(lines)))
    counts = Counter(keys)
    who: dict[bytes, dict[bytes, int]] = {}
    begin: dict[bytes, bytes] = {}
    end: dict[bytes, bytes] = {}
    for key in last:
        name, _, source = key.rpartition(b" from ")
        if source in who:
            who[source][name] = counts[key]
        else:
            who[source] = {name: counts[key]}
            begin[source] = first[key]
    for key in first:
        source = key.rpartition(b" from ")[2]
        if source not in end:
            end[source] = last[key]
    return [Fold(source, names, begin[source], end[source]) for source, names in who.items()]
