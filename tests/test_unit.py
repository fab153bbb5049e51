"""The systemd unit and the documented changes of it, as systemd itself reads them."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAME = "user-session-monitor"
UNITS = ROOT / "docs" / "systemd"
DROP_INS = sorted(path.stem for path in (UNITS / "drop-ins").glob("*.conf"))
WORST = 12  # tenths: "1.2"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit as it is installed, but for a program that is there."""
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("USM_REQUIRE_SYSTEM") == "1":
            pytest.fail("systemd-analyze is missing")
        pytest.skip("needs systemd-analyze")
    return installed(UNITS / f"{NAME}.service", tmp_path / f"{NAME}.service")


def installed(source: Path, target: Path) -> Path:
    """Put in what stands for the program."""
    target.parent.mkdir(exist_ok=True)
    target.write_text(re.sub(rf"@PREFIX@/bin/{NAME}", "/bin/true", source.read_text()))
    return target


def analyze(*words: object) -> str:
    """Return what systemd has to say; a wrong line is said, but is no failure of the command."""
    done = subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def directives(path: Path) -> configparser.ConfigParser:
    """Return a unit's sections; a line that is given twice counts once."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names have capitals
    parser.read(path)
    return parser


@pytest.mark.parametrize("drop_in", ["", *DROP_INS])
def test_systemd_finds_nothing_wrong(unit: Path, drop_in: str) -> None:
    """Neither with the unit nor with any documented change of it."""
    if drop_in:
        installed(UNITS / "drop-ins" / f"{drop_in}.conf", unit.with_name(f"{NAME}.service.d") / "x.conf")
    assert analyze("verify", "--man=no", unit) == ""


def test_it_is_hardened(unit: Path) -> None:
    """As far as the exposure that is promised."""
    analyze("security", "--offline=true", f"--threshold={WORST}", unit)


def test_a_weaker_unit_would_be_found(unit: Path) -> None:
    """The measure measures."""
    unit.write_text(unit.read_text().replace("PrivateUsers=yes\n", "").replace("CapabilityBoundingSet=\n", ""))
    with pytest.raises(AssertionError, match="Overall exposure level"):
        analyze("security", "--offline=true", f"--threshold={WORST}", unit)


def test_what_is_promised_is_in_it() -> None:
    """The kind of service, its restarts, its user, its order."""
    found = directives(UNITS / f"{NAME}.service")
    service = found["Service"]
    assert service["Type"] == "forking"
    assert service["PIDFile"] == f"/run/{NAME}/{NAME}.pid"
    assert (service["User"], service["Group"]) == ("usm", "usm")
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "78")
    assert service["ExecReload"].endswith("reload")
    assert "systemd-user-sessions.service" in found["Unit"]["Before"]
    assert "network.target" in found["Unit"]["After"]


def test_the_drop_ins_are_told_of() -> None:
    """Each is in the docs, and says itself how it is used."""
    page = (ROOT / "docs" / "service.md").read_text("utf-8")
    assert DROP_INS == ["credential", "foreground", "secure"]
    for name in DROP_INS:
        assert f"systemd/drop-ins/{name}.conf" in page
        text = (UNITS / "drop-ins" / f"{name}.conf").read_text("utf-8")
        assert f"/etc/systemd/system/{NAME}.service.d/{name}.conf" in text
