"""The command: verbs, exit codes, what is said where; and that no secret is ever shown."""

from __future__ import annotations

import fcntl
import gc
import gzip
import json
import logging
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Union

import pytest

import usm
from tests.fakes.feishu import FakeFeishu
from tests.support import slots
from usm import cli, clock, config
from usm.core.alert import alert_for
from usm.core.message import DEAD
from usm.core.model import LOGIN, Event, Host, Session
from usm.instance import hold
from usm.outbox import Outbox
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

UTC = timezone.utc
REPOSITORY = Path(__file__).parent.parent
LOG = REPOSITORY / "tests" / "data" / "logs" / "openssh-9.2-rfc3339.log"
NOW = datetime(2026, 11, 23, 2, 5, 7, tzinfo=UTC)
ALICE = Session("00c0ffee00c0ffee", "web01", "sshd", "alice", "203.0.113.5", 43867, "password", None, None, 125, NOW)
LOGIN_LINE = "2026-11-23T10:05:07+08:00 web01 sshd[{0}]: Accepted password for alice from 203.0.113.5 port {0} ssh2\n"
TOKEN, SECRET = "6f1a2b3c-token", "S3CRET-signing-key"
ROOT = os.geteuid() == 0
NOT_RUNNING = "monitor: not running; start it with: systemctl start user-session-monitor, or: usm start"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let no test read this machine's configuration, and undo what a command changes in its process."""
    for name in ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(config, "DEFAULT_PATH", str(tmp_path / "etc" / "config.yaml"))
    root = logging.getLogger()
    handlers, level, signals = list(root.handlers), root.level, {n: signal.getsignal(n) for n in (15, 2)}
    thresholds = gc.get_threshold()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for number, handler in signals.items():
        signal.signal(number, handler)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process; it gives exit code, output and errors."""

    def runner(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        out, err = capsys.readouterr()
        assert TOKEN not in out + err
        assert SECRET not in out + err
        return code, out, err

    return runner


@pytest.fixture
def feishu() -> Iterator[FakeFeishu]:
    """Return a service that demands signed messages."""
    with FakeFeishu(token=TOKEN, secret=SECRET) as service:
        yield service


def configure(place: Path, *services: FakeFeishu, more: str = "") -> Path:
    """Write a configuration with these services, the log and the state in `place`; return its path."""
    text = f"monitor: {{log_file: {place}/auth.log}}\nstate: {place}/state.db\n{more}"
    if services:
        text += "notify:\n"
    for number, service in enumerate(services):
        name = "feishu" if not number else f"other{number}"
        text += f"  {name}: {{type: feishu, webhook_url: '{service.url}', secret: {SECRET}, rate: []}}\n"
    path = place / "config.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """Return the path of a configuration without channels, with an empty log and no state."""
    (tmp_path / "auth.log").touch()
    return configure(tmp_path)


def fill(path: Path, *, dead: bool = False) -> None:
    """Make a state file with one open and one closed session, and two messages."""
    store = Store(str(path))
    with store.transaction() as tx:
        tx.put(ALICE)
        tx.put(ALICE._replace(id="00c0ffee00c0fff0", user="bob", leader=7, source_port=7, end=NOW, end_reason="reset"))
        for user in ("alice", "王小明"):
            alert = alert_for(Event(LOGIN, NOW, "web01", "sshd", user, "203.0.113.5"), Host("web01"))
            assert alert is not None
            tx.enqueue(alert, slots(NOW, "feishu"), NOW)
    if dead:
        first = Outbox(store).deliveries()[0]
        Outbox(store).settle(first._replace(state=DEAD, attempts=5, code="19002", detail="not understood"), NOW)
    store.close()


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


# -- the command line


def test_the_version_is_told(run: Run) -> None:
    """By the long name of the command."""
    assert run("--version") == (0, f"user-session-monitor {usm.__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--fast"], ["replay"], ["outbox", "5"], ["sessions", "x"]])
def test_a_wrong_call_is_2(run: Run, arguments: list[str]) -> None:
    """With the usage on standard error."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: usm")


def test_help_names_every_verb(run: Run) -> None:
    """And each verb has a help of its own."""
    code, out, _ = run("--help")
    assert code == 0
    for verb in ("run", "demo", "replay", "check", "test", "sessions", "outbox"):
        assert f"\n    {verb} " in out
        assert run(verb, "--help")[0] == 0


