"""Which file is the log of a distribution, and what a person is told when there is none."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from usm.errors import SourceError
from usm.sources import locate

AUTH, SECURE, MESSAGES = "/var/log/auth.log", "/var/log/secure", "/var/log/messages"


@pytest.mark.parametrize(
    ("release", "first"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, AUTH),
        ({"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "24.04"}, AUTH),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, AUTH),
        ({"ID": "rhel", "ID_LIKE": "fedora"}, SECURE),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, SECURE),
        ({"ID": "almalinux"}, SECURE),
        ({"ID": "ol"}, SECURE),
        ({"ID": "centos"}, SECURE),
        ({"ID": "fedora"}, SECURE),
        ({"ID": "amzn", "ID_LIKE": "centos rhel fedora"}, SECURE),
        ({"ID": "unheard-of", "ID_LIKE": "rhel"}, SECURE),
        ({"ID": "sles", "ID_LIKE": "suse"}, MESSAGES),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, MESSAGES),
        ({"ID": "opensuse-tumbleweed"}, MESSAGES),
        ({"ID": "alpine"}, MESSAGES),
        ({"ID": "arch"}, AUTH),
        ({}, AUTH),
    ],
)
def test_the_likeliest_path_comes_first_and_the_others_follow(release: dict[str, str], first: str) -> None:
    """The distribution's own path, then those of the others."""
    paths = locate.default_paths(release)
    assert paths[0] == first
    assert sorted(paths) == sorted([AUTH, SECURE, MESSAGES])


def test_an_unknown_distribution_tries_all_in_a_fixed_order() -> None:
    """Auth.log, secure, messages."""
    assert locate.default_paths({"ID": "what"}) == (AUTH, SECURE, MESSAGES)


def make(root: Path, *paths: str) -> None:
    """Create empty logs."""
    for path in paths:
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / path.lstrip("/")).touch()


def test_the_first_that_exists_is_taken(tmp_path: Path) -> None:
    """In the order of the distribution."""
    make(tmp_path, MESSAGES, AUTH)
    assert locate.find_log({"ID": "debian"}, str(tmp_path)) == f"{tmp_path}{AUTH}"
    assert locate.find_log({"ID": "alpine"}, str(tmp_path)) == f"{tmp_path}{MESSAGES}"
    assert locate.find_log({"ID": "rhel"}, str(tmp_path)) == f"{tmp_path}{AUTH}"


def test_nothing_found_names_all_that_was_tried_and_what_to_do(tmp_path: Path) -> None:
    """In one sentence."""
    with pytest.raises(SourceError) as caught:
        locate.find_log({"ID": "rocky", "VERSION_ID": "9.4"}, str(tmp_path))
    text = str(caught.value)
    assert [f"{tmp_path}{path}" in text for path in (SECURE, AUTH, MESSAGES)] == [True] * 3
    assert "install rsyslog" in text
    assert "monitor.log_file" in text


def test_without_any_log_rsyslog_is_named(tmp_path: Path) -> None:
    """Nothing there to follow: what would write a log, and how to name another."""
    with pytest.raises(SourceError, match=r"install rsyslog.*or name the file in monitor\.log_file\.$"):
        locate.find_log({"ID": "debian", "VERSION_ID": "12"}, str(tmp_path))


def deny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to open any file, as for another user than root."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)


def test_one_that_exists_but_cannot_be_read_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A readable file of another purpose would be followed in silence."""
    make(tmp_path, AUTH, MESSAGES)
    (tmp_path / AUTH.lstrip("/")).chmod(0o640)
    monkeypatch.setattr(locate, "_group", lambda _: "adm")
    deny(monkeypatch)
    with pytest.raises(SourceError) as caught:
        locate.find_log({"ID": "debian"}, str(tmp_path))
    text = str(caught.value)
    assert f"{tmp_path}{AUTH}: no permission (owner " in text
    assert "group adm, mode 0640; add this user to group adm, or run as root" in text
    assert MESSAGES not in text


def test_a_file_that_no_group_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then only root or another mode helps."""
    path = tmp_path / "secure"
    path.touch()
    path.chmod(0o600)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    monkeypatch.setattr(grp, "getgrgid", {}.__getitem__)
    deny(monkeypatch)
    problem = locate.unreadable(str(path))
    assert problem is not None
    assert f"owner {path.stat().st_uid}, group {path.stat().st_gid}, mode 0600; run as root" in problem


def test_a_directory_on_the_way_that_cannot_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is known of the file."""

    def refuse(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    deny(monkeypatch)
    monkeypatch.setattr(Path, "stat", refuse)
    assert "a directory on the way" in str(locate.unreadable(str(tmp_path / "x")))


def test_what_is_no_file(tmp_path: Path) -> None:
    """Directories, FIFOs, circles of symlinks."""
    assert "it is a directory" in str(locate.unreadable(str(tmp_path)))
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in str(locate.unreadable(str(tmp_path / "fifo")))
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert "symbolic links" in str(locate.unreadable(str(tmp_path / "circle")))
    (tmp_path / "file").touch()
    assert locate.unreadable(str(tmp_path / "file")) is None
    assert locate.unreadable(str(tmp_path / "file" / "below")) == "missing"
