"""What is built: the same bytes everywhere, what linters of both families say, and Debian's own trials of it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.packages.conftest import OLD, run, tree
from tests.system.machine import CACHE, mirror
from tests.system.service import HERE, NAME

if TYPE_CHECKING:
    from pathlib import Path

    from tests.packages.conftest import Built

SUITE = "bookworm"
PYTHONS = ("python3.12", "python3.11")  # of EL 8 and of SLE 15


def digests(tree: Path) -> dict[str, str]:
    """Return the hash of each package in a tree's `dist`."""
    packages = [path for path in tree.joinpath("dist").iterdir() if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in packages}


def test_two_builds_give_the_same_bytes(built: Built, tmp_path: Path) -> None:
    """Elsewhere, by somebody with another mask, in another time zone: the same packages, wheel and source archive."""
    other = tree(tmp_path / "another-place")
    build = f"SOURCE_DATE_EPOCH=1700000000 {sys.executable} -m build --outdir dist ."  # `make build` takes the commit's
    words = ("sh", "-ec", f"umask 027; make deb rpm; {build}")
    run(*words, cwd=other, variables={"TZ": "Asia/Tokyo", "LANG": "C"})
    run("sh", "-c", build, cwd=built.old)
    first = digests(built.old)
    wheel, archive = f"user_session_monitor-{OLD}-py3-none-any.whl", f"user_session_monitor-{OLD}.tar.gz"
    packages = {f"{NAME}-{OLD}-1.noarch.rpm", f"{NAME}-{OLD}-1.src.rpm", f"{NAME}_{OLD}_all.deb"}
    assert set(first) == {*packages, wheel, archive}
    assert digests(other) == first
    listed = set(run("tar", "-tf", other / "dist" / archive).split())
    needed = (
        "docs/man/user-session-monitor.8 docs/systemd/user-session-monitor.service debian/rules rpm/vendor.txt Makefile"
    )
    assert {f"user_session_monitor-{OLD}/{name}" for name in needed.split()} <= listed
    assert not [name for name in listed if "/build/" in name or "/dist/" in name or "__pycache__" in name]


def test_pipx_installs_both(built: Built, tmp_path: Path) -> None:
    """From the wheel, and from the source archive."""
    run(sys.executable, "-m", "venv", tmp_path / "tool")
    run(tmp_path / "tool/bin/pip", "install", "--quiet", "pipx")
    for number, name in enumerate(("user_session_monitor-*.whl", "user_session_monitor-*.tar.gz")):
        place = tmp_path / str(number)
        variables = {f"PIPX_{what}": str(place / what) for what in ("HOME", "BIN_DIR", "MAN_DIR")}
        (file,) = built.old.glob(f"dist/{name}")
        run(tmp_path / "tool/bin/pipx", "install", file, variables=variables)
        assert run(place / "BIN_DIR/usm", "--version") == f"{NAME} {OLD}\n"
        assert "The day had" in run(place / "BIN_DIR/usm", "demo", "--fast", "--language", "en")
        assert (place / f"MAN_DIR/man8/{NAME}.8").exists()


def test_the_linters_have_nothing_to_say(built: Built) -> None:
    """Lintian of the .deb and its source, rpmlint of both .rpm and the spec."""
    (changes,) = built.old.joinpath("build/deb").glob("*.changes")
    text = run("lintian", "--allow-root", "--fail-on", "error,warning", changes)
    assert text == ""
    packages = sorted(built.old.glob("dist/*.rpm"))
    text = run("rpmlint", "--config", "rpm/rpmlint.toml", *packages, f"rpm/{NAME}.spec", cwd=built.old)
    assert "0 errors, 0 warnings" in text, text


@pytest.mark.parametrize("python", PYTHONS)
def test_the_source_package_is_rebuilt_for_another_python(built: Built, tmp_path: Path, python: str) -> None:
    """Where the system's own is too old: interpreter and libraries are that Python's."""
    (source,) = built.old.glob("dist/*.src.rpm")
    words = ("rpmbuild", "--quiet", "--nodeps", "--rebuild", "-D", f"_topdir {tmp_path}", "-D", f"usm_python {python}")
    run(*words, "-D", "dist .other", source)
    (package,) = tmp_path.glob(f"RPMS/noarch/{NAME}-{OLD}-1.other.noarch.rpm")
    required = run("rpm", "-qp", "--requires", package).split("\n")
    assert {f"/usr/bin/{python}", f"{python}dist(pyyaml)", f"{python}dist(requests)"} <= set(required)
    assert not [name for name in required if name.startswith(("python3 ", "(python3dist", "/usr/bin/python3 "))]
    launcher = run("sh", "-c", f"rpm2cpio {package} | cpio --quiet --to-stdout -i ./usr/bin/{NAME}")
    assert launcher.startswith(f"#!/usr/bin/{python} -I\n")


@pytest.fixture(scope="module")
def pristine() -> Path:
    """Return a Debian that has nothing yet, as an archive for piuparts and a directory for autopkgtest."""
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"{SUITE}-pristine.tar.gz"
    if not archive.exists():
        partial = archive.with_name(f"partial-{archive.name}")
        expired = '--aptopt=Acquire::Check-Valid-Until "false"'  # a mirror may be frozen
        options = ("--quiet", "--variant=minbase", "--mode=root", "--skip=cleanup/apt", expired)
        run("mmdebstrap", *options, SUITE, partial, mirror())
        partial.rename(archive)
    return archive


def test_debian_s_own_trial(built: Built, pristine: Path, tmp_path: Path) -> None:
    """autopkgtest: in a Debian with nothing but what apt brings with it, the daemon records a login."""
    root = tmp_path / "root"
    root.mkdir()
    run("tar", "-x", "-C", root, "-f", pristine)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    (source,) = built.old.joinpath("build/deb").glob("*.dsc")
    (package,) = built.old.glob("dist/*.deb")
    text = run("autopkgtest", "-B", source, package, "--", "chroot", root)
    assert "smoke                PASS" in text, text


def test_nothing_stays_behind(built: Built, pristine: Path) -> None:
    """piuparts: installed, removed and purged, in a Debian with nothing but what apt brings with it."""
    (package,) = built.old.glob("dist/*.deb")
    words = (
        "piuparts",
        "--distribution",
        SUITE,
        "--mirror",
        mirror(),
        "--no-eatmydata",
        "--warn-on-leftovers-after-purge",
    )
    done = subprocess.run(
        [*words, "--basetgz", pristine, package], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
