"""`replay`: the whole left half over files of any packing, touching nothing."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import threading
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.bench import corpus
from usm import cli, config
from usm.core.look import Look
from usm.core.model import FAILED, KINDS, LOGIN, LOGOUT, SEVERITIES, TOLD
from usm.core.policy import Policy
from usm.core.rules import RULES
from usm.errors import SourceError
from usm.judging import Judge
from usm.replay import replay

if TYPE_CHECKING:
    from collections.abc import Sequence

UTC = timezone.utc
NOW = datetime(2026, 12, 31, tzinfo=UTC)
LOGS = Path(__file__).parent / "data" / "logs"
LOG = LOGS / "openssh-9.2-rfc3339.log"
LOGIN_LINE = (
    "2026-11-23T10:05:07.123456+08:00 web01 sshd[125]: Accepted password for alice from 203.0.113.5 port 43867 ssh2\n"
)
LOGOUT_LINE = "2026-11-23T10:10:19+08:00 web01 sshd[127]: Disconnected from user alice 203.0.113.5 port 43867\n"


def lines(
    *files: object, kinds: Sequence[str] = KINDS, form: str = "json", language: str = "zh", now: datetime = NOW
) -> list[str]:
    """Return what replay prints."""
    return list(replay([str(file) for file in files], frozenset(kinds), form, Look(language, UTC), now))


def events(*files: object, kinds: Sequence[str] = KINDS) -> list[dict[str, Any]]:
    """Return the events that replay prints."""
    return [json.loads(line) for line in lines(*files, kinds=kinds)]


def test_an_event_is_one_object_with_every_field(tmp_path: Path) -> None:
    """The promised shapes, literally, with the number of the line that decided."""
    (tmp_path / "auth.log").write_text("noise\n" + LOGIN_LINE + LOGOUT_LINE)
    login, logout = events(tmp_path / "auth.log")
    assert login == {
        "kind": "login",
        "time": "2026-11-23T10:05:07.123456+08:00",
        "host": "web01",
        "service": "sshd",
        "user": "alice",
        "source_ip": "203.0.113.5",
        "source_port": 43867,
        "method": "password",
        "key": None,
        "tty": None,
        "pid": 125,
        "session": login["session"],
        "person": None,
        "comment": None,
        "line": 2,
    }
    assert logout == {
        **login,
        "kind": "logout",
        "time": "2026-11-23T10:10:19+08:00",
        "pid": 127,
        "start": "2026-11-23T10:05:07.123456+08:00",
        "duration": 311.876544,
        "end_reason": "disconnected",
        "until": None,
        "line": 3,
    }


@pytest.mark.parametrize("dress", ["rfc3164", "rfc3339", "rfc5424"])
def test_a_real_log_gives_what_its_golden_says(dress: str) -> None:
    """Every event of a real machine's log, in order, in every dress."""
    golden = [json.loads(line) for line in (LOGS / f"openssh-9.2-{dress}.jsonl").read_text().splitlines()]
    found = events(LOGS / f"openssh-9.2-{dress}.log", kinds=(LOGIN, LOGOUT))
    told = [event for event in golden if event["kind"] in (LOGIN, LOGOUT)]
    assert [{name: event[name] for name in wanted} for event, wanted in zip(found, told)] == told
    assert len(found) == len(told)


