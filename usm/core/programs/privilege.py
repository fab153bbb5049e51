"""su, sudo and doas: who acted as whom, with what; and who was refused.

Both ends of such a line are chosen by local users: the directory, the command, a name that was typed. Where they
could be read in two ways, the event says who acted, and leaves the rest out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from usm.core import model
from usm.core.model import Event
from usm.core.programs.row import Build, Program, row

if TYPE_CHECKING:
    from usm.core.model import Record

SERVICES = ("su", "sudo", "doas")
_NOBODY = ("none", "unknown", "???", "")  # instead of a terminal


def is_failed_login(event: Event) -> bool:
    """Tell whether somebody did not get in; a refusal of su or sudo is another thing, of somebody who is in."""
    return event.kind == model.FAILED and event.service not in SERVICES


def _terminal(tty: Optional[str]) -> Optional[str]:
    name = (tty or "").rpartition("/dev/")[2]
    return None if name in _NOBODY else name


def _event(record: Record, kind: str, service: str, user: str, tty: Optional[str] = None) -> Event:
    """In the journal it carries who started it: `Intake` believes what users' processes say of these users only."""
    event = Event(kind, record.time, record.host, service, user, tty=_terminal(tty), pid=record.pid)
    return event._replace(uid=record.uid, owner=record.owner) if record.uid else event


def _acted(service: str) -> Build:
    def build(record: Record, match: re.Match[str]) -> Optional[Event]:
        event = _event(record, model.PRIVILEGE, service, match["user"], match.groupdict().get("tty"))
        return event._replace(target=match["target"])

    return build


def _refused(service: str) -> Build:
    def build(record: Record, match: re.Match[str]) -> Optional[Event]:
        facts = match.groupdict()
        event = _event(record, model.FAILED, service, facts["user"], facts.get("tty"))
        return event._replace(method="password", target=facts.get("target"))

    return build


def _not_permitted(record: Record, match: re.Match[str]) -> Optional[Event]:
    return _event(record, model.FAILED, "doas", match["user"])._replace(command=match["command"])


def _sudo(record: Record, match: re.Match[str]) -> Optional[Event]:
    """A reason before the fields means a refusal; it may hold the number of wrong passwords.

    Cut with `partition`, not with an expression: a user chooses how often the words come, and each must be looked at
    once.
    """
    _, user, options = match["rest"].partition(" ; USER=")
    options, command, text = options.partition(" ; COMMAND=")
    if not user or not command:
        return None
    reason = match["reason"]
    event = _event(record, model.PRIVILEGE if reason is None else model.FAILED, "sudo", match["user"], match["tty"])
    if " ; USER=" not in options + text and " ; COMMAND=" not in text:
        event = event._replace(target=options.partition(" ; ")[0], command=text)
    tries = _TRIES.fullmatch(reason or "")
    return event._replace(method="password", count=int(tries[1])) if tries else event


def _doas(record: Record, match: re.Match[str]) -> Optional[Event]:
    twice = len(_AS.findall(match["rest"])) > 1
    event = _event(record, model.PRIVILEGE, "doas", match["user"])
    return event if twice else event._replace(target=match["target"], command=match["command"])


_TRIES = re.compile(r"(\d{1,4}) incorrect password attempts?", re.ASCII)
_AS = re.compile(r" as \S+ from ", re.ASCII)
_WHO = r"(?P<user>[^\s():]{1,256})"
SU = Program(
    "su",
    ("su",),
    (
        row(
            rf"\(to (?P<target>\S{{1,256}})\) {_WHO} on (?P<tty>\S{{1,64}})", _acted("su"), anyone=True, of="util-linux"
        ),
        row(
            rf"FAILED SU \(to (?P<target>.*)\) {_WHO} on (?P<tty>\S{{1,64}})",
            _refused("su"),
            rb"FAILED SU ",
            anyone=True,
            of="util-linux",
        ),
        row(rf"Successful su for (?P<target>\S{{1,256}}) by {_WHO}", _acted("su"), anyone=True, of="shadow"),
        row(rf"FAILED su for (?P<target>.*) by {_WHO}", _refused("su"), b"FAILED su ", anyone=True, of="shadow"),
    ),
    frozenset(("su",)),
    setuid=True,
    unnumbered=True,
)
SUDO = Program(
    "sudo",
    ("sudo",),
    (
        row(
            r" *(?P<user>[^\s:][^:]{0,255}?) : (?:(?P<reason>[^;=]{1,80}) ; )?(?:HOST=\S{0,255} ; )?"
            r"(?:TTY=(?P<tty>[^;]{0,64}?) ; )?(?:CHROOT=[^;]{0,4096} ; )?PWD=(?P<rest>.*)",
            _sudo,
            rb" *[^ :\n][^:\n]* : ",
            free=True,
            anyone=True,
        ),
    ),
    frozenset(("sudo", "sudo-rs")),
    setuid=True,
    unnumbered=True,
)
DOAS = Program(
    "doas",
    ("doas",),
    (
        row(
            rf"{_WHO} ran command (?P<rest>(?P<command>.*) as (?P<target>\S{{1,256}}) from .*)",
            _doas,
            rb"\S+ ran command ",
            free=True,
            anyone=True,
        ),
        row(rf"failed auth for {_WHO}", _refused("doas"), anyone=True),
        row(rf"command not permitted for {_WHO}: (?P<command>.*)", _not_permitted, anyone=True),
    ),
    frozenset(("doas",)),
    setuid=True,
    unnumbered=True,
)
