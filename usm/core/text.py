"""Alert → title and facts, in Chinese and English; and what makes strangers' text harmless."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from usm.core import model

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from usm.core.model import Alert, Event


class Look(NamedTuple):
    """How messages are written: `zh` or `en`, and the zone their times are told in."""

    language: str
    zone: tzinfo


LIMIT = 128  # code points of one value: ten of the longest values still fit a chat message
# What would steer a terminal or a chat client, hide, or turn the reading order: controls, soft hyphen, Arabic letter
# mark, zero-width and bidirectional controls, line separators, surrogates (bytes that were not UTF-8), tag characters.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_TAGS = str.maketrans("<>", "\uff1c\uff1e")
# Places in a link, a mention or an entity that fall apart when a zero-width space follows. The dots are all those that
# clients and IDNA take for one; a digit beside it counts, since 163.com is a link too.
_JOINT = re.compile(r":(?=//)|@|&(?=#?\w)|(?<=\w)(?=[.\u3002\uff0e\uff61]\w)")
_MORE = "\u2026"

_TITLES = {
    "zh": {
        model.LOGIN: "用户登录通知",
        model.LOGOUT: "用户登出通知",
        model.FAILED: "登录失败通知",
        model.PRIVILEGE: "提权通知",
    },
    "en": {
        model.LOGIN: "User login",
        model.LOGOUT: "User logout",
        model.FAILED: "Login failed",
        model.PRIVILEGE: "Privilege use",
    },
}
_WORDS = {
    "zh": {
        "abnormal": "{}（异常）",
        "test": "【测试消息】{}",
        "line": "{}：{}",
        "range": "{} 至 {}",
        "at least": "至少{}",
        "unknown": "未知",
        "blank": "（空）",
        "invalid user": "该用户不存在",
        "server": "服务器",
        "server address": "服务器IP",
        "user": "用户名",
        "address": "IP地址",
        "login time": "登录时间",
        "logout time": "登出时间",
        "failed time": "失败时间",
        "privilege time": "提权时间",
        "duration": "会话时长",
        "reason": "登出原因",
        "count": "失败次数",
        "remark": "备注",
        "target": "目标用户",
        "command": "命令",
        "method": "登录方式",
        "port": "端口",
        "tty": "终端",
        "service": "服务",
        "key": "密钥",
        "person": "使用者",
        "comment": "密钥备注",
        "late": "补报（发生时监控未运行）",
    },
    "en": {
        "abnormal": "{} (abnormal)",
        "test": "[Test message] {}",
        "line": "{}: {}",
        "range": "{} to {}",
        "at least": "at least {}",
        "unknown": "unknown",
        "blank": "(empty)",
        "invalid user": "no such user",
        "server": "Server",
        "server address": "Server IP",
        "user": "User",
        "address": "IP address",
        "login time": "Login time",
        "logout time": "Logout time",
        "failed time": "Failed at",
        "privilege time": "Time",
        "duration": "Duration",
        "reason": "Reason",
        "count": "Failures",
        "remark": "Remark",
        "target": "Target user",
        "command": "Command",
        "method": "Method",
        "port": "Port",
        "tty": "Terminal",
        "service": "Service",
        "key": "Key",
        "person": "Person",
        "comment": "Key comment",
        "late": "reported late (the monitor was not running when it happened)",
    },
}
_REASONS = {
    "zh": {
        model.DISCONNECTED: "正常退出",
        model.TIMEOUT: "超时断开（客户端长时间无响应，被服务器断开）",
        model.RESET: "连接被重置（网络中断或客户端异常退出）",
        model.CLOSED: "连接中断，未正常退出（客户端被终止、网络断开或进程被结束，日志无法区分）",
        model.TERMINATED: "会话被强制结束（由管理员或系统终止）",
        model.SHUTDOWN: "服务器正常关机或重启",
        model.CRASH: "服务器异常重启（未正常关机，如断电、崩溃或强制重启）",
        model.VANISHED: "会话进程已消失，日志中没有退出记录",
        model.UNOBSERVED: "监控未运行期间结束，无法确定具体时间和原因",
    },
    "en": {
        model.DISCONNECTED: "logged out normally",
        model.TIMEOUT: "timed out (the server gave up on a client that no longer answered)",
        model.RESET: "connection reset (network failure, or the client died)",
        model.CLOSED: "connection lost without a logout (client killed, network down or process ended; "
        "the log cannot tell which)",
        model.TERMINATED: "session terminated (by an administrator or the system)",
        model.SHUTDOWN: "the server was shut down or rebooted in order",
        model.CRASH: "the server restarted without a shutdown (power loss, crash or forced reset)",
        model.VANISHED: "the session's process is gone, and the log has no record of its end",
        model.UNOBSERVED: "ended while the monitor was not running; exact time and cause are unknown",
    },
}
_METHODS = {  # the log's own word stays beside ours, so that it can be searched for
    "zh": {
        "password": "密码（password）",
        "publickey": "公钥（publickey）",
        "keyboard-interactive/pam": "键盘交互（keyboard-interactive/pam）",
        "hostbased": "主机信任（hostbased）",
        "gssapi-with-mic": "Kerberos（gssapi-with-mic）",
    },
    "en": {},
}
_UNITS = {
    "zh": (("天", 86400), ("小时", 3600), ("分", 60), ("秒", 1)),
    "en": (("d ", 86400), ("h ", 3600), ("m ", 60), ("s", 1)),
}
LANGUAGES = tuple(_TITLES)


def clean(value: str, limit: int = LIMIT) -> str:
    """Return a stranger's text as one harmless line of at most `limit` code points, the last an ellipsis if it was cut.

    Each character that could act instead of being shown becomes U+FFFD, so it is seen that something was there.
    """
    near = value[: 4 * limit]  # bounds the work of normalising: it is quadratic in a run of combining marks
    text = _UNSAFE.sub("\ufffd", unicodedata.normalize("NFC", near))
    return text if len(text) <= limit and near == value else text[: limit - 1] + _MORE


def inert(value: str) -> str:
    """Return cleaned text in which no chat client finds a mention, a tag, an entity or a link.

    Angle brackets become their full-width twins, everything else is broken by a zero-width space.
    """
    return _JOINT.sub("\\g<0>\u200b", value.translate(_TAGS))


def title(alert: Alert, language: str) -> str:
    """Return the headline; it tells apart an abnormal logout and a trial message."""
    words, event = _WORDS[language], alert.event
    text = _TITLES[language][event.kind]
    if event.kind == model.LOGOUT and event.end_reason not in model.NORMAL_ENDS:
        text = words["abnormal"].format(text)
    return words["test"].format(text) if alert.test else text


def facts(alert: Alert, language: str, zone: tzinfo, *, tame: Callable[[str], str] = str) -> list[tuple[str, str]]:
    """Return what is known as (label, value), the most important first; every value is clean.

    `tame` is applied to the values that a stranger may have chosen; a channel to a chat gives `inert`.
    """
    words, event = _WORDS[language], alert.event

    def chosen(value: Optional[str]) -> Optional[str]:
        return None if value is None else tame(clean(value)) if value.strip() else words["blank"]

    method = None if event.method is None else _METHODS[language].get(event.method, event.method)
    rows = (
        ("server", clean(event.host)),
        ("server address", _cleaned(alert.address)),
        ("user", chosen(event.user) or words["unknown"]),
        ("person", chosen(event.person)),
        ("comment", None if event.person else chosen(event.comment)),
        ("address", _cleaned(event.source_ip)),
        *_course(event, Look(language, zone)),
        ("target", chosen(event.target)),
        ("command", chosen(event.command)),
        ("method", _cleaned(method)),
        ("port", None if event.source_port is None else str(event.source_port)),
        ("tty", _cleaned(event.tty)),
        ("service", None if event.service == "sshd" else clean(event.service)),
        ("key", chosen(event.key)),
        ("remark", words["late"] if alert.late else None),
    )
    return [(words[name], value) for name, value in rows if value is not None]


def lines(alert: Alert, language: str, zone: tzinfo, *, tame: Callable[[str], str] = str) -> list[str]:
    """Return the facts as `label: value`, one line each; `tame` as for `facts`."""
    line = _WORDS[language]["line"]
    return [line.format(label, value) for label, value in facts(alert, language, zone, tame=tame)]


def plain_text(alert: Alert, language: str, zone: tzinfo, *, tame: Callable[[str], str] = str) -> str:
    """Return the title and the facts, one line each; `tame` as for `facts`."""
    return "\n".join((title(alert, language), *lines(alert, language, zone, tame=tame)))


def duration(seconds: float, language: str) -> str:
    """Return whole seconds in words, `1小时2分3秒` or `1h 2m 3s`; a clock that was set back gives zero."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in _UNITS[language]:
        amount, left = divmod(left, size)
        if amount or (size == 1 and not parts):
            parts.append(f"{amount}{unit}")
    return "".join(parts).rstrip()


