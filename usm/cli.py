"""Verbs → functions; and the only place that reads the clock.

Exit codes: 0 fine, 1 failed, 2 usage, 78 configuration.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import random
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Optional

import usm
from usm import check, config, replay, report
from usm import status as stand
from usm.channels.console import Console
from usm.core.message import DEAD, PENDING, STATES, WAITING
from usm.core.model import KINDS
from usm.core.route import Route
from usm.core.text import Look
from usm.daemon import Monitor, is_running, outlet
from usm.demo import play
from usm.errors import ConfigError, SourceError, UsmError
from usm.host import identify, local_zone
from usm.outbox import Outbox
from usm.store import Store
from usm.transport import Transport
from usm.trial import trial

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, FAILED, USAGE, CONFIGURATION = 0, 1, 2, 78
log = logging.getLogger(__name__)
_FEISHU_HINT = """To tell a Feishu group, put this into {path}:
  notify:
    feishu:
      webhook_url: https://open.feishu.cn/open-apis/bot/v2/hook/<your robot's token>
      secret: <its signing secret, if it has one>
then try it with: usm test"""


def now() -> datetime:
    """Return the clock's time, aware, in UTC."""
    return datetime.now(timezone.utc)  # noqa: TID251 - the one place


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname).1s %(message)s", force=True)
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # its messages hold URLs
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack the letters
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            _say(f"configuration: {problem}")
        return CONFIGURATION
    except UsmError as error:
        _say(str(error))
        return FAILED
    except BrokenPipeError:  # `usm sessions | head`
        _forget_output()
        return OK
    except OSError as error:  # `usm sessions > /dev/full`
        if options.run is run:  # the monitor prints elsewhere: this is a bug
            raise
        _forget_output()
        _say(f"the output could not be written: {error.strerror}")
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    return code


