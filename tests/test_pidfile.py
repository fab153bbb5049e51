"""The pidfile: whose it is, and what is done with one that was left behind."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from usm.errors import ServiceError
from usm.instance import holder
from usm.pidfile import PidFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the pidfile is to be; its directory is made with it."""
    return tmp_path / "run" / "usm.pid"


def test_it_is_there_and_locked_while_its_process_lives(path: Path) -> None:
    """Systemd reads the first line of it; others ask the lock."""
    with PidFile(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
        assert holder(str(path)) == os.getpid()
        with pytest.raises(ServiceError, match=rf"another monitor \(process {os.getpid()}\) holds it"):
            PidFile(str(path)).acquire()
    assert not path.exists()


def test_what_was_left_behind_is_replaced_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a process that is gone, of another program, and of a disk that was full."""
    path.parent.mkdir()
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        for text, said in (
            ("999999999\n", "was left behind by process 999999999, which is gone: it is replaced"),
            (f"{sleeper.pid}\n", f"holds the number of process {sleeper.pid} ('sleep'), which is no monitor"),
            ("1\n", "holds the number of process 1 ("),
            ("", "is empty: it is replaced"),
        ):
            path.write_text(text)
            caplog.clear()
            with PidFile(str(path)):
                assert path.read_text() == f"{os.getpid()}\n"
            assert f"pidfile {path} {said}" in caplog.text
        assert sleeper.poll() is None
        sleeper.kill()


@pytest.mark.parametrize("text", ["root:x:0:0\n", "12 34\n", "-1\n", "99999999999\n", "\0\0"])
def test_a_file_that_is_no_pidfile_is_left_alone(path: Path, text: str) -> None:
    """Somebody has named the wrong one."""
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ServiceError, match="this file is none; remove it, or set `pidfile:` to another path"):
        PidFile(str(path)).acquire()
    assert path.read_text() == text


def test_where_it_can_not_be_written(tmp_path: Path) -> None:
    """The reason and what to do."""
    (tmp_path / "file").touch()
    (tmp_path / "dir.pid").mkdir()
    for path, reason in (("file/usm.pid", "File exists|Not a directory"), ("dir.pid", "Is a directory")):
        with pytest.raises(ServiceError, match=rf"({reason}); see who may write there, or set `pidfile:`"):
            PidFile(str(tmp_path / path)).acquire()


@pytest.mark.parametrize("replace", [True, False])
def test_one_that_somebody_removed_is_no_reason_to_fail(
    path: Path, caplog: pytest.LogCaptureFixture, *, replace: bool
) -> None:
    """The end of the monitor says so, and leaves what is not its own."""
    caplog.set_level(logging.WARNING)
    with PidFile(str(path)):
        path.unlink()
        if replace:
            path.write_text("1\n")
    assert re.search("somebody else has removed or replaced it", caplog.text)
    assert path.exists() is replace
