"""What holds for every channel, against a stand-in of its service that keeps the service's limits."""

from __future__ import annotations

import io
import re
from contextlib import ExitStack
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

import pytest
from markdown_it import MarkdownIt

from tests.channels import hostile
from tests.channels.samples import EN, MESSAGES, NOW, QUOTES, WIDEST, ZH
from tests.fakes.dingtalk import FakeDingTalk
from tests.fakes.feishu import FakeFeishu
from tests.fakes.siem import FakeSIEM
from tests.fakes.slack import FakeSlack
from tests.fakes.smtp import FakeSMTP
from tests.fakes.telegram import FakeTelegram
from tests.fakes.webhooks import SECRET, FakeWebhooks
from tests.fakes.wecom import FakeWeCom
from usm.channels import CHANNELS, Channel
from usm.channels.dingtalk import DingTalk
from usm.channels.email import Email
from usm.channels.feishu import Feishu
from usm.channels.slack import Slack
from usm.channels.syslog import Syslog
from usm.channels.telegram import Telegram
from usm.channels.webhook import Webhook
from usm.channels.wecom import WeCom
from usm.core.look import Look  # noqa: TC001 - beside its users
from usm.core.message import Alert, Message, Sent
from usm.core.model import Secret
from usm.core.tame import clean
from usm.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOCK = NOW.timestamp


class Case(NamedTuple):
    """A channel, its service, and how to read what arrived as its readers see it."""

    channel: Channel
    service: Any
    shown: Callable[[Any], str]


def latest(service: Any) -> str:  # noqa: ANN401 - any stand-in
    """Return the last message as its readers see it."""
    return str(service.flat(service.messages[-1]))


def mail(service: FakeSMTP) -> str:
    """Return subject and text of the last mail."""
    message = service.wait_for(1)[-1].message
    body = message.get_body(("plain",))
    assert body is not None
    return f"{message['Subject']}\n{body.get_content()}"


def record(service: FakeSIEM) -> str:
    """Return facts and text of the last record."""
    message = service.messages[-1]
    facts = "\n".join(f"{name}: {value}" for pairs in message.data.values() for name, value in pairs)
    return f"{facts}\n{message.text}"


def build(name: str, stack: ExitStack) -> Case:
    """Return a channel (`name`, or `name format`) and its service; limits are another test's."""
    kind, _, form = name.partition(" ")
    dress: dict[str, Any] = {"format": form} if form else {}
    free: dict[str, Any] = {"limits": (), "clock": CLOCK}
    if kind == "feishu":
        feishu = stack.enter_context(FakeFeishu(secret="s", **free))
        return Case(Feishu(Secret(feishu.url), Secret("s"), **dress), feishu, latest)
    if kind == "dingtalk":
        ding = stack.enter_context(FakeDingTalk(secret="SECdemo", **free))
        return Case(DingTalk(Secret(ding.url), Secret("SECdemo"), **dress), ding, latest)
    if kind == "wecom":
        wecom = stack.enter_context(FakeWeCom(**free))
        return Case(WeCom(Secret(wecom.url), **dress), wecom, latest)
    if kind == "telegram":
        gram = stack.enter_context(FakeTelegram(group_limits=(), bot_limits=(), **free))
        return Case(Telegram(Secret(gram.token), "-1001234567890", gram.origin), gram, latest)
    if kind == "slack":
        slack = stack.enter_context(FakeSlack(**free))
        return Case(Slack(Secret(slack.url), **dress), slack, lambda fake: unescape(latest(fake)))
    if kind == "webhook":
        hook = stack.enter_context(FakeWebhooks(clock=CLOCK))
        return Case(Webhook(Secret(hook.url), Secret(SECRET), **dress), hook, latest)
    if kind == "email":
        smtp = FakeSMTP()
        stack.callback(smtp.close)
        return Case(Email("127.0.0.1", "usm@example.com", ("a@example.com",), smtp.port, "none"), smtp, mail)
    siem = FakeSIEM("tcp")
    stack.callback(siem.close)
    return Case(Syslog("127.0.0.1", siem.port, "tcp"), siem, record)


NAMES = (
    "feishu card",
    "feishu text",
    "dingtalk text",
    "dingtalk markdown",
    "wecom text",
    "wecom markdown",
    "telegram",
    "slack blocks",
    "slack text",
    "webhook json",
    "webhook ecs",
    "webhook ocsf",
    "webhook cloudevents",
    "email",
    "syslog",
)


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """Give each channel in each of its dresses."""
    with ExitStack() as stack:
        yield build(request.param, stack)


def send(case: Case, message: Message, look: Look, *, plain: bool = False) -> object:
    """Send a message over the network of this machine, and return the receipt."""
    transport = Transport(io.StringIO())
    try:
        return case.channel.receipt(transport.send(case.channel.request(message, NOW, look, plain=plain)), plain=plain)
    finally:
        transport.close()


def arrived(case: Case, count: int) -> str:
    """Return what arrived last, once there are so many."""
    case.service.wait_for(count)
    return case.shown(case.service)


@pytest.mark.parametrize("look", [ZH, EN], ids=["zh", "en"])
@pytest.mark.parametrize("plain", [False, True])
def test_the_service_takes_every_kind_of_message(case: Case, look: Look, *, plain: bool) -> None:
    """In its usual dress and in the simplest, in both languages."""
    for number, message in enumerate(MESSAGES.values(), 1):
        assert send(case, message, look, plain=plain) == Sent(), message
        assert "web01" in arrived(case, number)
    assert getattr(case.service, "errors", []) == []


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("message", [WIDEST, QUOTES], ids=["wide", "escaped"])
def test_the_longest_message_fits(case: Case, message: Alert, *, plain: bool) -> None:
    """Cut in the service's own unit, the most important facts first; a template's text too."""
    assert send(case, message, ZH, plain=plain) == Sent()
    assert arrived(case, 1)
    long = ZH._replace(title="$user" * 40, body="$user $command\n" * 400)
    assert send(case, message._replace(id="7777777777777777"), long, plain=plain) == Sent()
    assert arrived(case, 2)
    assert getattr(case.service, "errors", []) == []


