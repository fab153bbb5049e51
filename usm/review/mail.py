"""An access review by mail: the page attached, through the mail server of a configured channel."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from usm.channels.email import Email
from usm.core.message import Sent
from usm.errors import UsmError
from usm.transport import Transport

if TYPE_CHECKING:
    from datetime import datetime

    from usm.config import Config


class MailError(UsmError):
    """The review could not be sent: why, and what to do."""


def send(config: Config, name: str, subject: str, text: str, file: str, page: str, now: datetime) -> str:
    """Send a page through the channel `name`; return what should be known of that. Raises MailError, TransportError."""
    notify = next((n for n in config.notify if n.name == name), None)
    if notify is None or not isinstance(notify.channel, Email):
        mails = ", ".join(n.name for n in config.notify if isinstance(n.channel, Email)) or "none"
        raise MailError(f"--mail takes the name of a channel of type email; there are: {mails}")
    transport = Transport(sys.stdout, proxy=notify.proxy, ca_file=notify.ca_file)
    receipt = notify.channel.receipt(transport.send(notify.channel.page(subject, text, file, page, now)))
    if not isinstance(receipt, Sent):
        raise MailError(f"{name}: {receipt.code}: {receipt.detail}")
    return receipt.note or "sent"
