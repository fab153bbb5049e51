"""The journal source: against this machine's journalctl and real journal files, and against one that misbehaves."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import pytest

from tests.support import needed
from usm.errors import SourceError
from usm.sources import journal
from usm.sources.journal import JournalSource, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from usm.core.model import Batch
    from usm.sources import Source

FAKE = Path(__file__).resolve().parent.parent / "fakes" / "journalctl.py"
REMOTE = "/lib/systemd/systemd-journal-remote"
MACHINE, OTHER = "fedcba9876543210fedcba9876543210", "0123456789abcdef0123456789abcdef"
START = 1_790_000_000_000_000  # 2026-09-21T14:13:20 UTC
SECOND = 10**6
SSHD = ("sshd", "sshd-session")


def numbers(data: bytes) -> list[int]:
    """Return the numbers in the messages of records."""
    assert data.endswith(b"\n") or not data
    return [int(json.loads(line)["MESSAGE"].split()[1]) for line in data.splitlines()]


def batch(source: JournalSource) -> Batch:
    """Return the next batch: it comes."""
    found = source.read(20)
    assert found is not None
    return found


def collect(source: JournalSource, until: int) -> list[int]:
    """Read until a record has come, and return the numbers of all."""
    found: list[int] = []
    while until not in found:
        found += numbers(batch(source).data)
    return found


def until_told(source: JournalSource, caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Read, with nothing coming, until something was logged."""
    for _ in range(2000):
        if text in caplog.text:
            return
        assert source.read(0.01) is None
    pytest.fail(f"not told: {text}")


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Be on the machine of the made-up records, and do not wait long between children."""
    caplog.set_level(logging.WARNING)
    (tmp_path / "machine-id").write_text(f"{MACHINE}\n")
    monkeypatch.setattr(journal, "MACHINE_ID", str(tmp_path / "machine-id"))
    monkeypatch.setattr(journal, "FIRST_PAUSE", 0.001)


class Journal:
    """A journal that a test writes, and the sources that read it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self._open: list[JournalSource] = []

    def source(self, cursor: Optional[str] = None, **options: Any) -> JournalSource:  # noqa: ANN401 - the source's
        """Begin to read."""
        self._open.append(JournalSource(SSHD, cursor, command=self.command(), **options))
        return self._open[-1]

    def close(self) -> None:
        """End all reading."""
        for source in self._open:
            source.close()

    def command(self) -> tuple[str, ...]:
        """Return what is run in place of journalctl."""
        raise NotImplementedError


class Real(Journal):
    """Real journal files, written by systemd's own tool."""

    def command(self) -> tuple[str, ...]:
        """Run this machine's journalctl."""
        return ("journalctl", f"--directory={self.directory}")

    def write(self, name: str, which: range, **fields: object) -> None:
        """Write a file of records, one a second."""
        text = ""
        for number in which:
            record = {
                "__REALTIME_TIMESTAMP": START + number * SECOND,
                "__MONOTONIC_TIMESTAMP": (number % 20 + 1) * SECOND,
                "_BOOT_ID": f"{number // 20 + 1:032x}",  # a reboot every 20 seconds
                "_MACHINE_ID": MACHINE,
                "SYSLOG_IDENTIFIER": "sshd",
                "MESSAGE": f"line {number}",
                **fields,
            }
            text += "".join(f"{key}={value}\n" for key, value in record.items()) + "\n"
        command = [REMOTE, "--split-mode=none", "-o", str(self.directory / name), "-"]
        subprocess.run(command, input=text.encode(), stderr=subprocess.DEVNULL, check=True)


