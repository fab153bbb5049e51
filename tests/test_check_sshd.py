"""sshd's settings, read as sshd reads them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from usm.check_sshd import Sshd, inspect, sshd
from usm.finding import OK, WARN

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("main", "included", "level", "facility"),
    [
        ("# nothing\n", "", "INFO", "AUTH"),
        ("LogLevel verbose\nLogLevel QUIET\n", "", "VERBOSE", "AUTH"),
        ("Include conf.d/*.conf\nloglevel INFO\n", "LogLevel=QUIET # why\n", "QUIET", "AUTH"),
        ('SyslogFacility "LOCAL7"\nMatch User x\nLogLevel QUIET\n', "", "INFO", "LOCAL7"),
        ("Include conf.d/*.conf\n", "Match User x\nLogLevel QUIET\n", "INFO", "AUTH"),
        ("Include nowhere/*\nInclude sshd_config\nLogLevel FATAL\n", "", "FATAL", "AUTH"),
    ],
)
def test_settings(tmp_path: Path, main: str, included: str, level: str, facility: str) -> None:
    """The first value counts, includes where they stand, and what is for some logins only does not."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "x.conf").write_text(included)
    (tmp_path / "sshd_config").write_text(main)
    found = inspect(str(tmp_path / "sshd_config"))
    if found.path is None:
        pytest.skip("needs sshd")
    assert (found.level[0], found.facility[0], found.unread) == (level, facility, ())
    assert found.version.startswith("OpenSSH_")


def test_an_unreadable_configuration(tmp_path: Path) -> None:
    """Is named."""
    if shutil.which("sshd", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("needs sshd")
    assert inspect(str(tmp_path / "absent")).unread == (str(tmp_path / "absent"),)


@pytest.mark.parametrize(
    ("found", "log_file", "said"),
    [
        (Sshd(), None, [(OK, "sshd: there is none here")]),
        (Sshd("/s", "OpenSSH_9.2"), None, [(OK, "sshd: OpenSSH_9.2, LogLevel INFO")]),
        (Sshd("/s", unread=("/c",)), None, [(OK, "sshd: /s; /c can't be read by this user: run the check as root")]),
        (
            Sshd("/s", level=("QUIET", "/c")),
            None,
            [
                (
                    WARN,
                    "sshd: LogLevel QUIET in /c: logins are not logged; set it to INFO, "
                    "then: systemctl reload ssh (or sshd)",
                )
            ],
        ),
        (Sshd("/s", facility=("LOCAL7", "/c")), None, [(OK, "sshd: /s, LogLevel INFO")]),
        (
            Sshd("/s", facility=("LOCAL7", "/c")),
            "/l",
            [
                (
                    WARN,
                    "sshd: SyslogFacility LOCAL7 in /c: its lines may not come to /l; set it to AUTHPRIV, "
                    "then: systemctl reload ssh (or sshd)",
                )
            ],
        ),
    ],
)
def test_what_is_said(found: Sshd, log_file: str | None, said: list[tuple[str, str]]) -> None:
    """The journal takes every facility."""
    assert sshd(found, log_file) == said
