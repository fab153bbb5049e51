"""What people read, in both languages; and that strangers' text stays text."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Optional

import pytest

from tests.channels.samples import DIGEST, FAULT
from usm.core import model, phrases, text, words
from usm.core.look import Look, duration, when
from usm.core.message import Alert, Message, Top
from usm.core.model import Event, Finding
from usm.core.rules import RULES, case
from usm.core.tame import inert
from usm.core.text import facts, lines, plain_text, title

CST = timezone(timedelta(hours=8))
START = datetime(2026, 11, 23, 2, 5, 7, 123456, tzinfo=timezone.utc)
END = START + timedelta(hours=1, minutes=2, seconds=3)
LOGIN = Event(
    model.LOGIN,
    START,
    "web01",
    "sshd",
    "alice",
    "203.0.113.5",
    43867,
    "publickey",
    "SHA256:abc+/d",
    pid=125,
    session="s",
)
LOGOUT = LOGIN._replace(
    kind=model.LOGOUT,
    time=END,
    start=START,
    duration=3723.4,
    end_reason=model.DISCONNECTED,
    method="password",
    key=None,
)
FAILED = Event(
    model.FAILED, START, "web01", "sshd", "admin", "2001:db8::7", 1, "none", invalid_user=True, count=7, until=END
)
SUDO = Event(model.PRIVILEGE, START, "web01", "sudo", "alice", tty="pts/0", target="root", command="/usr/bin/id -u")


def alert(
    event: Event, severity: str = model.INFO, address: Optional[str] = "10.0.0.1", *, test: bool = False
) -> Alert:
    """Return an alert about `event`."""
    return Alert("id", event, severity, address, test)


def value(event: Event, label: str, language: str = "zh") -> Optional[str]:
    """Return the one fact with this label."""
    return dict(facts(alert(event), Look(language, CST))).get(label)


def test_a_login_in_chinese_keeps_the_labels_of_the_older_tool() -> None:
    """People search their chats for them."""
    assert plain_text(alert(LOGIN), Look("zh", CST)).splitlines() == [
        "用户登录通知",
        "服务器：web01",
        "服务器IP：10.0.0.1",
        "用户名：alice",
        "IP地址：203.0.113.5",
        "登录时间：2026-11-23 10:05:07",
        "登录方式：公钥（publickey）",
        "端口：43867",
        "密钥：SHA256:abc+/d",
    ]


def test_a_logout_in_chinese_tells_the_whole_session() -> None:
    """Nobody has to scroll back to the login."""
    assert plain_text(alert(LOGOUT), Look("zh", CST)).splitlines() == [
        "用户登出通知",
        "服务器：web01",
        "服务器IP：10.0.0.1",
        "用户名：alice",
        "IP地址：203.0.113.5",
        "登录时间：2026-11-23 10:05:07",
        "登出时间：2026-11-23 11:07:10",
        "会话时长：1小时2分3秒",
        "登出原因：正常退出",
        "登录方式：密码（password）",
        "端口：43867",
    ]


def test_a_logout_in_english() -> None:
    """The same facts in the same order."""
    assert plain_text(alert(LOGOUT), Look("en", timezone.utc)).splitlines() == [
        "User logout",
        "Server: web01",
        "Server IP: 10.0.0.1",
        "User: alice",
        "IP address: 203.0.113.5",
        "Login time: 2026-11-23 02:05:07",
        "Logout time: 2026-11-23 03:07:10",
        "Duration: 1h 2m 3s",
        "Reason: logged out normally",
        "Method: password",
        "Port: 43867",
    ]


def test_failures_tell_how_many_and_from_when_to_when() -> None:
    """A hundred guesses are one message."""
    assert plain_text(alert(FAILED), Look("zh", CST)).splitlines() == [
        "登录失败通知",
        "服务器：web01",
        "服务器IP：10.0.0.1",
        "用户名：admin",
        "IP地址：2001:db8::7",
        "失败时间：2026-11-23 10:05:07 至 2026-11-23 11:07:10",
        "失败次数：7",
        "备注：该用户不存在",
        "登录方式：none",
        "端口：1",
    ]
    assert value(FAILED._replace(invalid_user=False), "备注") is None


def test_privilege_tells_who_became_whom_and_what_was_run() -> None:
    """No address is made up where there is none."""
    assert plain_text(alert(SUDO, address=None), Look("en", CST)).splitlines() == [
        "Privilege use",
        "Server: web01",
        "User: alice",
        "Time: 2026-11-23 10:05:07",
        "Target user: root",
        "Command: /usr/bin/id -u",
        "Terminal: pts/0",
        "Service: sudo",
    ]


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("reason", model.END_REASONS)
def test_each_end_reason_has_words_and_abnormal_ones_show_in_the_title(reason: str, language: str) -> None:
    """The closed set is told whole."""
    event = LOGOUT._replace(end_reason=reason)
    assert value(event, {"zh": "登出原因", "en": "Reason"}[language], language) not in (None, reason)
    marked = {"zh": "用户登出通知（异常）", "en": "User logout (abnormal)"}[language]
    plain = {"zh": "用户登出通知", "en": "User logout"}[language]
    assert title(alert(event), Look(language, CST)) == (plain if reason in model.NORMAL_ENDS else marked)


def test_both_languages_know_the_same_words() -> None:
    """A word added to one is added to both."""
    tables = (words.WORDS, words.TITLES, words.REASONS, words.KINDS, words.SEVERITIES)
    for table in (*tables, phrases.NAMES, phrases.FOUND, phrases.WHY_NOT, phrases.EDITED):
        assert table["zh"].keys() == table["en"].keys()
    assert set(words.TITLES["zh"]) == set(words.KINDS["zh"]) == set(model.TOLD)
    assert set(words.SEVERITIES["zh"]) == set(model.SEVERITIES)
    assert set(phrases.NAMES["zh"]) == set(phrases.FOUND["zh"]) == set(RULES)
    assert set(phrases.WHY_NOT["zh"]) == set(case.REASONS)
    assert set(words.REASONS["zh"]) == set(model.END_REASONS)


def test_a_trial_message_says_so_in_its_title() -> None:
    """Nobody is alarmed by a test."""
    assert title(alert(LOGIN, test=True), Look("zh", CST)) == "【测试消息】用户登录通知"
    assert title(alert(LOGIN, test=True), Look("en", CST)) == "[Test message] User login"


def test_a_session_that_ended_unobserved_has_a_range_and_a_least_duration() -> None:
    """No more is said than is known."""
    event = LOGOUT._replace(end_reason=model.UNOBSERVED, until=END + timedelta(hours=1))
    assert value(event, "登出时间") == "2026-11-23 11:07:10 至 2026-11-23 12:07:10"
    assert value(event, "会话时长") == "至少1小时2分3秒"
    assert value(event, "Duration", "en") == "at least 1h 2m 3s"


def test_what_is_not_known_is_left_out_but_a_user_is_always_named() -> None:
    """An empty name is shown to be empty."""
    bare = Event(model.LOGOUT, END, "web01", "login")
    assert plain_text(alert(bare, address=None), Look("zh", CST)).splitlines() == [
        "用户登出通知（异常）",
        "服务器：web01",
        "用户名：未知",
        "登出时间：2026-11-23 11:07:10",
        "服务：login",
    ]
    assert value(LOGIN._replace(user=" "), "用户名") == "（空）"


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (0, "0秒", "0s"),
        (-5, "0秒", "0s"),
        (0.9, "0秒", "0s"),
        (59, "59秒", "59s"),
        (60, "1分", "1m"),
        (3600, "1小时", "1h"),
        (3601, "1小时1秒", "1h 1s"),
        (86400 * 400 + 60, "400天1分", "400d 1m"),
    ],
)
def test_durations(seconds: float, zh: str, en: str) -> None:
    """Parts that are zero are left out; a clock set back gives zero."""
    assert (duration(seconds, "zh"), duration(seconds, "en")) == (zh, en)


def test_a_time_at_the_edge_of_the_calendar_does_not_fail() -> None:
    """Whoever writes the log chooses the year."""
    assert when(datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc), CST) == "9999-12-31 23:59:59"
    assert when(datetime(1, 1, 1, tzinfo=CST), timezone.utc) == "0001-01-01 00:00:00"


def test_only_what_strangers_choose_is_made_inert() -> None:
    """An address or host name can still be copied from the chat."""
    event = SUDO._replace(
        user="a.b", target="c.d", command="e.f", key="g.h", source_ip="192.0.2.1", host="web01.example.com"
    )
    shown = dict(facts(alert(event), Look("en", CST), tame=inert))
    assert [shown[label] for label in ("User", "Target user", "Command", "Key")] == [
        "a\u200b.b",
        "c\u200b.d",
        "e\u200b.f",
        "g\u200b.h",
    ]
    assert (shown["IP address"], shown["Server"], shown["Server IP"]) == ("192.0.2.1", "web01.example.com", "10.0.0.1")


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_value_is_cleaned(language: str) -> None:
    """A new fact can't be forgotten: there are as many as the event has."""
    bad = "\n\u202e\udcff" + "x" * 500
    event = Event(model.LOGOUT, END, bad, bad, bad, bad, 1, bad, bad, bad, target=bad, command=bad)
    shown = facts(alert(event, address=bad), Look(language, CST))
    assert len(shown) == 12
    assert all(len(value) <= 128 and value.isprintable() for _, value in shown)


