"""YAML → a frozen Config, or every problem at once, each with its file, its path, and what to write instead.

A channel's frozen dataclass is its schema: its fields are the keys. `secrets.yaml` beside the file has the same
shape and is merged over it. A secret `x` may be given as `x_file`, a path or the name of a systemd credential.
Both schemas of the older Go tool load: `feishu.webhook_url` at the top, and `notify.*` with `enabled`.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from typing import TYPE_CHECKING, Any, Optional, get_type_hints

import yaml

from usm.channels import CHANNELS, Channel
from usm.core.model import Secret
from usm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_PATH = "/etc/user-session-monitor/config.yaml"
DEFAULT_STATE = "/var/lib/user-session-monitor/state.db"
DEFAULT_PIDFILE = "/run/user-session-monitor/user-session-monitor.pid"
LANGUAGES = ("zh", "en")
SOURCES = ("auto", "journal", "file")
# Keys of the older tool that have no meaning here: it watched the hardware too.
_OLD_MONITORS = ("run_mode", "system", "tcp", "hardware", "heartbeat", "process", "network", "server")
_OLD_CHANNELS = ("dingtalk", "telegram", "email")
_RATE = re.compile(r"(?P<count>[1-9]\d{0,5})/(?P<span>\d{0,4})(?P<unit>s|min|h)")
_OWN_WORDS = re.compile(
    r"""(?:[^'"]|(['"])(?:.|<[a-z ]+>)\1)*""", re.DOTALL
)  # of YAML: what else it quotes may be secret
_NAME = re.compile(r"[\w .-]{1,40}")  # a key of another form may be a value in the wrong place, and that a secret
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_WORDS = {str: "text", bool: "true or false", int: "a whole number", Secret: "text"}


@dataclasses.dataclass(frozen=True)
class Notify:
    """One configured channel: its name, its type, and how many messages may go in how many seconds."""

    name: str
    type: str
    channel: Channel
    limits: tuple[tuple[int, float], ...]


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
    warnings: tuple[str, ...] = ()
    path: Optional[str] = None


def load(path: Optional[str] = None) -> Config:
    """Read the file (and `secrets.yaml` beside it); without a path the usual one, which may be missing.

    Raises ConfigError with every problem found.
    """
    chosen = path or DEFAULT_PATH
    if path is None and _absent(chosen):
        return Config(state=default_state())
    problems: list[str] = []
    data = _read(chosen, problems)
    beside = os.path.join(os.path.dirname(os.path.abspath(chosen)), "secrets.yaml")
    secrets = {} if _absent(beside) else _read(beside, problems)
    if problems:
        raise ConfigError(problems)
    reader = _Reader(chosen, beside, secrets, os.environ.get("CREDENTIALS_DIRECTORY", ""))
    config = reader.config(_merge(data, secrets))
    if reader.problems:
        raise ConfigError(reader.problems)
    return config


def default_state() -> str:
    """Return the state file's place: systemd's, the system's, or the user's own where that can't be written."""
    if os.environ.get("STATE_DIRECTORY"):
        return os.path.join(os.environ["STATE_DIRECTORY"].split(":")[0], "state.db")
    directory = os.path.dirname(DEFAULT_STATE)
    if os.geteuid() == 0 or os.access(directory, os.W_OK):
        return DEFAULT_STATE
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "user-session-monitor", "state.db")


