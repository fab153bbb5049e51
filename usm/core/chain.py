"""The hash chain of the record: each entry's hash holds the one before, so that none can be changed unnoticed.

SHA-256 (FIPS 180-4) over the hash before and the entry's fields. Whoever can write the state file can also make a whole
new chain; what shows that is a head that was sent elsewhere before.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Optional

BEGIN = bytes(32)  # what stands before the first entry
SEAL = "seal"  # the kind of an entry that says which ones were forgotten for their age
_HEAD = re.compile(r"(?P<seq>[1-9]\d{0,17}):(?P<hash>[0-9a-f]{64})", re.ASCII)


class Entry(NamedTuple):
    """One entry of the record: its number, when it happened (microseconds since 1970 UTC), of what kind, and all of it.

    The facts in front are those that are searched by; `body` is JSON.
    """

    seq: int
    time: int
    kind: str
    host: str
    user: Optional[str]
    source_ip: Optional[str]
    session: Optional[str]
    body: str


class Head(NamedTuple):
    """The end of a chain: the number of the last entry, and its hash."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        """As it is written in messages: `number:hash`."""
        return f"{self.seq}:{self.hash.hex()}"


START = Head(0, BEGIN)


def link(before: bytes, entry: Entry) -> bytes:
    """Return the hash of an entry that follows the one with the hash `before`: 32 bytes."""
    # Each field with its length before it, so that none can be taken for part of another; absent is not empty.
    fields = ("-" if field is None else f"{len(text := str(field))}:{text}" for field in entry)
    return hashlib.sha256(before + "".join(fields).encode("utf-8", "surrogatepass")).digest()


def head_of(text: str) -> Optional[Head]:
    """Read a head as a message shows it; None where it is none."""
    match = _HEAD.fullmatch(text.strip())
    return None if match is None else Head(int(match["seq"]), bytes.fromhex(match["hash"]))
