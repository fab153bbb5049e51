"""A stand-in for journalctl that dies, stammers, complains and forgets on demand.

Its first argument is a directory. `records` is the journal: one JSON record a line. Each run with --follow takes
the next line of `plan`, a JSON object: `stderr` is written first; `noise` is written to the output; `pieces` is how
many bytes are written at a time; after `stop` bytes it ends by `signal`, or with exit code `code`; `close_stderr`
does that; `deaf` ignores SIGTERM. When the plan is over, it follows until nobody reads. `runs` gets the arguments
of each run.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
from pathlib import Path
from typing import Any, Optional


class Output:
    """Standard output, with an end."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.left: Optional[int] = plan.get("stop")

    def write(self, data: bytes) -> None:
        """Write what may be written, and end where that is the plan."""
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        size = self.plan.get("pieces") or max(1, len(data))
        for at in range(0, len(data), size):
            part = data[at : at + size]
            while part:
                part = part[os.write(1, part) :]
            if self.plan.get("pieces"):
                select.select([], [], [], 0.001)
        if self.left == 0:
            self.end()

    def end(self) -> None:
        """End as planned."""
        if self.plan.get("signal"):
            os.kill(os.getpid(), self.plan["signal"])
        os._exit(self.plan.get("code", 0))


def mark(line: bytes) -> tuple[str, int]:
    """Return a record's cursor and time."""
    record = json.loads(line)
    return record["__CURSOR"], int(record["__REALTIME_TIMESTAMP"])


def start(lines: list[bytes], arguments: list[str]) -> int:
    """Return the index of the first record to be shown."""
    options = dict(argument.split("=", 1) for argument in arguments if argument.startswith("--") and "=" in argument)
    if "--cursor" in options:
        found = re.fullmatch("s=[0-9a-f]+;t=([0-9a-f]+)", options["--cursor"])
        if found is None:
            os.write(2, b"\x1b[0;1;31mFailed to seek to cursor: Invalid argument\x1b[0m\n")
            sys.exit(1)
        cursors = [mark(line)[0] for line in lines]
        if options["--cursor"] in cursors:
            return cursors.index(options["--cursor"])
        since = int(found[1], 16)
    else:
        seconds, _, micros = options["--since"].lstrip("@").partition(".")
        since = int(seconds) * 10**6 + int(micros)
    return next((index for index, line in enumerate(lines) if mark(line)[1] >= since), len(lines))


def main(directory: str, arguments: list[str]) -> None:
    """Play journalctl."""
    records, plan, runs = (Path(directory, name) for name in ("records", "plan", "runs"))
    if "--lines=1" in arguments:
        if Path(directory, "refuse").exists():
            sys.exit("No journal files were opened due to insufficient permissions.")
        os.write(1, b"".join(records.read_bytes().splitlines(keepends=True)[-1:]))
        return
    number = len(runs.read_bytes().splitlines()) if runs.exists() else 0
    with runs.open("a", encoding="utf-8") as file:
        file.write(json.dumps(arguments) + "\n")
    plans = plan.read_text(encoding="utf-8").splitlines() if plan.exists() else []
    mine: dict[str, Any] = json.loads(plans[number]) if number < len(plans) else {}
    if mine.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(2, mine.get("stderr", "").encode())
    if mine.get("close_stderr"):
        os.close(2)
    output = Output(mine)
    output.write(mine.get("noise", "").encode())
    poll = select.poll()
    poll.register(1, 0)
    with records.open("rb") as file:
        lines = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
        at = sum(map(len, lines))
        output.write(b"".join(lines[start(lines, arguments) :]))
        while not poll.poll(2):
            file.seek(at)
            more = file.read()
            more = more[: more.rfind(b"\n") + 1]
            at += len(more)
            output.write(more)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