def test_the_configuration_may_stand_before_and_behind_the_verb(run: Run, ready: Path) -> None:
    """The one behind the verb counts, and its absence does not undo the other."""
    for arguments in (["-c", ready, "check"], ["check", "-c", ready], ["--config", "/no", "check", "--config", ready]):
        code, out, _ = run(*arguments)
        assert (code, out.splitlines()[0]) == (0, f"ok    configuration: {ready}")


@pytest.mark.parametrize(
    "verb", [["run"], ["check"], ["test"], ["sessions"], ["outbox"], ["outbox", "retry"], ["demo"]]
)
def test_a_bad_configuration_is_78(run: Run, tmp_path: Path, verb: list[str]) -> None:
    """Every problem on a line of its own, on standard error, and no secret."""
    path = tmp_path / "bad.yaml"
    path.write_text(f"langauge: zh\nnotify: {{feishu: {{webhook_url: 'ftp://x/{TOKEN}', secret: '{SECRET} x'}}}}\n")
    code, out, err = run("-c", path, *verb)
    assert (code, out) == (78, "")
    assert [line.split(":")[:3] for line in err.splitlines()] == [
        ["usm", " configuration", f" {path}"],
        ["usm", " configuration", f" {path}"],
        ["usm", " configuration", f" {path}"],
    ]


def test_warnings_of_the_configuration_are_told_at_the_start(run: Run) -> None:
    """Keys of the older tool are named."""
    old = REPOSITORY / "tests" / "data" / "config" / "old-notify.yaml"
    _, _, err = run("-c", old, "demo", "--fast")
    assert "W " in err
    assert "monitor.heartbeat: belongs to the older tool's hardware monitors" in err


# -- replay


def test_replay_prints_one_object_for_each_event(run: Run, tmp_path: Path) -> None:
    """The same for a packed file, and for several, which are named."""
    packed = tmp_path / "auth.log.2.gz"
    packed.write_bytes(gzip.compress(LOG.read_bytes()))
    code, out, err = run("replay", LOG)
    assert (code, err) == (0, "")
    assert run("replay", packed) == (0, out, "")
    first = json.loads(out.splitlines()[0])
    assert "file" not in first
    _, both, _ = run("replay", LOG, packed)
    assert {json.loads(line)["file"] for line in both.splitlines()} == {str(LOG), str(packed)}


def test_replay_chooses_kinds(run: Run) -> None:
    """`--kind` takes several; a kind that is none is a wrong call."""
    _, out, _ = run("replay", "--kind", "login,logout", LOG)
    assert {json.loads(line)["kind"] for line in out.splitlines()} == {"login", "logout"}
    code, out, err = run("replay", "--kind", "logon", LOG)
    assert (code, out, err) == (
        2,
        "",
        "usm: --kind takes login, logout, failed, privilege, finding, with commas between them\n",
    )


def test_replay_as_text(run: Run) -> None:
    """What people would be told, in either language."""
    assert run("replay", "--format", "text", LOG)[1].startswith("用户登录通知\n")
    assert run("replay", "--format", "text", "--language", "en", LOG)[1].startswith("User login\n")


def test_replay_of_what_is_no_file_fails(run: Run, tmp_path: Path) -> None:
    """What came before it is printed."""
    code, out, err = run("replay", LOG, tmp_path / "absent")
    assert (code, err) == (1, f"usm: {tmp_path}/absent: No such file or directory\n")
    assert out
    assert run("replay", tmp_path) == (1, "", f"usm: {tmp_path}: Is a directory\n")


# -- sessions and outbox


def test_sessions_before_the_first_start(run: Run, ready: Path) -> None:
    """That nobody is on is not claimed without a hint."""
    hint = f"usm: there is no state file {ready.parent}/state.db yet: has the monitor been started?\n"
    assert run("-c", ready, "sessions") == (0, "nobody is on\n", hint)
    assert run("-c", ready, "sessions", "--format", "json") == (0, "", hint)
    assert run("-c", ready, "outbox") == (0, "nothing waits: every message was delivered\n", hint)
    assert run("-c", ready, "outbox", "retry") == (1, "", f"usm: there is no state file {ready.parent}/state.db yet\n")


