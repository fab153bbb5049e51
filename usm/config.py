"""YAML → a frozen Config, or every problem at once, each with its file, its path, and what to write instead.

A channel's frozen dataclass is its schema: its fields are the keys. `secrets.yaml` beside the file has the same
shape and is merged over it. A secret `x` may be given as `x_file`, a path or the name of a systemd credential.
Both schemas of the older Go tool load: `feishu.webhook_url` at the top, and `notify.*` with `enabled`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Optional

from usm import policy, routing
from usm.core.policy import Policy
from usm.errors import ConfigError
from usm.notify import LANGUAGES, Notify, channels
from usm.settings import Settings, absent, join, merge, read, shown
from usm.weekly import DAYS, Plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usm.core.route import Match

DEFAULT_PATH = "/etc/user-session-monitor/config.yaml"
DEFAULT_STATE = "/var/lib/user-session-monitor/state.db"
DEFAULT_PIDFILE = "/run/user-session-monitor/user-session-monitor.pid"
DEFAULT_RETENTION = timedelta(days=180)  # six months, as GB/T 22239 (等保) demands
SHORTEST_RETENTION = timedelta(days=1)  # what is younger is still folded, retried and counted
_KNOWN = (
    "language",
    "monitor",
    "state",
    "pidfile",
    "people",
    "notify",
    "ignore",
    "retention",
    "metrics",
    "summary",
    "report",
    *policy.OWN,
)
SOURCES = ("auto", "journal", "file")
# Keys of the older tool that have no meaning here: it watched the hardware too.
_OLD_MONITORS = ("run_mode", "system", "tcp", "hardware", "heartbeat", "process", "network", "server")
_CLOCK = re.compile(r"(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]\d)", re.ASCII)
_DAY = 24 * 60
_LISTEN = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+)):(?P<port>\d{1,5})", re.ASCII)
_HIGHEST_PORT = 65535


@dataclasses.dataclass(frozen=True)
class Config:
    """The whole configuration; `warnings` are for the operator, `path` is None where there is no file."""

    language: str = "zh"
    source: str = "auto"
    log_file: Optional[str] = None
    state: str = DEFAULT_STATE
    pidfile: str = DEFAULT_PIDFILE
    people: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notify: tuple[Notify, ...] = ()
    ignore: tuple[Match, ...] = ()
    retention: timedelta = DEFAULT_RETENTION
    metrics: Optional[tuple[str, int]] = None
    summary: Optional[int] = None  # minutes after midnight
    report: Optional[Plan] = None
    policy: Policy = dataclasses.field(default_factory=Policy)
    places: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    path: Optional[str] = None


def load(path: Optional[str] = None) -> Config:
    """Read the file (and `secrets.yaml` beside it); without a path the usual one, which may be missing.

    Raises ConfigError with every problem found.
    """
    config, problems = survey(path)
    if problems:
        raise ConfigError(problems)
    return config


def survey(path: Optional[str] = None) -> tuple[Config, list[str]]:
    """Return what can be had of the configuration, and every problem: stopping or looking needs no perfect file."""
    chosen = path or DEFAULT_PATH
    usual = Config(state=default_state(), pidfile=default_pidfile())
    if path is None and absent(chosen):
        return usual, []
    problems: list[str] = []
    data = read(chosen, problems)
    beside = os.path.join(os.path.dirname(os.path.abspath(chosen)), "secrets.yaml")
    secrets = {} if absent(beside) else read(beside, problems)
    if problems:
        return usual, problems
    reader = _Reader(chosen, beside, secrets, os.environ.get("CREDENTIALS_DIRECTORY", ""))
    return reader.config(merge(data, secrets)), reader.problems


def default_pidfile() -> str:
    """Return the pidfile's place: systemd's, the system's, or beside the user's own state."""
    if os.environ.get("RUNTIME_DIRECTORY"):
        return os.path.join(os.environ["RUNTIME_DIRECTORY"].split(":")[0], os.path.basename(DEFAULT_PIDFILE))
    if os.geteuid() == 0 or os.access(os.path.dirname(DEFAULT_PIDFILE), os.W_OK):
        return DEFAULT_PIDFILE
    return os.path.join(os.path.dirname(default_state()), os.path.basename(DEFAULT_PIDFILE))


def default_state() -> str:
    """Return the state file's place: systemd's, the system's, or the user's own where that can't be written."""
    if os.environ.get("STATE_DIRECTORY"):
        return os.path.join(os.environ["STATE_DIRECTORY"].split(":")[0], "state.db")
    directory = os.path.dirname(DEFAULT_STATE)
    if os.geteuid() == 0 or os.access(directory, os.W_OK):
        return DEFAULT_STATE
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "user-session-monitor", "state.db")


