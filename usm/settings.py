"""Trees of YAML → values, and every problem at once: what a key must hold, in words that say what to write instead.

A frozen dataclass is a schema: its fields are the keys. Their `metadata`: `help`, one line; `choices`, if only some
values are allowed; `key`, if the key has another name; `number`, if a text may be written as a number. A secret `x` may
be given as `x_file`, a path or a systemd credential. No value is ever repeated in a problem: it may be a secret.
"""

from __future__ import annotations

import dataclasses
import difflib
import grp
import os
import re
from typing import TYPE_CHECKING, Any, Optional, get_type_hints

import yaml

from usm.core.model import Secret
from usm.core.tame import JOINT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Of YAML: what else it quotes may be secret.
_OWN_WORDS = re.compile(r"""(?:[^'"]|(['"])(?:.|<[a-z ]+>)\1)*""", re.DOTALL)
_NAME = re.compile(r"[\w .-]{1,40}")  # a key of another form may be a value in the wrong place, and that a secret
_DURATION = re.compile(r"(?P<amount>\d{1,6})(?P<unit>s|m|min|h|d)?")
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS = {str: "text", bool: "true or false", int: "a whole number", Secret: "text"}


def absent(path: str) -> bool:
    """Tell whether there is no such file; one that can't be looked at is there, and reading it says why it can't be."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass
    return False


def read(path: str, problems: list[str]) -> dict[str, Any]:
    """Return the tree in a file, an empty one where it can't be had."""
    try:
        with open(path, encoding="utf-8") as file:
            data = yaml.safe_load(file.read().replace(JOINT, ""))  # what was copied from a chat has them, unseen
    except UnicodeDecodeError:
        problems.append(f"{path}: is not UTF-8 text")
    except PermissionError:
        problems.append(
            f"{path}: Permission denied; this must be run as root, or the file given to this user's group: "
            f"chgrp {_own_group()} {path}; chmod 640 {path}"
        )
    except OSError as error:
        problems.append(f"{path}: {error.strerror}; check the path")
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


def _own_group() -> str:
    try:
        return grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return str(os.getegid())


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree over another."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