def test_sessions_that_are_open_and_all(run: Run, ready: Path) -> None:
    """A table, or one object a line."""
    fill(ready.parent / "state.db")
    code, out, err = run("-c", ready, "sessions")
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [["USER", "FROM"], ["alice", "203.0.113.5"]]
    assert len(run("-c", ready, "sessions", "--all")[1].splitlines()) == 3
    _, out, _ = run("-c", ready, "sessions", "--all", "--format", "json")
    assert [(s["user"], s["end_reason"]) for s in map(json.loads, out.splitlines())] == [
        ("alice", None),
        ("bob", "reset"),
    ]


def test_the_outbox_is_listed(run: Run, ready: Path) -> None:
    """What waits and what was given up, with the reason."""
    fill(ready.parent / "state.db", dead=True)
    for arguments in (["outbox"], ["outbox", "list"]):
        code, out, _ = run("-c", ready, *arguments)
        assert code == 0
        assert [line.split()[:2] for line in out.splitlines()] == [["ID", "STATE"], ["1", "dead"], ["2", "pending"]]
        assert "19002: not understood" in out
    _, out, _ = run("-c", ready, "outbox", "--format", "json")
    assert [(d["id"], d["state"], d["user"]) for d in map(json.loads, out.splitlines())] == [
        (1, "dead", "alice"),
        (2, "pending", "王小明"),
    ]


def test_the_outbox_lists_the_states_that_are_asked_for(run: Run, ready: Path) -> None:
    """A state that there is not is a mistake, and says which there are."""
    fill(ready.parent / "state.db", dead=True)
    code, out, _ = run("-c", ready, "outbox", "--state", "sent,pending")
    assert (code, [line.split()[1] for line in out.splitlines()[1:]]) == (0, ["pending"])
    assert run("-c", ready, "outbox", "--state", "suppressed")[:2] == (0, "none\n")
    code, _, err = run("-c", ready, "outbox", "--state", "lost")
    assert (code, err) == (
        2,
        "usm: --state takes waiting, pending, sent, dead, grouped, suppressed, with commas between them\n",
    )


def test_how_the_monitor_does(run: Run, ready: Path) -> None:
    """Also where it does not run: then the exit code is 1; without a state file there is nothing to tell."""
    assert run("-c", ready, "status")[0] == 1
    path = ready.parent / "state.db"
    fill(path, dead=True)
    code, out, _ = run("-c", ready, "status")
    assert (code, out.splitlines()[0], out.splitlines()[2]) == (1, NOT_RUNNING, "sessions open: 1")
    assert out.splitlines()[5].split()[:6] == ["feishu", "works", "0", "1", "0", "1"]
    lock = hold(str(path))
    code, out, _ = run("-c", ready, "status", "--format", "json")
    assert (code, json.loads(out)["running"]) == (0, True)
    os.close(lock)


def test_messages_are_tried_again_or_forgotten(run: Run, ready: Path) -> None:
    """All, or those named; an id that is no message's is a failure."""
    fill(ready.parent / "state.db", dead=True)
    assert run("-c", ready, "outbox", "retry") == (0, "messages to be tried again: 2\n", "")
    assert run("-c", ready, "outbox", "retry", 1) == (0, "messages to be tried again: 1\n", "")
    assert run("-c", ready, "outbox", "retry", 99, 10**30) == (1, "messages to be tried again: 0\n", "")
    code, _, err = run("-c", ready, "outbox", "drop")
    assert (code, err) == (2, "usm: outbox drop needs the ids of the messages to forget (see: usm outbox)\n")
    assert run("-c", ready, "outbox", "drop", 1) == (0, "messages forgotten: 1\n", "")
    assert run("-c", ready, "outbox", "drop", 1) == (1, "messages forgotten: 0\n", "")
    assert run("-c", ready, "outbox", "drop", 2)[0] == 0
    assert run("-c", ready, "outbox", "retry") == (0, "messages to be tried again: 0\n", "")
    assert run("-c", ready, "outbox")[1] == "nothing waits: every message was delivered\n"


@pytest.mark.parametrize("verb", [["sessions"], ["outbox"], ["outbox", "retry"], ["run"]])
def test_a_state_that_is_no_state_is_told(run: Run, ready: Path, verb: list[str]) -> None:
    """One line, and exit code 1."""
    (ready.parent / "state.db").write_text("This is not a database. " * 100)
    code, out, err = run("-c", ready, *verb)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "it is damaged: restore it from a backup" in err