def test_the_same_file_gives_the_same_bytes() -> None:
    """Ids are made of what the lines say."""
    assert lines(LOG) == lines(LOG)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_packed_file_is_known_by_its_content(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Whatever the file is called."""
    packed = tmp_path / "auth.log.1"
    packed.write_bytes(pack(LOG.read_bytes()))
    assert lines(packed) == lines(LOG)


def test_a_session_goes_on_in_the_next_file(tmp_path: Path) -> None:
    """Several files are one log; each line is named by its file and number."""
    (tmp_path / "a").write_text(LOGIN_LINE)
    (tmp_path / "b").write_text("noise\n" + LOGOUT_LINE)
    found = events(tmp_path / "a", tmp_path / "b")
    assert [(e["kind"], e["line"], os.path.basename(e["file"])) for e in found] == [
        ("login", 1, "a"),
        ("logout", 2, "b"),
    ]


def test_only_the_wanted_kinds_are_printed() -> None:
    """`kinds` chooses; sessions are paired all the same."""
    assert {event["kind"] for event in events(LOG, kinds=(LOGOUT,))} == {LOGOUT}
    assert {event["kind"] for event in events(LOG, kinds=(FAILED,))} == {FAILED}


def test_the_text_is_the_notification(tmp_path: Path) -> None:
    """`--format text` prints what people would be told, with an empty line behind it."""
    (tmp_path / "auth.log").write_text(LOGIN_LINE)
    (text,) = lines(tmp_path / "auth.log", form="text", language="en")
    assert text.splitlines()[0] == "User login"
    assert "User: alice" in text
    assert text.endswith("\n")
    assert lines(tmp_path / "auth.log", form="text")[0].startswith("用户登录通知\n")


def test_a_file_of_many_rounds_loses_nothing_between_them(tmp_path: Path) -> None:
    """Sessions are written to memory every 20,000 lines; those that span a round are paired."""
    truth = corpus.write(str(tmp_path / "auth.log"), 42_000)
    found = Counter(event["kind"] for event in events(tmp_path / "auth.log"))
    assert (found[LOGIN], found[LOGOUT], found[FAILED]) == (truth.logins, truth.logouts, truth.failures)


@pytest.mark.parametrize("content", [b"", b"\n", b"\0" * 5000, b"x" * 200_000, b"no newline at the end", b"\xff\xfe\n"])
def test_any_content_is_read_to_its_end(tmp_path: Path, content: bytes) -> None:
    """What is no log tells nothing, and is no error."""
    (tmp_path / "auth.log").write_bytes(content)
    assert lines(tmp_path / "auth.log") == []


def test_a_last_line_without_its_end_counts(tmp_path: Path) -> None:
    """A copied file may end in the middle of nothing."""
    (tmp_path / "auth.log").write_text(LOGIN_LINE.rstrip("\n"))
    assert [event["user"] for event in events(tmp_path / "auth.log")] == ["alice"]


def test_standard_input_is_a_file() -> None:
    """`-` reads it, also packed, and a second `-` finds it at its end."""
    saved = os.dup(0)
    try:
        for data in (LOG.read_bytes(), gzip.compress(LOG.read_bytes())):
            read, write = os.pipe()
            writer = threading.Thread(target=feed, args=(write, data))
            writer.start()
            os.dup2(read, 0)
            os.close(read)
            assert lines("-") == lines(LOG)
            writer.join()
            assert lines("-") == []
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def feed(descriptor: int, data: bytes) -> None:
    """Write everything and close."""
    with open(descriptor, "wb") as pipe:
        pipe.write(data)


def test_a_pipe_is_read_from_its_first_byte(tmp_path: Path) -> None:
    """`usm replay <(zcat auth.log.2.gz)`: what a file holds is found out without losing it."""
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: feed(os.open(fifo, os.O_WRONLY), LOG.read_bytes()))
    writer.start()
    found = lines(fifo)
    writer.join()
    assert found == lines(LOG)


@pytest.mark.parametrize(("name", "said"), [("absent", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str, said: str) -> None:
    """The path and the reason."""
    path = str(tmp_path / name)
    with pytest.raises(SourceError) as caught:
        lines(path)
    assert str(caught.value) == f"{path}: {said}"


def cut(packed: bytes) -> bytes:
    """Return it without its end."""
    return packed[: len(packed) // 2]


def spoil(packed: bytes) -> bytes:
    """Return it with wrong bytes in its middle."""
    half = len(packed) // 2
    return packed[:half] + b"\xff\x00" * 16 + packed[half + 32 :]


@pytest.mark.parametrize("damage", [cut, spoil])
@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_damaged_archive_is_told(
    tmp_path: Path, pack: Callable[[bytes], bytes], damage: Callable[[bytes], bytes]
) -> None:
    """A copy that broke off gives what could be read, and then says so."""
    packed = tmp_path / "auth.log.gz"
    packed.write_bytes(damage(pack(LOG.read_bytes())))
    with pytest.raises(SourceError, match=r"auth.log.gz: can't be read further: "):
        lines(packed)


def test_the_year_of_a_file_is_inferred_from_its_age(tmp_path: Path) -> None:
    """RFC 3164 has no year: a file last written in 2021 holds lines of 2021 or before."""
    path = tmp_path / "auth.log"
    path.write_text("Dec 31 23:59:59 web01 sshd[1]: Accepted password for a from 192.0.2.1 port 1 ssh2\n")
    os.utime(path, (1609459200, 1609459200))  # 2021-01-01 00:00:00 UTC
    assert events(path)[0]["time"] == "2020-12-31T23:59:59+00:00"


def test_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is made or changed."""
    (tmp_path / "auth.log").write_text(LOGIN_LINE)
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "auth.log").stat().st_mtime_ns
    lines("auth.log")
    assert os.listdir(tmp_path) == ["auth.log"]
    assert (tmp_path / "auth.log").stat().st_mtime_ns == before


# -- judged


