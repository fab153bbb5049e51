"""Which file is the log of a distribution, and what a person is told when there is none."""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from usm.errors import SourceError
from usm.sources import journal, locate, rights

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    monkeypatch.setattr(rights, "group", lambda _: "adm")
    deny(monkeypatch)
    with pytest.raises(SourceError) as caught:
        locate.find_log({"ID": "debian"}, str(tmp_path))
    text = str(caught.value)
    assert f"{tmp_path}{AUTH}: no permission (owner " in text
    assert "group adm, mode 0640; add this user to group adm: usermod -aG adm " in text
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


# -- the journal or a file


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that everybody may enter: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        programs = Path(path) / "bin"
        programs.mkdir()
        (programs / "journalctl").touch()
        (programs / "journalctl").chmod(0o755)
        yield Path(path)


@pytest.fixture(autouse=True)
def _journalctl(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place / "bin"))


def journal_at(root: Path, where: str = "var/log/journal", name: str = "system.journal") -> Path:
    """Make a journal's file."""
    path = root / where / ("c0ffee" * 5 + "c0") / name
    path.parent.mkdir(parents=True)
    path.touch()
    return path


DEBIAN = {"ID": "debian"}


def test_the_journal_is_chosen_where_it_can_be_read(place: Path) -> None:
    """It proves who wrote a record."""
    journal_at(place)
    make(place, AUTH)
    assert locate.choose("auto", None, DEBIAN, str(place)) == (None, "it proves who wrote a record")
    assert locate.choose("journal", None, DEBIAN, str(place)) == (None, "as configured")


def test_a_file_that_is_named_is_chosen_before_the_journal(place: Path) -> None:
    """Whoever names one wants it; `source: file` without a name looks for the distribution's."""
    journal_at(place)
    make(place, AUTH)
    assert locate.choose("auto", "/x", DEBIAN, str(place)) == ("/x", "as configured")
    assert locate.choose("file", "/x", DEBIAN, str(place)) == ("/x", "as configured")
    assert locate.choose("file", None, DEBIAN, str(place)) == (f"{place}{AUTH}", "this distribution's")


def test_without_a_journal_the_distribution_s_file_is_chosen_and_why(place: Path) -> None:
    """The reason says what to do to have the journal."""
    make(place, AUTH)
    path, why = locate.choose("auto", None, DEBIAN, str(place))
    assert path == f"{place}{AUTH}"
    assert why.startswith("the journal can't be read: there is no journal here: ")


def test_a_journal_that_is_wanted_and_not_there_is_an_error(place: Path) -> None:
    """Though there is a file."""
    make(place, AUTH)
    with pytest.raises(SourceError, match=r"^the journal can't be read: there is no journal here"):
        locate.choose("journal", None, DEBIAN, str(place))


def test_neither_journal_nor_file_is_an_error_that_tells_both(place: Path) -> None:
    """What would help with either."""
    with pytest.raises(SourceError) as caught:
        locate.choose("auto", None, DEBIAN, str(place))
    text = str(caught.value)
    assert "no authentication log was found" in text
    assert "; nor can the journal be read: there is no journal here" in text
    with pytest.raises(SourceError, match="no authentication log was found"):
        locate.choose("file", None, DEBIAN, str(place))


@pytest.mark.parametrize("where", ["var/log/journal", "run/log/journal"])
def test_a_journal_is_kept_on_disk_or_in_memory(place: Path, where: str) -> None:
    """Other files beside it, or a user's journal, are none."""
    path = journal_at(place, where, "user-1000.journal")
    assert "there is no journal here" in str(journal.unreadable(str(place)))
    (path.parent / "system@0005.journal").touch()
    assert journal.unreadable(str(place)) is None


def test_without_journalctl_there_is_nothing_to_read_with(place: Path) -> None:
    """Said first."""
    journal_at(place)
    (place / "bin" / "journalctl").unlink()
    assert "journalctl is not on PATH" in str(journal.unreadable(str(place)))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
@pytest.mark.parametrize("closed", ["file", "directory"])
def test_a_user_without_rights_is_told_which_group_has_them(place: Path, closed: str) -> None:
    """The file is followed instead, where that can be read."""
    path = journal_at(place)
    (path if closed == "file" else path.parent).chmod(0o640)
    make(place, AUTH)
    os.chmod(place / AUTH[1:], 0o644)
    with nobody():
        problem = journal.unreadable(str(place))
        chosen, why = locate.choose("auto", None, DEBIAN, str(place))
        with pytest.raises(SourceError, match="add this user to group systemd-journal"):
            locate.choose("journal", None, DEBIAN, str(place))
    assert f"no permission ({path if closed == 'file' else path.parent})" in str(problem)
    assert chosen == f"{place}{AUTH}"
    assert why == f"the journal can't be read: {problem}"


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user without rights for a while."""
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(65534, 65534, 0)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)
