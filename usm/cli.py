"""The command line: words → verbs, and errors → words and exit codes.

Exit codes: 0 fine, 1 failed, 2 usage, 78 configuration.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import TYPE_CHECKING, Callable, Optional

import usm
from usm import config, logs, questions, verbs
from usm.core.message import STATES
from usm.core.model import END_REASONS, TOLD
from usm.core.moment import EXAMPLES, joined
from usm.errors import ConfigError, UsmError
from usm.notify import LANGUAGES
from usm.review import verb as review
from usm.terminal import say

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(joined(list(sys.argv[1:] if arguments is None else arguments)))
    logs.to_stderr()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack the letters
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            say(f"configuration: {problem}")
        return verbs.CONFIGURATION
    except UsmError as error:
        say(str(error))
        return verbs.FAILED
    except BrokenPipeError:  # `usm sessions | head`
        _forget_output()
        return verbs.OK
    except OSError as error:  # `usm sessions > /dev/full`
        if options.run is verbs.run:  # the monitor prints elsewhere: this is a bug
            raise
        _forget_output()
        say(f"the output could not be written: {error.strerror}")
        return verbs.FAILED
    except KeyboardInterrupt:
        return verbs.FAILED
    return code


def _ask(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the verbs that ask who was on and what happened."""

    def add(sub: argparse.ArgumentParser, *options: str) -> None:
        for option in options:
            sub.add_argument(f"--{option}", metavar=_ASKED[option][0], help=_ASKED[option][1])

    forms = ["csv", "ecs", "ocsf"]
    text = "Show who is on, since when, from where; or who was."
    sub = verb("sessions", questions.sessions, text, formats="text", also=forms)
    sub.add_argument("--all", action="store_true", help="ended sessions too, and how they ended")
    add(sub, "at", "since", "until", "user", "source", "key", "end")
    sub.add_argument(
        "--abnormal", action="store_true", help="only those that ended abnormally, or of which more was found"
    )
    sub.add_argument("--limit", type=int, default=0, metavar="N", help="the newest so many; 0 for all (default)")
    sub.add_argument("--watch", action="store_true", help="show it again whenever it changes, until Ctrl-C")
    sub = verb("events", questions.events, "Show what happened, the newest last.", formats="text", also=forms)
    add(sub, "since", "until", "user", "source", "kind", "host")
    sub.add_argument("--limit", type=int, default=100, metavar="N", help="the newest so many; 0 for all (default: 100)")
    sub = verb("user", questions.user, "Show all that is known of a user, on one page.", formats="text")
    sub.add_argument("user", metavar="NAME")
    text = "Show what went on: how many logins, whose, from where, when, and what was found."
    sub = verb("stats", questions.stats, text, formats="text")
    sub.add_argument("--since", metavar="TIME", default="7d", help="from when on (default: 7d, which is 7 days ago)")
    sub.add_argument("--until", metavar="TIME", default="now", help="up to when (default: now)")