class Fake(Journal):
    """A journalctl that does what the test plans."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        (directory / "records").touch()

    def command(self) -> tuple[str, ...]:
        """Run the fake."""
        return (sys.executable, "-I", "-S", str(FAKE), str(self.directory))

    def write(self, which: range, *, size: int = 0) -> None:
        """Append records, one a second."""
        with (self.directory / "records").open("ab") as file:
            for number in which:
                message = f"line {number} " + 'a "__CURSOR":"forged"' * (size // 20)
                record = {"MESSAGE": message, "__CURSOR": self.cursor(number), "__REALTIME_TIMESTAMP": self.at(number)}
                if number % 2:  # the order differs between versions, and from record to record
                    record = dict(reversed(record.items()))
                file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")

    @staticmethod
    def at(number: int) -> str:
        """Return a record's time."""
        return str(START + number * SECOND)

    @staticmethod
    def cursor(number: int) -> str:
        """Return a record's cursor."""
        return f"s=1;t={START + number * SECOND:x}"

    def position(self, number: int) -> str:
        """Return the position behind a record."""
        return json.dumps({"cursor": self.cursor(number), "time": int(self.at(number))}, separators=(",", ":"))

    def plan(self, *runs: dict[str, object]) -> None:
        """Say what the next children do."""
        (self.directory / "plan").write_text("".join(json.dumps(run) + "\n" for run in runs))

    def runs(self) -> list[list[str]]:
        """Return the arguments of all children so far."""
        return [json.loads(line) for line in (self.directory / "runs").read_text().splitlines()]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    """An empty journal for the real journalctl."""
    needed("" if os.path.exists(REMOTE) and shutil.which("journalctl") else "no systemd-journal-remote here")
    made = Real(tmp_path / "journal")
    yield made
    made.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    """An empty journal for the fake one."""
    made = Fake(tmp_path / "journal")
    yield made
    made.close()


# -- the real journalctl


def test_all_is_read_and_then_followed(real: Real) -> None:
    """Across reboots and files, from the beginning on, and what another machine sent is left out."""
    real.write("a.journal", range(35))
    real.write("b.journal", range(35, 60))
    real.write("c.journal", range(60), _MACHINE_ID=OTHER)
    source = real.source(since=0)
    assert collect(source, 59) == list(range(60))
    real.write("d.journal", range(60, 62))
    assert collect(source, 61) == [60, 61]


