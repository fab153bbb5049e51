"""Where log lines come from: each source is one module and one line in `SOURCES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Protocol

from usm.sources.file import FileSource

if TYPE_CHECKING:
    from usm.core.model import Batch


class Source(Protocol):
    """Gives every log line once and in order, and can go on from any cursor that it gave out."""

    def read(self, timeout: Optional[float]) -> Optional[Batch]:
        """Block until there are whole lines; None after `timeout` seconds or a `wake`."""
        ...

    def wake(self) -> None:
        """Make a blocked `read` return; safe in signal handlers and from other threads."""
        ...

    def position(self) -> str:
        """Return the cursor behind all that was read."""
        ...

    def close(self) -> None:
        """Give the descriptors back."""
        ...


SOURCES: dict[str, Callable[[str, Optional[str]], Source]] = {"file": FileSource}
