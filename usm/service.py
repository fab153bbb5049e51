"""The verbs that run the monitor and talk to the one that runs: run, start, stop, restart, reload."""

from __future__ import annotations

import dataclasses
import logging
import os
import pwd
import random
import signal
import time
from typing import TYPE_CHECKING, Callable, Optional

from usm import config, logs
from usm.channels.console import Console
from usm.core.route import Route
from usm.errors import ConfigError, ServiceError
from usm.instance import running
from usm.monitor import Monitor
from usm.notify import Notify
from usm.orders import Orders
from usm.store import Store
from usm.supervisor import Supervisor

if TYPE_CHECKING:
    from datetime import datetime

log = logging.getLogger(__name__)
_END = 30.0  # seconds in which a monitor ends: five for each channel's message in hand, at most
_ANSWER = 30.0  # seconds in which it takes a new configuration: those of a large batch
_AGAIN = 0.05  # seconds between two looks at whether it did


def run(path: Optional[str], clock: Callable[[], datetime], hint: str, *, verbose: bool = False) -> None:
    """Watch in the foreground until interrupted; without a channel, print, and give the hint how to add one."""
    last, orders = logs.Last(), Orders()
    logs.to_stderr(logging.DEBUG if verbose else logging.INFO, [last])
    loaded = load(path)
    refuse_root(loaded)
    orders.listen()  # before the lock tells others whom to signal
    supervisor = Supervisor(os.environ, os.getpid())
    shown, again = printing(loaded), lambda: printing(load(path))
    try:
        monitor = Monitor(shown, clock, random.random, orders, supervisor, load=again, last=last)
    except BaseException:
        orders.forget()  # Ctrl-C ends whatever is done instead
        raise
    if not loaded.notify:
        text = "no channel is configured, so messages are printed here. %s"
        log.info(text, hint.format(path=loaded.path or config.DEFAULT_PATH))
    monitor.run()


def printing(loaded: config.Config) -> config.Config:
    """Return a configuration in which the terminal is a channel where there is no other."""
    console = Notify("console", "console", Console(), (), Route("console"))
    return dataclasses.replace(loaded, notify=loaded.notify or (console,))


def start(
    path: Optional[str], clock: Callable[[], datetime], tell: Callable[[str], None], warn: Callable[[str], None]
) -> int:
    """Watch in the background; return when that is so."""
    loaded = load(path)
    refuse_root(loaded)
    already = running(loaded.state)
    if already is not None:
        raise ServiceError(
            f"the monitor is running already{f' (process {already})' if already else ''}: see usm status"
        )
    if any(n.type == "console" for n in loaded.notify):
        log.warning("a channel of type console prints nowhere in the background")
    process = os.getpid()

    def build(last: logs.Last) -> Monitor:
        orders = Orders()
        orders.listen(background=True)  # before the lock tells others whom to signal
        supervisor = Supervisor(os.environ, process, forked=True)
        return Monitor(loaded, clock, random.random, orders, supervisor, load=lambda: load(path), last=last)

    from usm import daemon  # noqa: PLC0415 - older versions of what it needs take long to import

    return daemon.start(build, loaded.pidfile, tell, warn)


def load(path: Optional[str]) -> config.Config:
    """Read the configuration, say its warnings, and make its paths mean the same wherever the process goes."""
    loaded = _absolute(config.load(path))
    for warning in loaded.warnings:
        log.warning("%s", warning)
    return loaded


def glance(path: Optional[str]) -> tuple[config.Config, list[str]]:
    """Read the configuration as far as that is possible, for verbs that must work beside a broken one."""
    found, problems = config.survey(path)
    return _absolute(found), problems


def _absolute(loaded: config.Config) -> config.Config:
    absolute = {name: os.path.abspath(getattr(loaded, name)) for name in ("state", "pidfile")}
    return dataclasses.replace(loaded, **absolute)


def stop(state: str, tell: Callable[[str], None]) -> None:
    """End the monitor that runs, and wait for that; none is fine too. Raises ServiceError."""
    number = _order(state, signal.SIGTERM)
    if number is None:
        tell("no monitor was running")
        return
    if not _until(lambda: running(state) is None, _END):
        raise ServiceError(
            f"the monitor (process {number}) did not end within {_END:.0f} s; if it hangs: kill -9 {number} (nothing "
            "is lost: the next start goes on where it was)"
        )
    tell(f"stopped process {number}")


def reload(path: Optional[str], tell: Callable[[str], None]) -> None:
    """Let the monitor that runs take its configuration anew, and wait for its answer. Raises ConfigError if it refuses.

    It is the judge of that: it may have credentials that this process has not.
    """
    found, problems = glance(path)
    state = found.state
    if running(state) is None:
        if problems:
            raise ConfigError(problems)
        raise ServiceError("no monitor is running: usm start")
    before = _facts(state).get("configured")
    number = _order(state, signal.SIGHUP)
    if not _until(lambda: _facts(state).get("configured") != before or running(state) is None, _ANSWER):
        raise ServiceError(
            f"the monitor (process {number}) was told to reload and has not answered within {_ANSWER:.0f} s; "
            "see: usm status"
        )
    if running(state) is None:
        raise ServiceError("the monitor ended; its log says why")
    refused = _facts(state).get("refused", "")
    if refused:
        raise ConfigError(refused.split("\n"))
    tell(f"reloaded by process {number}")


def refuse_root(loaded: config.Config) -> None:
    """Keep root from making files that the service, which is another user's, could not open any more."""
    directory = os.path.dirname(loaded.state)
    try:
        owner = os.stat(directory).st_uid
    except OSError:
        return
    if os.geteuid() != 0 or owner == 0:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    raise ServiceError(
        f"{directory} belongs to {name}, who runs the service: what root writes there, {name} could not open. "
        f"Use: systemctl start user-session-monitor, or without systemd: runuser -u {name} -- usm start"
    )


def _order(state: str, number: int) -> Optional[int]:
    """Send a signal to the monitor of this state file; return its process number, None without one."""
    process = running(state)
    if process is None:
        return None
    if not process:
        raise ServiceError(f"a monitor holds {state}, but it is not known which process that is")
    try:
        os.kill(process, number)
    except ProcessLookupError:  # it has ended in this moment
        return None
    except PermissionError as error:
        raise ServiceError(f"the monitor (process {process}) is another user's: use systemctl, or sudo") from error
    return process


def _until(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(_AGAIN)
    return True


def _facts(state: str) -> dict[str, str]:
    store = Store(state, readonly=True)
    try:
        return store.facts()
    finally:
        store.close()
