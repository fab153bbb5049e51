"""What the tests of the packages share: two versions, built and signed once, and a web server in a booted machine."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple, Optional

import pytest

import usm
from tests.system.service import HERE, NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


OLD, NEW = usm.__version__, "99.0.0"
WEB = 8000
URL = f"http://127.0.0.1:{WEB}"
NEWS = "# A line that only the new version's sample has.\n"


class Built(NamedTuple):
    """Source trees of two versions whose `dist` holds their packages, and a directory of repositories.

    `repositories`: `old`, `new` signed with the key that clients know; `strange` by another; `unsigned`; `altered`,
    where the packages are not those that were signed; `loose`, a list that is signed of an .rpm that is not.
    """

    old: Path
    new: Path
    repositories: Path


def run(*words: object, cwd: Path = HERE, variables: Optional[dict[str, str]] = None) -> str:
    """Run a command and return what it printed; what it complained of is shown when it fails."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def tree(place: Path) -> Path:
    """Copy the source tree as it is now, committed or not, and commit it there."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    place.mkdir(parents=True)
    names = "\0".join(name for name in listed.split("\0") if (HERE / name).is_file())
    subprocess.run(["rsync", "-a", "--from0", "--files-from=-", f"{HERE}/", place], input=names.encode(), check=True)
    run("git", "init", "--quiet", cwd=place)
    commit(place)
    return place


def commit(place: Path) -> None:
    """Commit all of a copy: what is packaged is what is committed."""
    run("git", "add", "--all", cwd=place)
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    run("git", *who, "commit", "--quiet", "--message=as it is", cwd=place)


def key(home: Path) -> dict[str, str]:
    """Make a signing key; return the variables with which gpg finds it."""
    home.mkdir(mode=0o700)
    variables = {"GNUPGHOME": str(home)}
    words = ("--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "test@localhost", "rsa3072", "sign")
    run("gpg", *words, variables=variables)
    return variables


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Build and sign both versions."""
    if os.geteuid() != 0:
        pytest.fail("the tests of the packages boot machines, and need root")
    place = tmp_path_factory.mktemp("packages")
    old, new, repositories = tree(place / "old"), tree(place / "new"), place / "repositories"
    run("make", "bump", f"NEW={NEW}", cwd=new)
    with (new / "usm/config.example.yaml").open("a") as sample:
        sample.write(NEWS)
    commit(new)
    repositories.mkdir()
    known, stranger = key(place / "known"), key(place / "stranger")
    for source, name in ((old, "old"), (new, "new")):
        run("make", "deb", "rpm", cwd=source)
        run("make", "repo", "KEY=test@localhost", f"URL={URL}/current", cwd=source, variables=known)
        (source / "dist/repo").rename(repositories / name)
    run(
        ".ci/repository",
        "dist",
        repositories / "strange",
        "test@localhost",
        f"{URL}/current",
        cwd=old,
        variables=stranger,
    )
    for name in ("unsigned", "altered"):
        run("cp", "-a", repositories / "old", repositories / name)
    for signature in ("apt/dists/stable/InRelease", "apt/dists/stable/Release.gpg", "rpm/repodata/repomd.xml.asc"):
        (repositories / "unsigned" / signature).unlink()
    for package in (repositories / "altered").rglob(f"{NAME}*.[dr][ep][bm]"):
        data = bytearray(package.read_bytes())
        data[-100] ^= 1
        package.write_bytes(data)
    loose = repositories / "loose/rpm"
    run("cp", "-a", repositories / "old", loose.parent)
    run("sh", "-c", f"cp {old}/dist/*.noarch.rpm {loose}/; createrepo_c --quiet {loose}")
    listed = loose / "repodata/repomd.xml"
    run("gpg", "--batch", "--yes", "--detach-sign", "--armor", listed, variables=known)
    run("cp", repositories / f"old/{NAME}.asc", f"{listed}.key")
    yield Built(old, new, repositories)
    for variables in (known, stranger):  # gpg's agents stay otherwise
        run("gpgconf", "--kill", "all", variables=variables)
