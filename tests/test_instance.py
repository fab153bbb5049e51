"""One monitor for one state file, and how others know that it is alive."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from usm.errors import StoreError
from usm.instance import hold, holder, running

if TYPE_CHECKING:
    from pathlib import Path


def test_the_directory_of_the_state_is_made(tmp_path: Path) -> None:
    """For this user and group only."""
    os.close(hold(str(tmp_path / "a" / "b" / "state.db")))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o750


def test_a_state_below_a_file_is_refused(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="File exists; run as its owner, or set `state:` to a place of this user's"):
        hold(str(tmp_path / "file" / "state.db"))


def test_there_is_one_holder_and_others_learn_who(tmp_path: Path) -> None:
    """Until it lets go, and whoever was it before."""
    path = str(tmp_path / "state.db")
    assert running(path) is None
    (tmp_path / "state.db.lock").write_text("123456789\n")  # of one that was killed
    assert running(path) is None
    lock = hold(path)
    assert running(path) == os.getpid()
    with pytest.raises(
        StoreError, match=rf"another monitor is running with it \(process {os.getpid()}\); .*: usm stop"
    ):
        hold(path)
    os.close(lock)
    assert running(path) is None


def test_a_killed_holder_is_none(tmp_path: Path) -> None:
    """The kernel gives its lock back, whatever it wrote."""
    path = str(tmp_path / "state.db")
    code = f"import time; from usm.instance import hold; hold({path!r}); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert running(path) == process.pid
        process.kill()
    assert running(path) is None
    assert (tmp_path / "state.db.lock").read_text() == f"{process.pid}\n"


def test_a_holder_that_has_not_written_its_number_is_one(tmp_path: Path) -> None:
    """It is alive, only unknown."""
    path = str(tmp_path / "state.db")
    lock = hold(path)
    os.ftruncate(lock, 0)
    assert holder(f"{path}.lock") == 0
    os.close(lock)