def test_at_the_end_the_rest_is_read_without_notice(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child has not heard of yet, once; the place behind it is that of the next start."""
    real.write("a.journal", range(35))
    source = real.source(since=0)
    assert collect(source, 34) == list(range(35))
    assert source._child is not None
    os.kill(source._child._process.pid, signal.SIGSTOP)  # it hears of nothing any more
    real.write("b.journal", range(35, 40))
    rest = source.rest()
    assert rest is not None
    assert (numbers(rest.data), rest.cursor) == (list(range(35, 40)), source.position())
    assert source.rest() is None  # there is no more
    real.write("c.journal", range(40, 42))
    assert collect(real.source(rest.cursor), 41) == [40, 41]

    silent = real.source(rest.cursor)
    assert collect(silent, 41) == [40, 41]
    monkeypatch.setattr(silent, "_command", ("false",))
    assert silent.rest() is None  # the next start reads it
    assert real.source(rest.cursor).rest() is None  # nobody knows yet that the place is still there


def test_only_the_named_programs_and_the_end_of_units(real: Real) -> None:
    """A line of anybody else is not even sent to us."""
    real.write("a.journal", range(1), SYSLOG_IDENTIFIER="cron")
    real.write("b.journal", range(1, 2), SYSLOG_IDENTIFIER="sshd-session")
    real.write("c.journal", range(2, 3), SYSLOG_IDENTIFIER="systemd", _PID=1, MESSAGE_ID=journal.STOPPING[1][11:])
    real.write("d.journal", range(3, 4), SYSLOG_IDENTIFIER="systemd", _PID=2, MESSAGE_ID=journal.STOPPING[1][11:])
    real.write("e.journal", range(4, 5), SYSLOG_IDENTIFIER="systemd", _PID=1, UNIT="ssh.service")
    real.write("f.journal", range(5, 6))
    assert collect(real.source(since=0), 5) == [1, 2, 5]


def test_a_record_is_as_journalctl_wrote_it(real: Real) -> None:
    """With the fields that are asked for and no others, and long messages whole."""
    real.write("a.journal", range(1), MESSAGE="line 0 " + "x" * 5000, _UID=0, _CMDLINE="sshd: secret", LEADER=7)
    record = json.loads(batch(real.source(since=0)).data)
    assert record["MESSAGE"] == "line 0 " + "x" * 5000
    assert (record["_UID"], record["LEADER"], record["_MACHINE_ID"]) == ("0", "7", MACHINE)
    assert record["__REALTIME_TIMESTAMP"] == str(START)
    assert {"__CURSOR", "_BOOT_ID"} <= record.keys()
    assert "_CMDLINE" not in record


def test_it_resumes_after_every_record(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    """In rotated files and in earlier boots too."""
    for number in range(4):
        real.write(f"{number}.journal", range(number * 12, number * 12 + 12))
    lines = batch_lines(real.source(since=0), 48)
    for number in range(0, 47, 5):
        mark = journal.Mark.of(lines[number])
        assert mark is not None
        source = real.source(json.dumps(mark._asdict()))
        assert collect(source, 47) == list(range(number + 1, 48))
        source.close()
    assert caplog.text == ""


def batch_lines(source: JournalSource, count: int) -> list[bytes]:
    """Read so many records."""
    lines: list[bytes] = []
    while len(lines) < count:
        lines += batch(source).data.splitlines()
    return lines


def test_without_a_cursor_it_begins_at_the_end(real: Real) -> None:
    """The end is that of all programs: the newest record need not be ours. The position says so before any record."""
    real.write("a.journal", range(5))
    real.write("b.journal", range(5, 9), SYSLOG_IDENTIFIER="cron")
    source = real.source()
    assert json.loads(source.position()) == {"cursor": None, "time": START + 8 * SECOND}
    real.write("c.journal", range(9, 11))
    again = real.source(source.position())
    assert collect(source, 10) == collect(again, 10) == [9, 10]


def test_an_empty_journal_is_read_from_its_beginning(real: Real) -> None:
    """All that comes is new."""
    source = real.source()
    assert json.loads(source.position()) == {"cursor": None, "time": 0}
    real.write("a.journal", range(3))
    assert collect(source, 2) == [0, 1, 2]


@pytest.mark.parametrize(("shift", "first"), [(0, 3), (-1, 2), (1, 3), (SECOND - 1, 3), (SECOND, 4)])
def test_since_is_exact_to_the_microsecond(real: Real, shift: int, first: int) -> None:
    """What is newer is read."""
    real.write("a.journal", range(6))
    assert collect(real.source(since=START + 2 * SECOND + shift), 5) == list(range(first, 6))


def test_history_of_processes(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    """What they wrote since a time, as our programs, also what was read; in an earlier boot too."""
    for number in range(6):
        real.write(f"{number}.journal", range(number * 5, number * 5 + 5), _PID=number % 3)
    real.write("cron.journal", range(30, 35), _PID=1, SYSLOG_IDENTIFIER="cron")
    source = real.source()
    since = datetime.fromtimestamp(START // SECOND + 6, timezone.utc)
    assert numbers(b"\n".join([*source.history([1], since), b""])) == [6, 7, 8, 9, *range(20, 25)]
    assert numbers(b"\n".join([*source.history([0, 2], since), b""])) == [*range(10, 20), *range(25, 30)]
    assert list(source.history([], since)) == []
    shutil.rmtree(real.directory)
    assert list(source.history([1], since)) == []
    assert "the journal can't be read: Failed to open" in caplog.text


def test_a_vacuumed_record(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    """The rest is read whole, and the gap is told once."""
    for number in range(3):
        real.write(f"{number}.journal", range(number * 5, number * 5 + 5))
    source = real.source(since=0)
    mark = journal.Mark.of(batch_lines(source, 15)[2])
    assert mark is not None
    (real.directory / "0.journal").unlink()
    assert collect(real.source(json.dumps(mark._asdict())), 14) == list(range(5, 15))
    assert len(caplog.records) == 1
    assert "from 2026-09-21T14:13:22+00:00 to 2026-09-21T14:13:25+00:00 was perhaps not observed" in caplog.text


def test_a_journal_that_was_replaced(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    """Records at the same times are other records; what is newer than the place is read."""
    real.write("a.journal", range(5))
    source = real.source(since=0)
    collect(source, 4)
    source.close()
    (real.directory / "a.journal").unlink()
    real.write("b.journal", range(8))
    assert collect(real.source(source.position()), 7) == [5, 6, 7]
    assert len(caplog.records) == 1
    assert "another record is in its place" in caplog.text


def test_a_garbage_cursor(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    """Reading goes on by time; one warning says why."""
    real.write("a.journal", range(5))
    source = real.source(json.dumps({"cursor": "garbage", "time": START + 2 * SECOND}))
    assert collect(source, 4) == [3, 4]
    assert len(caplog.records) == 1
    assert "refuses it: Failed to seek to cursor" in caplog.text


def test_a_cursor_ahead_of_the_journal(
    real: Real, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is given up after a while: what comes is read although it is older than the stored time."""
    monkeypatch.setattr(journal, "GRACE", 0.3)
    real.write("a.journal", range(5))
    cursor = f"s={OTHER};i=ffff;b={OTHER};m=ffffffffff;t={START + 10**12:x};x=1"
    source = real.source(json.dumps({"cursor": cursor, "time": START + 10**12}))
    until_told(source, caplog, "on (nothing newer is there yet) was perhaps not observed")
    assert len(caplog.records) == 1
    assert json.loads(source.position()) == {"cursor": None, "time": START + 4 * SECOND}
    real.write("b.journal", range(5, 6))
    assert collect(source, 5) == [5]


def test_a_damaged_file(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    """Is told, and the others are read."""
    real.write("a.journal", range(5))
    real.write("b.journal", range(5, 8))
    with (real.directory / "a.journal").open("r+b") as file:
        file.write(bytes(byte ^ 0xFF for byte in b"LPKSHHRH"))
    source = real.source(since=0)
    assert collect(source, 7) == [5, 6, 7]
    for _ in range(1000):
        if caplog.records:
            break
        source.read(0.01)
    assert re.search("journalctl: .*a.journal.*ignoring", caplog.text)


def test_the_real_child_killed(real: Real, caplog: pytest.LogCaptureFixture) -> None:
    """Another one goes on."""
    real.write("a.journal", range(5))
    source = real.source(since=0)
    assert collect(source, 4) == list(range(5))
    assert source._child is not None
    source._child._process.kill()
    real.write("b.journal", range(5, 7))
    assert collect(source, 6) == [5, 6]
    assert "journalctl: was ended by signal 9, another one is started" in caplog.text


def alive(pid: int) -> bool:
    """Tell whether a process runs: one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_child_does_not_outlive_the_monitor(real: Real) -> None:
    """Killed without a chance to clean up."""
    real.write("a.journal", range(1))
    code = (
        "import sys, time; from usm.sources import journal; journal.MACHINE_ID = sys.argv[1]\n"
        "source = journal.JournalSource(['sshd'], None, since=0, command=sys.argv[2:]); source.read(20)\n"
        "print(source._child._process.pid, flush=True); time.sleep(60)"
    )
    root = FAKE.parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", code, journal.MACHINE_ID, *real.command()], stdout=subprocess.PIPE, cwd=root
    ) as monitor:
        assert monitor.stdout is not None
        child = int(monitor.stdout.readline())
        assert alive(child)
        monitor.kill()
    for _ in range(2000):
        if not alive(child):
            return
        time.sleep(0.01)
    pytest.fail("it still runs")


# -- one that misbehaves


def test_what_the_child_is_asked_for(fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Programs, or the end of units; of this machine, where that is known."""
    fake.write(range(1))
    collect(fake.source(since=0), 0)
    (tmp_path / "machine-id").write_text("uninitialized\n")
    collect(fake.source(since=0), 0)
    monkeypatch.setattr(journal, "MACHINE_ID", "/nowhere")
    collect(fake.source(fake.position(-1), since=0), 0)
    first, second, third, _ = fake.runs()
    ours = [f"_MACHINE_ID={MACHINE}"]
    programs, unit = ["SYSLOG_IDENTIFIER=sshd", "SYSLOG_IDENTIFIER=sshd-session"], list(journal.STOPPING)
    assert first[-9:] == ["--merge", "--since=@0.000000", *programs, *ours, "+", *unit, *ours]
    assert second[-6:] == ["--since=@0.000000", *programs, "+", *unit]
    assert third[-5:] == second[-5:]
    assert {"--output=json", "--all", "--follow", "--no-tail", "--no-pager", "--quiet"} < set(first)
    assert f"--cursor={fake.cursor(-1)}" in third


@pytest.mark.parametrize("seed", range(6))
def test_children_that_die_anywhere_and_restarts(fake: Fake, seed: int) -> None:
    """Nothing is lost and nothing comes twice."""
    choice = random.Random(seed)
    fake.plan(
        *(
            {
                "stop": choice.randrange(1, 500),
                "signal": choice.choice([0, signal.SIGKILL, signal.SIGSEGV]),
                "pieces": choice.choice([0, 0, 7]),
                "stderr": choice.choice(["", "something\n"]),
            }
            for _ in range(20)
        )
    )
    fake.write(range(20))
    source = fake.source(since=0)
    found: list[int] = []
    for step in range(40):
        if len(found) < step:
            new = batch(source)
            found += numbers(new.data)
            if choice.random() < 0.3:
                source.close()
                source = fake.source(new.cursor)
        if step >= 20:
            fake.write(range(step, step + 1))
    while 39 not in found:
        found += numbers(batch(source).data)
    assert found == list(range(40))


def test_half_a_line_is_read_when_it_is_whole(fake: Fake) -> None:
    """In pieces, and after a death."""
    fake.write(range(3))
    size = (fake.directory / "records").read_bytes().index(b"\n") + 1
    fake.plan({"stop": size + size // 2, "pieces": 10}, {"pieces": 10})
    source = fake.source(since=0)
    assert numbers(batch(source).data) == [0]
    assert collect(source, 2) == [1, 2]
    assert f"--cursor={fake.cursor(0)}" in fake.runs()[1]


def test_a_death_is_told_once(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    """With what it said last, made harmless; another cause is told too."""
    fake.write(range(3))
    death: dict[str, object] = {"stop": 1, "code": 3, "stderr": "\x1b[31mno\x07 way\n"}
    fake.plan(death, death, {"stop": 1, "signal": 11}, death)
    assert collect(fake.source(since=0), 2) == [0, 1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "journalctl: ended with exit code 3, another one is started: no way",
        "journalctl: was ended by signal 11, another one is started",
    ]
    assert len(fake.runs()) == 5


def until(done: Callable[[], bool]) -> None:
    """Wait, with a limit that only a failure reaches."""
    for _ in range(20_000):
        if done():
            return
        time.sleep(0.001)
    pytest.fail("this did not happen")


def die(source: JournalSource) -> None:
    """Kill the child, and let that be noticed."""
    child = source._child
    assert child is not None
    child._process.kill()
    while source._child is child:
        source._take()


def test_a_death_long_after_the_last_is_told_again(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    """The new one is news."""
    now = 0.0
    fake.write(range(1))
    source = fake.source(since=0, monotonic=lambda: now)
    for number in range(1, 4):
        collect(source, number - 1)
        die(source)
        fake.write(range(number, number + 1))
        now += 1
    collect(source, 3)
    assert len(caplog.records) == 1
    now += journal.LONGEST_PAUSE
    die(source)
    assert len(caplog.records) == 2


def test_the_pauses_grow_and_begin_anew(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 0.1 s to a minute; a record begins it anew. Meanwhile nothing is looked at."""
    monkeypatch.setattr(journal, "FIRST_PAUSE", 0.1)
    death: dict[str, object] = {"stop": 1, "code": 1}
    fake.plan(*[death] * 12)
    fake.write(range(1))
    now = 0.0
    source = fake.source(since=0, monotonic=lambda: now)
    pauses = []
    for number in range(12):
        until(lambda: not source._take() and source._child is None)
        source._take()
        assert len(fake.runs()) == number + 1
        pauses.append(round(source._again - now, 3))
        now = source._again
        source._take()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60]
    assert collect(source, 0) == [0]
    assert source._pauses == 0


def test_complaints_are_told_once_and_without_end(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    """More than a pipe holds does not block the child, and not all is kept."""
    many = "".join(f"complaint {number}\n" for number in range(20_000))
    fake.plan({"stderr": f"the same\nthe same\n\n{many}{'x' * 200_000}\nlast"})
    fake.write(range(1))
    source = fake.source(since=0)
    collect(source, 0)
    source.close()
    texts = [record.getMessage() for record in caplog.records]
    assert texts.count("journalctl: the same") == 1
    assert "journalctl: complaint 1" in texts
    assert len(texts) <= journal.MOST_TEXTS * 20
    assert max(map(len, texts)) < 600


def test_distinct_complaints_are_remembered_up_to_a_number(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    """Memory is bounded."""
    source = fake.source()
    source._tell(*(str(number) for number in range(300)))
    source._tell("299")
    assert len(source._told) <= journal.MOST_TEXTS
    assert len(caplog.records) == 300


def test_a_closed_stderr_is_not_waited_on(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor at its end would be ready for ever."""
    fake.plan({"close_stderr": True})
    fake.write(range(1))
    source = fake.source(since=0)
    collect(source, 0)
    assert source.read(0) is None
    waits: list[bool] = []

    def counted(deadline: Optional[float]) -> bool:
        waits.append(JournalSource._wait(source, deadline))
        return waits[-1]

    monkeypatch.setattr(source, "_wait", counted)
    assert source.read(0.2) is None
    assert waits == [False]


def test_garbage_among_the_records(fake: Fake) -> None:
    """Is passed on where it comes later, and is no record to be at."""
    fake.write(range(2))
    fake.plan({"noise": "-- Boot --\n"}, {"noise": "-- Boot --\n"})
    source = fake.source(fake.position(0))
    assert collect(source, 1) == [1]
    with (fake.directory / "records").open("ab") as file:
        file.write(b"-- Journal --\n")
    assert batch(source).data == b"-- Journal --\n"
    assert source.position() == fake.position(1)


def test_records_not_newer_than_the_time_are_left_out_at_first_only(fake: Fake) -> None:
    """A clock that is set back later does not make new records old."""
    fake.write(range(5))
    source = fake.source(since=START + 2 * SECOND)
    assert collect(source, 4) == [3, 4]
    fake.write(range(1))
    assert collect(source, 0) == [0]
    assert source.position() == fake.position(0)


@pytest.mark.parametrize("size", [3 << 20, (1 << 20) + (1 << 16)])
def test_a_giant_record_is_left_out(fake: Fake, caplog: pytest.LogCaptureFixture, size: int) -> None:
    """Only its place is kept, wherever that stands in the line, and memory is bounded."""
    fake.write(range(1))
    fake.write(range(1, 3), size=size)
    fake.write(range(3, 4))
    source = fake.source(since=0)
    lines: list[bytes] = []
    for number in range(4):
        while len(lines) <= number:
            lines += batch(source).data.splitlines()
            assert source._child is not None
            assert len(source._child._data) <= journal.LIMIT + journal.CHUNK
    assert [json.loads(line)["__CURSOR"] for line in lines] == [fake.cursor(number) for number in range(4)]
    assert [len(line) < 300 for line in lines] == [True] * 4
    assert [record.getMessage() for record in caplog.records] == ["a record of more than 1048576 bytes is left out"] * 2
    assert source.position() == fake.position(3)


def test_a_giant_record_counts_as_read(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    """As the last one too."""
    fake.write(range(1))
    fake.write(range(1, 2), size=3 << 20)
    source = fake.source(since=0)
    while source.position() != fake.position(1):
        batch(source)
    source.close()
    fake.write(range(2, 3))
    assert collect(fake.source(source.position()), 2) == [2]
    assert "perhaps" not in caplog.text


def test_a_line_of_exactly_the_limit(fake: Fake) -> None:
    """Does not stop the reading, however the pieces fall."""
    fake.write(range(1))
    short = (fake.directory / "records").read_bytes()
    for length in (journal.LIMIT - 1, journal.LIMIT, journal.LIMIT + 1):
        (fake.directory / "records").write_bytes(short.replace(b"line 0 ", b"line 0 " + b"x" * (length - len(short))))
        source = fake.source(since=0)
        batch(source)
        assert source.position() == fake.position(0)


def test_batches_are_limited_and_say_that_more_waits(fake: Fake) -> None:
    """About a MiB each; the last says that there is no more."""
    fake.write(range(400), size=10_000)
    source = fake.source(since=0)
    found: list[int] = []
    waiting = []
    while 399 not in found:
        source_batch = batch(source)
        assert len(source_batch.data) <= journal.LIMIT + journal.CHUNK
        found += numbers(source_batch.data)
        waiting.append(source_batch.behind)
    assert found == list(range(400))
    assert waiting[-1] == 0


def test_more_than_a_limit_is_behind(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that ends at the limit says so."""
    monkeypatch.setattr(journal, "LIMIT", 1000)
    monkeypatch.setattr(journal, "CHUNK", 500)
    fake.write(range(100))
    source = fake.source(since=0)
    assert source._child is not None
    select.select([source._child.out], [], [], 20)
    assert batch(source).behind > 0
    assert source.position() != fake.position(99)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "[1]",
        "7",
        "{}",
        '{"path": "/var/log/auth.log", "read_at": 1, "files": []}',
        '{"cursor": "a b", "time": 1}',
        '{"cursor": 5, "time": 1}',
        '{"cursor": "", "time": 1}',
        '{"cursor": "x\\u0000", "time": 1}',
        '{"cursor": "x", "time": -1}',
        '{"cursor": "x", "time": "1"}',
        '{"cursor": "x", "time": 1.5}',
        '{"cursor": "x", "time": 1e30}',
        '{"cursor": "x", "time": null}',
    ],
)
def test_a_position_that_is_not_ours(fake: Fake, caplog: pytest.LogCaptureFixture, cursor: str) -> None:
    """Reading begins as without one."""
    fake.write(range(3))
    source = fake.source(cursor)
    assert json.loads(source.position()) == {"cursor": None, "time": START + 2 * SECOND}
    assert "is not one of the journal: it is read from now on" in caplog.text


def test_a_lost_place_while_the_journal_can_not_be_looked_at(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    """The stored time is what is left to go by."""
    fake.write(range(2, 5))
    (fake.directory / "refuse").touch()
    assert collect(fake.source(json.dumps({"cursor": "x", "time": START + 3 * SECOND})), 4) == [4]
    assert len(caplog.records) == 1


def test_a_place_lost_during_a_death(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    """As when the journal is vacuumed at this moment."""
    fake.write(range(2))
    source = fake.source(since=0)
    collect(source, 1)
    (fake.directory / "records").unlink()
    fake.write(range(3, 5))
    assert source._child is not None
    source._child._process.kill()
    assert collect(source, 4) == [3, 4]
    assert "from 2026-09-21T14:13:21+00:00 to 2026-09-21T14:13:23+00:00" in caplog.text


def test_a_time_ahead_of_the_journal_is_not_waited_for(fake: Fake) -> None:
    """Neither as given by the caller nor in a position."""
    fake.write(range(3))
    given = fake.source(since=START + 10**15)
    stored = fake.source(json.dumps({"cursor": None, "time": START + 10**15}))
    fake.write(range(3, 4))
    assert collect(given, 3) == collect(stored, 3) == [3]


def test_no_journalctl(tmp_path: Path) -> None:
    """Says what to do."""
    cursor = json.dumps({"cursor": "x", "time": 1})
    for stored in (None, cursor):
        with pytest.raises(SourceError, match=r"no-such-program.*install systemd, or follow a log file"):
            JournalSource(SSHD, stored, command=(str(tmp_path / "no-such-program"),))


def test_an_unreadable_journal(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told at the start, in journalctl's words; so is one that does not answer."""
    (fake.directory / "refuse").touch()
    with pytest.raises(SourceError, match="No journal files were opened due to insufficient permissions"):
        fake.source()

    def slow(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("journalctl", 60)

    monkeypatch.setattr(subprocess, "run", slow)
    with pytest.raises(SourceError, match="timed out after 60 seconds"):
        fake.source()


def test_journalctl_gone_for_a_while(fake: Fake, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As during an upgrade: it is waited for."""
    program = tmp_path / "journalctl"
    text = "#!/bin/sh\nexec " + " ".join(fake.command()) + ' "$@"\n'
    program.write_text(text)
    program.chmod(0o755)
    fake.write(range(2))
    with_program = JournalSource(SSHD, None, since=0, command=(str(program),))
    fake._open.append(with_program)
    collect(with_program, 1)
    program.unlink()
    assert with_program._child is not None
    with_program._child._process.kill()
    until_told(with_program, caplog, "it can't be started: [Errno 2] No such file or directory")
    program.write_text(text)
    program.chmod(0o755)
    fake.write(range(2, 3))
    assert collect(with_program, 2) == [2]


def test_a_deaf_child_is_killed(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some patience."""
    monkeypatch.setattr(journal, "PATIENCE", 0.1)
    fake.plan({"deaf": True})
    fake.write(range(1))
    source = fake.source(since=0)
    collect(source, 0)
    assert source._child is not None
    pid = source._child._process.pid
    source.close()
    assert not alive(pid)


def open_fds() -> set[int]:
    """Return the open descriptors of this process."""
    return {int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


def test_descriptors_are_not_inherited_and_given_back(fake: Fake) -> None:
    """None is open in a child, none after `close`; the child is gone."""
    before = open_fds()
    source = fake.source()
    assert source._child is not None
    pid = source._child._process.pid
    opened = open_fds() - before
    assert len(opened) == 4  # the child's two pipes, and both ends of our own
    assert not any(os.get_inheritable(fd) for fd in opened)
    source.close()
    source.close()
    source.wake()
    assert open_fds() == before
    assert not alive(pid)


def test_the_child_knows_only_the_path_and_the_language(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of our environment changes what it writes, and Ctrl-C is not for it."""
    monkeypatch.setenv("SYSTEMD_LOG_LEVEL", "debug")
    source = fake.source()
    assert source._child is not None
    pid = source._child._process.pid
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert sorted(entry.partition(b"=")[0] for entry in environment.split(b"\0")[:-1]) == [b"LC_ALL", b"PATH"]
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    assert os.getsid(pid) == pid


def test_it_is_a_source(fake: Fake) -> None:
    """As the others."""
    source: Source = fake.source()
    assert source.read(0) is None


# -- waiting


def wait_for(thread: threading.Thread) -> None:
    """Join, with a limit that only a failure reaches."""
    thread.join(20)
    assert not thread.is_alive()


def blocked(source: JournalSource) -> tuple[threading.Thread, list[Optional[Batch]]]:
    """Start a read without a timeout in a thread, and wait until it sleeps in poll."""
    got: list[Optional[Batch]] = []
    thread = threading.Thread(target=lambda: got.append(source.read(None)))
    thread.start()
    status = Path(f"/proc/self/task/{thread.native_id}/stat")
    while status.read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.001)
    return thread, got


def test_a_blocked_read_returns_with_a_record(fake: Fake) -> None:
    """When it is written."""
    source = fake.source()
    thread, got = blocked(source)
    fake.write(range(1))
    wait_for(thread)
    assert got[0] is not None
    assert numbers(got[0].data) == [0]


def test_a_blocked_read_returns_after_wake(fake: Fake) -> None:
    """With nothing. A wake before the read counts, and many count once."""
    source = fake.source()
    thread, got = blocked(source)
    source.wake()
    wait_for(thread)
    assert got == [None]
    for _ in range(70_000):
        source.wake()
    assert source.read(None) is None
    fake.write(range(1))
    assert collect(source, 0) == [0]


def test_a_signal_does_not_break_a_read(fake: Fake) -> None:
    """Its handler may call `wake`."""
    source = fake.source()
    calls = []

    def handler(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            source.wake()

    was = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        assert source.read(20) is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, was)
    assert len(calls) >= 2


class Poll:
    """A poll object that never finds anything, and notes how long it was asked to wait."""

    waits: list[Optional[float]]
    advance: Callable[[float], None]

    def register(self, fd: int, events: int) -> None:
        """Do nothing."""

    def poll(self, timeout: Optional[float] = None) -> list[tuple[int, int]]:
        """Let the time pass."""
        self.waits.append(timeout)
        if timeout is not None:
            type(self).advance(timeout / 1000)
        return []


def test_an_idle_read_waits_without_looking(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once until the start is behind it, then once for the whole time."""
    now = [0.0]
    source = fake.source(monotonic=lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(Poll, "waits", [], raising=False)
    monkeypatch.setattr(Poll, "advance", staticmethod(advance), raising=False)
    monkeypatch.setattr(select, "poll", Poll)
    assert source.read(60) is None
    assert source.read(60) is None
    assert Poll.waits == [10_000.0, 50_000.0, 60_000.0]


# -- may it be read?


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be somebody else for a while, as root may read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def root() -> Iterator[Path]:
    """A root directory that everybody can enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def put(root: Path, name: str, mode: int = 0o644) -> Path:
    """Make a journal file."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"LPKSHHRH")
    path.chmod(mode)
    return path


@pytest.fixture
def with_journalctl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be where there is a journalctl."""
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/journalctl")


@pytest.mark.usefixtures("with_journalctl")
@pytest.mark.parametrize("name", ["run/log/journal/1/system.journal", "var/log/journal/1/system@2-3.journal"])
def test_a_readable_journal(root: Path, name: str) -> None:
    """Volatile or kept, in use or archived."""
    assert unreadable(str(root)) == "there is no journal here: start systemd-journald, or follow a log file"
    put(root, "var/log/journal/1/user-1000.journal")
    put(root, "var/log/journal/1/other.txt")
    assert unreadable(str(root)) is not None
    put(root, name)
    assert unreadable(str(root)) is None
    with as_nobody():
        assert unreadable(str(root)) is None


JOIN = (
    "add this user to group systemd-journal (or adm): usermod -aG systemd-journal nobody, then start it anew "
    "(systemctl restart user-session-monitor); or run as root"
)


@pytest.mark.usefixtures("with_journalctl")
def test_a_journal_without_permission(root: Path) -> None:
    """The file, or a directory on the way to it; what to do is told."""
    path = put(root, "var/log/journal/1/system.journal", 0)
    with as_nobody():
        problem = unreadable(str(root))
    assert problem == f"no permission ({path}): {JOIN}"
    path.parent.chmod(0)
    with as_nobody():
        problem = unreadable(str(root))
    path.parent.chmod(0o755)
    assert problem == f"no permission ({path.parent}): {JOIN}"


def test_a_journal_without_journalctl(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't be read then."""
    put(root, "var/log/journal/1/system.journal")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert unreadable(str(root)) == "journalctl is not on PATH: install systemd, or follow a log file"