def _forget_output() -> None:
    """Let nothing be written any more: Python would try again at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    sys.stderr.write(f"usm: {text}\n")


def _load(options: argparse.Namespace) -> config.Config:
    loaded = config.load(options.config)
    for warning in loaded.warnings:
        log.warning("%s", warning)
    return loaded


def run(options: argparse.Namespace) -> int:
    """Watch the log in the foreground until interrupted."""
    loaded = _load(options)
    channels = loaded.notify or (config.Notify("console", "console", Console(), (), Route("console")),)
    try:
        monitor = Monitor(loaded, channels, now, random.random)
    except SourceError as error:
        if not options.or_demo:
            raise
        _say(f"there is nothing to watch here: {str(error).rstrip('.')}. Here is a recorded day instead:")
        return demo(options)
    if not loaded.notify:
        hint = _FEISHU_HINT.format(path=loaded.path or config.DEFAULT_PATH)
        log.info("no channel is configured, so messages are printed here. %s", hint)
    monitor.run()
    return OK


def demo(options: argparse.Namespace) -> int:
    """Play the recorded day through the real pipeline into the terminal."""
    loaded = config.Config() if options.config is None else _load(options)
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
    if kinds - set(KINDS):
        _say(f"--kind takes {', '.join(KINDS)}, with commas between them")
        return USAGE
    language = options.language or config.load(options.config).language
    for line in replay.replay(options.file, kinds, options.format, Look(language, local_zone()), now()):
        sys.stdout.write(line + "\n")
    return OK


def check_all(options: argparse.Namespace) -> int:
    """Say what works and what does not, and what to do about it."""
    loaded = config.load(options.config)
    findings = check.check(loaded)
    for level, text in findings:
        sys.stdout.write(f"{level:4}  {text}\n")
    return FAILED if any(level == check.FAIL for level, _ in findings) else OK


def test(options: argparse.Namespace) -> int:
    """Send one marked message through each channel and explain the answer."""
    loaded = _load(options)
    chosen = [n for n in loaded.notify if options.channel in (None, n.name)]
    if not chosen:
        _say(
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
            _say(line)
        _print(said[-1])
        worst = worst if taken else FAILED
    return worst


def sessions(options: argparse.Namespace) -> int:
    """Show who is on."""
    loaded = config.load(options.config)
    store = _open_for_reading(loaded.state)
    found = store.sessions(everything=options.all) if store else []
    zone = local_zone()
    if options.format == "json":
        _print(report.json_lines(report.session_json(s, zone) for s in found))
    else:
        _print(report.sessions_table(found, now(), zone, loaded.language) if found else "nobody is on")
    return OK


def outbox(options: argparse.Namespace) -> int:
    """Show what waits to be sent or was given up; send it again; or forget it."""
    loaded = config.load(options.config)
    if options.action == "list":
        store = _open_for_reading(loaded.state)
        states = tuple(options.state.split(",")) if options.state else (WAITING, PENDING, DEAD)
        if set(states) - set(STATES):
            _say(f"--state takes {', '.join(STATES)}, with commas between them")
            return USAGE
        found = Outbox(store).deliveries(states) if store else []
        zone = local_zone()
        if options.format == "json":
            _print(report.json_lines(report.delivery_json(d, zone) for d in found))
        else:
            _print(
                report.outbox_table(found, zone, loaded.language)
                if found
                else ("none" if options.state else "nothing waits: every message was delivered")
            )
        return OK
    if not os.path.exists(loaded.state):
        _say(f"there is no state file {loaded.state} yet")
        return FAILED
    if options.action == "drop" and not options.id:
        _say("outbox drop needs the ids of the messages to forget (see: usm outbox)")
        return USAGE
    queue = Outbox(Store(loaded.state))
    count = queue.retry(now(), options.id) if options.action == "retry" else queue.drop(options.id)
    _print(f"messages {'to be tried again' if options.action == 'retry' else 'forgotten'}: {count}")
    return OK if count or not options.id else FAILED


def status(options: argparse.Namespace) -> int:
    """Show how the monitor and each channel does."""
    loaded = config.load(options.config)
    store = _open_for_reading(loaded.state)
    if store is None:
        return FAILED
    found = stand.status(store, [n.name for n in loaded.notify], running=is_running(loaded.state))
    zone = local_zone()
    as_json = options.format == "json"
    _print(report.json_lines([report.status_json(found, zone)]) if as_json else report.status_table(found, zone))
    return OK if found.running else FAILED


def _open_for_reading(path: str) -> Optional[Store]:
    try:
        os.stat(path)
    except FileNotFoundError:
        _say(f"there is no state file {path} yet: has the monitor been started?")
        return None
    except OSError:
        pass  # opening it says why it can't be
    return Store(path, readonly=True)


def _print(text: str) -> None:
    if text:
        sys.stdout.write(text + "\n")


def _parser() -> argparse.ArgumentParser:
    def add_config(to: argparse.ArgumentParser, default: Optional[str]) -> None:
        """Add the option before and behind the verb, where the absent one must not undo the other."""
        to.add_argument("-c", "--config", metavar="FILE", default=default, help=f"instead of {config.DEFAULT_PATH}")

    parser = argparse.ArgumentParser(prog="usm", description=usm.__doc__)
    add_config(parser, None)
    parser.add_argument("--version", action="version", version=f"user-session-monitor {usm.__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, function: object, text: str, *, formats: str = "") -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        add_config(sub, argparse.SUPPRESS)
        sub.set_defaults(run=function)
        if formats:
            sub.add_argument(
                "--format",
                choices=("text", "json"),
                default=formats,
                help="json: one object a line (default: %(default)s)",
            )
        return sub

    sub = verb("run", run, "Watch the log in the foreground; without a configured channel, print to the terminal.")
    sub.add_argument("--or-demo", action="store_true", help="where there is no log to watch, play the recorded day")
    sub = verb("demo", demo, "Play a recorded day of real sshd lines through the whole pipeline into the terminal.")
    sub.add_argument("--fast", action="store_true", help="do not wait between the lines")
    sub.add_argument("--language", choices=config.LANGUAGES, help="of the messages (default: the configured one)")
    sub = verb("replay", replay_files, "Print what the lines of log files tell, touching nothing.", formats="json")
    sub.add_argument("file", nargs="+", metavar="FILE", help="a log file, also .gz, .xz or .bz2; - for standard input")
    sub.add_argument("--kind", default=",".join(KINDS), help="only these kinds of events (default: %(default)s)")
    sub.add_argument("--language", choices=config.LANGUAGES, help="of --format text (default: the configured one)")
    verb("check", check_all, "Check the configuration, the log, the state file and the channels; send nothing.")
    sub = verb("test", test, "Send one marked message through each channel, or one, and explain the answer.")
    sub.add_argument("channel", nargs="?", metavar="CHANNEL")
    verb("status", status, "Show whether the monitor runs, and how each channel does.", formats="text")
    sub = verb("sessions", sessions, "Show who is on, since when, from where.", formats="text")
    sub.add_argument("--all", action="store_true", help="ended sessions too, and how they ended")
    sub = verb(
        "outbox", outbox, "Show messages that wait or were given up; try them again; forget them.", formats="text"
    )
    sub.add_argument("action", nargs="?", choices=("list", "retry", "drop"), default="list")
    sub.add_argument("--state", metavar="STATE", help=f"of list: only these, of {', '.join(STATES)}")
    sub.add_argument("id", nargs="*", type=int, metavar="ID", help="only these (retry: all without an ID)")
    return parser
