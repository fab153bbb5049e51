"""Print the figures of docs/architecture.md's promises, each beside what it is compared with, measured side by side.

Nothing here is a gate: a missed target is a figure. Quote medians and ratios; absolute times are the machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Callable, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.bench.corpus import stamp_3164, stamp_3339, write

PATTERN = (
    r"sshd(-session|-auth)?\[[0-9]+\]: (Accepted [a-z/-]+ for .+ from [0-9a-fA-F:.]+ port [0-9]+ ssh2"
    r"|Failed [a-z/-]+ for .+ from [0-9a-fA-F:.]+ port [0-9]+ ssh2"
    r"|Received disconnect from [0-9a-fA-F:.]+ port [0-9]+:[0-9]+: "
    r"|Disconnected from user .+ [0-9a-fA-F:.]+ port [0-9]+$"
    r"|pam_unix\(sshd:session\): session closed for user .+$)"
)
CATCH_UP = """
import sys, gc, time
from datetime import datetime, timezone
from usm.core.decode import Stamps
from usm.core.model import Host
from usm.core.policy import Policy
from usm.ingest import Intake, Watch, ingest
from usm.judging import Judge
from usm.sources.file import FileSource
from usm.store import Store
path, state, cursor = sys.argv[1:]
gc.set_threshold(100_000, 20, 20)
store, source = Store(state), FileSource(path, cursor)
now = datetime(2026, 11, 23, tzinfo=timezone.utc)
intake, watch = Intake(Stamps(timezone.utc, now)), Watch(Host("h"), judge=Judge(Policy(), timezone.utc))
while True:
    batch = source.read(0)
    if batch is None:
        break
    ingest(store, "file", batch, intake, watch, now)
sessions = store.sessions(everything=True)
failures = sum(who[3] for failure in store.failures() for who in failure.who)
print(len(sessions), sum(s.end is not None for s in sessions), failures)
"""


def timed(command: list[str], check: Optional[Callable[[str], None]] = None) -> float:
    """Seconds of wall time of one run."""
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    seconds = time.perf_counter() - begin
    if check is not None:
        check(done.stdout or done.stderr)
    return seconds


def throughput(folder: Path, lines: int, repeats: int) -> None:
    """Catching up, the whole process from start to the last commit, beside grep -E and cat on the same file."""
    print(f"catch-up, {lines:,} lines, median of {repeats} (whole processes)")
    print(f"  {'corpus':12} {'usm s':>7} {'lines/s':>10} {'grep s':>7} {'cat s':>7} {'x grep -E':>10} {'target':>7}")
    for name, stamp, noise in (
        ("mixed 3164", stamp_3164, 0.7),
        ("mixed 3339", stamp_3339, 0.7),
        ("noise 3164", stamp_3164, 1.0),
    ):
        log, state = folder / "corpus.log", folder / "corpus.db"
        truth = write(str(log), lines, stamp=stamp, noise=noise)
        cursor = json.dumps({"path": str(log), "read_at": 0, "files": []})

        def right(out: str, truth: object = truth) -> None:
            found = tuple(int(word) for word in out.split())
            if found != tuple(truth)[1:]:  # type: ignore[arg-type]
                raise SystemExit(f"the corpus holds {truth}, found was {out}")

        times: dict[str, list[float]] = {"usm": [], "grep": [], "cat": []}
        for _ in range(repeats):
            for old in folder.glob("corpus.db*"):
                old.unlink()
            times["usm"].append(timed([sys.executable, "-c", CATCH_UP, str(log), str(state), cursor], right))
            times["grep"].append(timed(["grep", "-cE", PATTERN, str(log)]))
            times["cat"].append(timed(["sh", "-c", f"cat {log} > /dev/null"]))
        usm, grep, cat = (statistics.median(times[key]) for key in ("usm", "grep", "cat"))
        ratio = statistics.median(g / u for u, g in zip(times["usm"], times["grep"]))
        print(f"  {name:12} {usm:7.2f} {lines / usm:10,.0f} {grep:7.2f} {cat:7.2f} {ratio:10.2f} {'0.25':>7}")
        log.unlink()


class Sink(socketserver.ThreadingTCPServer):
    """A webhook that notes when each request arrived."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.arrived: list[float] = []
        super().__init__(("127.0.0.1", 0), _Hook)


class _Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.request.setsockopt(6, 1, 1)  # TCP_NODELAY

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived.append(time.perf_counter())  # type: ignore[attr-defined]
        answer = b'{"code":0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _switches(pid: int) -> int:
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        total += sum(int(x.split()[1]) for x in status.read_text().splitlines() if "ctxt_switches" in x)
    return total


def live(folder: Path, count: int, idle: int) -> None:
    """The running monitor: time to watching, from an appended line to the webhook, and what it costs when idle."""
    log = folder / "auth.log"
    log.touch()
    with Sink() as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        config = {
            "monitor": {"log_file": str(log)},
            "state": str(folder / "live.db"),
            "notify": {"feishu": {"webhook_url": f"http://127.0.0.1:{sink.server_address[1]}/hook", "rate": []}},
        }
        path = folder / "config.yaml"
        path.write_text(json.dumps(config))
        starts = []
        for attempt in range(6):
            begin = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "usm", "run", "-c", str(path)], stderr=subprocess.PIPE, text=True
            )
            assert process.stderr is not None
            for line in process.stderr:
                if "watching" in line:
                    break
            starts.append(time.perf_counter() - begin)
            if attempt < 5:
                process.send_signal(signal.SIGTERM)
                process.wait()
        print(f"start to watching: median {statistics.median(starts) * 1000:.0f} ms of {len(starts)} (target 250)")

        waits: list[float] = []
        with log.open("ab", buffering=0) as out:
            for n in range(count):
                had = len(sink.arrived)
                now = datetime.now(timezone.utc).isoformat(timespec="microseconds")  # noqa: TID251 - it writes the log
                line = (
                    f"{now} h sshd[{n + 10}]: Accepted password for u{n} from 203.0.113.5 port {n % 60000 + 1} ssh2\n"
                )
                begin = time.perf_counter()
                out.write(line.encode())
                while len(sink.arrived) == had:
                    time.sleep(0.0002)
                waits.append((sink.arrived[had] - begin) * 1000)
                time.sleep(0.05)
        waits = sorted(waits[5:])  # the first opens the connection
        half, most = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
        print(
            f"appended line to received request: p50 {half:.2f} ms, p99 {most:.2f} ms of {len(waits)} (targets 1.5, 10)"
        )
        before = _switches(process.pid)
        time.sleep(idle)
        woken = _switches(process.pid) - before
        rss = next(x for x in Path(f"/proc/{process.pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
        size = int(rss.split()[1]) / 1024
        print(f"idle: {woken} context switches in {idle} s (a tick in 60 s), RSS {size:.1f} MiB (target 30)")
        process.send_signal(signal.SIGTERM)
        process.wait()


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--logins", type=int, default=300)
    parser.add_argument("--idle", type=int, default=120, help="seconds of doing nothing")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="usm-bench-"))
    folder = place / "var" / "log"  # the directories on the way are watched too, and others write to /tmp
    folder.mkdir(parents=True)
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors")
    try:
        live(folder, options.logins, options.idle)
        throughput(folder, options.lines, options.repeats)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
