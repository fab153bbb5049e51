"""usm/people.py: whose key it is, by real keys, and by whatever a user may put where keys should be."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Optional

import pytest

from usm import people
from usm.people import People, uid_of

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")


class Home:
    """A user's home, and sshd's configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path / "home"
        self.config = path / "sshd_config"
        self.keys = self.path / ".ssh" / "authorized_keys"
        self.keys.parent.mkdir(parents=True)

    def comment(self, key: Optional[str], user: str = "alice") -> Optional[str]:
        """What stands beside a key."""
        return People({}, str(self.config)).owner(user, key)[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Give the machine one user, alice."""
    place = Home(tmp_path)

    def getpwnam(user: str) -> SimpleNamespace:
        if user != "alice":
            raise KeyError(user)
        return SimpleNamespace(pw_dir=str(place.path), pw_uid=2001)

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    return place


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A real key: what stands in the file, and what `ssh-keygen -lf` calls it."""
    return make(tmp_path_factory.mktemp("key"), "ed25519")


def make(where: Path, kind: str) -> tuple[str, str]:
    """Make a key; return the line without its comment, and the fingerprint."""
    path = where / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "x", "-f", str(path)], check=True)
    shown = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], check=True, capture_output=True, text=True).stdout
    line = Path(f"{path}.pub").read_text().split()
    return " ".join(line[:2]), shown.split()[1]


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_the_fingerprint_is_openssh_s(tmp_path: Path, home: Home, kind: str) -> None:
    """So what sshd logs is found in the file."""
    line, fingerprint = make(tmp_path, kind)
    home.keys.write_text(f"{line} alice@laptop\n")
    assert home.comment(fingerprint) == "alice@laptop"
    assert home.comment(fingerprint[:-1]) is None


@pytest.mark.parametrize(
    ("before", "comment", "found"),
    [
        ("", "alice@laptop", "alice@laptop"),
        ("", "the old laptop, 2nd floor", "the old laptop, 2nd floor"),
        ("", "", None),
        ('from="203.0.113.0/24",command="/bin/echo ssh-rsa x" ', "build", "build"),
        ("no-pty,restrict ", "build", "build"),
        ("  ", "x", "x"),
        ("# ", "x", None),
        ("  # ", "x", None),
        ("x", "x", None),
    ],
)
def test_options_before_and_blanks_behind(
    home: Home, key: tuple[str, str], before: str, comment: str, found: Optional[str]
) -> None:
    """Options may hold anything, comments may hold blanks, and a line may be a comment as a whole."""
    home.keys.write_text(f"# my keys\n\n{before}{key[0]} {comment}\nnonsense\n")
    assert home.comment(key[1]) == found


def test_no_key_and_an_unknown_user_have_no_comment(home: Home, key: tuple[str, str]) -> None:
    """A login by password, a user of another machine, a name that no machine can have."""
    home.keys.write_text(f"{key[0]} x\n")
    assert People({}, str(home.config)).owner("alice", None) == (None, None)
    assert home.comment(key[1], "bob") is None
    assert People({key[1]: "Alice"}, str(home.config)).owner(None, key[1]) == ("Alice", None)


def test_the_configuration_names_keys_and_certificates(home: Home, key: tuple[str, str]) -> None:
    """The person is the operator's word, the comment the account owner's; a certificate is known by its id."""
    home.keys.write_text(f"{key[0]} not alice\n")
    known = People({key[1]: "Alice", "deploy-2026": "CI"}, str(home.config))
    assert known.owner("alice", key[1]) == ("Alice", "not alice")
    assert known.owner("alice", "deploy-2026") == ("CI", None)
    assert known.owner("alice", "deploy-2027") == (None, None)