def _absent(path: str) -> bool:
    """Tell whether there is no such file; one that can't be looked at is there, and reading it says why it can't be."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass
    return False


def _read(path: str, problems: list[str]) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            data = yaml.safe_load(file)
    except UnicodeDecodeError:
        problems.append(f"{path}: is not UTF-8 text")
    except OSError as error:
        problems.append(f"{path}: {error.strerror}; check the path and that this user may read it")
    except yaml.YAMLError as error:
        # The error's own text quotes the line, and the line may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        words = _OWN_WORDS.match(getattr(error, "problem", None) or "unreadable")
        what = words[0].strip() if words else ""
        problems.append(f"{path}{where}: is not valid YAML ({what}); text with special characters needs quotes")
    except (ValueError, RecursionError):
        problems.append(
            f"{path}: holds a value that can't be read, perhaps a date or number that is none; put it in quotes"
        )
    else:
        if data is None:
            return {}
        if isinstance(data, dict):
            return data
        problems.append(f"{path}: must hold keys such as `notify:`, not a bare {type(data).__name__}")
    return {}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


class _Reader:
    """Collects problems and warnings while the tree is turned into values."""

    def __init__(self, path: str, beside: str, secrets: Mapping[str, Any], credentials: str) -> None:
        self.path, self._beside, self._secrets, self._credentials = path, beside, secrets, credentials
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def _problem(self, where: str, text: str) -> None:
        self.problems.append(f"{self._file(where)}: {where}: {text}")

    def _warn(self, where: str, text: str) -> None:
        self.warnings.append(f"{self._file(where)}: {where}: {text}")

    def _file(self, where: str) -> str:
        """Return the file that a key was read from: the secrets are merged over the rest."""
        node: Any = self._secrets
        for key in where.split("."):
            if not isinstance(node, dict) or key not in node:
                return self.path
            node = node[key]
        return self._beside

    def config(self, data: Mapping[str, Any]) -> Config:
        self._unknown(data, "", ("language", "monitor", "state", "pidfile", "people", "notify", "feishu"))
        monitor = self._section(data, "monitor", "")
        for key in _OLD_MONITORS:
            if key in monitor:
                self._warn(
                    f"monitor.{key}", "belongs to the older tool's hardware monitors and has no meaning here; remove it"
                )
        self._unknown(monitor, "monitor", ("source", "log_file", *_OLD_MONITORS))
        source = self._choice(monitor, "source", "monitor", SOURCES)
        log_file = self._text(monitor, "log_file", "monitor")
        if log_file is not None and log_file != "auto" and not os.path.isabs(log_file):
            self._problem("monitor.log_file", "must be `auto` or an absolute path such as /var/log/auth.log")
        if log_file not in (None, "auto") and source == "journal":
            self._problem("monitor.log_file", "has no meaning beside `source: journal`; remove one of them")
        return Config(
            language=self._choice(data, "language", "", LANGUAGES) or "zh",
            source=source or "auto",
            log_file=None if log_file == "auto" else log_file,
            state=self._text(data, "state", "") or default_state(),
            pidfile=self._text(data, "pidfile", "") or DEFAULT_PIDFILE,
            people=self._people(data),
            notify=self._notify(data),
            warnings=tuple(self.warnings),
            path=self.path,
        )

    def _people(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Read whose keys are whose: key → name."""
        owners: dict[str, str] = {}
        for name, keys in self._section(data, "people", "").items():
            where = _join("people", _shown(name))
            listed = keys if isinstance(keys, list) else [keys]
            if not isinstance(name, str) or not listed or not all(isinstance(k, str) and k for k in listed):
                self._problem(where, "must be a name with a list of key fingerprints (SHA256:…) or certificate ids")
                continue
            for key in listed:
                if owners.setdefault(key, name) != name:
                    self._problem(where, f"has a key that belongs to {owners[key]} already; remove one of them")
        return owners

    def _notify(self, data: Mapping[str, Any]) -> tuple[Notify, ...]:
        sections = dict(self._section(data, "notify", ""))
        prefix = {name: _join("notify", _shown(name)) for name in sections}
        old = data.get("feishu")
        if old is not None:
            if "feishu" in sections:
                self._problem("feishu", "is given twice, here and as notify.feishu; keep the one under `notify:`")
            else:
                sections["feishu"] = old
                prefix["feishu"] = "feishu"
        found = (self._channel(name, section, prefix[name]) for name, section in sections.items())
        return tuple(notify for notify in found if notify is not None)

    def _channel(self, name: Any, section: Any, where: str) -> Optional[Notify]:  # noqa: ANN401 - from YAML
        if section is None and name == "console":  # it needs nothing below it
            section = {}
        if not isinstance(name, str) or not isinstance(section, dict):
            self._problem(where, "must be a name with keys below it, such as `webhook_url:`")
            return None
        kind = section.get("type", name)
        if "enabled" in section and not isinstance(section["enabled"], bool):
            self._problem(f"{where}.enabled", "must be true or false")
        if section.get("enabled") is False:
            return None
        if kind in _OLD_CHANNELS:
            self._warn(where, f"this version can't send to {kind} yet; no message goes there")
            return None
        if not isinstance(kind, str) or kind not in CHANNELS:
            self._problem(
                f"{where}.type" if "type" in section else where,
                f"{_quoted(kind)} is no channel type{_nearest(kind, tuple(CHANNELS))}; "
                "a channel of another name says `type: feishu`",
            )
            return None
        before = len(self.problems)
        cls = CHANNELS[kind]
        values = self._fields(cls, section, where)
        limits = self._rate(section, where, cls.limits)
        if len(self.problems) > before:
            return None
        channel = cls(**values)
        for text in channel.problems():
            self._problem(where, text)
        for text in channel.notes():
            self._warn(where, text)
        return Notify(name, kind, channel, limits)

    def _fields(self, cls: type[Any], section: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Read a dataclass's fields from the section of the same shape."""
        hints = get_type_hints(cls)
        fields = dataclasses.fields(cls)
        names = [f.name for f in fields]
        files = [f"{f.name}_file" for f in fields if Secret in _plain_types(hints[f.name])]
        self._unknown(section, where, ("type", "enabled", "rate", *names, *files))
        values: dict[str, Any] = {}
        for field in fields:
            wanted = _plain_types(hints[field.name])[0]
            path = f"{where}.{field.name}"
            value = section.get(field.name)
            if wanted is Secret and f"{field.name}_file" in section:
                if value is not None:
                    self._problem(path, f"is given twice, also as {field.name}_file; keep one")
                    continue
                value = self._from_file(section[f"{field.name}_file"], f"{path}_file")
                if value is None:
                    continue
            if value is None or value == "":
                if field.default is dataclasses.MISSING:
                    self._problem(path, f"is missing; {field.metadata.get('help', 'write ' + _WORDS[wanted])}")
                continue
            expected = str if wanted is Secret else wanted
            if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
                self._problem(path, f"must be {_WORDS[wanted]}, not {_kind(value)}{_hint_quotes(expected)}")
                continue
            choices: Sequence[str] = field.metadata.get("choices", ())
            if choices and value not in choices:
                self._problem(path, f"must be one of {', '.join(choices)}{_meant(value, choices)}")
                continue
            values[field.name] = Secret(value) if wanted is Secret else value
        return values

    def _from_file(self, name: Any, where: str) -> Optional[str]:  # noqa: ANN401 - from YAML
        if not isinstance(name, str):
            self._problem(where, "must be the path of a file that holds the secret")
            return None
        path = os.path.join(self._credentials, name)
        if not self._credentials or _absent(path):
            path = os.path.join(os.path.dirname(os.path.abspath(self.path)), name)
        try:
            with open(path, encoding="utf-8") as file:
                value = file.read().strip()
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have, or undecodable bytes
            reason = getattr(error, "strerror", None) or "is not UTF-8 text"
            self._problem(where, f"{path}: {reason}; it must hold the secret and be readable by this user")
            return None
        if not value:
            self._problem(where, f"{path}: is empty; it must hold the secret")
            return None
        return value

    def _rate(
        self, section: Mapping[str, Any], where: str, default: tuple[tuple[int, float], ...]
    ) -> tuple[tuple[int, float], ...]:
        rate = section.get("rate")
        if rate is None:
            return default
        matches = [_RATE.fullmatch(str(item)) for item in rate] if isinstance(rate, list) else [None]
        limits = tuple((int(m["count"]), float(m["span"] or 1) * _UNITS[m["unit"]]) for m in matches if m is not None)
        if len(limits) != len(matches):
            self._problem(f"{where}.rate", "must be a list such as [4/s, 80/min], or [] for none")
        return limits

    def _section(self, data: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
        value = data.get(key)
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        self._problem(_join(where, key), f"must hold keys, not {_kind(value)}")
        return {}

    def _text(self, data: Mapping[str, Any], key: str, where: str) -> Optional[str]:
        value = data.get(key)
        if value is None or (isinstance(value, str) and value and value.isprintable()):
            return value
        what = "one line of visible text" if isinstance(value, str) and value else f"text, not {_kind(value)}"
        self._problem(_join(where, key), f"must be {what}")
        return None

    def _choice(self, data: Mapping[str, Any], key: str, where: str, choices: Sequence[str]) -> Optional[str]:
        value = self._text(data, key, where)
        if value is not None and value not in choices:
            self._problem(_join(where, key), f"must be one of {', '.join(choices)}{_meant(value, choices)}")
            return None
        return value

    def _unknown(self, data: Mapping[str, Any], where: str, known: Sequence[str]) -> None:
        for key in data:
            if key not in known:
                self._problem(_join(where, _shown(key)), f"is no key that is known here{_nearest(key, known)}")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _shown(key: object) -> str:
    if not isinstance(key, str):  # `off`, `2026`
        return "(a key that YAML takes for something else than a word; put it in quotes)"
    return key if _NAME.fullmatch(key) else "(a key that is no plain word; is the `: ` behind it missing?)"


def _quoted(value: object) -> str:
    return f"`{value}`" if isinstance(value, str) else _kind(value)


def _kind(value: object) -> str:
    """Name a value's type in the words of YAML, never the value: it may be a secret."""
    names = {
        dict: "a group of keys",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
    }
    return "nothing" if value in (None, "") else names.get(type(value), f"a {type(value).__name__}")


def _hint_quotes(expected: type) -> str:
    return "; put it in quotes" if expected is str else ""


def _meant(word: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _nearest(word: object, known: Sequence[str]) -> str:
    return _meant(word, known) or f"; known are {', '.join(known)}"


def _plain_types(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a type hint
    """`Optional[X]` → (X,); `X` → (X,)."""
    return tuple(a for a in getattr(hint, "__args__", ()) if a is not type(None)) or (hint,)
