"""Whatever happens to a log and to its reader, every whole line arrives exactly once and in order."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Optional
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from usm.sources import part, rotated
from usm.sources.file import LINGER, FileSource

if TYPE_CHECKING:
    from usm.core.model import Batch

HEAD = 40
MAX_LINE = 200
MOST_ROTATED = 12
LATE_WRITERS = 3


class Generation:
    """What was written between two rotations."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lines: list[bytes] = []
        self.partial = b""
        self.late = False  # a writer may still have it open
        self.received = 0


class FollowedLog(RuleBasedStateMachine):
    """A log with its rotated files, its writer, and a reader that is killed now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            mock.patch.object(part, "MAX_LINE", MAX_LINE),
            mock.patch.object(part, "HEAD", HEAD),
            mock.patch.object(rotated, "HEAD", HEAD),
            mock.patch.object(rotated, "PIECE", 64),
        ]
        for patch in self.patches:
            patch.start()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "auth.log"
        self.away: Optional[Path] = None
        self.ticks = 1_000_000_000
        self.now = 0.0
        self.number = 0
        self.generations: list[Generation] = []
        self.current: Optional[Generation] = None
        self.rotated: list[Generation] = []  # name.1 first
        self.deleted: list[Generation] = []

    # -- the file system

    def name(self, index: int) -> Path:
        """Return where a rotated generation is."""
        plain = Path(f"{self.path}.{index + 1}")
        return plain if plain.exists() else Path(f"{plain}.gz")

    def stamp(self, path: Path) -> None:
        """Give a file a time of its own, as the clock of a test may stand still."""
        self.ticks += 1
        os.utime(path, (self.ticks, self.ticks))

    def write(self, path: Path, data: bytes) -> None:
        """Append."""
        with path.open("ab") as file:
            file.write(data)
        self.stamp(path)

    def create(self) -> None:
        """Begin a generation at the path."""
        self.path.touch()
        self.stamp(self.path)
        self.begin()

    def begin(self) -> None:
        """Begin a generation."""
        self.current = Generation(len(self.generations))
        self.generations.append(self.current)

    def add(self, generation: Generation, path: Path, sizes: list[int], *, partial: bool) -> None:
        """Append lines of these sizes; the last one only in part if told so."""
        data = b""
        for size in sizes:
            self.number += 1
            text = b"%d:%d " % (self.number, generation.number)
            line = generation.partial + text.ljust(size, b"x") + b"\n"
            data += line[len(generation.partial) :]
            generation.partial = b""
            if len(line) <= MAX_LINE:
                generation.lines.append(line)
        if partial:
            self.number += 1
            end = b"%d:%d part " % (self.number, generation.number)
            generation.partial += end
            data += end
        self.write(path, data)

    def shift(self) -> None:
        """Free name.1."""
        for index in reversed(range(len(self.rotated))):
            old = self.name(index)
            old.rename(f"{self.path}.{index + 2}{'.gz' if old.suffix == '.gz' else ''}")

    # -- what happens

    @initialize(history=st.booleans(), there=st.booleans())
    def start(self, *, history: bool, there: bool) -> None:
        """Start the reader, perhaps on a log with a past, perhaps before there is any."""
        if there:
            self.create()
            assert self.current
            if history:
                self.add(self.current, self.path, [20, 60], partial=False)
                self.current.received = 2
        self.source = self.open(None)
        self.history = [(self.source.position(), self.counts())]

    def open(self, cursor: Optional[str]) -> FileSource:
        """Start a reader."""
        return FileSource(str(self.path), cursor, monotonic=lambda: self.now)

    def counts(self) -> dict[int, int]:
        """Tell how many lines of each generation have arrived."""
        return {generation.number: generation.received for generation in self.generations}

    @precondition(lambda self: self.current)
    @rule(sizes=st.lists(st.sampled_from([1, 10, 50, 120, MAX_LINE - 1, MAX_LINE, 3 * MAX_LINE]), max_size=6))
    def append(self, sizes: list[int]) -> None:
        """Write lines, some of them too long; an unfinished one is finished."""
        assert self.current
        self.add(self.current, self.away or self.path, sizes, partial=False)

    @precondition(lambda self: self.current)
    @rule(sizes=st.lists(st.sampled_from([10, 120]), max_size=2))
    def append_partial(self, sizes: list[int]) -> None:
        """Write lines and the beginning of one."""
        assert self.current
        self.add(self.current, self.away or self.path, sizes, partial=True)

    @precondition(lambda self: any(one.late for one in self.rotated))
    @rule(data=st.data(), sizes=st.lists(st.sampled_from([10, 50, 250]), min_size=1, max_size=3), partial=st.booleans())
    def append_late(self, data: st.DataObject, sizes: list[int], *, partial: bool) -> None:
        """Write to a file that was renamed a short while ago."""
        index = data.draw(st.sampled_from([index for index, one in enumerate(self.rotated) if one.late]))
        self.add(self.rotated[index], self.name(index), sizes, partial=partial)

    @precondition(lambda self: self.current and not self.away and len(self.rotated) < MOST_ROTATED)
    @rule(create=st.booleans())
    def rotate(self, *, create: bool) -> None:
        """Rename, and create now or later."""
        assert self.current
        self.shift()
        self.path.rename(f"{self.path}.1")
        self.current.late = bool(self.current.lines)
        self.rotated.insert(0, self.current)
        for generation in self.rotated[LATE_WRITERS:]:
            generation.late = False
        self.current = None
        if create:
            self.create()

    @precondition(lambda self: not self.current)
    @rule()
    def appear(self) -> None:
        """Create the file that is missing."""
        self.create()

    @precondition(
        lambda self: (
            self.current
            and not self.away
            and self.current.lines
            and not self.current.partial
            and len(self.rotated) < MOST_ROTATED
        )
    )
    @rule()
    def copytruncate(self) -> None:
        """Copy and empty, in one step: a line written in between would be lost to anybody."""
        assert self.current
        self.shift()
        shutil.copyfile(self.path, f"{self.path}.1")
        self.stamp(Path(f"{self.path}.1"))
        os.truncate(self.path, 0)
        self.stamp(self.path)
        self.rotated.insert(0, self.current)
        for generation in self.rotated[LATE_WRITERS:]:
            generation.late = False
        self.begin()

    @precondition(lambda self: self.rotated)
    @rule(data=st.data())
    def compress(self, data: st.DataObject) -> None:
        """Compress a rotated file; nobody writes to it after that."""
        index = data.draw(st.integers(0, len(self.rotated) - 1))
        plain = self.name(index)
        if plain.suffix == ".gz":
            return
        status = plain.stat()
        with gzip.open(f"{plain}.gz", "wb") as file:
            file.write(plain.read_bytes())
        os.utime(f"{plain}.gz", ns=(status.st_mtime_ns, status.st_mtime_ns))
        plain.unlink()
        self.rotated[index].late = False

    @precondition(lambda self: self.rotated and self.is_read(self.rotated[-1]))
    @rule()
    def delete_oldest(self) -> None:
        """Remove a file whose lines have all arrived, and were committed."""
        self.name(len(self.rotated) - 1).unlink()
        self.forget(self.rotated.pop())

    @precondition(lambda self: self.current and not self.away and self.is_read(self.current))
    @rule()
    def delete_current(self) -> None:
        """Remove the log itself when its lines have all arrived, and were committed."""
        assert self.current
        self.path.unlink()
        self.forget(self.current)
        self.current = None

    def is_read(self, generation: Generation) -> bool:
        """Tell whether all lines have arrived, and were committed."""
        return self.history[-1][1].get(generation.number, 0) == len(generation.lines)

    def forget(self, generation: Generation) -> None:
        """Note that older cursors can't be resumed from any more."""
        generation.late = False
        self.deleted.append(generation)
        del self.history[:-1]

    @precondition(
        lambda self: self.current and not self.away and all(one.received == len(one.lines) for one in self.rotated)
    )
    @rule()
    def go_away(self) -> None:
        """Take the file away for a while; what came before it and was not read has no place in the order then."""
        self.away = self.directory / "away"
        self.path.rename(self.away)

    @precondition(lambda self: self.away)
    @rule()
    def come_back(self) -> None:
        """Put it back."""
        assert self.away
        self.away.rename(self.path)
        self.away = None

    @rule()
    def linger(self) -> None:
        """Let the time pass that late writers have."""
        self.now += LINGER + 1
        for generation in self.generations:
            generation.late = False

    @rule()
    def read(self) -> None:
        """Read once, and commit."""
        batch = self.source.read(0)
        if batch is not None:
            self.receive(batch)

    @rule()
    def read_all(self) -> None:
        """Read until there is nothing more."""
        while (batch := self.source.read(0)) is not None:
            self.receive(batch)

    @rule()
    def commit(self) -> None:
        """Commit the position without a batch."""
        self.history.append((self.source.position(), self.counts()))

    @rule()
    def restart(self) -> None:
        """Kill the reader, and start it from the last commit."""
        self.restart_from(len(self.history) - 1)

    @rule(data=st.data())
    def restart_earlier(self, data: st.DataObject) -> None:
        """Kill the reader before some commits, and start it from the one that was made."""
        self.restart_from(data.draw(st.integers(0, len(self.history) - 1)))

    def restart_from(self, index: int) -> None:
        """Start from a cursor; what arrived after it has to arrive again."""
        del self.history[index + 1 :]
        cursor, counts = self.history[index]
        for generation in self.generations:
            generation.received = counts.get(generation.number, 0)
        self.source.close()
        self.source = self.open(cursor)

    # -- what must be true

    def receive(self, batch: Batch) -> None:
        """Check that these are the next lines of one generation, and that no older one has any left."""
        assert batch.data.endswith(b"\n")
        lines = batch.data.splitlines(keepends=True)
        number = int(lines[0].split(b":")[1].split()[0])
        generation = self.generations[number]
        assert lines == generation.lines[generation.received : generation.received + len(lines)]
        for older in self.generations[:number]:
            assert older in self.deleted or older.received == len(older.lines)
        generation.received += len(lines)
        self.history.append((batch.cursor, self.counts()))

    def teardown(self) -> None:
        """Read the rest: nothing is missing, and a restart brings nothing again."""
        try:
            if hasattr(self, "source"):
                if self.away:
                    self.come_back()
                if not self.current:
                    self.create()  # a place that is not found is waited for as long as the path is missing
                self.read_all()
                for generation in self.generations:
                    assert generation in self.deleted or generation.received == len(generation.lines)
                self.restart_from(len(self.history) - 1)
                assert self.source.read(0) is None
        finally:
            if hasattr(self, "source"):
                self.source.close()
            shutil.rmtree(self.directory)
            for patch in self.patches:
                patch.stop()


FollowedLog.TestCase.settings = settings(
    max_examples=int(os.environ.get("USM_EXAMPLES", "150")),
    stateful_step_count=int(os.environ.get("USM_STEPS", "40")),
    deadline=None,
    derandomize="USM_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
TestFollowedLog = FollowedLog.TestCase