# What is not about one event


def test_a_digest_in_both_languages() -> None:
    """How many of what, who, from where, from when to when, and where the rest is."""
    zh, en = (plain_text(DIGEST, Look(language, CST)).splitlines() for language in ("zh", "en"))
    assert zh == [
        "用户会话汇总（共314条）",
        "服务器：web01",
        "服务器IP：192.0.2.10",
        "事件总数：314",
        "事件类型：登录 ×158, 登出 ×156",
        "其中异常：2",
        "时间范围：2026-11-25 10:00:00 至 2026-11-25 10:34:00",
        "用户：deploy ×300, 未知 ×4, 其余3个 ×10",
        "来源：203.0.113.5 ×310, 本地 ×4",
        "更多：在该服务器上运行 usm sessions --all",
    ]
    assert en[0] == "User sessions: 314 events"
    assert en[7:] == [
        "Users: deploy ×300, unknown ×4, 3 more ×10",
        "From: 203.0.113.5 ×310, local ×4",
        "More: run this on the server: usm sessions --all",
    ]
    several = DIGEST._replace(hosts=Top((("web01", 300), ("web02", 14))), abnormal=0)
    assert dict(facts(several, Look("en", CST)))["Servers"] == "web01 ×300, web02 ×14"
    assert "Abnormal" not in dict(facts(several, Look("en", CST)))


