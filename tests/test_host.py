"""Who this machine is: name, addresses, zone, distribution."""

from __future__ import annotations

import ipaddress
import socket
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from usm import host

if TYPE_CHECKING:
    from pathlib import Path

SUMMER = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)


def test_the_host_has_its_own_name_and_real_addresses() -> None:
    """Whatever addresses there are can be parsed, and none of them is a place holder."""
    found = host.identify()
    assert found.name == socket.gethostname()
    assert len(found.addresses) <= 2
    assert all(not ipaddress.ip_address(address).is_unspecified for address in found.addresses)


def test_a_host_without_a_route_has_no_address() -> None:
    """A machine without a network is no error."""
    assert host._outgoing(socket.AF_INET, "no address at all.invalid") == ""


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("Asia/Shanghai", timedelta(hours=8)),
        (":Asia/Shanghai", timedelta(hours=8)),
        ("America/New_York", timedelta(hours=-4)),
        ("UTC", timedelta()),
        ("No/Where", timedelta()),
        ("../../etc/passwd", timedelta()),
        ("/etc/passwd", timedelta()),
        ("/no/such/file", timedelta()),
    ],
)
def test_the_zone_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, offset: timedelta) -> None:
    """As libc reads $TZ; what is no zone is UTC, as in libc."""
    monkeypatch.setenv("TZ", name)
    assert host.local_zone().utcoffset(SUMMER) == offset


@pytest.mark.parametrize("colon", ["", ":"])
def test_the_zone_may_be_a_file(monkeypatch: pytest.MonkeyPatch, colon: str) -> None:
    """`TZ=:/etc/localtime` is a common setting: it saves libc a look at the file."""
    zones = [path for path in ("/usr/share/zoneinfo/Asia/Tokyo",) if path]
    monkeypatch.setenv("TZ", colon + zones[0])
    assert host.local_zone().utcoffset(SUMMER) == timedelta(hours=9)


@pytest.mark.parametrize("empty", ["", ":"])
def test_without_a_setting_the_zone_is_the_machines(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    """Whatever it is, it knows the offset of a moment."""
    monkeypatch.setenv("TZ", empty)
    assert host.local_zone().utcoffset(SUMMER) is not None


def test_the_distribution_is_read_as_it_describes_itself(tmp_path: Path) -> None:
    """Comments and lines that say nothing are left out, quotes taken away."""
    path = tmp_path / "os-release"
    path.write_bytes(b"# a=b\nID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nX='y=z'\nnothing\n\nBAD=\xff\n")
    assert host.os_release(str(path)) == {
        "ID": "debian",
        "PRETTY_NAME": "Debian GNU/Linux 12",
        "X": "y=z",
        "BAD": "\ufffd",
    }


def test_a_machine_without_a_description_has_none(tmp_path: Path) -> None:
    """An empty answer, no error."""
    assert host.os_release(str(tmp_path / "os-release")) == {}
