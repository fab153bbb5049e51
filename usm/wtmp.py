"""Who was on before there was a monitor, as wtmp has it: glibc's records of 384 bytes (utmp(5)), rotated or not."""

from __future__ import annotations

import lzma
import os
import struct
import zlib
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple, Optional

from usm.core.programs.row import address
from usm.sources.rotated import OPENERS, rotated

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORD = struct.Struct("<h2xi32s4s32s256shhiii16s20x")
_USER_PROCESS = 7
_MOST = 200_000  # records; a file of any size must not take the start's time
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Login(NamedTuple):
    """One login; where it came from only if that is an address."""

    time: datetime
    user: str
    tty: str
    source_ip: Optional[str]


def logins(path: str = "/var/log/wtmp") -> Iterator[Login]:
    """Yield the logins that are known, oldest first; a file that can't be read has none."""
    for name in (*(generation.path for generation in rotated(path)), path):
        try:
            data = _read(name)
        except (OSError, EOFError, zlib.error, lzma.LZMAError):
            continue
        whole = len(data) - len(data) % _RECORD.size
        for kind, _, line, _, user, host, _, _, _, seconds, micros, _ in _RECORD.iter_unpack(data[:whole]):
            if kind == _USER_PROCESS and _text(user):
                time = _EPOCH + timedelta(seconds=seconds & 0xFFFFFFFF, microseconds=micros)
                yield Login(time, _text(user), _text(line), address(_text(host)))


def _read(path: str) -> bytes:
    """Return the newest records of a file, compressed or not."""
    most = _MOST * _RECORD.size
    with open(path, "rb") as file:
        opener = OPENERS.get(os.path.splitext(path)[1])
        if opener is not None:
            return opener(file).read(most)
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - size % _RECORD.size - most))
        return file.read(most)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")
