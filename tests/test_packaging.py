"""The Debian package's files agree with the program that they package; it is built and tried by hand so far."""

from __future__ import annotations

import re
from pathlib import Path

import usm

ROOT = Path(__file__).parent.parent


def test_the_version_is_the_same_everywhere() -> None:
    """The changelog's first entry is of this version."""
    first = (ROOT / "debian" / "changelog").read_text("utf-8").splitlines()[0]
    assert re.fullmatch(rf"user-session-monitor \({re.escape(usm.__version__)}\) \w+; urgency=\w+", first)


def test_what_is_needed_at_run_time_is_depended_on() -> None:
    """With the versions that pyproject.toml has."""
    control = (ROOT / "debian" / "control").read_text("utf-8")
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    names = {"PyYAML": "python3-yaml", "requests": "python3-requests", "python-daemon": "python3-daemon"}
    for name, package in names.items():
        version = re.search(rf'"{name}>=([\d.]+)"', project)
        assert version is not None
        assert f"{package} (>= {version[1]})" in control
    assert "python3-lockfile" in control
    python = re.search(r'requires-python = ">=([\d.]+)"', project)
    assert python is not None
    assert f"X-Python3-Version: >= {python[1]}" in control
