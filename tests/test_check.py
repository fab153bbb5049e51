"""`check`: an operator's first look; each finding says what to do, and nothing is changed."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from usm import clock
from usm.channels.console import Console
from usm.check import check
from usm.check_sshd import Sshd
from usm.config import Config
from usm.core.route import Route
from usm.finding import FAIL, OK, WARN, Finding
from usm.notify import Notify
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = clock.now()
ROOT = os.geteuid() == 0
FORGED = (WARN, "source: a log file can't prove who wrote a line; local users can forge one with logger(1)")


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that everybody may enter: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        (Path(path) / "auth.log").write_text("")
        yield Path(path)


def configured(place: Path, **settings: object) -> Config:
    """Return a configuration whose log and state are in `place`."""
    plain = {"log_file": str(place / "auth.log"), "state": str(place / "state.db")}
    return Config(**{**plain, **settings})  # type: ignore[arg-type] # any field


def look(config: Config) -> list[Finding]:
    """Return all findings, beside a monitor that runs."""
    return check(config, NOW, running=True, sshd=Sshd())


def about(topic: str, config: Config) -> list[tuple[str, str]]:
    """Return the findings of one topic."""
    return [finding for finding in look(config) if finding[1].startswith(topic)]


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


def test_everything_in_order_is_said_so(place: Path) -> None:
    """From the configuration to the channels, in this order; nothing is made."""
    notify = (Notify("terminal", "console", Console(), (), Route("terminal")),)
    found = check(configured(place, path="/etc/x.yaml", notify=notify), NOW, running=True, sshd=Sshd(), user="usm")
    assert found[:4] == [
        (OK, "user: checked as usm, who runs the service"),
        (OK, "configuration: /etc/x.yaml"),
        (OK, f"source: {place}/auth.log (as configured)"),
        FORGED,
    ]
    topics = list(dict.fromkeys(text.partition(":")[0] for _, text in found))
    assert [topic for topic in topics if topic != "clock"] == [
        *("user", "configuration", "source", "log", "sshd", "processes", "disk", "state", "monitor"),
        "channel terminal",
    ]
    assert found[-1] == (OK, "channel terminal: console, settings are well-formed (try it: usm test terminal)")
    assert os.listdir(place) == ["auth.log"]


def test_who_may_read_the_configuration_may_post(place: Path) -> None:
    """Where it has channels; the remedy is a command."""
    (place / "config.yaml").write_text("")
    (place / "secrets.yaml").write_text("")
    notify = (Notify("terminal", "console", Console(), (), Route("terminal")),)
    for mode, count in ((0o644, 2), (0o640, 0)):
        (place / "config.yaml").chmod(mode)
        (place / "secrets.yaml").chmod(mode)
        found = about("configuration: everybody", configured(place, path=str(place / "config.yaml"), notify=notify))
        assert [level for level, _ in found] == [WARN] * count
        assert all("; chmod 640 " in text for _, text in found)


def test_an_authority_that_can_not_be_read_is_told(place: Path) -> None:
    """Before a message fails for it."""
    notify = (Notify("a", "console", Console(), (), Route("a"), ca_file=str(place / "ca.pem")),)
    assert about("channel a", configured(place, notify=notify))[1] == (
        FAIL,
        f"channel a: {place}/ca.pem is missing, or this user may not read it: chmod 644 {place}/ca.pem",
    )


def test_no_configuration_is_allowed_and_no_channel_is_named(place: Path) -> None:
    """Whoever has just installed it is told what is missing."""
    found = look(configured(place))
    assert found[0] == (OK, "configuration: none, everything has its default")
    assert found[-1] == (
        WARN,
        "channels: none, so nobody is told; add one under `notify:`, "
        "then: systemctl reload user-session-monitor (or usm reload)",
    )


def test_warnings_of_the_configuration_are_repeated(place: Path) -> None:
    """They would be said at every start."""
    assert (WARN, "configuration: x.yaml: old key") in look(configured(place, warnings=("x.yaml: old key",)))


def test_a_missing_log_is_waited_for(place: Path) -> None:
    """It may come with the first line."""
    missing = str(place / "secure")
    assert about("source", configured(place, log_file=missing)) == [
        (
            WARN,
            f"source: {missing} is missing; the monitor waits for it. Is rsyslog installed and running? "
            "systemctl status rsyslog",
        )
    ]


def test_a_directory_is_no_log(place: Path) -> None:
    """Said with the key to change."""
    assert about("source", configured(place, log_file=str(place))) == [
        (FAIL, f"source: {place}: it is a directory; name the file in monitor.log_file")
    ]


def test_without_a_setting_the_distributions_log_is_looked_for(place: Path) -> None:
    """Whether this machine has one or not, the answer is one line about the source."""
    found = about("source", configured(place, log_file=None))
    assert "\n" not in found[0][1]
    assert found[0][0] in (OK, FAIL)
    assert found[1:] in ([], [FORGED])


def test_a_state_file_of_ours_is_fine(place: Path) -> None:
    """It is read from end to end, and stays as it is."""
    Store(str(place / "state.db")).close()
    before = (place / "state.db").read_bytes()
    ((level, text),) = about("state", configured(place))
    assert (level, text.startswith(f"state: {place}/state.db, ")) == (OK, True)
    assert (place / "state.db").read_bytes() == before


def test_a_state_file_that_is_not_ours_is_refused(place: Path) -> None:
    """With the remedy that a start would tell."""
    (place / "state.db").write_text("This is not a database at all. " * 100)
    ((level, text),) = about("state", configured(place))
    assert level == FAIL
    assert "it is damaged: restore it from a backup, or move it away" in text


def test_a_state_in_directories_to_be_made_is_fine(place: Path) -> None:
    """The first start makes them."""
    path = place / "a" / "b" / "state.db"
    assert about("state", configured(place, state=str(path))) == [
        (OK, f"state: {path} will be made at the first start")
    ]


def test_a_file_on_the_way_to_the_state_is_no_directory(place: Path) -> None:
    """It can't be made below a file."""
    path = place / "auth.log" / "state.db"
    ((level, text),) = about("state", configured(place, state=str(path)))
    assert level == FAIL
    assert "can't be made" in text


@pytest.mark.skipif(not ROOT, reason="needs to become another user")
def test_a_user_without_rights_is_told_which(place: Path) -> None:
    """Log and state, each with what to do."""
    (place / "auth.log").chmod(0o640)
    with nobody():
        found = [finding for finding in look(configured(place)) if finding[0] == FAIL]
    assert [level for level, _ in found] == [FAIL, FAIL]
    assert "auth.log: no permission (owner root, group root, mode 0640; run as root" in found[0][1]
    assert found[1][1] == (
        f"state: {place}/state.db can't be made: this user may not write to {place}; run as root or set `state:`"
    )


@pytest.mark.skipif(not ROOT, reason="needs to become another user")
def test_a_state_that_may_be_read_but_not_written_is_told(place: Path) -> None:
    """The monitor must run as its owner."""
    store = Store(str(place / "state.db"))  # open, so that a reader needs not make the files beside it
    for name in ("state.db", "state.db-shm", "state.db-wal"):
        (place / name).chmod(0o644)
    with nobody():
        found = about("state", configured(place))
    store.close()
    assert found == [
        (FAIL, f"state: {place}/state.db can't be written by this user; run as the user that owns it: root")
    ]
