"""An operator's first look: is everything there that the monitor needs? Each finding says what to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from usm.errors import UsmError
from usm.host import os_release
from usm.sources.locate import choose, unreadable
from usm.store import Store

if TYPE_CHECKING:
    from usm.config import Config

OK, WARN, FAIL = "ok", "warn", "fail"
Finding = tuple[str, str]


def check(config: Config) -> list[Finding]:
    """Look at configuration, source, state file and channels; send nothing and change nothing."""
    found = [(OK, f"configuration: {config.path or 'none, everything has its default'}")]
    found += [(WARN, f"configuration: {warning}") for warning in config.warnings]
    found += _source(config)
    found.append(_state(config.state))
    found += [
        (OK, f"channel {n.name}: {n.type}, settings are well-formed (try it: usm test {n.name})") for n in config.notify
    ]
    if not config.notify:
        found.append((WARN, "channels: none, so nobody is told; add one under `notify:` in the configuration"))
    return found


def _source(config: Config) -> list[Finding]:
    try:
        path, why = choose(config.source, config.log_file, os_release())
    except UsmError as error:
        return [(FAIL, f"source: {error}")]
    if path is None:
        return [(OK, f"source: the journal ({why})")]
    problem = unreadable(path)
    if problem == "missing":
        return [(WARN, f"source: {path} is missing; the monitor waits for it. Is rsyslog installed and running?")]
    if problem is not None:
        return [(FAIL, f"source: {path}: {problem}")]
    return [
        (OK, f"source: {path} ({why})"),
        (WARN, "source: a log file can't prove who wrote a line; local users can forge one with logger(1)"),
    ]


def _state(path: str) -> Finding:
    if not os.path.exists(path):
        directory = os.path.dirname(os.path.abspath(path))
        while not os.path.exists(directory):
            directory = os.path.dirname(directory)
        if os.access(directory, os.W_OK | os.X_OK):
            return OK, f"state: {path} will be made at the first start"
        return FAIL, f"state: {path} can't be made: this user may not write to {directory}; run as root or set `state:`"
    try:
        store = Store(path, readonly=True)
        store.check()
        store.close()
    except UsmError as error:
        return FAIL, f"state: {error}"
    if not os.access(path, os.W_OK):
        return FAIL, f"state: {path} can't be written by this user; run as the user that owns it"
    return OK, f"state: {path}"
