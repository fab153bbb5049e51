"""Where addresses are: files in MaxMind's format (GeoLite2, DB-IP and others), looked up on this machine.

Optional: it needs the package maxminddb, and files that the operator keeps up to date.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Optional

from usm.core.model import Place
from usm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)
_REMEMBERED = 4096  # addresses


class Places:
    """Answers where an address is, from one file or several: one may know countries and places, one providers.

    Raises ConfigError where a file can't be used.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._readers = [_open(path) for path in paths]
        self.of = lru_cache(maxsize=_REMEMBERED)(self._of)

    def _of(self, source: str) -> Optional[Place]:
        place = Place()
        for reader in self._readers:
            try:
                found = reader.get(source.partition("%")[0])
            except ValueError:  # a host name, or an address of a family that the file does not have
                continue
            except Exception as error:  # noqa: BLE001 - the library's own kind can't be named here: it is optional
                log.warning("judge.places: a file is damaged, it must be fetched again: %s", error)
                continue
            if isinstance(found, dict):
                place = _merged(place, found)
        return None if place == Place() else place


def _open(path: str) -> Any:  # noqa: ANN401 - the library may not be there, nor its types
    try:
        import maxminddb  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigError(
            [f"judge.places: {path}: needs the package maxminddb (python3-maxminddb, or pip install maxminddb)"]
        ) from error
    try:
        return maxminddb.open_database(os.fspath(path))
    except (OSError, maxminddb.InvalidDatabaseError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is no file in MaxMind's format"
        raise ConfigError(
            [f"judge.places: {path}: {reason}; check the path, and that this user may read it"]
        ) from error


def _merged(place: Place, found: dict[str, Any]) -> Place:
    """Take what a record has: the fields of GeoLite2 City, Country and ASN."""
    country, location = found.get("country"), found.get("location")
    code = country.get("iso_code") if isinstance(country, dict) else None
    where = location if isinstance(location, dict) else {}
    return Place(
        place.country or code,
        place.asn or found.get("autonomous_system_number"),
        where.get("latitude") if place.latitude is None else place.latitude,
        where.get("longitude") if place.longitude is None else place.longitude,
    )
