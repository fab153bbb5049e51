"""Is a new file the old one, with lines taken out or put in? `sed -i` and editors leave such a one in its place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from usm.sources.rotated import Plain

_TAIL = 1 << 17  # bytes before the place up to which the old one was read, whose lines are searched for
_LARGEST = 1 << 28  # bytes of the new one that are searched
_LINES = 500


def place_in(old: Plain, offset: int, new: Plain) -> Optional[int]:
    """Return the place in `new` behind the last line that was read of `old`, None where it has none of its last lines.

    Only asked of an old file that has no name any more: one that is rotated away keeps one. A log that goes on in an
    empty file after the old one was deleted has none of its lines.
    """
    if os.fstat(old.fd).st_nlink > 0:
        return None
    start = max(0, offset - _TAIL)
    lines = old.peek(start, offset - start).split(b"\n")[1 if start else 0 : -1][-_LINES:]
    size = min(new.size() or 0, _LARGEST)
    data = b"\n" + new.peek(0, size)
    for line in reversed(lines):
        at = data.rfind(b"\n" + line + b"\n") if line else -1
        if at >= 0:
            return at + len(line) + 1
    return None
