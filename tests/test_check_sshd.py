"""Does sshd write its logins down, and where to: by its own rules of which setting counts."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from usm import check_sshd
from usm.check_sshd import Sshd, inspect, sshd
from usm.finding import OK, WARN

if TYPE_CHECKING:
    from pathlib import Path

RELOAD = "then: systemctl reload ssh (or sshd)"
LOG = "/var/log/auth.log"


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory for sshd's configuration, with an sshd that says its version as older ones do."""
    (tmp_path / "sshd_config.d").mkdir()
    (tmp_path / "sshd").write_text("#!/bin/sh\necho 'unknown option -- V\nOpenSSH_8.9p1 Ubuntu' >&2; exit 1\n")
    (tmp_path / "sshd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def found(etc: Path, text: str, **parts: str) -> Sshd:
    """Return what is found in this configuration, with these files in sshd_config.d."""
    (etc / "sshd_config").write_text(text)
    for name, part in parts.items():
        (etc / "sshd_config.d" / f"{name}.conf").write_text(part)
    return inspect(str(etc / "sshd_config"))


def test_the_defaults_write_logins_down(etc: Path) -> None:
    """To the authentication log, at INFO."""
    seen = found(etc, "# LogLevel QUIET\n\nPort 22\n")
    assert seen == Sshd(str(etc / "sshd"), "OpenSSH_8.9p1", ("INFO", ""), ("AUTH", ""), ())
    assert sshd(seen, LOG) == [(OK, "sshd: OpenSSH_8.9p1, LogLevel INFO")]


@pytest.mark.parametrize("level", ["QUIET", "fatal", '"ERROR"'])
@pytest.mark.parametrize("form", ["LogLevel {}", "loglevel={}", "  LOGLEVEL = {}   # why"])
def test_a_level_without_logins_is_warned_of(etc: Path, level: str, form: str) -> None:
    """With the file and what to write there."""
    shown = level.strip('"').upper()
    text = f"sshd: LogLevel {shown} in {etc}/sshd_config: logins are not logged; set it to INFO, {RELOAD}"
    assert sshd(found(etc, form.format(level)), None) == [(WARN, text)]


def test_the_first_value_counts(etc: Path) -> None:
    """What is included stands where it is included, in the order of its names."""
    include = "Include sshd_config.d/*.conf\n"
    assert found(etc, f"{include}LogLevel INFO", b="LogLevel VERBOSE", a="").level[0] == "VERBOSE"
    seen = found(etc, f"{include}LogLevel INFO", a="LogLevel QUIET")
    assert seen.level == ("QUIET", f"{etc}/sshd_config.d/a.conf")
    assert found(etc, f"LogLevel INFO\nInclude {etc}/sshd_config.d/*.conf").level == ("INFO", f"{etc}/sshd_config")


def test_what_is_for_some_logins_only_does_not_count(etc: Path) -> None:
    """A Match reaches to the end of its file."""
    text = "Include sshd_config.d/*.conf\nLogLevel INFO\nMatch User backup\nSyslogFacility LOCAL3\nLogLevel QUIET\n"
    seen = found(etc, text, a="Match Address 192.0.2.1\nLogLevel QUIET")
    assert (seen.level[0], seen.facility[0]) == ("INFO", "AUTH")


def test_files_that_include_themselves_are_read_once_too_often_and_no_more(etc: Path) -> None:
    """As sshd does, with an end."""
    assert found(etc, f"Include {etc}/sshd_config\nLogLevel QUIET").level[0] == "QUIET"


def test_another_facility_may_go_elsewhere(etc: Path) -> None:
    """A file has only what syslog writes there; the journal has all."""
    seen = found(etc, "SyslogFacility LOCAL3")
    text = f"sshd: SyslogFacility LOCAL3 in {etc}/sshd_config: its lines may not come to {LOG}"
    assert sshd(seen, LOG) == [(WARN, f"{text}; set it to AUTHPRIV, {RELOAD}")]
    assert sshd(seen, None) == [(OK, "sshd: OpenSSH_8.9p1, LogLevel INFO")]
    assert sshd(found(etc, "SyslogFacility authpriv"), LOG)[0][0] == OK


def test_settings_that_can_not_be_read_are_said_so(etc: Path) -> None:
    """On some systems they are root's alone."""
    seen = inspect(str(etc / "none"))
    text = f"sshd: OpenSSH_8.9p1; {etc}/none can't be read by this user: run the check as root"
    assert sshd(seen, LOG) == [(OK, text)]


def test_no_sshd_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are other ways in."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(check_sshd, "PLACES", ())
    assert sshd(inspect(), LOG) == [(OK, "sshd: there is none here")]


@pytest.mark.parametrize("script", ["exit 0", "echo nothing"])
def test_a_version_that_is_not_told_is_left_out(etc: Path, script: str) -> None:
    """Where it is says enough."""
    (etc / "sshd").write_text(f"#!/bin/sh\n{script}\n")
    assert sshd(found(etc, ""), LOG) == [(OK, f"sshd: {etc}/sshd, LogLevel INFO")]
    (etc / "sshd").write_text("no program")
    assert sshd(found(etc, ""), LOG) == [(OK, f"sshd: {etc}/sshd, LogLevel INFO")]