@pytest.mark.skipif(not ROOT, reason="needs to become another user")
def test_a_state_that_may_not_be_seen_is_not_taken_for_none(run: Run) -> None:
    """Where the directory of the state is closed, nobody is told that nobody is on."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "closed").mkdir(mode=0o750)
        fill(place / "closed" / "state.db")
        path = place / "config.yaml"
        path.write_text(f"state: {place}/closed/state.db\n")
        with nobody():
            code, out, err = run("-c", path, "sessions")
    assert (code, out) == (1, "")
    assert "check that its directory exists and that this user may" in err


# -- check and test


def test_check_says_what_is_there(run: Run, ready: Path) -> None:
    """Exit code 1 only where something can't work."""
    code, out, err = run("-c", ready, "check")
    assert (code, err) == (0, "")
    topics = {line.split()[1]: line.split()[0] for line in out.splitlines()}
    assert {"configuration:": "ok", "source:": "warn", "log:": "warn", "state:": "ok", "monitor:": "warn"}.items() <= (
        topics.items()
    )
    (ready.parent / "state.db").mkdir()
    assert run("-c", ready, "check")[0] == 1


def test_a_test_message_is_sent(run: Run, tmp_path: Path, feishu: FakeFeishu) -> None:
    """It is marked, goes through the channel as configured, and the answer is explained."""
    path = configure(tmp_path, feishu)
    assert run("-c", path, "test") == (0, "feishu: sent, the service took the message\n", TEST_WARNING.format(path))
    assert feishu.texts()[0].startswith("【测试消息】用户登录通知\n")


TEST_WARNING = "W {}: notify.feishu: webhook_url: sends to 127.0.0.1, which is not Feishu's or Lark's own host\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (19001, "NOT sent: 19001: no such robot"),
        (19002, "NOT sent: 19002: Feishu did not understand the message"),
        (19021, "NOT sent: 19021: signature refused: check `secret`, and this server's clock"),
        (19022, "NOT sent: 19022: address refused: add this server's public address"),
        (19024, "NOT sent: 19024: keyword missing: set `keyword`"),
        (11232, "NOT sent: 11232: Feishu limits how fast"),
        (500, "NOT sent: http-5xx: Feishu, or a proxy on the way, has an internal error"),
        (404, "NOT sent: http-4xx: the answer is not Feishu's"),
        (200, "NOT sent: not-feishu: the answer is not Feishu's"),
        (777777, "NOT sent: 777777: Feishu refused the message: something else"),
        ("empty", "NOT sent: empty: the answer was empty"),
        ("redirect", "NOT sent: redirect: redirects are not followed: check the URL"),
        ("reset", "NOT sent: unreachable: connection reset"),
    ],
)
def test_each_answer_is_explained(
    run: Run, tmp_path: Path, feishu: FakeFeishu, answer: Union[int, str], said: str
) -> None:
    """One line with the code and what to change; exit code 1; no secret (see `run`)."""
    feishu.script.append(answer)
    code, out, _ = run("-c", configure(tmp_path, feishu), "test")
    assert code == 1
    assert out.startswith(f"feishu: {said}")
    assert out.count("\n") == 1


def test_a_refused_card_is_tried_as_text(run: Run, tmp_path: Path, feishu: FakeFeishu) -> None:
    """The operator hears of the detour."""
    feishu.script.append(11246)
    code, out, err = run("-c", configure(tmp_path, feishu), "test")
    assert (code, out) == (0, "feishu: sent, the service took the message\n")
    assert "usm: feishu: 11246: Feishu refused the card; the message is sent again as text; sending it as plain" in err
    assert feishu.messages[0]["msg_type"] == "text"


def test_a_service_that_is_away_is_told(run: Run, tmp_path: Path) -> None:
    """Without the URL."""
    gone = FakeFeishu(token=TOKEN)
    path = configure(tmp_path, gone)
    gone.close()
    code, out, _ = run("-c", path, "test")
    assert (code, out) == (1, "feishu: NOT sent: unreachable: connection refused\n")


