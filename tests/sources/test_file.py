"""The file source on its own, one example for each thing that can happen to a log."""

from __future__ import annotations

import bz2
import contextlib
import ctypes
import errno
import gzip
import json
import logging
import lzma
import os
import select
import shutil
import signal
import stat
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import pytest

from usm.errors import SourceError
from usm.sources import inotify, rotated
from usm.sources.file import LINGER, FileSource
from usm.sources.part import MAX_LINE
from usm.sources.trail import MOST_PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from usm.core.model import Batch
    from usm.sources import Source


class Reader:
    """A source with a clock that a test moves, and the last cursor that was committed."""

    def __init__(self, path: Path, cursor: Optional[str] = None) -> None:
        self.path = path
        self.now = 1000.0
        self.source = FileSource(str(path), cursor, monotonic=lambda: self.now)
        self.cursor = self.source.position()

    def batch(self) -> Optional[Batch]:
        """Read once, and commit."""
        batch = self.source.read(0)
        if batch is not None:
            self.cursor = batch.cursor
        return batch

    def lines(self) -> bytes:
        """Read until there is nothing more."""
        data = b""
        while True:
            batch = self.batch()
            if batch is None:
                return data
            data += batch.data

    def restart(self) -> None:
        """Start anew from the last committed cursor."""
        self.source.close()
        self.source = FileSource(str(self.path), self.cursor, monotonic=lambda: self.now)

    def files(self) -> list[dict[str, Any]]:
        """Return the followed files, as the cursor names them."""
        found: list[dict[str, Any]] = json.loads(self.source.position())["files"]
        return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is; nothing is there yet."""
    return tmp_path / "auth.log"


@pytest.fixture
def follow() -> Iterator[Callable[..., Reader]]:
    """Make readers that are closed at the end."""
    made: list[Reader] = []

    def make(path: Path, cursor: Optional[str] = None) -> Reader:
        made.append(Reader(path, cursor))
        return made[-1]

    yield make
    for reader in made:
        reader.source.close()


Follow = Callable[..., Reader]


def write(path: Path, data: bytes) -> None:
    """Append."""
    with path.open("ab") as file:
        file.write(data)


def rotate(path: Path, *, create: bool = True) -> None:
    """Rename as logrotate does: name.1 to name.2 and so on, then name to name.1, then a new file."""
    for number in range(20, 0, -1):
        for suffix in ("", ".gz"):
            old = Path(f"{path}.{number}{suffix}")
            if old.exists():
                old.rename(f"{path}.{number + 1}{suffix}")
    path.rename(f"{path}.1")
    if create:
        path.touch()


def compress(path: Path, suffix: str = ".gz") -> None:
    """Replace a file by its compressed form, which keeps the time of the last writing."""
    status = path.stat()
    opener: Any = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}[suffix]
    with opener(f"{path}{suffix}", "wb") as file:
        file.write(path.read_bytes())
    os.utime(f"{path}{suffix}", ns=(status.st_mtime_ns, status.st_mtime_ns))
    path.unlink()


def copytruncate(path: Path) -> None:
    """Copy to name.1, then empty the file."""
    shutil.copyfile(path, f"{path}.1")
    os.truncate(path, 0)


def open_fds() -> set[int]:
    """Return the descriptors that this process has open."""
    return {int(entry.name) for entry in list(Path("/proc/self/fd").iterdir()) if entry.exists() or entry.is_symlink()}


# -- growth


def test_a_fresh_start_reads_only_what_is_written_from_then_on(path: Path, follow: Follow) -> None:
    """Old lines are history."""
    write(path, b"old\n")
    reader = follow(path)
    assert reader.batch() is None
    write(path, b"new\n")
    assert reader.lines() == b"new\n"


def test_a_fresh_start_is_committed_before_anything_was_read(path: Path, follow: Follow) -> None:
    """The position at the start is a cursor like any other."""
    write(path, b"old\n")
    reader = follow(path)
    write(path, b"new\n")
    reader.restart()
    assert reader.lines() == b"new\n"


def test_a_line_half_written_at_a_fresh_start_is_read_when_whole(path: Path, follow: Follow) -> None:
    """Neither its end alone nor nothing of it."""
    write(path, b"old\nhal")
    reader = follow(path)
    write(path, b"f\n")
    assert reader.lines() == b"half\n"


def test_a_fresh_start_inside_an_endless_line_drops_it(path: Path, follow: Follow) -> None:
    """Its end is no line."""
    write(path, b"x" * (MAX_LINE + 5))
    reader = follow(path)
    write(path, b"end\nnext\n")
    assert reader.lines() == b"next\n"


def test_bytes_without_lf_are_held_back(path: Path, follow: Follow) -> None:
    """A line is given when it is whole, whatever bytes it has."""
    path.touch()
    reader = follow(path)
    write(path, b"a\xff\x00\r\x85")
    assert reader.batch() is None
    reader.restart()
    write(path, b"b\nc")
    assert reader.lines() == b"a\xff\x00\r\x85b\n"


def test_a_batch_is_at_most_a_mebibyte_and_tells_what_is_behind(path: Path, follow: Follow) -> None:
    """`behind` counts the unread bytes."""
    path.touch()
    reader = follow(path)
    lines = b"".join(b"%0127d\n" % number for number in range(20_000))
    write(path, lines)
    first = reader.batch()
    assert first is not None
    assert len(first.data) == MAX_LINE
    assert first.behind == len(lines) - MAX_LINE
    assert first.data + reader.lines() == lines


def test_killed_between_two_batches_goes_on_behind_the_committed_one(path: Path, follow: Follow) -> None:
    """State is only in the cursor."""
    path.touch()
    reader = follow(path)
    write(path, b"a\n")
    first = reader.batch()
    write(path, b"b\n")
    reader.source.read(0)  # never committed
    reader.restart()
    assert first is not None
    assert reader.lines() == b"b\n"


# -- rotation


def test_rename_and_create_with_a_writer_that_reopens_late(path: Path, follow: Follow) -> None:
    """Lines of the renamed file come first, as long as it has any."""
    path.touch()
    reader = follow(path)
    with path.open("ab", buffering=0) as old:
        old.write(b"1\n")
        rotate(path)
        old.write(b"2\n")
        write(path, b"4\n")
        old.write(b"3\n")
        assert reader.lines() == b"1\n2\n3\n4\n"
        old.write(b"late\n")
        assert reader.lines() == b"late\n"
        reader.restart()
        old.write(b"later\n")
        assert reader.lines() == b"later\n"


def test_a_rotated_file_is_left_after_it_was_quiet_for_a_while(path: Path, follow: Follow) -> None:
    """It is read once more before it is left."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    rotate(path)
    write(path, b"2\n")
    assert reader.lines() == b"1\n2\n"
    assert len(reader.files()) == 2
    reader.now += LINGER + 1
    write(Path(f"{path}.1"), b"late\n")
    assert reader.lines() == b"late\n"
    assert len(reader.files()) == 1