def test_a_secret_is_in_no_repr(case: Case) -> None:
    """Nor in what is listed of a channel."""
    request = case.channel.request(MESSAGES["login"], NOW, EN)
    shown = f"{case.channel!r} {request!r} {case.channel.problems()} {case.channel.notes()}"
    for secret in ("SECdemo", "whsec_", "access_token=", "/hook/", "?key=", "110201543:", "B0000BBBB"):
        assert secret not in shown.replace("webhook_url", "")


def test_what_is_configured_alike_shares_an_endpoint(case: Case) -> None:
    """And with it limit and breaker."""
    assert case.channel.endpoint() == type(case.channel)(**vars(case.channel)).endpoint()


# What strangers chose


class Tags(HTMLParser):
    """Notes every tag that an HTML parser finds."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:  # noqa: ARG002 - its name counts
        """Note a tag."""
        self.found.append(tag)


MARKDOWN = MarkdownIt("gfm-like", {"linkify": False, "html": True})
LINK = re.compile(r"\w:/+\w|\b[\w-]+\.(?:com|example|me|cn)\b|\w@\w", re.IGNORECASE)
MENTION = {
    "feishu": r"<at\b|<a\b|<font",
    "dingtalk": r"@[\w\u4e00-\u9fff]",
    "wecom": r"<@|<font|@[\w\u4e00-\u9fff]",
    # "Bot API", MessageEntity: mention, hashtag, cashtag, bot_command, url, email
    "telegram": r"@\w|(?:^|\W)#\w|\$[A-Z]{1,8}\b|(?:^|[\s(\[\"'])/[A-Za-z0-9_]",
    # "Formatting text for app surfaces": everything that acts stands between < and >
    "slack": r"<(?:[!@#]|https?:|mailto:)",
}


def inline(text: str) -> set[str]:
    """Return what kinds of things a Markdown parser finds within the lines of a text."""
    found = set()
    for token in MARKDOWN.parse(text):
        found |= {child.type for child in token.children or ()}
        found |= {token.type} & {"html_block", "fence", "code_block", "table_open", "hr"}
    return found


@pytest.mark.parametrize("name", [n for n in NAMES if n.split()[0] in (*MENTION, "email")])
def test_what_a_stranger_chose_arrives_as_text(name: str) -> None:
    """For each name: it is read as it is, and nothing in it mentions, links, or forms anything."""
    kind, _, form = name.partition(" ")
    with ExitStack() as stack:
        case = build(name, stack)
        for number, user in enumerate(hostile.NAMES, 1):
            assert send(case, hostile.hostile(user), EN) == Sent(), user
            shown = arrived(case, number)
            assert hostile.expected(user) in hostile.literal(shown), user
            lines = shown.splitlines()
            assert sum(line.lstrip("-> \u200b").startswith("User: ") for line in lines) == 1, user
            chosen = "\n".join(line for line in lines if re.search(r"User|Key|comment", line))
            assert not LINK.search(chosen.replace("\u200b", " ")) or "\u200b" in chosen
            assert not LINK.search(re.sub(r".*?: ", "", chosen)), user
            tags = Tags()
            tags.feed(chosen)
            assert tags.found == [], user
            if kind in MENTION:
                assert not re.search(MENTION[kind], re.sub(r"^.*?: ", "", chosen, flags=re.MULTILINE)), user
            if form == "markdown":
                raw = case.service.messages[-1]["markdown"]
                assert inline(str(raw.get("text") or raw["content"])) <= {"text", "softbreak"}, user


@pytest.mark.parametrize("form", ["json", "ecs", "ocsf", "cloudevents"])
def test_programs_get_a_strangers_text_as_it_is(form: str) -> None:
    """JSON needs no taming: the value is the value."""
    with ExitStack() as stack:
        case = build(f"webhook {form}", stack)
        for number, user in enumerate(hostile.NAMES):
            assert send(case, hostile.hostile(user)._replace(id=f"{number:016x}"), EN) == Sent()
            got = case.service.messages[-1]["data"]
            found = {"json": got, "cloudevents": got.get("data"), "ecs": got.get("user"), "ocsf": got.get("user")}[form]
            told = found["name" if form in ("ecs", "ocsf") else "user"]
            assert told == user or (len(user) > 1000 and user.startswith(told[:100]))


def test_syslog_keeps_a_strangers_text_in_its_place() -> None:
    """As one parameter, whatever brackets and quotes it holds, on one line."""
    with ExitStack() as stack:
        case = build("syslog", stack)
        for number, user in enumerate(hostile.NAMES, 1):
            assert send(case, hostile.hostile(user), EN) == Sent()
            case.service.wait_for(number)
            facts = dict(case.service.messages[-1].data["usm@32473"])
            assert facts["kind"] == "login"
            assert user.startswith("x" * 100) or clean(user) == facts["user"]
        assert case.service.errors == []


def test_every_channel_is_here() -> None:
    """A new one gets a case; the console has no service, and Apprise has tests of its own."""
    assert {name.split()[0] for name in NAMES} == set(CHANNELS) - {"console", "apprise"}
