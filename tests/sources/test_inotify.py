"""Waiting where files can't be watched. What it does with files is tested with the source that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usm.sources.inotify import Watcher

if TYPE_CHECKING:
    from pathlib import Path


def test_what_does_not_matter_puts_off_no_look(tmp_path: Path) -> None:
    """Without inotify for a file, other files that come in its directory all the time don't hide its lines."""
    asked = 0

    def monotonic() -> float:
        nonlocal asked
        asked += 1
        assert asked < 100, "it would never look"
        (tmp_path / f"another-{asked}").touch()  # an event is in the queue whenever it waits
        return asked * 0.3

    watcher = Watcher(monotonic)
    watcher.watch_directories([str(tmp_path / "auth.log")])
    assert watcher.watch_file(-1) is None  # such a descriptor is not there, as none is without /proc
    assert watcher.wait(None)
    assert asked <= 6
    assert watcher.wait(1000.0)  # also where something else is to be done later
    assert not watcher.wait(monotonic() + 0.5)  # or sooner
    watcher.close()