def test_a_rotated_file_is_kept_while_the_new_one_is_empty(path: Path, follow: Follow) -> None:
    """However long that takes."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    rotate(path)
    reader.lines()
    reader.now += 10 * LINGER
    assert reader.lines() == b""
    write(Path(f"{path}.1"), b"2\n")
    assert reader.lines() == b"2\n"


def test_the_unfinished_end_of_a_rotated_file_is_dropped_at_last(path: Path, follow: Follow) -> None:
    """It is never glued to a line of the new file."""
    path.touch()
    reader = follow(path)
    write(path, b"1\ntail")
    rotate(path)
    write(path, b"2\n")
    assert reader.lines() == b"1\n2\n"
    reader.now += LINGER + 1
    reader.lines()
    reader.restart()
    write(path, b"3\n")
    assert reader.lines() == b"3\n"


@pytest.mark.parametrize("down", [False, True])
def test_several_rotations_between_two_reads(path: Path, follow: Follow, *, down: bool) -> None:
    """Every file in between is read whole, the oldest first; none that is older than the cursor's."""
    write(path, b"ancient\n")
    rotate(path)
    write(path, b"history\n")
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    for number in range(3, 7):
        rotate(path)
        write(path, b"%d\n" % number)
    if down:
        reader.restart()
    assert reader.lines() == b"2\n3\n4\n5\n6\n"


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_the_cursors_file_was_compressed_while_down(path: Path, follow: Follow, suffix: str) -> None:
    """It is recognised by its content, and its rest is unpacked; so are whole files after it."""
    path.touch()
    reader = follow(path)
    first = b"".join(b"first %d\n" % number for number in range(300_000))
    write(path, first[: len(first) // 2])
    read = reader.lines()
    write(path, first[len(first) // 2 :])
    rotate(path)
    write(path, b"second\n")
    rotate(path)
    write(path, b"third\n")
    compress(Path(f"{path}.2"), suffix)
    compress(Path(f"{path}.1"), suffix)
    reader.restart()
    batch = reader.batch()
    assert batch is not None
    reader.restart()  # in the middle of a compressed file
    assert read + batch.data + reader.lines() == first + b"second\nthird\n"


def test_a_followed_file_that_is_compressed_is_read_to_its_end(path: Path, follow: Follow) -> None:
    """Its descriptor outlives its name, and what follows it is known by its content."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    assert reader.lines() == b"1\n"
    write(path, b"2\n")
    rotate(path)
    write(path, b"3\n")
    rotate(path)
    write(path, b"4\n")
    compress(Path(f"{path}.2"))
    assert reader.lines() == b"2\n3\n4\n"


def test_a_file_left_behind_in_compressed_form_is_not_read_again(path: Path, follow: Follow) -> None:
    """Delayed compression: the plain .1 that was read becomes .2.gz."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    rotate(path)
    write(path, b"2\n")
    assert reader.lines() == b"1\n2\n"
    compress(Path(f"{path}.1"))
    rotate(path)
    write(path, b"3\n")
    assert reader.lines() == b"3\n"
    reader.restart()
    assert reader.lines() == b""


def test_a_half_written_compressed_file_beside_the_plain_one_is_ignored(path: Path, follow: Follow) -> None:
    """The plain one is the true one until it is gone."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    rotate(path)
    rotate(path)
    write(Path(f"{path}.2.gz"), gzip.compress(b"1\n2\n")[:9])
    write(path, b"3\n")
    reader.restart()
    assert reader.lines() == b"2\n3\n"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("-20261108", "-20261115"),
        ("-20261231.gz", "-20270101"),
        ("-2026-11-08", "-2026-11-15.xz"),
        (".20261108", ".20261115"),
        ("-20261108-1794100000", "-20261108-1794100001"),
        ("-2026110809", "-2026110810"),
        (".10", ".9"),
        (".2", "-20261115"),  # both schemes: by the time of the last writing
    ],
)
def test_the_order_of_rotated_files(path: Path, follow: Follow, older: str, newer: str) -> None:
    """By number or date in the name, by time of the last writing where names don't tell."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    path.unlink()
    for second, (ending, lines) in enumerate([(older, b"1\n2\n"), (newer, b"3\n")]):
        plain, dot, suffix = ending.partition(".gz") if ".gz" in ending else ending.partition(".xz")
        target = Path(f"{path}{plain}")
        write(target, lines)
        os.utime(target, (2_000_000_000 + second, 2_000_000_000 + second))
        if dot:
            compress(target, dot + suffix)
    write(path, b"4\n")
    reader.restart()
    assert reader.lines() == b"2\n3\n4\n"


def test_names_that_only_look_alike_are_not_rotated_files(path: Path, follow: Follow) -> None:
    """Nor are directories."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    for name in ("auth.log.bak", "auth.log.1.old", "auth.logs.1", "auth.log~", "auth.log.1x"):
        write(path.parent / name, b"no\n")
    Path(f"{path}.1").mkdir()
    path.unlink()
    write(path, b"2\n")
    reader.restart()
    assert reader.lines() == b"2\n"


def test_more_files_than_are_open_at_once(path: Path, follow: Follow) -> None:
    """After a long downtime they are opened as the ones before are done."""
    path.touch()
    reader = follow(path)
    want = b""
    for number in range(3 * MOST_PARTS):
        line = b"%d\n" % number
        write(path, line)
        want += line
        if not number:
            assert reader.lines() == line
        Path(path).rename(f"{path}-{20260101 + number}")
        path.touch()
    before = len(open_fds())
    reader.restart()
    got = b"0\n"
    while (batch := reader.batch()) is not None:
        got += batch.data
        assert len(open_fds()) <= before + 2 * MOST_PARTS
    assert got == want


def test_the_cursors_file_is_gone(path: Path, follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    """What was written later is read, and one warning names what can't be known."""
    write(path, b"history\n")
    os.utime(path, (1_000, 1_000))
    rotate(path)
    os.utime(path, (1_001, 1_001))
    reader = follow(path)
    write(path, b"1\n")
    os.utime(path, (2_000, 2_000))
    assert reader.lines() == b"1\n"
    path.unlink()
    write(Path(f"{path}.1"), b"2\n")
    Path(f"{path}.1").rename(f"{path}.2")
    Path(f"{path}.2").write_bytes(b"history\n")
    os.utime(f"{path}.2", (1_000, 1_000))
    write(Path(f"{path}.1"), b"3\n")
    write(path, b"4\n")
    reader.restart()
    assert reader.lines() == b"3\n4\n"
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert "1970-01-01T00:33:20+00:00" in warnings[0]
    assert str(path) in warnings[0]


def test_a_compression_that_cannot_be_unpacked_is_named(
    path: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """Its lines are missed, and that is said once."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    rotate(path)
    rotate(path)
    Path(f"{path}.1").unlink()
    write(Path(f"{path}.1.zst"), b"(zstd)")
    write(path, b"3\n")
    reader.restart()
    assert reader.lines() == b"2\n3\n"
    assert [record.getMessage() for record in caplog.records if ".1.zst" in record.getMessage()]


def test_a_damaged_compressed_file_gives_what_can_be_unpacked(
    path: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """And a warning that names it."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    rotate(path)
    lines = b"".join(b"%d\n" % (number * number) for number in range(100_000))
    rotate(path)
    packed = gzip.compress(lines)
    Path(f"{path}.1").unlink()
    write(Path(f"{path}.1.gz"), packed[: len(packed) // 2])
    write(path, b"end\n")
    reader.restart()
    got = reader.lines()
    assert got.endswith(b"end\n")
    assert lines.startswith(got[:-4])
    assert len(got) > 100_000
    assert [record.getMessage() for record in caplog.records if ".1.gz is damaged" in record.getMessage()]


# -- truncation


def test_copytruncate_gives_the_rest_of_the_copy_first(path: Path, follow: Follow) -> None:
    """Lines that were not yet read are in the copy."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    copytruncate(path)
    write(path, b"3\n")
    assert reader.lines() == b"2\n3\n"


def test_copytruncate_with_a_refill_past_the_old_place(path: Path, follow: Follow) -> None:
    """The size alone does not tell; the first bytes do."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    copytruncate(path)
    write(path, b"3\n4\n5\n6\n")
    assert reader.lines() == b"2\n3\n4\n5\n6\n"


def test_copytruncate_while_down_and_compressed(path: Path, follow: Follow) -> None:
    """The copy is found by its content in any form."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    copytruncate(path)
    write(path, b"3\n")
    Path(f"{path}.1").rename(f"{path}.2")
    compress(Path(f"{path}.2"))
    copytruncate(path)
    write(path, b"4\n")
    reader.restart()
    assert reader.lines() == b"2\n3\n4\n"


def test_a_copy_that_is_still_being_made_is_not_a_rotated_file(path: Path, follow: Follow) -> None:
    """Nothing of the original was read yet, so only its beginning tells."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n2\n3\n")
    write(Path(f"{path}.1"), b"1\n")
    assert reader.lines() == b"1\n2\n3\n"
    write(Path(f"{path}.1"), b"2\n3\n")
    os.truncate(path, 0)
    write(path, b"4\n")
    assert reader.lines() == b"4\n"


def test_filled_copied_and_emptied_before_anything_was_read(path: Path, follow: Follow) -> None:
    """The copy comes first, also when the file is filled again."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    copytruncate(path)
    write(path, b"2\n")
    assert reader.lines() == b"1\n2\n"


def test_emptied_between_the_look_and_the_reading(path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the file began was noted before the directory was listed."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    take = reader.source._take

    def late() -> Optional[Batch]:
        monkeypatch.setattr(reader.source, "_take", take)
        copytruncate(path)
        write(path, b"2\n")
        return take()

    monkeypatch.setattr(reader.source, "_take", late)
    assert reader.lines() == b"1\n2\n"


def test_truncation_without_a_copy_is_told(path: Path, follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    """The file is read from its start."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n" * 2000)
    reader.lines()
    os.truncate(path, 0)
    write(path, b"2\n")
    assert reader.lines() == b"2\n"
    assert "emptied" in caplog.text


@pytest.mark.parametrize("down", [False, True])
def test_a_power_loss_that_took_read_lines_repeats_none(path: Path, follow: Follow, *, down: bool) -> None:
    """The file is shorter, but begins as before: new lines come behind what is left."""
    path.touch()
    reader = follow(path)
    lines = b"".join(b"%d\n" % number for number in range(1000))
    write(path, lines)
    reader.lines()
    os.truncate(path, 2000)
    if down:
        reader.restart()
    assert reader.lines() == b""
    write(path, b"new\n")
    assert reader.lines() == b"new\n"


def test_truncated_while_it_is_read(path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read of the file is discarded when its beginning has changed after that."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    peek = rotated.Plain.peek

    def truncating(self: rotated.Plain, offset: int, size: int) -> bytes:
        data = peek(self, offset, size)
        monkeypatch.setattr(rotated.Plain, "peek", peek)
        copytruncate(path)
        write(path, b"refilled\n")
        return data

    monkeypatch.setattr(rotated.Plain, "peek", truncating)
    assert reader.lines() == b"2\nrefilled\n"


# -- coming and going


def test_a_missing_file_is_waited_for(path: Path, follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; what appears later is read from its beginning."""
    path = path.parent / "a" / "b" / "auth.log"
    reader = follow(path)
    assert reader.lines() == b""
    path.parent.mkdir(parents=True)
    assert reader.lines() == b""
    write(path, b"1\n")
    assert reader.lines() == b"1\n"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(path) in caplog.text


def test_a_missing_file_with_rotated_ones_at_a_fresh_start(path: Path, follow: Follow) -> None:
    """They are history, but for what is still written to the newest."""
    write(path, b"old\n")
    rotate(path, create=False)
    reader = follow(path)
    write(Path(f"{path}.1"), b"late\n")
    write(path, b"new\n")
    reader.restart()
    assert reader.lines() == b"late\nnew\n"


def test_compressed_rotated_files_at_a_fresh_start_are_history(path: Path, follow: Follow) -> None:
    """Also after a restart from a place where nothing was read."""
    write(path, b"old\n")
    rotate(path)
    compress(Path(f"{path}.1"))
    os.utime(f"{path}.1.gz", (1_000, 1_000))
    reader = follow(path)
    reader.restart()
    write(path, b"new\n")
    assert reader.lines() == b"new\n"


def test_deleted_and_created_again(path: Path, follow: Follow) -> None:
    """The rest of the deleted file, then the new one."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    path.unlink()
    assert reader.lines() == b"2\n"
    write(path, b"3\n")
    assert reader.lines() == b"3\n"


def test_a_file_that_is_away_for_a_while_is_read_on(path: Path, follow: Follow) -> None:
    """Also across a restart while it is away."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    away = path.parent / "away"
    path.rename(away)
    reader.restart()
    assert reader.lines() == b""
    assert reader.source.position() == reader.cursor
    away.rename(path)
    assert reader.lines() == b"2\n"


def test_an_inode_used_again_is_not_taken_for_the_old_file(path: Path, follow: Follow) -> None:
    """The first bytes differ."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    write(path, b"2\n")
    compress(path)
    Path(f"{path}.gz").rename(f"{path}.1.gz")
    write(path, b"3\n4\n")
    cursor = json.loads(reader.cursor)
    cursor["files"][0]["ino"] = path.stat().st_ino
    reader.cursor = json.dumps(cursor)
    reader.restart()
    assert reader.lines() == b"2\n3\n4\n"


def test_a_symlink_is_followed_also_to_another_target(path: Path, follow: Follow) -> None:
    """Rotated files are looked for beside the target."""
    (path.parent / "data").mkdir()
    target = path.parent / "data" / "real.log"
    target.touch()
    path.symlink_to(target)
    reader = follow(path)
    write(target, b"1\n")
    assert reader.lines() == b"1\n"
    rotate(target)
    write(target, b"2\n")
    reader.restart()
    assert reader.lines() == b"2\n"
    other = path.parent / "other.log"
    write(other, b"3\n")
    write(target, b"late\n")
    path.unlink()
    path.symlink_to(other)
    assert reader.lines() == b"late\n3\n"


def test_a_copy_that_takes_the_place_of_the_file_is_read_on(path: Path, follow: Follow) -> None:
    """As an editor leaves it: another inode, the same lines."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    assert reader.lines() == b"1\n"
    copy = path.parent / "copy"
    shutil.copyfile(path, copy)
    copy.rename(path)
    write(path, b"2\n")
    assert reader.lines() == b"2\n"


def test_a_rotated_file_that_is_put_back_is_read_on(path: Path, follow: Follow) -> None:
    """Nothing of it is repeated, also later."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    rotate(path)
    write(path, b"2\n")
    assert reader.lines() == b"1\n2\n"
    Path(f"{path}.1").rename(path)
    write(path, b"3\n")
    assert reader.lines() == b"3\n"
    reader.now += LINGER + 1
    write(path, b"4\n")
    assert reader.lines() == b"4\n"
    reader.now += LINGER + 1
    assert reader.lines() == b""


# -- lines too long


def test_a_line_longer_than_a_mebibyte_is_dropped_whole(
    path: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its beginning nor its end is ever a line."""
    path.touch()
    reader = follow(path)
    fits = b"f" * (MAX_LINE - 1) + b"\n"
    write(path, b"a\n" + b"x" * (3 * MAX_LINE) + b"forged\nb\n" + fits + b"y" * MAX_LINE + b"\nc\n")
    assert reader.lines() == b"a\nb\n" + fits + b"c\n"
    assert len(caplog.records) == 2


def test_the_rest_of_a_dropped_line_is_dropped_after_a_restart(path: Path, follow: Follow) -> None:
    """The cursor knows that it is inside such a line."""
    path.touch()
    reader = follow(path)
    write(path, b"x" * (MAX_LINE + 5))
    assert reader.lines() == b""
    reader.cursor = reader.source.position()
    assert reader.files()[0]["skip"]
    reader.restart()
    write(path, b"forged")
    assert reader.lines() == b""
    write(path, b"\nb\n")
    assert reader.lines() == b"b\n"


# -- what is refused, what is told


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """With its name and what to do."""
    with pytest.raises(SourceError, match=r"it is a directory; name the file in monitor\.log_file"):
        FileSource(str(tmp_path), None)


def test_a_path_that_becomes_something_else_is_waited_for(
    path: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once."""
    path.touch()
    reader = follow(path)
    path.unlink()
    path.mkdir()
    assert reader.lines() + reader.lines() == b""
    path.rmdir()
    write(path, b"1\n")
    assert reader.lines() == b"1\n"
    assert len(caplog.records) == 1


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Drop root's power to read everything, if this is root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.fixture
def public() -> Iterator[Path]:
    """Make a directory that anybody may enter."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(directory)


def test_a_file_without_permission_is_refused(public: Path) -> None:
    """With the owner, the group and the mode."""
    path = public / "auth.log"
    path.touch()
    path.chmod(0)
    with as_nobody(), pytest.raises(SourceError, match=r"auth\.log: no permission \(owner .*mode 0000; run as root"):
        FileSource(str(path), None)


def test_permission_lost_and_given_back(public: Path, follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and nothing is lost."""
    path = public / "auth.log"
    path.touch()
    path.chmod(0o644)
    with as_nobody():
        reader = follow(path)
    rotate(path)
    path.chmod(0)
    write(Path(f"{path}.1"), b"1\n")
    path.chmod(0o600)
    write(path, b"2\n")
    path.chmod(0)
    with as_nobody():
        assert reader.lines() == b"1\n"
        assert reader.lines() == b""
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    path.chmod(0o644)
    with as_nobody():
        assert reader.lines() == b"2\n"


def test_a_directory_that_cannot_be_listed_is_told(
    public: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """The file itself is followed all the same."""
    path = public / "auth.log"
    path.touch()
    path.chmod(0o644)
    public.chmod(0o711 if os.geteuid() == 0 else 0o311)
    with as_nobody():
        reader = follow(path)
    write(path, b"1\n")
    with as_nobody():
        assert reader.lines() == b"1\n"
    assert "can't be listed" in caplog.text


@pytest.mark.parametrize("cursor", ["", "{", "[]", "7", '{"path": "/x"}', '{"__REALTIME_TIMESTAMP": "1"}'])
def test_a_cursor_of_another_source_starts_at_the_end(
    path: Path, follow: Follow, caplog: pytest.LogCaptureFixture, cursor: str
) -> None:
    """And says so."""
    write(path, b"old\n")
    reader = follow(path, cursor)
    write(path, b"new\n")
    assert reader.lines() == b"new\n"
    assert "is read from now on" in caplog.text


def test_the_cursor_of_another_log_starts_at_the_end(
    path: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """The configuration names another path now: its old lines are history."""
    path.touch()
    cursor = follow(path).cursor
    other = path.parent / "secure"
    write(other, b"old\n")
    reader = follow(other, cursor)
    write(other, b"new\n")
    assert reader.lines() == b"new\n"
    assert f"the stored position is of {path}" in caplog.text


def test_no_descriptors_left_is_waited_out(path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full table is no reason to take a file for lost."""
    path.touch()
    reader = follow(path)
    write(path, b"1\n")
    reader.lines()
    rotate(path)
    write(path, b"2\n")

    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        assert reader.batch() is None
    assert reader.lines() == b"2\n"


def test_a_directory_that_never_holds_still_is_looked_at_later(
    path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that mean another file at each look are no reason to spin, nor to take old lines for new."""
    write(path, b"old\n")

    def moved(*_: object) -> rotated.Reader:
        raise rotated.MovedError

    with monkeypatch.context() as patch:
        patch.setattr("usm.sources.trail.open_log", moved)
        reader = follow(path)
    assert reader.lines() == b""
    write(path, b"new\n")
    assert reader.lines() == b"new\n"


def test_a_listing_that_changes_all_the_time_is_not_believed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is being renamed may be missing in it."""
    inodes = iter(range(100))
    monkeypatch.setattr(rotated, "_list", lambda _: ([], rotated.Generation(str(path), (0, next(inodes)), 0)))
    with pytest.raises(rotated.MovedError):
        rotated.generations(str(path))


def test_a_name_that_is_gone_when_it_is_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another name now: the listing is not believed. A symlink to nothing is passed over."""
    Path(f"{path}.1").symlink_to("nowhere")
    assert rotated.generations(str(path)) == ([], None)
    Path(f"{path}.1").unlink()
    Path(f"{path}.1").touch()
    entries = list(os.scandir(path.parent))
    Path(f"{path}.1").rename(f"{path}.2")
    monkeypatch.setattr(os, "scandir", lambda _: entries)
    with pytest.raises(rotated.MovedError):
        rotated.generations(str(path))


def test_a_rotated_file_whose_status_is_refused_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a directory that may be listed but not entered."""
    Path(f"{path}.1").touch()

    def refuse(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        assert rotated.rotated(str(path)) == []


def test_a_name_that_means_another_file_than_was_listed(path: Path) -> None:
    """It is not opened in its place."""
    path.touch()
    _, current = rotated.generations(str(path))
    assert current is not None
    path.rename(f"{path}.1")
    with pytest.raises(rotated.MovedError):
        rotated.open_log(current)
    path.touch()
    with pytest.raises(rotated.MovedError):
        rotated.open_log(current)


def test_descriptors_are_not_inherited_and_given_back(path: Path) -> None:
    """None is open in a child, none after `close`."""
    before = open_fds()
    path.touch()
    source = FileSource(str(path), None)
    opened = open_fds() - before
    assert len(opened) == 4  # the log, inotify, and both ends of the pipe
    assert not any(os.get_inheritable(fd) for fd in opened)
    source.close()
    source.close()
    source.wake()
    assert open_fds() == before


def test_the_registry_knows_it(path: Path) -> None:
    """By the word that the configuration uses."""
    source: Source = FileSource(str(path), None)
    assert source.read(0) is None
    source.close()


# -- waiting


def wait_for(thread: threading.Thread) -> None:
    """Join, with a limit that only a failure reaches."""
    thread.join(20)
    assert not thread.is_alive()


def blocked(source: FileSource) -> tuple[threading.Thread, list[Optional[Batch]]]:
    """Start a read without a timeout in a thread, and wait until it sleeps in poll."""
    got: list[Optional[Batch]] = []
    thread = threading.Thread(target=lambda: got.append(source.read(None)))
    thread.start()
    status = Path(f"/proc/self/task/{thread.native_id}/stat")
    while status.read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.001)
    return thread, got


def test_a_blocked_read_wakes_when_a_line_is_written(path: Path) -> None:
    """And when a rotation brings a new file."""
    path.touch()
    source = FileSource(str(path), None)
    thread, got = blocked(source)
    write(path, b"1\n")
    wait_for(thread)
    thread, more = blocked(source)
    rotate(path)
    write(path, b"2\n")
    wait_for(thread)
    source.close()
    assert [batch.data for batch in [*got, *more] if batch] == [b"1\n", b"2\n"]


def test_a_blocked_read_wakes_when_directories_and_the_file_appear(path: Path) -> None:
    """Step by step."""
    path = path.parent / "a" / "b" / "auth.log"
    source = FileSource(str(path), None)
    thread, got = blocked(source)
    path.parent.mkdir(parents=True)
    write(path, b"1\n")
    wait_for(thread)
    source.close()
    assert got[0] is not None
    assert got[0].data == b"1\n"


def test_a_blocked_read_returns_after_wake(path: Path) -> None:
    """With nothing."""
    path.touch()
    source = FileSource(str(path), None)
    thread, got = blocked(source)
    source.wake()
    wait_for(thread)
    source.close()
    assert got == [None]


def test_a_wake_before_the_read_counts_and_many_count_once(path: Path, follow: Follow) -> None:
    """A full pipe does not block the one who wakes."""
    path.touch()
    source = follow(path).source
    for _ in range(70_000):
        source.wake()
    assert source.read(None) is None
    write(path, b"1\n")
    assert source.read(None) is not None


def test_a_signal_does_not_break_a_read(path: Path) -> None:
    """Its handler may call `wake`."""
    path.touch()
    source = FileSource(str(path), None)
    calls = []

    def handler(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            source.wake()

    was = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        assert source.read(20) is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, was)
        source.close()
    assert len(calls) >= 2


class CountingPoll:
    """A poll object that never finds anything, and counts."""

    calls: list[Optional[float]]

    def __init__(self) -> None:
        type(self).calls = []

    def register(self, fd: int, events: int) -> None:
        """Do nothing."""

    def poll(self, timeout: Optional[float] = None) -> list[tuple[int, int]]:
        """Count, and find nothing."""
        self.calls.append(timeout)
        return []


def test_an_idle_read_waits_once(path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    """One poll for the whole time, with no wake-up in between."""
    path.touch()
    monkeypatch.setattr(select, "poll", CountingPoll)
    reader = follow(path)
    assert reader.source.read(60) is None
    assert CountingPoll.calls == [60_000.0]


def test_other_files_in_the_directory_cause_no_look(
    path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their comings and goings are taken from the queue, no more."""
    path.touch()
    reader = follow(path)
    reader.lines()
    looks: list[int] = []
    monkeypatch.setattr(reader.source._trail, "look", lambda: looks.append(1))
    for number in range(100):
        (path.parent / f"other{number}").touch()
        (path.parent / f"other{number}").unlink()
    assert reader.batch() is None
    assert len(looks) == 1


LIBC = ctypes.CDLL(None, use_errno=True)


class FailingLibc:
    """A C library whose inotify calls fail."""

    def __init__(self, code: int, working: str = "") -> None:
        self._code = code
        self._working = working

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as ctypes itself
        """Find the real function only for the name that works."""
        if name == self._working:
            return getattr(LIBC, name)
        if self._code == errno.ENOSYS:
            raise AttributeError(name)

        def fail(*_: object) -> int:
            ctypes.set_errno(self._code)
            return -1

        return fail


@pytest.mark.parametrize(("code", "working"), [(errno.ENOSYS, ""), (errno.EMFILE, ""), (errno.ENOSPC, "inotify_init1")])
def test_without_inotify_it_looks_once_a_second(
    path: Path,
    follow: Follow,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
    working: str,
) -> None:
    """And says so once."""
    path.touch()
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: FailingLibc(code, working))
    reader = follow(path)
    assert len(caplog.records) == 1
    assert os.strerror(code) in caplog.text
    naps: list[float] = []

    class Poll(CountingPoll):
        def poll(self, timeout: Optional[float] = None) -> list[tuple[int, int]]:
            assert timeout is not None
            naps.append(timeout)
            reader.now += timeout / 1000
            if len(naps) == 2:
                write(path, b"1\n")
            return []

    reader.source._watcher._poll = Poll()  # type: ignore[assignment]
    batch = reader.source.read(60)
    assert batch is not None
    assert batch.data == b"1\n"
    assert naps == [1000, 1000]
    naps[:] = [0] * 2
    assert reader.source.read(2.5) is None
    assert naps[2:] == [1000, 1000, 500]
    rotate(path)
    write(path, b"2\n")
    assert reader.lines() == b"2\n"


def test_an_overflow_of_the_event_queue_is_a_reason_to_look(path: Path, follow: Follow) -> None:
    """What was missed is found."""
    path.touch()
    watcher = follow(path).source._watcher
    assert watcher._relevant(inotify.Event(-1, inotify.OVERFLOW, b""))
    assert not watcher._relevant(inotify.Event(10_000, inotify.MODIFY, b"auth.log"))


def test_files_are_never_changed(path: Path, follow: Follow) -> None:
    """The log and its neighbours stay as they are."""
    write(path, b"1\n")
    mode = stat.S_IMODE(path.stat().st_mode)
    follow(path).lines()
    assert path.read_bytes() == b"1\n"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert list(path.parent.iterdir()) == [path]


# -- what the log still has of some processes


def test_the_history_has_the_lines_of_the_processes_that_are_asked_for(path: Path, follow: Follow) -> None:
    """From the oldest rotated file to the newest, in every dress; a number within another is another."""
    since = datetime(2026, 11, 20, tzinfo=timezone.utc)
    old, older = Path(f"{path}.1"), Path(f"{path}.2.gz")
    older.write_bytes(gzip.compress(b"Nov 20 03:00:00 h sshd[101]: oldest\nNov 20 03:00:00 h sshd[1]: no\n"))
    old.write_bytes(b"Nov 21 03:00:00 h sshd[102]: old\nNov 21 03:00:00 h sshd[1012]: no\n")
    path.write_bytes(
        b"<86>1 2026-11-22T03:00:00Z h sshd 101 - - new\n"
        b"2026-11-22T03:00:00+00:00 h sshd[101]: newest\n"
        b"2026-11-22T03:00:00+00:00 h cron[7]: sshd 101\n"
        b"2026-11-22T03:00:00+00:00 h sshd[102]: half"
    )
    for file in (older, old, path):
        os.utime(file, (since.timestamp() + 60,) * 2)
    found = list(follow(path).source.history([101, 102], since))
    assert found == [
        b"Nov 20 03:00:00 h sshd[101]: oldest",
        b"Nov 21 03:00:00 h sshd[102]: old",
        b"<86>1 2026-11-22T03:00:00Z h sshd 101 - - new",
        b"2026-11-22T03:00:00+00:00 h sshd[101]: newest",
    ]


def test_the_history_leaves_out_what_was_written_before(path: Path, follow: Follow) -> None:
    """A file that was last written before the processes began can't name them."""
    since = datetime(2026, 11, 20, tzinfo=timezone.utc)
    old = Path(f"{path}.1")
    for file in (old, path):
        file.write_bytes(b"Nov 21 03:00:00 h sshd[102]: %s\n" % file.name.encode())
        os.utime(file, (since.timestamp() + 60,) * 2)
    os.utime(old, (since.timestamp() - 1,) * 2)
    source = follow(path).source
    assert list(source.history([102], since)) == [b"Nov 21 03:00:00 h sshd[102]: auth.log"]


def test_the_history_moves_no_place(path: Path, follow: Follow) -> None:
    """What is read from now on stays what was written from now on; without a log there is none."""
    reader = follow(path)
    assert list(reader.source.history([1], datetime(2026, 11, 20, tzinfo=timezone.utc))) == []
    path.write_bytes(b"Nov 21 03:00:00 h sshd[1]: x\n")
    assert list(reader.source.history([1], datetime.fromtimestamp(0, timezone.utc))) == path.read_bytes().splitlines()
    assert reader.lines() == path.read_bytes()