def test_one_channel_may_be_tested(run: Run, tmp_path: Path, feishu: FakeFeishu) -> None:
    """Or all; one that fails makes the command fail."""
    with FakeFeishu(token=TOKEN, secret="another") as other:
        path = configure(tmp_path, feishu, other)
        assert run("-c", path, "test", "feishu")[0] == 0
        assert (len(feishu.messages), len(other.attempts)) == (1, 0)
        code, out, _ = run("-c", path, "test")
        assert code == 1
        assert [line.split(":")[1] for line in out.splitlines()] == [" sent, the service took the message", " NOT sent"]
        code, out, err = run("-c", path, "test", "telegram")
        assert (code, out) == (1, "")
        assert err.endswith("usm: no channel is called telegram; there are: feishu, other1\n")


def test_a_test_without_channels_says_how_to_add_one(run: Run, ready: Path) -> None:
    """What to write, and where."""
    code, out, err = run("-c", ready, "test")
    assert (code, out) == (1, "")
    assert f"put this into {ready}:\n  notify:\n    feishu:\n      webhook_url: https://" in err
    assert "there are: none" in run("-c", ready, "test", "x")[2]


# -- run


def stopping(monitored: Path, until: Callable[[], object]) -> threading.Thread:
    """Return a started thread that writes a login once the monitor watches, and ends it when `until` returned."""

    def act() -> None:
        try:
            with open(monitored, "a") as log:
                log.write(LOGIN_LINE.format(4001))
            until()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def settle(place: Path) -> None:
    """Pretend that the log was watched until now, from its beginning: so no line can come too early."""
    store = Store(str(place / "state.db"))
    path = f"{place}/auth.log"
    beginning = json.dumps({"path": path, "read_at": 0, "files": []})
    with store.transaction() as tx:
        tx.checkpoint(f"file:{path}", beginning, clock.now())
    store.close()


def test_a_login_becomes_a_message_and_sigterm_ends_with_0(run: Run, tmp_path: Path, feishu: FakeFeishu) -> None:
    """From the line in the log to the group, and out in order."""
    (tmp_path / "auth.log").touch()
    path = configure(tmp_path, feishu)
    settle(tmp_path)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # should the monitor fail before it waits for it
    thread = stopping(tmp_path / "auth.log", lambda: feishu.wait_for(1))
    try:
        code, _, err = run("-c", path, "run")
    finally:
        thread.join()
    assert code == 0
    assert f"I watching file:{tmp_path}/auth.log (as configured), state in {tmp_path}/state.db\n" in err
    assert feishu.texts()[0].startswith("用户登录通知\n")
    assert run("-c", path, "outbox")[1] == "nothing waits: every message was delivered\n"
    assert "alice" in run("-c", path, "sessions")[1]


def test_what_cannot_be_watched_is_told(run: Run, tmp_path: Path) -> None:
    """A directory in place of the log; and with --or-demo the recorded day comes instead."""
    (tmp_path / "auth.log").mkdir()
    path = configure(tmp_path)
    said = f"{tmp_path}/auth.log: it is a directory; name the file in monitor.log_file"
    assert run("-c", path, "run") == (1, "", f"usm: {said}\n")


