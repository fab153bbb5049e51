"""Rules, groups, templates and proxies as they are configured: every form of them, and what is said of mistakes."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Callable

import pytest
import yaml

from usm.config import Config, load
from usm.core.hours import Hours
from usm.core.model import Secret
from usm.core.route import Match, Route
from usm.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from usm.notify import Notify

URL = "https://open.feishu.cn/open-apis/bot/v2/hook/6f1a2b3c-made-up-token"
Read = Callable[..., Config]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return what reads a configuration of one channel with these settings."""

    def reader(settings: dict[str, Any], **top: Any) -> Config:  # noqa: ANN401 - YAML
        text = yaml.safe_dump({"notify": {"feishu": {"webhook_url": URL, **settings}}, **top}, allow_unicode=True)
        (tmp_path / "config.yaml").write_text(text, "utf-8")
        return load(str(tmp_path / "config.yaml"))

    return reader


def notify(read: Read, **settings: Any) -> Notify:  # noqa: ANN401 - YAML
    """Return the channel with these settings."""
    (found,) = read(settings).notify
    return found


def problems(read: Read, settings: dict[str, Any], **top: Any) -> list[str]:  # noqa: ANN401 - YAML
    """Return what is wrong, without the file."""
    with pytest.raises(ConfigError) as caught:
        read(settings, **top)
    found = [problem.split(": ", 1)[1] for problem in caught.value.problems]
    assert "made-up-token" not in "".join(found)
    return found


LOGIN, CRITICAL = Match(kinds=("login",)), Match(severities=("critical",))