def test_a_fault_and_its_end_in_both_languages() -> None:
    """Which channel, what is wrong, what to do, and that nothing is lost."""
    assert plain_text(FAULT, Look("zh", CST)).splitlines() == [
        "通知渠道异常：feishu",
        "服务器：web01",
        "服务器IP：192.0.2.10",
        "通知渠道：feishu",
        "时间：2026-11-25 10:00:00",
        "错误码：19021",
        "原因与处理：signature refused",
        "处理：消息已保留；修正后自动补发（查看：usm outbox）",
    ]
    assert plain_text(FAULT._replace(mended=True), Look("en", CST)).splitlines() == [
        "Notification channel works again: feishu",
        "Server: web01",
        "Server IP: 192.0.2.10",
        "Channel: feishu",
        "Time: 2026-11-25 10:00:00",
        "Messages: what had to wait is being sent now",
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (alert(LOGIN), "login"),
        (alert(SUDO), "privilege"),
        (alert(LOGOUT, model.WARNING), "warning"),
        (alert(LOGIN, model.CRITICAL), "critical"),
        (DIGEST, "warning"),
        (DIGEST._replace(severity=model.INFO), "digest"),
        (FAULT, "trouble"),
        (FAULT._replace(mended=True), "mended"),
    ],
)
def test_what_decides_a_colour(message: Message, expected: str) -> None:
    """How grave it is, else what it is."""
    assert text.tone(message) == expected