class Settings:
    """Collects problems and warnings while the tree is turned into values."""

    def __init__(self, path: str, beside: str, secrets: Mapping[str, Any], credentials: str) -> None:
        self.path, self._beside, self._secrets, self._credentials = path, beside, secrets, credentials
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def problem(self, where: str, text: str) -> None:
        """Note what is wrong with a key."""
        self.problems.append(f"{self._file(where)}: {where}: {text}")

    def warn(self, where: str, text: str) -> None:
        """Note what an operator should know of a key."""
        self.warnings.append(f"{self._file(where)}: {where}: {text}")

    def _file(self, where: str) -> str:
        """Return the file that a key was read from: the secrets are merged over the rest."""
        node: Any = self._secrets
        for key in where.split("."):
            if not isinstance(node, dict) or key not in node:
                return self.path
            node = node[key]
        return self._beside

    def fields(
        self, cls: type[Any], section: Mapping[str, Any], where: str, also: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Read a dataclass's fields from the section of the same shape, in which the keys `also` may stand too."""
        hints = get_type_hints(cls)
        fields = dataclasses.fields(cls)
        names = {f.name: str(f.metadata.get("key", f.name)) for f in fields}
        files = [f"{names[f.name]}_file" for f in fields if Secret in _plain_types(hints[f.name])]
        self.unknown(section, where, (*names.values(), *files, *also))
        values: dict[str, Any] = {}
        for field in fields:
            value = self._value(field, hints[field.name], names[field.name], section, where)
            if value is not None:
                values[field.name] = value
        return values

    def _value(self, field: dataclasses.Field[Any], hint: Any, key: str, section: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - a type hint, and a value of that type
        """Read one field; None where it is absent or wrong."""
        wanted, path, value = _plain_types(hint)[0], f"{where}.{key}", section.get(key)
        many = getattr(hint, "__origin__", None) is tuple
        if wanted is Secret and f"{key}_file" in section:
            if value is not None:
                self.problem(path, f"is given twice, also as {key}_file; keep one")
                return None
            value = self.from_file(section[f"{key}_file"], f"{path}_file")
            if value is None:
                return None
            value = value.split() if many else value
        if value is None or value in ("", []):
            if field.default is dataclasses.MISSING:
                self.problem(path, f"is missing; {field.metadata.get('help', 'write ' + _WORDS[wanted])}")
            return None
        if many:
            return self._several(value, wanted, path)
        if field.metadata.get("number") and type(value) is int:  # a name that looks like a number
            value = str(value)
        expected = str if wanted is Secret else wanted
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            self.problem(path, f"must be {_WORDS[wanted]}, not {kind_of(value)}{_hint_quotes(expected)}")
            return None
        choices: Sequence[str] = field.metadata.get("choices", ())
        if choices and value not in choices:
            self.problem(path, f"must be one of {', '.join(choices)}{meant(value, choices)}")
            return None
        return Secret(value) if wanted is Secret else value

    def _several(self, value: Any, wanted: type, path: str) -> Optional[tuple[Any, ...]]:  # noqa: ANN401 - from YAML
        """Read a list of texts; a single one needs no list."""
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) and item for item in items):
            self.problem(path, "must be text, or a list of texts")
            return None
        return tuple(Secret(item) for item in items) if wanted is Secret else tuple(items)

    def seconds(self, data: Mapping[str, Any], key: str, where: str) -> Optional[float]:
        """Read a duration such as `30s`, `5m`, `1h`; a number alone is in seconds."""
        value = data.get(key)
        if value is None:
            return None
        match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value))
        if match is None:
            self.problem(join(where, key), "must be a time such as 30s, 5m or 1h")
            return None
        return int(match["amount"]) * _UNITS[match["unit"] or "s"]

    def words(self, data: Mapping[str, Any], key: str, where: str, known: Sequence[str] = ()) -> tuple[str, ...]:
        """Read one word or a list of words, of which only the `known` are allowed if there are any."""
        value = data.get(key)
        if value is None:
            return ()
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, str) and item for item in items):
            self.problem(join(where, key), "must be text, or a list of texts; put numbers in quotes")
            return ()
        for item in items:
            if known and item not in known:
                self.problem(join(where, key), f"must be one of {', '.join(known)}{meant(item, known)}")
                return ()
        return tuple(items)

    def from_file(self, name: Any, where: str) -> Optional[str]:  # noqa: ANN401 - from YAML
        """Return the secret in a file, None where there is none."""
        if not isinstance(name, str):
            self.problem(where, "must be the path of a file that holds the secret")
            return None
        path = os.path.join(self._credentials, name)
        if not self._credentials or absent(path):
            path = os.path.join(os.path.dirname(os.path.abspath(self.path)), name)
        try:
            with open(path, encoding="utf-8") as file:
                value = file.read().strip()
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have, or undecodable bytes
            reason = getattr(error, "strerror", None) or "is not UTF-8 text"
            self.problem(where, f"{path}: {reason}; it must hold the secret and be readable by this user")
            return None
        if not value:
            self.problem(where, f"{path}: is empty; it must hold the secret")
            return None
        return value

    def section(self, data: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
        """Return the keys below a key, none where it is absent."""
        value = data.get(key)
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        self.problem(join(where, key), f"must hold keys, not {kind_of(value)}")
        return {}

    def text(self, data: Mapping[str, Any], key: str, where: str) -> Optional[str]:
        """Read one line of visible text."""
        value = data.get(key)
        if value is None or (isinstance(value, str) and value and value.isprintable()):
            return value
        what = "one line of visible text" if isinstance(value, str) and value else f"text, not {kind_of(value)}"
        self.problem(join(where, key), f"must be {what}")
        return None

    def choice(self, data: Mapping[str, Any], key: str, where: str, choices: Sequence[str]) -> Optional[str]:
        """Read one of several words."""
        value = self.text(data, key, where)
        if value is not None and value not in choices:
            self.problem(join(where, key), f"must be one of {', '.join(choices)}{meant(value, choices)}")
            return None
        return value

    def unknown(self, data: Mapping[str, Any], where: str, known: Sequence[str]) -> None:
        """Note the keys that nobody knows."""
        for key in data:
            if key not in known:
                self.problem(join(where, shown(key)), f"is no key that is known here{nearest(key, known)}")


def join(where: str, key: str) -> str:
    """Return the path of a key below another."""
    return f"{where}.{key}" if where else key


def shown(key: object) -> str:
    """Return a key as it may be shown."""
    if not isinstance(key, str):  # `off`, `2026`
        return "(a key that YAML takes for something else than a word; put it in quotes)"
    return key if _NAME.fullmatch(key) else "(a key that is no plain word; is the `: ` behind it missing?)"


def quoted(value: object) -> str:
    """Return a word as it may be shown."""
    return f"`{value}`" if isinstance(value, str) else kind_of(value)


def kind_of(value: object) -> str:
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


def meant(word: object, known: Sequence[str]) -> str:
    """Ask whether a similar word was meant."""
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def nearest(word: object, known: Sequence[str]) -> str:
    """Ask whether a similar word was meant, or list them all."""
    return meant(word, known) or f"; known are {', '.join(known)}"


def _plain_types(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a type hint
    """`Optional[X]` → (X,); `tuple[X, ...]` → (X,); `X` → (X,)."""
    return tuple(a for a in getattr(hint, "__args__", ()) if a not in (type(None), ...)) or (hint,)
