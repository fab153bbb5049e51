"""`usm test`: one marked message through a channel, and the answer in words. For `usm check`: where it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from usm.core.alert import alert_for
from usm.core.message import Alert, Deferred, Sent
from usm.core.model import INFO, LOGIN, Event
from usm.deliver import attempt

if TYPE_CHECKING:
    from datetime import datetime

    from usm.core.message import Reply, Request
    from usm.core.model import Host
    from usm.deliver import Outlet


def trial(
    outlet: Outlet, host: Host, clock: Callable[[], datetime], send: Callable[[Request], Reply]
) -> tuple[bool, list[str]]:
    """Send a made-up login, marked as a trial; return whether it was taken, and what to tell of it."""
    alert = _sample(host, clock())
    said = []
    receipt = attempt(outlet.channel, alert, clock(), outlet.look, send)
    if isinstance(receipt, Deferred) and receipt.plain:
        said.append(f"{outlet.name}: {receipt.code}: {receipt.detail}; sending it as plain text")
        receipt = attempt(outlet.channel, alert, clock(), outlet.look, send, plain=True)
    if isinstance(receipt, Sent):
        return True, [*said, f"{outlet.name}: sent, {receipt.note or 'the service took the message'}"]
    return False, [*said, f"{outlet.name}: NOT sent: {receipt.code}: {receipt.detail}"]


def whereto(outlet: Outlet, host: Host, now: datetime) -> Request:
    """Return the request that such a message would be, for those who only want to know where it would go."""
    return outlet.channel.request(_sample(host, now), now, outlet.look)


def _sample(host: Host, now: datetime) -> Alert:
    event = Event(LOGIN, now, host.name, "sshd", "test", "192.0.2.1", method="publickey")
    return (alert_for(event, host) or Alert("", event, INFO))._replace(test=True)