def _report(commands: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the verb that writes an access review."""
    text = "Write an access review of a span: a page to look at, print and sign, or its data."
    sub = commands("report", review.report, text)
    for name, default, told in (
        ("since", "7d", "from then on (default: 7d, which is 7 days ago)"),
        ("until", "now", "up to then; a day means its end (default: now)"),
    ):
        sub.add_argument(f"--{name}", metavar="TIME", default=default, help=told)
    sub.add_argument("--user", metavar="PATTERN", help="only these users, such as 'ops-*'")
    told = "html: one page that needs nothing else; json: all of it as one object; csv: a line for each session"
    sub.add_argument("--format", choices=review.FORMATS, default="text", help=f"{told} (default: %(default)s)")
    sub.add_argument("--output", metavar="FILE", help="write there, for nobody else to read (default: standard output)")
    sub.add_argument("--mail", metavar="CHANNEL", help="send the page by this channel, which must be of type email")
    sub.add_argument("--language", choices=LANGUAGES, help="of html and text (default: the configured one)")


_ASKED = {
    "at": ("TIME", f"who was on then; TIME is one of: {EXAMPLES}"),
    "since": ("TIME", "from then on"),
    "until": ("TIME", "up to then; a day means its end"),
    "user": ("NAME", "only this user; a pattern such as 'ops-*' is one too"),
    "source": ("SOURCE", "only from this address, network or pattern"),
    "key": ("KEY", "only with this key, or of whom it belongs to; or a pattern"),
    "end": ("REASON", f"only what ended so: {', '.join(END_REASONS)}; or a pattern"),
    "kind": ("KIND", f"only these: {', '.join(TOLD)}; or a pattern"),
    "host": ("HOST", "only of this machine; or a pattern"),
}


def _forget_output() -> None:
    """Let nothing be written any more: Python would try again at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line; the manual page and the completions are held against it."""

    def add_config(to: argparse.ArgumentParser, default: Optional[str]) -> None:
        """Add the option before and behind the verb, where the absent one must not undo the other."""
        to.add_argument("-c", "--config", metavar="FILE", default=default, help=f"instead of {config.DEFAULT_PATH}")

    parser = argparse.ArgumentParser(prog="usm", description=usm.__doc__)
    add_config(parser, None)
    parser.add_argument("--version", action="version", version=f"user-session-monitor {usm.__version__}")
    commands = parser.add_subparsers(metavar="VERB", required=True)

    def verb(
        name: str,
        function: Callable[[argparse.Namespace], int],
        text: str,
        *,
        formats: str = "",
        also: Sequence[str] = (),
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        add_config(sub, argparse.SUPPRESS)
        sub.set_defaults(run=function)
        if formats:
            sub.add_argument(
                "--format",
                choices=("text", "json", *also),
                default=formats,
                help="; ".join(("json: one object a line", *also)) + " (default: %(default)s)",
            )
        return sub

    sub = verb(
        "run", verbs.run, "Watch the log in the foreground; without a configured channel, print to the terminal."
    )
    sub.add_argument("--or-demo", action="store_true", help="where there is no log to watch, play the recorded day")
    sub.add_argument("-v", "--verbose", action="store_true", help="say more: each event")
    verb("start", verbs.start, "Watch the log in the background; ends when it is watched, or says why it is not.")
    verb("stop", verbs.stop, "End the monitor that runs; ends when it has.")
    verb("restart", verbs.restart, "End the monitor that runs and start another one, if the configuration can be used.")
    verb(
        "reload",
        verbs.reload,
        "Let the monitor that runs read its configuration again; one that is wrong changes nothing.",
    )
    sub = verb(
        "demo", verbs.demo, "Play a recorded day of real sshd lines through the whole pipeline into the terminal."
    )
    sub.add_argument("--fast", action="store_true", help="do not wait between the lines")
    sub.add_argument("--language", choices=LANGUAGES, help="of the messages (default: the configured one)")
    sub = verb(
        "replay", verbs.replay_files, "Print what the lines of log files tell, touching nothing.", formats="json"
    )
    sub.add_argument("file", nargs="+", metavar="FILE", help="a log file, also .gz, .xz or .bz2; - for standard input")
    sub.add_argument("--kind", default=",".join(TOLD), help="only these kinds of events (default: %(default)s)")
    sub.add_argument("--language", choices=LANGUAGES, help="of --format text (default: the configured one)")
    sub.add_argument("--judge", action="store_true", help="print what is abnormal instead, as JSON, and why")
    text = "Check all that the monitor needs, as the user who runs it, and say what to change; change and send nothing."
    sub = verb("check", verbs.check_all, text)
    sub.add_argument("--online", action="store_true", help="also whether each channel's service is there, by TLS")
    sub = verb("test", verbs.test, "Send one marked message through each channel, or one, and explain the answer.")
    sub.add_argument("channel", nargs="?", metavar="CHANNEL")
    text = "Show whether the monitor runs, what it reads and counts, and how each channel does."
    verb("status", verbs.status, text, formats="text", also=["prometheus"])
    _ask(verb)
    _report(verb)
    text = "Show why an event was judged abnormal, or why not; without one, what was found lately."
    sub = verb("explain", questions.explain_event, text, formats="text")
    sub.add_argument("event", nargs="?", metavar="EVENT", help="the id of a session, or of a message")
    sub = verb(
        "baseline", questions.baseline, "Show what is usual for a user: from where, how, when last.", formats="text"
    )
    sub.add_argument("user", metavar="USER")
    text = "Prove that nobody changed the record, or name the first entry that was changed, removed or cut."
    sub = verb("verify", questions.verify, text, formats="text")
    sub.add_argument("--head", metavar="HEAD", action="append", default=[], help="a head that a daily summary told")
    sub = verb(
        "outbox", verbs.outbox, "Show messages that wait or were given up; try them again; forget them.", formats="text"
    )
    sub.add_argument("action", nargs="?", choices=("list", "retry", "drop"), default="list")
    sub.add_argument("--state", metavar="STATE", help=f"of list: only these, of {', '.join(STATES)}")
    sub.add_argument("id", nargs="*", type=int, metavar="ID", help="only these (retry: all without an ID)")
    return parser
