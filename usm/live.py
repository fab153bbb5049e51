"""A view that redraws itself; the terminal is as it was afterwards, whatever ends it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENTER, _LEAVE, _HOME, _REST, _BELOW = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[K", "\x1b[J"
_TICK = 1.0  # seconds between two looks
_STALE = 30  # looks after which lengths of time are written anew
_ENDS = (signal.SIGTERM, signal.SIGHUP)


def watch(draw: Callable[[int], list[str]], changed: Callable[[], object]) -> None:
    """Show what `draw` makes of the terminal's width, whenever `changed` gives another value; ends with Ctrl-C."""
    try:
        with _screen() as stops:
            last: object = None
            look = 0
            while True:
                size = shutil.get_terminal_size()
                state = (changed(), size, look // _STALE, len(stops))
                if state != last:
                    sys.stdout.write(_page(draw(size.columns), size.lines))
                    sys.stdout.flush()
                    last = state
                time.sleep(_TICK)
                look += 1
    except KeyboardInterrupt:
        return


def _page(lines: list[str], height: int) -> str:
    """Return what fits on the screen, written over what was there."""
    shown = lines if len(lines) < height else [*lines[: height - 2], f"... and {len(lines) - height + 2} more"]
    return _HOME + "".join(f"{line}{_REST}\r\n" for line in shown) + _BELOW


@contextmanager
def _screen() -> Iterator[list[int]]:
    """Take the other screen of the terminal, and give it back, also where a signal ends or stops us; give the stops."""
    stops: list[int] = []

    def end(number: int, _frame: Any) -> None:  # noqa: ANN401 - a frame
        raise SystemExit(128 + number)

    def stop(number: int, _frame: Any) -> None:  # noqa: ANN401 - a frame
        _say(_LEAVE)
        os.kill(os.getpid(), signal.SIGSTOP)
        _say(_ENTER)
        stops.append(number)

    before = {number: signal.signal(number, end) for number in _ENDS}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, stop)
    # Ctrl-C ends it also where a shell started us without (in the background of a script, it is ignored).
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _say(_ENTER)
        yield stops
    finally:
        _say(_LEAVE)
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
