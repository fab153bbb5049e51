"""What each verb does: it reads the state file and the configuration, and prints.

Each returns its exit code: 0 fine, 1 failed, 2 usage, 78 configuration.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Optional

from usm import check, config, metrics, replay, report, service
from usm import status as stand
from usm.check_sshd import inspect
from usm.clock import now
from usm.core.look import Look
from usm.core.message import DEAD, PENDING, STATES, WAITING
from usm.core.model import TOLD
from usm.demo import play
from usm.errors import ConfigError, SourceError, TransportError
from usm.finding import FAIL, Finding
from usm.finding import OK as GOOD
from usm.host import identify, local_zone
from usm.instance import running
from usm.judging import Judge
from usm.outbox import Outbox
from usm.people import account_here
from usm.places import Places
from usm.runas import become_owner
from usm.store import Store
from usm.terminal import open_for_reading, say, show
from usm.transport import Transport
from usm.transport.reach import reach
from usm.trial import trial, whereto
from usm.workers import outlet

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from usm.notify import Notify

log = logging.getLogger(__name__)
OK, FAILED, USAGE, CONFIGURATION = 0, 1, 2, 78
_FEISHU_HINT = """To tell a Feishu group, put this into {path}:
  notify:
    feishu:
      webhook_url: https://open.feishu.cn/open-apis/bot/v2/hook/<your robot's token>
      secret: <its signing secret, if it has one>
then try it with: usm test"""


def run(options: argparse.Namespace) -> int:
    """Watch the log in the foreground until interrupted."""
    try:
        service.run(_path(options), now, _FEISHU_HINT, verbose=options.verbose)
    except SourceError as error:
        if not options.or_demo:
            raise
        say(f"there is nothing to watch here: {str(error).rstrip('.')}. Here is a recorded day instead:")
        return demo(options)
    return OK


def start(options: argparse.Namespace) -> int:
    """Watch the log in the background."""
    return service.start(_path(options), now, show, say)


def stop(options: argparse.Namespace) -> int:
    """End the monitor that runs, in the background or not; a broken configuration does not keep it alive."""
    loaded, problems = service.glance(_path(options))
    _complain(problems)
    become_owner(os.path.dirname(loaded.state))
    service.stop(loaded.state, show)
    return OK


def restart(options: argparse.Namespace) -> int:
    """End the monitor that runs, and start another one: with a configuration that can be used only."""
    loaded = service.load(_path(options))
    service.refuse_root(loaded)  # before anything is stopped
    service.stop(loaded.state, show)
    return start(options)


def reload(options: argparse.Namespace) -> int:
    """Let the monitor that runs take its configuration anew."""
    try:
        become_owner(os.path.dirname(service.glance(_path(options))[0].state))
        service.reload(_path(options), show)
    except ConfigError:
        say("not reloaded: the monitor goes on as it was")
        raise
    return OK


def demo(options: argparse.Namespace) -> int:
    """Play the recorded day through the real pipeline into the terminal."""
    loaded = config.Config() if options.config is None else service.load(_path(options))
    fast = getattr(options, "fast", False)
    play(
        getattr(options, "language", None) or loaded.language,
        now,
        (lambda _seconds: None) if fast else time.sleep,
        sys.stdout,
    )
    return OK


def replay_files(options: argparse.Namespace) -> int:
    """Print what the lines of files tell, touching nothing."""
    kinds = frozenset(options.kind.split(","))
    if kinds - set(TOLD):
        say(f"--kind takes {', '.join(TOLD)}, with commas between them")
        return USAGE
    loaded = config.load(options.config)
    look = Look(options.language or loaded.language, local_zone())
    judge = Judge(loaded.policy, look.zone, Places(loaded.places).of, account_here) if options.judge else None
    for line in replay.replay(options.file, kinds, options.format, look, now(), judge):
        sys.stdout.write(line + "\n")
    return OK


def check_all(options: argparse.Namespace) -> int:
    """Say what works and what does not, and what to do about it; as the user who runs the service."""
    usual, _ = service.glance(_path(options))
    alive = running(usual.state) is not None  # asked as root: the lock's file may be the service's own
    sshd = inspect()  # on some systems its settings are root's alone
    user = become_owner(os.path.dirname(usual.state))
    loaded = config.load(_path(options))
    findings = check.check(loaded, now(), running=alive, sshd=sshd, user=user)
    if options.online:
        findings += [_online(n, loaded.language) for n in loaded.notify if n.type != "console"]
    for level, text in findings:
        sys.stdout.write(f"{level:4}  {text}\n")
    return FAILED if any(level == FAIL for level, _ in findings) else OK


def _online(n: Notify, language: str) -> Finding:
    """Find out whether a channel's service is there, without sending anything."""
    request = whereto(outlet(n, language), identify(), now())
    try:
        return GOOD, f"online {n.name}: {reach(request, n.proxy, n.ca_file, time.monotonic)}"
    except TransportError as error:
        return FAIL, f"online {n.name}: {error}"


