"""A deadline for all that a peer says: a socket's own timeout begins anew with every byte."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer


class Until(io.RawIOBase):
    """Reads a socket until `total` seconds from now; then TimeoutError."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, monotonic: Callable[[], float], total: float) -> None:
        self._sock, self._raw, self._monotonic = sock, raw, monotonic
        self._deadline = monotonic() + total

    def readable(self) -> bool:
        """It can only be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> Optional[int]:
        """Read what is there, or wait for it as long as there is time."""
        left = self._deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close what is read."""
        self._raw.close()
        super().close()
