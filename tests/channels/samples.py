"""Messages of every kind, for tests that hold for all channels."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from usm.core.look import Look
from usm.core.message import Alert, Digest, Message, Summary, Top, Trouble
from usm.core.model import (
    CLOSED,
    CRITICAL,
    FAILED,
    FINDING,
    INFO,
    LOGIN,
    LOGOUT,
    NOTICE,
    PRIVILEGE,
    WARNING,
    Event,
    Evidence,
    Finding,
)

NOW = datetime(2026, 11, 25, 2, 0, 0, tzinfo=timezone.utc)
CST = timezone(timedelta(hours=8))
ZH, EN = Look("zh", CST), Look("en", timezone.utc)
EVENT = Event(
    LOGIN,
    NOW,
    "web01",
    "sshd",
    "alice",
    "203.0.113.5",
    43867,
    "publickey",
    "SHA256:WOYw2sMJ4B4KKf95wk8CAElK0iyEy5hL9KKD7YXVMME",
    pid=125,
    session="00c0ffee00c0ffee",
)
OUT = EVENT._replace(kind=LOGOUT, time=NOW + timedelta(hours=1), start=NOW, duration=3600.5, end_reason=CLOSED)
TRIED = EVENT._replace(kind=FAILED, user=None, key=None, method="password", invalid_user=True, count=7, until=NOW)
ACTED = Event(PRIVILEGE, NOW, "web01", "sudo", "alice", tty="pts/0", pid=7, target="root", command="/usr/bin/id -u")
DIGEST = Digest(
    "d1d1d1d1d1d1d1d1",
    WARNING,
    "web01",
    "192.0.2.10",
    314,
    2,
    ((LOGIN, 158), (LOGOUT, 156)),
    Top((("deploy", 300), (None, 4)), 3, 10),
    Top((("203.0.113.5", 310), (None, 4))),
    Top((("web01", 314),)),
    NOW,
    NOW + timedelta(minutes=34),
)
FAULT = Trouble("feishu-1-fault", CRITICAL, "web01", "192.0.2.10", "feishu", "19021", "signature refused", NOW)
NEW = Finding(
    "new-source",
    NOTICE,
    {"value": "203.0.113.0/24", "logins": "7", "place": "DE, AS64496"},
    (Evidence("198.51.100.0/24", 7, NOW - timedelta(days=1)),),
    "- {rule: new-source, user: alice, source: 203.0.113.0/24}",
)
GUESSED = Finding(
    "failed-source",
    NOTICE,
    {"users": "root, admin", "count": "10", "since": NOW.isoformat(), "names": "203.0.113.5"},
    silence="- {rule: failed-source, source: 203.0.113.0/24}",
)
ATTACK = Event(FINDING, NOW, "web01", "sshd", source_ip="203.0.113.5", count=10, until=NOW + timedelta(minutes=9))
MESSAGES: dict[str, Message] = {
    "login": Alert("1111111111111111", EVENT, INFO, "192.0.2.10"),
    "logout": Alert("2222222222222222", OUT, WARNING, "192.0.2.10"),
    "failed": Alert("3333333333333333", TRIED, INFO, "192.0.2.10"),
    "privilege": Alert("4444444444444444", ACTED, CRITICAL, None, late=True),
    "test": Alert("5555555555555555", EVENT, INFO, "192.0.2.10", test=True),
    "judged": Alert("7777777777777777", EVENT, NOTICE, "192.0.2.10", findings=(NEW,), learning=NOW + timedelta(days=7)),
    "finding": Alert("8888888888888888", ATTACK, NOTICE, "192.0.2.10", findings=(GUESSED,)),
    "digest": DIGEST,
    "summary": Summary(
        "summary-1",
        INFO,
        "web01",
        "192.0.2.10",
        NOW - timedelta(days=1),
        NOW,
        ((LOGIN, 12), (FAILED, 3456)),
        (("new-key", 2), ("root", 1)),
        3,
        1,
        0,
        "1234:" + "ab" * 32,
    ),
    "fault": FAULT,
    "mended": FAULT._replace(id="feishu-2-mended", severity=NOTICE, mended=True),
}
WIDE = "\u5bec" * 128  # three bytes each in UTF-8
WIDEST = Alert(
    "6666666666666666",
    OUT._replace(
        user=WIDE, person=WIDE, key=WIDE, tty=WIDE, service=WIDE, host=WIDE, method=WIDE, target=WIDE, command=WIDE
    ),
    WARNING,
    WIDE,
    late=True,
)
QUOTES = WIDEST._replace(event=WIDEST.event._replace(user='"' * 128, key="\\" * 128, command="\U0001f480" * 128))
