"""Who was on before there was a monitor: glibc's records, rotated or not, damaged or hostile."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import socket
import struct
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from usm import wtmp
from usm.wtmp import Login, logins

if TYPE_CHECKING:
    from pathlib import Path

TIME = 1_795_000_000
USER, BOOT, DEAD, LOGIN_PROCESS = 7, 2, 8, 6


def record(user: bytes, host: bytes, kind: int = USER, time: int = TIME, line: bytes = b"pts/0") -> bytes:
    """Pack one record as glibc does on x86-64 (bits/utmp.h): 384 bytes."""
    address = socket.inet_aton("203.0.113.5") + bytes(12)
    packed = struct.pack(
        "=hxxi32s4s32s256shhiII16s20x", kind, 4711, line, b"ts/0", user, host, 0, 0, 0, time, 7, address
    )
    assert len(packed) == 384
    return packed


def at(seconds: int) -> datetime:
    """Return the time of a record."""
    return datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=7)


def test_logins_and_nothing_else(tmp_path: Path) -> None:
    """Not boots, ends or terminals that wait; where from only where that is an address."""
    records = [
        record(b"reboot", b"6.1.0", BOOT, line=b"~"),
        record(b"alice", b"203.0.113.5"),
        record(b"", b"", DEAD),
        record(b"LOGIN", b"", LOGIN_PROCESS, line=b"tty1"),
        record(b"bob", b"", line=b"tty1", time=TIME + 1),
        record(b"carol", b"2001:db8::7", time=TIME + 2),
        record(b"dave", b"somewhere.example", time=TIME + 3),
        record(b"erin", b":0", time=TIME + 4),
        record(b"", b"203.0.113.5"),
    ]
    (tmp_path / "wtmp").write_bytes(b"".join(records))
    assert list(logins(str(tmp_path / "wtmp"))) == [
        Login(at(TIME), "alice", "pts/0", "203.0.113.5"),
        Login(at(TIME + 1), "bob", "tty1", None),
        Login(at(TIME + 2), "carol", "pts/0", "2001:db8::7"),
        Login(at(TIME + 3), "dave", "pts/0", None),
        Login(at(TIME + 4), "erin", "pts/0", None),
    ]


def test_a_time_beyond_2038(tmp_path: Path) -> None:
    """The record has 32 bits: since 2024 glibc takes them for unsigned."""
    (tmp_path / "wtmp").write_bytes(record(b"alice", b"", time=0x8000_0000))
    assert [login.time.year for login in logins(str(tmp_path / "wtmp"))] == [2038]


def test_rotated_files_come_first(tmp_path: Path) -> None:
    """Oldest first, packed or not."""
    path = tmp_path / "wtmp"
    path.write_bytes(record(b"now", b""))
    (tmp_path / "wtmp.1").write_bytes(record(b"month", b""))
    (tmp_path / "wtmp.2.gz").write_bytes(gzip.compress(record(b"older", b"")))
    for age, name in enumerate(("wtmp", "wtmp.1", "wtmp.2.gz")):
        os.utime(tmp_path / name, (TIME - age * 86400, TIME - age * 86400))
    assert [login.user for login in logins(str(path))] == ["older", "month", "now"]


@pytest.mark.parametrize(("name", "pack"), [("wtmp.2.xz", lzma.compress), ("wtmp.2.bz2", bz2.compress)])
def test_a_file_of_another_packing_tells_nothing_wrong(tmp_path: Path, name: str, pack: object) -> None:
    """What it holds is read or left out; compressed bytes are never taken for names."""
    (tmp_path / "wtmp").write_bytes(record(b"now", b""))
    (tmp_path / name).write_bytes(pack(record(b"older", b"") * 3000))  # type: ignore[operator] # a function
    assert {login.user for login in logins(str(tmp_path / "wtmp"))} <= {"now", "older"}


@pytest.mark.parametrize("cut", [1, 383, 385, 767])
def test_a_file_that_was_cut(tmp_path: Path, cut: int) -> None:
    """Whole records count."""
    (tmp_path / "wtmp").write_bytes((record(b"alice", b"") * 2)[:cut])
    assert len(list(logins(str(tmp_path / "wtmp")))) == cut // 384


def test_a_packed_file_that_was_cut_or_is_none(tmp_path: Path) -> None:
    """It has no logins, and the others are read."""
    packed = gzip.compress(os.urandom(4000) + record(b"older", b""))
    (tmp_path / "wtmp").write_bytes(record(b"now", b""))
    (tmp_path / "wtmp.1.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "wtmp.2.gz").write_bytes(b"no gzip at all")
    (tmp_path / "wtmp.3.gz").write_bytes(packed[:20] + b"\xff" * 500)
    assert [login.user for login in logins(str(tmp_path / "wtmp"))] == ["now"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Alpine and newer systems have none."""
    assert list(logins(str(tmp_path / "wtmp"))) == []
    (tmp_path / "wtmp").mkdir()
    assert list(logins(str(tmp_path / "wtmp"))) == []


def test_names_that_are_hostile(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, that fill the field to its end, or hide behind a NUL."""
    records = [record(b"\xff\x1b[31m", b""), record(b"x" * 32, b"y" * 256), record(b"a\0evil", b"203.0.113.5\0evil")]
    (tmp_path / "wtmp").write_bytes(b"".join(records))
    found = [(login.user, login.source_ip) for login in logins(str(tmp_path / "wtmp"))]
    assert found == [("\\xff\x1b[31m", None), ("x" * 32, None), ("a", "203.0.113.5")]


def test_a_file_of_any_size_takes_a_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest logins of a large file are those that matter."""
    monkeypatch.setattr(wtmp, "_MOST", 10)
    (tmp_path / "wtmp").write_bytes(b"".join(record(b"alice", b"", time=TIME + n) for n in range(100)))
    assert [login.time for login in logins(str(tmp_path / "wtmp"))] == [at(TIME + n) for n in range(90, 100)]
