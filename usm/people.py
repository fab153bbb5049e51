"""Whose key is it? The person that the configuration names, and the comment beside the key in `authorized_keys`.

Everybody may write any comment beside a key of the own account; it is the account owner's word.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import pwd
import re
import socket
import stat
from glob import escape, glob
from typing import TYPE_CHECKING, Optional

from usm.core.model import Account, Host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SSHD = "/etc/ssh/sshd_config"
_USUAL = (".ssh/authorized_keys", ".ssh/authorized_keys2")
_SETTING = re.compile(r"^\s*AuthorizedKeysFile[\s=]+([^#\n]+)", re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(
    r"(?:^|\s)(?:ssh-[a-z0-9]+|ecdsa-sha2-\S+|sk-(?:ssh|ecdsa)\S+)\s+(?P<blob>AAAA[A-Za-z0-9+/=]+)\s*(?P<comment>.*)"
)
_MOST = 64  # files whose keys are remembered
_LARGEST = 1 << 18  # bytes of a file of keys that are read


class People:
    """Answers whose key it is; `config` is the main configuration of sshd."""

    def __init__(self, named: Mapping[str, str], config: str = _SSHD) -> None:
        self._named = named
        self._places = _places(config)
        self._read: dict[str, tuple[object, Mapping[str, str]]] = {}

    def owner(self, user: Optional[str], key: Optional[str]) -> tuple[Optional[str], Optional[str]]:
        """Return the person and the comment that belong to a key's fingerprint or a certificate's id."""
        if key is None:
            return None, None
        return self._named.get(key), self._comment(user or "", key)

    def _comment(self, user: str, key: str) -> Optional[str]:
        try:
            account = pwd.getpwnam(user)
        except (KeyError, ValueError):
            return None
        for place in self._places:
            path = (
                place.replace("%%", "\0")
                .replace("%h", account.pw_dir)
                .replace("%u", user)
                .replace("%U", str(account.pw_uid))
            )
            path = os.path.join(account.pw_dir, path.replace("\0", "%"))
            comment = self._comments(path).get(key)
            if comment is not None:
                return comment or None
        return None

    def _comments(self, path: str) -> Mapping[str, str]:
        """Return fingerprint → comment of a file; it is read again only when it has changed."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return {}
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._read.get(path, (None, {}))[0] != seen:
            if len(self._read) >= _MOST:
                self._read.clear()
            self._read[path] = (seen, dict(_keys(path)))
        return self._read[path][1]


def uid_of(user: str) -> Optional[int]:
    """Return the uid of a user of this machine."""
    account = account_of(user)
    return None if account is None else account.uid


def account_here(host: str, user: str) -> Optional[Account]:
    """Return what this machine knows of a user, if it is this machine's."""
    return account_of(user) if Host(socket.gethostname()).is_called(host) else None


def account_of(user: str) -> Optional[Account]:
    """Return what this machine knows of a user."""
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError, OSError):  # ValueError: no name of a user, such as one with a zero byte
        return None
    return Account(entry.pw_uid, entry.pw_shell)


def _places(config: str) -> tuple[str, ...]:
    """Return where sshd looks for keys: the first setting counts, and distributions include the drop-ins first."""
    for path in (*sorted(glob(f"{escape(config)}.d/*.conf")), config):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                match = _SETTING.search(file.read(_LARGEST))
        except OSError:
            continue
        if match is not None:
            return tuple(name for name in match[1].replace('"', "").split() if name != "none")
    return _USUAL


def _keys(path: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of a file, each as OpenSSH's SHA-256 fingerprint, with its comment."""
    try:
        # The path is a user's, and may lead anywhere: it is looked at before it is opened for reading.
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    text = ""
    try:
        if stat.S_ISREG(os.fstat(place).st_mode):
            with open(f"/proc/self/fd/{place}", "rb") as file:
                text = file.read(_LARGEST).decode("utf-8", "backslashreplace")
    except OSError:
        return
    finally:
        os.close(place)
    for line in text.split("\n"):
        match = None if line.lstrip().startswith("#") else _TYPE.search(line)
        if match is not None:
            try:
                digest = hashlib.sha256(base64.b64decode(match["blob"], validate=True)).digest()
            except binascii.Error:
                continue
            yield "SHA256:" + base64.b64encode(digest).decode().rstrip("="), match["comment"].strip()