class _Reader(Settings):
    """Turns the tree into values."""

    def config(self, data: Mapping[str, Any]) -> Config:
        self.unknown(data, "", (*_KNOWN, "feishu"))
        monitor = self.section(data, "monitor", "")
        for key in _OLD_MONITORS:
            if key in monitor:
                self.warn(
                    f"monitor.{key}", "belongs to the older tool's hardware monitors and has no meaning here; remove it"
                )
        self.unknown(monitor, "monitor", ("source", "log_file", *_OLD_MONITORS))
        source = self.choice(monitor, "source", "monitor", SOURCES)
        log_file = self.text(monitor, "log_file", "monitor")
        if log_file is not None and log_file != "auto" and not os.path.isabs(log_file):
            self.problem("monitor.log_file", "must be `auto` or an absolute path such as /var/log/auth.log")
        if log_file not in (None, "auto") and source == "journal":
            self.problem("monitor.log_file", "has no meaning beside `source: journal`; remove one of them")
        judged, places = policy.policy(self, data)
        return Config(
            language=self.choice(data, "language", "", LANGUAGES) or "zh",
            source=source or "auto",
            log_file=None if log_file == "auto" else log_file,
            state=self.text(data, "state", "") or default_state(),
            pidfile=self.text(data, "pidfile", "") or default_pidfile(),
            people=self._people(data),
            notify=channels(self, data),
            ignore=routing.matches(self, data.get("ignore"), "ignore"),
            retention=self._retention(data, judged.history),
            metrics=self._metrics(data),
            summary=self._clock(data, "summary", ""),
            report=self._report(data),
            policy=judged,
            places=places,
            warnings=tuple(self.warnings),
            path=self.path,
        )

    def _retention(self, data: Mapping[str, Any], history: timedelta) -> timedelta:
        seconds = self.seconds(data, "retention", "")
        retention = DEFAULT_RETENTION if seconds is None else timedelta(seconds=seconds)
        if retention < SHORTEST_RETENTION:
            self.problem("retention", "must be a day (1d) at least; 180d is usual")
        if retention < history:
            self.warn(
                "retention", f"is shorter than judge.history ({history.days}d): what is usual is forgotten with it"
            )
        return retention

    def _metrics(self, data: Mapping[str, Any]) -> Optional[tuple[str, int]]:
        """Read where metrics can be asked for: on this machine only, as whoever asks is not asked who he is."""
        section = self.section(data, "metrics", "")
        self.unknown(section, "metrics", ("listen",))
        text = self.text(section, "listen", "metrics")
        if text is None:
            return None
        match = _LISTEN.fullmatch(text)
        port = int(match["port"]) if match else 0
        try:
            address = ip_address((match["six"] or match["four"]) if match else "")
        except ValueError:
            address = None
        if address is None or not address.is_loopback or not 0 < port <= _HIGHEST_PORT:
            self.problem("metrics.listen", "must be a loopback address with a port, such as 127.0.0.1:9773")
            return None
        return str(address), port

    def _report(self, data: Mapping[str, Any]) -> Optional[Plan]:
        """Read when an access review is made, and for whom."""
        if data.get("report") is None:
            return None
        section = self.section(data, "report", "")
        self.unknown(section, "report", ("day", "at", "directory", "mail"))
        day, at = self.choice(section, "day", "report", DAYS) or DAYS[0], self._clock(section, "at", "report")
        directory, mail = (self.text(section, key, "report") for key in ("directory", "mail"))
        if directory is not None and not os.path.isabs(directory):
            self.problem("report.directory", "must be an absolute path, of a directory that the service may write to")
        if directory is None and mail is None:
            self.problem("report", "needs `directory:` or `mail:`, the name of an e-mail channel")
        listed = self.section(data, "notify", "")
        channel = listed.get(mail) if mail is not None else None
        if mail is not None and not (isinstance(channel, dict) and channel.get("type", mail) == "email"):
            self.problem("report.mail", "must be the name of a channel of type email below `notify:`")
        return Plan(DAYS.index(day), 7 * 60 if at is None else at, directory, mail)

    def _clock(self, data: Mapping[str, Any], key: str, where: str) -> Optional[int]:
        """Read a time of the day, such as `08:30`, as minutes; YAML itself reads `10:30` as minutes already."""
        value = data.get(key)
        match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
        minutes = int(match["h"]) * 60 + int(match["m"]) if match else value
        if value is None or (type(minutes) is int and 0 <= minutes < _DAY):
            return minutes
        self.problem(join(where, key), 'must be a time of the day such as "08:30"')
        return None

    def _people(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Read whose keys are whose: key → name."""
        owners: dict[str, str] = {}
        for name, keys in self.section(data, "people", "").items():
            where = join("people", shown(name))
            listed = keys if isinstance(keys, list) else [keys]
            if not isinstance(name, str) or not listed or not all(isinstance(k, str) and k for k in listed):
                self.problem(where, "must be a name with a list of key fingerprints (SHA256:…) or certificate ids")
                continue
            for key in listed:
                if owners.setdefault(key, name) != name:
                    self.problem(where, f"has a key that belongs to {owners[key]} already; remove one of them")
        return owners
