"""`sessions`, `events`, `user`, `stats`: exact against a month whose truth is known, and harmless to read."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

import pytest

from tests.life import MIDDLE, ZONE, Truth, life
from tests.test_month import Month
from usm import cli, query, summary
from usm.columns import cells
from usm.core.model import NORMAL_ENDS, Batch, Event, Failure, Finding, Session, micros
from usm.core.tame import clean
from usm.ingest import ingest
from usm.query import Filter
from usm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

UTC = timezone.utc
ZERO = datetime(2026, 11, 23, 2, 5, 7, tzinfo=UTC)
EVIL = (
    "\x1b[2J\x1b]0;owned\x07",
    "=HYPERLINK(1)",
    "a\nb\r\nc",
    "\x9b31m",
    "\u202eroot",
    "'; DROP TABLE session; --",
    "王" * 99,
)
Run = Callable[..., tuple[int, str, str]]
Key = tuple[str, Optional[str], datetime]


class World(NamedTuple):
    """A month as the store has it, and as it was."""

    path: str
    truth: tuple[Truth, ...]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Read the month's log, a day at a time."""
    made = life(1)
    place = tmp_path_factory.mktemp("questions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("usm.wtmp.logins", lambda: iter(()))
        month = Month(made, place)
    days: dict[str, bytes] = {}
    for step in made.month:
        if step.kind == "line":
            day = step.time.astimezone(ZONE).date().isoformat()
            days[day] = days.get(day, b"") + step.line
    for number, (day, lines) in enumerate(days.items(), 1):
        moment = datetime.fromisoformat(f"{day}T00:00:00+08:00") + timedelta(days=1)
        ingest(month.store, "file", Batch(lines, str(number)), month.intake, month.watch, moment)
    month.store.close()
    place.joinpath("usm.yaml").write_text(f"state: {month.path}\nlanguage: en\n", encoding="utf-8")
    return World(month.path, tuple(one for one in made.sessions if one.start >= MIDDLE))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command in this process; it gives exit code, output and errors."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return the configuration of a state file without anything in it."""
    Store(str(tmp_path / "state.db")).close()
    path = tmp_path / "usm.yaml"
    path.write_text(f"state: {tmp_path}/state.db\nlanguage: en\n", encoding="utf-8")
    return path


def put(config: Path, *sessions: Session) -> None:
    """Write sessions into the state file."""
    store = Store(str(config.parent / "state.db"))
    with store.transaction() as tx:
        for session in sessions:
            tx.put(session)
    store.close()


def made(
    number: int, start: datetime, end: Optional[datetime] = None, user: str = "alice", comment: Optional[str] = None
) -> Session:
    """Return a session."""
    reason = None if end is None else "disconnected"
    facts = ("web01", "sshd", user, "203.0.113.5", 4000 + number, "publickey", None, None, 100 + number, start, end)
    return Session(f"{number:016x}", *facts, reason)._replace(comment=comment)


def keys(sessions: Iterator[Session]) -> list[Key]:
    """Return what tells sessions apart."""
    return sorted(((s.user, s.source_ip, s.start) for s in sessions), key=str)


def true(truth: tuple[Truth, ...], since: datetime, until: datetime) -> list[Key]:
    """Return who really was on within a span."""
    on = (s for s in truth if s.start <= until and (s.end is None or s.end >= since))
    return sorted(((s.user, s.source_ip, s.start.astimezone(UTC)) for s in on), key=str)


def test_who_was_on_is_exact(month: World) -> None:
    """At 200 moments of the month, and over 50 spans."""
    rng = random.Random(9)
    store = Store(month.path, readonly=True)
    with store.reading() as db:
        for number in range(250):
            since = MIDDLE + timedelta(seconds=rng.uniform(0, 30 * 86400))
            until = since if number < 200 else since + timedelta(seconds=rng.uniform(0, 3 * 86400))
            found = query.sessions(db, Filter(micros(since), micros(until)))
            assert keys(found) == true(month.truth, since, until)
    store.close()


def test_the_command_gives_the_same(month: World, run: Run) -> None:
    """In the local zone, and by a pattern."""
    config = Path(month.path).parent / "usm.yaml"
    code, out, err = run("-c", config, "sessions", "--at", "2026-10-12 10:30", "--user", "*a*", "--format", "json")
    at = datetime(2026, 10, 12, 10, 30, tzinfo=ZONE)
    expected = [key for key in true(month.truth, at, at) if "a" in key[0]]
    found = [(s["user"], s["source_ip"], datetime.fromisoformat(s["start"])) for s in map(json.loads, out.splitlines())]
    assert (code, err) == (0, "")
    assert len(expected) > 3
    assert sorted(found, key=str) == sorted(((u, i, t.astimezone(ZONE)) for u, i, t in expected), key=str)


def test_the_sums_of_a_span_are_exact(month: World) -> None:
    """Logins, logouts, by user, by source, by hour; and the findings are those of the record."""
    since, until = datetime(2026, 10, 3, tzinfo=ZONE), datetime(2026, 10, 14, 12, tzinfo=ZONE)
    store = Store(month.path, readonly=True)
    with store.reading() as db:
        found = summary.stats(db, since, until, ZONE)
        entries = list(query.events(db, Filter(micros(since), micros(until))))
        failures = [row for row in store.failures() if since <= row.time <= until]
    store.close()
    began = [s for s in month.truth if since <= s.start <= until]
    ended = [s for s in month.truth if s.end is not None and since <= s.end <= until]
    hours = Counter(s.start.astimezone(ZONE).hour for s in began)
    users, sources = Counter(s.user for s in began), Counter(s.source_ip for s in began if s.source_ip is not None)
    assert (found.logins, found.logouts) == (len(began), len(ended))
    assert found.hours == tuple(hours[hour] for hour in range(24))
    assert found.users == tuple(sorted(users.items(), key=lambda item: (-item[1], item[0]))[:10])
    assert found.sources == tuple(sorted(sources.items(), key=lambda item: (-item[1], item[0]))[:10])
    bodies = [json.loads(entry.body) for entry in entries]
    refused = sum(body["kind"] == "failed" for body in bodies)
    assert found.failed == refused + sum(count for row in failures for *_, count in row.who)
    assert found.privileges == sum(body["kind"] == "privilege" for body in bodies)
    assert found.findings
    recorded = Counter((one["rule"], one["severity"]) for body in bodies for one in body["findings"])
    assert dict(found.findings) == dict(recorded)


def test_a_page_is_exact(month: World) -> None:
    """Of everybody who was on in the month."""
    now = MIDDLE + timedelta(days=30)
    store = Store(month.path, readonly=True)
    with store.reading() as db:
        for user in sorted({one.user for one in month.truth}):
            mine = [one for one in month.truth if one.user == user]
            page = summary.page(db, user, now)
            assert page is not None
            lengths = [(one.end or now) - one.start for one in mine]
            assert (page.sessions, page.total, page.longest) == (len(mine), sum(lengths, timedelta(0)), max(lengths))
            assert dict(page.ends) == Counter(one.reason or "open" for one in mine)
            assert page.last is not None
            assert page.last.start == max(one.start for one in mine)
            assert len(page.open) == sum(one.end is None for one in mine)
        assert summary.page(db, "nobody-at-all", now) is None
    store.close()


def test_abnormal_ends_are_exact(month: World, run: Run) -> None:
    """Every one, and sessions of which more than `info` was found."""
    config = Path(month.path).parent / "usm.yaml"
    out = run("-c", config, "sessions", "--abnormal", "--format", "json")[1]
    found = {s["session"]: s for s in map(json.loads, out.splitlines())}
    ends = [s for s in found.values() if s["end_reason"] not in (None, *NORMAL_ENDS)]
    assert len(ends) == sum(one.reason not in ("", *NORMAL_ENDS) for one in month.truth)
    out = run("-c", config, "events", "--limit", "0", "--format", "json")[1]
    graver = {
        e["session"] for e in map(json.loads, out.splitlines()) if any(f["severity"] != "info" for f in e["findings"])
    }
    assert set(found) == {s["session"] for s in ends} | (graver - {None})


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-12-31 23:59:59", "Asia/Shanghai", {"old"}),
        ("2027-01-01", "Asia/Shanghai", {"old", "new"}),
        ("2027-01-01 00:00:01", "Asia/Shanghai", {"new"}),
        ("2026-10-25 02:30", "Europe/Berlin", {"first"}),  # twice: the first
        ("2026-10-25T02:30+01:00", "Europe/Berlin", {"second"}),
        ("2026-03-29 02:30", "Europe/Berlin", {"after"}),  # never: 03:30
        ("2026-03-29 01:59:59", "Europe/Berlin", {"before"}),
        ("2026-03-29 03:00", "Europe/Berlin", {"before", "after"}),
    ],
)
def test_clocks_that_jump(
    text: str, zone: str, expected: set[str], small: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New Year, and both nights on which the hour is another; a session counts at its first and last moment."""
    monkeypatch.setenv("TZ", zone)
    spans = {
        "old": ("2026-12-31T00:00:00+08:00", "2027-01-01T00:00:00+08:00"),
        "new": ("2027-01-01T00:00:00+08:00", "2027-01-01T01:00:00+08:00"),
        "first": ("2026-10-25T02:00:00+02:00", "2026-10-25T02:59:59+02:00"),
        "second": ("2026-10-25T02:00:00+01:00", "2026-10-25T02:59:59+01:00"),
        "before": ("2026-03-29T01:00:00+01:00", "2026-03-29T02:00:00+01:00"),
        "after": ("2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"),
    }
    times = {name: [datetime.fromisoformat(moment) for moment in span] for name, span in spans.items()}
    put(small, *(made(n, start, end, user=name) for n, (name, (start, end)) in enumerate(times.items(), 1)))
    out = run("-c", small, "sessions", "--at", text, "--format", "json")[1]
    assert {json.loads(line)["user"] for line in out.splitlines()} == expected


def test_a_day_of_local_time(small: Path, run: Run) -> None:
    """From its first moment to its last, with `--until` a day too."""
    put(
        small,
        made(1, datetime(2026, 11, 19, 15, tzinfo=UTC), datetime(2026, 11, 19, 15, 59, tzinfo=UTC), user="before"),
    )
    put(small, made(2, datetime(2026, 11, 19, 16, tzinfo=UTC), datetime(2026, 11, 19, 17, tzinfo=UTC), user="first"))
    put(small, made(3, datetime(2026, 11, 20, 15, 59, 59, 999999, tzinfo=UTC), None, user="last"))
    put(small, made(4, datetime(2026, 11, 20, 16, tzinfo=UTC), None, user="after"))
    out = run("-c", small, "sessions", "--since", "2026-11-20", "--until", "2026-11-20")[1]
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["first", "last"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sessions", "--at", "soon"], "'soon' is no time; write it like one of: 2026-11-25, "),
        (["events", "--since", "2026-02-30"], "is no time"),
        (["stats", "--until", "x"], "is no time"),
        (["sessions", "--at", "now", "--since", "2h"], "--at is one moment"),
        (["sessions", "--since", "1h", "--until", "2h"], "ends before it begins"),
        (["stats", "--since", "now", "--until", "3d"], "ends before it begins"),
        (["sessions", "--end", "bored"], "--end takes disconnected, "),
        (["events", "--kind", "logon"], "--kind takes login, "),
        (["sessions", "--source", "203.0.113.0/33"], "--source takes an address"),
        (["sessions", "--limit", "-1"], "--limit takes"),
        (["sessions", "--watch", "--format", "json"], "--watch shows a table"),
    ],
)
def test_a_wrong_question_is_told(small: Path, run: Run, arguments: list[str], says: str) -> None:
    """With exit code 2, and what would be right."""
    code, out, err = run("-c", small, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usm: ")
    assert says in err
    assert err.count("\n") == 1


def test_spans_ago_need_no_equals_sign(small: Path, run: Run) -> None:
    """`-3d` is a time, not an option; a limit may be as large as one likes."""
    assert run("-c", small, "events", "--since", "-3d", "--limit", "9" * 30) == (0, "nothing happened\n", "")
    assert run("-c", small, "sessions", "--since", "-3d") == (0, "there was no such session\n", "")
    assert run("-c", small, "sessions") == (0, "nobody is on\n", "")
    assert run("-c", small, "user", "nobody\x1b[2J") == (
        1,
        "",
        "usm: nothing is known of nobody\ufffd[2J: no login was seen\n",
    )


def test_events_say_that_there_are_more(month: World, run: Run) -> None:
    """The last hundred, the newest last; `--limit 0` gives all."""
    config = Path(month.path).parent / "usm.yaml"
    code, out, err = run("-c", config, "events", "--format", "json")
    shown = [json.loads(line) for line in out.splitlines()]
    assert (code, len(shown), err) == (0, 100, "usm: there are more: these are the newest 100, --limit 0 shows all\n")
    assert [e["time"] for e in shown] == sorted(e["time"] for e in shown)
    everything = run("-c", config, "events", "--limit", "0", "--format", "json")[1].splitlines()
    assert [json.loads(line)["seq"] for line in everything][-100:] == [e["seq"] for e in shown]
    table = run("-c", config, "events", "--kind", "log*", "--user", "alice", "--limit", "2")[1].splitlines()
    assert [line.split()[4] for line in table[1:]] == ["alice", "alice"]
    assert {line.split()[3] for line in table[1:]} <= {"login", "logout"}


def fill_evil(config: Path) -> None:
    """Let strangers be called whatever steers a terminal, a spreadsheet or a database."""
    put(
        config, *(made(n, ZERO, user=name, comment=name)._replace(key=name, tty=name) for n, name in enumerate(EVIL, 1))
    )
    store = Store(str(config.parent / "state.db"))
    with store.transaction() as tx:
        for name in EVIL:
            login = Event("login", ZERO, name, name, name, None, method=name, key=name, comment=name, tty=name)
            acts = Event("privilege", ZERO, "web01", "sudo", name, target=name, command=name)
            tx.record(login, [Finding("new-key", "notice", {"key": name})])
            tx.record(acts)
            tx.add_failures([Failure("web01", "sshd", None, ZERO, ZERO, ((name, "password", True, 3),))])
    store.close()


@pytest.mark.parametrize("form", ["text", "json", "csv", "ecs", "ocsf"])
@pytest.mark.parametrize("verb", ["sessions", "events"])
def test_hostile_names_are_harmless(small: Path, run: Run, verb: str, form: str) -> None:
    """Nothing that a terminal would obey, one line each, and JSON gives the very name back."""
    fill_evil(small)
    code, out, err = run("-c", small, verb, "--format", form)
    assert (code, err) == (0, "")
    assert not set(out) & set("\x1b\x07\r\x9b\u202e")
    lines = out.splitlines()
    if form == "json":
        assert sorted({json.loads(line)["user"] for line in lines}) == sorted(EVIL)
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert all(None not in row and None not in row.values() for row in rows)
        assert not any(value.startswith(("=", "+", "-", "@", "\t")) for row in rows for value in row.values())
    else:
        assert len(lines) == len(EVIL) * (1 if verb == "sessions" else 2) + (form == "text")


@pytest.mark.parametrize("name", EVIL)
def test_a_hostile_name_can_be_asked_for(small: Path, run: Run, name: str) -> None:
    """Its page is harmless, and only its own."""
    fill_evil(small)
    code, out, err = run("-c", small, "user", name)
    assert (code, err) == (0, "")
    assert not set(out) & set("\x1b\x07\r\x9b\u202e")
    assert out.startswith(f"user: {clean(name)} (no account of this machine)\n")
    page = json.loads(run("-c", small, "user", name, "--format", "json")[1])
    assert (page["user"], len(page["open"]), page["last"]["user"]) == (name, 1, name)
    out = run("-c", small, "sessions", "--user", name, "--format", "json")[1]
    assert [json.loads(line)["user"] for line in out.splitlines()] == [name]
    assert run("-c", small, "stats", "--since", "2026-11-01")[0] == 0


def test_a_page_and_sums_as_text(month: World, run: Run) -> None:
    """Both have what the objects for programs have."""
    config = Path(month.path).parent / "usm.yaml"
    out = run("-c", config, "user", "kim")[1]
    assert "usual keys: SHA256:" in out
    out = run("-c", config, "stats", "--since", "2026-09-21", "--until", "2026-10-20")[1]
    body = json.loads(
        run("-c", config, "stats", "--since", "2026-09-21", "--until", "2026-10-20", "--format", "json")[1]
    )
    assert f"logins: {body['logins']}, logouts: {body['logouts']}, failed: {body['failed']}, privileges: " in out
    assert sum(body["hours"]) == body["logins"]
    assert "\u2588" in out
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "TZ": "Asia/Shanghai"}
    command = [sys.executable, "-m", "usm", "-c", str(config), "stats", "--since", "2026-09-21"]
    told = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=30).stdout
    assert told.isascii()
    assert b"  ####" in told


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, config: Path, columns: int, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        command = [sys.executable, "-m", "usm", "-c", str(config), *arguments]
        size = {"COLUMNS": str(columns), "LINES": "24", "TZ": "UTC", "PYTHONIOENCODING": "utf-8"}
        pipes = {"stdin": slave, "stdout": slave, "stderr": slave}
        self.child = subprocess.Popen(command, env={**os.environ, **size}, start_new_session=True, **pipes)  # type: ignore[call-overload]
        os.close(slave)
        self.said = b""

    def until(self, text: str, patience: float = 20.0) -> str:
        """Read until a text was printed, or to the end; return all that was."""
        end = time.monotonic() + patience
        while text.encode() not in self.said and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    piece = os.read(self.master, 65536)
                except OSError:  # the other side is closed
                    break
                self.said += piece
        assert text.encode() in self.said, self.said
        return self.said.decode()

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while True:
            try:
                if not (piece := os.read(self.master, 65536)):
                    break
            except OSError:
                break
            self.said += piece
        os.close(self.master)
        return int(self.child.wait(20))


@pytest.mark.parametrize("columns", [80, 200])
def test_a_table_fits_its_terminal(small: Path, run: Run, columns: int) -> None:
    """With Chinese names; in a pipe it is whole."""
    put(
        small,
        made(1, ZERO, user="王小明" * 12, comment="SHA256:" + "x" * 43),
        made(2, ZERO, user="bob", comment="张" * 20),
    )
    terminal = Terminal(small, columns, "sessions")
    assert terminal.end() == 0
    lines = terminal.said.decode().splitlines()
    assert len(lines) == 3
    assert max(map(cells, lines)) <= columns
    assert ("\u2026" in terminal.said.decode()) == (columns == 80)
    out = run("-c", small, "sessions")[1]
    assert "王小明" * 12 in out
    assert "\u2026" not in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_live_view_gives_the_terminal_back(small: Path, number: int, code: int) -> None:
    """It redraws when the state file changes; whatever ends it, the other screen is left and the cursor is back."""
    put(small, made(1, ZERO))
    terminal = Terminal(small, 80, "sessions", "--watch")
    assert "1 sessions" in terminal.until("alice")
    put(small, made(2, ZERO, user="王小明"))
    assert "2 sessions" in terminal.until("王小明")
    terminal.child.send_signal(number)
    assert terminal.end() == code
    assert terminal.said.startswith(b"\x1b[?1049h\x1b[?25l")
    assert terminal.said.endswith(b"\x1b[?25h\x1b[?1049l")
    assert b"Traceback" not in terminal.said


def test_a_live_view_that_is_stopped_leaves_the_screen(small: Path) -> None:
    """And draws it anew when it goes on."""
    put(small, made(1, ZERO))
    terminal = Terminal(small, 80, "sessions", "--watch")
    terminal.until("alice")
    terminal.child.send_signal(signal.SIGTSTP)
    terminal.until("\x1b[?25h\x1b[?1049l")
    os.waitpid(terminal.child.pid, os.WUNTRACED)
    terminal.said = b""
    terminal.child.send_signal(signal.SIGCONT)
    terminal.until("alice")
    terminal.child.send_signal(signal.SIGINT)
    assert terminal.end() == 0


def test_a_live_view_of_a_file_that_breaks(small: Path) -> None:
    """The terminal is given back before the error is told."""
    put(small, made(1, ZERO))
    terminal = Terminal(small, 80, "sessions", "--watch")
    terminal.until("alice")
    store = Store(str(small.parent / "state.db"))
    with store.writing() as db:
        db.execute("DROP TABLE session")
    assert terminal.end() == 1
    assert b"\x1b[?1049l" in terminal.said
    assert terminal.said.index(b"\x1b[?1049l") < terminal.said.index(b"usm: state file")


def test_on_no_terminal_the_view_is_one_table(small: Path, run: Run) -> None:
    """With a note."""
    put(small, made(1, ZERO))
    code, out, err = run("-c", small, "sessions", "--watch")
    assert (code, err) == (0, "usm: this is no terminal, so it is shown once\n")
    assert "alice" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("arguments", [["sessions", "--all"], ["events", "--limit", "0", "--format", "csv"]])
def test_a_closed_pipe_is_no_error(month: World, arguments: list[str]) -> None:
    """`| head` has what it wants."""
    command = [sys.executable, "-m", "usm", "-c", str(Path(month.path).parent / "usm.yaml"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(20) == 0


@pytest.mark.parametrize("verb", [["sessions", "--user"], ["events", "--user"], ["user"]])
def test_bytes_that_are_no_text_can_be_asked_for(small: Path, run: Run, verb: list[str]) -> None:
    """As a log's are kept."""
    put(small, made(1, ZERO, user="\\xff"))
    code, out, _ = run("-c", small, *verb, os.fsdecode(b"\xff"))
    assert code == 0
    assert "\\xff" in out or verb[0] == "events"
    run("-c", small, *verb, "a\0b")
