"""Where addresses are, from real files in MaxMind's format; and what is said where that can't be had."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from usm.core.model import Place
from usm.errors import ConfigError
from usm.places import Places

if TYPE_CHECKING:
    from pathlib import Path

CITY = {
    "203.0.113.0/24": {
        "country": {"iso_code": "CN", "names": {"en": "China"}},
        "location": {"latitude": 31.23, "longitude": 121.47},
    },
    "198.51.100.0/24": {"country": {"iso_code": "DE"}},
    "192.0.2.0/24": {"continent": {"code": "EU"}},
}
ASN = {
    "203.0.113.0/25": {"autonomous_system_number": 64496, "autonomous_system_organization": "Example"},
    "192.0.2.0/24": {"autonomous_system_number": 64497},
}


def write(path: Path, records: dict[str, Any], version: int = 4) -> str:
    """Write a database; return its path."""
    writer = MMDBWriter(version, "Test", languages=["en"], description="test", float_type="f64")
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)


@pytest.fixture
def city(tmp_path: Path) -> str:
    """Return the path of a file that knows countries and places."""
    return write(tmp_path / "city.mmdb", CITY)


@pytest.fixture
def asn(tmp_path: Path) -> str:
    """Return the path of a file that knows providers."""
    return write(tmp_path / "asn.mmdb", ASN)


@pytest.mark.parametrize(
    ("ip", "place"),
    [
        ("203.0.113.5", Place("CN", 64496, 31.23, 121.47)),
        ("203.0.113.200", Place("CN", None, 31.23, 121.47)),
        ("198.51.100.1", Place("DE")),
        ("192.0.2.1", Place(None, 64497)),
        ("10.0.0.1", None),
        ("2001:db8::1", None),
        ("fe80::1%eth0", None),
        ("somewhere.example", None),
        ("", None),
    ],
)
def test_several_files_know_it_together(ip: str, place: object, city: str, asn: str) -> None:
    """Whatever order they come in; what no file knows is nowhere, and no error."""
    for paths in ((city, asn), (asn, city)):
        places = Places(paths)
        assert [places.of(ip), places.of(ip)] == [place, place]


def test_the_first_file_that_knows_counts(tmp_path: Path, city: str) -> None:
    """Also where its place is on the equator."""
    first = write(
        tmp_path / "first.mmdb",
        {"203.0.113.0/24": {"country": {"iso_code": "JP"}, "location": {"latitude": 0.0, "longitude": 0.0}}},
    )
    assert Places([first, city]).of("203.0.113.5") == Place("JP", None, 0.0, 0.0)


def test_a_file_of_ipv6(tmp_path: Path) -> None:
    """It knows IPv4 too, as MaxMind's own do."""
    path = write(tmp_path / "six.mmdb", {"2001:db8::/32": {"country": {"iso_code": "FR"}}}, 6)
    places = Places([path])
    assert places.of("2001:db8:1::7") == Place("FR")
    assert places.of("2001:db8:1::7%eth0") == Place("FR")
    assert places.of("203.0.113.5") is None


def test_records_of_another_shape(tmp_path: Path) -> None:
    """What is not where it should be is not known."""
    odd = {"203.0.113.0/24": {"country": "CN", "location": [1, 2]}, "198.51.100.0/24": "x"}
    places = Places([write(tmp_path / "odd.mmdb", odd)])
    assert places.of("203.0.113.5") is None
    assert places.of("198.51.100.1") is None


def test_without_files_nothing_is_known() -> None:
    """And nothing is needed for it."""
    assert Places(()).of("203.0.113.5") is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (None, "No such file or directory; check the path, and that this user may read it"),
        (b"", "is no file in MaxMind's format; check the path, and that this user may read it"),
        (b"garbage" * 1000, "is no file in MaxMind's format; check the path, and that this user may read it"),
        (b"\xab\xcd\xefMaxMind.com", "is no file in MaxMind's format; check the path, and that this user may read it"),
    ],
    ids=["missing", "empty", "garbage", "cut"],
)
def test_a_file_that_is_none(make: object, said: str, tmp_path: Path) -> None:
    """The operator is told which, and what to do; nothing else is raised."""
    path = tmp_path / "x.mmdb"
    if isinstance(make, bytes):
        path.write_bytes(make)
    with pytest.raises(ConfigError) as caught:
        Places([str(path)])
    assert caught.value.problems == [f"judge.places: {path}: {said}"]


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """Said as of any other path."""
    with pytest.raises(ConfigError):
        Places([str(tmp_path)])


def test_a_file_whose_tree_was_cut_is_no_crash(tmp_path: Path, city: str) -> None:
    """A download that broke off, or bits that fell over: then the place is not known."""
    data = bytearray((tmp_path / "city.mmdb").read_bytes())
    data[: len(data) // 2] = b"\xff" * (len(data) // 2)
    (tmp_path / "broken.mmdb").write_bytes(data)
    try:
        places = Places([str(tmp_path / "broken.mmdb"), city])
    except ConfigError:
        return
    assert places.of("203.0.113.5") in (None, Place("CN", None, 31.23, 121.47))


def test_without_the_package_the_operator_is_told(city: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which package, by both of its names; it is asked for only where files are configured."""
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(ConfigError) as caught:
        Places([city])
    assert caught.value.problems == [
        f"judge.places: {city}: needs the package maxminddb (python3-maxminddb, or pip install maxminddb)"
    ]
    assert Places(()).of("203.0.113.5") is None
