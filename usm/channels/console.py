"""Messages on the terminal: for trying things out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from usm.core.message import Deferred, Message, Print, Receipt, Reply, Sent
from usm.core.text import plain_text

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.look import Look


@dataclass(frozen=True)
class Console:
    """Writes every message as text, with an empty line behind it."""

    limits: ClassVar[tuple[tuple[int, float], ...]] = ()

    digests: ClassVar[bool] = True

    def endpoint(self) -> str:
        """Return the terminal: there is one."""
        return "console"

    def request(self, message: Message, now: datetime, look: Look, *, plain: bool = False) -> Print:  # noqa: ARG002
        """Return the text; there is only one dress."""
        return Print(plain_text(message, look) + "\n\n")

    def receipt(self, reply: Reply, *, plain: bool = False) -> Receipt:  # noqa: ARG002
        """Return Sent once the text was written."""
        if reply.status == 200:  # noqa: PLR2004 - what `transport` answers for a text that was written
            return Sent()
        return Deferred("unwritten", "the text could not be written to the terminal")

    def problems(self) -> list[str]:
        """Nothing can be wrong."""
        return []

    def notes(self) -> list[str]:
        """Nothing needs to be said."""
        return []
