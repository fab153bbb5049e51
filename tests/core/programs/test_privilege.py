"""usm/core/programs/privilege.py: real lines of su, sudo and doas, and what local users may write into them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

import pytest

from usm.core.model import Record
from usm.core.recognize import recognize

if TYPE_CHECKING:
    from usm.core.model import Event

TIME = datetime(2026, 11, 25, 2, 0, tzinfo=timezone.utc)
ACTED, REFUSED = "privilege", "failed"


def told(appname: str, message: str, uid: Optional[int] = None, owner: Optional[int] = None) -> Optional[Event]:
    """What a message is recognised as."""
    return recognize(Record(TIME, "h", appname, 77, message, uid, owner=owner))


@pytest.mark.parametrize(
    ("tag", "message", "want"),
    [
        ("su", "(to root) alice on pts/1", {"kind": ACTED, "user": "alice", "target": "root", "tty": "pts/1"}),
        ("su", "(to alice) root on none", {"kind": ACTED, "user": "root", "target": "alice", "tty": None}),
        (
            "su",
            "FAILED SU (to root) alice on pts/1",
            {"kind": REFUSED, "user": "alice", "target": "root", "tty": "pts/1", "method": "password"},
        ),
        ("su", "Successful su for root by alice", {"kind": ACTED, "user": "alice", "target": "root", "tty": None}),
        ("su", "FAILED su for root by alice", {"kind": REFUSED, "user": "alice", "target": "root"}),
        (  # the name that was typed is a stranger's: who acted is the last word but two
            "su",
            "FAILED SU (to root) bob on pts/9) alice on pts/1",
            {"kind": REFUSED, "user": "alice", "target": "root) bob on pts/9", "tty": "pts/1"},
        ),
        (
            "su",
            "FAILED su for root by bob by alice",
            {"kind": REFUSED, "user": "alice", "target": "root by bob"},
        ),
        (
            "sudo",
            "   alice : TTY=pts/1 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/true",
            {"kind": ACTED, "user": "alice", "target": "root", "tty": "pts/1", "command": "/usr/bin/true"},
        ),
        (
            "sudo",
            "   alice : PWD=/ ; USER=root ; COMMAND=/usr/bin/true",
            {"kind": ACTED, "user": "alice", "target": "root", "tty": None},
        ),
        ("sudo", "   alice : TTY=unknown ; PWD=/ ; USER=root ; COMMAND=/usr/bin/true", {"kind": ACTED, "tty": None}),
        (
            "sudo",
            "   alice : TTY=pts/1 ; PWD=/home/alice ; USER=bob ; GROUP=alice ; COMMAND=/usr/bin/id",
            {"kind": ACTED, "target": "bob", "command": "/usr/bin/id"},
        ),
        (
            "sudo",
            "   alice : HOST=web02 ; TTY=pts/1 ; CHROOT=/srv ; PWD=/ ; USER=bob ; TSID=000001 ; ENV=FOO=bar ;"
            " COMMAND=list",
            {"kind": ACTED, "target": "bob", "command": "list", "tty": "pts/1"},
        ),
        (
            "sudo",
            "   carol : 3 incorrect password attempts ; TTY=pts/1 ; PWD=/home/carol ; USER=root ; COMMAND=/bin/true",
            {"kind": REFUSED, "user": "carol", "target": "root", "count": 3, "method": "password"},
        ),
        (
            "sudo",
            "   carol : 1 incorrect password attempt ; TTY=pts/1 ; PWD=/home/carol ; USER=root ; COMMAND=/bin/true",
            {"kind": REFUSED, "count": 1, "method": "password"},
        ),
        (
            "sudo",
            "     bob : user NOT in sudoers ; TTY=pts/1 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/true",
            {"kind": REFUSED, "user": "bob", "target": "root", "count": 1, "method": None},
        ),
        (
            "sudo",
            "   carol : a password is required ; TTY=pts/1 ; PWD=/home/carol ; USER=root ; COMMAND=/usr/bin/true",
            {"kind": REFUSED, "user": "carol"},
        ),
        (  # the directory names another target: who acted is told, as whom and what is left out
            "sudo",
            "   alice : TTY=pts/1 ; PWD=/tmp/x ; USER=root ; COMMAND=/bin/sh ; USER=bob ; COMMAND=/usr/bin/true",
            {"kind": ACTED, "user": "alice", "tty": "pts/1", "target": None, "command": None},
        ),
        (
            "sudo",
            "   alice : TTY=pts/1 ; PWD=/tmp ; USER=bob ; COMMAND=/usr/bin/echo ; COMMAND=/bin/sh",
            {"kind": ACTED, "user": "alice", "target": None, "command": None},
        ),
        (
            "sudo",
            "   alice : TTY=pts/1 ; PWD=/tmp ; USER=bob ; COMMAND=/usr/bin/echo ; USER=root ; COMMAND=/bin/sh",
            {"kind": ACTED, "user": "alice", "target": None, "command": None},
        ),
        (
            "sudo",
            "   alice : TTY=pts/1 ; PWD=/tmp ; USER=bob ; COMMAND=/usr/bin/echo root : user NOT in sudoers",
            {"kind": ACTED, "user": "alice", "target": "bob"},
        ),
        (
            "sudo",
            "   alice : TTY=pts/1 ; PWD=/tmp/x ; USER=bob ; USER=root ; COMMAND=/bin/sh",
            {"kind": ACTED, "user": "alice", "target": None, "command": None},
        ),
        ("doas", "alice ran command id as root from /home/alice", {"kind": ACTED, "user": "alice", "target": "root"}),
        (
            "doas",
            "carol ran command /bin/bash as root from /home/carol",
            {"kind": ACTED, "user": "carol", "target": "root", "command": "/bin/bash", "tty": None},
        ),
        (
            "doas",
            "alice ran command echo x as root from /y as bob from /home/alice",
            {"kind": ACTED, "user": "alice", "target": None, "command": None},
        ),
        ("doas", "failed auth for alice", {"kind": REFUSED, "user": "alice", "method": "password"}),
        ("doas", "command not permitted for bob: id", {"kind": REFUSED, "user": "bob", "command": "id"}),
        (
            "doas",
            "command not permitted for bob: x: failed auth for root",
            {"kind": REFUSED, "user": "bob", "command": "x: failed auth for root"},
        ),
    ],
)
def test_who_acted_as_whom(tag: str, message: str, want: dict[str, Any]) -> None:
    """Every form, and what a user may write into it."""
    event = told(tag, message)
    assert event is not None
    assert event.service == tag
    assert {name: getattr(event, name) for name in want} == want


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("su", "(to root) alice on pts/1 "),
        ("su", "(to root) alice on "),
        ("su", "(to root) mallory alice on pts/1"),
        ("su", "x(to root) alice on pts/1"),
        ("su", "pam_unix(su:session): session opened for user root(uid=0) by (uid=1000)"),
        ("su", "pam_unix(su:session): session closed for user root"),
        ("su", "pam_unix(su:auth): authentication failure; logname= uid=1000 euid=0 tty=/dev/pts/1 ruser=alice rhost="),
        ("sudo", "pam_unix(sudo:session): session opened for user root(uid=0) by (uid=1000)"),
        ("sudo", "   alice : unable to resolve host web01: Temporary failure in name resolution"),
        ("sudo", "   alice : (command continued) kkkk"),
        ("sudo", "   alice : TTY=pts/1 ; PWD=/home/alice ; USER=root ; COMMAND"),
        ("sudo", "(to root) mallory on pts/0"),
        ("doas", "pam_unix(doas:session): session opened for user root(uid=0) by (uid=1000)"),
        ("doas", "alice ran command id as root from"),
        ("doas", "failed auth for alice "),
        ("doas", "(to root) mallory on pts/0"),
        ("sshd", "(to root) mallory on pts/0"),
        ("login", "(to root) mallory on pts/0"),
        ("mallory", "(to root) mallory on pts/0"),
        ("cron", "   alice : TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh"),
        ("CRON", "alice ran command id as root from /home/alice"),
    ],
)
def test_other_lines_say_nothing(tag: str, message: str) -> None:
    """PAM's lines of the same deed, other programs' tags, a byte too many or too few."""
    assert told(tag, message) is None


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("su", "(to root) alice on pts/1"),
        ("su", "FAILED SU (to root) alice on pts/1"),
        ("sudo", "   alice : TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/true"),
        ("sudo", "   alice : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/true"),
        ("doas", "alice ran command id as root from /home/alice"),
        ("doas", "failed auth for alice"),
        ("doas", "command not permitted for alice: id"),
    ],
)
def test_who_started_it_is_handed_on(tag: str, message: str) -> None:
    """`Intake` compares it with the name; root's word needs no comparison."""
    event, root = told(tag, message, 1000, 1001), told(tag, message, 0, 1001)
    assert event is not None
    assert root is not None
    assert (event.uid, event.owner) == (1000, 1001)
    assert (root.uid, root.owner) == (None, None)
