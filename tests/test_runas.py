"""Root looks with the eyes of the service's user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from usm.runas import become_owner

REPOSITORY = Path(__file__).parent.parent


def test_there_is_nobody_to_become(tmp_path: Path) -> None:
    """Without a directory, as its owner, and where it is root's."""
    assert become_owner(str(tmp_path / "absent")) is None
    assert become_owner(str(tmp_path)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_becomes_the_owner_for_good(tmp_path: Path) -> None:
    """With his groups and no others, and no way back."""
    os.chown(tmp_path, 65534, 65534)
    code = (
        "import os, sys; from usm.runas import become_owner; print(become_owner(sys.argv[1])); "
        "print(os.getresuid(), os.getresgid(), 0 in os.getgroups())\n"
        "try: os.setuid(0)\nexcept PermissionError: print('no way back')"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    ids = (65534,) * 3
    assert done.stdout.splitlines() == ["nobody", f"{ids} {ids} False", "no way back"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to nobody")
def test_an_owner_without_a_name(tmp_path: Path) -> None:
    """He is left alone."""
    os.chown(tmp_path, 54321, 54321)
    assert become_owner(str(tmp_path)) is None
    assert os.geteuid() == 0
