"""A log that somebody edited: what is left of it is not read again, what comes behind is, and it is noticed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from usm.sources.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINES = [b"2026-11-20T10:%02d:00+08:00 web01 sshd[%d]: line %d\n" % (n % 60, n, n) for n in range(200)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a log that is followed from its beginning."""
    path = tmp_path / "auth.log"
    path.write_bytes(b"")
    return path


@pytest.fixture
def source(path: Path) -> Iterator[FileSource]:
    """Follow it."""
    source = FileSource(str(path), None)
    yield source
    source.close()


def read(source: FileSource) -> bytes:
    """Read until there is nothing more."""
    data = b""
    while (batch := source.read(0)) is not None:
        data += batch.data
    return data


def append(path: Path, *lines: bytes) -> None:
    """Write to the log as its writer does."""
    with path.open("ab") as file:
        file.writelines(lines)


def replace(path: Path, lines: list[bytes]) -> None:
    """Put another file in its place, as `sed -i` does."""
    path.with_name("sedAbCdEf").write_bytes(b"".join(lines))
    os.replace(path.with_name("sedAbCdEf"), path)


@pytest.mark.parametrize(
    "left",
    [LINES[50:], LINES[:100] + LINES[101:], LINES[:198], [*LINES[:150], *LINES[190:]], LINES],
    ids=["begin", "middle", "end", "many", "none"],
)
def test_a_log_with_lines_taken_out_is_not_read_again(path: Path, source: FileSource, left: list[bytes]) -> None:
    """And what is written to it afterwards is read; that it was done is told once."""
    append(path, *LINES)
    assert read(source) == b"".join(LINES)
    replace(path, left)
    assert read(source) == b""
    assert [how for how, _ in source.alarms()] == ["replaced"]
    append(path, b"2026-11-20T11:00:00+08:00 web01 sshd[9]: new\n")
    assert read(source) == b"2026-11-20T11:00:00+08:00 web01 sshd[9]: new\n"
    assert source.alarms() == []


def test_a_writer_that_goes_on_in_the_old_file_is_still_read(path: Path, source: FileSource) -> None:
    """As rsyslog does until it is told to open its files again."""
    append(path, *LINES)
    with path.open("ab") as writer:
        assert read(source) == b"".join(LINES)
        replace(path, LINES[50:])
        assert read(source) == b""
        writer.write(b"2026-11-20T11:00:00+08:00 web01 sshd[9]: late\n")
    assert read(source) == b"2026-11-20T11:00:00+08:00 web01 sshd[9]: late\n"


def test_a_log_that_is_deleted_and_begun_anew_is_no_edited_one(path: Path, source: FileSource) -> None:
    """Logrotate without old files: the new one has none of the lines."""
    append(path, *LINES[:100])
    assert read(source) == b"".join(LINES[:100])
    path.unlink()
    append(path, *LINES[100:])
    assert read(source) == b"".join(LINES[100:])
    assert source.alarms() == []


def test_a_log_that_is_emptied_is_noticed(path: Path, source: FileSource) -> None:
    """`: > auth.log`, and nobody kept a copy."""
    append(path, *LINES)
    assert read(source) == b"".join(LINES)
    path.write_bytes(b"")
    append(path, LINES[0])
    assert read(source) in (b"", LINES[0])
    assert [how for how, _ in source.alarms()] in (["emptied"], ["shorter"])


def test_a_rotation_is_no_editing(path: Path, source: FileSource) -> None:
    """Renamed, or copied and emptied."""
    append(path, *LINES[:50])
    assert read(source) == b"".join(LINES[:50])
    os.replace(path, path.with_name("auth.log.1"))
    append(path, *LINES[50:100])
    assert read(source) == b"".join(LINES[50:100])
    path.with_name("auth.log.2").write_bytes(path.with_name("auth.log.1").read_bytes())
    path.with_name("auth.log.1").write_bytes(path.read_bytes())
    path.write_bytes(b"")
    assert read(source) == b""
    append(path, *LINES[100:])
    assert read(source) == b"".join(LINES[100:])
    assert source.alarms() == []
