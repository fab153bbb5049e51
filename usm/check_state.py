"""Whether the state file is sound and this user's, whether the monitor runs, and what it could not deliver."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Optional

from usm.check_machine import existing
from usm.check_source import AHEAD, ahead
from usm.core.message import DEAD, PENDING
from usm.errors import StoreError
from usm.finding import FAIL, OK, SERVICE, WARN, Finding, size, span
from usm.outbox import Outbox
from usm.sources import rights
from usm.status import Status, status, unhealthy
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from usm.config import Config

PATIENCE = timedelta(hours=1)  # that a message may wait before it is worth a word


def state(config: Config, now: datetime, *, running: bool) -> list[Finding]:
    """Look at the state file, and at what it tells of the monitor and of the messages."""
    path = config.state
    if not os.path.exists(path):
        return [_absent(path), _monitor(None, now, running=running)]
    try:
        store = Store(path, readonly=True)
        store.check()
        since = Outbox(store).queued((PENDING,))
        found = status(store, [n.name for n in config.notify], running=running)
        store.close()
    except StoreError as error:
        return [(FAIL, f"state: {error}"), _monitor(None, now, running=running)]
    findings = [_file(path), _monitor(found, now, running=running)]
    if found.watched is not None and found.watched - now > AHEAD:
        findings.append(ahead("the monitor's last note in the state file", found.watched, now))
    return findings + _messages(found, since, now)


def _absent(path: str) -> Finding:
    directory = existing(os.path.dirname(os.path.abspath(path)))
    if os.access(directory, os.W_OK | os.X_OK):
        return OK, f"state: {path} will be made at the first start"
    return FAIL, f"state: {path} can't be made: this user may not write to {directory}; run as root or set `state:`"


def _file(path: str) -> Finding:
    found = os.stat(path)
    owner = rights.user(found.st_uid)
    if not os.access(path, os.W_OK):
        return FAIL, f"state: {path} can't be written by this user; run as the user that owns it: {owner}"
    return OK, f"state: {path}, {size(found.st_size)}, owner {owner}"


def _monitor(found: Optional[Status], now: datetime, *, running: bool) -> Finding:
    watched = None if found is None else found.watched
    until = "" if watched is None else f"; the log was watched until {watched.isoformat(timespec='seconds')}"
    if not running:
        return WARN, f"monitor: not running{until}; start it: systemctl start {SERVICE} (or usm start)"
    problem = None if found is None else unhealthy(found, now)
    if problem is not None:
        return WARN, f"monitor: running, but {problem}; read: journalctl -u {SERVICE}"
    return OK, f"monitor: running{until}"


def _messages(found: Status, since: Mapping[str, datetime], now: datetime) -> list[Finding]:
    """Name the channels with messages that wait too long, and those that were given up."""
    findings = []
    for channel in found.channels:
        waiting, dead = channel.deliveries.get(PENDING, 0), channel.deliveries.get(DEAD, 0)
        age = now - since.get(channel.name, now)
        if age > PATIENCE:
            text = f"outbox: {waiting} for {channel.name} not delivered yet, the oldest for {span(age)}"
            why = f": {channel.code}: {channel.detail}" if channel.code else ""
            findings.append((WARN, f"{text}{why}; see them: usm outbox"))
        if dead:
            text = f"outbox: {dead} for {channel.name} given up; see them: usm outbox"
            findings.append((WARN, f"{text}; then usm outbox retry ID, or usm outbox drop ID"))
    return findings
