"""Machines that pass for RHEL, Amazon Linux and openSUSE: their package tools, names, presets and logs over Debian.

What this proves is the package: its metadata, its scriptlets in the order in which rpm runs them, its signature, its
layout, its unit. What it does not: their Python and libraries (systemd is of RHEL 9's version), their PAM and sshd
settings, and SELinux.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from tests.system.machine import PACKAGES, Machine

if TYPE_CHECKING:
    from pathlib import Path

# Ours has python-daemon and lockfile in it, so that none of the system's may stand in for them.
BASE = (*(name for name in PACKAGES if name not in ("python3-daemon", "python3-lockfile")), "dnf", "rpm", "zypper")
# What the platform has and this Debian's rpm does not know of: a package without a file.
STUB = """
Name: platform
Version: 1
Release: 1
Summary: What stands in for the distribution's own packages
License: MIT
BuildArch: noarch
Provides: python3 = {python}, {requests}, {yaml}
Provides: /usr/bin/python3, /bin/sh, systemd, /usr/bin/getent
Provides: /usr/sbin/groupadd, /usr/sbin/useradd, /usr/sbin/usermod
%description
%files
"""
PYTHON3DIST = {"requests": "python3dist(requests) = 2.25.1", "yaml": "python3dist(pyyaml) = 5.4.1"}


class Distribution(NamedTuple):
    """What a program sees that asks where it is: names, the tool for packages, presets, and where sshd's lines go."""

    tool: str
    release: str
    files: dict[str, str]  # its own older names of itself
    directories: tuple[str, ...]
    log: str
    stub: dict[str, str]


SUSE_LOGGING = """
module(load="imuxsock")
module(load="builtin:omfile" fileCreateMode="0640")
include(file="/etc/rsyslog.d/suse.conf")
"""
PRESET = "disable *\n"  # as RHEL, Fedora, Amazon Linux and openSUSE have it
ROCKY = """
NAME="Rocky Linux"
VERSION="9.6 (Blue Onyx)"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.6"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"
"""
AMAZON = """
NAME="Amazon Linux"
VERSION="2023"
ID="amzn"
ID_LIKE="fedora"
VERSION_ID="2023"
PLATFORM_ID="platform:al2023"
PRETTY_NAME="Amazon Linux 2023.8.20250707"
"""
LEAP = """
NAME="openSUSE Leap"
VERSION="15.6"
ID="opensuse-leap"
ID_LIKE="suse opensuse"
VERSION_ID="15.6"
PRETTY_NAME="openSUSE Leap 15.6"
"""
DNF = ("/etc/pki/rpm-gpg", "/etc/yum.repos.d")
DISTRIBUTIONS = {
    "rocky": Distribution(
        "dnf",
        ROCKY,
        {"redhat-release": "Rocky Linux release 9.6 (Blue Onyx)"},
        DNF,
        "secure",
        {"python": "3.9.21", **PYTHON3DIST},
    ),
    "amazon": Distribution(
        "dnf",
        AMAZON,
        {"system-release": "Amazon Linux release 2023.8.20250707 (Amazon Linux)"},
        DNF,
        "",
        {"python": "3.9.23", **PYTHON3DIST},
    ),
    # Its python3 is too old; this is a Leap whose python3 is another, with SUSE's own names for the libraries.
    "leap": Distribution(
        "zypper",
        LEAP,
        {"SUSE-brand": "openSUSE"},
        ("/etc/zypp/repos.d",),
        "messages",
        {"python": "3.11.13", "requests": "python3-requests = 2.31", "yaml": "python3-PyYAML = 6.0.1"},
    ),
}


class Masquerade(Machine):
    """A booted Debian 12 that passes for another distribution."""

    packages = BASE

    def __init__(self, name: str) -> None:
        super().__init__("bookworm")
        self.distribution = DISTRIBUTIONS[name]

    def _prepare(self) -> None:
        super()._prepare()
        self._put("etc/os-release", self.distribution.release.lstrip())
        for name, text in self.distribution.files.items():
            self._put(f"etc/{name}", text + "\n")
        self._path("etc/debian_version").symlink_to("/nonexistent")
        self._put("usr/lib/systemd/system-preset/99-default-disable.preset", PRESET)
        self._put("etc/rpm/macros", "%_dbpath /var/lib/rpm\n")  # Debian's is the home of the user
        self._put("etc/rsyslog.conf", SUSE_LOGGING)  # Debian's own log is not there
        for log, unit in (("messages", "rsyslog.service"), ("secure", "rsyslog-rhel.service")):
            if self.distribution.log != log:
                self._path(f"etc/systemd/system/{unit}").unlink(missing_ok=True)
                self._link(unit, "/dev/null")

    def platform(self, place: Path) -> None:
        """Tell rpm of what the platform has; hide the tools that it does not have."""
        spec = place / "platform.spec"
        spec.write_text(STUB.format(**self.distribution.stub))
        words = ("rpmbuild", "--quiet", "-D", f"_topdir {place}", "-bb", spec)
        subprocess.run(words, check=True, capture_output=True)
        (package,) = (place / "RPMS/noarch").glob("platform-*.rpm")
        self.file("root/platform.rpm").write_bytes(package.read_bytes())
        self.run("mkdir", "-p", *self.distribution.directories)
        self.run("rpm", "--initdb")
        self.run("rpm", "--install", "/root/platform.rpm")
        self.run("sh", "-c", "rm -f /usr/bin/apt* /usr/bin/dpkg*")
