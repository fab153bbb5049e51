"""Once a week: an access review, into a directory or by mail, made by a child process whose memory goes with it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Callable

    from usm.store import Store

log = logging.getLogger(__name__)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LAST = "report"  # the fact in the store that says up to when one was made
_WEEK, _DAY = timedelta(days=7), timedelta(days=1)
_AGAIN = timedelta(hours=1)  # after one that failed
_LONGEST = timedelta(minutes=10)  # that one may take
# The monitor may be started with `python3 -I` from a directory of its own: the child must find the same program.
_MAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from usm.cli import main; sys.exit(main())"


class Plan(NamedTuple):
    """When a review of the week before is made (`day` 0 is Monday, `at` in minutes after midnight), and for whom.

    `directory`: where it is put; `mail`: the channel by which it is sent; one of them at least.
    """

    day: int
    at: int
    directory: Optional[str] = None
    mail: Optional[str] = None


class Weekly:
    """Starts the child when it is due, and looks after it; asked once a minute."""

    def __init__(self, start: Optional[Callable[[list[str]], subprocess.Popen[bytes]]] = None) -> None:
        self._start = start or _started
        self._child: Optional[subprocess.Popen[bytes]] = None
        self._due: Optional[datetime] = None
        self._began: Optional[datetime] = None
        self._not_before: Optional[datetime] = None

    def look(self, store: Store, plan: Optional[Plan], config: Optional[str], local: datetime) -> None:
        """Begin, or see what became of it. `config`: the file that the monitor reads; `local`: by the wall clock."""
        if self._child is not None:
            self._follow(store, local.replace(tzinfo=None))
            return
        if plan is None:
            return
        now = local.replace(tzinfo=None)
        due = _last_due(plan, now)
        said = store.facts().get(_LAST)
        if said is None:  # it was not configured before: there is a whole week of it then
            store.note(**{_LAST: now.isoformat()})
        elif datetime.fromisoformat(said) < due and (self._not_before is None or now >= self._not_before):
            self._due, self._began = due, now
            self._child = self._start(arguments(plan, config, due))

    def _follow(self, store: Store, now: datetime) -> None:
        child, due, began = self._child, self._due, self._began
        if child is None or due is None or began is None:
            return
        code = child.poll()
        if code is None and now - began < _LONGEST:
            return
        if code is None:
            child.kill()
            code = child.wait()
        self._child = None
        if code == 0:
            store.note(**{_LAST: now.isoformat()})
            log.info("the access review of the week before %s is made", due.date())
        else:
            self._not_before = now + _AGAIN
            text = "the access review of the week before %s could not be made (exit code %d); tried again in an hour"
            log.error(text, due.date(), code)

    def close(self) -> None:
        """End a child that is at it: the next start does it."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


def arguments(plan: Plan, config: Optional[str], due: datetime) -> list[str]:
    """Return the words behind `usm` that make the review of the week before `due`."""
    end = due.replace(hour=0, minute=0, second=0, microsecond=0)
    words = [
        "report",
        "--format",
        "html",
        "--since",
        (end - _WEEK).isoformat(),
        "--until",
        (end - timedelta(microseconds=1)).isoformat(),
    ]
    if plan.directory is not None:
        words += ["--output", os.path.join(plan.directory, f"review-{(end - _DAY).date()}.html")]
    if plan.mail is not None:
        words += ["--mail", plan.mail]
    return [*words, *([] if config is None else ["--config", config])]


def _last_due(plan: Plan, now: datetime) -> datetime:
    today = now.replace(hour=plan.at // 60, minute=plan.at % 60, second=0, microsecond=0)
    due = today - _DAY * ((now.weekday() - plan.day) % 7)
    return due if due <= now else due - _WEEK


def _started(words: list[str]) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parent.parent)
    return subprocess.Popen(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-I", "-c", _MAIN, root, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