def test_without_a_log_the_recorded_day_is_played(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run --or-demo` says why."""
    (tmp_path / "auth.log").mkdir()
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    code, out, err = run("-c", configure(tmp_path), "run", "--or-demo")
    assert code == 0
    assert "用户登录通知" in out
    assert err.startswith(f"usm: there is nothing to watch here: {tmp_path}/auth.log: it is a directory;")


def test_the_demo_needs_no_configuration(run: Run) -> None:
    """It reads none, writes none."""
    code, out, err = run("demo", "--fast")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("The day had ")


@pytest.mark.parametrize("to", ["/dev/full", "closed pipe"])
def test_an_output_that_is_gone_or_full_ends_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """A reader that went away is no error, a full disk is; both in this process."""
    if to == "closed pipe":
        read, write = os.pipe()
        os.close(read)
        target = open(write, "w")  # noqa: SIM115 - closed below
    else:
        target = open(to, "w")  # noqa: SIM115 - as above
    monkeypatch.setattr(sys, "stdout", target)
    code = cli.main(["replay", str(LOG)])
    target.close()
    full = (1, "usm: the output could not be written: No space left on device\n")
    assert (code, capsys.readouterr().err) == (full if to == "/dev/full" else (0, ""))


def test_an_interrupted_command_fails_in_silence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of the demo."""

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == ""


def test_without_a_channel_the_monitor_says_how_to_add_one(run: Run, ready: Path) -> None:
    """And prints the messages itself, until it is stopped."""
    settle(ready.parent)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # should the monitor fail before it waits for it
    committed = threading.Event()

    def watch() -> None:
        reader = Store(str(ready.parent / "state.db"), readonly=True)
        while not (reader.sessions() or committed.wait(0.01)):
            pass

    thread = stopping(ready.parent / "auth.log", watch)
    try:
        code, _, err = run("-c", ready, "run")
    finally:
        committed.set()
        thread.join()
    assert code == 0
    assert (
        f"no channel is configured, so messages are printed here. To tell a Feishu group, put this into {ready}" in err
    )


# -- as a process


def usm_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401 - any options
    """Run the command as users do."""
    call = [sys.executable, "-m", "usm", *map(str, arguments)]
    plain = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": REPOSITORY, "timeout": 60}
    return subprocess.run(call, check=False, **{**plain, **options})


def test_a_closed_pipe_is_no_error() -> None:
    """`usm replay ... | head -1` ends in silence."""
    call = f"{sys.executable} -m usm replay {LOG} {LOG} {LOG} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, cwd=REPOSITORY, timeout=60, check=False)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_output_that_cannot_be_written_is_told() -> None:
    """A full disk behind the redirection, in one line."""
    with open("/dev/full", "w") as full:
        done = usm_process("replay", LOG, stdout=full)
    assert (done.returncode, done.stderr) == (1, "usm: the output could not be written: No space left on device\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_without_the_letters_is_no_error(encoding: str) -> None:
    """Letters that it lacks are written as their numbers."""
    done = usm_process(
        "replay", "--format", "text", LOG, env={**os.environ, "PYTHONIOENCODING": encoding}, encoding=encoding
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("用户" if encoding == "utf-8" else "\\u7528\\u6237")


def test_standard_input_as_a_process() -> None:
    """`usm replay -`."""
    with open(LOG, "rb") as log:
        done = usm_process("replay", "-", stdin=log)
    assert (done.returncode, done.stdout) == (0, usm_process("replay", LOG).stdout)


def test_exit_codes_of_the_process(tmp_path: Path) -> None:
    """0, 1, 2 and 78 reach the shell."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [")
    codes = [usm_process(*call).returncode for call in (["--version"], ["replay", "/no"], ["fly"], ["-c", bad, "run"])]
    assert codes == [0, 1, 2, 78]


def _waits(pid: int, pipe: BinaryIO) -> bool:
    """Tell whether a process has read all that is in the pipe, and sleeps."""
    unread = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
    return unread == 0 and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    """Also one that waits for its input."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    call = [sys.executable, "-m", "usm", "replay", str(fifo)]
    piped = subprocess.Popen(
        call,
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A shell gives its background jobs an ignored SIGINT, and they hand it on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread runs here
    )
    with piped as process, open(fifo, "wb") as log:  # opens when the command does
        log.write(b"x\n")
        log.flush()
        deadline = time.monotonic() + 30
        while not _waits(process.pid, log) and time.monotonic() < deadline:
            time.sleep(0.01)  # a signal between two looks at it would be kept until there is more to read
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (1, b"", b"")


@pytest.mark.skipif(not ROOT, reason="needs to become another user")
def test_a_log_that_may_not_be_read_is_told(run: Run) -> None:
    """With the group that would help; the state is not touched."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o777)
        (place / "auth.log").touch(mode=0o640)
        shutil.chown(place / "auth.log", "root", "adm")
        path = configure(place)
        with nobody():
            code, out, err = run("-c", path, "run")
        left = sorted(os.listdir(place))
    assert (code, out) == (1, "")
    assert err == f"usm: {place}/auth.log: no permission (owner root, group adm, mode 0640; {GROUP})\n"
    assert "auth.log" in left


JOIN = "usermod -aG adm nobody, then start it anew (systemctl restart user-session-monitor)"
GROUP = f"add this user to group adm: {JOIN}; or run as root"


@pytest.mark.skipif(not ROOT, reason="needs to become another user")
def test_a_state_that_may_not_be_written_is_told(run: Run) -> None:
    """By a user who has no place for it."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "auth.log").touch()
        path = configure(place)
        with nobody():
            code, out, err = run("-c", path, "run")
    assert (code, out) == (1, "")
    assert err == (
        f"usm: state file {place}/state.db: Permission denied; run as its owner, or set `state:` to a place of this "
        "user's\n"
    )