def when(moment: datetime, zone: tzinfo) -> str:
    """Return `YYYY-MM-DD HH:mm:ss` in `zone`; a time at the edge of the calendar stays in its own."""
    try:
        local = moment.astimezone(zone)
    except OverflowError:  # a log may claim to be written in the last hour of the year 9999
        local = moment
    return local.isoformat(" ", "seconds")[:19]


def _course(event: Event, look: Look) -> tuple[tuple[str, Optional[str]], ...]:
    """Return when it happened and how it ended; `until` makes the time a range."""
    language, zone = look
    words = _WORDS[language]
    time = when(event.time, zone)
    if event.until is not None:
        time = words["range"].format(time, when(event.until, zone))
    if event.kind == model.LOGIN:
        return (("login time", time),)
    if event.kind == model.PRIVILEGE:
        return (("privilege time", time),)
    if event.kind == model.FAILED:
        return (
            ("failed time", time),
            ("count", str(event.count)),
            ("remark", words["invalid user"] if event.invalid_user else None),
        )
    lasted = None if event.duration is None else duration(event.duration, language)
    if lasted is not None and event.until is not None:
        lasted = words["at least"].format(lasted)
    return (
        ("login time", None if event.start is None else when(event.start, zone)),
        ("logout time", time),
        ("duration", lasted),
        ("reason", None if event.end_reason is None else _REASONS[language][event.end_reason]),
    )


def _cleaned(value: Optional[str]) -> Optional[str]:
    return None if value is None else clean(value)
