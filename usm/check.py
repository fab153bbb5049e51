"""An operator's doctor: is everything there that the monitor needs? Each finding says what to do."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Optional

from usm import check_machine, check_older, check_source, check_sshd, check_state
from usm.errors import ConfigError
from usm.finding import FAIL, OK, SERVICE, WARN, Finding
from usm.places import Places
from usm.system import Presence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from usm.config import Config
    from usm.notify import Notify


def check(
    config: Config, now: datetime, *, running: bool, sshd: check_sshd.Sshd, user: Optional[str] = None
) -> list[Finding]:
    """Look at everything on this machine; send nothing and change nothing.

    `user`: as whom that is done, where root became the service's user for it. `sshd`: what root has read before.
    """
    source, log_file = check_source.source(config, now)
    return [
        *([(OK, f"user: checked as {user}, who runs the service")] if user else []),
        *_configuration(config),
        *check_older.older(),
        *source,
        *check_machine.clock(),
        *check_sshd.sshd(sshd, log_file),
        check_machine.processes(Presence()),
        *check_machine.disk(os.path.dirname(os.path.abspath(config.state))),
        *check_state.state(config, now, running=running),
        *(finding for n in config.notify for finding in _channel(n)),
        *([] if config.notify else [(WARN, f"channels: none, so nobody is told; add one under `notify:`, {_RELOAD}")]),
    ]


_RELOAD = f"then: systemctl reload {SERVICE} (or usm reload)"


def _configuration(config: Config) -> Iterator[Finding]:
    yield OK, f"configuration: {config.path or 'none, everything has its default'}"
    try:
        Places(config.places)
    except ConfigError as error:
        yield from ((FAIL, f"configuration: {problem}") for problem in error.problems)
    for warning in config.warnings:
        yield WARN, f"configuration: {warning}"
    if config.path is None:
        return
    for path in (config.path, os.path.join(os.path.dirname(config.path), "secrets.yaml")):
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if mode & stat.S_IROTH and config.notify:
            text = f"configuration: everybody on this machine can read {path}, and who has a webhook's address can post"
            yield WARN, f"{text}: chgrp usm {path}; chmod 640 {path}"


def _channel(n: Notify) -> Iterator[Finding]:
    yield OK, f"channel {n.name}: {n.type}, settings are well-formed (try it: usm test {n.name})"
    if n.ca_file is not None and not os.access(n.ca_file, os.R_OK):
        yield FAIL, f"channel {n.name}: {n.ca_file} is missing, or this user may not read it: chmod 644 {n.ca_file}"