@pytest.mark.parametrize(
    ("written", "rules"),
    [
        ("critical", (CRITICAL,)),
        (["login", "critical"], (LOGIN, CRITICAL)),
        ({"kind": "login"}, (LOGIN,)),
        ([{"kind": ["login"]}, "critical"], (LOGIN, CRITICAL)),
        (
            {
                "kind": ["login", "logout"],
                "severity": "warning",
                "user": ["deploy-*", "root"],
                "source": ["10.1.2.3/8", "2001:db8::1", "local"],
                "service": "sshd",
                "host": "web*",
                "key": "SHA256:abc",
                "hours": ["22:00-06:00", "sat"],
            },
            (
                Match(
                    ("login", "logout"),
                    ("warning",),
                    ("deploy-*", "root"),
                    (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::1"), None),
                    ("sshd",),
                    ("web*",),
                    ("SHA256:abc",),
                    (Hours(frozenset(range(7)), 1320, 360), Hours(frozenset((5,)), 0, 1440)),
                ),
            ),
        ),
    ],
)
def test_every_form_of_a_rule(read: Read, written: Any, rules: tuple[Match, ...]) -> None:  # noqa: ANN401 - YAML
    """The same for what is told, what is not, and what nobody is told."""
    assert notify(read, only=written).route.only == rules
    assert notify(read, **{"except": written}).route.unless == rules
    assert read({}, ignore=written).ignore == rules


def test_how_a_channel_is_told(read: Read) -> None:
    """Everything at once."""
    found = notify(
        read,
        quiet_hours="22:00-07:00",
        group_by=["user", "source_ip"],
        group_wait="10s",
        group_interval="5m",
        language="en",
        title="$user",
        body="$$ $host",
        proxy="http://u:p@proxy.example:3128",
        ca_file="/etc/ssl/own.pem",
    )
    night = (Hours(frozenset(range(7)), 1320, 420),)
    assert found.route == Route("feishu", (), (), night, ("user", "source_ip"), 10.0, 300.0)
    assert (found.language, found.title, found.body) == ("en", "$user", "$$ $host")
    assert (found.proxy, found.ca_file) == (Secret("http://u:p@proxy.example:3128"), "/etc/ssl/own.pem")
    assert "p@proxy" not in repr(found)


def test_the_defaults(read: Read) -> None:
    """Everything, at once, singly."""
    found = notify(read)
    assert found.route == Route("feishu")
    assert (found.language, found.title, found.body, found.proxy, found.ca_file) == (None, None, None, None, None)


@pytest.mark.parametrize(("written", "seconds"), [(90, 90.0), ("90", 90.0), ("2m", 120.0), ("1h", 3600.0), ("0s", 0.0)])
def test_times(read: Read, written: Any, seconds: float) -> None:  # noqa: ANN401 - YAML
    """A number alone is in seconds."""
    assert notify(read, group_interval=written).route.group_interval == seconds


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"only": "critcal"},
            "notify.feishu.only: holds a word that is no kind, no severity and no rule; did you mean",
        ),
        ({"only": []}, "notify.feishu.only: is empty; leave it out, or write conditions"),
        ({"only": {}}, "notify.feishu.only: is empty"),
        ({"only": [7]}, "notify.feishu.only: must hold conditions (kind, severity, user,"),
        ({"only": [[]]}, "notify.feishu.only: must hold conditions"),
        ({"except": {"usr": "x"}}, "notify.feishu.except.usr: is no key that is known here; did you mean `user`?"),
        ({"except": {"user": 7}}, "notify.feishu.except.user: must be text, or a list of texts; put numbers in quotes"),
        ({"except": {"user": []}}, "notify.feishu.except.user: must be text, or a list of texts"),
        (
            {"except": {"kind": "logon"}},
            "notify.feishu.except.kind: must be one of login, logout, failed, privilege, finding; did",
        ),
        ({"except": {"source": "10.0.0.0/99"}}, "notify.feishu.except.source: must be networks such as 10.0.0.0/8"),
        ({"except": {"hours": "9-5"}}, "notify.feishu.except.hours: must be times such as 22:00-06:00"),
        ({"quiet_hours": ["22:00-07:00", "x"]}, "notify.feishu.quiet_hours: must be times such as"),
        ({"group_by": ["users"]}, "notify.feishu.group_by: must be one of user, source_ip, host,"),
        ({"group_wait": "soon"}, "notify.feishu.group_wait: must be a time such as 30s, 5m or 1h"),
        ({"group_wait": True}, "notify.feishu.group_wait: must be a time such as"),
        ({"group_interval": -1}, "notify.feishu.group_interval: must be a time such as"),
        ({"language": "fr"}, "notify.feishu.language: must be one of zh, en"),
        ({"title": "$usr"}, "notify.feishu.title: names `$usr`, which is no fact; did you mean `user`?"),
        ({"body": "100 $"}, "notify.feishu.body: has a `$` that begins no name; write `$$` for the sign"),
        ({"body": 7}, "notify.feishu.body: must be text, such as `$user from $source_ip`"),
        ({"body": " "}, "notify.feishu.body: must be text, such as"),
        ({"proxy": "socks5://made-up-token"}, "notify.feishu.proxy: must be the address of an HTTP proxy"),
        ({"proxy": "http://made-up-token:x:y"}, "notify.feishu.proxy: must be the address of an HTTP proxy"),
        ({"proxy": 7}, "notify.feishu.proxy: must be the address of an HTTP proxy"),
        ({"proxy": "http://x", "proxy_file": "y"}, "notify.feishu.proxy: is given twice, also as proxy_file; keep one"),
        ({"proxy_file": "none"}, "notify.feishu.proxy_file: "),
        ({"ca_file": "own.pem"}, "notify.feishu.ca_file: must be an absolute path"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(read: Read, settings: dict[str, Any], problem: str) -> None:
    """Where, and what to write instead; never what was written, which may be a secret."""
    (found,) = problems(read, settings)
    assert found.startswith(problem)


def test_a_proxy_may_stand_in_a_file(read: Read, tmp_path: Path) -> None:
    """As any secret."""
    (tmp_path / "proxy").write_text("http://u:p@proxy.example:3128\n")
    assert notify(read, proxy_file="proxy").proxy == Secret("http://u:p@proxy.example:3128")


def test_ignore_says_what_is_wrong_too(read: Read) -> None:
    """By its own name."""
    assert problems(read, {}, ignore=[{"user": "x", "kind": "y"}])[0].startswith("ignore.kind: must be one of")


@pytest.mark.parametrize(
    ("kind", "settings", "problem"),
    [
        ("email", {"smtp_host": "h", "from": "a@x.example", "to": ["a@x.example", 7]}, "to: must be text, or a list"),
        ("email", {"smtp_host": "h", "to": "a@x.example"}, "from: is missing; the sender's address"),
        ("email", {"smtp_host": "h", "sender": "a@x.example", "to": "a@x.example"}, "sender: is no key"),
        ("apprise", {}, "urls: is missing; Apprise's addresses"),
        ("apprise", {"urls": []}, "urls: is missing"),
    ],
)
def test_lists_and_other_names_of_keys(tmp_path: Path, kind: str, settings: dict[str, Any], problem: str) -> None:
    """One text needs no list; `from` is what everybody calls it."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"notify": {kind: settings}}), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(str(tmp_path / "config.yaml"))
    assert any(f"notify.{kind}.{problem}" in found for found in caught.value.problems)


def test_a_chat_may_be_written_as_the_number_that_it_is(tmp_path: Path) -> None:
    """Quotes are easily forgotten; `true` is no number."""
    text = "notify: {telegram: {bot_token: '110201543:AAHdqTcvCH1vGWJxfSeof-made-up', chat_id: %s}}"
    (tmp_path / "config.yaml").write_text(text % "-1001234567890")
    (found,) = load(str(tmp_path / "config.yaml")).notify
    assert found.channel.problems() == []
    (tmp_path / "config.yaml").write_text(text % "true")
    with pytest.raises(ConfigError, match="chat_id: must be text"):
        load(str(tmp_path / "config.yaml"))


def test_a_list_of_secrets_may_stand_in_a_file(tmp_path: Path) -> None:
    """One a line."""
    (tmp_path / "urls").write_text("ntfys://a/b\ngotifys://c/d\n")
    (tmp_path / "config.yaml").write_text("notify: {apprise: {urls_file: urls}}")
    (found,) = load(str(tmp_path / "config.yaml")).notify
    assert found.channel.endpoint() == "ntfys://a/b gotifys://c/d"
    assert "ntfys" not in repr(found)
