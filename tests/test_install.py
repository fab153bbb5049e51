"""What is installed works: staged by make for the system's Python, and as a wheel."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import sysconfig
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import usm

ROOT = Path(__file__).resolve().parent.parent
SYSTEM_PYTHON = "/usr/bin/python3"
NAME = "user-session-monitor"
DATA = ("demo.log", "config.example.yaml", "py.typed")
VERSION = f"{NAME} {usm.__version__}\n"
LAST = "The day had "  # how the demo's last line begins


def make(*arguments: str) -> None:
    """Run make in the repository."""
    subprocess.run(["make", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)


def output(*command: str) -> str:
    """Return what a command prints, run in an environment that names no module path."""
    done = subprocess.run(
        command, cwd="/", env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install into a directory of its own, for /usr."""
    root = tmp_path_factory.mktemp("staged")
    make("install", f"DESTDIR={root}", "PREFIX=/usr")
    return root


def launcher(staged: Path, python: str) -> list[str]:
    """Return how to start the staged launcher as if its root were /, by this interpreter."""
    text = (staged / "usr/bin" / NAME).read_text(encoding="utf-8")
    library = f"/usr/lib/{NAME}"
    assert text.startswith(f"#!{SYSTEM_PYTHON} -I\n")
    assert f'"{library}"' in text
    moved = staged / f"launcher-{Path(python).name}"
    moved.write_text(text.replace(f'"{library}"', f'"{staged}{library}"'), encoding="utf-8")
    return [python, "-I", str(moved)]


def test_everything_is_where_the_readme_says(staged: Path) -> None:
    """Program, commands and a sample configuration, and nothing else."""
    files = {str(path.relative_to(staged)) for path in staged.rglob("*") if not path.is_dir()}
    program = {f for f in files if f.startswith(f"usr/lib/{NAME}/")}
    expected = {f"usr/lib/{NAME}/{path.relative_to(ROOT)}" for path in ROOT.joinpath("usm").rglob("*.py")}
    data = {f"usr/lib/{NAME}/usm/{name}" for name in DATA}
    assert expected <= program
    assert program <= expected | data
    assert data - program <= {f"usr/lib/{NAME}/usm/py.typed"}
    assert {f for f in files - program if not f.startswith("launcher-")} == {
        f"usr/bin/{NAME}",
        "usr/bin/usm",
        f"etc/{NAME}/config.yaml",
        *(f"usr/share/man/{page}" for page in (f"man8/{NAME}.8", "man8/usm.8", f"man5/{NAME}.yaml.5")),
        *(f"usr/share/bash-completion/completions/{name}" for name in (NAME, "usm")),
        f"usr/share/zsh/site-functions/_{NAME}",
    }
    assert (staged / "usr/bin/usm").resolve() == staged / "usr/bin" / NAME
    assert stat.S_IMODE((staged / "usr/bin" / NAME).stat().st_mode) == 0o755
    configuration = staged / "etc" / NAME / "config.yaml"
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o640
    assert stat.S_IMODE(configuration.parent.stat().st_mode) == 0o750


def test_the_installed_command_runs_on_the_systems_python(staged: Path) -> None:
    """The launcher needs nothing but the distribution's own packages."""
    probe = [SYSTEM_PYTHON, "-I", "-c", "import sys, yaml, requests; sys.exit(sys.version_info < (3, 9))"]
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip(f"{SYSTEM_PYTHON} is missing, too old, or lacks python3-yaml or python3-requests")
    command = launcher(staged, SYSTEM_PYTHON)
    assert output(*command, "--version") == VERSION
    assert output(*command, "demo", "--fast").splitlines()[-1].startswith(LAST)


def test_the_installed_command_runs_isolated(staged: Path) -> None:
    """The launcher finds the installed modules and leaves no compiled files among them."""
    command = launcher(staged, sys.executable)
    assert output(*command, "--version") == VERSION
    assert output(*command, "demo", "--fast").splitlines()[-1].startswith(LAST)
    assert list(staged.rglob("__pycache__")) == []


def test_a_second_install_keeps_an_edited_configuration(tmp_path: Path) -> None:
    """And an uninstall removes the program, but neither configuration nor state."""
    where = (f"DESTDIR={tmp_path}", "PREFIX=/usr")
    make("install", *where)
    configuration = tmp_path / "etc" / NAME / "config.yaml"
    configuration.write_text("language: en\n", encoding="utf-8")
    state = tmp_path / "var/lib" / NAME / "state.db"
    state.parent.mkdir(parents=True)
    state.touch()
    make("install", *where)
    assert configuration.read_text(encoding="utf-8") == "language: en\n"
    make("uninstall", *where)
    assert sorted(path for path in tmp_path.rglob("*") if not path.is_dir()) == sorted((configuration, state))


def test_the_service_starts_the_installed_command(tmp_path: Path) -> None:
    """The unit names the launcher of this prefix, and an uninstall takes the unit along."""
    where = (f"DESTDIR={tmp_path}", "PREFIX=/opt/usm")
    make("install-service", *where)
    unit = tmp_path / f"etc/systemd/system/{NAME}.service"
    text = unit.read_text(encoding="utf-8")
    (start,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    assert (tmp_path / start.split("=")[1].split()[0].lstrip("/")).is_file()
    assert "@PREFIX@" not in text
    make("uninstall", *where)
    assert not unit.exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy, so that nothing is left in the repository."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "usm", copy / "usm", ignore=shutil.ignore_patterns("__pycache__"))
    build = ["--no-build-isolation"] if find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", *build]
    done = subprocess.run(
        [*command, "--wheel-dir", str(copy / "dist"), str(copy)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = copy.joinpath("dist").glob("*.whl")
    return built


def test_the_wheel_holds_everything(wheel: Path) -> None:
    """Every module and every data file of the package, and no test."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for path in ROOT.joinpath("usm").rglob("*.py")}
    assert names == modules | {f"usm/{name}" for name in DATA}


def test_the_wheel_works_in_a_new_environment(wheel: Path, tmp_path: Path) -> None:
    """Both commands are there and run; only the libraries are those of this environment."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    python = str(tmp_path / "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    site = Path(output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    site.joinpath("libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    assert Path(output(python, "-c", "import usm; print(usm.__file__)").strip()).is_relative_to(site)
    for name in ("usm", NAME):
        assert output(str(tmp_path / "bin" / name), "--version") == VERSION
    assert output(str(tmp_path / "bin/usm"), "demo", "--fast").splitlines()[-1].startswith(LAST)
