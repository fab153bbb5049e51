"""Names that strangers chose to be more than a name: in some service each is a mention, a link, a tag or formatting."""

from __future__ import annotations

from usm.core.message import Alert
from usm.core.model import LOGIN, Event
from usm.core.tame import clean

NAMES = (
    # Feishu and Lark
    '<at user_id="all">everyone</at>',
    "<at id=all></at>",
    "<at ids=ou_1,ou_2></at>",
    '<a href="https://evil.example">reset</a>',
    "<font color='green'>OK</font>",
    '&lt;at user_id="all"&gt;',
    "&#60;at id=all&#62;",
    # DingTalk, WeCom
    "@13800138000",
    "@all",
    "@所有人",
    "<@userid>",
    "<@all>",
    '<font color="warning">x</font>',
    "dingtalk://dingtalkclient/page/link?url=https%3A%2F%2Fevil.example",
    # Telegram
    "@telegramuser",
    "#hashtag",
    "$USD",
    "/start",
    "/stop@some_bot",
    "tg://user?id=1",
    "t.me/joinchat",
    "||spoiler||",
    "__under__ _it_ *b* ~~s~~",
    # Slack
    "<!channel>",
    "<!here|here>",
    "<!subteam^S012|team>",
    "<@U012ABCDEF>",
    "<https://evil.example|click>",
    ":tada:",
    "*bold* _it_ ~s~ `code`",
    "&gt; quote",
    # Markdown and HTML
    "[reset](https://evil.example)",
    "![x](https://evil.example/p.png)",
    "`code` **bold**",
    "# headline",
    "\n# headline",
    "root\r\nsession closed",
    "> quote",
    "- item",
    "1. item",
    "| a | b |",
    "https://evil.example",
    "//evil.example",
    "www.evil.example",
    "evil.example",
    "mailto:root@evil.example",
    "root@evil.example",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- comment -->",
    "</td></tr></table>",
    "\\*escaped\\*",
    # what a template, a log or a header might read
    "$user ${user} $$",
    "%s %n {0}",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    "a\u200bb\u2060c",
    "=cmd|' /C calc'!A0",
    '"] [x@1 a="b',
    "Bcc: x@evil.example\r\n\r\nbody",
    "\ud83d\udc80".encode("utf-16", "surrogatepass").decode("utf-16"),
    "x" * 5000,
)
_ZERO_WIDTH = "\u200b"


def hostile(name: str) -> Alert:
    """Return an alert in which a stranger's name stands wherever a stranger can write."""
    from datetime import datetime, timezone  # noqa: PLC0415 - only here

    time = datetime(2026, 11, 25, 2, 0, tzinfo=timezone.utc)
    event = Event(LOGIN, time, "web01", "sshd", name, "203.0.113.5", 4711, "publickey", key=name, comment=name, pid=1)
    return Alert("0123456789abcdef", event, "info", "10.0.0.1")


def literal(shown: str) -> str:
    """Return what a reader sees: joints are invisible, and a full-width twin stands for its character."""
    narrow = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    return shown.replace(_ZERO_WIDTH, "").translate(narrow)


def expected(name: str) -> str:
    """Return how a name must be read in a message: itself, cleaned."""
    return literal(clean(name))