def test(options: argparse.Namespace) -> int:
    """Send one marked message through each channel and explain the answer."""
    loaded = service.load(_path(options))
    chosen = [n for n in loaded.notify if options.channel in (None, n.name)]
    if not chosen:
        say(
            f"no channel is called {options.channel}; there are: {', '.join(n.name for n in loaded.notify) or 'none'}"
            if options.channel
            else "no channel is configured. " + _FEISHU_HINT.format(path=loaded.path or config.DEFAULT_PATH)
        )
        return FAILED
    host, worst = identify(), OK
    for notify in chosen:
        send = Transport(sys.stdout, proxy=notify.proxy, ca_file=notify.ca_file).send
        taken, said = trial(outlet(notify, loaded.language), host, now, send)
        for line in said[:-1]:
            say(line)
        show(said[-1])
        worst = worst if taken else FAILED
    return worst


def outbox(options: argparse.Namespace) -> int:
    """Show what waits to be sent or was given up; send it again; or forget it."""
    loaded = config.load(options.config)
    become_owner(os.path.dirname(os.path.abspath(loaded.state)))
    if options.action == "list":
        store = open_for_reading(loaded.state)
        states = tuple(options.state.split(",")) if options.state else (WAITING, PENDING, DEAD)
        if set(states) - set(STATES):
            say(f"--state takes {', '.join(STATES)}, with commas between them")
            return USAGE
        found = Outbox(store).deliveries(states) if store else []
        zone = local_zone()
        if options.format == "json":
            show(report.json_lines(report.delivery_json(d, zone) for d in found))
        else:
            show(
                report.outbox_table(found, zone, loaded.language)
                if found
                else ("none" if options.state else "nothing waits: every message was delivered")
            )
        return OK
    if not os.path.exists(loaded.state):
        say(f"there is no state file {loaded.state} yet")
        return FAILED
    if options.action == "drop" and not options.id:
        say("outbox drop needs the ids of the messages to forget (see: usm outbox)")
        return USAGE
    queue = Outbox(Store(loaded.state))
    count = queue.retry(now(), options.id) if options.action == "retry" else queue.drop(options.id)
    show(f"messages {'to be tried again' if options.action == 'retry' else 'forgotten'}: {count}")
    return OK if count or not options.id else FAILED


def status(options: argparse.Namespace) -> int:
    """Show how the monitor and each channel does, also beside a configuration that can't be used."""
    loaded, problems = service.glance(_path(options))
    _complain(problems)
    become_owner(os.path.dirname(loaded.state))
    store = open_for_reading(loaded.state)
    if store is None:
        return CONFIGURATION if problems else FAILED
    found = stand.status(store, [n.name for n in loaded.notify], running=running(loaded.state) is not None)
    zone = local_zone()
    if options.format == "prometheus":
        sys.stdout.write(metrics.prometheus(found, now()))
        return OK  # what it collects says so itself
    if options.format == "json":
        show(report.json_lines([report.status_json(found, zone)]))
    else:
        show(report.status_table(found, now(), zone, loaded.language))
    return CONFIGURATION if problems else OK if found.running else FAILED


def _complain(problems: Sequence[str]) -> None:
    for problem in problems:
        say(f"configuration: {problem}")


def _path(options: argparse.Namespace) -> Optional[str]:
    """Return the configuration's path as it is from everywhere: a daemon has another working directory."""
    return None if options.config is None else os.path.abspath(options.config)