def judged(*files: object, kinds: Sequence[str] = TOLD, form: str = "json") -> list[str]:
    """Return what `replay --judge` prints."""
    names, look = [str(file) for file in files], Look("en", UTC)
    return list(replay(names, frozenset(kinds), form, look, NOW, Judge(Policy(), UTC)))


def abnormal(*files: object, kinds: Sequence[str] = TOLD) -> list[dict[str, Any]]:
    """Return what was judged abnormal."""
    return [json.loads(line) for line in judged(*files, kinds=kinds)]


def test_a_judged_event_is_one_object_with_what_was_found(tmp_path: Path) -> None:
    """The event as everywhere, how grave it is, why, and until when it is learned what is usual."""
    (tmp_path / "auth.log").write_text("noise\n" + LOGIN_LINE + LOGOUT_LINE)
    (found,) = abnormal(tmp_path / "auth.log")
    (event, _) = events(tmp_path / "auth.log")
    more = {"severity": "info", "learning": "2026-11-30T02:05:07.123456+00:00"}
    silence = "- {rule: new-user, user: alice, source: 203.0.113.0/24}"
    finding = {"rule": "new-user", "severity": "info", "facts": {}, "evidence": [], "silence": silence}
    assert found == {**event, **more, "findings": [finding]}


def test_history_goes_on_from_one_file_into_the_next(tmp_path: Path) -> None:
    """Each line is named with its file where there are several; failures are judged too."""
    (tmp_path / "a.log").write_text(LOGIN_LINE)
    failed = "2026-11-23T11:0{}:00+08:00 web01 sshd[9]: Failed password for root from 198.51.100.7 port 7 ssh2\n"
    (tmp_path / "b.log").write_text(
        "".join(failed.format(n) for n in range(10)) + LOGIN_LINE.replace("125", "126").replace("43867", "43868")
    )
    found = abnormal(tmp_path / "a.log", tmp_path / "b.log")
    assert [(one["kind"], one["file"], one["line"], one["findings"][0]["rule"]) for one in found] == [
        ("login", f"{tmp_path}/a.log", 1, "new-user"),
        ("finding", f"{tmp_path}/b.log", 10, "failed-source"),
    ]


def test_what_is_judged_can_be_chosen_and_read(tmp_path: Path) -> None:
    """By kind, and as people read it."""
    (tmp_path / "auth.log").write_text(LOGIN_LINE + LOGOUT_LINE.replace("Disconnected from", "Connection reset by"))
    assert [one["kind"] for one in abnormal(tmp_path / "auth.log", kinds=(LOGOUT,))] == [LOGOUT]
    first, second = judged(tmp_path / "auth.log", form="text")
    assert first.startswith("User login\n")
    assert "Note: first login of a user: this account was never seen to log in here [new-user]\n" in first
    assert second.startswith("User logout (abnormal)\n")


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_a_real_log_can_be_judged(log: Path) -> None:
    """Every line is an event with at least one finding of a known rule, and its own gravest severity."""
    found = abnormal(log)
    assert found
    for one in found:
        assert {finding["rule"] for finding in one["findings"]} <= set(RULES)
        assert one["severity"] == max((f["severity"] for f in one["findings"]), key=SEVERITIES.index)
        assert one["line"] >= 1


def test_every_dress_of_a_log_is_judged_the_same() -> None:
    """What was found does not depend on how the stamps are written."""
    dresses = [abnormal(LOGS / f"openssh-9.2-{dress}.log") for dress in ("rfc3164", "rfc3339", "rfc5424")]
    rules = [[[f["rule"] for f in one["findings"]] for one in found] for found in dresses]
    assert rules[0] == rules[1] == rules[2]


def test_the_command_judges_as_it_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And writes nothing beside it."""
    monkeypatch.setattr(config, "DEFAULT_PATH", str(tmp_path / "none.yaml"))
    (tmp_path / "auth.log").write_text(LOGIN_LINE)
    (tmp_path / "config.yaml").write_text(f"state: {tmp_path}/state.db\njudge: {{allow: [10.0.0.0/8]}}\n")
    call = ["-c", str(tmp_path / "config.yaml"), "replay", "--judge", str(tmp_path / "auth.log")]
    assert cli.main(call) == 0
    found = json.loads(capsys.readouterr().out)
    assert [f["rule"] for f in found["findings"]] == ["new-user", "not-allowed"]
    assert not (tmp_path / "state.db").exists()
    (tmp_path / "config.yaml").write_text(f"judge: {{places: [{tmp_path}/none.mmdb]}}\n")
    assert cli.main(call) == 78
    assert "judge.places" in capsys.readouterr().err
