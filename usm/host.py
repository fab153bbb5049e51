"""Who am I: the machine's name, addresses, distribution and time zone."""

from __future__ import annotations

import os
import socket
from datetime import timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from usm.core.model import Host


def identify() -> Host:
    """Return the host's name and addresses, the one that a packet to the world would carry first."""
    addresses = [a for a in (_outgoing(socket.AF_INET, "192.0.2.1"), _outgoing(socket.AF_INET6, "2001:db8::1")) if a]
    return Host(socket.gethostname(), tuple(addresses))


def _outgoing(family: socket.AddressFamily, to: str) -> str:
    """Ask the routing table; a connected datagram socket sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((to, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""  # no such route; a host may have no address at all


def local_zone() -> tzinfo:
    """Return the zone in which this machine's programs write local time: $TZ, else /etc/localtime, else UTC."""
    name = os.environ.get("TZ", "").lstrip(":") or "/etc/localtime"
    try:
        if not name.startswith("/"):
            return ZoneInfo(name)
        with open(name, "rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return timezone.utc


def os_release(path: str = "/etc/os-release") -> dict[str, str]:
    """Return the distribution's own description (os-release(5)), empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            pairs = (line.strip().split("=", 1) for line in file if "=" in line and not line.startswith("#"))
            return {key: value.strip("\"'") for key, value in pairs}
    except OSError:
        return {}