# Templates


def test_a_template_may_name_every_fact() -> None:
    """What is not known is a dash."""
    body = "\n".join(f"{name}=${{{name}}}" for name in text.FACTS)
    shown = dict(line.split("=", 1) for line in lines(alert(LOGIN), Look("en", CST, body=body)))
    assert shown == {
        "title": "User login",
        "kind": "login",
        "severity": "info",
        "host": "web01",
        "address": "10.0.0.1",
        "service": "sshd",
        "user": "alice",
        "person": "-",
        "comment": "-",
        "source_ip": "203.0.113.5",
        "source_port": "43867",
        "method": "publickey",
        "key": "SHA256:abc+/d",
        "tty": "-",
        "pid": "125",
        "session": "s",
        "time": "2026-11-23 10:05:07",
        "start": "-",
        "until": "-",
        "duration": "-",
        "end_reason": "-",
        "reason": "-",
        "target": "-",
        "command": "-",
        "count": "1",
        "rules": "-",
        "findings": "-",
    }
    found = (
        Finding("root", model.NOTICE, {}),
        Finding("not-allowed", model.WARNING, {"source": "a.b@c"}),
    )
    judged = lines(alert(LOGIN)._replace(findings=found), Look("en", CST, body="$rules: $findings"), tame=inert)
    assert judged == [
        "root not-allowed: root logged in directly: root logged in from where it does not usually come; "
        "source is not allowed: a\u200b.b@\u200bc is none of the sources that this user may come from"
    ]
    out = Look("en", CST, body="$reason after $duration, since $start")
    assert lines(alert(LOGOUT), out) == ["logged out normally after 1h 2m 3s, since 2026-11-23 10:05:07"]


def test_a_template_is_filled_with_lines_that_are_harmless() -> None:
    """A name adds no line of its own, names no other fact, and is made inert as everywhere."""
    look = Look("en", CST, title="$user on $host\nsecond line", body="$user\n$$HOME")
    evil = alert(LOGIN._replace(user="$host\nevil.com <b>"))
    assert title(evil, look, tame=inert) == "$host\ufffdevil\u200b.com ＜b＞ on web01"
    assert lines(evil, look, tame=inert) == ["$host\ufffdevil\u200b.com ＜b＞", "$HOME"]


def test_a_template_leaves_marks_and_digests_as_they_are() -> None:
    """A trial stays marked; what is not about one event has words of ours; a title has an end."""
    look = Look("en", CST, title="$user" * 10, body="x")
    assert title(alert(LOGIN, test=True), look).startswith("[Test message] alicealice")
    assert title(DIGEST, look) == "User sessions: 314 events"
    assert len(lines(FAULT, look)) > 1
    assert len(title(alert(LOGIN._replace(user="x" * 128)), look)) == 200


@pytest.mark.parametrize(
    ("template", "unknown"),
    [
        ("$user ${host} $$5", []),
        ("$usr and ${hots}x", ["usr", "hots"]),
        ("100$ or $5", ["$", "$"]),
        ("$", ["$"]),
        ("${user", ["$"]),
    ],
)
def test_what_no_fact_is_called(template: str, unknown: list[str]) -> None:
    """It is found when the configuration is read, not when somebody logs in."""
    assert text.unknown_facts(template) == unknown


def test_an_address_with_a_zone_is_made_inert() -> None:
    """A link to an address is harmless; the zone behind it may be anything."""
    event = LOGIN._replace(source_ip="fe80::1%<b>")
    assert dict(facts(alert(event), Look("en", CST), tame=inert))["IP address"] == "fe80::1%＜b＞"
