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
from urllib.parse import urlsplit

from usm import policy, routing
from usm.channels import CHANNELS, Channel
from usm.core.model import Secret
from usm.core.policy import Policy
from usm.errors import ConfigError
from usm.settings import Settings, absent, join, merge, nearest, quoted, read, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usm.core.route import Match, Route

DEFAULT_PATH = "/etc/user-session-monitor/config.yaml"
DEFAULT_STATE = "/var/lib/user-session-monitor/state.db"
DEFAULT_PIDFILE = "/run/user-session-monitor/user-session-monitor.pid"
DEFAULT_RETENTION = timedelta(days=180)  # six months, as GB/T 22239 (等保) demands
SHORTEST_RETENTION = timedelta(days=1)  # what is younger is still folded, retried and counted
_KNOWN = ("language", "monitor", "state", "pidfile", "people", "notify", "ignore", "retention", "metrics", *policy.OWN)
LANGUAGES = ("zh", "en")
SOURCES = ("auto", "journal", "file")
# Keys of the older tool that have no meaning here: it watched the hardware too.
_OLD_MONITORS = ("run_mode", "system", "tcp", "hardware", "heartbeat", "process", "network", "server")
_RATE = re.compile(r"(?P<count>[1-9]\d{0,5})/(?P<span>\d{0,4})(?P<unit>s|min|h)")
_LISTEN = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+)):(?P<port>\d{1,5})", re.ASCII)
_HIGHEST_PORT = 65535
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
# What every channel may have beside its own keys.
_COMMON = ("type", "enabled", "rate", "language", "title", "body", "proxy", "proxy_file", "ca_file", *routing.KEYS)


@dataclasses.dataclass(frozen=True)
class Notify:
    """One configured channel: its name, its type, how many messages may go in how many seconds, who is told what.

    `language`, `title` and `body` are how its messages are written, where it is not as everywhere else.
    """

    name: str
    type: str
    channel: Channel
    limits: tuple[tuple[int, float], ...]
    route: Route
    language: Optional[str] = None
    title: Optional[str] = None
    body: Optional[str] = None
    proxy: Optional[Secret] = None
    ca_file: Optional[str] = None


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
            notify=self._notify(data),
            ignore=routing.matches(self, data.get("ignore"), "ignore"),
            retention=self._retention(data, judged.history),
            metrics=self._metrics(data),
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

    def _notify(self, data: Mapping[str, Any]) -> tuple[Notify, ...]:
        sections = dict(self.section(data, "notify", ""))
        prefix = {name: join("notify", shown(name)) for name in sections}
        old = data.get("feishu")
        if old is not None:
            if "feishu" in sections:
                self.problem("feishu", "is given twice, here and as notify.feishu; keep the one under `notify:`")
            else:
                sections["feishu"] = old
                prefix["feishu"] = "feishu"
        found = (self._channel(name, section, prefix[name]) for name, section in sections.items())
        return tuple(notify for notify in found if notify is not None)

    def _channel(self, name: Any, section: Any, where: str) -> Optional[Notify]:  # noqa: ANN401 - from YAML
        if section is None and name == "console":  # it needs nothing below it
            section = {}
        if not isinstance(name, str) or not isinstance(section, dict):
            self.problem(where, "must be a name with keys below it, such as `webhook_url:`")
            return None
        kind = section.get("type", name)
        if "enabled" in section and not isinstance(section["enabled"], bool):
            self.problem(f"{where}.enabled", "must be true or false")
        if section.get("enabled") is False:
            return None
        if not isinstance(kind, str) or kind not in CHANNELS:
            self.problem(
                f"{where}.type" if "type" in section else where,
                f"{quoted(kind)} is no channel type{nearest(kind, tuple(CHANNELS))}; "
                "a channel of another name says `type: feishu`",
            )
            return None
        before = len(self.problems)
        cls = CHANNELS[kind]
        values = self.fields(cls, section, where, _COMMON)
        limits = self._rate(section, where, cls.limits)
        route = routing.route(self, section, where, name, digests=cls.digests)
        title, body = (routing.template(self, section, key, where) for key in ("title", "body"))
        language = self.choice(section, "language", where, LANGUAGES)
        proxy, ca_file = self._proxy(section, where), self._ca_file(section, where)
        if len(self.problems) > before:
            return None
        channel = cls(**values)
        for text in channel.problems():
            self.problem(where, text)
        for text in channel.notes():
            self.warn(where, text)
        return Notify(name, kind, channel, limits, route, language, title, body, proxy, ca_file)

    def _proxy(self, section: Mapping[str, Any], where: str) -> Optional[Secret]:
        """Read a proxy's address, which may hold a password."""
        value = section.get("proxy")
        if "proxy_file" in section:
            if value is not None:
                self.problem(join(where, "proxy"), "is given twice, also as proxy_file; keep one")
                return None
            value = self.from_file(section["proxy_file"], join(where, "proxy_file"))
        if value is None:
            return None
        try:
            parts = urlsplit(value) if isinstance(value, str) and re.fullmatch(r"[!-~]+", value) else None
            sound = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts and parts.port  # raises ValueError where it is no number
        except ValueError:
            sound = False
        if not sound:
            self.problem(
                join(where, "proxy"), "must be the address of an HTTP proxy, such as http://proxy.example:3128"
            )
        return Secret(value) if sound else None

    def _ca_file(self, section: Mapping[str, Any], where: str) -> Optional[str]:
        """Read where the certificates of an authority of one's own are."""
        path = self.text(section, "ca_file", where)
        if path is not None and not os.path.isabs(path):
            self.problem(join(where, "ca_file"), "must be an absolute path, of a file with certificates in PEM")
        return path

    def _rate(
        self, section: Mapping[str, Any], where: str, default: tuple[tuple[int, float], ...]
    ) -> tuple[tuple[int, float], ...]:
        rate = section.get("rate")
        if rate is None:
            return default
        matches = [_RATE.fullmatch(str(item)) for item in rate] if isinstance(rate, list) else [None]
        limits = tuple((int(m["count"]), float(m["span"] or 1) * _UNITS[m["unit"]]) for m in matches if m is not None)
        if len(limits) != len(matches):
            self.problem(f"{where}.rate", "must be a list such as [4/s, 80/min], or [] for none")
        return limits
