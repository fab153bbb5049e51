"""What the packages are made from agrees with the program; tests/packages builds and tries them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import usm

ROOT = Path(__file__).parent.parent


def versions(root: Path) -> dict[str, str]:
    """Return the version that each file has."""
    files = {
        "usm/__init__.py": r'^__version__ = "(.+)"$',
        "debian/changelog": r"\A\S+ \((.+)\) unstable; urgency=medium$",
        "rpm/user-session-monitor.spec": r"^Version: +(.+)$",
        "the spec's changelog": r"^%changelog\n\* .+> - (.+)-1$",
    }
    found = {}
    for name, pattern in files.items():
        path = root / (name if "/" in name else "rpm/user-session-monitor.spec")
        match = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
        assert match, name
        found[name] = match[1]
    return found


def test_the_version_is_the_same_everywhere(tmp_path: Path) -> None:
    """`make bump` gives it to every file that must have it, and their dates are those that packagers' tools read."""
    assert set(versions(ROOT).values()) == {usm.__version__}
    for name in (*versions(ROOT), ".ci/bump"):
        if "/" in name:
            tmp_path.joinpath(name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run([tmp_path / ".ci/bump", "12.3.4"], check=True)
    assert set(versions(tmp_path).values()) == {"12.3.4"}
    changelog = (tmp_path / "debian/changelog").read_text("utf-8")
    assert re.search(r"^ -- .+ <.+@.+>  \w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} [+-]\d{4}$", changelog, re.MULTILINE)
    assert changelog.endswith((ROOT / "debian/changelog").read_text("utf-8"))


@pytest.mark.parametrize("version", ["", "1.2", "1.2.3-1", "v1.2.3", "1.2.3; true"])
def test_a_version_is_three_numbers(version: str) -> None:
    """What else is given is refused, with an example."""
    done = subprocess.run(["make", "bump", f"NEW={version}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "make bump NEW=1.2.3")


def test_who_signs_must_be_said() -> None:
    """Without a key there is no repository."""
    done = subprocess.run(["make", "repo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("make repo KEY=...: say who signs; docs/publishing.md tells how to make a key\n")


def test_what_is_bundled_is_named() -> None:
    """The spec's sources are what rpm/vendor.txt has the hashes of, in versions that pyproject.toml allows."""
    spec = (ROOT / "rpm/user-session-monitor.spec").read_text("utf-8")
    vendor = (ROOT / "rpm/vendor.txt").read_text("utf-8")
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for name, macro in (("python-daemon", "daemon_version"), ("lockfile", "lockfile_version")):
        wanted = re.search(rf"^{name}==([\d.]+) --hash=sha256:[0-9a-f]{{64}}$", vendor, re.MULTILINE)
        bundled = re.search(rf"^%global {macro} ([\d.]+)$", spec, re.MULTILINE)
        least = re.search(rf'"{name}>=([\d.]+)"', project)
        assert wanted is not None
        assert bundled is not None
        assert least is not None
        assert wanted[1] == bundled[1]
        assert f"bundled(python3dist({name})) = %{{{macro}}}" in spec
        assert [int(part) for part in bundled[1].split(".")] >= [int(part) for part in least[1].split(".")]


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


def test_what_goes_into_the_wheel_is_there() -> None:
    """The build backend leaves out what it does not find, and says nothing."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    (section,) = re.findall(r"^\[tool\.hatch\.build\.targets\.wheel\.shared-data\]\n((?:.+\n)+)", text, re.MULTILINE)
    sources = re.findall(r'^"(.+)" = "share/.+"$', section, re.MULTILINE)
    assert len(sources) == len(section.splitlines())
    assert [source for source in sources if not (ROOT / source).exists()] == []
    pages = {f"docs/man/{page.name}" for page in ROOT.joinpath("docs/man").iterdir()}
    completions = {f"docs/completion/{page.name}" for page in ROOT.joinpath("docs/completion").iterdir()}
    assert pages | completions <= set(sources)