def test_a_file_is_read_again_when_it_changed(
    home: Home, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not before; what is remembered has an end."""
    answers = People({}, str(home.config))
    assert answers.owner("alice", key[1]) == (None, None)
    home.keys.write_text(f"{key[0]} one\n")
    assert answers.owner("alice", key[1]) == (None, "one")
    with monkeypatch.context() as patch:
        patch.setattr(people, "_keys", lambda _: pytest.fail("it did not change"))
        assert answers.owner("alice", key[1]) == (None, "one")
    monkeypatch.setattr(people, "_MOST", 1)
    home.keys.write_text(f"{key[0]} another\n")
    assert answers.owner("alice", key[1]) == (None, "another")


@pytest.mark.parametrize(
    "hostile",
    [
        "fifo",
        "directory",
        "huge",
        "binary",
        "loop",
        "device",
        "not base64",
        "nothing",
    ],
)
def test_hostile_files_hold_no_keys_and_stop_nobody(home: Home, key: tuple[str, str], hostile: str) -> None:
    """The file is a user's: it may be anything; the second place is still looked at."""
    if hostile == "fifo":
        os.mkfifo(home.keys)
    elif hostile == "directory":
        home.keys.mkdir()
    elif hostile == "huge":  # 2 MiB, and the key behind what is read of it
        home.keys.write_text("#" * (2 << 20) + f"\n{key[0]} far\n")
    elif hostile == "binary":
        home.keys.write_bytes(bytes(range(256)) * 64)
    elif hostile == "loop":
        home.keys.symlink_to(home.keys)
    elif hostile == "device":
        home.keys.symlink_to("/dev/zero")
    elif hostile == "not base64":
        home.keys.write_text("ssh-ed25519 AAAAA x\nssh-ed25519 AAAA=A=A x\n")
    assert home.comment(key[1]) is None
    Path(f"{home.keys}2").write_text(f"{key[0]} second\n")
    assert home.comment(key[1]) == "second"


def test_a_file_that_vanishes_or_can_have_no_such_name_holds_no_keys(home: Home) -> None:
    """Between the look at it and its opening anything may happen."""
    assert list(people._keys(str(home.keys))) == []
    assert list(people._keys("a\0b")) == []
    assert People({}, str(home.config))._comments("a\0b") == {}


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("AuthorizedKeysFile {root}/keys/%u", "keys/alice"),
        ("authorizedkeysfile={root}/keys/%U.%%x", "keys/2001.%x"),
        ('AuthorizedKeysFile "%h/x keys"', None),
        ("AuthorizedKeysFile %h/elsewhere other # not here", "home/other"),
        ("  AuthorizedKeysFile\t.keys", "home/.keys"),
        ("#AuthorizedKeysFile .keys", None),
        ("AuthorizedKeysFile none", None),
    ],
)
def test_where_sshd_looks_for_keys(
    tmp_path: Path, home: Home, key: tuple[str, str], setting: str, place: Optional[str]
) -> None:
    """Its tokens, relative names, several names; `none` is no file."""
    home.config.write_text(f"Port 22\n{setting.format(root=tmp_path)}\nAuthorizedKeysFile .later\n")
    (home.path / ".later").write_text(f"{key[0]} later\n")
    if place is None:
        assert home.comment(key[1]) == ("later" if setting.startswith("#") else None)
        return
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(f"{key[0]} found\n")
    assert home.comment(key[1]) == "found"


def test_an_included_file_counts_before_the_main_one(home: Home, key: tuple[str, str]) -> None:
    """As Debian's configuration includes them first; the first that says something counts."""
    home.config.write_text("AuthorizedKeysFile .main\n")
    directory = Path(f"{home.config}.d")
    directory.mkdir()
    (directory / "10.conf").write_text("Port 22\n")
    (directory / "20.conf").write_text("AuthorizedKeysFile .included\n")
    (directory / "30.conf").write_text("AuthorizedKeysFile .last\n")
    (directory / "05.conf").symlink_to("nowhere")
    (directory / "00.txt").write_text("AuthorizedKeysFile .text\n")
    for name in ("main", "included", "last", "text"):
        (home.path / f".{name}").write_text(f"{key[0]} {name}\n")
    assert home.comment(key[1]) == "included"


def test_the_uid_of_a_user() -> None:
    """Of this machine's; of others none."""
    assert uid_of("root") == 0
    assert uid_of("no such user") is None
    assert uid_of("a\0b") is None
